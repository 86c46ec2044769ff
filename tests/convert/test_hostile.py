"""Responses that are made to be expensive: a limit on fields refuses them, in the hot path too."""

from __future__ import annotations

import pytest

from tests.support.makers import TICKS, block, event, number, pair, read_response, recorded
from trio_esdb._convert import ReadDecoder, append_options, append_response, delete_response, proposed_message
from trio_esdb._convert._answers import FIELD_LIMIT
from trio_esdb._convert._responses import RESPONSE_LIMIT
from trio_esdb._errors import ProtocolError
from trio_esdb._model import NewEvent, RecordedEvent

TINY = 500_000
TOO_MANY = f"malformed.*it has more than {FIELD_LIMIT} fields"


@pytest.mark.parametrize(
    "raw",
    [
        b"\x78\x00" * TINY,
        b"\x0a\x00" * TINY,
        b"\x0a\x02\x0a\x00" * TINY,
        b"\x0a\x00\x12\x00\x1a\x00\x22\x00" * TINY,
        b"\x12\x00" * TINY,
        b"\x30\x00" * TINY,
        block(1, b"\x0a\x00" * TINY),
        block(1, b"\x12\x00" * TINY),
        block(1, block(1, b"\x32\x00" * TINY)),
        block(1, block(1, b"\x0a\x00" * TINY)),
        block(1, block(1, block(1, b"\x08\x00" * TINY))),
        block(1, block(1, block(6, b"\x0a\x00" * TINY))),
        block(3, b"\x08\x00" * TINY),
        block(10, b"x") * TINY,
        event(recorded(system=pair(b"type", b"T") * TINY)),
        event(recorded(system=pair(b"created", TICKS) * TINY)),
        event(recorded(system=b"".join(pair(b"%d" % n, b"") for n in range(TINY // 10)))),
        event(link=recorded(system=pair(b"content-type", b"T") * TINY)),
    ],
    ids=range(18),
)
def test_responses_of_too_many_fields_are_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError, match=TOO_MANY):
        read_response(raw)


def test_what_ends_a_batch_is_not_decoded_further() -> None:
    found = ReadDecoder().read_responses([event(), b"\x78\x00" * TINY, event()])
    assert [type(each) for each in found] == [RecordedEvent, ProtocolError]


def test_an_event_may_have_more_fields_than_servers_write() -> None:
    found = read_response(event(recorded(system=pair(b"type", b"T") + pair(b"key of the future", b"") * 50)))
    assert isinstance(found, RecordedEvent)
    assert found.type == "T"


@pytest.mark.parametrize("unit", [b"\x0a\x00\x12\x00", b"\x78\x00", block(1, number(1, 5)), block(2, b"\x12\x00")])
def test_responses_to_writes_have_few_fields_and_few_bytes(unit: bytes) -> None:
    for read in (append_response, delete_response):
        with pytest.raises(ProtocolError, match=TOO_MANY):
            read(unit * (RESPONSE_LIMIT // len(unit)))
        with pytest.raises(ProtocolError, match=f"malformed: it has [0-9]+ bytes, {RESPONSE_LIMIT} is the limit"):
            read(unit * TINY)


def test_errors_quote_little_of_what_came() -> None:
    for raw in (
        event(recorded(id=b"9" * 1_000_000)),
        event(recorded(name=b"\xff" * 1_000_000)),
        event(recorded(system=pair(b"created", b"x" * 1_000_000))),
        event(recorded(system=pair(b"type", b"\xff" * 1_000_000))),
    ):
        with pytest.raises(ProtocolError) as caught:
            read_response(raw)
        assert len(str(caught.value)) < 500


# -- what is encoded once and kept


def test_long_names_and_types_are_not_kept() -> None:
    for text, kept in (("n" * 1000, False), ("n" * 20, True)):
        one, other = append_options(text, -2), append_options(text, -2)
        assert one == other
        assert (one is other) is kept
        event_ = NewEvent(type=text, data=b"")
        assert proposed_message(event_) == proposed_message(event_)
