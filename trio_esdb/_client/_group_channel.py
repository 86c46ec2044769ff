"""The channel that a consumer of a group receives events from, and acks or refuses them by."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType

import trio

from trio_esdb._errors import ESDBError, InvalidArgumentError, InvalidTypeError, ProtocolError
from trio_esdb._model import NACK_ACTIONS, GroupEvent, NackAction, OnError

from ._consumer import Batch, Consumer


class GroupChannel(trio.abc.ReceiveChannel[GroupEvent]):
    """Receives the events that a group gives to this consumer.

    It is a ``trio.abc.ReceiveChannel``: use ``async for``, ``receive`` or ``receive_nowait``, and say for each event
    what became of it, with ``ack`` or ``nack``. Both are ordinary functions: they never wait. An event that gets
    neither is delivered again after the group's ``message_timeout``, or when the consumer has left.

    Events are delivered at least once, so handling an event twice must do no harm.
    """

    _closed = True

    def __init__(self, consumer: Consumer, batches: trio.MemoryReceiveChannel[Batch]) -> None:
        self._consumer = consumer
        self._batches = batches
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed or self._consumer.over else "open" if self._consumer.end is None else "ended"
        return f"<trio_esdb.GroupChannel: {self._consumer.operation.doing}, {state}>"

    @property
    def reconnections(self) -> int:
        """How many times the consumer was disconnected and has connected again."""
        return self._consumer.reconnections

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called: no further event is handed out."""
        return self._consumer.stopping

    @property
    def ended(self) -> trio.Event:
        """Set when no further event is handed out: ``stop`` was called, or the consumer does not connect again."""
        return self._consumer.ended_event

    # -- receiving ---------------------------------------------------------------------------------------------------

    def receive_nowait(self) -> GroupEvent:
        """Return the next event if there is one.

        Raises:
            trio.WouldBlock: No event is there.
            trio.EndOfChannel: ``stop`` was called.
            trio.ClosedResourceError: The channel or the client was closed.
            ServerError: The consumer was disconnected, and does not connect again.
        """
        consumer = self._consumer
        while True:
            if consumer.ready:
                event = consumer.ready.pop()
                if isinstance(event, ProtocolError):
                    consumer.finish(event)
                    consumer.close()
                    consumer.raise_end()
                return event
            try:
                batch = self._batches.receive_nowait()
            except trio.EndOfChannel:
                consumer.raise_end()
            consumer.draw(batch)

    @trio.lowlevel.enable_ki_protection
    async def receive(self) -> GroupEvent:
        """Wait for the next event. If it is cancelled, no event is lost.

        Raises:
            trio.EndOfChannel: ``stop`` was called.
            trio.ClosedResourceError: The channel or the client was closed.
            SubscriptionDroppedError: The group was changed or deleted, and ``reconnect`` is false.
            SubscriptionNotFoundError: The group was deleted.
            MaximumSubscribersError: The group takes no more consumers.
            ServerError: The consumer was disconnected for another reason, and does not connect again.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            event = self.receive_nowait()
        except trio.WouldBlock:
            return await self._wait()
        except BaseException:
            await trio.lowlevel.cancel_shielded_checkpoint()
            raise
        await trio.lowlevel.cancel_shielded_checkpoint()
        return event

    async def __anext__(self) -> GroupEvent:
        # A task switch costs as much as several events, so a batch is handed over without one.
        await trio.lowlevel.checkpoint_if_cancelled()
        ready = self._consumer.ready
        if ready and type(event := ready[-1]) is GroupEvent:
            del ready[-1]
            return event
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def _wait(self) -> GroupEvent:
        consumer = self._consumer
        while True:
            if consumer.unsettled and consumer.end is None and not consumer.over:
                await consumer.go_on()
            else:
                try:
                    consumer.draw(await self._batches.receive())
                except trio.EndOfChannel:
                    consumer.raise_end()
            with contextlib.suppress(trio.WouldBlock):
                return self.receive_nowait()

    # -- settling ----------------------------------------------------------------------------------------------------

    def ack(self, events: GroupEvent | Iterable[GroupEvent]) -> None:
        """Say that events were handled. This never waits; ``flush`` waits until the server knows it.

        For an event that a link led to, the link is what is acked.

        Args:
            events: An event that this channel or a clone of it gave, or several.

        Raises:
            InvalidArgumentError: An event was acked or refused before, or came from another consumer. Then nothing is
                done for any of them.
            trio.ClosedResourceError: The consumer has left.
            ServerError: The consumer was disconnected, and does not connect again.
        """
        if type(events) is GroupEvent:
            self._consumer.ack_one(events)
        else:
            self._consumer.ack(_events(events))

    def nack(self, events: GroupEvent | Iterable[GroupEvent], action: NackAction = "retry", reason: str = "") -> None:
        """Refuse events. This never waits.

        Args:
            events: An event that this channel or a clone of it gave, or several.
            action: ``"retry"``: deliver them again at once, or park them if that was done ``max_retry_count`` times.
                ``"park"``: put them aside, until they are replayed. ``"skip"``: they are done. ``"stop"``: servers do
                the same as for ``"skip"``.
            reason: Why. The server keeps it with a parked event.

        Raises:
            InvalidArgumentError: As for ``ack``; or the action is none of these.
            trio.ClosedResourceError: As for ``ack``.
            ServerError: As for ``ack``.
        """
        if action not in NACK_ACTIONS:
            raise InvalidArgumentError(f"action must be one of {', '.join(NACK_ACTIONS)}, not {action!r}")
        if not isinstance(reason, str):
            raise InvalidTypeError(f"reason must be a str, not {type(reason).__name__}")
        self._consumer.nack(_events(events), action, reason)

    async def flush(self) -> None:
        """Wait until the server has taken what was acked and refused so far.

        The server is asked for the state of the group until it tells so. Where that is not allowed, this sends a PING
        and waits for the consumer's ``grace`` instead, which proves only that the connection lives. What was flushed
        does not come again because this consumer leaves. A new leader of a cluster may deliver it again all the same,
        back to the last checkpoint.

        Raises:
            ServerError: The consumer was disconnected before, or the server was silent.
            trio.ClosedResourceError: The client was closed.
        """
        await self._consumer.flush()

    def stop(self) -> None:
        """Hand out no more events: ``async for`` ends, ``process`` returns when its handlers have. Never waits."""
        self._consumer.stop()

    # -- handling ----------------------------------------------------------------------------------------------------

    async def process(
        self,
        handler: Callable[[GroupEvent], Awaitable[object]],
        *,
        workers: int = 1,
        key: Callable[[GroupEvent], object] | None = None,
        on_error: OnError = "retry",
        park_after: int | None = None,
        grace: float | None = None,
    ) -> None:
        """Handle events with a function until ``stop`` is called.

        A handler that returns has its event acked. One that raises an Exception has it treated as ``on_error`` says.
        One that is cancelled has it neither acked nor refused: it comes again.

        Args:
            handler: Is called with each event.
            workers: How many handlers may run at the same time.
            key: Events with the same key are handled one after the other, in their order; without it, any handlers may
                run at the same time. ``key=lambda event: event.stream_name`` keeps the order of each stream.
            on_error: What to do with an event whose handler raised: ``"retry"``, ``"park"``, ``"skip"``, ``"stop"``
                (refuse it for a retry and end ``process`` with the error), or a function of the event and the exception
                that gives one of these. A ``Retry`` waits before it retries.
            park_after: Park an event without handling it if its ``retry_count`` is beyond this. Servers never park an
                event whose consumer vanishes, so without it an event that ends the process comes again for ever.
            grace: Seconds that handlers have to finish after ``stop``; None is no limit. A handler that is not done
                then is cancelled.

        Raises:
            InvalidArgumentError: An argument cannot be used.
            Exception: What a handler raised, if ``on_error`` is ``"stop"``, or what ``on_error`` raised.
            ServerError: As for ``receive``.
        """
        from ._processing import Processing  # few programs use it

        await Processing(
            self, handler, workers=workers, key=key, on_error=on_error, park_after=park_after, grace=grace
        ).run()

    # -- the life of the channel -------------------------------------------------------------------------------------

    def clone(self) -> GroupChannel:
        """Return another channel of the same consumer, for another task. Each event goes to one of the channels.

        Raises:
            trio.ClosedResourceError: The channel or the client was closed.
        """
        if self._consumer.over:
            raise self._consumer.ended()
        return GroupChannel(self._consumer, self._batches.clone())

    def close(self) -> None:
        """Close this channel without waiting. With the last one the consumer ends at once, and last acks may be lost.

        Leaving the ``async with`` block that gave the channel does not lose them.
        """
        if not self._closed:
            self._closed = True
            self._batches.close()
            if self._consumer.batches.statistics().open_receive_channels <= 1:  # the consumer has one itself
                self._consumer.close()

    async def aclose(self) -> None:
        """Close this channel, as ``close`` does."""
        self.close()
        await trio.lowlevel.checkpoint()

    def __del__(self) -> None:
        if not self._closed and not self._consumer.over:
            warnings.warn(f"{self!r} was dropped without being closed", ResourceWarning, stacklevel=2, source=self)


def _events(events: GroupEvent | Iterable[GroupEvent]) -> list[GroupEvent]:
    if isinstance(events, GroupEvent):
        return [events]
    found = list(events)
    for event in found:
        if not isinstance(event, GroupEvent):
            raise InvalidTypeError(f"only events of a consumer can be acked or refused, not {type(event).__name__}")
    return found


class Consuming:
    """Connects a consumer when the block is entered, and gives its channel.

    Leaving the block hands out no more events, sees that the server has taken what was acked and refused, and then
    disconnects. That takes one question to the server, and ``grace`` seconds at most.
    """

    __slots__ = ("_channel", "_consumer", "_make", "_timeout")

    def __init__(self, make: Callable[[], Consumer], timeout: float | None) -> None:
        self._make = make
        self._timeout = timeout
        self._consumer: Consumer | None = None
        self._channel: GroupChannel | None = None

    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> GroupChannel:
        if self._consumer is not None:
            raise ESDBError("this consumer was opened before; make a new one")
        consumer = self._consumer = self._make()
        try:
            await consumer.begin(self._timeout)
        except BaseException:
            consumer.close()
            raise
        self._channel = GroupChannel(consumer, consumer.batches.clone())
        return self._channel

    @trio.lowlevel.enable_ki_protection
    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._consumer is not None
        try:
            await self._consumer.leave()
        finally:
            if self._channel is not None:
                self._channel.close()
        await trio.lowlevel.checkpoint_if_cancelled()
