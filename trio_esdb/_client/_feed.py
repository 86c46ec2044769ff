"""What a read or subscription has received, whichever call it came by.

The feed is above the transport: calls give it batches of messages, channels take events from it. A call can be replaced
by another one while the channels of the feed stay; that is how a subscription is to outlive its connection.

Batches go through a memory channel, so trio decides which of several waiting tasks gets the next one. A batch is in one
of three places:

- in the memory channel's buffer: nobody has it yet;
- given to a task that waited, which has not run since: that task will draw it;
- drawn: its messages are decoded and are in ``ready``, from which all channels of the feed take.

A task that was given a batch runs only later, and another task may draw the following batch before it. Therefore each
batch has a number. ``last`` is what has been drawn with the highest number. When a call is replaced, the new call
begins after ``last``. Batches of the old call with a higher number than that of ``last`` are then dropped wherever they
are, because the new call brings their messages again. Those with a lower number are kept.

Credit is given back to the server when a batch is drawn. A batch came with one read of the connection, so what the
consumer has not seen when the server sends more is no larger than that.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import trio

from trio_esdb._cluster import Session
from trio_esdb._convert import Confirmation, LastStreamPosition, ReadResponse, StreamNotFound
from trio_esdb._errors import DeadlineExceededError, ProtocolError, ServerError, StreamNotFoundError
from trio_esdb._model import CaughtUp, Checkpoint, FellBehind, RecordedEvent
from trio_esdb._rpc import Operation, ended_at, error_from, wait_for_own_deadline
from trio_esdb._transport import StreamingCall
from trio_esdb._wire import PREFIX_SIZE, Outcome

SubscriptionMessage = RecordedEvent | Checkpoint | CaughtUp | FellBehind
"""The messages of a subscription: events, and the other messages that were asked for."""

_BATCH_SIZE = 64
"""The largest number of messages in a batch."""
_NOWHERE = 2**64 - 1
"""Servers of 24.2 to 24.10 may send a checkpoint with this position when they have looked at no event. A subscription
that went on from there would lose events."""


class Source:
    """One call of a feed, as the sink of that call."""

    __slots__ = ("call", "feed", "kept")

    def __init__(self, feed: Feed) -> None:
        self.feed: Feed | None = feed
        self.call: StreamingCall | None = None
        self.kept: float = math.inf
        """The highest number of its batches that is not dropped."""

    def on_messages(self, messages: list[bytes]) -> None:
        """Responses came."""
        if self.feed is not None:
            self.feed.receive(self, messages)

    def on_draining(self) -> None:
        """The connection is about to be closed: the call goes on until then."""

    def on_end(self, outcome: Outcome) -> None:
        """The call is over."""
        feed, self.feed = self.feed, None
        if feed is not None:
            feed.call_ended(outcome)

    def take(self, batch: Sequence[bytes]) -> None:
        """Give the server credit for a batch."""
        if self.call is not None:
            self.call.take(sum(map(len, batch)) + PREFIX_SIZE * len(batch))

    def close(self) -> None:
        """Reset the call if it is still open; nothing more comes of it."""
        self.feed = None
        if self.call is not None:
            self.call.close()


Batch = tuple[Source, int, list[bytes]]
"""A batch in the memory channel: its call, its number, its messages."""


class Feed:
    """The messages of one read or subscription, shared by all channels that receive from it."""

    def __init__(self, session: Session, operation: Operation, wanted: frozenset[type]) -> None:
        self.operation = operation
        self.deadline = session.deadline(operation)
        """When the timeout passes, in seconds of trio's clock."""
        self.subscription_id: str | None = None
        self.last_stream_position: int | None = None
        self.last: RecordedEvent | Checkpoint | None = None
        """The event or checkpoint that was drawn last: a new call would go on after it."""
        self.ready: list[ReadResponse | ProtocolError] = []
        """Messages that were drawn and are to be given to the next receiver, in reverse order."""
        self.waiting = 0
        """How many messages were received and not drawn."""
        self.over = False
        """Nothing more is given: the feed was closed, or one of its messages was an error."""
        self.dropped_channels = 0
        """Channels that were dropped without being closed and are to be closed soon."""
        self.batches: trio.MemoryReceiveChannel[Batch]
        self._incoming, self.batches = trio.open_memory_channel[Batch](math.inf)
        self.token = trio.lowlevel.current_trio_token()
        self._session = session
        self._wanted = wanted
        self._source: Source | None = None
        self._received = 0
        self._last_drawn = 0
        self._outcome: Outcome | None = None
        self._error: tuple[type[ServerError], str, str, dict[str, Any]] | None = None

    # -- calls -------------------------------------------------------------------------------------------------------

    async def start(self, operation: Operation) -> None:
        """Open a call whose messages this feed takes. It replaces the call before it, which is closed."""
        if self._source is not None:
            self._replace(self._source)
        source = self._source = Source(self)
        source.call = await self._session.open(operation, source, self.deadline)

    def _replace(self, source: Source) -> None:
        """Drop what a call brought and nobody has drawn, unless something later was drawn already."""
        source.close()
        source.kept = self._last_drawn
        self._drop_waiting()

    def _drop_waiting(self) -> None:
        """Empty the memory channel's buffer."""
        with contextlib.suppress(trio.EndOfChannel, trio.WouldBlock):
            while True:
                _, _, batch = self.batches.receive_nowait()
                self.waiting -= len(batch)

    def receive(self, source: Source, messages: list[bytes]) -> None:
        """Messages came. Each waiting task gets a single one, so that several waiting tasks share what comes."""
        put, number = self._incoming.send_nowait, self._received
        hungry = 0
        if len(messages) > 1:
            hungry = min(len(messages), self._incoming.statistics().tasks_waiting_receive)
        for message in messages[:hungry]:
            number += 1
            put((source, number, [message]))
        for at in range(hungry, len(messages), _BATCH_SIZE):
            number += 1
            put((source, number, messages[at : at + _BATCH_SIZE]))
        self._received = number
        self.waiting += len(messages)

    def call_ended(self, outcome: Outcome) -> None:
        """The call is over. The feed ends after the messages that have come."""
        self._outcome = outcome
        self._incoming.close()

    def draw(self, item: Batch) -> None:
        """Make a batch from the memory channel ready.

        What is ready already came later: the batch was a single message, given to a task that had waited.
        """
        source, number, batch = item
        self.waiting -= len(batch)
        if number > source.kept:
            return
        source.take(batch)
        responses = self._session.decoder.read_responses(batch)
        if number > self._last_drawn:
            self._last_drawn = number
            for response in reversed(responses):
                if isinstance(response, RecordedEvent) or (isinstance(response, Checkpoint) and _is_place(response)):
                    self.last = response
                    break
        responses.reverse()
        self.ready += responses

    # -- messages ----------------------------------------------------------------------------------------------------

    def message(self, response: ReadResponse | ProtocolError) -> SubscriptionMessage | None:
        """What a receiver is given for this response; None if nothing."""
        match response:
            case RecordedEvent():
                return response
            case Checkpoint():
                return response if Checkpoint in self._wanted and _is_place(response) else None
            case CaughtUp() | FellBehind():
                return response if type(response) in self._wanted else None
            case StreamNotFound():
                raise self._failed(
                    StreamNotFoundError, "there is no such stream", "OK", stream_name=self.operation.stream_name
                )
            case LastStreamPosition(stream_position=position):
                self.last_stream_position = position
            case Confirmation(subscription_id=subscription_id):
                self.subscription_id = subscription_id
            case ProtocolError():
                raise self._failed(ProtocolError, str(response), response.status) from response.__cause__
        return None

    @property
    def open(self) -> bool:
        """Whether there is a call that goes on."""
        return not self.over and self._outcome is None

    @property
    def overdue(self) -> bool:
        """Whether the timeout has passed."""
        return self.deadline != math.inf and trio.current_time() >= self.deadline

    # -- ends --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Reset the call and give nothing more: what was received is dropped."""
        self.over = True
        self.ready.clear()
        self._incoming.close()
        self._drop_waiting()
        if self._source is not None:
            self._source.close()

    def time_out(self) -> Exception:
        """The error for a feed whose timeout has passed; the call is reset."""
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

    def ended(self) -> Exception:
        """The exception that a receiver gets after the last message."""
        outcome = self._outcome
        if not self.over and outcome is not None and outcome.ok:
            return trio.EndOfChannel()
        if self._session.closed:
            return trio.ClosedResourceError("the client was closed")
        if self._error is not None:
            kind, text, status, facts = self._error
            return self.operation.error(kind, text, self._address, status=status, **facts)
        if self.over or outcome is None:
            return trio.ClosedResourceError("this read or subscription was closed")
        if ended_at(self.deadline, outcome):
            return self.operation.overdue(self._address)
        return error_from(self.operation, outcome, self._address)

    async def wait_for_own_deadline(self) -> None:
        """If the call was ended because of the caller's scope, wait for that scope to be cancelled."""
        if self._outcome is not None:
            await wait_for_own_deadline(self._outcome)

    @property
    def _address(self) -> str:
        """The address of the node that serves the call."""
        call = None if self._source is None else self._source.call
        return "" if call is None else call.address

    def _failed(self, kind: type[ServerError], text: str, status: str, **facts: Any) -> Exception:
        """The error for a fault that was found here. Every receiver gets it from now on."""

        if not self.over:
            self._error = kind, text, status, facts
            self.close()
        return self.ended()


def _is_place(checkpoint: Checkpoint) -> bool:
    """Whether a subscription can go on from there."""
    return checkpoint.commit_position != _NOWHERE
