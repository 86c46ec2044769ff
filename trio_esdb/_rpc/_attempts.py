"""The attempts of one call: whether it is sent again after a failure, when, and what the last error says.

One object lives as long as the call does in the eyes of its caller, over all attempts. What happens in an attempt is
not its business: whoever runs the call tells it of failures (``again``) and of progress.

How long it goes on (patience):

- A call with one answer has a deadline, always: its timeout, or the client's default. Attempts end with it.
- A read has a timeout only if the caller gave one. Without it, an outage may last as long as the default deadline,
  counted from the failure that began it; progress ends an outage.
- A subscription that has begun has no limit but the caller's cancel scope. Until then it is as a read.

Time is trio's clock. Waiting is done by a function of the session, which ends it when the client is closed.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import trio

from trio_esdb._errors import DeadlineExceededError, ExpectedPositionError, NotLeaderError, ServerError
from trio_esdb._model import RetryPolicy
from trio_esdb._wire import Outcome

from ._operation import Operation
from ._policy import POLICY, Action, CallKind, Trouble

_WRITES = (CallKind.EXACT_WRITE, CallKind.OTHER_WRITE)
_ENDLESS = (CallKind.SUBSCRIPTION, CallKind.GROUP)
_WAIT_FIRST = (Trouble.NOT_READY, Trouble.SERVER_TIMEOUT, Trouble.CALM)
"""Here the server has said that it needs time. After other trouble the first repeat comes at once."""
_MOST_HOPS = 2
"""How many times in a row a call goes to the leader that a node named, before the leader is looked for again."""
_FRUITLESS = (Trouble.CLEAN_END, Trouble.DROPPED)
_MOST_FRUITLESS = 5
"""How often an endless call may be ended by the server, one time after the other, without any progress."""
_LIFE = 5.0
"""Seconds. An endless call that was open for so long after its confirmation has made progress, even without events."""
_LEAST_DELAY = 0.01
"""Seconds."""

Wait = Callable[[float], Awaitable[None]]


class Attempts:
    """The attempts of one call.

    Args:
        operation: The call.
        policy: How long to wait.
        enabled: Whether a call may be repeated of which a server may know. If not, only "never sent" is repeated.
        deadline: When the timeout of the call passes, in seconds of trio's clock.
        patience: How many seconds an outage may last that the deadline does not end.
        random: Gives the jitter.
        wait: Waits for so many seconds, and raises trio.ClosedResourceError if the client is closed.
        renew: Called with ``sent`` when the credentials turned out not to be valid; whether there are others to try.
        learn: Called with ``sent``, the kind of trouble, the error, and whether to follow a node that names the leader,
            when an attempt has failed: so it is known where the next one is to go.
        report: Called before a repeat with the error, the number of the attempt to come, and the seconds until then.
    """

    def __init__(
        self,
        operation: Operation,
        policy: RetryPolicy,
        *,
        enabled: bool = True,
        deadline: float = math.inf,
        patience: float = math.inf,
        random: Random,
        wait: Wait,
        renew: Callable[[Any], bool] = lambda sent: False,
        learn: Callable[[Any, Trouble, ServerError, bool], None] = lambda sent, trouble, error, follow: None,
        report: Callable[[ServerError, int, float], None] = lambda error, attempt, delay: None,
    ) -> None:
        self.operation = operation
        self.deadline = deadline
        self.tries = 1
        """The number of the attempt that is made now, counted from the last progress."""
        self.begun = False
        """Whether there was progress: for an endless call, whether it has begun."""
        self.last: ServerError | None = None
        """The last failure since the last progress."""
        self.sent: Any = None
        """Where and for whom the last attempt was sent, for ``renew`` and ``learn``; None if it was not sent."""
        self.under_way = False
        """Whether an attempt of a write is under way: it may be applied."""
        self.unsure = False
        """Whether an attempt of a write that has failed may have been done."""
        self._policy = policy
        self._enabled = enabled
        self._patience = patience if deadline == math.inf else math.inf
        self._random = random
        self._wait = wait
        self._renew = renew
        self._learn = learn
        self._report = report
        self._renewed = False
        self._repeats = 0
        self._hops = 0
        """How many nodes have said in a row that another one is the leader."""
        self._fruitless = 0
        self._outage: float | None = None
        self._confirmed: float | None = None

    def action(self, trouble: Trouble) -> Action:
        """What the policy says for this call."""
        if not self._enabled and trouble is not Trouble.NEVER_SENT:
            return Action.FINISH if trouble is Trouble.DRAINING else Action.RAISE
        return POLICY[trouble].get(self.operation.kind, Action.RAISE)

    @trio.lowlevel.enable_ki_protection
    async def again(self, error: ServerError, trouble: Trouble, outcome: Outcome | None = None) -> None:
        """An attempt failed: wait until the call is to be sent again.

        Args:
            error: What its caller would get for it.
            trouble: What kind of failure it was.
            outcome: How the attempt ended, if it was sent.

        Raises:
            ServerError: The call is not sent again: ``error``, which tells of the other attempts too, or
                DeadlineExceededError if the deadline passed.
            trio.ClosedResourceError: The client was closed.
        """
        delay = self.failed(error, trouble, outcome)
        now = trio.current_time()
        if now + delay >= self.deadline:
            await self._wait(max(0.0, self.deadline - now))
            raise self.overdue(error.address)
        await self._wait(delay)

    def failed(self, error: ServerError, trouble: Trouble, outcome: Outcome | None = None) -> float:
        """An attempt failed. The arguments and errors are those of ``again``, but this does not wait.

        Returns:
            Seconds until the call is to be sent again.
        """
        now = trio.current_time()
        if self._confirmed is not None and now - self._confirmed >= _LIFE:
            self.progress()
        self._confirmed = None
        if self._outage is None:
            self._outage = now
        follow = self._follows(trouble, error)
        if self.sent is not None:
            self._learn(self.sent, trouble, error, follow)
        delay = 0.0 if follow else self._delay(trouble, outcome)
        patience = math.inf if self.begun and self.operation.kind in _ENDLESS else self._patience
        too_late = now + delay >= self.deadline
        if (
            not self._allows(trouble)
            or delay == math.inf
            or now + delay > self._outage + patience
            or (too_late and trouble is Trouble.NOT_LEADER)
        ):
            raise self.final(error)
        self._failed(error)
        if not too_late:
            self.tries += 1
            self._repeats += not follow
            self._report(error, self.tries, delay)
        return delay

    def _follows(self, trouble: Trouble, error: ServerError) -> bool:
        """Whether to send the call to the leader that a node named; what two in a row have named was wrong."""
        if trouble is not Trouble.NOT_LEADER:
            return False
        named = isinstance(error, NotLeaderError) and error.leader is not None
        self._hops = self._hops + 1 if named and self._hops < _MOST_HOPS else 0
        return self._hops > 0

    def confirmed(self) -> None:
        """An endless call has begun. If it lives for some seconds, that is progress."""
        self.begun = True
        self._confirmed = trio.current_time()

    def progress(self) -> None:
        """An answer, an event or a checkpoint came: what was before does not count any more."""
        if self.last is not None or not self.begun:
            self.begun = True
            self.last = None
            self.tries = 1
            self._repeats = self._fruitless = self._hops = 0
            self._outage = None
            self._renewed = False

    def final(self, error: ServerError) -> ServerError:
        """An error that ends the call, with what must be said of all its attempts."""
        unsure = self.unsure
        self._failed(error)
        if unsure and error.applied is False and not settles(error):
            error.applied = None
        if self.tries > 1:
            error.args = (f"{error} (tried {self.tries} times)",)
        return error

    def overdue(self, address: str, missing: str = "", *, sent: bool = False) -> DeadlineExceededError:
        """The error for a call whose deadline has passed.

        Args:
            address: The address of the node.
            missing: Why there is no node, as the end of a sentence.
            sent: Whether an attempt is under way: it may be applied.
        """
        last = self.last
        tried = "" if last is None else f"; tried {self.tries} times, the last failure: {last}"
        certain = not (sent or self.under_way or self.unsure)
        error = self.operation.overdue(address, tried + missing, applied=False if certain else None)
        error.__cause__ = last
        return error

    def _failed(self, error: ServerError) -> None:
        self.last = error
        if error.applied is None and self.operation.kind in _WRITES:
            self.unsure = True

    def _allows(self, trouble: Trouble) -> bool:
        """Whether the call may be sent again after this failure."""
        action = self.action(trouble)
        if trouble is Trouble.UNUSABLE and not self.begun:
            return False
        if trouble in _FRUITLESS:
            self._fruitless += 1
            if self._fruitless >= _MOST_FRUITLESS:
                return False
        if action is Action.ASK_CREDENTIALS:
            others = self._renew(self.sent)  # also the last time: the next call must not use these again
            allowed, self._renewed = others and not self._renewed, True
            return allowed
        return action is not Action.RAISE

    def _delay(self, trouble: Trouble, outcome: Outcome | None) -> float:
        """Seconds until the next attempt; infinite if the server wants none."""
        if outcome is not None and outcome.pushback is not None:
            return outcome.pushback
        policy = self._policy
        longest = 20 * policy.first_delay if policy.max_delay is None else policy.max_delay
        if outcome is not None and outcome.calm:
            delay = longest
        else:
            at_once = trouble not in _WAIT_FIRST and (trouble is not Trouble.NOT_LEADER or self.tries == 1)
            doublings = self._repeats - at_once
            if doublings < 0:
                return 0
            delay = min(longest, policy.first_delay * 2.0 ** min(doublings, 100))
        return max(_LEAST_DELAY, delay * (1 + policy.jitter * (2 * self._random.random() - 1)))


def settles(error: ServerError) -> bool:
    """Whether an error tells that no earlier attempt was done: the server looked for its events in their place.

    A leader that was frozen may lack the place itself: it answers from its old log until it notices the new leader.
    """
    if not isinstance(error, ExpectedPositionError):
        return False
    return not isinstance(error.expected, int) or (error.actual is not None and error.actual >= error.expected)
