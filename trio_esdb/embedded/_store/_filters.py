"""Filters of `$all`: which records a reader wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from ._values import Record


class BadPattern(Exception):
    """A regular expression that .NET cannot parse."""


class Filter(Protocol):
    """Decides about one record."""

    def matches(self, record: Record) -> bool:
        """Whether the reader wants it."""
        ...


def regex_filter(target: Literal["stream", "type"], pattern: str) -> Filter:
    """Records whose stream name or event type holds a match of a .NET pattern. Raises BadPattern."""
    ...


def prefix_filter(target: Literal["stream", "type"], prefixes: Sequence[str]) -> Filter:
    """Records whose stream name or event type begins with one of these."""
    ...
