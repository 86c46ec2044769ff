"""Cuts a schedule down to a smallest one that still fails: delta debugging (ddmin, Zeller and Hildebrandt 2002).

The schedule is cut into parts. If it fails without one of them, that part is left out for good. When no part can be
left out, the parts are made half as large, until each is a single fault. What is left then fails, and does not fail
without any one of its faults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def smallest(parts: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """The smallest list of parts, in their order, that still fails.

    Args:
        parts: A list that fails.
        fails: Whether a shorter list does. It is asked only once about each list.
    """
    left = list(parts)
    if left and fails([]):
        return []
    pieces = 2
    while len(left) > 1:
        size = -(-len(left) // pieces)
        for start in range(0, len(left), size):
            shorter = left[:start] + left[start + size :]
            if shorter and fails(shorter):
                left = shorter
                pieces = max(pieces - 1, 2)
                break
        else:
            if pieces >= len(left):
                break
            pieces = min(2 * pieces, len(left))
    return left
