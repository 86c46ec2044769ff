"""What is to happen later in a cluster, in the order of time. Nothing here waits; see ``run_due``."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

_AT_ONCE = 16
"""So many things happen in one go. Each takes a few milliseconds at most, when it hands over a turn of the log."""


class Timer:
    """Something that is to happen at a time."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Let it not happen."""
        self.callback = None


class Schedule:
    """Timers. What is due at the same time happens in the order in which it was asked for.

    Args:
        now: Tells the time, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = count()
        self.on_earlier: Callable[[], None] = lambda: None
        """Called when something is to happen before all that was known."""

    def now(self) -> float:
        """The time, in seconds."""
        return self._now()

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call something after this many seconds."""
        return self.at(self._now() + delay, callback)

    def at(self, due: float, callback: Callable[[], None]) -> Timer:
        """Call something at this time, in seconds."""
        timer = Timer(due, callback)
        is_first = timer.due < self.next_due
        heappush(self._heap, (timer.due, next(self._count), timer))
        if is_first:
            self.on_earlier()
        return timer

    @property
    def next_due(self) -> float:
        """When something is to happen next; infinity if nothing is."""
        while self._heap and self._heap[0][2].callback is None:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    @property
    def is_due(self) -> bool:
        """Whether something is to happen now."""
        return self.next_due <= self._now()

    def run_due(self) -> None:
        """Let happen what is due, and what becomes due by that, but not too much of it at once."""
        for _ in range(_AT_ONCE):
            if not self.is_due:
                break
            timer = heappop(self._heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
