"""Long work of the store, with a checkpoint after each of its turns."""

from __future__ import annotations

from typing import TypeVar

import trio

from .._store import Turns

T = TypeVar("T")


async def in_turns(work: Turns[T]) -> T:
    """Do this work; its result. Work of a single turn is done without a checkpoint."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result
        await trio.lowlevel.checkpoint()
