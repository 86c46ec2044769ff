"""Read responses mean what Google's protobuf says they mean, the hot way and the long way; all else is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support import oracle
from tests.support.makers import (
    BROKEN,
    MISPLACED,
    ODD_CREATED,
    ODD_UUIDS,
    TICKS,
    UNKNOWN,
    block,
    damaged,
    event,
    number,
    pair,
    read_response,
    recorded,
    responses,
    varint,
)
from trio_esdb._convert import ReadDecoder, ReadResponse, _read
from trio_esdb._convert._read_fallback import read_response as the_long_way
from trio_esdb._errors import ProtocolError
from trio_esdb._model import RecordedEvent
from trio_esdb._protobuf import Malformed
from trio_esdb._protobuf_messages import decode
from trio_esdb_proto.event_store.client.streams import ReadResp

REFUSED = "refused"
U64MAX = 2**64 - 1
many = settings(max_examples=400, suppress_health_check=list(HealthCheck))


def outcome(read: Callable[[bytes], ReadResponse], raw: bytes) -> object:
    """What is read; nothing but ProtocolError may be raised."""
    try:
        return read(raw)
    except (ProtocolError, oracle.Refused):
        return REFUSED


def agree(raw: bytes, decoder: ReadDecoder | None = None) -> object:
    """Three readers say the same of these bytes; what they say. It does not depend on what was read before."""
    hot = outcome(read_response, raw)
    assert hot == outcome(the_long_way, raw)
    used = decoder or used_decoder()
    for _ in range(2):
        assert outcome(lambda raw: read_response(raw, used), raw) == hot
    with contextlib.suppress(oracle.Peculiar):
        assert hot == outcome(oracle.read_response, raw)
    return hot


def used_decoder() -> ReadDecoder:
    """A decoder that remembers something in each of its tables."""
    decoder = ReadDecoder()
    for raw in (event(), SMALL):
        read_response(raw, decoder)
    return decoder


def goes_the_hot_way(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> RecordedEvent:
    """The event in these bytes, which must be read without a message in between."""

    def never(raw: bytes) -> ReadResponse:
        raise AssertionError("this went the long way")

    with monkeypatch.context() as patch:
        patch.setattr("trio_esdb._convert._read_fallback.read_response", never)
        found = read_response(raw)
    assert isinstance(found, RecordedEvent)
    return found


@given(responses())
@many
def test_messages(raw: bytes) -> None:
    agree(raw)


@given(damaged(responses()))
@many
def test_damaged_messages(raw: bytes) -> None:
    agree(raw)


@given(st.binary(max_size=120) | st.binary(max_size=120).map(lambda raw: b"\x0a" + varint(len(raw)) + raw))
@example(b"")
@many
def test_any_bytes(raw: bytes) -> None:
    agree(raw)


@given(responses())
@many
def test_what_betterproto_reads(raw: bytes) -> None:
    """Its own reading is lenient, so it is shown what Google's protobuf makes of the message."""
    try:
        message = oracle.parsed("streams.ReadResp", raw)
    except oracle.Refused:
        return
    message.DiscardUnknownFields()
    again = message.SerializeToString()
    try:
        expected = ReadResp.parse(again)
    except OverflowError:  # a time that Python cannot say
        return
    assert decode(ReadResp, again) == expected


SMALL = event(recorded(name=b"s", rest=block(8, b"d")), link=recorded(name=b"l", rest=b""))


def test_every_bit_turned() -> None:
    for at in range(len(SMALL)):
        for bit in range(8):
            agree(SMALL[:at] + bytes([SMALL[at] ^ 1 << bit]) + SMALL[at + 1 :])


def test_every_place_cut_off_left_out_or_doubled() -> None:
    for at in range(len(SMALL)):
        assert agree(SMALL[:at]) == REFUSED or at == 0
        agree(SMALL[:at] + SMALL[at + 1 :])
        agree(SMALL[: at + 1] + SMALL[at:])


# What servers write goes the hot way.


def test_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    found = goes_the_hot_way(event(), monkeypatch)
    assert found == agree(event())
    assert (found.stream_name, found.stream_position) == ("order-1", 7)
    assert (found.commit_position, found.prepare_position) == (4321, 4321)
    assert (found.type, found.content_type) == ("OrderCreated", "application/json")
    assert (found.data, found.metadata) == (b"{}", b"m")
    assert str(found.id) == "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
    assert found.created_ticks == int(TICKS)
    assert found.link is None


@pytest.mark.parametrize(
    "raw",
    [
        event(link=recorded(name=b"$ce-order", rest=block(8, b"7@order-1"))),
        event(position=block(4, b"")),
        event(recorded(places=b"")),
        event(recorded(rest=b"")),
        event(recorded(rest=block(7, b"m" * 200))),
        event(recorded(rest=block(8, b"x" * 20_000))),
        event(recorded(rest=block(8, b"x" * 3_000_000))),
        event(recorded(name=b"n" * 20_000)),
        event(recorded(name="ü€\U0001f600".encode())),
        event(recorded(places=number(3, 2**63 - 1) + number(4, U64MAX) + number(5, U64MAX)), position=block(4, b"")),
        event(recorded(places=number(3, 300) + number(4, 5) + number(5, 2**40))),
        event(recorded(id=b"0A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9")),
        event(recorded(system=pair(b"type", b"") + pair(b"content-type", b"") + pair(b"created", TICKS))),
        event(recorded(system=b"")),
        event(recorded(system=pair(b"type", b"a") + pair(b"type", b"b") + pair(b"key of the future", b"c" * 300))),
    ],
)
def test_usual_events_go_the_hot_way(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert goes_the_hot_way(raw, monkeypatch) == agree(raw)


def test_positions_that_are_the_same_are_one_object() -> None:
    found = read_response(event())
    assert isinstance(found, RecordedEvent)
    assert found.commit_position is found.prepare_position


def test_unknown_positions_are_none() -> None:
    found = agree(event(recorded(places=number(3, 2**63 - 1) + number(4, U64MAX) + number(5, U64MAX))))
    assert isinstance(found, RecordedEvent)
    assert (found.stream_position, found.commit_position, found.prepare_position) == (2**63 - 1, None, None)


@pytest.mark.parametrize(("commit", "prepare"), [(U64MAX, 5), (5, U64MAX), (0, U64MAX), (U64MAX, 0), (9, 5)])
def test_positions_that_differ(commit: int, prepare: int) -> None:
    found = agree(event(recorded(places=number(4, prepare) + number(5, commit))))
    assert isinstance(found, RecordedEvent)
    assert found.commit_position == (None if commit == U64MAX else commit)
    assert found.prepare_position == (None if prepare == U64MAX else prepare)


# What they do not write is read the same, too, or refused.


@pytest.mark.parametrize("id", [b"", b"0a1b2c3d4e5f60718293a4b5c6d7e8f9", b"0a1b2c3d4e5f60718293a4b5c6d7e8f9----"])
def test_other_forms_of_a_uuid(id: bytes) -> None:
    found = agree(event(recorded(id=id)))
    assert isinstance(found, RecordedEvent)
    assert found.id.hex in ("0a1b2c3d4e5f60718293a4b5c6d7e8f9", "0" * 32)


@given(ODD_UUIDS)
@many
def test_odd_uuids(id: bytes) -> None:
    agree(event(recorded(id=id)))


@pytest.mark.parametrize("id", [b"0x1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", b"+a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", b"9"])
def test_text_that_is_no_uuid_is_refused(id: bytes) -> None:
    assert agree(event(recorded(id=id))) == REFUSED


def test_structured_uuid() -> None:
    high, low = 0x0A1B2C3D4E5F6071, 0x8293A4B5C6D7E8F9  # the second is negative as the protocol's signed number
    id = block(1, block(1, number(1, high) + number(2, low)))
    found = agree(event(id + recorded()[40:]))
    assert isinstance(found, RecordedEvent)
    assert str(found.id) == "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


@given(ODD_CREATED)
@many
def test_odd_times(created: bytes) -> None:
    found = agree(event(recorded(system=pair(b"created", created))))
    if isinstance(found, RecordedEvent):
        assert found.recorded_at.year > 0


@pytest.mark.parametrize(
    ("entries", "ticks"),
    [
        ([TICKS, b"17590123456789013"], 17590123456789013),
        ([TICKS, b"5"], 5),
        ([b"5", TICKS], int(TICKS)),
        ([TICKS, b""], 0),
        ([], 0),
        ([b"-621355968000000000"], -621355968000000000),
    ],
)
def test_the_last_of_several_times_counts(entries: list[bytes], ticks: int) -> None:
    found = agree(event(recorded(system=b"".join(pair(b"created", text) for text in entries))))
    assert isinstance(found, RecordedEvent)
    assert found.created_ticks == ticks


@pytest.mark.parametrize("name", [b"\xff", b"\xed\xa0\x80", b"a\xc3"])
def test_names_and_texts_that_are_not_utf8_are_refused(name: bytes) -> None:
    assert agree(event(recorded(name=name))) == REFUSED
    assert agree(event(recorded(system=pair(b"type", name)))) == REFUSED
    assert agree(event(recorded(system=pair(name, b"")))) == REFUSED
    assert agree(block(2, block(1, name))) == REFUSED
    assert agree(block(4, block(1, block(3, name)))) == REFUSED


def test_a_number_may_be_padded_but_only_to_ten_bytes() -> None:
    for padding in range(12):
        places = number(3, 5, padding) + number(4, 6, padding) + number(5, 7, padding)
        found = agree(event(recorded(places=places), position=number(3, 7, padding)))
        assert (found == REFUSED) == (padding > 9)


def test_the_position_beside_an_event_may_be_padded_the_same() -> None:
    for padding in range(12):
        assert (agree(event(position=number(3, 7, padding))) == REFUSED) == (padding > 9)


@pytest.mark.parametrize("padding", range(8))
def test_a_length_may_be_padded_to_five_bytes(padding: int) -> None:
    def padded(tag: bytes, payload: bytes) -> bytes:
        return tag + varint(len(payload), padding) + payload

    refused = padding > 4
    for rest in (padded(b"\x42", b"data"), padded(b"\x3a", b"metadata")):
        assert (agree(event(recorded(rest=rest))) == REFUSED) == refused
    name = block(1, block(2, b"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")) + padded(b"\x12", padded(b"\x1a", b"s"))
    assert (agree(event(name)) == REFUSED) == refused
    entry = padded(b"\x0a", b"type") + padded(b"\x12", b"T")
    assert (agree(event(recorded(system=padded(b"\x32", entry)))) == REFUSED) == refused
    whole = padded(b"\x0a", padded(b"\x0a", recorded()) + block(4, b""))
    assert (agree(whole) == REFUSED) == (padding > 3)  # the length takes two bytes anyway


def test_an_endless_number_is_given_up_early() -> None:
    """Its value must not be added up: that would take hours."""
    for places in (b"\x18", b"\x20", b"\x28"):
        assert agree(event(recorded(places=places + b"\xff" * 1_000_000))) == REFUSED
        assert agree(event(recorded(places=places + b"\x80" * 1_000_000))) == REFUSED
    assert agree(event(position=b"\x18" + b"\xff" * 1_000_000)) == REFUSED


@given(extra=UNKNOWN | MISPLACED | BROKEN, at=st.integers(0, 8))
@many
def test_extra_fields_anywhere_in_an_event(extra: bytes, at: int) -> None:
    parts = [recorded()[:40], *[recorded()[40:51], number(3, 7), number(4, 5), number(5, 5)]]
    parts += [pair(b"type", b"T"), pair(b"created", TICKS), block(7, b"m"), block(8, b"d")]
    agree(event(b"".join([*parts[:at], extra, *parts[at:]])))
    agree(block(1, block(1, recorded()) + extra + number(3, 1)))
    agree(event() + extra)
    agree(extra + event())


def test_the_parts_of_a_sub_message_are_merged() -> None:
    one = block(1, block(1, block(2, b"")) + number(3, 5))
    other = block(1, recorded(places=number(4, 9)))
    found = agree(block(1, one + other))
    assert isinstance(found, RecordedEvent)
    assert (found.stream_position, found.prepare_position, found.type) == (5, 9, "OrderCreated")
    assert found == agree(block(1, one) + block(1, other))


def test_of_a_oneof_the_last_member_counts() -> None:
    confirmation, checkpoint = block(2, block(1, b"a")), block(3, number(1, 5))
    assert agree(confirmation + checkpoint) == agree(checkpoint)
    assert agree(event() + confirmation) == agree(confirmation)
    assert agree(confirmation + event()) == agree(event())
    assert agree(event(recorded(rest=b"")) + confirmation + block(1, block(2, recorded()))) == agree(
        block(1, block(2, recorded()))
    )
    assert agree(block(2, block(1, b"\xff")) + checkpoint) == REFUSED


def test_a_link_without_an_event_stands_for_itself() -> None:
    found = agree(block(1, block(2, recorded(name=b"$ce-order")) + number(3, 7)))
    assert isinstance(found, RecordedEvent)
    assert (found.stream_name, found.link) == ("$ce-order", None)


def test_an_event_without_an_event_is_refused() -> None:
    assert agree(block(1, b"")) == REFUSED
    assert agree(block(1, number(3, 7))) == REFUSED


def test_what_is_missing_is_empty() -> None:
    found = agree(event(b""))
    assert isinstance(found, RecordedEvent)
    assert (found.type, found.data, found.stream_name, found.stream_position, found.id.int) == ("", b"", "", 0, 0)


def test_lengths_that_reach_into_what_follows() -> None:
    """Numbers after the event look like numbers of the event."""
    short = recorded()[:51]
    for claimed in range(len(short) + 12):
        raw = b"\x0a" + varint(claimed) + short + number(3, 5) + block(4, b"")
        agree(block(1, raw))


def test_the_error_says_what_is_wrong() -> None:
    with pytest.raises(ProtocolError, match=r"malformed read response: '9' is not a UUID") as caught:
        read_response(event(recorded(id=b"9")))
    assert caught.value.status == "INTERNAL"
    assert isinstance(caught.value.__cause__, Malformed)


# What is remembered is bounded.


def table_sizes(decoder: ReadDecoder) -> list[int]:
    return [len(table) for table in (decoder.lengths, decoder._names, decoder._types, decoder._content_types)]


def test_what_is_remembered_has_limits() -> None:
    decoder = ReadDecoder()
    for n in range(_read._MOST_ENTRIES + 5):
        name, kind, content = b"stream-%d" % n, b"Type%d" % n, b"text/%d" % n
        system = pair(b"type", kind) + pair(b"created", TICKS) + pair(b"content-type", content)
        found = read_response(event(recorded(name=name, system=system, rest=block(8, b"d" * n))), decoder)
        assert isinstance(found, RecordedEvent)
        assert (found.stream_name, found.type, found.content_type) == (name.decode(), kind.decode(), content.decode())
        assert len(found.data) == n
        assert all(0 < size <= _read._MOST_ENTRIES for size in table_sizes(decoder))
    decoder = ReadDecoder()
    long = pair(b"type", b"T" * 300) + pair(b"created", TICKS) + pair(b"content-type", b"c" * 300)
    agree(event(recorded(name=b"n" * 300, system=long)), decoder)
    assert table_sizes(decoder) == [1, 0, 0, 0]
    assert table_sizes(ReadDecoder()) == [0, 0, 0, 0]


PLACES = st.integers(0, 2**21) | st.sampled_from(
    [2**14 - 1, 2**28, 2**35 - 1, 2**35, 2**42, 2**62, 2**63, U64MAX - 1, U64MAX]
)


@given(st.lists(st.tuples(PLACES, st.integers(0, 3)), min_size=2, max_size=6), st.booleans())
@many
def test_positions_one_after_another(places: list[tuple[int, int]], near: bool) -> None:
    """The upper bytes of the one before are remembered, and must not show in the next."""
    at = 2**30
    decoder = ReadDecoder()
    for place, padding in places:
        at = min(U64MAX, at + place) if near else place
        same = number(3, 7) + number(4, at, padding) + number(5, at, padding)
        found = agree(event(recorded(places=same), position=number(3, at, padding)), decoder)
        assert found != REFUSED or padding
        agree(event(recorded(places=number(4, at) + number(5, at, 1)), position=number(3, at)), decoder)
        agree(event(recorded(places=number(4, at)), position=b"\x18"), decoder)
        agree(event(recorded(places=number(5, at)), position=number(3, at)), decoder)


@given(st.lists(responses() | damaged(responses()), max_size=5))
@many
def test_several_messages(messages: list[bytes]) -> None:
    """Each means what it means alone, up to one that means nothing."""
    alone = [outcome(read_response, raw) for raw in messages]
    together = [
        REFUSED if isinstance(found, ProtocolError) else found for found in ReadDecoder().read_responses(messages)
    ]
    assert together == alone[: alone.index(REFUSED) + 1 if REFUSED in alone else None]
