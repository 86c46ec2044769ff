"""Recorded events and the other messages of a read, as bytes.

A small record keeps its encoded form, so that to send it again is to put a few bytes around it. The kept form has the
id as text, as most readers ask for it; the other form shares all that follows the id.
"""

from __future__ import annotations

from collections.abc import Callable

from .._store import MalformedLink, Record
from ._expectations import END
from ._guids import to_halves
from ._protobuf import field, varint

_KEPT_SIZE = 4096
_TEXT_ID = 40
"""The bytes that an id as text takes up, its field included."""

LINK_TYPE = "$>"
DELETED_TYPE = "$streamDeleted"

_JSON = b"\x32\x20\x0a\x0ccontent-type\x12\x10application/json"
_BYTES = b"\x32\x28\x0a\x0ccontent-type\x12\x18application/octet-stream"


def recorded_event(record: Record) -> bytes:
    """A record as RecordedEvent, its id as text."""
    encoded = record.encoded
    if encoded is not None:
        return encoded
    name = record.stream.encode()
    kind = record.type.encode()
    kind_entry = b"\x0a\x04type" + field(0x12, kind)
    created = b"\x0a\x07created" + field(0x12, b"%d" % record.created)
    parts = [
        b"\x0a\x26\x12\x24",
        str(record.id).encode(),
        field(0x12, field(0x1A, name) if name else b""),
        b"\x18" + varint(record.number) if record.number else b"",
        b"\x20" + varint(record.position) + b"\x28" + varint(record.position) if record.position else b"",
        field(0x32, kind_entry),
        field(0x32, created),
        _JSON if record.is_json else _BYTES,
        field(0x3A, record.metadata) if record.metadata else b"",
        field(0x42, record.data) if record.data else b"",
    ]
    encoded = b"".join(parts)
    if len(encoded) <= _KEPT_SIZE:
        record.encoded = encoded
    return encoded


def with_halves(record: Record) -> bytes:
    """A record as RecordedEvent, its id as two numbers."""
    most, least = to_halves(record.id)
    halves = (b"\x08" + varint(most) if most else b"") + (b"\x10" + varint(least) if least else b"")
    return field(0x0A, field(0x0A, halves)) + recorded_event(record)[_TEXT_ID:]


class EventEncoder:
    """Records to the messages that one reader asked for: his form of ids, links resolved or not."""

    def __init__(self, *, text_ids: bool, resolve: Callable[[Record], Record | None] | None) -> None:
        self._encode = recorded_event if text_ids else with_halves
        self._resolve = resolve

    def message(self, record: Record, *, live: bool = False) -> bytes:
        """A record as ReadResp. A link that names no event is shown as it is, but live as one that leads nowhere."""
        encode = self._encode
        if self._resolve is not None and record.type == LINK_TYPE:
            try:
                target = self._resolve(record)
            except MalformedLink:
                if live:
                    return _message(field(0x12, encode(record)), record.position)
            else:
                link = field(0x12, encode(record))
                return _message(link if target is None else field(0x0A, encode(target)) + link, record.position)
        body = encode(record)
        tail = b"\x18" + varint(record.position)
        head = b"\x0a" + varint(len(body))
        return b"\x0a" + varint(len(head) + len(body) + len(tail)) + head + body + tail


def _message(content: bytes, position: int) -> bytes:
    return field(0x0A, content + b"\x18" + varint(position))


def confirmation(subscription_id: str) -> bytes:
    """The first message of a subscription."""
    return field(0x12, field(0x0A, subscription_id.encode()))


CAUGHT_UP = b"\x42\x00"
"""The subscription is live."""


def checkpoint(commit: int, prepare: int) -> bytes:
    """How far a filtered subscription has looked; -1 twice is "nowhere yet"."""
    commit, prepare = commit & END, prepare & END
    return field(0x1A, (b"\x08" + varint(commit) if commit else b"") + (b"\x10" + varint(prepare) if prepare else b""))


def stream_not_found(stream: str) -> bytes:
    """The stream has no event, or is soft deleted."""
    name = stream.encode()
    return field(0x22, field(0x0A, field(0x1A, name) if name else b""))


def first_stream_position(number: int) -> bytes:
    """Where reading goes on after a page without events."""
    return b"\x28" + varint(number)


def last_stream_position(number: int) -> bytes:
    """The number of the stream's last event."""
    return b"\x30" + varint(number)
