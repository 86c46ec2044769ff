"""Running the programs that the documentation shows.

All of a page's blocks run in one `trio.run` under a clock that jumps, so an example may wait as long as it likes, and
share their names, so one block may go on where another ended. A block may await at its top level; `client` is then
there, connected to an embedded node that all blocks of the page share. A block may also be a whole program that ends
in `trio.run(main)`: `main` is then run in the run that is already there. So are the tests that a block defines; of
their fixtures they get only those of our plugin, for the clock jumps already. Tests that are plain functions, as
simulations are, are run after that, with a few seeds and in an empty folder.
"""

from __future__ import annotations

import ast
import inspect
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import pytest
import trio
import trio.testing

from trio_esdb import ESDBClient
from trio_esdb.testing import MemoryNetwork
from trio_esdb_pytest import Makers

PATIENCE = 365 * 24 * 60 * 60  # seconds of a clock that jumps: only a program that hangs uses them up
SEEDS = "20"


def run_in_page(
    text: str, filename: str, line: int, names: dict[str, Any], later: list[Callable[..., object]]
) -> Callable[[], Awaitable[str]]:
    """Compile a program; what is returned runs it with these names and gives what it printed.

    Tests that must not be run inside of trio are put into ``later``.
    """
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
                if inspect.iscoroutinefunction(function):
                    known = fixtures()
                    await function(**{name: known.get(name) for name in inspect.signature(function).parameters})
                else:
                    later.append(function)
        return printed.getvalue()

    return run


def fixtures() -> dict[str, object]:
    """The fixtures of our plugin, by their names."""
    network = MemoryNetwork()
    makers = Makers(network)
    return {
        "esdb_network": network,
        "esdb_node": makers.node,
        "esdb_cluster": makers.cluster,
        "esdb_client": makers.client,
    }


def run_all(*programs: tuple[str, str, int]) -> list[str]:
    """Run programs, given as text, file name and first line, one after another; what each printed."""
    names: dict[str, Any] = {"__name__": "__main__"}
    later: list[Callable[..., object]] = []
    runs = [run_in_page(*program, names, later) for program in programs]

    async def main() -> list[str]:
        with trio.fail_after(PATIENCE):
            async with ESDBClient("esdb://embedded") as client:
                names["client"] = client
                return [await run() for run in runs]

    printed = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        patch.setenv("TRIO_ESDB_SEEDS", SEEDS)
        patch.chdir(folder)
        for function in later:
            function()
    return printed
