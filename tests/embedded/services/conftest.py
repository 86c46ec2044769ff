"""A node and a connection to it, under a clock that jumps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.embedded.services.peer import Peer, connected
from trio_esdb.embedded import EmbeddedNode

_HERE = Path(__file__).parent


def _run(fn: Callable[[], Any], *, clock: trio.abc.Clock | None, instruments: list[trio.abc.Instrument]) -> Any:
    return trio.run(fn, clock=clock or trio.testing.MockClock(autojump_threshold=0), instruments=instruments)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each asynchronous test here gets a clock that jumps, whether it asks for one or not."""
    for item in items:
        if _HERE in item.path.parents and iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.trio(run=_run), append=False)


@pytest.fixture
async def node() -> AsyncIterator[EmbeddedNode]:
    async with EmbeddedNode() as node:
        yield node


@pytest.fixture
async def peer(node: EmbeddedNode) -> AsyncIterator[Peer]:
    async with connected(node) as peer:
        yield peer
