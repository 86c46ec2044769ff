"""Encodes requests other than appends by hand too: filling a generated class takes twenty times as long.

The layouts are those of ``ReadReq``, ``DeleteReq`` and ``TombstoneReq`` in ``protos/streams.proto``.
"""

from __future__ import annotations

from trio_esdb._model import Filter
from trio_esdb._protobuf import field, varint

from ._append import append_options

NO_LIMIT = 2**64 - 1
"""The count of a read that ends where its stream ends."""

_BACKWARDS, _RESOLVE_LINKS = b"\x18\x01", b"\x20\x01"
_COUNT, _SUBSCRIPTION = b"\x28", b"\x32\x00"
_NO_FILTER = b"\x42\x00"
_IDS_AS_TEXT = b"\x4a\x02\x12\x00"
_TELL_POSITIONS = b"\x52\x02\x08\x01"


def read_stream_request(
    stream_name: str,
    *,
    position: int | None,
    backwards: bool = False,
    resolve_links: bool = False,
    limit: int | None,
    from_end: bool = False,
    tell_last_position: bool = False,
) -> bytes:
    """Encode a read of a stream or a subscription to it.

    Args:
        stream_name: The stream.
        position: The position of the first event to read. None is the stream's start, or its end if ``backwards``.
            A subscription gives the events after this position.
        backwards: Whether to read from later to earlier events.
        resolve_links: Whether the server gives the events that links point to.
        limit: The number of events to read, NO_LIMIT for all. None makes a subscription.
        from_end: Whether a ``position`` of None is the stream's end.
        tell_last_position: Whether the server gives the position of the stream's last event after a read.
    """
    if position is not None:
        where = b"\x10" + varint(position)
    elif backwards or from_end:
        where = b"\x22\x00"
    else:
        where = b"\x1a\x00"
    stream = field(0x0A, field(0x0A, field(0x1A, stream_name.encode())) + where)
    last = _TELL_POSITIONS if tell_last_position else b""
    return field(0x0A, stream + _how(backwards, resolve_links, limit) + _NO_FILTER + _IDS_AS_TEXT + last)


def read_all_request(
    *,
    position: tuple[int, int] | None,
    backwards: bool = False,
    resolve_links: bool = False,
    limit: int | None,
    from_end: bool = False,
    filter: Filter | None = None,
) -> bytes:
    """Encode a read of all streams or a subscription to them.

    Args:
        position: Commit and prepare position at which to begin. None is the start of the log, or its end if
            ``backwards``. A subscription gives the events after this position.
        backwards: Whether to read from later to earlier events.
        resolve_links: Whether the server gives the events that links point to.
        limit: The number of events to read, NO_LIMIT for all. None makes a subscription.
        from_end: Whether a ``position`` of None is the end of the log.
        filter: Which events to give; None for all.
    """
    if position is not None:
        where = field(0x0A, _number(b"\x08", position[0]) + _number(b"\x10", position[1]))
    elif backwards or from_end:
        where = b"\x1a\x00"
    else:
        where = b"\x12\x00"
    wanted = _NO_FILTER if filter is None else field(0x3A, _filter(filter))
    return field(0x0A, field(0x12, where) + _how(backwards, resolve_links, limit) + wanted + _IDS_AS_TEXT)


def delete_request(stream_name: str, expected: int) -> bytes:
    """Encode a deletion or a tombstoning, which is the same as the first message of an append.

    Args:
        stream_name: The stream to delete.
        expected: The expected revision: a number from 0, ANY, NO_STREAM or EXISTS.
    """
    return append_options(stream_name, expected)


def _how(backwards: bool, resolve_links: bool, limit: int | None) -> bytes:
    count = _SUBSCRIPTION if limit is None else _COUNT + varint(limit)
    return (_BACKWARDS if backwards else b"") + (_RESOLVE_LINKS if resolve_links else b"") + count


def _filter(filter: Filter) -> bytes:
    expression = field(0x0A, filter.regex.encode()) if filter.regex else b""
    expression += b"".join(field(0x12, prefix.encode()) for prefix in filter.prefixes)
    return (
        field(0x0A if filter.by_stream_name else 0x12, expression)
        + b"\x18"
        + varint(filter.window)
        + _number(b"\x28", filter.interval)
    )


def _number(tag: bytes, value: int) -> bytes:
    """Encode a field with a number, which is left out if it is 0."""
    return tag + varint(value) if value else b""
