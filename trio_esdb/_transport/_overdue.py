"""A time that many calls of a client have in common, kept by one task for all of them.

It is the default deadline of unary calls, or the time for the first answer to a read. A cancel scope for each call
would cost several per cent of an append or of a small read. But calls that have the same time are due in the order in
which they began, so one task can sleep until the first of them is due. It wakes up once in the time of a call, and not
at all while there are no calls.

A call can be sent later than one that began after it: it has waited for a connection, or its requests took some turns.
Behind the other one it would be given up too late. So it does not come here, but is within a scope.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from trio_esdb._wire import Outcome, Status

OVERDUE = Outcome(Status.DEADLINE_EXCEEDED, "the time of the call is over", local=True)
"""The outcome of a call that was given up."""


class Due(Protocol):
    """A call that waits."""

    def give_up(self, outcome: Outcome) -> None:
        """The time is over; this is the outcome of a call that ends then. Must neither wait nor raise."""


class OverdueCalls:
    """Gives up the calls that are not over in time.

    Args:
        start_soon: Starts a task, when the first call comes.
    """

    def __init__(self, start_soon: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
        self._start_soon: Callable[[Callable[[], Awaitable[None]]], None] | None = start_soon
        self.calls: dict[Due, float] = {}
        """The calls, with their deadlines in seconds of trio's clock, in this order. They come and go by themselves,
        because a function call more would be felt."""
        self.latest = -math.inf
        """The last deadline of all calls that came. A call that is due sooner must not come."""
        self.watching = False
        """Whether somebody looks at the calls; if not, a call that comes must call ``watch``."""
        self._task: trio.lowlevel.Task | None = None

    @trio.lowlevel.enable_ki_protection
    def watch(self) -> None:
        """Look at the calls again."""
        if self._start_soon is not None:
            start_soon, self._start_soon = self._start_soon, None
            self.watching = True
            start_soon(self.run)
        elif self._task is not None:
            task, self._task = self._task, None
            self.watching = True
            trio.lowlevel.reschedule(task)

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Give up each call when it is due, until this is cancelled."""
        while True:
            while self.calls:
                call, deadline = next(iter(self.calls.items()))
                if deadline > trio.current_time():
                    await trio.sleep_until(deadline)
                else:
                    del self.calls[call]
                    call.give_up(OVERDUE)
            await self._wait_for_a_call()

    async def _wait_for_a_call(self) -> None:
        self.watching = False
        self._task = trio.lowlevel.current_task()

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
