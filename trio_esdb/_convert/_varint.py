"""Protobuf's variable-length integers and length-delimited fields, for codecs written by hand."""

from __future__ import annotations

_ONE_BYTE = [bytes((n,)) for n in range(128)]


def varint(value: int) -> bytes:
    """A non-negative integer as a varint."""
    if value < 128:
        return _ONE_BYTE[value]
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(tag: int, payload: bytes) -> bytes:
    """A length-delimited field; the tag is one byte, field number times eight plus two."""
    size = len(payload)
    if size < 128:
        return b"%c%c%s" % (tag, size, payload)
    return b"%c%s%s" % (tag, varint(size), payload)
