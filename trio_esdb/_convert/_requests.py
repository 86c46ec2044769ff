"""Requests other than appends, written by hand like those: a message class takes twenty times as long to fill.

The layouts are those of ``ReadReq``, ``DeleteReq`` and ``TombstoneReq`` in ``protos/streams.proto``.
"""

from __future__ import annotations

from trio_esdb._model import Filter

from ._append import append_options
from ._varint import field, varint

NO_LIMIT = 2**64 - 1

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
    """A read of a stream, or with ``limit`` None a subscription to it."""
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
    """A read of all streams, or with ``limit`` None a subscription to them; ``position`` is commit and prepare."""
    if position is not None:
        where = field(0x0A, _number(b"\x08", position[0]) + _number(b"\x10", position[1]))
    elif backwards or from_end:
        where = b"\x1a\x00"
    else:
        where = b"\x12\x00"
    wanted = _NO_FILTER if filter is None else field(0x3A, _filter(filter))
    return field(0x0A, field(0x12, where) + _how(backwards, resolve_links, limit) + wanted + _IDS_AS_TEXT)


def delete_request(stream_name: str, expected: int) -> bytes:
    """A deletion or a tombstoning: the same bytes as the first message of an append."""
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
    """A number, which is left out if it is 0."""
    return tag + varint(value) if value else b""
