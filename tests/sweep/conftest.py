"""Clients of an embedded node, whose connections can be looked at from both ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.support.clock import let_time_jump
from tests.support.world import World, watched
from trio_esdb.embedded import EmbeddedNode


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    let_time_jump(items, Path(__file__).parent)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with EmbeddedNode() as node:
        with watched(node, monkeypatch) as world, trio.fail_after(3600):
            async with world.client:
                yield world
