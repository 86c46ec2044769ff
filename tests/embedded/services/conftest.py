"""A node and a connection to it, under a clock that jumps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.clock import let_time_jump
from tests.support.peer import Peer, connected
from trio_esdb.embedded import EmbeddedNode


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    let_time_jump(items, Path(__file__).parent)


@pytest.fixture
async def node() -> AsyncIterator[EmbeddedNode]:
    async with EmbeddedNode(empty=True) as node:
        yield node


@pytest.fixture
async def peer(node: EmbeddedNode) -> AsyncIterator[Peer]:
    async with connected(node) as peer:
        yield peer
