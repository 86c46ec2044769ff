"""The writes of a node in a cluster.

The leader makes a write at once, and tells its writer when enough nodes have it. So a write that cannot be confirmed
stays in the log and blocks none after it, and its writer learns only that it takes too long, or that the node does not
lead any more. Neither says what becomes of the write: it may be confirmed later, or be cut off.

A write goes on when its caller is cancelled: what is cancelled is the wait. Other nodes forward writes to the leader.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from random import Random
from typing import TypeVar

import trio

from .._store import TURN, Append, Write, Written, WrongExpectation
from .._store._replica import Interrupted, Replica
from ._failures import canceled_by_server, commit_timeout, forwarding_timeout, not_ready
from ._feed import Feed
from ._leadership import FORWARDING
from ._membership import Membership, State
from ._turns import in_turns
from ._writes import Outcome, Refused, Steps, Writes

T = TypeVar("T")

_COMMIT_TIMEOUT = 2.086, 2.519
"""Seconds after which a writer is told that a write is not confirmed yet, as measured: least and most."""
_FORWARDING_TIMEOUT = 4.34, 5.25
"""The same for a write that was forwarded and not answered."""


class _Waiter:
    """A writer that waits until its write is confirmed."""

    __slots__ = ("deadline", "event", "is_confirmed")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        """The time of trio's clock until which it waits."""
        self.event = trio.Event()
        self.is_confirmed = False

    def confirm(self) -> None:
        """Let the writer go on."""
        self.is_confirmed = True
        self.event.set()


class ReplicatedWrites(Writes):
    """The writes of a node in a cluster.

    Args:
        replica: The node's data.
        feed: Those who get the new events.
        now: The node's clock, in ticks since the Unix epoch.
        membership: Says whether this node leads, and forwards writes.
        random: Draws how long writers wait.
    """

    __slots__ = ("_came", "_membership", "_random", "_replica", "_waiters")

    def __init__(
        self, replica: Replica, feed: Feed, now: Callable[[], int], membership: Membership, random: Random
    ) -> None:
        super().__init__(replica.confirmed, feed, now)
        self._replica = replica
        self._membership = membership
        self._random = random
        self._came = 0
        self._waiters: list[tuple[int, int, _Waiter]] = []
        """A heap: where the commit point must be, a number, who waits for it."""
        replica.on_confirmed = self._confirmed

    def must_wait(self, events: int = 1) -> bool:
        """Always: no write can be answered in the step that makes it."""
        return True

    def begin(self, write: Write) -> Outcome:
        """Make a write now, unless it must wait for its turn or for the leader; what waits until it is confirmed.

        So writes are made in the order in which they come. The list of the events is emptied. What is called later
        raises what ``run`` raises.
        """
        is_large = isinstance(write, Append) and len(write.events) > TURN
        if self._membership.state is not State.Leader or is_large or self._lock.locked():
            return partial(self._make_later, write)
        try:
            outcome, end = self._replica.write(write, self._now())
        except Refused as exc:
            return partial(_refuse, exc)
        return partial(self._wait, outcome, self._waiter(end))

    async def run(self, write: Write) -> Written | WrongExpectation:
        """Make a write as ``begin`` does, and wait until it is confirmed.

        Raises:
            StreamDeleted, NeverAnswered, HarmfulMetadata: The store refuses it.
            Failure: The node is not ready, or it is not known what becomes of the write.
        """
        return await self.begin(write)()

    async def take_steps(self, steps: Steps[T]) -> T:
        """Make these writes, each when the one before it is confirmed; what they return."""
        try:
            write = next(steps)
            while True:
                try:
                    outcome = await self.run(write)
                except Refused as exc:
                    write = steps.throw(exc)
                else:
                    write = steps.send(outcome)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def cancel_all(self) -> None:
        """This node does not lead any more: tell all writers so. What they wrote stays in the log."""
        self._replica.interrupt()
        waiters, self._waiters = self._waiters, []
        for _, _, waiter in sorted(waiters):
            waiter.event.set()

    async def wait_for_all(self) -> None:
        """Wait until all that is in the log is confirmed.

        Raises:
            Failure: That takes too long, or the node leads no more.
        """
        await self._wait(None, self._waiter(self._replica.end))

    async def _make_later(self, write: Write) -> Written | WrongExpectation:
        if self._membership.state in FORWARDING:
            return await self._forward(write)
        async with self._lock:
            if self._membership.state is not State.Leader:
                raise not_ready()
            outcome, end = await self._make(write)
        return await self._wait(outcome, self._waiter(end))

    async def _make(self, write: Write) -> tuple[Written | WrongExpectation, int]:
        if not isinstance(write, Append):
            return self._replica.write(write, self._now())
        try:
            with trio.CancelScope(shield=True):
                made = await in_turns(self._replica.append_in_turns(write, self._now()))
        except Interrupted:
            raise canceled_by_server() from None
        return made

    def _waiter(self, end: int) -> _Waiter:
        """What is set when the commit point is here."""
        waiter = _Waiter(trio.current_time() + self._random.uniform(*_COMMIT_TIMEOUT))
        if self._replica.confirmed_end >= end:
            waiter.confirm()
        else:
            self._came += 1
            heappush(self._waiters, (end, self._came, waiter))
        return waiter

    async def _wait(self, outcome: T, waiter: _Waiter) -> T:
        if waiter.is_confirmed:
            return outcome
        with trio.move_on_at(waiter.deadline) as scope:
            await waiter.event.wait()
        if not waiter.is_confirmed:
            raise commit_timeout() if scope.cancelled_caught else canceled_by_server()
        return outcome

    def _confirmed(self) -> None:
        """The commit point has moved."""
        end = self._replica.confirmed_end
        while self._waiters and self._waiters[0][0] <= end:
            heappop(self._waiters)[2].confirm()

    async def _forward(self, write: Write) -> Written | WrongExpectation:
        with trio.move_on_after(self._random.uniform(*_FORWARDING_TIMEOUT)):
            return await self._membership.forward(write)
        raise forwarding_timeout()


async def _refuse(exc: Exception) -> Written | WrongExpectation:
    raise exc
