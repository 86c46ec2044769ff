"""Running the programs that the documentation shows.

All of a page's blocks run in one `trio.run` under a clock that jumps, so an example may wait as long as it likes, and
share their names, so one block may go on where another ended. A block may await at its top level; `client` is then
there, connected to an embedded node that all blocks of the page share. A block may also be a whole program that ends
in `trio.run(main)`: `main` is then run in the run that is already there. So are the tests that a block defines; of
their fixtures they get nothing, for the clock jumps already.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import pytest
import trio
import trio.testing

from trio_esdb import ESDBClient

PATIENCE = 365 * 24 * 60 * 60  # seconds of a clock that jumps: only a program that hangs uses them up


def run_in_page(text: str, filename: str, line: int, names: dict[str, Any]) -> Callable[[], Awaitable[str]]:
    """Compile a program; what is returned runs it with these names and gives what it printed."""
    tree = compile("\n" * (line - 1) + text, filename, "exec", ast.PyCF_ONLY_AST)
    code = compile(tree, filename, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def run() -> str:
        started: list[Callable[[], Awaitable[Any]]] = []

        def run_later(function: Callable[..., Awaitable[Any]], *args: Any) -> None:
            started.append(lambda: function(*args))

        printed = StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
            patch.setattr(trio, "run", run_later)
            patch.setattr(sys, "argv", [filename])
            outcome = eval(code, names)
            if inspect.isawaitable(outcome):
                await outcome
            for main in started:
                await main()
            for test in {name for name in names if name.startswith("test_")}:
                function = names.pop(test)
                await function(**dict.fromkeys(inspect.signature(function).parameters))
        return printed.getvalue()

    return run


def run_all(*programs: tuple[str, str, int]) -> list[str]:
    """Run programs, given as text, file name and first line, one after another; what each printed."""
    names: dict[str, Any] = {"__name__": "__main__"}
    runs = [run_in_page(*program, names) for program in programs]

    async def main() -> list[str]:
        with trio.fail_after(PATIENCE):
            async with ESDBClient("esdb://embedded") as client:
                names["client"] = client
                return [await run() for run in runs]

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
