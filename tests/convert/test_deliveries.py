"""What consumers of groups get and say: the hot path and the generated classes agree, and nothing makes them fail."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.makers import BROKEN, MISPLACED, UNKNOWN, block, number, recorded
from trio_esdb._convert import Confirmation, ReadDecoder
from trio_esdb._convert._deliveries import MOST_IDS, ack_requests, group_read_request, nack_requests, read_deliveries
from trio_esdb._convert._deliveries_fallback import read_delivery
from trio_esdb._errors import ProtocolError
from trio_esdb._model import GroupEvent, NackAction, RecordedEvent
from trio_esdb._model._events import GroupEventDraft
from trio_esdb_proto.event_store.client.persistent_subscriptions import ReadReq

CALL = object()
LINK = recorded(id=b"11111111-2222-3333-4444-555555555555", name=b"links", rest=block(8, b"7@order-1"))
ID = b"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


def delivered(
    content: bytes | None = recorded(), link: bytes | None = None, rest: bytes = number(3, 4321) + number(5, 0)
) -> bytes:
    """A ReadResp with an event, as servers write it."""
    return block(1, (b"" if content is None else block(1, content)) + (b"" if link is None else block(2, link)) + rest)


def read(raw: bytes) -> GroupEvent | Confirmation | ProtocolError | None:
    (found,) = read_deliveries(ReadDecoder(), [raw], CALL)
    return found


def event(raw: bytes) -> GroupEvent:
    found = read(raw)
    assert isinstance(found, GroupEvent)
    return found


def fields(found: GroupEvent) -> tuple[object, ...]:
    return (*found._key(), found.retry_count, found._ack_id, found._call)


def test_an_event() -> None:
    found = event(delivered())
    assert (found.type, found.stream_name, found.stream_position, found.commit_position) == (
        "OrderCreated",
        "order-1",
        7,
        4321,
    )
    assert (found.data, found.metadata, found.retry_count, found._ack_id, found.link) == (b"{}", b"m", 0, ID, None)


@pytest.mark.parametrize("count", [0, 1, 127, 128, 2**31 - 1])
def test_how_often_it_came(count: int) -> None:
    assert event(delivered(rest=number(3, 4321) + number(5, count))).retry_count == count


def test_the_link_is_what_is_acked() -> None:
    found = event(delivered(link=LINK))
    assert found._ack_id == b"11111111-2222-3333-4444-555555555555"
    assert found.link is not None
    assert (found.link.stream_name, found.stream_name) == ("links", "order-1")
    assert type(found.link) is RecordedEvent


def test_a_link_to_nothing_is_the_event() -> None:
    found = event(delivered(None, LINK))
    assert (found.stream_name, found.link, found._ack_id) == ("links", None, b"11111111-2222-3333-4444-555555555555")


def test_a_position_that_is_not_known() -> None:
    places = number(3, 7) + number(4, 2**64 - 1) + number(5, 2**64 - 1)
    found = event(delivered(recorded(places=places), rest=block(4, b"") + number(5, 3)))
    assert (found.commit_position, found.prepare_position, found.retry_count) == (None, None, 3)


def test_other_messages() -> None:
    assert read(block(2, block(1, b"s::g"))) == Confirmation("s::g")
    assert read(block(9, b"something new")) is None
    assert read(b"") is None
    for raw, text in ((block(1, b""), "an event without a record"), (b"\xff", "malformed")):
        failed = read(raw)
        assert isinstance(failed, ProtocolError)
        assert text in str(failed)


def test_what_cannot_be_decoded_ends_the_list() -> None:
    found = read_deliveries(ReadDecoder(), [delivered(), b"\xff", delivered()], CALL)
    assert [type(each) for each in found] == [GroupEvent, ProtocolError]


RESTS = st.sampled_from(
    [
        number(3, 4321) + number(5, 2),
        number(3, 99) + number(5, 2),
        block(4, b"") + number(5, 1),
        number(5, 1) + number(3, 4321),
        number(3, 4321) + block(6, b""),
        number(3, 4321),
        b"",
    ]
)
PIECES = st.one_of(UNKNOWN, MISPLACED, st.just(b""))


@given(
    content=st.one_of(st.none(), st.just(recorded()), PIECES.map(lambda piece: recorded() + piece)),
    link=st.one_of(st.none(), st.just(LINK), PIECES.map(lambda piece: LINK + piece)),
    rest=RESTS,
    before=PIECES,
    after=st.one_of(PIECES, BROKEN),
)
def test_both_ways_say_the_same(
    content: bytes | None, link: bytes | None, rest: bytes, before: bytes, after: bytes
) -> None:
    raw = before + delivered(content, link, rest) + after
    found = read(raw)
    if isinstance(found, ProtocolError):
        with pytest.raises(ProtocolError, match=re.escape(str(found))):
            read_delivery(raw, CALL)
        return
    expected = read_delivery(raw, CALL)
    if isinstance(expected, GroupEvent):
        assert isinstance(found, GroupEvent)
        assert fields(found) == fields(expected)
    else:
        assert found == expected


@given(st.binary(max_size=60), st.integers(0, 400))
def test_no_bytes_break_it(junk: bytes, at: int) -> None:
    whole = delivered(link=LINK)
    for raw in (junk, whole[:at], whole[:at] + junk, whole[:at] + junk + whole[at:]):
        found = read(raw)
        assert found is None or isinstance(found, GroupEvent | Confirmation | ProtocolError)
        assert not isinstance(found, GroupEventDraft) or isinstance(found, RecordedEvent)


# -- what consumers say -----------------------------------------------------------------------------------------------


def test_the_first_request() -> None:
    options = ReadReq.parse(group_read_request("g", "s", 300)).options
    assert options is not None
    assert options.stream_identifier is not None
    assert (options.stream_identifier.stream_name, options.group_name, options.buffer_size) == (b"s", "g", 300)
    assert options.uuid_option is not None
    assert options.uuid_option.string is not None
    options = ReadReq.parse(group_read_request("g", None, 1)).options
    assert options is not None
    assert options.all is not None


def test_acks() -> None:
    (message,) = ack_requests([ID, ID])
    ack = ReadReq.parse(message).ack
    assert ack is not None
    assert [id.string for id in ack.ids] == [ID.decode()] * 2
    assert ack_requests([]) == []
    sizes = [
        len(found.ids) for message in ack_requests([ID] * (2 * MOST_IDS + 1)) if (found := ReadReq.parse(message).ack)
    ]
    assert sizes == [MOST_IDS, MOST_IDS, 1]


@pytest.mark.parametrize(("action", "number"), [("park", 1), ("retry", 2), ("skip", 3), ("stop", 4)])
def test_refusals(action: NackAction, number: int) -> None:
    (message,) = nack_requests([ID], action, "because")
    nack = ReadReq.parse(message).nack
    assert nack is not None
    assert (nack.ids[0].string, nack.action, nack.reason) == (ID.decode(), number, "because")
    (message,) = nack_requests([ID], action, "")
    nack = ReadReq.parse(message).nack
    assert nack is not None
    assert nack.reason == ""
