"""The events of a connection: what the bytes from the peer mean."""

from __future__ import annotations

from typing import NamedTuple

from ._grpc import Metadata
from ._outcome import Outcome
from ._stream import Stream


class MessagesReceived(NamedTuple):
    """All messages of one call that the bytes completed. Tell ``take`` when the consumer has taken them."""

    stream: Stream
    messages: list[bytes]


class CallEnded(NamedTuple):
    """Client: the call is over; no further event has this stream."""

    stream: Stream
    outcome: Outcome


class CallReceived(NamedTuple):
    """Server: a new call. ``timeout`` is in seconds; it is infinite if the client gave none."""

    stream: Stream
    path: str
    metadata: Metadata
    timeout: float


class RequestsEnded(NamedTuple):
    """Server: the client has sent all its requests of this call."""

    stream: Stream


class CallReset(NamedTuple):
    """Server: the client gave the call up, or broke a rule. Nothing more can be sent."""

    stream: Stream
    reason: str


class Drained(NamedTuple):
    """Nothing of this stream is unsent any more: there is room for more messages."""

    stream: Stream


class RoomChanged(NamedTuple):
    """Client: the server's limit of concurrent calls has changed."""


class GoawayReceived(NamedTuple):
    """Client: the server takes no new calls on this connection, and closes it when the open ones have ended, or soon.

    ``first`` is false if it said so before: many servers send a second GOAWAY, which tells the last call they take.
    ``too_many_pings`` is true if it finds that the client sends too many PINGs.
    """

    first: bool
    too_many_pings: bool


class ConnectionEnded(NamedTuple):
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
