"""Long work in turns.

Work that may take long is a generator: it yields after each turn, so that other tasks can run, and returns the result.
The store has no tasks; whoever calls it drives such work step by step.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Turns = Generator[None, None, T]
"""Work that yields after each turn and returns a T."""

TURN = 1000
"""Steps of a turn. A step takes a microsecond or two, so a turn stays far below what other tasks would notice."""
