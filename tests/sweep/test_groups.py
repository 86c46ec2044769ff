"""Consumers of groups, cancelled at each of their steps: nothing is left, and what was acked stays acked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.world import Moment, World, every_moment
from trio_esdb import ESDBClient, GroupEvent, NewEvent, StreamState

EVENTS = 8


@pytest.fixture
async def groups(world: World) -> World:
    await world.fill("s", EVENTS)
    await world.client.create_stream_subscription("g", "s", message_timeout=3000, max_checkpoint_count=1)
    return world


CALLS: dict[str, Callable[[ESDBClient], Awaitable[Any]]] = {
    "get_subscription_info": lambda client: client.get_subscription_info("g", "s"),
    "list_subscriptions": lambda client: client.list_subscriptions(),
    "list_subscriptions of nothing": lambda client: client.list_subscriptions("nothing"),
    "update_stream_subscription": lambda client: client.update_stream_subscription("g", "s", max_retry_count=3),
    "replay_parked_events": lambda client: client.replay_parked_events("g", "s"),
    "restart_persistent_subscriptions": lambda client: client.restart_persistent_subscriptions(),
}


@every_moment
@pytest.mark.parametrize("name", CALLS)
async def test_a_call(groups: World, name: str, moment: Moment) -> None:
    await groups.sweep(lambda: CALLS[name](groups.client), moment)


@every_moment
async def test_making_and_deleting(groups: World, moment: Moment) -> None:
    async def use() -> None:
        for stream in ("a", "b"):
            if not await groups.client.list_subscriptions(stream):
                await groups.client.create_stream_subscription("g", stream)
            await groups.client.delete_subscription("g", stream)

    await groups.sweep(use, moment)


@every_moment
async def test_connecting_and_leaving(groups: World, moment: Moment) -> None:
    async def use() -> None:
        async with groups.client.read_stream_subscription("g", "s"):
            pass

    await groups.sweep(use, moment)
    assert (await groups.client.get_subscription_info("g", "s")).consumers == ()


@every_moment
@pytest.mark.parametrize("flush", [False, True], ids=["leave", "flush"])
async def test_what_was_acked_does_not_come_again(groups: World, moment: Moment, flush: bool) -> None:
    acked: set[bytes] = set()

    async def use() -> None:
        async with groups.client.read_stream_subscription("g", "s") as events:
            for _ in range(2):
                await groups.client.append_event("s", StreamState.ANY, NewEvent("Happened", b"%d" % len(acked)))
                event = await events.receive()
                assert event.id.bytes not in acked
                acked.add(event.id.bytes)
                events.ack(event)
            if flush:
                await events.flush()

    await groups.sweep(use, moment)
    info = await groups.client.get_subscription_info("g", "s")
    assert (info.outstanding_messages_count, info.parked_message_count) == (0, 0)


@every_moment
async def test_processing(groups: World, moment: Moment) -> None:
    handled: set[bytes] = set()

    async def use() -> None:
        left = 3
        async with groups.client.read_stream_subscription("g", "s") as events:

            async def handle(event: GroupEvent) -> None:
                nonlocal left
                handled.add(event.data)
                left -= 1
                if not left:
                    events.stop()

            new = [NewEvent("Happened", b"%d" % (len(handled) + number)) for number in range(3)]
            await groups.client.append_events("s", StreamState.ANY, new)
            await events.process(handle, workers=2, key=lambda event: event.stream_name)

    await groups.sweep(use, moment)
    info = await groups.client.get_subscription_info("g", "s")
    assert (info.outstanding_messages_count, info.parked_message_count) == (0, 0)
