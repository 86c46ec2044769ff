"""The channel that a user receives the messages of a read or subscription from.

Channels hold nothing of their own: they take from the feed, which they share with their clones. A receiver looks in
three places, in this order: what the feed has ready, the batches that wait in its memory channel, and then it waits.
Only the last of these may wait, so nothing can be lost to a cancellation: a message is taken from the feed in the same
step in which it is returned.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from typing import Generic, NamedTuple, TypeVar

import trio

from trio_esdb._errors import ESDBError
from trio_esdb._model import RecordedEvent

from ._feed import Batch, Feed

T = TypeVar("T")


class ChannelStatistics(NamedTuple):
    """The state of a read or subscription, named as trio names that of its memory channels."""

    current_buffer_used: int
    """Messages that have come and were not received yet."""
    open_receive_channels: int
    """The channel and its clones, without those that are closed."""
    tasks_waiting_receive: int
    """Tasks that wait for a message."""


class EventChannel(trio.abc.ReceiveChannel[T], Generic[T]):
    """Receives the events of a read or subscription, in order, each once.

    Closing it, or leaving its ``async with`` block, resets the call at once. A consumer that stops taking events stops
    the server: what is kept here is the call's receive window, half a megabyte, and the rest of a batch.

    Besides what trio.EndOfChannel says (a read came to its end), receiving raises the errors of the call: a
    ``ServerError``, or trio.ClosedResourceError once the channel or its client is closed. A cancelled ``receive`` loses
    nothing.

    Every ``receive`` is a checkpoint. ``async for`` notices cancellation at every event, but takes what has already
    come without giving other tasks their turn each time: they have it at least once in 64 events.
    """

    _closed = True

    def __init__(self, feed: Feed, batches: trio.MemoryReceiveChannel[Batch]) -> None:
        self._feed = feed
        self._batches = batches
        self._ready = feed.ready
        self._timed = feed.deadline != math.inf
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._feed.open else "ended"
        return f"<trio_esdb.EventChannel: {self._feed.operation.doing}, {state}>"

    @property
    def subscription_id(self) -> str | None:
        """The server's name of the subscription; None for a read."""
        return self._feed.subscription_id

    @property
    def last_stream_position(self) -> int | None:
        """The number of the stream's last event, where the server told it at the end of a read that asked."""
        return self._feed.last_stream_position

    def receive_nowait(self) -> T:
        """The next event, if it is there; trio.WouldBlock if it is not."""
        while (event := self._take()) is None:
            pass
        return event

    def _take(self) -> T | None:
        """The next event that is there, drawing one batch at most; None if that has nothing for the user.

        Who may wait lets other tasks run before the next batch: a server can send many messages that nobody wants.
        """
        ready, feed = self._ready, self._feed
        if not ready:
            try:
                batch = self._batches.receive_nowait()
            except trio.EndOfChannel:
                raise feed.ended() from None
            if feed.over:
                raise feed.ended()
            feed.draw(batch)
        while ready:
            if self._timed and feed.overdue:
                raise feed.time_out()
            response = ready.pop()
            if type(response) is not RecordedEvent:
                response = feed.message(response)
                if response is None:
                    continue
            return response  # type: ignore[return-value]  # which messages T holds is what `wanted` says
        return None

    async def receive(self) -> T:
        """The next event, as soon as there is one."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            while (event := self._take()) is None:
                await trio.lowlevel.checkpoint()
        except trio.WouldBlock:
            return await self._wait()
        except BaseException:
            await trio.lowlevel.cancel_shielded_checkpoint()
            await self._feed.wait_for_own_deadline()
            raise
        await trio.lowlevel.cancel_shielded_checkpoint()
        return event

    async def __anext__(self) -> T:
        # A task switch costs as much as several events, so a batch is handed over without one.
        await trio.lowlevel.checkpoint_if_cancelled()
        ready = self._ready
        if ready and type(ready[-1]) is RecordedEvent and not (self._timed and self._feed.overdue):
            return ready.pop()  # type: ignore[return-value]
        if self._feed.waiting:
            await trio.lowlevel.checkpoint()
        try:
            while (event := self._take()) is None:
                await trio.lowlevel.checkpoint()
            return event
        except trio.WouldBlock:
            pass
        except trio.EndOfChannel:
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration from None
        except ESDBError:
            await self._feed.wait_for_own_deadline()
            raise
        try:
            return await self._wait()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def _wait(self) -> T:
        """Wait for the next event; nothing is there now."""
        feed = self._feed
        while True:
            with trio.CancelScope(deadline=feed.deadline) as scope:
                try:
                    batch = await self._batches.receive()
                except trio.EndOfChannel:
                    await feed.wait_for_own_deadline()
                    raise feed.ended() from None
            if scope.cancelled_caught:
                raise feed.time_out()
            if feed.over:
                raise feed.ended()
            feed.draw(batch)
            if not feed.ready:
                continue  # it was dropped
            try:
                # This task takes what it was given, even if its channel has been closed since.
                message = feed.message(feed.ready.pop())
                while message is None:
                    await trio.lowlevel.checkpoint()
                    message = self._take()  # type: ignore[assignment]
                return message  # type: ignore[return-value]
            except trio.WouldBlock:
                pass
            except ESDBError:
                await feed.wait_for_own_deadline()
                raise

    def clone(self) -> EventChannel[T]:
        """A further channel of the same call, for another task: each event goes to one of them.

        The call ends when all of them are closed, or the ``async with`` block is left.
        """
        if self._feed.over:
            raise self._feed.ended()
        return EventChannel(self._feed, self._batches.clone())

    def statistics(self) -> ChannelStatistics:
        """How much is waiting here, and how many tasks wait for it."""
        feed, batches = self._feed, self._batches.statistics()
        return ChannelStatistics(
            current_buffer_used=len(feed.ready) + feed.waiting,
            open_receive_channels=batches.open_receive_channels - 1,  # the feed has one itself
            tasks_waiting_receive=batches.tasks_waiting_receive,
        )

    def close(self) -> None:
        """Close this channel; the call is reset with the last of its clones. Never waits."""
        if not self._closed:
            self._closed = True
            self._ready = []
            _release(self._feed, self._batches)

    async def aclose(self) -> None:
        """Close this channel, as ``close`` does."""
        self.close()
        await trio.lowlevel.checkpoint()

    def __del__(self) -> None:
        # Runs in whichever thread collects garbage, so the call is reset by trio's.
        feed = self._feed
        if self._closed or not feed.open:
            return
        feed.dropped_channels += 1
        if feed.batches.statistics().open_receive_channels - feed.dropped_channels <= 1:
            warnings.warn(f"{self!r} was dropped without being closed", ResourceWarning, stacklevel=2, source=self)
        with contextlib.suppress(trio.RunFinishedError):
            feed.token.run_sync_soon(_release_dropped, feed, self._batches)


def _release(feed: Feed, batches: trio.MemoryReceiveChannel[Batch]) -> None:
    """Close a channel's end of the feed, and with the last of them the feed."""
    batches.close()
    if feed.batches.statistics().open_receive_channels <= 1:  # the feed has one itself
        feed.close()


def _release_dropped(feed: Feed, batches: trio.MemoryReceiveChannel[Batch]) -> None:
    feed.dropped_channels -= 1
    _release(feed, batches)
