"""Proposed events as they come over the wire, before they are checked.

A write of many events spends its time here, so this is decoded by hand: in one loop what clients usually write, and
with a ``FieldReader`` any other valid form (fields in another order, several times, unknown).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from trio_esdb._protobuf import LENGTH, VARINT, FieldReader, Malformed, read_varint

from .._dotnet._guids import NONE, BadGuid, from_halves, parse_guid
from .._store import Proposal

_JSON = "application/json"
_TAGS = b"\x0a\x12\x1a\x22"
_ID_AS_TEXT = b"\x12\x24"
"""The beginning of an id that is a text of 36 characters."""
_USUAL_FIELDS = 16
"""More than a client writes: an id, two entries of the map, metadata and data."""
_EVENT_FIELDS = 50
"""The number of fields that an event may have. A write may have very many events, so it is much lower than usual."""
_LONGEST_KEPT = 128
"""The longest encoded text, in bytes, that is kept."""


@dataclass(slots=True)
class WireId:
    """An id as it was sent: as text, as two halves, or empty."""

    text: str | None = None
    halves: tuple[int, int] | None = None

    def value(self) -> int:
        """Return the id.

        Raises:
            BadGuid: It is not an id. The text is .NET's.
        """
        if self.text is not None:
            return parse_guid(self.text)
        if self.halves is not None:
            return from_halves(*self.halves)
        raise BadGuid("Invalid argument: None (Parameter 'dto')")


def id_of(wire: WireId | None) -> int:
    """Return the id that was sent.

    Raises:
        BadGuid: None was sent, or it is not an id. The text is .NET's.
    """
    if wire is None:
        raise BadGuid("Value cannot be null. (Parameter 'dto')")
    return wire.value()


@dataclass(slots=True)
class Draft:
    """A proposed event. What is None was not sent."""

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
        """Return the event to be written. It must have a type and a content type.

        Raises:
            BadGuid: The id is missing or wrong, or the type is empty. The text is .NET's.
        """
        identity = id_of(self.id)
        assert self.type is not None
        if identity == NONE:
            raise BadGuid("Empty eventId provided. (Parameter 'eventId')")
        if not self.type:
            raise BadGuid("Empty eventType provided. (Parameter 'eventType')")
        return Proposal(identity, self.type, self.data, self.metadata, self.content_type == _JSON)


def _text(raw: bytes) -> str:
    """Decode a type or content type. Short ones are kept, so that the events of a type share one text."""
    return _kept_text(raw) if len(raw) <= _LONGEST_KEPT else raw.decode("utf-8", "replace")


@lru_cache(maxsize=1024)
def _kept_text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def read_draft(data: bytes, at: int, stop: int) -> Draft:
    """Decode the proposed event in ``data[at:stop]``.

    Raises:
        Malformed: It is not a protobuf message, or has too many fields.
    """
    start = at
    identity: WireId | None = None
    kind = content_type = None
    metadata = body = b""
    try:
        for _ in range(_USUAL_FIELDS):
            if at >= stop:
                break
            tag = data[at]
            if tag not in _TAGS:
                return _read_any(data, start, stop)
            size = data[at + 1]
            at += 2
            if size > 0x7F:
                size, at = read_varint(data, at - 1, stop)
            end = at + size
            if end > stop:
                raise Malformed("a field ends beyond the end of its message")
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
            elif size == 38 and data[at : at + 2] == _ID_AS_TEXT and identity is None:
                identity = WireId(data[at + 2 : end].decode("utf-8", "replace"))
            elif identity is None and (identity := _read_usual_id(data, at, end)) is not None:
                pass
            else:
                return _read_any(data, start, stop)
            at = end
        else:
            return _read_any(data, start, stop)
    except IndexError:
        raise Malformed("it ends inside a field") from None
    return Draft(identity, kind, content_type, metadata, body)


def _read_any(data: bytes, at: int, stop: int) -> Draft:
    reader = FieldReader(data, _EVENT_FIELDS)
    identity: list[tuple[int, int]] = []
    properties: dict[bytes, bytes] = {}
    metadata = body = b""
    for number, wire, start, end in reader.fields(at, stop):
        if wire != LENGTH:
            continue
        if number == 1:
            identity.append((start, end))
        elif number == 2:
            key = value = b""
            for part, kind, first, last in reader.fields(start, end):
                if kind == LENGTH and part == 1:
                    key = data[first:last]
                elif kind == LENGTH and part == 2:
                    value = data[first:last]
            properties[key] = value
        elif number == 3:
            metadata = data[start:end]
        elif number == 4:
            body = data[start:end]
    event_type, content_type = properties.get(b"type"), properties.get(b"content-type")
    return Draft(
        read_id(reader.merged(identity)) if identity else None,
        None if event_type is None else _text(event_type),
        None if content_type is None else _text(content_type),
        metadata,
        body,
    )


def _read_usual_id(data: bytes, at: int, stop: int) -> WireId | None:
    """Decode an id as clients write it: a text of 36 characters, or two halves. None for any other form."""
    if stop - at == 38 and data[at : at + 2] == _ID_AS_TEXT:
        return WireId(data[at + 2 : stop].decode("utf-8", "replace"))
    if stop - at < 6 or data[at] != 0x0A or data[at + 1] != stop - at - 2 or data[at + 2] != 0x08:
        return None
    most, at = read_varint(data, at + 3, stop)
    if at == stop or data[at] != 0x10:
        return None
    least, at = read_varint(data, at + 1, stop)
    return WireId(halves=(most, least)) if at == stop else None


def read_id(message: bytes) -> WireId:
    """Decode an id.

    Raises:
        Malformed: It is not a protobuf message, or has too many fields.
    """
    usual = _read_usual_id(message, 0, len(message))
    if usual is not None:
        return usual
    reader = FieldReader(message)
    found = WireId()
    for number, wire, start, end in reader.fields(0, len(message)):
        if number == 2 and wire == LENGTH:
            found = WireId(message[start:end].decode("utf-8", "replace"))
        elif number == 1 and wire == LENGTH:
            most, least = found.halves or (0, 0)
            for part, kind, value, _ in reader.fields(start, end):
                if kind == VARINT and part == 1:
                    most = value
                elif kind == VARINT and part == 2:
                    least = value
            found = WireId(halves=(most, least))
    return found
