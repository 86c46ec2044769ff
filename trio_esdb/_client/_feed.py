"""One read or subscription, whichever calls it is made by: when it has a call, what receivers get, and how it ends.

The feed is above the transport: calls give it batches of messages (``_batches``), channels take events from it. A call
can be replaced by another one while the channels of the feed stay; that is how a subscription outlives its connection.
When and how that is done is written in ``_resuming``.

A batch without messages wakes a task that waits, which then finds the feed ``unsettled``: the call is over, or soon
will be.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import trio

from trio_esdb._cluster import Sent, Session
from trio_esdb._convert import LastStreamPosition, ReadResponse, StreamNotFound
from trio_esdb._errors import DeadlineExceededError, ProtocolError, ServerError, StreamNotFoundError
from trio_esdb._model import CaughtUp, Checkpoint, FellBehind, RecordedEvent, Resumed
from trio_esdb._rpc import LEADER_MOVED, CallKind, Operation, wait_for_own_deadline
from trio_esdb._wire import Outcome

from ._batches import Batches
from ._position import ReadOptions, is_place
from ._source import Opening, Source

SubscriptionMessage = RecordedEvent | Checkpoint | CaughtUp | FellBehind | Resumed
"""The messages of a subscription: events, and the other messages that were asked for."""


class Resumer(Protocol):
    """What opens further calls of a feed; see ``_resuming.Resumption``."""

    @property
    def spent(self) -> bool:
        """Whether a new one would do the same from now on."""

    async def go_on(self, feed: Feed) -> None:
        """Return when there is a call that goes on, or when the end has come."""

    def judge(self, feed: Feed) -> None:
        """Decide what the end of the call means."""

    def unanswered(self, feed: Feed) -> None:
        """The first answer has not come in time."""

    def not_opened(self, feed: Feed, error: ServerError) -> None:
        """The first call could not be opened."""

    def overdue(self, address: str) -> ServerError:
        """The error for a timeout that has passed."""

    def close(self) -> None:
        """Open no further call."""


class Feed(Batches):
    """The messages of one read or subscription, shared by all channels that receive from it.

    Args:
        session: Where its calls are opened.
        operation: The first call.
        options: What it asks for.
        wanted: The classes of messages to give besides events.
        resume: Whether a subscription goes on after its call has ended, unless calls are not to be repeated.
        resumer: Makes what opens further calls.
    """

    __slots__ = (
        "_end",
        "_endless",
        "_last_outcome",
        "_new_resumer",
        "_resume",
        "_resumer",
        "_source",
        "_told",
        "_wanted",
        "dropped_channels",
        "last_stream_position",
        "operation",
        "outcome",
        "over",
        "resumptions",
        "subscription_id",
        "token",
        "unsettled",
    )

    def __init__(
        self,
        session: Session,
        operation: Operation,
        options: ReadOptions,
        wanted: frozenset[type],
        *,
        resume: bool,
        resumer: Callable[..., Resumer],
    ) -> None:
        super().__init__(session, options, operation.call, session.deadline(operation))
        self.operation = operation
        self.subscription_id: str | None = None
        self.last_stream_position: int | None = None
        self.resumptions = 0
        """How many times a new call has gone on."""
        self.unsettled = True
        """Whether somebody must look after the call (``go_on``) before messages can be waited for."""
        self.outcome: Outcome | None = None
        """How the call ended, until it is decided what that means."""
        self.over = False
        """Nothing more is given: the feed was closed, or one of its messages was an error."""
        self.dropped_channels = 0
        """Channels that were dropped without being closed and are to be closed soon."""
        self.token = trio.lowlevel.current_trio_token()
        self._wanted = wanted
        self._endless = endless = options.limit is None
        self._resume = not endless or (resume and session.repeats(operation))
        self._told = self.deadline if endless else min(self.deadline, trio.current_effective_deadline())
        self._new_resumer = resumer
        self._resumer: Resumer | None = None
        self._source: Source | None = None
        self._end: Exception | None = None
        self._last_outcome: Outcome | None = None

    # -- calls -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the first call. Returns and raises as ``go_on`` does."""
        if not self._endless:
            source = Source(self, self.place)
            try:
                source.call, source.sent = await self._session.open(self.operation, source, self._told)
            except DeadlineExceededError:
                raise
            except ServerError as exc:
                self.resumer.not_opened(self, exc)
            else:
                self.adopt(source)
                return
        await self.go_on()

    async def go_on(self) -> None:
        """Return when there is a call that goes on, or when the end has come.

        Raises:
            DeadlineExceededError: The timeout passed.
            trio.ClosedResourceError: The feed or the client was closed.
        """
        resumer = self.resumer
        await resumer.go_on(self)
        if resumer.spent:
            self._resumer = None

    @property
    def resumer(self) -> Resumer:
        """What opens further calls. It is there only while it is needed: there can be many feeds that wait for long."""
        if self._resumer is None:
            self._resumer = self._new_resumer(
                self._session,
                self.operation,
                self._options,
                resume=self._resume,
                deadline=self.deadline,
                told=self._told,
                begun=self._source is not None,
            )
        return self._resumer

    def settle(self) -> None:
        """Fix the place at which a new call begins: drop what the old one brought and nobody has drawn.

        What was received before what was drawn last is kept.
        """
        self._expect_no_answer()
        source = self._source
        if source is not None and source.kept == math.inf:
            source.close()
            source.kept = self._last_drawn
            self._drop_waiting()

    def adopt(self, source: Source, opening: Opening | None = None) -> None:
        """Take messages from a call that has begun. It replaces the call before it, which is closed.

        Args:
            source: The call.
            opening: What came of it before. None for a read, which has begun at once: its messages come here.
        """
        if self._source is not None:
            self.settle()
            if self._options.gives_again:
                source.floor = self.place
        self._source = source
        self.outcome = None
        self.unsettled = False
        if opening is None:
            if self._options.filter is None and self.operation.kind is CallKind.READ:
                # A server can look at very many events until one passes a filter, else its first answer comes soon.
                self._expect_answer(self._session.options.timeouts.first_answer)
            return
        if opening.messages:
            self.receive(source, opening.messages)
        if opening.outcome is not None:
            self.call_ended(opening.outcome)
            return
        source.receiver = self
        if opening.draining:
            self.call_is_draining()
        if opening.follower:
            self.leader_moved()

    def resumed(self, cause: ServerError) -> None:
        """A new call goes on after trouble."""
        self.resumptions += 1
        if Resumed in self._wanted:
            self.ready.insert(0, Resumed(self._options.public(self.place), cause))

    @property
    def has_progressed(self) -> bool:
        """Whether the call has brought an event or a checkpoint that was drawn."""
        return self._source is not None and self._source.start != self.place

    def call_is_draining(self) -> None:
        """The node will soon end the call: a subscription is to be moved before that."""
        if self._endless and self._resume:
            self._call_somebody()

    @property
    def endless(self) -> bool:
        """Whether this is a subscription."""
        return self._endless

    def leader_moved(self) -> None:
        """The node of the call is not the leader any more: a subscription goes on where the leader is."""
        if self._endless and self._resume and self._source is not None and self._source.receiver is self:
            self._source.close()
            self.call_ended(LEADER_MOVED)

    def call_ended(self, outcome: Outcome) -> None:
        """The call is over. The messages that have come are given all the same."""
        if outcome.ok and not self._endless:
            self._last_outcome = outcome
            self._end = trio.EndOfChannel()
            self._incoming.close()
        else:
            self.outcome = outcome
            self._call_somebody()

    def _call_somebody(self) -> None:
        """Wake a task that waits, or the next one that will."""
        self.unsettled = True
        self._incoming.send_nowait((None, 0, []))

    def wake_another(self) -> None:
        """The task that looked after the call does so no longer; another one must."""
        if self.unsettled and not self.over and self._incoming.statistics().tasks_waiting_receive:
            self._call_somebody()

    # -- messages ----------------------------------------------------------------------------------------------------

    def message(self, response: ReadResponse | ProtocolError | Resumed) -> SubscriptionMessage | None:
        """What a receiver is given for this response; None if nothing."""
        match response:
            case RecordedEvent() | Resumed():
                return response
            case Checkpoint():
                return response if Checkpoint in self._wanted and is_place(response) else None
            case CaughtUp() | FellBehind():
                return response if type(response) in self._wanted else None
            case StreamNotFound():
                raise self._failed(
                    StreamNotFoundError, "there is no such stream", "OK", stream_name=self.operation.stream_name
                )
            case LastStreamPosition(stream_position=position):
                self.last_stream_position = position
            case ProtocolError():
                raise self._failed(ProtocolError, str(response), response.status) from response.__cause__
        return None

    @property
    def open(self) -> bool:
        """Whether more messages may come."""
        return not self.over and self._end is None

    @property
    def overdue(self) -> bool:
        """Whether the timeout has passed."""
        return self.deadline != math.inf and trio.current_time() >= self.deadline

    @property
    def error(self) -> Exception | None:
        """The error that receivers get after the last message; None if there is none."""
        return None if isinstance(self._end, trio.EndOfChannel) else self._end

    # -- ends --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Reset the call and give nothing more: what was received is dropped."""
        self.over = True
        self.ready.clear()
        if type(self._end) is trio.EndOfChannel:
            self._end = None
        self._stop()
        self._drop_waiting()

    def finish(self) -> None:
        """There is nothing to come after what was received."""
        self.fail(trio.EndOfChannel())

    def fail(self, error: Exception, outcome: Outcome | None = None) -> None:
        """Nothing comes after what was received but this error.

        Args:
            error: What every receiver gets.
            outcome: How the call ended, if that is why.
        """
        self._end = error
        self._last_outcome = outcome
        self.unsettled = False
        self._stop()

    def _stop(self) -> None:
        if self.wait_until != self.deadline:
            self._expect_no_answer()
        self._incoming.close()
        if self._resumer is not None:
            self._resumer.close()
        if self._source is not None:
            self._source.close()

    def judge(self) -> None:
        """Decide what the end of the call means, when all that it brought was drawn.

        Raises:
            ServerError: The call has failed, and there will be no other.
            trio.EndOfChannel: Everything was given.
        """
        self.resumer.judge(self)
        if not self.open:
            self.raise_end()

    def late(self) -> None:
        """Nothing came until ``wait_until``, or the deadline.

        Raises:
            DeadlineExceededError: The timeout has passed.
        """
        if self.overdue:
            raise self.time_out()
        if trio.current_time() >= self.wait_until:
            self._expect_no_answer()
            if not self.unsettled and (self._source is None or not self._source.answered):
                self.resumer.unanswered(self)

    def time_out(self) -> Exception:
        """The error for a feed whose timeout has passed; the call is reset."""
        if not self.over:
            self._end = self.resumer.overdue(self.address)
            self.close()
        return self.ended()

    def ended(self) -> Exception:
        """The exception that a receiver gets after the last message. Each gets one of its own."""
        end = self._end
        if end is None:
            return trio.ClosedResourceError(
                "the client was closed" if self._session.closed else "this read or subscription was closed"
            )
        if type(end) is trio.EndOfChannel:
            return trio.EndOfChannel()
        again = copy.copy(end)
        again.__cause__ = end.__cause__
        return again

    def raise_end(self) -> NoReturn:
        """Raise what a receiver gets after the last message, without what led to it here."""
        end = self.ended()
        try:
            raise end from end.__cause__
        finally:
            del end  # the error knows this frame

    async def wait_for_own_deadline(self) -> None:
        """If the call was ended because of the caller's scope, wait for that scope to be cancelled."""
        if self._last_outcome is not None:
            await wait_for_own_deadline(self._last_outcome)

    @property
    def address(self) -> str:
        """The address of the node that serves the call."""
        return self._session.nodes.address if self._source is None else self._source.address

    @property
    def sent(self) -> Sent | None:
        """Where the call was sent, and for whom."""
        return None if self._source is None else self._source.sent

    def _failed(self, kind: type[ServerError], text: str, status: str, **facts: Any) -> Exception:
        """The error for a fault that was found here. Every receiver gets it from now on."""
        if not self.over:
            self._end = self.operation.error(kind, text, self.address, status=status, **facts)
            self.close()
        return self.ended()
