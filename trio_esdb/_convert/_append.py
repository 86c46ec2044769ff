"""Append requests, straight from values to bytes: the hot way of writing.

The layouts are those of ``AppendReq`` in ``protos/streams.proto``. Tests hold the bytes equal to betterproto2's.
"""

from __future__ import annotations

from binascii import b2a_hex
from functools import lru_cache

from trio_esdb._model import NewEvent

from ._varint import field, varint

_OPTIONS, _PROPOSED = 0x0A, 0x12
_IDENTIFIER, _NAME = 0x0A, 0x1A
_REVISION, _NO_STREAM, _ANY, _EXISTS = b"\x10", b"\x1a\x00", b"\x22\x00", b"\x2a\x00"
_METADATA, _CUSTOM_METADATA, _DATA = 0x12, 0x1A, 0x22
_KEY, _VALUE = 0x0A, 0x12
_ID_SIZE = 40

ANY, NO_STREAM, EXISTS = -2, -1, -4
"""Expected revisions besides the numbers from 0, as a server counts them inside."""


@lru_cache(maxsize=1024)
def append_options(stream_name: str, expected: int) -> bytes:
    """The first message of an append: which stream, and where it is expected to be."""
    if expected >= 0:
        revision = _REVISION + varint(expected)
    else:
        revision = _ANY if expected == ANY else _NO_STREAM if expected == NO_STREAM else _EXISTS
    return field(_OPTIONS, field(_IDENTIFIER, field(_NAME, stream_name.encode())) + revision)


def proposed_message(event: NewEvent) -> bytes:
    """A further message of an append: one event. Its data are copied once, into this."""
    id = b2a_hex(event.id.int.to_bytes(16), b"-", 2)  # two hyphens more than a UUID's text has
    system, custom, data = _system_metadata(event.type, event.content_type), event.metadata, event.data
    custom_head = _custom_metadata_head(len(custom)) if custom else b""
    data_head = _data_head(len(data)) if data else b""
    size = _ID_SIZE + len(system) + len(custom_head) + len(custom) + len(data_head) + len(data)
    return b"".join(
        (_proposed_head(size), id[:4], id[5:29], id[30:34], id[35:], system, custom_head, custom, data_head, data)
    )


# What stands before a payload depends on its size alone, and a program's events have the same few sizes.


@lru_cache(maxsize=1024)
def _proposed_head(size: int) -> bytes:
    return b"%c%b\x0a\x26\x12\x24" % (_PROPOSED, varint(size))


@lru_cache(maxsize=1024)
def _custom_metadata_head(size: int) -> bytes:
    return b"%c%b" % (_CUSTOM_METADATA, varint(size))


@lru_cache(maxsize=1024)
def _data_head(size: int) -> bytes:
    return b"%c%b" % (_DATA, varint(size))


@lru_cache(maxsize=1024)
def _system_metadata(event_type: str, content_type: str) -> bytes:
    """The map of ``type`` and ``content-type``: a program writes the same few again and again."""
    return b"".join(
        field(_METADATA, field(_KEY, key.encode()) + field(_VALUE, value.encode()))
        for key, value in (("type", event_type), ("content-type", content_type))
    )
