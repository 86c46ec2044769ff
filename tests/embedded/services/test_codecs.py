"""What is read and written by hand is what Google's protobuf and betterproto2 read and write."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import example, given
from hypothesis import strategies as st

from tests.conformance.records import schema
from trio_esdb._protobuf import FieldReader, Malformed, field, varint
from trio_esdb.embedded._dotnet._guids import from_halves
from trio_esdb.embedded._services._batch_messages import read_batch_part
from trio_esdb.embedded._services._drafts import Draft, WireId, read_draft, read_id
from trio_esdb.embedded._services._events import (
    EventEncoder,
    checkpoint,
    confirmation,
    first_stream_position,
    last_stream_position,
    stream_not_found,
)
from trio_esdb.embedded._services._expectations import WriteOptions, read_write_options
from trio_esdb.embedded._store import ANY, NO_STREAM, STREAM_EXISTS, MalformedLink, Record
from trio_esdb_proto.event_store.client.streams import AppendReqProposedMessage, ReadResp

PACKAGE = "event_store.client.streams."
SIGNED = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.integers(0, 2**64 - 1)
TEXTS = st.text(max_size=150)
BYTES = st.binary(max_size=200)
IDS = st.one_of(
    st.none(),
    st.just({}),
    st.fixed_dictionaries({"string": st.one_of(TEXTS, st.uuids().map(str))}),
    st.fixed_dictionaries(
        {
            "structured": st.fixed_dictionaries(
                {}, optional={"most_significant_bits": SIGNED, "least_significant_bits": SIGNED}
            )
        }
    ),
)


def proposed(identity: dict[str, Any] | None, metadata: dict[str, str], custom: bytes, data: bytes) -> Message:
    message = schema().cls(f"{PACKAGE}AppendReq.ProposedMessage")()
    if identity is not None:
        message.id.SetInParent()
        if "string" in identity:
            message.id.string = identity["string"]
        elif "structured" in identity:
            message.id.structured.SetInParent()
            for half, value in identity["structured"].items():
                setattr(message.id.structured, half, value)
    message.metadata.update(metadata)
    message.custom_metadata = custom
    message.data = data
    return message


def as_draft(message: Any) -> Draft:
    """What a message of Google's says, as we keep it."""
    identity = None
    if message.HasField("id"):
        kind = message.id.WhichOneof("value")
        halves = message.id.structured
        identity = WireId(
            text=message.id.string if kind == "string" else None,
            halves=(halves.most_significant_bits % 2**64, halves.least_significant_bits % 2**64)
            if kind == "structured"
            else None,
        )
    metadata = message.metadata
    return Draft(identity, metadata.get("type"), metadata.get("content-type"), message.custom_metadata, message.data)


METADATA = st.dictionaries(st.one_of(st.sampled_from(["type", "content-type"]), TEXTS), TEXTS, max_size=4)


@given(IDS, METADATA, BYTES, BYTES, st.binary(max_size=5), st.binary(max_size=5))
@example({"string": str(uuid.UUID(int=5))}, {"type": "T", "content-type": "application/json"}, b"", b"{}", b"", b"")
def test_a_proposed_event(
    identity: dict[str, Any] | None,
    metadata: dict[str, str],
    custom: bytes,
    data: bytes,
    before: bytes,
    after: bytes,
) -> None:
    message = proposed(identity, metadata, custom, data)
    raw = message.SerializeToString()
    draft = read_draft(before + raw + after, len(before), len(before) + len(raw))
    assert draft == as_draft(message)
    other = AppendReqProposedMessage.parse(raw)
    assert (draft.type, draft.content_type) == (other.metadata.get("type"), other.metadata.get("content-type"))
    assert (draft.metadata, draft.data) == (other.custom_metadata, other.data)
    assert (draft.id is None) == (other.id is None)
    assert draft.id is None or other.id is None or draft.id.text == other.id.string


@st.composite
def rearranged(draw: st.DrawFn) -> bytes:
    """The fields of two messages and some that nobody knows, in any order."""
    fields = [field(0x7A, draw(BYTES)), b"\x78" + varint(draw(NUMBERS)), b"\x7d" + bytes(4), b"\x79" + bytes(8)]
    for _ in range(2):
        raw = proposed(draw(IDS), draw(METADATA), draw(BYTES), draw(BYTES)).SerializeToString()
        # Each field of the message, tag and length included.
        at = 0
        for _, _, _, end in FieldReader(raw).fields(0, len(raw)):
            fields.append(raw[at:end])
            at = end
    return b"".join(draw(st.permutations(fields)))


@given(rearranged())
def test_a_proposed_event_written_in_an_odd_way(raw: bytes) -> None:
    message = schema().cls(f"{PACKAGE}AppendReq.ProposedMessage").FromString(raw)
    assert read_draft(raw, 0, len(raw)) == as_draft(message)


ODD_ENTRIES = [
    b"\x12\x00",
    b"\x12\x06\x0a\x04type",
    b"\x12\x03\x12\x01v",
    b"\x12\x09\x12\x01v\x0a\x04type",
    b"\x12\x0c\x0a\x04type\x12\x01v\x12\x01w",
    b"\x12\x0a\x0a\x84\x00type\x12\x01v",
    b"\x12\x8b\x00\x0a\x04type\x12\x82\x00vw",
    b"\x0a\x02\x12\x00\x0a\x00",
    b"\x0a\x04\x0a\x02\x08\x05\x0a\x04\x0a\x02\x10\x06",
    b"\x08\x01\x10\x02",
]


@pytest.mark.parametrize("raw", ODD_ENTRIES)
def test_entries_written_in_an_odd_way(raw: bytes) -> None:
    message = schema().cls(f"{PACKAGE}AppendReq.ProposedMessage").FromString(raw)
    assert read_draft(raw, 0, len(raw)) == as_draft(message)


def test_an_entry_with_a_field_that_nobody_knows() -> None:
    raw = b"\x12\x0b\x0a\x04type\x12\x01v\x18\x05"  # Python's protobuf drops such an entry, a node's does not
    assert read_draft(raw, 0, len(raw)).type == "v"


@given(st.binary(max_size=60))
@example(b"\x12")
@example(b"\x12\x05\x0a\x04t")
@example(b"\x0a\x26\x12\x24")
@example(b"\x0b\x0c")
@example(b"\x22\x05abc")
@example(b"\x80" * 12)
def test_bytes_that_need_not_be_a_proposed_event(raw: bytes) -> None:
    try:
        draft = read_draft(raw, 0, len(raw))
    except Malformed:
        return
    try:
        message = schema().cls(f"{PACKAGE}AppendReq.ProposedMessage").FromString(raw)
    except DecodeError:
        return  # text that is not UTF-8, numbers of fields that cannot be: a node's parser lets more pass, too
    assert draft == as_draft(message)


@given(st.data())
def test_a_proposed_event_cut_short(data: st.DataObject) -> None:
    raw = proposed({"string": str(uuid.UUID(int=1))}, {"type": "T", "content-type": "x"}, b"m", b"d" * 200)
    whole = raw.SerializeToString()
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    try:
        schema().cls(f"{PACKAGE}AppendReq.ProposedMessage").FromString(cut)
    except DecodeError:
        with pytest.raises(Malformed):
            read_draft(cut, 0, len(cut))


@given(
    st.one_of(st.none(), BYTES.map(lambda b: b.decode("utf-8", "ignore").encode())),
    st.sampled_from(["stream_position", "no_stream", "any", "stream_exists", None]),
    NUMBERS,
    st.sampled_from(["deadline_21_10_0", "deadline", None]),
    SIGNED,
    st.integers(-(2**31), 2**31 - 1),
)
def test_the_options_of_a_write(
    name: bytes | None, expect: str | None, revision: int, deadline: str | None, seconds: int, nanos: int
) -> None:
    message = schema().cls(f"{PACKAGE}BatchAppendReq.Options")()
    if name is not None:
        message.stream_identifier.SetInParent()
        message.stream_identifier.stream_name = name
    if expect == "stream_position":
        message.stream_position = revision
    elif expect is not None:
        getattr(message, expect).SetInParent()
    if deadline is not None:
        getattr(message, deadline).seconds = seconds
        getattr(message, deadline).nanos = nanos
        getattr(message, deadline).SetInParent()
    raw = message.SerializeToString()
    options = read_write_options(b"\x00" + raw + b"\xff", 1, 1 + len(raw))
    states = {"no_stream": NO_STREAM, "any": ANY, "stream_exists": STREAM_EXISTS}
    assert options == WriteOptions(
        stream=None if name is None else name.decode(),
        revision=revision if expect == "stream_position" else None,
        state=states.get(expect or ""),
        timestamp=(seconds, nanos) if deadline == "deadline_21_10_0" else None,
        duration=(seconds, nanos) if deadline == "deadline" else None,
    )


def test_the_last_of_several_choices_counts() -> None:
    raw = b"\x22\x00\x10\x05\x1a\x00" + b"\x3a\x02\x08\x01\x32\x02\x08\x02"
    options = read_write_options(raw, 0, len(raw))
    assert (options.state, options.revision) == (NO_STREAM, None)
    assert (options.timestamp, options.duration) == ((2, 0), None)
    raw = b"\x22\x00\x10\x05"
    assert read_write_options(raw, 0, len(raw)).expected() == 5
    raw = b"\x12\x01x\x0a\x02\x08\x01\x0a\x02\x10\x02"
    assert read_id(raw) == WireId(halves=(1, 2))


@st.composite
def records(draw: st.DrawFn) -> Record:
    return Record(
        stream=draw(st.text(min_size=1, max_size=200)),
        number=draw(st.integers(0, 2**63 - 1)),
        position=draw(st.integers(0, 2**63 - 1)),
        id=draw(st.integers(0, 2**128 - 1)),
        type=draw(st.text(min_size=1, max_size=200)),
        data=draw(st.binary(max_size=5000)),
        metadata=draw(BYTES),
        is_json=draw(st.booleans()),
        created=draw(st.integers(0, 2**62)),
    )


def check_recorded(message: Any, record: Record, text_ids: bool) -> None:
    if text_ids:
        assert message.id.string == str(uuid.UUID(int=record.id))
    else:
        halves = (message.id.structured.most_significant_bits, message.id.structured.least_significant_bits)
        assert from_halves(*halves) == record.id
    assert message.stream_identifier.stream_name == record.stream.encode()
    assert message.stream_revision == record.number
    assert message.commit_position == message.prepare_position == record.position
    assert dict(message.metadata) == {
        "type": record.type,
        "created": str(record.created),
        "content-type": "application/json" if record.is_json else "application/octet-stream",
    }
    assert (message.custom_metadata, message.data) == (record.metadata, record.data)


@given(records(), records(), st.booleans())
def test_events(record: Record, target: Record, text_ids: bool) -> None:
    response = schema().cls(f"{PACKAGE}ReadResp")
    plain = EventEncoder(text_ids=text_ids, resolve=None)
    for _ in range(2):  # the second time from what was kept
        raw = plain.message(record)
        event = response.FromString(raw).event
        check_recorded(event.event, record, text_ids)
        assert not event.HasField("link")
        assert event.commit_position == record.position
        assert event.WhichOneof("position") == "commit_position"
        assert response.FromString(bytes(ReadResp.parse(raw))) == response.FromString(raw)
    record.type, record.encoded = "$>", None
    for resolved in (target, None):
        linked = EventEncoder(text_ids=text_ids, resolve=lambda _, resolved=resolved: resolved)
        event = response.FromString(linked.message(record)).event
        check_recorded(event.link, record, text_ids)
        assert event.HasField("event") is (resolved is not None)
        if resolved is not None:
            check_recorded(event.event, target, text_ids)
        assert event.commit_position == record.position

    def fail(_: Record) -> Record:
        raise MalformedLink

    broken = EventEncoder(text_ids=text_ids, resolve=fail)
    assert broken.message(record) == plain.message(record)
    event = response.FromString(broken.message(record, live=True)).event
    check_recorded(event.link, record, text_ids)
    assert not event.HasField("event")


def test_large_records_are_not_kept_twice() -> None:
    record = Record("s", 0, 0, 4711, "T", bytes(10_000), b"", False, 0)
    EventEncoder(text_ids=True, resolve=None).message(record)
    assert record.encoded is None


@given(st.integers(-1, 2**63 - 1), st.integers(-1, 2**63 - 1), TEXTS)
def test_other_messages(commit: int, prepare: int, text: str) -> None:
    response = schema().cls(f"{PACKAGE}ReadResp")
    message = response.FromString(checkpoint(commit, prepare)).checkpoint
    assert (message.commit_position, message.prepare_position) == (commit % 2**64, prepare % 2**64)
    assert response.FromString(confirmation(text)).confirmation.subscription_id == text
    missing = response.FromString(stream_not_found(text)).stream_not_found
    assert missing.stream_identifier.stream_name == text.encode()
    assert response.FromString(first_stream_position(commit + 1)).first_stream_position == commit + 1
    last = response.FromString(last_stream_position(prepare + 1))
    assert last.WhichOneof("content") == "last_stream_position"


# -- batches: requests of many events


@st.composite
def batch_requests(draw: st.DrawFn) -> bytes:
    """Requests as clients write them, and with their fields in any order, doubled, broken or unknown."""
    events = [field(0x1A, draw(BYTES)) for _ in range(draw(st.integers(0, 6)))]
    others = [
        field(0x0A, field(0x12, draw(TEXTS).encode())),
        field(
            0x12, draw(st.sampled_from([b"\x22\x00", field(0x0A, field(0x1A, b"s")), b"\x10\x05", b"\x3a\x02\x08\x01"]))
        ),
        draw(
            st.sampled_from([b"\x20\x01", b"\x20\x00", b"\x22\x01x", b"\x1d1234", b"\x1a", b"\x1a\x7f", b"\xff", b""])
        ),
    ]
    fields = [*others[:2], *events, *others[2:]]
    if draw(st.booleans()):
        fields = draw(st.permutations([*fields, draw(st.sampled_from(fields))]))
    raw = b"".join(fields)
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 9)) == 0 else raw


@given(batch_requests())
def test_a_request_of_a_batch(raw: bytes) -> None:
    try:
        message: Any = schema().cls(f"{PACKAGE}BatchAppendReq").FromString(raw)
    except DecodeError:
        message = None
    try:
        part = read_batch_part(raw)
    except Malformed:
        assert message is None
        return
    if message is None:
        return  # what is inside of an event is looked at later
    assert part.final is message.is_final
    assert [raw[start:end] for start, end in part.events] == raw_events(raw)
    assert len(part.events) == len(message.proposed_messages)
    correlation = message.correlation_id.string if message.HasField("correlation_id") else None
    assert (None if part.correlation is None else part.correlation.text or "") == correlation
    assert (part.options is not None) is message.HasField("options")
    if part.options is not None:
        named = message.options.HasField("stream_identifier")
        assert part.options.stream == (message.options.stream_identifier.stream_name.decode() if named else None)
        assert part.options.chosen is (message.options.WhichOneof("expected_stream_position") is not None)


def raw_events(raw: bytes) -> list[bytes]:
    fields = FieldReader(raw).fields(0, len(raw))
    return [raw[start:end] for number, wire, start, end in fields if (number, wire) == (3, 2)]


def test_a_request_of_very_many_events() -> None:
    raw = field(0x1A, bytes(60)) * 100_000 + field(0x1A, bytes(70_000)) * 10
    part = read_batch_part(b"\x12\x02\x22\x00" + raw + b"\x20\x01")
    assert len(part.events) == 100_010
    assert part.events[0] == (6, 66)
    assert part.events[-1] == (len(raw) - 70_000 + 4, len(raw) + 4)
    assert part.final
    assert part.options is not None
    assert not read_batch_part(raw + b"\x7b\x7c").final  # a group at the end


@pytest.mark.parametrize("size", [b"\xbc\x80\x80\x80\x80\x00", b"\xff\xff\x7f", b"\xff\xff\xff\xff\xff\xff", b"\x80"])
def test_events_of_a_size_that_cannot_be(size: bytes) -> None:
    raw = field(0x1A, bytes(60)) + b"\x1a" + size
    with pytest.raises(Malformed):
        read_batch_part(raw)


# -- messages that no client sends: they cost nothing

TINY = 500_000


@pytest.mark.parametrize(
    "raw",
    [
        b"\x78\x00" * TINY,
        b"\x12\x00" * TINY,
        b"\x12\x04\x0a\x00\x12\x00" * TINY,
        b"\x12\x08\x0a\x04type\x12\x00" * TINY,
        b"\x1a\x00" * TINY,
        b"\x22\x00" * TINY,
        b"\x0a\x00" * TINY,
        field(0x0A, b"\x0a\x00" * TINY),
        field(0x0A, field(0x0A, b"\x08\x00" * TINY)),
        field(0x12, b"\x0a\x00" * TINY),
    ],
    ids=range(10),
)
def test_proposed_events_of_too_many_fields_are_refused(raw: bytes) -> None:
    with pytest.raises(Malformed, match=r"more than [0-9]+ fields"):
        read_draft(raw, 0, len(raw))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x78\x00" * TINY,
        b"\x0a\x00" * TINY,
        b"\x22\x00" * TINY,
        b"\x32\x00" * TINY,
        b"\x10\x00" * TINY,
        field(0x0A, b"\x1a\x00" * TINY),
        field(0x32, b"\x08\x00" * TINY),
    ],
    ids=range(7),
)
def test_options_of_too_many_fields_are_refused(raw: bytes) -> None:
    with pytest.raises(Malformed, match="more than 1000 fields"):
        read_write_options(raw, 0, len(raw))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x78\x00" * TINY,
        b"\x0a\x00" * TINY,
        b"\x12\x00" * TINY,
        b"\x1a\x00" * TINY,
        b"\x1a\x02\x0a\x00" * TINY,
        b"\x20\x00" * TINY,
        field(0x0A, b"\x0a\x00" * TINY),
        (field(0x1A, bytes(60)) + b"\x20\x00") * 10_000,
    ],
    ids=range(8),
)
def test_batches_of_too_many_fields_are_refused(raw: bytes) -> None:
    with pytest.raises(Malformed, match="more than 1000 fields"):
        read_batch_part(raw)


def test_long_texts_are_not_kept() -> None:
    long, short = "T" * 1000, "T" * 20
    for name, kept in ((long, False), (short, True)):
        raw = proposed(None, {"type": name, "content-type": name}, b"", b"").SerializeToString()
        first, second = (read_draft(raw, 0, len(raw)) for _ in range(2))
        assert (first.type, first.content_type) == (name, name)
        assert (first.type is second.type) is kept
