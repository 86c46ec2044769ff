"""The events of a connection: what the bytes from the peer mean."""

from __future__ import annotations

from dataclasses import dataclass

from ._grpc import Metadata
from ._outcome import Outcome
from ._stream import Stream


@dataclass(slots=True)
class MessagesReceived:
    """All messages of one call that the bytes completed. Tell ``take`` when the consumer has taken them."""

    stream: Stream
    messages: list[bytes]


@dataclass(slots=True)
class CallEnded:
    """Client: the call is over; no further event has this stream."""

    stream: Stream
    outcome: Outcome


@dataclass(slots=True)
class CallReceived:
    """Server: a new call. ``timeout`` is in seconds; it is infinite if the client gave none."""

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
    """Server: the client gave the call up, or broke a rule. Nothing more can be sent."""

    stream: Stream
    reason: str


@dataclass(slots=True)
class Drained:
    """Nothing of this stream is unsent any more: there is room for more messages."""

    stream: Stream


@dataclass(slots=True)
class RoomChanged:
    """Client: the server's limit of concurrent calls has changed."""


@dataclass(slots=True)
class GoawayReceived:
    """Client: the server takes no new calls on this connection, and closes it when the open ones have ended, or soon.

    ``first`` is false if it said so before: many servers send a second GOAWAY, which tells the last call they take.
    ``too_many_pings`` is true if it finds that the client sends too many PINGs.
    """

    first: bool
    too_many_pings: bool


@dataclass(slots=True)
class ConnectionEnded:
    """The peer broke a rule of the connection. Send what is queued, then close."""

    reason: str


Event = (
    MessagesReceived
    | CallEnded
    | CallReceived
    | RequestsEnded
    | CallReset
    | Drained
    | RoomChanged
    | GoawayReceived
    | ConnectionEnded
)
