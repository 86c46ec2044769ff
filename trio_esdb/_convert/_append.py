"""Encodes append requests straight from values to bytes: the hot path of writing.

The layouts are those of ``AppendReq`` in ``protos/streams.proto``. Tests hold the bytes equal to betterproto2's.

Some parts are encoded once and kept: programs write the same few streams, types and sizes again and again. Only short
texts are kept, so that what is kept has a bound in bytes and not only in number.
"""

from __future__ import annotations

from binascii import b2a_hex
from functools import lru_cache

from trio_esdb._model import NewEvent
from trio_esdb._protobuf import field, varint

_OPTIONS, _PROPOSED = 0x0A, 0x12
_IDENTIFIER, _NAME = 0x0A, 0x1A
_REVISION, _NO_STREAM, _ANY, _EXISTS = b"\x10", b"\x1a\x00", b"\x22\x00", b"\x2a\x00"
_METADATA, _CUSTOM_METADATA, _DATA = 0x12, 0x1A, 0x22
_KEY, _VALUE = 0x0A, 0x12
_ID_SIZE = 40
_LONGEST_KEPT = 128
"""The longest text, in characters, whose encoding is kept."""

ANY, NO_STREAM, EXISTS = -2, -1, -4
"""Expected revisions besides the numbers from 0, as servers count them inside."""


def append_options(stream_name: str, expected: int) -> bytes:
    """Encode the first message of an append.

    Args:
        stream_name: The stream to append to.
        expected: The expected revision: a number from 0, ANY, NO_STREAM or EXISTS.
    """
    if len(stream_name) > _LONGEST_KEPT or expected >= 0:
        return _encode_options(stream_name, expected)
    return _kept_options(stream_name, expected)


def _encode_options(stream_name: str, expected: int) -> bytes:
    if expected >= 0:
        revision = _REVISION + varint(expected)
    else:
        revision = _ANY if expected == ANY else _NO_STREAM if expected == NO_STREAM else _EXISTS
    return field(_OPTIONS, field(_IDENTIFIER, field(_NAME, stream_name.encode())) + revision)


_kept_options = lru_cache(maxsize=1024)(_encode_options)


def proposed_message(event: NewEvent) -> bytes:
    """Encode a further message of an append: one event. Its data are copied once, into the result."""
    id = b2a_hex(event.id.int.to_bytes(16), b"-", 2)  # two hyphens more than a UUID's text has
    kind, custom, data = event.type, event.metadata, event.data
    encode = _kept_system_metadata if len(kind) <= _LONGEST_KEPT else _encode_system_metadata
    system = encode(kind, event.content_type)
    custom_head = _custom_metadata_head(len(custom)) if custom else b""
    data_head = _data_head(len(data)) if data else b""
    size = _ID_SIZE + len(system) + len(custom_head) + len(custom) + len(data_head) + len(data)
    return b"".join(
        (_proposed_head(size), id[:4], id[5:29], id[30:34], id[35:], system, custom_head, custom, data_head, data)
    )


# What stands before a payload depends on its size alone.


@lru_cache(maxsize=1024)
def _proposed_head(size: int) -> bytes:
    return b"%c%b\x0a\x26\x12\x24" % (_PROPOSED, varint(size))


@lru_cache(maxsize=1024)
def _custom_metadata_head(size: int) -> bytes:
    return b"%c%b" % (_CUSTOM_METADATA, varint(size))


@lru_cache(maxsize=1024)
def _data_head(size: int) -> bytes:
    return b"%c%b" % (_DATA, varint(size))


def _encode_system_metadata(event_type: str, content_type: str) -> bytes:
    """Encode the map of ``type`` and ``content-type``."""
    return b"".join(
        field(_METADATA, field(_KEY, key.encode()) + field(_VALUE, value.encode()))
        for key, value in (("type", event_type), ("content-type", content_type))
    )


_kept_system_metadata = lru_cache(maxsize=1024)(_encode_system_metadata)
