"""The node's time: the wall clock, or a fixed date that goes on with trio's clock.

Under a mock clock a test wants to see the same times in every run. Everywhere else events must be dated rightly, and a
deadline that a client sends as a point in time must mean what it says.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import trio

from ._store import TICKS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
"""When time begins under a mock clock."""
_FAR = 1000.0

Ticks = Callable[[], int]
"""Tells the time in ticks (100 ns) since the Unix epoch."""


def ticks_of(moment: datetime) -> int:
    """An aware datetime in ticks since the Unix epoch."""
    if moment.tzinfo is None:
        raise ValueError(f"the clock of an EmbeddedNode must tell times with a time zone, {moment!r} has none")
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * TICKS + passed.microseconds * 10


def wall_clock() -> int:
    """The time of day, in ticks since the Unix epoch."""
    return time.time_ns() // 100


def clock_from(moment: datetime) -> Ticks:
    """A clock that shows ``moment`` now and goes on as trio's clock does."""
    first, started_at = ticks_of(moment), trio.current_time()
    return lambda: first + round((trio.current_time() - started_at) * TICKS)


def clock_is_mock() -> bool:
    """Whether the running trio has another clock than real time.

    trio's MockClock is known by its class. Any other is asked how long one has to wait for a time to come: real clocks
    say just so long.
    """
    clock = trio.lowlevel.current_clock()
    testing = sys.modules.get("trio.testing")  # not imported here, as that takes long; without it there is no MockClock
    if testing is not None and isinstance(clock, testing.MockClock):
        return True
    return not 0.9 * _FAR < clock.deadline_to_sleep_time(clock.current_time() + _FAR) < 1.1 * _FAR
