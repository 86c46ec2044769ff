"""HTTP/2 frames as bytes (RFC 9113, sections 4 and 6): the numbers, and how to build frames.

They are taken apart in ``_connection``.
"""

from __future__ import annotations

import struct
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

FLAG_END_STREAM = FLAG_ACK = 0x1
FLAG_END_HEADERS = 0x4
FLAG_PADDED = 0x8
FLAG_PRIORITY = 0x20

HEAD = struct.Struct(">HBBBI")
"""The first nine bytes of a frame: length (two bytes and one), type, flags, stream number."""

HEAD_SIZE = 9
MAX_WINDOW = 2**31 - 1
MAX_STREAM_ID = 2**31 - 1

_pack_head = HEAD.pack
_pack_two = struct.Struct(">HBBBII").pack
_pack_goaway = struct.Struct(">II").pack


class Code(IntEnum):
    """Error codes of RST_STREAM and GOAWAY (RFC 9113, section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


def code_name(code: int) -> str:
    """The name of an error code, or its number where RFC 9113 has none."""
    return Code(code).name if 0 <= code <= 13 else f"error {code}"


def head(size: int, kind: int, flags: int, stream_id: int) -> bytes:
    """The nine bytes in front of a payload of this size."""
    return _pack_head(size >> 8, size & 0xFF, kind, flags, stream_id)


def rst_stream(stream_id: int, code: int) -> bytes:
    """A whole RST_STREAM frame."""
    return _pack_two(0, 4, RST_STREAM, 0, stream_id, code)


def window_update(stream_id: int, increment: int) -> bytes:
    """A whole WINDOW_UPDATE frame; stream 0 is the connection."""
    return _pack_two(0, 4, WINDOW_UPDATE, 0, stream_id, increment)


def ping(payload: bytes, flags: int = 0) -> bytes:
    """A whole PING frame."""
    return head(8, PING, flags, 0) + payload


def goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    """A whole GOAWAY frame."""
    return head(8 + len(debug), GOAWAY, 0, 0) + _pack_goaway(last_stream_id, code) + debug


def header_frames(stream_id: int, block: bytes, end_stream: bool, max_size: int) -> bytes:
    """A header block as one HEADERS frame, with CONTINUATION frames where it is larger than a frame may be."""
    flags = FLAG_END_STREAM if end_stream else 0
    if len(block) <= max_size:
        return head(len(block), HEADERS, flags | FLAG_END_HEADERS, stream_id) + block
    parts = []
    kind = HEADERS
    for start in range(0, len(block), max_size):
        piece = block[start : start + max_size]
        if start + max_size >= len(block):
            flags |= FLAG_END_HEADERS
        parts += [head(len(piece), kind, flags, stream_id), piece]
        kind, flags = CONTINUATION, 0
    return b"".join(parts)
