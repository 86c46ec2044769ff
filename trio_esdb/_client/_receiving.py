"""Reads and subscriptions as receive channels."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, NamedTuple, NoReturn, TypeVar

import trio

from trio_esdb._convert import (
    Confirmation,
    LastStreamPosition,
    ReadDecoder,
    ReadResponse,
    StreamNotFound,
)
from trio_esdb._errors import DeadlineExceededError, ESDBError, ProtocolError, ServerError, StreamNotFoundError
from trio_esdb._model import CaughtUp, Checkpoint, FellBehind, RecordedEvent
from trio_esdb._rpc import error_from
from trio_esdb._transport import StreamingCall

from ._base import let_the_scope_speak

T = TypeVar("T")
Message = RecordedEvent | Checkpoint | CaughtUp | FellBehind

_NOWHERE = 2**64 - 1
"""Servers of 24.2 to 24.10 may send a checkpoint here when nothing was seen; resuming from it would lose events."""


class Call:
    """One read or subscription, shared by all the channels that receive from it."""

    def __init__(
        self,
        call: StreamingCall,
        decoder: ReadDecoder,
        *,
        doing: str,
        stream_name: str,
        deadline: float,
        wanted: frozenset[type],
        is_closed: Callable[[], bool],
    ) -> None:
        self.call = call
        self.deadline = deadline
        self.subscription_id: str | None = None
        self.last_stream_position: int | None = None
        self.open_channels = 0
        self.ready: list[ReadResponse | ProtocolError] = []
        """What was drawn from the memory channel and is still to be handed over: the next one last."""
        self.over = False
        """Nothing more is handed over: the call was closed here, or a response could not be."""
        self._decoder = decoder
        self._error: Callable[[], Exception] | None = None
        self._doing = doing
        self._stream_name = stream_name
        self._wanted = wanted
        self._client_closed = is_closed

    def close(self) -> None:
        """Reset the call; every channel is closed."""
        self._stop(None)

    def _stop(self, error: Callable[[], Exception] | None) -> None:
        """Hand over nothing more: what is ready is dropped, and receivers are told of the error from now on."""
        self.over = True
        self.ready.clear()
        self._error = error
        self.call.close()

    def draw(self, batch: list[bytes]) -> None:
        """Make a batch from the memory channel ready to be handed over.

        If there is something ready already, that came later: the batch was a single message, given to a task that had
        waited and has its turn only now.
        """
        self.call.drawn(batch)
        responses = self._decoder.read_responses(batch)
        responses.reverse()
        self.ready += responses

    def message(self, response: ReadResponse | ProtocolError) -> Message | None:
        """What is to be handed over for this response; None if nothing is."""
        match response:
            case RecordedEvent():
                return response
            case Checkpoint(commit_position=commit) if commit == _NOWHERE:
                return None
            case Checkpoint() | CaughtUp() | FellBehind():
                return response if type(response) in self._wanted else None
            case StreamNotFound():
                raise self._failed(StreamNotFoundError, "there is no such stream", "OK")
            case LastStreamPosition(stream_position=position):
                self.last_stream_position = position
            case Confirmation(subscription_id=subscription_id):
                self.subscription_id = subscription_id
            case ProtocolError():
                raise self._failed(ProtocolError, str(response), response.status) from response.__cause__
        return None

    def overdue(self) -> Exception:
        """The error for a call whose own timeout has passed; the call is reset."""
        return self._failed(DeadlineExceededError, "the timeout passed", "DEADLINE_EXCEEDED")

    def unconfirmed(self, text: str) -> Exception:
        """The error for a subscription that did not begin as one; the call is reset."""
        return self._failed(ProtocolError, text, "INTERNAL")

    def never_began(self) -> Exception:
        """The error for a subscription whose call has ended without a confirmation."""
        error = self.ended()
        if isinstance(error, trio.EndOfChannel):
            return self.unconfirmed("the subscription ended before it began")
        return error

    def _failed(self, kind: type[ServerError], text: str, status: str) -> Exception:
        """The error that this side found; from now on every receiver is told of it."""

        def error() -> Exception:
            address = self.call.address
            made = kind(f"{self._doing}: {text} [{address}]", status=status, address=address)
            if isinstance(made, StreamNotFoundError):
                made.stream_name = self._stream_name
            return made

        if not self.over:
            self._stop(error)
        return self.ended()

    def ended(self) -> Exception:
        """What a receiver is told after the last message."""
        outcome = self.call.outcome
        if not self.over and outcome is not None and outcome.ok:
            return trio.EndOfChannel()
        if self._client_closed():
            return trio.ClosedResourceError("the client was closed")
        if self._error is not None:
            return self._error()
        if self.over or outcome is None:
            return trio.ClosedResourceError("this read or subscription was closed")
        return error_from(outcome, address=self.call.address, doing=self._doing, stream_name=self._stream_name)

    async def let_the_scope_speak(self) -> None:
        """As ``let_the_scope_speak`` does for a call that has ended."""
        if self.call.outcome is not None:
            await let_the_scope_speak(self.call.outcome)


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

    def __init__(self, shared: Call, batches: trio.MemoryReceiveChannel[list[bytes]]) -> None:
        self._shared = shared
        self._batches = batches
        self._ready = shared.ready
        shared.open_channels += 1

    @property
    def subscription_id(self) -> str | None:
        """The server's name of the subscription; None for a read."""
        return self._shared.subscription_id

    @property
    def last_stream_position(self) -> int | None:
        """The number of the stream's last event, where the server told it at the end of a read that asked."""
        return self._shared.last_stream_position

    def receive_nowait(self) -> T:
        """The next event, if it is there; trio.WouldBlock if it is not."""
        ready, shared = self._ready, self._shared
        while True:
            if not ready:
                try:
                    batch = self._batches.receive_nowait()
                except trio.EndOfChannel:
                    raise shared.ended() from None
                if shared.over:
                    raise shared.ended()
                shared.draw(batch)
            response = ready.pop()
            if type(response) is not RecordedEvent:
                response = shared.message(response)
                if response is None:
                    continue
            return response  # type: ignore[return-value]  # which messages T holds is what `wanted` says

    async def receive(self) -> T:
        """The next event, as soon as there is one."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            event = self.receive_nowait()
        except trio.WouldBlock:
            return await self._wait()
        except BaseException:
            await trio.lowlevel.cancel_shielded_checkpoint()
            await self._shared.let_the_scope_speak()
            raise
        await trio.lowlevel.cancel_shielded_checkpoint()
        return event

    async def __anext__(self) -> T:
        # A task switch costs as much as several events, so a batch is handed over without one.
        await trio.lowlevel.checkpoint_if_cancelled()
        ready = self._ready
        if ready and type(ready[-1]) is RecordedEvent:
            return ready.pop()  # type: ignore[return-value]
        if self._shared.call.waiting:
            await trio.lowlevel.checkpoint()
        try:
            return self.receive_nowait()
        except trio.WouldBlock:
            pass
        except trio.EndOfChannel:
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration from None
        except DeadlineExceededError:
            await self._shared.let_the_scope_speak()
            raise
        try:
            return await self._wait()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def _wait(self) -> T:
        """Wait for the next event; nothing is there now."""
        shared = self._shared
        while True:
            with trio.CancelScope(deadline=shared.deadline) as scope:
                try:
                    batch = await self._batches.receive()
                except trio.EndOfChannel:
                    await shared.let_the_scope_speak()
                    raise shared.ended() from None
            if scope.cancelled_caught:
                raise shared.overdue()
            if shared.over:
                raise shared.ended()
            shared.draw(batch)
            try:
                # What this task was given is its own, even if the channel has been closed meanwhile.
                message = shared.message(shared.ready.pop())
                return self.receive_nowait() if message is None else message  # type: ignore[return-value]
            except trio.WouldBlock:
                pass
            except DeadlineExceededError:
                await shared.let_the_scope_speak()
                raise

    def clone(self) -> EventChannel[T]:
        """A further channel of the same call, for another task: each event goes to one of them.

        The call ends when all of them are closed, or the ``async with`` block is left.
        """
        if self._shared.over:
            raise self._shared.ended()
        return EventChannel(self._shared, self._batches.clone())

    def statistics(self) -> ChannelStatistics:
        """How much is waiting here, and how many tasks wait for it."""
        shared = self._shared
        return ChannelStatistics(
            current_buffer_used=len(shared.ready) + shared.call.waiting,
            open_receive_channels=shared.open_channels,
            tasks_waiting_receive=self._batches.statistics().tasks_waiting_receive,
        )

    def close(self) -> None:
        """Close this channel; the call is reset with the last of its clones. Never waits."""
        if not self._batches._closed:
            self._batches.close()
            self._ready = []
            self._shared.open_channels -= 1
            if not self._shared.open_channels:
                self._shared.close()

    async def aclose(self) -> None:
        """Close this channel, as ``close`` does."""
        self.close()
        await trio.lowlevel.checkpoint()


class Receiving(Generic[T]):
    """A read or subscription about to be opened: ``async with ... as events`` opens it and gives its channel.

    Leaving the block resets the call at once, whatever was still to come; it never waits for a consumer. A subscription
    is in place when the block is entered: the server has confirmed it. A read may only be opened once.
    """

    def __init__(self, open_call: Callable[[], Awaitable[Call]], *, confirmed: bool) -> None:
        self._open_call = open_call
        self._confirmed = confirmed
        self._opened = False
        self._shared: Call | None = None

    async def __aenter__(self) -> EventChannel[T]:
        if self._opened:
            raise ESDBError("this read or subscription was opened before; make a new one")
        self._opened = True
        self._shared = shared = await self._open_call()
        try:
            channel: EventChannel[T] = EventChannel(shared, shared.call.batches.clone())
            if self._confirmed:
                await _confirmation(shared)
        except BaseException:
            shared.close()
            raise
        return channel

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._shared is not None
        self._shared.close()
        await trio.lowlevel.cancel_shielded_checkpoint()

    def __aiter__(self) -> NoReturn:
        raise ESDBError(
            "open it first: `async with client.read_...(...) as events:`, then `async for event in events:`"
        )


async def _confirmation(shared: Call) -> None:
    """Wait for the server's confirmation, which is the first message of a subscription."""
    with trio.CancelScope(deadline=shared.deadline) as scope:
        try:
            batch = await shared.call.batches.receive()
        except trio.EndOfChannel:
            await shared.let_the_scope_speak()
            raise shared.never_began() from None
    if scope.cancelled_caught:
        raise shared.overdue()
    shared.draw(batch)
    shared.message(shared.ready.pop())
    if shared.subscription_id is None:
        raise shared.unconfirmed("the server did not confirm the subscription first")
