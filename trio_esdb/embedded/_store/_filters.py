"""Filters of `$all`: which records a reader wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from .._dotnet._pattern_chars import BadPattern
from .._dotnet._patterns import compile_pattern
from .._dotnet._texts import utf16_units
from ._values import Record

__all__ = ["BadPattern", "Filter", "Target", "prefix_filter", "regex_filter"]

Target = Literal["stream", "type"]
"""What a filter looks at: the name of a record's stream, or its event type."""

_REMEMBERED = 10_000


class Filter:
    """Decides about records by one of their two names, and remembers what it decided."""

    __slots__ = ("_accepts", "_known", "_looks_at_type")

    def __init__(self, target: Target, accepts: Callable[[str], bool]) -> None:
        self._looks_at_type = target == "type"
        self._accepts = accepts
        self._known: dict[str, bool] = {}

    def matches(self, record: Record) -> bool:
        """Whether the reader wants it. A link is judged as what it is, not by its target."""
        name = record.type if self._looks_at_type else record.stream
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[name] = self._accepts(name)
        return known


def regex_filter(target: Target, pattern: str) -> Filter:
    """Records whose stream name or event type holds a match of a .NET pattern. Raises BadPattern."""
    search = compile_pattern(pattern).search
    return Filter(target, lambda name: search(utf16_units(name)) is not None)


def prefix_filter(target: Target, prefixes: Sequence[str]) -> Filter:
    """Records whose stream name or event type begins with one of these; with none of them, no record."""
    beginnings = tuple(prefixes)
    return Filter(target, lambda name: name.startswith(beginnings))
