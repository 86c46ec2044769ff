"""A listener to connection events: a channel that drops the oldest event rather than let the client wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from trio_esdb._model import ConnectionEvent


class ConnectionEvents(trio.abc.ReceiveChannel[ConnectionEvent]):
    """Receives what happens to the connections of a client; made by ``ESDBClient.connection_events``.

    It is a ``trio.abc.ReceiveChannel``: use ``async with`` and ``async for``. The client never waits for it. When the
    buffer is full, the oldest event is dropped. The channel ends after the client has been closed.
    """

    def __init__(self, max_buffer_size: int, forget: Callable[[ConnectionEvents], None]) -> None:
        self._events: deque[ConnectionEvent] = deque(maxlen=max_buffer_size)
        self._forget = forget
        self._receivers = trio.lowlevel.ParkingLot()
        self._dropped = 0
        self._ended = False
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended" if self._ended else "open"
        return f"<trio_esdb.ConnectionEvents: {len(self._events)} waiting, {self._dropped} dropped, {state}>"

    @property
    def dropped(self) -> int:
        """How many events were dropped because the buffer was full."""
        return self._dropped

    def _put(self, event: ConnectionEvent) -> None:
        if len(self._events) == self._events.maxlen:
            self._dropped += 1
        self._events.append(event)
        self._receivers.unpark()

    def _end(self) -> None:
        self._ended = True
        self._receivers.unpark_all()

    def receive_nowait(self) -> ConnectionEvent:
        """Return the next event if there is one.

        Returns:
            The oldest event that was neither received nor dropped.

        Raises:
            trio.WouldBlock: There is no event.
            trio.EndOfChannel: The client was closed, and all events were received.
            trio.ClosedResourceError: This channel was closed.
        """
        if self._closed:
            raise trio.ClosedResourceError("these connection events were closed")
        if self._events:
            return self._events.popleft()
        if self._ended:
            raise trio.EndOfChannel
        raise trio.WouldBlock

    @trio.lowlevel.enable_ki_protection
    async def receive(self) -> ConnectionEvent:
        """Wait for the next event.

        Returns:
            The oldest event that was neither received nor dropped.

        Raises:
            trio.EndOfChannel: The client was closed, and all events were received.
            trio.ClosedResourceError: This channel was closed.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            try:
                event = self.receive_nowait()
            except trio.WouldBlock:
                await self._receivers.park()
            except (trio.EndOfChannel, trio.ClosedResourceError):
                await trio.lowlevel.cancel_shielded_checkpoint()
                raise
            else:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return event

    @trio.lowlevel.enable_ki_protection
    def close(self) -> None:
        """Receive no more events. Tasks that wait for one get trio.ClosedResourceError."""
        if not self._closed:
            self._closed = True
            self._forget(self)
            self._events.clear()
            self._receivers.unpark_all()

    async def aclose(self) -> None:
        """Close the channel, as ``close`` does."""
        self.close()
        await trio.lowlevel.checkpoint()
