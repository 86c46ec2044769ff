"""Messages of a read as a real node encodes them: the events that all clients are measured with."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator

EVENT_TYPE = "OrderCreated"
EVENT_METADATA = b"{}"
FIRST_POSITION = 1 << 30
"""Positions of a log of some size: five bytes each, like those of a node that has been running for a while."""

ALL_STREAMS = 100
"""The streams that the events of a read of all streams come from, turn by turn."""

GROUPS = ("group", "grouplive")
"""Kinds of streams whose messages are those of a group: they tell how often an event was delivered before."""
_FIRST_TICKS = 17_700_000_000_000_000
_PREFIX_SIZE = 5


def varint(value: int) -> bytes:
    """An unsigned number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(tag: int, payload: bytes) -> bytes:
    """A field with a length."""
    return bytes((tag,)) + varint(len(payload)) + payload


def prefixed(message: bytes) -> bytes:
    """A gRPC message with its five bytes in front."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def event_data(size: int) -> bytes:
    """The data of an event of this size."""
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


class Messages:
    """The events of one stream, or of all, each another one, as prefixed messages."""

    def __init__(self, kind: str, size: int, name: str) -> None:
        self._kind = kind
        self._name = name
        self._data = event_data(size)
        self._random = random.Random(size)

    def first(self, count: int) -> Iterator[bytes]:
        """So many of them."""
        for number in range(count):
            yield self._message(number)

    def _message(self, number: int) -> bytes:
        position = FIRST_POSITION + number * 1000
        tail = b"\x18" + varint(position) + (b"\x28\x00" if self._kind in GROUPS else b"")
        if self._kind == "all":
            name = f"{self._name}{number % ALL_STREAMS}"
            event = self._record(name, number // ALL_STREAMS, position, EVENT_TYPE, self._data, EVENT_METADATA)
            return prefixed(field(0x0A, field(0x0A, event) + tail))
        if self._kind != "links":
            event = self._record(self._name, number, position, EVENT_TYPE, self._data, EVENT_METADATA)
            return prefixed(field(0x0A, field(0x0A, event) + tail))
        target = f"{self._name}-target"
        event = self._record(target, number, position - 500, EVENT_TYPE, self._data, EVENT_METADATA)
        link = self._record(self._name, number, position, "$>", f"{number}@{target}".encode(), b"")
        return prefixed(field(0x0A, field(0x0A, event) + field(0x12, link) + tail))

    def _record(self, stream: str, number: int, position: int, kind: str, data: bytes, metadata: bytes) -> bytes:
        created = _FIRST_TICKS + position
        event_id = uuid.UUID(int=self._random.getrandbits(128), version=4)
        content_type = b"application/json" if kind == "$>" else b"application/octet-stream"
        return b"".join(
            (
                field(0x0A, field(0x12, str(event_id).encode())),
                field(0x12, field(0x1A, stream.encode())),
                b"\x18" + varint(number) if number else b"",
                b"\x20" + varint(position),
                b"\x28" + varint(position),
                field(0x32, field(0x0A, b"type") + field(0x12, kind.encode())),
                field(0x32, field(0x0A, b"created") + field(0x12, b"%d" % created)),
                field(0x32, field(0x0A, b"content-type") + field(0x12, content_type)),
                field(0x3A, metadata) if metadata else b"",
                field(0x42, data) if data else b"",
            )
        )


def confirmation(subscription_id: str = "5d2f7d35-2f0f-4b8d-9e4a-3f3c3f1b8a11") -> bytes:
    """The first message of a subscription."""
    return prefixed(field(0x12, field(0x0A, subscription_id.encode())))


def caught_up() -> bytes:
    """A subscription has come to what is live."""
    return prefixed(b"\x42\x00")


def append_success(number: int) -> bytes:
    """The answer to an append."""
    encoded = varint(number)
    body = b"\x08" + encoded + field(0x1A, b"\x08" + encoded + b"\x10" + encoded)
    return prefixed(field(0x0A, body))


def batch_success(correlation_id: bytes, number: int) -> bytes:
    """The answer to a batch, given the encoded field with its correlation id."""
    encoded = varint(number)
    body = b"\x08" + encoded + field(0x1A, b"\x08" + encoded + b"\x10" + encoded)
    return prefixed(correlation_id + field(0x1A, body))


def supported_methods(version: str) -> bytes:
    """What this node can do, as a client asks for it before its first append."""
    service = field(0x12, b"event_store.client.streams.streams")
    features = {b"read": [b"position", b"events"], b"append": [], b"batchappend": [b"deadline_duration"]}
    methods = [
        field(0x0A, field(0x0A, name) + service + b"".join(field(0x1A, feature) for feature in found))
        for name, found in features.items()
    ]
    return prefixed(b"".join(methods) + field(0x12, version.encode()))


def gossip(host: str, port: int) -> bytes:
    """A cluster of one, this node: its leader."""
    endpoint = field(0x0A, host.encode()) + b"\x10" + varint(port)
    instance = field(0x0A, field(0x12, b"0d6c1b8e-6f62-4a54-8f51-0f6a4c3c0f7e"))
    member = instance + b"\x10" + varint(_FIRST_TICKS) + b"\x18\x08" + b"\x20\x01" + field(0x2A, endpoint)
    return prefixed(field(0x0A, member))
