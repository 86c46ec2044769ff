"""Filters of `$all`: which records a reader wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from .._dotnet._patterns import BadPattern, Pattern, TooMuchWork, UnsupportedPattern
from ._values import Record

__all__ = ["BadPattern", "Filter", "Target", "TooMuchWork", "UnsupportedPattern", "prefix_filter", "regex_filter"]

Target = Literal["stream", "type"]
"""What a filter looks at: the name of a record's stream, or its event type."""

_REMEMBERED = 10_000
"""Names whose results are kept, of at most so many characters each:"""
_SHORT = 100


class Filter:
    """Decides about records by one of their two names, and remembers the results for short names."""

    __slots__ = ("_accepts", "_cost", "_known", "_looks_at_type", "_pattern", "work")

    def __init__(
        self, target: Target, accepts: Callable[[str], bool], pattern: Pattern | None = None, cost: int = 0
    ) -> None:
        self._looks_at_type = target == "type"
        self._accepts = accepts
        self._pattern = pattern
        self._cost = cost
        """The work of one decision, where no pattern counts it."""
        self._known: dict[str, bool] = {}
        self.work = 0
        """What matching cost, in units of 200 ns. Whoever matches many records in turns sets it back to 0."""

    def matches(self, record: Record) -> bool:
        """Whether the reader wants it. A link is judged by its own names, not by its target's. Raises TooMuchWork."""
        name = record.type if self._looks_at_type else record.stream
        known = self._known.get(name)
        return self._find_out(name) if known is None else known

    def _find_out(self, name: str) -> bool:
        known = self._accepts(name)
        self.work += self._cost
        if self._pattern is not None:
            self.work += self._pattern.work
            self._pattern.work = 0
        if len(name) <= _SHORT:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[name] = known
        return known


def regex_filter(target: Target, pattern: str) -> Filter:
    """Records whose stream name or event type holds a match of a .NET pattern.

    Raises BadPattern; UnsupportedPattern, which is a kind of it, for a pattern that a real node takes.
    """
    compiled = Pattern(pattern)
    return Filter(target, compiled.search, compiled)


def prefix_filter(target: Target, prefixes: Sequence[str]) -> Filter:
    """Records whose stream name or event type begins with one of these; with none of them, no record."""
    beginnings = tuple(prefixes)
    cost = len(beginnings) // 8 + sum(map(len, beginnings)) // 4000
    return Filter(target, lambda name: name.startswith(beginnings), cost=cost)
