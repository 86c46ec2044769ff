"""Protobuf's variable-length integers and length-delimited fields, for codecs written by hand."""

from __future__ import annotations

UNKNOWN_POSITION = 2**64 - 1
"""What servers write for a position that they do not know."""

_ONE_BYTE = [bytes((n,)) for n in range(128)]


def varint(value: int) -> bytes:
    """A non-negative integer as a varint."""
    if value < 128:
        return _ONE_BYTE[value]
    if value < 16384:
        return b"%c%c" % (value & 127 | 128, value >> 7)
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


def read_varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number at ``at`` and the place of its last byte.

    IndexError if it does not end in ``raw``, OverflowError if it is longer or greater than 64 bits allow.
    """
    value = more = raw[at]
    shift = 7
    while more > 127:
        at += 1
        more = raw[at]
        value += (more - 1) << shift  # the continuation bit of the byte before goes
        shift += 7
        if value > 2**64 - 1:
            raise OverflowError
    return value, at
