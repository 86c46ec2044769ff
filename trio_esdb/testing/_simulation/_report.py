"""What a failure is, and what is said of it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import trio

from ._faults import Fault

Kind = frozenset[tuple[str, str, int]]


def kind_of(failure: BaseException, file: str) -> Kind:
    """What kind of failure an exception is: its types, and the lines of the test's file that they came from.

    Two failures of one kind may differ in all their values.
    """
    if isinstance(failure, BaseExceptionGroup):
        return frozenset(kind for exc in failure.exceptions for kind in kind_of(exc, file))
    place = "", 0
    trace: TracebackType | None = failure.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            place = trace.tb_frame.f_code.co_qualname, trace.tb_lineno
        trace = trace.tb_next
    cls = type(failure)
    return frozenset({(f"{cls.__module__}.{cls.__qualname__}", *place)})


def as_code(schedule: Sequence[Fault], seed: int, options: dict[str, Any]) -> str:
    """The decorator that repeats a run, as code to paste."""
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    faults = [repr(fault) for fault in schedule]
    line = f"@simulate(schedule=[{', '.join(faults)}], seed={seed}{given})"
    if len(line) > 100:
        listed = "".join(f"\n        {fault}," for fault in faults)
        line = f"@simulate(\n    schedule=[{listed}\n    ],\n    seed={seed}{given},\n)"
    names = ", ".join([*sorted({type(fault).__name__ for fault in schedule}), "simulate"])
    return f"from trio_esdb.testing import {names}\n\n{line}"


def versions() -> str:
    """The versions that a simulation depends on."""
    from importlib.metadata import version

    return f"python {platform.python_version()}, trio {trio.__version__}, trio_esdb {version('trio-esdb')}"
