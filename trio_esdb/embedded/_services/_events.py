"""Encodes recorded events and the other messages of a read.

Most readers want the same message for a record: with its id as text, and without a link. A small record keeps that
message, so that sending it again costs nothing. Other forms are composed of parts of it.
"""

from __future__ import annotations

from collections.abc import Callable

from trio_esdb._protobuf import field, read_varint, varint

from .._dotnet._guids import guid_text, to_halves
from .._store import LINK_TYPE, MalformedLink, Record
from ._expectations import END

_KEPT_SIZE = 4096
_TEXT_ID = 40
"""The size of an id as text, with its field, in bytes."""

_JSON = b"\x32\x20\x0a\x0ccontent-type\x12\x10application/json"
_BYTES = b"\x32\x28\x0a\x0ccontent-type\x12\x18application/octet-stream"


def event_message(record: Record) -> bytes:
    """Encode a record as ReadResp, with its id as text."""
    message = record.encoded
    if message is None:
        position = varint(record.position)
        body = _body(record, position if record.position else b"")
        head = b"\x0a" + varint(len(body))
        size = varint(len(head) + len(body) + 1 + len(position))
        message = b"".join((b"\x0a", size, head, body, b"\x18", position))
        if len(message) <= _KEPT_SIZE:
            record.encoded = message
    return message


def _body(record: Record, position: bytes) -> bytes:
    """Encode a record as RecordedEvent, with its id as text and at this position, which is empty for the position 0."""
    return b"".join(
        (
            b"\x0a\x26\x12\x24",
            guid_text(record.id),
            field(0x12, field(0x1A, record.stream.encode())),
            b"\x18" + varint(record.number) if record.number else b"",
            b"\x20" + position + b"\x28" + position if position else b"",
            field(0x32, b"\x0a\x04type" + field(0x12, record.type.encode())),
            field(0x32, b"\x0a\x07created" + field(0x12, b"%d" % record.created)),
            _JSON if record.is_json else _BYTES,
            field(0x3A, record.metadata) if record.metadata else b"",
            field(0x42, record.data) if record.data else b"",
        )
    )


def recorded_event_at(record: Record, position: int, *, text_id: bool) -> bytes:
    """Encode a record as RecordedEvent, as if it were at this position of the log."""
    if position == record.position:
        return recorded_event(record) if text_id else recorded_event_in_halves(record)
    body = _body(record, varint(position) if position else b"")
    return body if text_id else _id_in_halves(record) + body[_TEXT_ID:]


def recorded_event(record: Record) -> bytes:
    """Encode a record as RecordedEvent, with its id as text."""
    message = event_message(record)
    _, at = read_varint(message, 1, len(message))
    size, at = read_varint(message, at + 1, len(message))
    return message[at : at + size]


def recorded_event_in_halves(record: Record) -> bytes:
    """Encode a record as RecordedEvent, with its id as two numbers."""
    return _id_in_halves(record) + recorded_event(record)[_TEXT_ID:]


def _id_in_halves(record: Record) -> bytes:
    most, least = to_halves(record.id)
    halves = (b"\x08" + varint(most) if most else b"") + (b"\x10" + varint(least) if least else b"")
    return field(0x0A, field(0x0A, halves))


class EventEncoder:
    """Encodes records as one reader asked for them: with ids as text or numbers, with links resolved or not."""

    __slots__ = ("_encode", "_resolve", "_text_ids")

    def __init__(self, *, text_ids: bool, resolve: Callable[[Record], Record | None] | None) -> None:
        self._text_ids = text_ids
        self._encode = recorded_event if text_ids else recorded_event_in_halves
        self._resolve = resolve

    def message(self, record: Record, *, live: bool = False) -> bytes:
        """Encode a record as ReadResp.

        A link whose data is not the address of an event is sent like other events by reads, but like a link to a
        missing event by subscriptions that are live.
        """
        if self._resolve is not None and record.type == LINK_TYPE:
            try:
                target = self._resolve(record)
            except MalformedLink:
                if live:
                    return self._linked(record, None)
            else:
                return self._linked(record, target)
        if self._text_ids:
            return event_message(record)
        return _placed(field(0x0A, recorded_event_in_halves(record)), record.position)

    def _linked(self, link: Record, target: Record | None) -> bytes:
        event = b"" if target is None else field(0x0A, self._encode(target))
        return _placed(event + field(0x12, self._encode(link)), link.position)


def _placed(content: bytes, position: int) -> bytes:
    return field(0x0A, content + b"\x18" + varint(position))


def confirmation(subscription_id: str) -> bytes:
    """Encode the first message of a subscription."""
    return field(0x12, field(0x0A, subscription_id.encode()))


CAUGHT_UP = b"\x42\x00"
"""The message of a subscription that becomes live."""


def checkpoint(commit: int, prepare: int) -> bytes:
    """Encode the position up to which a filtered subscription has read; -1 twice if it has read nothing."""
    commit, prepare = commit & END, prepare & END
    return field(0x1A, (b"\x08" + varint(commit) if commit else b"") + (b"\x10" + varint(prepare) if prepare else b""))


def stream_not_found(stream: str) -> bytes:
    """Encode the answer to a read of a stream that has no events or is soft deleted."""
    name = stream.encode()
    return field(0x22, field(0x0A, field(0x1A, name) if name else b""))


def first_stream_position(number: int) -> bytes:
    """Encode the number at which reading continues after a page without events."""
    return b"\x28" + varint(number)


def last_stream_position(number: int) -> bytes:
    """Encode the number of a stream's last event."""
    return b"\x30" + varint(number)
