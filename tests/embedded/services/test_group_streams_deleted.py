"""Groups whose own streams somebody has deleted for ever, or has written to: the node and its other groups go on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from trio_esdb import ESDBClient, NewEvent, StreamState
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing import MemoryNetwork

PARKED, CHECKPOINT = (f"$persistentsubscription-s::g-{what}" for what in ("parked", "checkpoint"))


@pytest.fixture
async def client() -> AsyncIterator[ESDBClient]:
    network = MemoryNetwork()
    async with (
        EmbeddedNode() as node,
        network.listen(node, "node", 2113),
        ESDBClient("esdb://node:2113?tls=false", connect=network.connect) as client,
    ):
        await client.append_events("s", StreamState.ANY, [NewEvent("A", b"%d" % number) for number in range(4)])
        await client.create_stream_subscription("g", "s", min_checkpoint_count=1, max_checkpoint_count=1)
        yield client


async def test_what_is_parked_is_lost_when_the_parked_stream_is_deleted_for_ever(client: ESDBClient) -> None:
    await client.tombstone_stream(PARKED, StreamState.ANY)
    async with client.read_stream_subscription("g", "s") as events:
        first = await events.receive()
        events.nack(first, "park")
        await events.flush()
        assert [(await events.receive()).stream_position for _ in range(3)] == [1, 2, 3]
    await client.replay_parked_events("g", "s")
    assert (await client.get_subscription_info("g", "s")).parked_message_count == 0


async def test_a_replay_ends_when_the_parked_stream_is_deleted_for_ever_meanwhile(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        events.nack(await events.receive(), "park")
        await events.flush()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.replay_parked_events, "g", "s")
            nursery.start_soon(client.tombstone_stream, PARKED, StreamState.ANY)
        await trio.testing.wait_all_tasks_blocked()
    assert "Replaying" not in (await client.get_subscription_info("g", "s")).status


@pytest.mark.parametrize("content", [b"no json", b'"no number"', b"[1]", None])
async def test_a_group_without_a_usable_checkpoint_begins_anew(client: ESDBClient, content: bytes | None) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        events.ack([await events.receive(), await events.receive()])
        await events.flush()
    if content is None:
        await client.tombstone_stream(CHECKPOINT, StreamState.ANY)
    else:
        event = NewEvent("$SubscriptionCheckpoint", content)
        await client.append_events(CHECKPOINT, StreamState.ANY, [event])
    await client.restart_persistent_subscriptions()
    async with client.read_stream_subscription("g", "s") as events:
        assert (await events.receive()).stream_position == 0
