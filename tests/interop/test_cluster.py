"""`trio-esdb serve --nodes 3 --tls DIR --users` and kurrentdbclient, which has to find the leader each time.

It finds a new leader when a call fails, and tries the call again once or twice. It does not continue a subscription. So
this does what its users do: repeat a call that failed, and subscribe again after the last event.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from kurrentdbclient import AsyncKurrentDBClient, KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import KurrentDBClientError

from tests.support.served_cluster import SETTLES_WITHIN, ServedCluster, served_cluster

KEEP_ALIVE = "&keepAliveInterval=1000&keepAliveTimeout=1000"
"""So that the client soon knows of a node that says nothing any more."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedCluster]:
    with served_cluster("--tls", str(tmp_path_factory.mktemp("certificates")), "--users") as cluster:
        yield cluster


def event() -> NewEvent:
    return NewEvent(type="Happened", data=b"{}")


def test_gossip_of_all_nodes_through_the_printed_address(cluster: ServedCluster) -> None:
    with KurrentDBClient(cluster.login("admin")) as client:
        members = client.read_gossip()
    assert sorted(member.state for member in members) == [
        "NODE_STATE_FOLLOWER",
        "NODE_STATE_FOLLOWER",
        "NODE_STATE_LEADER",
    ]
    addresses = [f"{member.address}:{member.port}" for member in members]
    assert sorted(addresses) == sorted(cluster.uri.removeprefix("esdb://").partition("?")[0].split(","))


class Sync:
    """kurrentdbclient's synchronous client."""

    def __init__(self, uri: str) -> None:
        self._client = KurrentDBClient(uri)

    def append(self, stream: str, event: NewEvent) -> None:
        self._client.append_to_stream(stream, events=event, current_version=StreamState.ANY, timeout=3)

    def read(self, stream: str) -> list[uuid.UUID]:
        return [each.id for each in self._client.get_stream(stream, timeout=3)]

    def subscribed(self, stream: str, count: int) -> list[uuid.UUID]:
        """Receive until the subscription ends, or so many events have come."""
        found = []
        try:
            with self._client.subscribe_to_stream(stream) as subscription:
                for each in subscription:
                    found.append(each.id)
                    if len(found) == count:
                        break
        except KurrentDBClientError:
            pass
        return found

    def close(self) -> None:
        self._client.close()


class Async:
    """kurrentdbclient's asyncio client; a thread is its event loop."""

    def __init__(self, uri: str) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncKurrentDBClient(uri)
        self._thread = ThreadPoolExecutor(1)
        self._loop = self._runner.get_loop()
        self._thread.submit(self._loop.run_forever)
        self._run(self._client.connect())

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SETTLES_WITHIN)

    def append(self, stream: str, event: NewEvent) -> None:
        self._run(self._client.append_to_stream(stream, events=event, current_version=StreamState.ANY, timeout=3))

    def read(self, stream: str) -> list[uuid.UUID]:
        return [each.id for each in self._run(self._client.get_stream(stream, timeout=3))]

    def subscribed(self, stream: str, count: int) -> list[uuid.UUID]:
        """Receive until the subscription ends, or so many events have come."""

        async def receive() -> list[uuid.UUID]:
            found = []
            try:
                async with await self._client.subscribe_to_stream(stream) as subscription:
                    async for each in subscription:
                        found.append(each.id)
                        if len(found) == count:
                            break
            except KurrentDBClientError:
                pass
            return found

        return self._run(receive())

    def close(self) -> None:
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.shutdown()
        self._runner.close()


def repeated(call: Callable[[], Any]) -> Any:
    """Call until it succeeds."""
    deadline = time.monotonic() + SETTLES_WITHIN
    while True:
        try:
            return call()
        except KurrentDBClientError:
            assert time.monotonic() < deadline, "it does not find the leader again"


@pytest.fixture(params=[Sync, Async])
def client(request: pytest.FixtureRequest, cluster: ServedCluster) -> Iterator[Sync | Async]:
    cluster.mend()
    client = request.param(cluster.login("admin") + KEEP_ALIVE)
    yield client
    client.close()


@pytest.mark.parametrize("command", ["kill", "terminate", "resign", "freeze"])
def test_it_follows_the_leader(cluster: ServedCluster, client: Sync | Async, command: str) -> None:
    stream = f"s-{uuid.uuid4()}"
    sent = [event() for _ in range(12)]
    for each in sent[:4]:
        client.append(stream, each)
    with ThreadPoolExecutor() as threads:
        received = threads.submit(client.subscribed, stream, len(sent))
        first = cluster.leader()
        answer = cluster.command("resign" if command == "resign" else f"{command} {first}")
        assert answer.startswith(f"node {first} "), answer
        for each in sent[4:]:
            repeated(partial(client.append, stream, each))
        stored = repeated(partial(client.read, stream))
        assert stored == [each.id for each in sent], "each event once, in its order"
        part = received.result(SETTLES_WITHIN)
    assert part == stored[: len(part)], "what the subscription got until it ended"
    assert client.subscribed(stream, len(sent)) == stored, "a new one has all of it"
    if command != "resign":
        cluster.wait_until(lambda states: states[first] != "Leader" and "Leader" in states.values())
