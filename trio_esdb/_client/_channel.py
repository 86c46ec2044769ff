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

from trio_esdb._errors import ESDBError, ServerError
from trio_esdb._model import RecordedEvent

from ._batches import Batch
from ._feed import Feed

T = TypeVar("T")

_EVENTS_PER_TURN = 512
"""Events that ``all_of`` takes before other tasks run."""


class ChannelStatistics(NamedTuple):
    """The state of a read or subscription, with the names that trio uses for its memory channels.

    Attributes:
        current_buffer_used (int): How many messages were received from the server and not yet by the program.
        open_receive_channels (int): How many of the channel and its clones are open.
        tasks_waiting_receive (int): How many tasks wait for a message.
    """

    current_buffer_used: int
    open_receive_channels: int
    tasks_waiting_receive: int


class EventChannel(trio.abc.ReceiveChannel[T], Generic[T]):
    """Receives the events of a read or subscription, in order and each once.

    It is a ``trio.abc.ReceiveChannel``: use ``async for``, ``receive`` or ``receive_nowait``. Closing it, or leaving
    its ``async with`` block, ends the read or subscription at once. If the consumer stops, the server stops sending:
    512 KiB are kept here, or up to 8 MiB on connections with long round trips.

    ``receive`` is always a checkpoint. ``async for`` notices cancellation at every event, but lets other tasks run only
    once in at most 64 events.
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
        """The id that the server gave the subscription, or None for a read."""
        return self._feed.subscription_id

    @property
    def last_stream_position(self) -> int | None:
        """The stream position of the last event, if the server told it at the end of a read."""
        return self._feed.last_stream_position

    @property
    def resumptions(self) -> int:
        """How many times the read or subscription was interrupted and has gone on by a new call."""
        return self._feed.resumptions

    def receive_nowait(self) -> T:
        """Return the next message if there is one.

        Returns:
            An event, or another message that was asked for.

        Raises:
            trio.WouldBlock: No message is there.
            trio.EndOfChannel: The read has come to its end.
            trio.ClosedResourceError: The channel or the client was closed.
            DeadlineExceededError: The timeout of the call expired.
            ServerError: The call failed.
        """
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
                feed.raise_end()
            except trio.WouldBlock:
                if self._timed and feed.overdue:
                    raise feed.time_out() from None
                if feed.unsettled:
                    feed.judge()
                raise
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

    def _take_ready(self) -> list[RecordedEvent]:
        """The events in front of what is ready. They need no more than to be handed over."""
        ready = self._ready
        found: list[RecordedEvent] = []
        if not (self._timed and self._feed.overdue):
            while ready and type(event := ready[-1]) is RecordedEvent:
                found.append(event)
                del ready[-1]
        return found

    async def receive(self) -> T:
        """Wait for the next message. If it is cancelled, no message is lost.

        Returns:
            An event, or another message that was asked for.

        Raises:
            trio.EndOfChannel: The read has come to its end.
            trio.ClosedResourceError: The channel or the client was closed.
            DeadlineExceededError: The timeout of the call expired.
            ServerError: The call failed.
        """
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
            if feed.unsettled:
                await self._look_after_call()
            elif feed.wait_until < feed.deadline and trio.current_time() >= feed.wait_until:
                await trio.lowlevel.checkpoint()
                feed.late()
            else:
                try:
                    if feed.deadline == math.inf:
                        batch = await self._batches.receive()
                    else:
                        with trio.CancelScope(deadline=feed.deadline) as scope:
                            batch = await self._batches.receive()
                        if scope.cancelled_caught:
                            feed.late()
                            continue
                except trio.EndOfChannel:
                    await feed.wait_for_own_deadline()
                    feed.raise_end()
                if feed.over:
                    feed.raise_end()
                feed.draw(batch)
            if not feed.ready:
                continue  # it was dropped, or there was only something to be looked after
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

    async def _look_after_call(self) -> None:
        """The call is over, or soon will be: draw what it brought, or return when there is another one."""
        feed = self._feed
        try:
            try:
                feed.draw(self._batches.receive_nowait())
            except trio.WouldBlock:
                await feed.go_on()
                if not feed.ready:
                    # What has come is drawn before anybody begins to wait, and would not be woken for it.
                    feed.draw(self._batches.receive_nowait())
        except trio.WouldBlock:
            pass
        except trio.EndOfChannel:
            await feed.wait_for_own_deadline()
            feed.raise_end()
        except trio.ClosedResourceError:
            feed.wake_another()  # this channel was closed after its task had been told of the call's end
            raise

    def clone(self) -> EventChannel[T]:
        """Return another channel of the same call, for another task. Each message goes to one of the channels.

        The call ends when all its channels are closed, or when the ``async with`` block is left.

        Raises:
            trio.ClosedResourceError: The channel or the client was closed.
            ServerError: The call has failed.
        """
        if self._feed.over:
            raise self._feed.ended()
        return EventChannel(self._feed, self._batches.clone())

    def statistics(self) -> ChannelStatistics:
        """Return how many messages are waiting, and how many tasks wait for one."""
        feed, batches = self._feed, self._batches.statistics()
        return ChannelStatistics(
            current_buffer_used=len(feed.ready) + feed.waiting,
            open_receive_channels=batches.open_receive_channels - 1,  # the feed has one itself
            tasks_waiting_receive=batches.tasks_waiting_receive,
        )

    def close(self) -> None:
        """Close this channel without waiting. The call ends when the last of its channels is closed."""
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


async def all_of(events: EventChannel[RecordedEvent]) -> list[RecordedEvent]:
    """Everything up to the end of a read. It waits only when nothing is there."""
    found: list[RecordedEvent] = []
    take, take_ready = events.receive_nowait, events._take_ready
    try:
        while True:
            found.append(await events.receive())
            end_of_turn = len(found) + _EVENTS_PER_TURN
            try:
                while len(found) < end_of_turn:
                    found += take_ready()
                    found.append(take())
            except (trio.WouldBlock, ServerError):
                pass  # receive() waits, or raises the error unless the caller's own scope is cancelled
    except trio.EndOfChannel:
        return found
