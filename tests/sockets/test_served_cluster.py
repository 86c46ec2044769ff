"""Our client and `trio-esdb serve --nodes 3 --tls DIR --users`, by the address that it prints."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import trio

from tests.support.clock import PATIENCE
from tests.support.served_cluster import ServedCluster, served_cluster
from trio_esdb import AbortedError, ESDBClient, NewEvent, NodeState, StreamState, UnauthenticatedError, UnavailableError

KEEP_ALIVE = "&keepAliveInterval=1000&keepAliveTimeout=1000"
"""So that the client soon knows of a node that says nothing any more."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedCluster]:
    with served_cluster("--tls", str(tmp_path_factory.mktemp("certificates")), "--users") as cluster:
        yield cluster


def event() -> NewEvent:
    return NewEvent(type="Happened", data=b"{}")


async def appended(client: ESDBClient, stream: str, new: NewEvent) -> None:
    """Append an event once, however often it takes: the cluster knows it by its id."""
    while True:
        try:
            await client.append_event(stream, StreamState.ANY, new, timeout=10)
        except (AbortedError, UnavailableError):
            continue
        return


async def test_who_is_in_the_cluster(cluster: ServedCluster) -> None:
    async with ESDBClient(cluster.login("admin")) as client:
        members = await client.read_gossip()
        assert sorted(member.state for member in members) == [NodeState.FOLLOWER, NodeState.FOLLOWER, NodeState.LEADER]
        addresses = sorted(f"{member.address}:{member.port}" for member in members)
        assert addresses == sorted(cluster.uri.removeprefix("esdb://").partition("?")[0].split(","))
    async with ESDBClient(cluster.login("admin", "wrong")) as client:
        with pytest.raises(UnauthenticatedError):
            await client.get_stream_events("s")


@pytest.mark.parametrize("command", ["kill", "terminate", "resign", "freeze", "partition"])
async def test_the_client_follows_the_leader(cluster: ServedCluster, command: str) -> None:
    cluster.mend()
    sent = [event() for _ in range(30)]
    received: list[object] = []

    async def receive(client: ESDBClient) -> None:
        async with client.subscribe_stream_events(command) as events:
            async for each in events:
                received.append(each.id)
                if len(received) == len(sent):
                    return

    with trio.fail_after(PATIENCE):
        async with ESDBClient(cluster.login("admin") + KEEP_ALIVE) as client, trio.open_nursery() as nursery:
            nursery.start_soon(receive, client)
            for each in sent[:10]:
                await appended(client, command, each)
            first = cluster.leader()
            line = "resign" if command == "resign" else f"{command} {first}"
            answer = await trio.to_thread.run_sync(partial(cluster.command, line))
            assert answer.startswith(f"node {first} "), answer
            for each in sent[10:20]:
                await appended(client, command, each)
            if command != "resign":
                await trio.to_thread.run_sync(cluster.mend)
            for each in sent[20:]:
                await appended(client, command, each)
            stored = [each.id for each in await client.get_stream_events(command)]
            assert stored == [each.id for each in sent], "each event once, in its order"
    assert received == stored, "the subscription went on"
