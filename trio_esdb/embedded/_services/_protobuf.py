"""Protobuf by hand, for the few messages that pass in great numbers."""

from __future__ import annotations

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


class Malformed(Exception):
    """Bytes that are no protobuf message."""


def varint(value: int) -> bytes:
    """An unsigned number, or a negative one as int64 writes it."""
    if 0 <= value < 0x80:
        return _SMALL[value]
    if value < 0:
        value += 1 << 64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL = [bytes([value]) for value in range(0x80)]


def read_varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """A number and where it ends. Numbers beyond 64 bits lose what is above, as everywhere in protobuf."""
    result = shift = 0
    while at < stop and shift < 70:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise Malformed


def read_fields(data: bytes, at: int, stop: int) -> list[tuple[int, int, int, int]]:
    """The fields of a message: number, wire type, and the number or where the bytes begin, and where they end."""
    fields = []
    while at < stop:
        tag, at = read_varint(data, at, stop)
        kind = tag & 7
        if kind == VARINT:
            value, at = read_varint(data, at, stop)
            fields.append((tag >> 3, kind, value, at))
            continue
        if kind == LENGTH:
            size, at = read_varint(data, at, stop)
        elif kind == FIXED64:
            size = 8
        elif kind == FIXED32:
            size = 4
        else:
            raise Malformed
        if size > stop - at:
            raise Malformed
        fields.append((tag >> 3, kind, at, at + size))
        at += size
    return fields


def field(tag: int, content: bytes) -> bytes:
    """A length-delimited field; ``tag`` holds number and wire type and is below 128."""
    return b"%c%s%s" % (tag, varint(len(content)), content)
