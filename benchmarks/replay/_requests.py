"""What a read asks for, taken from its bytes without any generated code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

NO_LIMIT = 2**64 - 1


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """The name of the stream (or the first prefix of the filter), how many events, and whether it goes on for ever."""

    stream: str
    limit: int
    subscription: bool


def _fields(data: bytes) -> dict[int, bytes | int]:
    """The last value of each field: bytes, or a number."""
    found: dict[int, bytes | int] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == 2:
            found[tag >> 3] = data[at : at + value]
            at += value
        else:
            found[tag >> 3] = value
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _inner(fields: dict[int, bytes | int], *path: int) -> dict[int, bytes | int]:
    for number in path:
        value = fields.get(number, b"")
        fields = _fields(value) if isinstance(value, bytes) else {}
    return fields


@lru_cache(maxsize=256)
def read_request(message: bytes) -> ReadRequest:
    """A ReadReq, as far as a replay node cares."""
    options = _inner(_fields(message), 1)
    if 1 in options:
        name = _inner(options, 1, 1).get(3, b"")
    else:
        prefixes = _inner(options, 7, 1) or _inner(options, 7, 2)
        name = prefixes.get(2, b"")
    limit = options.get(5, NO_LIMIT)
    assert isinstance(name, bytes)
    assert isinstance(limit, int)
    return ReadRequest(name.decode(), limit, 6 in options)


@lru_cache(maxsize=256)
def consumed_stream(message: bytes) -> str:
    """The name of the stream in the first request of a consumer of a group."""
    name = _inner(_fields(message), 1, 1).get(3, b"")
    assert isinstance(name, bytes)
    return name.decode()
