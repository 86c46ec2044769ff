"""The end of a client: what a cancelled program still can do in its block, and how long leaving it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.leaks import links_of
from trio_esdb import ESDBClient, NewEvent, ServerError, StreamState, Timeouts
from trio_esdb.embedded import Certificates, EmbeddedNode
from trio_esdb.testing import MemoryNetwork

CERTIFICATES = Certificates.self_made("node.example")
EVENT = NewEvent("LastWord", b"{}")
KINDS = ["plain", "tls", "embedded"]


class Place:
    """Where a client is to connect to."""

    def __init__(self, kind: str, network: MemoryNetwork, node: EmbeddedNode) -> None:
        self.kind = kind
        self.network = network
        self.node = node

    def client(self, **options: Any) -> ESDBClient:
        if self.kind == "embedded":
            return ESDBClient("esdb://embedded", **options)
        tls = "true" if self.kind == "tls" else "false"
        roots = {"root_certificates": CERTIFICATES.root_certificates} if self.kind == "tls" else {}
        return ESDBClient(f"esdb://node.example?tls={tls}", connect=self.network.connect, **roots, **options)


@asynccontextmanager
async def place_of(kind: str) -> AsyncIterator[Place]:
    network = MemoryNetwork()
    certificates: Certificates | None = CERTIFICATES if kind == "tls" else None
    async with EmbeddedNode() as node, network.listen(node, "node.example", 2113, tls=certificates):
        yield Place(kind, network, node)


@pytest.fixture(params=KINDS)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with place_of(request.param) as place:
        yield place


@pytest.fixture(params=["plain", "tls"])
async def far(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A node with a network between."""
    async with place_of(request.param) as place:
        yield place


async def last_words(client: ESDBClient, said: list[str]) -> None:
    """What a program says in a `finally`."""
    with trio.CancelScope(shield=True):
        await client.append_event("last-words", StreamState.ANY, EVENT)
        said.append("appended")
        events = await client.get_stream_events("last-words")
        said.append(f"read {len(events)}")
        async with client.subscribe_stream_events("last-words") as subscription:
            await subscription.receive()
            said.append("subscribed")


WORDS = ["appended", "read 1", "subscribed"]


async def test_a_scope_around_the_client_is_cancelled(place: Place) -> None:
    said: list[str] = []
    with trio.move_on_after(1) as scope:
        async with place.client() as client:
            try:
                await trio.sleep_forever()
            finally:
                await last_words(client, said)
    assert scope.cancelled_caught
    assert said == WORDS
    assert trio.current_time() == 1


async def test_the_nursery_around_the_client_crashes(place: Place) -> None:
    """As when another task of the program fails."""
    said: list[str] = []

    async def crash() -> None:
        await trio.sleep(1)
        raise KeyError("mine")

    async def use() -> None:
        async with place.client() as client:
            try:
                await trio.sleep_forever()
            finally:
                await last_words(client, said)

    with pytest.RaisesGroup(KeyError):
        async with trio.open_nursery() as program:
            program.start_soon(crash)
            program.start_soon(use)
    assert said == WORDS


async def test_the_block_itself_raises(place: Place) -> None:
    said: list[str] = []

    async def use() -> None:
        async with place.client() as client:
            try:
                raise KeyError("mine")
            finally:
                await last_words(client, said)

    with pytest.raises(KeyError, match="mine"):
        await use()
    assert said == WORDS


async def test_a_task_in_a_nursery_inside_the_block(place: Place) -> None:
    """Its own last words, while its siblings are cancelled for its sake."""
    said: list[str] = []

    async def worker(client: ESDBClient) -> None:
        try:
            await trio.sleep_forever()
        finally:
            await last_words(client, said)

    with trio.move_on_after(1):
        async with place.client() as client, trio.open_nursery() as workers:
            workers.start_soon(worker, client)
    assert said == WORDS


async def test_the_connection_is_lost_before_the_last_words(far: Place) -> None:
    """Then they go over a new one."""
    said: list[str] = []
    with trio.move_on_after(1):
        async with far.client() as client:
            try:
                await trio.sleep_forever()
            finally:
                far.network.connections[0].reset()
                with trio.CancelScope(shield=True):
                    await trio.testing.wait_all_tasks_blocked()
                await last_words(client, said)
    assert said == WORDS
    assert len(far.network.connections) == 2


async def test_the_first_connection_of_all_is_wanted_by_the_last_words(far: Place) -> None:
    """The one that is opened for a last word goes on although everything is cancelled."""
    said: list[str] = []
    far.network.to("node.example").latency(0.5)
    with trio.move_on_after(10):
        async with far.client() as client:
            far.network.connections[0].reset()
            await trio.sleep(5)
            try:
                await trio.sleep_forever()
            finally:
                await last_words(client, said)
    assert said == WORDS


@pytest.mark.parametrize("close", [0.25, 3])
async def test_leaving_takes_no_longer_than_it_may(far: Place, close: float) -> None:
    """The node is frozen and takes nothing more, on any of several connections."""
    with trio.move_on_after(100) as scope:
        async with far.client(timeouts=Timeouts(close=close), keep_alive_interval=None, max_connections=3) as client:
            async with trio.open_nursery() as calls:
                far.network.to("node.example").freeze()
                for _ in range(250):
                    calls.start_soon(unanswered, client)
                await trio.sleep(1)
                calls.cancel_scope.cancel()
            began = trio.current_time()
    assert not scope.cancelled_caught
    assert trio.current_time() - began <= close + 0.01
    assert links_of(client) == []


async def unanswered(client: ESDBClient) -> None:
    with suppress(ServerError):
        await client.append_event("s", StreamState.ANY, NewEvent("T", bytes(100_000)), timeout=1000)


async def call_append(client: ESDBClient) -> None:
    await client.append_event("s", StreamState.ANY, EVENT, timeout=1000)


async def call_read(client: ESDBClient) -> None:
    await client.get_stream_events("s", timeout=1000)


async def call_subscription(client: ESDBClient) -> None:
    async with client.subscribe_all_events() as events:
        async for _ in events:
            pass


async def call_version(client: ESDBClient) -> None:
    await client.get_server_version(timeout=1000)


async def call_events(client: ESDBClient) -> None:
    async with client.connection_events() as events:
        async for _ in events:
            pass
    raise trio.ClosedResourceError


@pytest.mark.parametrize("use", [call_append, call_read, call_subscription, call_version, call_events])
@pytest.mark.parametrize("trouble", ["frozen", "refused", "lost and frozen"])
@pytest.mark.parametrize("how", ["aclose", "leave"])
async def test_closing_ends_what_other_tasks_do(
    far: Place, use: Callable[[ESDBClient], Awaitable[None]], trouble: str, how: str, nursery: trio.Nursery
) -> None:
    """Calls, attempts to connect, repeats, subscriptions, events: each ends, and says that the client was closed."""
    ended = 0

    async def other() -> None:
        nonlocal ended
        with pytest.raises(trio.ClosedResourceError):
            await use(client)
        ended += 1

    client = far.client(keep_alive_interval=None)
    async with client:
        route = far.network.to("node.example")
        if use is call_subscription:
            for _ in range(3):
                nursery.start_soon(other)
            await trio.sleep(1)
        if trouble == "refused":
            route.refuse()
        else:
            route.freeze()
        if trouble != "frozen":
            route.reset()
            await trio.testing.wait_all_tasks_blocked()
        if use is not call_subscription:
            for _ in range(3):
                nursery.start_soon(other)
        await trio.sleep(2)
        began = trio.current_time()
        if how == "aclose":
            await client.aclose()
    assert trio.current_time() - began <= 1.01
    await trio.sleep(0.01)
    assert ended == 3
