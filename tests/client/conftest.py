"""A scripted server and a client of it; no test here waits on a real clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.client.scripted import URI, Scripted
from trio_esdb import ESDBClient

_HERE = Path(__file__).parent


def _run(fn: Callable[[], Any], *, clock: trio.abc.Clock | None, instruments: list[trio.abc.Instrument]) -> Any:
    return trio.run(fn, clock=clock or trio.testing.MockClock(autojump_threshold=0), instruments=instruments)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents and iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.trio(run=_run), append=False)


@pytest.fixture
async def server(nursery: trio.Nursery) -> Scripted:
    return Scripted(nursery)


@pytest.fixture
async def client(server: Scripted) -> AsyncIterator[ESDBClient]:
    async with ESDBClient(URI, connect=server.connect) as client:
        yield client
