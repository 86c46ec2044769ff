"""Counts of function calls and task steps. Unlike times they are the same on every machine."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import trio

_COUNTED = ("/trio_esdb/", "/trio_esdb_proto/", "/h2/", "/hpack/", "/betterproto2/")


class Calls:
    """How many Python functions were called; ``total`` and ``by_place``."""

    def __init__(self) -> None:
        self.by_place: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return self.by_place.total()

    def worst(self, per: int) -> str:
        """The places that are called most, each with its calls per event or call."""
        return ", ".join(f"{place} {count / per:.2f}" for place, count in self.by_place.most_common(40))


@contextmanager
def counted_calls() -> Iterator[Calls]:
    """Count calls of Python functions: the library's, and those of h2 and hpack that it calls. A coroutine that goes on
    counts as a call. trio's are left out; they differ from version to version, and turns of tasks stand for them.
    """
    calls = Calls()

    def profile(frame: FrameType, kind: str, _argument: object) -> None:
        code = frame.f_code
        if kind == "call" and any(name in code.co_filename for name in _COUNTED):
            calls.by_place[f"{'/'.join(code.co_filename.split('/')[-2:])}:{code.co_name}"] += 1

    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(None)


class Steps(trio.abc.Instrument):
    """How many steps all tasks of this run have made."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


@contextmanager
def counted_steps() -> Iterator[Steps]:
    """Count the steps of all tasks."""
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    try:
        yield steps
    finally:
        trio.lowlevel.remove_instrument(steps)


def objects_alive() -> int:
    """How many objects the garbage collector knows."""
    gc.collect()
    return len(gc.get_objects())
