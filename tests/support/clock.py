"""Under which clock a test runs, and the deadline that every asynchronous test has.

A test in a folder that calls `let_time_jump` runs under a mock clock that jumps when nothing else is left to do. It
cannot hang in silence: where no task can go on and no other deadline is left, the clock jumps to the deadline of the
test itself. All other tests have a deadline on the real clock. What no deadline can end (a loop that never awaits, a
shielded scope, a thread) is ended by pytest's own limit, see pyproject.toml.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

LONGEST = 1_500_000
"""Seconds of a mock clock after which a test has hung. No test waits nearly as long on purpose. With open calls the
clock goes there in steps of ten seconds, from PING to PING."""
PATIENCE = 60.0
"""Seconds of the real clock after which a test has hung. Nothing is expected to take a tenth of it."""


def run(
    fn: Callable[[], Awaitable[Any]], *, clock: trio.abc.Clock | None, instruments: list[trio.abc.Instrument]
) -> Any:
    """As trio.run, with a deadline that is no scope's: the client would send that to the server with each call."""
    limit = LONGEST if isinstance(clock, trio.testing.MockClock) else PATIENCE

    async def main() -> Any:
        whole = trio.CancelScope()

        async def watch() -> None:
            await trio.sleep(limit)
            whole.cancel()

        trio.lowlevel.spawn_system_task(watch)
        consequence: BaseException | None = None
        try:
            with whole:
                return await fn()
        except BaseException as exc:
            if not whole.cancel_called:
                raise
            consequence = exc
        raise trio.TooSlowError(f"the test has not ended after {limit} seconds") from consequence

    return trio.run(main, clock=clock, instruments=instruments)


def run_jumping(
    fn: Callable[[], Awaitable[Any]], *, clock: trio.abc.Clock | None, instruments: list[trio.abc.Instrument]
) -> Any:
    """As `run`, under a clock that jumps unless the test brings one."""
    return run(fn, clock=clock or trio.testing.MockClock(autojump_threshold=0), instruments=instruments)


def let_time_jump(items: Iterable[pytest.Item], folder: Path) -> None:
    """For all tests in a folder."""
    _run_by(run_jumping, (item for item in items if folder in item.path.parents))


def give_deadlines(items: Iterable[pytest.Item]) -> None:
    """To all tests that do not have one yet."""
    _run_by(run, (item for item in items if not any("run" in marker.kwargs for marker in _own_markers(item))))


def _own_markers(item: pytest.Item) -> Iterable[pytest.Mark]:
    return (marker for marker in item.iter_markers("trio") if marker.kwargs.get("run") is not trio.run)


def _run_by(runner: Callable[..., Any], items: Iterable[pytest.Item]) -> None:
    for item in items:
        if iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.trio(run=runner), append=False)
