"""Behaviour as users see it: of the embedded node always, and of the server at ESDB_TEST_URI if that is set.

Streams have names of their own in each test; nothing is assumed of what else the database holds.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
import trio

from tests.support.clock import let_time_jump
from trio_esdb import ESDBClient

EMBEDDED = "esdb://embedded"
SERVER = os.environ.get("ESDB_TEST_URI")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Time jumps unless the node is a real one, which goes by the real clock."""
    here = [
        item
        for item in items
        if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj) and _address(item) == EMBEDDED
    ]
    let_time_jump(here, Path(__file__).parent)


def _address(item: pytest.Function) -> object:
    callspec = getattr(item, "callspec", None)
    return EMBEDDED if callspec is None else callspec.params.get("address", EMBEDDED)


@pytest.fixture(params=[EMBEDDED, *([SERVER] if SERVER else [])])
def address(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def client(address: str) -> AsyncIterator[ESDBClient]:
    with trio.fail_after(60 if address != EMBEDDED else 10**8):
        async with ESDBClient(address) as client:
            yield client


@pytest.fixture
def stream() -> str:
    """The name of a stream that nobody else uses."""
    return f"contract-{uuid.uuid4()}"


@pytest.fixture
def prefix() -> str:
    """What names and types begin with that nobody else uses."""
    return f"p{uuid.uuid4().hex}"
