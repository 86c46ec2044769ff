"""Behaviour as users see it: of the embedded node always, and of the server at ESDB_TEST_URI if that is set.

A test looks only at streams that nobody else uses and assumes nothing of what else the database holds: other tests may
run at the same time, and projections may write links between its events. Where versions differ, the fixture ``server``
tells what this one does. ESDB_TEST_VERSION names the version of a server that does not tell its true one.

All tests also run on an imitation of the oldest version with something that writes links, as projections do; those
that depend on the version run on one of the newest, too.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Callable
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
import trio

from tests.support.clock import let_time_jump
from tests.support.imitation import Imitation
from tests.support.versions import Server, server_of, version_at
from trio_esdb import ESDBClient, NewEvent, StreamState
from trio_esdb.embedded import EmbeddedNode

EMBEDDED = "embedded"
OLDEST, IMITATED, NEWEST = "21.10.11", "24.10.4", "26.1.0"
URI = os.environ.get("ESDB_TEST_URI")
REAL = [] if URI is None else ["real"]

NewClient = Callable[..., ESDBClient]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "node" in metafunc.fixturenames:
        newest = [NEWEST] if "server" in metafunc.fixturenames else []
        metafunc.parametrize("node", [EMBEDDED, OLDEST, *newest, *REAL])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Time jumps unless the node is a real one, which goes by the real clock."""
    here = [
        item
        for item in items
        if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj) and not _is_real(item)
    ]
    let_time_jump(here, Path(__file__).parent)


def _is_real(item: pytest.Function) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get("node") == "real"


@pytest.fixture
def server(node: str) -> Server:
    """What the node does that not all versions do."""
    if node == "real":
        assert URI is not None
        return server_of(version_at(URI))
    return server_of(IMITATED if node == EMBEDDED else node)


@pytest.fixture
async def new_client(node: str, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NewClient]:
    """Makes clients of the same node."""
    if node == "real":
        yield lambda **settings: ESDBClient(URI, **settings)
        return
    async with EmbeddedNode() as embedded:
        if node == EMBEDDED:
            connect = embedded.connect
        else:
            imitation = Imitation(nursery, embedded, node)
            connect = imitation.connect
            limit = imitation.server.largest_append
            monkeypatch.setattr("trio_esdb.embedded._services._appending.MAX_APPEND_SIZE", limit)
        if node == OLDEST:
            nursery.start_soon(write_links, embedded)
        yield lambda **settings: ESDBClient("esdb://node:2113?Tls=false", connect=connect, **settings)
        nursery.cancel_scope.cancel()


async def write_links(node: EmbeddedNode) -> None:
    """Write a link to each event, as a projection does."""
    async with ESDBClient("esdb://node:2113?Tls=false", connect=node.connect) as client:
        async with client.subscribe_all_events(filter_exclude=["[$]>", "[$]metadata", "[$]streamDeleted"]) as events:
            async for event in events:
                link = NewEvent("$>", f"{event.stream_position}@{event.stream_name}".encode())
                await client.append_event("$ce-everything", StreamState.ANY, link)


@pytest.fixture
async def client(new_client: NewClient) -> AsyncIterator[ESDBClient]:
    async with new_client() as client:
        yield client


@pytest.fixture
def stream() -> str:
    """The name of a stream that nobody else uses."""
    return f"contract-{uuid.uuid4()}"


@pytest.fixture
def prefix() -> str:
    """What names and types begin with that nobody else uses."""
    return f"p{uuid.uuid4().hex}"
