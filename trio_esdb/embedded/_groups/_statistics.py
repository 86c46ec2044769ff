"""What a node measures of a group and its consumers.

A node reads its own statistics at each whole second, and each reader begins a new measurement. No task does so here:
what the node would have read at the last whole second is found out when an event is delivered or somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_SECOND = 1000
OBSERVED = 1000
"""How many of the latest times are kept."""


class Deliveries:
    """Counts deliveries: all of them, and those since the last measurement. Times are in milliseconds."""

    __slots__ = ("_before", "_next_second", "_since", "total")

    def __init__(self, now: float) -> None:
        self.total = 0
        self._before = 0
        self._since = now
        self._next_second = now // _SECOND * _SECOND + _SECOND

    def add(self, now: float) -> None:
        """An event is delivered."""
        if now >= self._next_second:
            self._measured_at(now // _SECOND * _SECOND)
        self.total += 1

    def read(self, now: float) -> tuple[int, int]:
        """How many there were since the last measurement, and how many in a second. Begins a new measurement."""
        if now >= self._next_second:
            self._measured_at(now // _SECOND * _SECOND)
        count, elapsed = self.total - self._before, now - self._since
        self._measured_at(now)
        return count, int(_SECOND * count / elapsed) if elapsed > 0 else 0

    def _measured_at(self, time: float) -> None:
        self._before, self._since = self.total, time
        self._next_second = time // _SECOND * _SECOND + _SECOND


def observed(times: Iterable[float]) -> list[tuple[str, int]]:
    """The measurements of these times in the order in which a node tells them; none if there are no times."""
    found = sorted(times)
    if not found:
        return []
    shares = [(f"Quintile {part}", 20.0 * part) for part in range(1, 6)]
    shares += [(f"{percent:g}%", percent) for percent in (90, 95, 99, 99.5, 99.9)]
    return [
        ("Mean", int(sum(found) / len(found))),
        ("Median", int(found[len(found) // 2])),
        ("Fastest", int(found[0])),
        *((name, _percentile(found, percent)) for name, percent in shares),
        ("Highest", int(found[-1])),
    ]


def _percentile(times: Sequence[float], percent: float) -> int:
    return int(times[int(percent / 100 * (len(times) - 1))])
