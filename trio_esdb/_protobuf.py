"""Protobuf's wire format: variable-length integers and fields, for code that reads and writes messages by hand.

A message is a sequence of fields. A field begins with a tag, a varint that holds the field's number and its wire type
(``number << 3 | wire_type``). The wire type tells how long the value is: VARINT carries an integer in up to ten bytes
of seven bits each, FIXED64 and FIXED32 have eight and four bytes, and LENGTH has a varint with the size of the text,
bytes or message that follows. A group is what stands between two tags of the types GROUP and END_GROUP; no message of
EventStoreDB has one.

What any reader must do, and ``FieldReader`` does or makes possible:

- Fields come in any order. A field with an unknown number, or with a known number and another wire type, is skipped.
  So is a group.
- A varint may be longer than necessary. Bits above the 64th are dropped.
- If a field that is not a list comes several times, the last value counts; of the members of a oneof, the last that
  came. Messages are not replaced but merged, which is the same as reading their bytes one after the other.

Reading costs time for each field, and the smallest field takes two bytes. A message of 16 MiB could therefore keep a
reader busy for seconds, and nothing else would run meanwhile. A ``FieldReader`` takes only a limited number of fields,
counted over the whole message with the messages inside. Each caller sets a limit that no useful message reaches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
"""The wire types."""

FIELD_LIMIT = 1000
"""The number of fields that a reader takes if its caller does not say otherwise."""

_MASK = 2**64 - 1
_LARGEST_TAG = 2**32 - 1
_SMALLEST_TAG = 1 << 3
_DEEPEST_GROUP = 100
_ONE_BYTE = [bytes((value,)) for value in range(128)]


class Malformed(ValueError):
    """The bytes are not a protobuf message, or not one that a reader takes. The text says what is wrong."""


# -- writing -----------------------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    """Encode an integer as a varint.

    Args:
        value: From 0 to 2**64 - 1, or a negative number down to -2**63, which is written as int64 writes it.
    """
    if 0 <= value < 128:
        return _ONE_BYTE[value]
    if 0 < value < 16384:
        return b"%c%c" % (value & 127 | 128, value >> 7)
    value &= _MASK
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(tag: int, payload: bytes) -> bytes:
    """Encode a field of the wire type LENGTH.

    Args:
        tag: The field's number times eight plus LENGTH. It must be below 128, so the number below 16.
        payload: The text, bytes or message.
    """
    size = len(payload)
    if size < 128:
        return b"%c%c%s" % (tag, size, payload)
    return b"%c%s%s" % (tag, varint(size), payload)


# -- reading -----------------------------------------------------------------------------------------------------------


def read_varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """Read the varint at ``at``.

    Returns:
        The value, without what exceeds 64 bits, and the place after the varint.

    Raises:
        Malformed: The varint does not end before ``stop`` or within ten bytes.
    """
    if at < stop:
        value = byte = data[at]
        at += 1
        shift = 7
        while byte > 127 and at < stop and shift < 70:
            byte = data[at]
            at += 1
            value += byte - 1 << shift  # this 1 takes away the continuation bit of the byte before
            shift += 7
        if byte < 128:
            return value & _MASK, at
    raise Malformed("a varint has no end")


def _read_short_varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """Read a tag or a size, which has at most five bytes."""
    return read_varint(data, at, min(stop, at + 5))


class FieldReader:
    """Reads the fields of one message, and of the messages inside it.

    Args:
        data: The bytes in which the message is.
        limit: The number of fields to read at most, all calls together.
    """

    __slots__ = ("_data", "_left", "_limit")

    def __init__(self, data: bytes, limit: int = FIELD_LIMIT) -> None:
        self._data = data
        self._limit = self._left = limit

    def fields(self, at: int, stop: int, *, any_number: bool = False) -> Iterator[tuple[int, int, int, int]]:
        """Iterate over the fields of the message in ``data[at:stop]``. Groups are skipped.

        Args:
            at: Where the message begins.
            stop: Where it ends.
            any_number: Whether fields may have the number 0. Protobuf does not look at the numbers in a message
                whose class has no fields.

        Yields:
            Number, wire type, and two integers: for VARINT the value and the place after the field, else the places
            where the payload begins and ends.

        Raises:
            Malformed: The fields do not fill ``data[at:stop]``, or there are more of them than the limit.
        """
        data = self._data
        groups: list[int] = []
        while at < stop:
            self._left -= 1
            if self._left < 0:
                raise self._too_many()
            tag = data[at]
            at += 1
            if tag > 127:
                tag, at = _read_short_varint(data, at - 1, stop)
                if tag > _LARGEST_TAG:
                    raise Malformed(f"a field has the number {tag >> 3}")
            if tag < _SMALLEST_TAG and not (groups or any_number):
                raise Malformed("a field has the number 0")
            kind = tag & 7
            if kind == VARINT:
                value, at = read_varint(data, at, stop)
                if not groups:
                    yield tag >> 3, VARINT, value, at
                continue
            if kind == LENGTH:
                size, at = _read_short_varint(data, at, stop)
            elif kind == FIXED64:
                size = 8
            elif kind == FIXED32:
                size = 4
            elif kind == GROUP and len(groups) < _DEEPEST_GROUP:
                groups.append(tag >> 3)
                continue
            elif kind == END_GROUP and groups and groups[-1] == tag >> 3:
                groups.pop()
                continue
            else:
                raise Malformed(f"field {tag >> 3} has the wire type {kind}, which has no meaning there")
            begin, at = at, at + size
            if at > stop:
                raise Malformed(f"field {tag >> 3} ends beyond the end of its message")
            if not groups:
                yield tag >> 3, kind, begin, at
        if groups:
            raise Malformed(f"the group {groups[-1]} has no end")

    def count(self, values: int) -> None:
        """Count the values of a list that came in one field like fields of their own.

        Raises:
            Malformed: They are more than the limit allows.
        """
        self._left -= values
        if self._left < 0:
            raise self._too_many()

    def _too_many(self) -> Malformed:
        return Malformed(f"it has more than {self._limit} fields")

    def merged(self, parts: Sequence[tuple[int, int]]) -> bytes:
        """Return a message that came in parts: as several fields of the same number.

        Args:
            parts: Begin and end of each part. A single part is returned as it is, without a check.

        Raises:
            Malformed: One of several parts is no message of its own.
        """
        data = self._data
        if len(parts) == 1:
            begin, end = parts[0]
            return data[begin:end]
        for begin, end in parts:
            for _ in self.fields(begin, end):
                pass
        return b"".join([data[begin:end] for begin, end in parts])
