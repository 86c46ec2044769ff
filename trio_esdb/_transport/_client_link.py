"""The client's end of a connection, run by two tasks of a nursery that its owner names.

The link knows calls only as ``CallOwner``: whoever starts a call on it is told of its messages and of its end. So it
does not matter to the link what kind of call it is, nor what becomes of the messages.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Protocol

import trio

from trio_esdb._wire import (
    CallEnded,
    ClientConnection,
    ConnectionEnded,
    Drained,
    Event,
    GoawayReceived,
    KeepAlive,
    Limits,
    MessagesReceived,
    Outcome,
    RoomChanged,
    Stream,
    encode_deadline,
)

from ._link import Link

Headers = tuple[tuple[str, str], ...]

_log = logging.getLogger("trio_esdb")


class CallOwner(Protocol):
    """What a call is to the link. The methods must neither wait nor raise."""

    def on_messages(self, stream: Stream, messages: list[bytes]) -> None:
        """Responses came."""

    def on_drained(self) -> None:
        """All that was queued for the call has left."""

    def on_draining(self) -> None:
        """The server has said GOAWAY: the call goes on, but not for long; a new one is to be on another connection.

        Not called for a call that the server refuses with its GOAWAY: that one ends.
        """

    def on_end(self, outcome: Outcome) -> None:
        """The call is over; nothing more comes. Not called for a call that is reset here."""


class ClientLink(Link[ClientConnection]):
    """A connection that calls are opened on.

    ``room`` must be looked at before a call is opened; between the two there must be no await.

    Args:
        stream: The byte stream; it is closed at the end.
        address: The node's host and port, as errors tell it.
        limits: Sizes that hold for the connection.
        keep_alive: When a silent server is asked for a sign of life. All links of a client share one, which a server
            can make slower. Without it no server is asked.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        address: str,
        limits: Limits | None = None,
        keep_alive: KeepAlive | None = None,
    ) -> None:
        super().__init__(stream, ClientConnection(limits), keep_alive)
        self.address = address
        self._greeted = trio.Event()
        self._leaving = False
        self._scope = trio.CancelScope()

    @property
    def room(self) -> int:
        """How many more calls the server takes on this connection now; 0 once it is closing."""
        return 0 if self._leaving else self.core.room

    async def run(self) -> None:
        """Move the connection's bytes until it ends; cancel this to close it."""
        try:
            with self._scope:
                await self.move_bytes()
        finally:
            self._greeted.set()

    async def ready(self) -> bool:
        """Wait until the server has sent its SETTINGS, or the connection has ended; whether it can be used."""
        await self._greeted.wait()
        return not self.core.ended

    def close(self) -> None:
        """Close the connection soon; does not wait for that."""
        self._leaving = True
        self._scope.cancel()

    @trio.lowlevel.enable_ki_protection
    def start(
        self,
        headers: Headers,
        messages: Sequence[bytes],
        owner: CallOwner,
        deadline: float,
        *,
        end: bool,
        authorization: str | None = None,
        receive_message: int | None = None,
    ) -> Stream:
        """Open a call and queue its first messages.

        Args:
            headers: The request headers, without a deadline.
            messages: The request messages.
            owner: Who is told of the responses.
            deadline: When the call's time is over, in seconds of trio's clock; it is sent to the server.
            end: Whether these are all messages (half-close).
            authorization: The value of the header of that name, which is sent without being remembered.
            receive_message: The size in bytes of the largest response that is taken; None is the connection's limit.

        Raises:
            HeadersTooLarge: The server would not take the headers; nothing was sent.
        """
        timeout = None if deadline == math.inf else encode_deadline(deadline - trio.current_time())
        stream = self.core.start_call(
            headers, timeout, owner, authorization=authorization, receive_message=receive_message
        )
        self.send(stream, messages, end=end)
        if self._no_calls is not None:
            self._care()
        return stream

    @trio.lowlevel.enable_ki_protection
    def send(self, stream: Stream, messages: Sequence[bytes], *, end: bool = False) -> None:
        """Queue further messages of a call; does nothing for a call that is over."""
        self.core.send_messages(stream, messages, end=end)
        self.wake()

    @trio.lowlevel.enable_ki_protection
    def reset(self, stream: Stream) -> None:
        """Give a call up."""
        self.core.reset(stream)
        self.wake()
        self._leave_if_done()

    def handle(self, event: Event) -> None:
        """Hand an event to the call that it belongs to."""
        if type(event) is MessagesReceived:
            event.stream.owner.on_messages(event.stream, event.messages)
        elif type(event) is CallEnded:
            event.stream.owner.on_end(event.outcome)
            self._leave_if_done()
        elif type(event) is Drained:
            event.stream.owner.on_drained()
        elif type(event) is RoomChanged:
            self._greeted.set()
            self.on_room()
        elif type(event) is GoawayReceived:
            self._goaway_received(event)
        elif type(event) is ConnectionEnded:
            self.reason = event.reason

    def on_room(self) -> None:
        """The server may take more calls at once, or fewer. For subclasses."""

    def on_goaway(self) -> None:
        """The server is about to close the connection: it takes no new calls. For subclasses; comes once."""

    def _goaway_received(self, event: GoawayReceived) -> None:
        if event.too_many_pings:
            self._watch.slow_down()
            _log.warning(
                "%s finds that keepalive sends too many PINGs: new connections send one after %g s of silence",
                self.address,
                self._watch.interval,
            )
        if event.first:
            self.on_goaway()
            for stream in list(self.core.streams.values()):
                stream.owner.on_draining()
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        """After the server's GOAWAY the connection closes with its last call."""
        if self.core.draining and not self.core.streams:
            self.close()
