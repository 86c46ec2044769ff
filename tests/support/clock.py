"""Tests run under a mock clock that jumps when nothing else is left to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing


def run(fn: Callable[[], Any], *, clock: trio.abc.Clock | None, instruments: list[trio.abc.Instrument]) -> Any:
    """As trio.run, under such a clock unless the test brings one."""
    return trio.run(fn, clock=clock or trio.testing.MockClock(autojump_threshold=0), instruments=instruments)


def let_time_jump(items: Iterable[pytest.Item], folder: Path) -> None:
    """For all tests in a folder."""
    for item in items:
        if folder in item.path.parents and iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.trio(run=run), append=False)
