"""Groups of consumers in a cluster: they run on the leader, and a new leader goes on at the last checkpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from trio_esdb import ESDBClient, GroupChannel, GroupEvent, NewEvent
from trio_esdb.testing import ClusterNode, EmbeddedCluster


@pytest.fixture
async def cluster(autojump_clock: trio.testing.MockClock) -> AsyncIterator[EmbeddedCluster]:
    async with EmbeddedCluster(3) as cluster:
        yield cluster


@pytest.fixture
async def client(cluster: EmbeddedCluster) -> AsyncIterator[ESDBClient]:
    async with ESDBClient(cluster.uri, connect=cluster.network.connect) as client:
        await client.append_events("s", None, [NewEvent("A", b"%d" % n) for n in range(50)])
        await client.create_stream_subscription("g", "s", max_checkpoint_count=10)
        yield client


def leader(cluster: EmbeddedCluster) -> ClusterNode:
    found = cluster.leader
    assert found is not None
    return found


async def handle(events: GroupChannel, count: int) -> None:
    """Ack so many events, and wait until a checkpoint of them was written."""
    for _ in range(count):
        events.ack(await events.receive())
    await events.flush()
    await trio.sleep(4)


def since_the_checkpoint(acked: int) -> list[bytes]:
    """What a new leader may begin with: at most ten events, and no more, were done since the last checkpoint."""
    return [b"%d" % number for number in range(acked - 9, acked + 1)]


async def after_the_next_connection(events: GroupChannel) -> GroupEvent:
    before = events.reconnections
    while True:
        event = await events.receive()
        if events.reconnections > before:
            return event
        events.ack(event)


async def test_a_leader_that_dies(cluster: EmbeddedCluster, client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s", buffer_size=5) as events:
        await handle(events, 20)
        start = trio.current_time()
        leader(cluster).kill()
        event = await after_the_next_connection(events)
        assert event.data in since_the_checkpoint(20)
        assert event.retry_count == 0, "a new leader has forgotten it"
        assert trio.current_time() - start < 10
        events.ack(event)


async def test_a_leader_that_resigns_drops_its_consumers(cluster: EmbeddedCluster, client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s", buffer_size=5) as events:
        await handle(events, 23)
        old = leader(cluster)
        old.resign()
        event = await after_the_next_connection(events)
        assert event.data in since_the_checkpoint(23)
        assert event.retry_count == 0
        events.ack(event)
    await trio.sleep(1)
    assert (await client.get_subscription_info("g", "s")).consumers == ()


async def test_what_was_acked_after_the_checkpoint_comes_again(cluster: EmbeddedCluster, client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s", buffer_size=5) as events:
        await handle(events, 20)
        for _ in range(3):
            events.ack(await events.receive())
        await events.flush()
        leader(cluster).kill()
        again = await after_the_next_connection(events)
        assert again.data in since_the_checkpoint(23)
        events.ack(again)


async def test_groups_are_managed_on_the_leader_whatever_node_is_preferred(cluster: EmbeddedCluster) -> None:
    uri = cluster.uri + "&nodePreference=follower"
    async with ESDBClient(uri, connect=cluster.network.connect) as client:
        await client.append_events("s", None, [NewEvent("A", b"")])
        await client.create_subscription("g")
        await client.update_subscription("g", max_retry_count=1)
        assert (await client.get_subscription_info("g")).settings.max_retry_count == 1
        async with client.read_subscription("g") as events:
            events.ack(await events.receive())
        leader(cluster).kill()
        assert [info.group_name for info in await client.list_subscriptions()] == ["g"]
        await client.replay_parked_events("g")
        await client.restart_persistent_subscriptions()
        await client.delete_subscription("g")


async def test_parked_events_are_kept(cluster: EmbeddedCluster, client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        events.nack(await events.receive(), "park", "bad")
        await events.flush()
        await trio.sleep(1)
    leader(cluster).kill()
    assert (await client.get_subscription_info("g", "s")).parked_message_count == 1
    await client.replay_parked_events("g", "s")
    async with client.read_stream_subscription("g", "s") as events:
        while (event := await events.receive()).link is None:
            events.ack(event)
        assert event.data == b"0"
        events.ack(event)
