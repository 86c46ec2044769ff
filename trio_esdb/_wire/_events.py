"""What comes out of a connection's core when bytes go in."""

from __future__ import annotations

from dataclasses import dataclass

from ._grpc import Metadata
from ._outcome import Outcome
from ._stream import Stream


@dataclass(slots=True)
class MessagesReceived:
    """Messages of one call, all that one portion of bytes completed. Whoever takes them says so with ``take``."""

    stream: Stream
    messages: list[bytes]


@dataclass(slots=True)
class CallEnded:
    """Client: the call is over; nothing more comes of this stream."""

    stream: Stream
    outcome: Outcome


@dataclass(slots=True)
class CallReceived:
    """Server: a new call. ``timeout`` is in seconds, infinite where the client gave none."""

    stream: Stream
    path: str
    metadata: Metadata
    timeout: float


@dataclass(slots=True)
class RequestsEnded:
    """Server: the client has sent all its requests of this call."""

    stream: Stream


@dataclass(slots=True)
class CallReset:
    """Server: the client gave the call up, or what it sent cannot be understood. Nothing more can be sent."""

    stream: Stream
    reason: str


@dataclass(slots=True)
class Drained:
    """All that was queued for this stream has left the core; there is room for more."""

    stream: Stream


@dataclass(slots=True)
class RoomChanged:
    """Client: the server allows another number of concurrent calls, or none any more (it said goodbye)."""


@dataclass(slots=True)
class ConnectionEnded:
    """The core gave the connection up or the peer broke the rules; send what is queued, then close."""

    reason: str


Event = (
    MessagesReceived | CallEnded | CallReceived | RequestsEnded | CallReset | Drained | RoomChanged | ConnectionEnded
)
