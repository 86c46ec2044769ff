"""A connection to a node, with the headers that its calls carry."""

from __future__ import annotations

from typing import Protocol

import trio

from trio_esdb._errors import ServerError
from trio_esdb._model import ConnectionStatistics, Credentials, NodeState, ServerVersion
from trio_esdb._rpc import RequestHeaders
from trio_esdb._transport import ClientLink, KeepAlive, StreamingCall
from trio_esdb._wire import Limits, Stream


class LinkOwner(Protocol):
    """What a connection tells whoever opened it. The methods must neither wait nor raise."""

    closed: bool
    """Whether the client was closed."""
    role: NodeState | None
    """What the node is in its cluster; None if that is not known."""
    several: bool
    """Whether it wants to know which connections are idle."""
    room_wanted: bool
    """Whether it wants to know of room for further calls."""

    def on_room(self) -> None:
        """A connection may have room for another call."""

    def on_idle(self, link: NodeLink) -> None:
        """The last call on a connection is over."""

    def on_draining(self, link: NodeLink) -> None:
        """The server takes no more calls on a connection."""


class VersionQuestion:
    """A server is being asked for its version."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.failure: ServerError | None = None
        """Why there is no answer, once it is over."""


class NodeLink(ClientLink):
    """A connection to one node.

    Args:
        stream: The byte stream.
        owner: Who is told what happens to the connection.
        number: The number of the connection in its client.
        headers: Makes the headers of the calls on it.
        limits: What is taken from the server.
        keep_alive: When a silent server is asked for a sign of life.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        owner: LinkOwner,
        number: int,
        headers: RequestHeaders,
        limits: Limits | None = None,
        keep_alive: KeepAlive | None = None,
    ) -> None:
        super().__init__(stream, headers.authority, limits, keep_alive)
        self.number = number
        self.headers = headers
        self.idle_since = 0.0
        """When its last call ended, in seconds of trio's clock, if it has none."""
        self.closed_because = ""
        """Why it was closed here; empty if it was not."""
        self.credentials: Credentials | None = None
        """What the client's credentials function gave for this connection."""
        self.credentials_refused = False
        """Whether the node refused what it had given before."""
        self.version: ServerVersion | None = None
        """The version of the server, once it was asked for."""
        self.version_error: ServerError | None = None
        """Why the server did not tell its version."""
        self.version_question: VersionQuestion | None = None
        """The question for it that is under way."""
        self._retired_because = ""
        self.promised = 0
        """How many calls have been promised room, and have not begun."""
        self.requires_leader = True, True
        """Whether calls insist on a node that leads: those that do not need it, and those that do."""
        self.owner = owner

    @property
    def room(self) -> int:
        """How many more calls the server takes on this connection now, without those that were promised room."""
        return 0 if self._leaving else self.core.room - self.promised

    @property
    def must_ask_version(self) -> bool:
        """Whether the server was not asked for its version yet, or did not answer."""
        return self.version is None and self.version_error is None

    def leave(self, reason: str) -> None:
        """Close it soon, because it is not needed any more."""
        if not self.closed_because:
            self.closed_because = reason
            self.close()

    def retire(self, reason: str = "") -> None:
        """Take no more calls, and close the connection when its last call is over."""
        self._retired_because = self._retired_because or reason
        self.core.draining = True
        self._leave_if_done()

    @property
    def has_endless_calls(self) -> bool:
        """Whether there are subscriptions on it."""
        return any(_is_endless(stream) for stream in self.core.streams.values())

    def leader_moved(self) -> None:
        """Another node is the leader now: let subscriptions move."""
        for stream in list(self.core.streams.values()):
            if isinstance(stream.owner, StreamingCall):
                stream.owner.leader_moved()

    def on_room(self) -> None:
        """The server may take more calls at once."""
        self.owner.on_room()

    def on_goaway(self) -> None:
        """The server takes no more calls."""
        self.owner.on_draining(self)

    def _leave_if_done(self) -> None:
        owner = self.owner
        if not self.core.streams:
            if self.core.draining:
                self.leave(self._retired_because or "the node takes no more calls on it")
            elif owner.several:
                owner.on_idle(self)
        if owner.room_wanted:
            owner.on_room()

    def statistics(self) -> ConnectionStatistics:
        """The state of this connection."""
        streams = self.core.streams.values()
        return ConnectionStatistics(
            address=self.address,
            open_calls=len(streams),
            bytes_queued=self.core.output_size + sum(stream.unsent for stream in streams),
            accepts_calls=self.room > 0,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            role=self.owner.role,
        )


def _is_endless(stream: Stream) -> bool:
    return isinstance(stream.owner, StreamingCall) and stream.owner.endless
