"""Subscriptions that must go on at a node which does not have all events yet."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import trio

from trio_esdb import ESDBClient, NewEvent, PositionLostError, StreamState
from trio_esdb.testing import EmbeddedCluster

EVENT = NewEvent(type="Happened", data=b"{}")
KINDS: dict[str, Callable[[ESDBClient], Any]] = {
    "stream": lambda client: client.subscribe_stream_events("s"),
    "all": lambda client: client.subscribe_all_events(),
    "filtered": lambda client: client.subscribe_all_events(filter_include=["Happened"]),
}


class Following:
    """A subscription at a follower, and what it has given."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.failure: Exception | None = None

    async def run(self, subscription: Any) -> None:
        try:
            async with subscription as events:
                async for event in events:
                    self.numbers.append(event.stream_position)
        except PositionLostError as error:
            self.failure = error


async def append(client: ESDBClient, *numbers: int) -> None:
    for number in numbers:
        await client.append_event("s", number - 1 if number else None, NewEvent(type="Happened", data=b"{}"))


@pytest.mark.parametrize("kind", KINDS)
async def test_the_only_other_follower_lags(kind: str) -> None:
    """It is parted from the leader, and the follower that was followed is killed: nothing is lost, only late."""
    async with EmbeddedCluster(random=Random(2)) as cluster:
        network = cluster.network
        uri = f"{cluster.uri}&nodePreference=follower"
        async with (
            ESDBClient(cluster.uri, connect=network.connect) as writer,
            ESDBClient(uri, connect=network.connect, random=Random(1)) as client,
            trio.open_nursery() as nursery,
        ):
            following = Following()
            nursery.start_soon(following.run, KINDS[kind](client))
            await append(writer, 0, 1)
            await trio.sleep(1)
            (used,) = {connection.address for connection in client.statistics().connections}
            (near,) = (node for node in cluster.followers if node.address == used)
            (far,) = (node for node in cluster.followers if node is not near)
            cluster.partition(far)
            await append(writer, 2, 3)
            await trio.sleep(1)
            assert following.numbers == [0, 1, 2, 3]
            leader = cluster.leader
            assert leader is not None
            leader.kill()
            near.kill()
            await trio.sleep(5)
            assert following.failure is None
            leader.restart()
            near.restart()
            cluster.heal()
            await cluster.settled()
            await append(writer, 4)
            await trio.sleep(10)
            assert following.failure is None
            assert following.numbers == [0, 1, 2, 3, 4]
            nursery.cancel_scope.cancel()


async def test_a_position_that_no_node_holds_is_lost_after_all() -> None:
    """The data of all nodes was lost."""
    async with EmbeddedCluster() as cluster:
        async with ESDBClient(cluster.uri, connect=cluster.network.connect) as client, trio.open_nursery() as nursery:
            following = Following()
            nursery.start_soon(following.run, KINDS["stream"](client))
            await append(client, 0, 1)
            await trio.sleep(1)
            for node in cluster.nodes:
                node.kill()
                node.wipe()
            for node in cluster.nodes:
                node.restart()
            await cluster.settled()
            await client.append_event("s", StreamState.ANY, EVENT)
            await trio.sleep(40)
            assert isinstance(following.failure, PositionLostError)
            nursery.cancel_scope.cancel()


async def test_the_only_replica_lags_for_long() -> None:
    """It is preferred, and parted from the leader for a minute; the leader knows that nothing is lost."""
    async with EmbeddedCluster(read_only_replicas=1) as cluster:
        network = cluster.network
        uri = f"{cluster.uri}&nodePreference=readOnlyReplica"
        async with (
            ESDBClient(cluster.uri, connect=network.connect) as writer,
            ESDBClient(uri, connect=network.connect) as client,
            trio.open_nursery() as nursery,
        ):
            following = Following()
            nursery.start_soon(following.run, client.subscribe_all_events())
            await append(writer, 0, 1)
            await trio.sleep(1)
            replica = cluster.nodes[3]
            network.to(replica.host).reset()
            network.to(replica.host).refuse()
            await append(writer, 2, 3)
            await trio.sleep(5)
            assert following.numbers == [0, 1, 2, 3]
            cluster.partition(replica)
            await append(writer, 4)
            await trio.sleep(5)
            network.to(replica.host).accept()
            for node in cluster.nodes[:3]:
                network.to(node.host).refuse()
                network.to(node.host).reset()
            await trio.sleep(30)
            for node in cluster.nodes[:3]:
                network.to(node.host).accept()
            await trio.sleep(30)
            cluster.heal()
            await append(writer, 5)
            await trio.sleep(10)
            assert following.failure is None
            assert following.numbers == [0, 1, 2, 3, 4, 5]
            nursery.cancel_scope.cancel()
