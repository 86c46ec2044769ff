"""The client's end of a connection, run by two tasks of a nursery that its owner names."""

from __future__ import annotations

import math
from collections.abc import Sequence

import trio

from trio_esdb._wire import (
    CallEnded,
    ClientConnection,
    Event,
    Limits,
    MessagesReceived,
    Outcome,
    RoomChanged,
    Stream,
    encode_deadline,
)

from ._calls import StreamingCall, UnaryCall
from ._link import Link

RequestHeaders = tuple[tuple[str, str], ...]


class ClientLink(Link[ClientConnection]):
    """A connection that calls are opened on.

    ``room`` must be looked at before a call is opened; between the two there must be no await.
    """

    def __init__(self, stream: trio.abc.Stream, address: str, limits: Limits | None = None) -> None:
        super().__init__(stream, ClientConnection(limits))
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
        """Wait until the server has sent its SETTINGS, or the connection has ended; whether it is there to be used."""
        await self._greeted.wait()
        return not self.core.ended

    def close(self) -> None:
        """Close the connection soon; does not wait for that."""
        self._leaving = True
        self._scope.cancel()

    async def unary(self, headers: RequestHeaders, messages: Sequence[bytes]) -> tuple[bytes, Outcome]:
        """One call from beginning to end: its response, and how it ended.

        The caller's cancel scope is the deadline: it is sent to the server, and when it passes the call is reset.
        """
        await trio.lowlevel.checkpoint_if_cancelled()  # what is cancelled already must not reach the server
        call = UnaryCall(self)
        return await call.run(self._start(headers, messages, call))

    def stream(self, headers: RequestHeaders, messages: Sequence[bytes], *, deadline: float) -> StreamingCall:
        """Open a call whose responses come as a channel; ``deadline`` is sent to the server."""
        call = StreamingCall(self)
        call.started(self._start(headers, messages, call, deadline))
        return call

    def reset(self, stream: Stream) -> None:
        """Give a call up."""
        self.core.reset(stream)
        self.wake()
        self._leave_if_done()

    def _start(
        self,
        headers: RequestHeaders,
        messages: Sequence[bytes],
        owner: UnaryCall | StreamingCall,
        deadline: float | None = None,
    ) -> Stream:
        if deadline is None:
            deadline = trio.current_effective_deadline()
        timeout = None if deadline == math.inf else encode_deadline(deadline - trio.current_time())
        stream = self.core.start_call(headers, timeout, owner)
        self.core.send_messages(stream, messages, end=True)
        self.wake()
        return stream

    def handle(self, event: Event) -> None:
        """Hand an event to the call that it belongs to."""
        if type(event) is MessagesReceived:
            event.stream.owner.on_messages(event.stream, event.messages)
        elif type(event) is CallEnded:
            event.stream.owner.on_end(event.outcome)
            self._leave_if_done()
        elif type(event) is RoomChanged:
            self._greeted.set()
            self._leave_if_done()

    def _leave_if_done(self) -> None:
        """After the server's GOAWAY the connection closes with its last call."""
        if self.core.draining and not self.core.streams:
            self.close()
