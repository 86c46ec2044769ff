"""Reads and subscriptions, cancelled at each of their steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.world import Moment, World, every_moment, sweep
from trio_esdb import ESDBClient, EventChannel, NewEvent

OPENINGS: dict[str, Callable[[ESDBClient], Any]] = {
    "read_stream_events": lambda client: client.read_stream_events("s"),
    "read_stream_events in time": lambda client: client.read_stream_events("s", timeout=5),
    "read_all_events": lambda client: client.read_all_events(),
    "subscribe_all_events": lambda client: client.subscribe_all_events(filter_exclude=()),
    "subscribe_all_events filtered": lambda client: client.subscribe_all_events(include_checkpoints=True),
    "subscribe_stream_events": lambda client: client.subscribe_stream_events("s"),
    "subscribe_stream_events in time": lambda client: client.subscribe_stream_events("s", timeout=5),
}
every_opening = pytest.mark.parametrize("name", OPENINGS)


@every_moment
@every_opening
async def test_entering_and_leaving(world: World, name: str, moment: Moment) -> None:
    await world.fill("s", 50)

    async def use() -> None:
        async with OPENINGS[name](world.client):
            pass

    await world.sweep(use, moment)


@every_moment
@every_opening
async def test_receiving(world: World, name: str, moment: Moment) -> None:
    await world.fill("s", 50)

    async def use() -> None:
        async with OPENINGS[name](world.client) as events:
            for _ in range(3):
                await events.receive()
            async with events.clone() as clone:
                await clone.receive()
                await anext(clone)
            await events.aclose()

    await world.sweep(use, moment)


@every_moment
@pytest.mark.parametrize("name", ["read_stream_events", "read_all_events"])
async def test_iterating_to_the_end(world: World, name: str, moment: Moment) -> None:
    await world.fill("s", 200)

    async def use() -> None:
        async with OPENINGS[name](world.client) as events:
            async for _ in events:
                pass

    await world.sweep(use, moment)


@every_moment
async def test_a_live_event(world: World, moment: Moment) -> None:
    async def use() -> None:
        async with world.client.subscribe_stream_events("live", from_end=True) as events:
            await world.client.append_event("live", -1, NewEvent("Happened", b"{}"))
            await events.receive()

    await world.sweep(use, moment)


Take = Callable[[EventChannel[Any]], Any]
TAKES: dict[str, Take] = {"receive": lambda events: events.receive(), "anext": lambda events: anext(events)}


@every_moment
@pytest.mark.parametrize("take", TAKES)
@pytest.mark.parametrize("size", [10, 20_000])
async def test_no_event_is_lost(world: World, take: str, size: int, moment: Moment) -> None:
    """A receive is cancelled at each of its steps, again and again; each event comes once, in order."""
    await world.fill("s", 100, size=min(size, 9000))
    for number in range(100, 140):
        await world.client.append_event("s", number - 1, NewEvent("Happened", bytes(size)))
    numbers: list[int] = []

    async def use() -> None:
        numbers.append((await TAKES[take](events)).stream_position)
        numbers.append((await TAKES[take](events)).stream_position)

    async def check() -> None:
        assert numbers == list(range(len(numbers)))

    async with world.client.subscribe_stream_events("s") as events:
        while len(numbers) < 120:
            await sweep(use, check, moment)
        while len(numbers) < 140:
            numbers.append((await events.receive()).stream_position)
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
    assert numbers == list(range(140))


@every_moment
async def test_no_live_event_is_lost(world: World, moment: Moment, nursery: trio.Nursery) -> None:
    """The events come one by one while receives are cancelled."""
    numbers: list[int] = []

    async def write() -> None:
        for number in range(60):
            await world.client.append_event("s", number - 1 if number else None, NewEvent("Happened", b""))
            await trio.sleep(0.01)

    async def use() -> None:
        if len(numbers) < 60:
            numbers.append((await events.receive()).stream_position)

    async def check() -> None:
        assert numbers == list(range(len(numbers)))

    async with world.client.subscribe_stream_events("s") as events:
        nursery.start_soon(write)
        while len(numbers) < 60:
            await sweep(use, check, moment)
    assert numbers == list(range(60))


@every_moment
async def test_no_event_of_a_shared_subscription_is_lost(world: World, moment: Moment, nursery: trio.Nursery) -> None:
    """One task's receives are cancelled, another's are not; between them they get every event once."""
    await world.fill("s", 200)
    mine: list[int] = []
    theirs: list[int] = []

    async def other(channel: EventChannel[Any]) -> None:
        async with channel:
            while len(mine) + len(theirs) < 200:
                with trio.move_on_after(1):
                    theirs.append((await channel.receive()).stream_position)
                for _ in range(3):
                    await trio.lowlevel.checkpoint()

    async def use() -> None:
        with trio.move_on_after(1):
            mine.append((await events.receive()).stream_position)

    async def check() -> None:
        assert mine == sorted(mine)

    async with world.client.subscribe_stream_events("s") as events:
        nursery.start_soon(other, events.clone())
        while len(mine) + len(theirs) < 200:
            await sweep(use, check, moment)
    assert sorted(mine + theirs) == list(range(200))


@every_moment
async def test_closing_a_channel_is_done_even_if_it_is_cancelled(world: World, moment: Moment) -> None:
    await world.fill("s", 50)
    await trio.testing.wait_all_tasks_blocked()

    async def close() -> None:
        receiving = world.client.subscribe_stream_events("s")
        with trio.CancelScope(shield=True):
            events = await receiving.__aenter__()
            clone = events.clone()
        try:
            await clone.aclose()
        finally:
            with pytest.raises(trio.ClosedResourceError):
                clone.receive_nowait()
            try:
                await events.aclose()
            finally:
                with pytest.raises(trio.ClosedResourceError):
                    events.receive_nowait()

    await world.sweep(close, moment)
    assert len(world.client.statistics().connections) == 1
