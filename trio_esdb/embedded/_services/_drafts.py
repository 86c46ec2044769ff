"""Proposed events as they come over the wire, before anybody has checked them.

A write of many events spends its time here, so this is read by hand: in one loop what clients write as a rule, and by
``read_fields`` whatever else is lawful protobuf (fields in another order, twice, unknown). Where a message occurs
twice it is merged, which is to read both as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from .._dotnet._guids import NONE, BadGuid, from_halves, parse_guid
from .._store import Proposal
from ._protobuf import LENGTH, VARINT, Malformed, read_fields, read_varint

_JSON = "application/json"
_TAGS = b"\x0a\x12\x1a\x22"


@dataclass(slots=True)
class WireId:
    """An id as it was sent: text, two halves, or neither."""

    text: str | None = None
    halves: tuple[int, int] | None = None

    def value(self) -> int:
        """The id; BadGuid, with .NET's words, where it is none."""
        if self.text is not None:
            return parse_guid(self.text)
        if self.halves is not None:
            return from_halves(*self.halves)
        raise BadGuid("Invalid argument: None (Parameter 'dto')")


def id_of(wire: WireId | None) -> int:
    """The id that was sent; BadGuid, with .NET's words, where there is none."""
    if wire is None:
        raise BadGuid("Value cannot be null. (Parameter 'dto')")
    return wire.value()


@dataclass(slots=True)
class Draft:
    """A proposed event; whatever is None was not sent."""

    id: WireId | None
    type: str | None
    content_type: str | None
    metadata: bytes
    data: bytes

    @property
    def size(self) -> int:
        """The bytes that count towards the limit of an append: data, metadata, two for each UTF-16 unit of the type."""
        kind = self.type or ""
        units = len(kind) if kind.isascii() else len(kind.encode("utf-16-le")) // 2
        return len(self.data) + len(self.metadata) + 2 * units

    def accept(self) -> Proposal:
        """The event to be written; BadGuid, with .NET's words, for an id or a type that is none."""
        identity = id_of(self.id)
        assert self.type is not None
        if identity == NONE:
            raise BadGuid("Empty eventId provided. (Parameter 'eventId')")
        if not self.type:
            raise BadGuid("Empty eventType provided. (Parameter 'eventType')")
        return Proposal(identity, self.type, self.data, self.metadata, self.content_type == _JSON)


@lru_cache(maxsize=1024)
def _text(raw: bytes) -> str:
    """A type or content type: remembered, so that events of a type share the text."""
    return raw.decode("utf-8", "replace")


def read_draft(data: bytes, at: int, stop: int) -> Draft:
    """The proposed event in this part of a message. Malformed where it is no protobuf."""
    start = at
    identity: WireId | None = None
    kind = content_type = None
    metadata = body = b""
    try:
        while at < stop:
            tag = data[at]
            if tag not in _TAGS:
                return _read_any(data, start, stop)
            size = data[at + 1]
            at += 2
            if size > 0x7F:
                size, at = read_varint(data, at - 1, stop)
            end = at + size
            if end > stop:
                raise Malformed
            if tag == 0x12:
                # A map entry: the key (shorter than 128 bytes), the value.
                middle = at + 2 + data[at + 1] if size >= 4 else end
                if middle + 1 >= end or data[at] != 0x0A or data[middle] != 0x12:
                    return _read_any(data, start, stop)
                length = data[middle + 1]
                begin = middle + 2
                if length > 0x7F:
                    length, begin = read_varint(data, middle + 1, end)
                if begin + length != end:
                    return _read_any(data, start, stop)
                key = data[at + 2 : middle]
                if key == b"type":
                    kind = _text(data[begin:end])
                elif key == b"content-type":
                    content_type = _text(data[begin:end])
            elif tag == 0x22:
                body = data[at:end]
            elif tag == 0x1A:
                metadata = data[at:end]
            elif size == 38 and data[at : at + 2] == b"\x12\x24" and identity is None:
                identity = WireId(data[at + 2 : end].decode("utf-8", "replace"))
            else:
                return _read_any(data, start, stop)
            at = end
    except IndexError:
        raise Malformed from None
    return Draft(identity, kind, content_type, metadata, body)


def _read_any(data: bytes, at: int, stop: int) -> Draft:
    identity = None
    properties: dict[str, str] = {}
    metadata = body = b""
    for number, wire, start, end in read_fields(data, at, stop):
        if wire != LENGTH:
            continue
        if number == 1:
            identity = (identity or b"") + data[start:end]
        elif number == 2:
            key = value = b""
            for part, kind, first, last in read_fields(data, start, end):
                if kind == LENGTH and part == 1:
                    key = data[first:last]
                elif kind == LENGTH and part == 2:
                    value = data[first:last]
            properties[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        elif number == 3:
            metadata = data[start:end]
        elif number == 4:
            body = data[start:end]
    return Draft(
        None if identity is None else read_id(identity, 0, len(identity)),
        properties.get("type"),
        properties.get("content-type"),
        metadata,
        body,
    )


def read_id(data: bytes, at: int, stop: int) -> WireId:
    """The id in this part of a message. Malformed where it is no protobuf."""
    found = WireId()
    for number, wire, start, end in read_fields(data, at, stop):
        if number == 2 and wire == LENGTH:
            found = WireId(data[start:end].decode("utf-8", "replace"))
        elif number == 1 and wire == LENGTH:
            most, least = found.halves or (0, 0)
            for part, kind, value, _ in read_fields(data, start, end):
                if kind == VARINT and part == 1:
                    most = value
                elif kind == VARINT and part == 2:
                    least = value
            found = WireId(halves=(most, least))
    return found
