"""A scripted server and a client of it; no test here waits on a real clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.support.clock import let_time_jump
from tests.support.scripted import URI, Scripted
from trio_esdb import ESDBClient


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    let_time_jump(items, Path(__file__).parent)


@pytest.fixture
async def server(nursery: trio.Nursery) -> Scripted:
    return Scripted(nursery)


@pytest.fixture
async def client(server: Scripted) -> AsyncIterator[ESDBClient]:
    async with ESDBClient(URI, connect=server.connect) as client:
        yield client
