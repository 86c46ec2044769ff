"""How a read or subscription goes on when its call is over: the next call, and whether there is one.

What decides is the policy (``Attempts``). This file does it: it waits, finds out whether the position is still there,
opens the next call and waits until that has begun. The first call is opened in the same way.

One task does this for all that share the feed: the one that wants a message and finds that none can come. It holds a
lock meanwhile. If it is cancelled, what it has found out stays (when to try again, that the position was checked, a
call that was opened), and the next task that wants a message takes over. So the steps get on even where each
``receive`` has little time. There is no task in the background, and therefore no error that comes out of nowhere.

A subscription that is to leave a node that shuts down opens the new call first and resets the old one after that
(*moving*). Both may bring the same events for a moment: the feed takes the new call's only from the place on that it
has come to. What the old one brings meanwhile is not kept waiting: the attempt is interrupted for it, and goes on when
it was given. If there is no new call, the old one goes on to its end; in a cluster, the attempt is made again before.
"""

from __future__ import annotations

import math

import trio

from trio_esdb._cluster import Sent, Session
from trio_esdb._convert import Confirmation, StreamNotFound
from trio_esdb._errors import (
    PositionLostError,
    ProtocolError,
    ServerError,
    StreamDeletedError,
    StreamNotFoundError,
    UnavailableError,
)
from trio_esdb._model import CallResumed
from trio_esdb._rpc import Attempts, Operation, Trouble, ended_at, error_from, trouble_of
from trio_esdb._wire import Outcome

from ._feed import Feed
from ._position import TOMBSTONE, ReadOptions
from ._short_reads import CallFailed, check_position, last_place, unanswered
from ._source import Opening, Source

_PASSES = (
    Trouble.NEVER_SENT,
    Trouble.UNUSABLE,
    Trouble.NOT_LEADER,
    Trouble.NOT_READY,
    Trouble.LOST,
    Trouble.NO_FIRST_ANSWER,
)
"""If a call could not be moved because of this, another node may take it."""
_LAG = 15.0
"""Seconds after which a position that no node of a cluster holds is lost. A leader that is cut off from the others
takes up to 10 seconds to know that it is none."""
_PAUSE = 0.25
"""Seconds between two attempts to move a call."""


class Resumption:
    """Opens the calls of one feed, one after the other.

    Args:
        session: Where the calls are opened.
        operation: The first call.
        options: What it asks for.
        resume: Whether a subscription goes on after its call has ended.
        deadline: When the timeout passes, in seconds of trio's clock.
        told: The deadline that the server is told, which is also that of the scope in which a read was opened.
        begun: Whether there was a call already.
    """

    __slots__ = (
        "_attempts",
        "_begun",
        "_cause",
        "_checked",
        "_deadline",
        "_first",
        "_first_answer",
        "_lock",
        "_lost_since",
        "_not_before",
        "_opened",
        "_operation",
        "_options",
        "_patience_ends",
        "_resume",
        "_scope",
        "_session",
        "_told",
    )

    def __init__(
        self,
        session: Session,
        operation: Operation,
        options: ReadOptions,
        *,
        resume: bool,
        deadline: float,
        told: float,
        begun: bool,
    ) -> None:
        self._session = session
        self._operation = operation
        self._first = options
        self._options = options._replace(from_end=False) if begun and options.from_end else options
        self._deadline = deadline
        self._told = told
        self._resume = resume
        self._first_answer = session.options.timeouts.first_answer
        """Seconds in which a call must begin."""
        self._attempts: Attempts | None = None
        self._lock: trio.Lock | None = None
        self._scope: trio.CancelScope | None = None
        self._begun = begun
        """Whether there was a call that began."""
        self._cause: ServerError | None = None
        """Why there is no call now; None if there is one, or there was none yet."""
        self._not_before = -math.inf
        """When the next call may be opened, in seconds of trio's clock."""
        self._checked = False
        """Whether the position is there, in this outage."""
        self._lost_since = math.inf
        """Since when the nodes say that it is not."""
        self._opened: tuple[Source, Opening] | None = None
        """A call of a subscription that has not begun yet."""
        self._patience_ends = math.inf
        """When that call must have begun."""

    @trio.lowlevel.enable_ki_protection
    async def go_on(self, feed: Feed) -> None:
        """Return when the feed has a call that goes on, or has come to its end. Only one task does something for that.

        Raises:
            DeadlineExceededError: The timeout passed.
            trio.ClosedResourceError: The feed or the client was closed.
        """
        if self._lock is None:
            self._lock = trio.Lock()
        try:
            async with self._lock:
                if feed.unsettled and feed.open:
                    await self._run_in_time(feed)
        except BaseException:
            feed.wake_another()
            raise
        if feed.over:
            raise feed.ended()

    @property
    def spent(self) -> bool:
        """Whether a new one would do the same from now on: nothing that is known here is needed later."""
        waited_for = self._lock is not None and self._lock.locked()
        return self._begun and self._attempts is None and self._opened is None and not self._checked and not waited_for

    def close(self) -> None:
        """The feed is closed: open no further call."""
        if self._scope is not None:
            self._scope.cancel()
        self._give_up()

    def overdue(self, address: str) -> ServerError:
        """The error for a read or subscription whose timeout has passed."""
        return (self._attempts or self._operation).overdue(address, self._session.nodes.missing)

    # -- what a failure means ----------------------------------------------------------------------------------------

    def judge(self, feed: Feed) -> None:
        """Decide what the end of the feed's call means. After it the feed is over, or there is to be a next call."""
        outcome, feed.outcome = feed.outcome, None
        if outcome is None:
            return
        if outcome.ok and not self._resume:
            feed.finish()
        elif self._session.closed:
            feed.fail(trio.ClosedResourceError("the client was closed"))
        else:
            self._failed(feed, self._failure(outcome, feed.address, feed.sent), progress=feed.has_progressed)

    def unanswered(self, feed: Feed) -> None:
        """The call of a read has brought nothing in the time that it has for its first answer."""
        feed.settle()
        feed.unsettled = True
        self._failed(feed, unanswered(self._operation, self._first_answer, feed.sent))

    def not_opened(self, feed: Feed, error: ServerError) -> None:
        """The first call could not be opened."""
        self._failed(feed, _unsent(error))

    def _failure(self, outcome: Outcome, address: str, sent: Sent | None) -> CallFailed:
        """What the end of a call means."""
        operation = self._operation
        if ended_at(self._deadline, outcome):
            return CallFailed(operation.overdue(address), Trouble.OWN_DEADLINE, sent, outcome)
        if outcome.ok:
            return CallFailed(
                operation.error(UnavailableError, "the server ended the subscription", address, status="OK"),
                Trouble.CLEAN_END,
                sent,
                outcome,
            )
        error = error_from(operation, outcome, address)
        trouble = Trouble.OWN_DEADLINE if ended_at(self._told, outcome) else trouble_of(outcome, error)
        return CallFailed(error, trouble, sent, outcome)

    def _failed(self, feed: Feed, failure: CallFailed, *, progress: bool = False) -> None:
        """Decide whether there is a next call, and when."""
        error = failure.error
        if self._options.stream_name and feed.place == (TOMBSTONE, 0):
            name = self._options.stream_name
            text = "the stream was tombstoned"
            error = self._operation.error(StreamDeletedError, text, feed.address, status="OK", stream_name=name)
            feed.fail(error)
            return
        if self._begun and not self._resume:
            feed.fail(error, failure.outcome)
            return
        attempts = self._attempts
        if attempts is None:
            attempts = self._attempts = self._session.attempts(self._operation, self._deadline)
            progress = progress or (self._begun and self._options.endless)
        if progress:
            attempts.progress()
        try:
            attempts.sent = failure.sent
            delay = attempts.failed(error, failure.trouble, failure.outcome)
        except ServerError as exc:
            feed.fail(exc, failure.outcome)
            return
        self._not_before = trio.current_time() + delay
        if self._cause is None:
            self._cause = error

    # -- the next call -----------------------------------------------------------------------------------------------

    async def _run_in_time(self, feed: Feed) -> None:
        with trio.CancelScope(deadline=self._deadline) as scope:
            self._scope = scope
            try:
                await self._run(feed)
            finally:
                self._scope = None
        if scope.cancelled_caught and feed.open:
            raise feed.time_out()

    async def _run(self, feed: Feed) -> None:
        while True:
            self.judge(feed)
            if not feed.open:
                return
            if self._session.closed:
                await trio.lowlevel.checkpoint()
                raise trio.ClosedResourceError("the client was closed")
            moving = self._begun and self._cause is None
            try:
                if moving:
                    await self._move(feed)
                else:
                    await self._begin(feed, moving)
                return
            except CallFailed as exc:
                failure = exc
            except ServerError as exc:
                failure = _unsent(exc)
            self._give_up()
            if not moving:
                self._failed(feed, failure)
            elif self._session.options.cluster and failure.trouble in _PASSES:
                if failure.sent is not None:
                    self._session.learn(failure.sent, failure.trouble, failure.error, follow=True)
                self._not_before = trio.current_time() + _PAUSE
            elif feed.outcome is None:
                feed.unsettled = False  # the old call goes on
                return

    async def _move(self, feed: Feed) -> None:
        """Begin the next call while the old one goes on. Returns also when the old one has brought something."""
        with trio.CancelScope() as feed.moving:
            try:
                await self._begin(feed, True)
            finally:
                feed.moving = None

    async def _begin(self, feed: Feed, moving: bool) -> None:
        """One attempt to open the next call.

        Raises:
            CallFailed: It did not begin.
            ServerError: There was no connection for it, or the subscription cannot go on.
            trio.ClosedResourceError: The client was closed.
        """
        left = self._not_before - trio.current_time()
        if left > 0:
            await self._session.wait(left)
        if self._options.endless:
            await self._find_position(feed)
        if self._opened is None:
            if not moving:
                feed.settle()
            options = self._options.after(feed.place, feed.given)
            if options is None:
                feed.finish()
                return
            operation = self._operation
            if options is not self._first:
                from_position = not options.stream_name and options.position is not None
                operation = operation._replace(requests=[options.request()], from_position=from_position)
            if not options.endless:
                before = feed.address
                source = Source(feed, feed.place)
                source.call, source.sent = await self._session.open(operation, source, self._told)
                feed.adopt(source)
                self._goes_on(feed, source, before)
                return
            opening = Opening()
            source = Source(opening, feed.place)
            source.call, source.sent = await self._session.open(operation, source, self._told)
            self._opened = source, opening
            self._patience_ends = trio.current_time() + self._first_answer
        await self._confirmation(feed, *self._opened)

    async def _find_position(self, feed: Feed) -> None:
        """Find out where a subscription begins if that is the end, or whether it can go on where it was."""
        options, operation, patience = self._options, self._operation, self._first_answer
        if options.from_end and self._resume:
            feed.place = await last_place(self._session, operation, options, patience)
            self._options = options._replace(from_end=False)
        elif self._begun and not self._checked and feed.place is not None:
            if feed.place != self._first.position:  # the user's own position need not be there
                try:
                    await check_position(self._session, operation, options, feed.place, patience)
                except CallFailed as failure:
                    if self._may_only_lag(failure):
                        failure.trouble = Trouble.NOT_READY
                    raise
            self._lost_since = math.inf
            self._checked = True

    def _may_only_lag(self, failure: CallFailed) -> bool:
        """Whether a node that does not hold the position may yet get it: one that lags, or a leader without followers.

        In a cluster others are asked, until this has been so for some time.
        """
        if not self._session.options.cluster or not isinstance(failure.error, PositionLostError):
            return False
        now = trio.current_time()
        self._lost_since = min(self._lost_since, now)
        return now - self._lost_since < _LAG

    def _give_up(self) -> None:
        """Reset a call that has not begun."""
        if self._opened is not None:
            source, _ = self._opened
            source.close()
            self._opened = None

    async def _confirmation(self, feed: Feed, source: Source, opening: Opening) -> None:
        """Wait until the server has confirmed a subscription."""
        with trio.CancelScope(deadline=self._patience_ends):
            await opening.answered.wait()
        operation, address = self._operation, source.address
        if not opening.messages:
            if opening.outcome is None:
                raise unanswered(operation, self._first_answer, source.sent)
            if opening.outcome.ok:
                text = "the subscription ended before it began"
                error: ServerError = operation.error(ProtocolError, text, address, status="OK")
                raise CallFailed(error, Trouble.CLEAN_END, source.sent, opening.outcome)
            raise self._failure(opening.outcome, address, source.sent)
        first = opening.messages[:1]
        (response,) = self._session.decoder.read_responses(first)
        match response:
            case Confirmation(subscription_id=subscription_id):
                feed.subscription_id = subscription_id
            case ProtocolError():
                error = operation.error(ProtocolError, str(response), address, status=response.status)
                raise CallFailed(error, Trouble.FINAL) from response.__cause__
            case StreamNotFound(stream_name=name):
                text = "there is no such stream"
                error = operation.error(StreamNotFoundError, text, address, status="OK", stream_name=name)
                raise CallFailed(error, Trouble.FINAL)
            case _:
                text = "the server did not confirm the subscription first"
                raise CallFailed(operation.error(ProtocolError, text, address, status="INTERNAL"), Trouble.FINAL)
        source.take(first)
        del opening.messages[0]
        self._opened = None
        before = feed.address
        feed.adopt(source, opening)
        self._goes_on(feed, source, before)

    def _goes_on(self, feed: Feed, source: Source, before: str) -> None:
        """A call has begun, and has replaced the one before it, which was at that address."""
        cause, self._cause = self._cause, None
        if self._attempts is not None and self._options.endless:
            self._attempts.confirmed()
        self._checked = False
        if not self._begun:
            self._begun = True
            return
        if cause is None:
            text = "the node is about to close the connection"
            cause = self._operation.error(UnavailableError, text, before, status="UNAVAILABLE")
        feed.resumed(cause)
        self._session.options.observer.emit(
            CallResumed(
                address=source.address,
                method=self._operation.method.value,
                doing=self._operation.doing,
                cause=str(cause),
            )
        )


def _unsent(error: ServerError) -> CallFailed:
    """The failure of a call that could not be sent."""
    return CallFailed(error, trouble_of(None, error) if isinstance(error, UnavailableError) else Trouble.FINAL)
