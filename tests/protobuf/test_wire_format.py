"""Varints and fields are written and read as Google's protobuf writes and reads them."""

from __future__ import annotations

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value, UInt64Value
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.makers import BROKEN, UNKNOWN, block, number
from tests.support.makers import varint as padded_varint
from trio_esdb._protobuf import FIELD_LIMIT, LENGTH, VARINT, FieldReader, Malformed, field, read_varint, varint

many = settings(max_examples=400, suppress_health_check=list(HealthCheck))
TAG = bytes((1 << 3 | LENGTH,))
GROUP, END = padded_varint(31 << 3 | 3), padded_varint(31 << 3 | 4)


def read_all(raw: bytes, limit: int = FIELD_LIMIT) -> list[tuple[int, int, int | bytes]]:
    """Number, wire type and value of each field."""
    return [
        (number, kind, start if kind == VARINT else raw[start:end])
        for number, kind, start, end in FieldReader(raw, limit).fields(0, len(raw))
    ]


def read_by_google(raw: bytes) -> list[tuple[int, int, int | bytes]]:
    """The same from a message in which every field with a number above 1 is unknown."""
    message = BytesValue.FromString(b"\x0a\x00" + raw)
    found = []
    for each in UnknownFieldSet(message):
        data = each.data
        if each.wire_type in (1, 5):
            data = data.to_bytes(8 if each.wire_type == 1 else 4, "little")
        if each.wire_type != 3:
            found.append((each.field_number, each.wire_type, data))
    return found


@given(st.integers(0, 2**64 - 1))
@example(127)
@example(128)
@example(16383)
@example(16384)
def test_writing_numbers(value: int) -> None:
    raw = varint(value)
    assert b"\x08" + raw == (UInt64Value(value=value).SerializeToString() or b"\x08\x00")
    assert read_varint(b"x" + raw + b"x", 1, len(raw) + 2) == (value, len(raw) + 1)
    with pytest.raises(Malformed):
        read_varint(raw, 0, len(raw) - 1)


@given(st.integers(-(2**63), -1))
def test_writing_negative_numbers(value: int) -> None:
    assert b"\x08" + varint(value) == Int64Value(value=value).SerializeToString()


@given(st.integers(0, 2**64 - 1), st.integers(0, 12))
def test_numbers_may_be_longer_than_necessary(value: int, padding: int) -> None:
    raw = padded_varint(value, padding)
    if len(raw) > 10:
        with pytest.raises(Malformed):
            read_varint(raw, 0, len(raw))
        with pytest.raises(DecodeError):
            UInt64Value.FromString(b"\x08" + raw)
    else:
        assert read_varint(raw, 0, len(raw)) == (value, len(raw))
        assert UInt64Value.FromString(b"\x08" + raw).value == value


def test_bits_above_64_are_dropped() -> None:
    raw = b"\xff" * 9 + b"\x7f"
    assert read_varint(raw, 0, 10) == (2**64 - 1, 10)
    assert UInt64Value.FromString(b"\x08" + raw).value == 2**64 - 1


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 3_000_000])
def test_writing_fields(size: int) -> None:
    payload = b"x" * size
    assert field(0x0A, payload) == (BytesValue(value=payload).SerializeToString() or b"\x0a\x00")


FIELDS = st.one_of(
    UNKNOWN,
    st.builds(number, st.integers(2, 2**29 - 1), st.integers(0, 2**64 - 1), st.integers(0, 3)),
    st.builds(block, st.integers(2, 2**29 - 1), st.binary(max_size=200)),
)


@given(st.lists(FIELDS, max_size=5) | st.lists(FIELDS | BROKEN | st.binary(max_size=6), max_size=4))
@example([GROUP * 100, END * 100])
@example([GROUP * 101, END * 101])
@example([GROUP, b"\x00\x01", END])
@example([b"\x02\x00"])
@many
def test_reading_fields(fields: list[bytes]) -> None:
    raw = b"".join(fields)
    try:
        expected = read_by_google(raw)
    except DecodeError:
        with pytest.raises(Malformed):
            read_all(raw)
        return
    assert [each for each in read_all(raw) if each[0] != 1 or each[1] != LENGTH] == expected


def test_a_part_of_the_data_is_read() -> None:
    raw = b"\x80\x80" + block(3, b"abc") + number(4, 300) + b"\x80\x80"
    assert list(FieldReader(raw).fields(2, len(raw) - 2)) == [(3, LENGTH, 4, 7), (4, VARINT, 300, 10)]
    with pytest.raises(Malformed, match="field 3 ends beyond the end"):
        list(FieldReader(raw).fields(2, 6))


def test_numbers_are_not_looked_at_where_all_fields_are_skipped() -> None:
    assert Empty.FromString(b"\x00\x05").ByteSize() == 2
    assert list(FieldReader(b"\x00\x05").fields(0, 2, any_number=True)) == [(0, VARINT, 5, 2)]
    with pytest.raises(Malformed, match="number 0"):
        list(FieldReader(b"\x00\x05").fields(0, 2))


@pytest.mark.parametrize(
    "unit", [b"\x78\x00", b"\x12\x00", number(500, 7), b"\x7d1234", GROUP + END], ids=["1", "2", "3", "4", "group"]
)
def test_the_number_of_fields_is_limited(unit: bytes) -> None:
    each = 2 if unit == GROUP + END else 1
    assert len(read_all(unit * (20 // each), limit=20)) == (0 if each == 2 else 20)
    with pytest.raises(Malformed, match="more than 20 fields"):
        read_all(unit * 1_000_000, limit=20)


def test_the_limit_holds_for_all_parts_of_a_message_together() -> None:
    raw = number(2, 1) * 30
    reader = FieldReader(raw, 25)
    for at in (0, 20):
        assert len(list(reader.fields(at, at + 20))) == 10
    with pytest.raises(Malformed, match="more than 25 fields"):
        list(reader.fields(40, 60))


def test_parts_of_a_message() -> None:
    raw = number(2, 1) + b"\x08"
    reader = FieldReader(raw)
    assert reader.merged([]) == b""
    assert reader.merged([(2, 3)]) == b"\x08"
    assert reader.merged([(0, 2), (0, 2)]) == number(2, 1) * 2
    with pytest.raises(Malformed):  # what one part lacks the next may not supply
        reader.merged([(2, 3), (0, 2)])
