"""Many tasks that use one client all at once and are cancelled at all times."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
import trio
import trio.testing

from tests.support.leaks import assert_nothing_is_left
from tests.support.world import World
from trio_esdb import ExpectedPositionError, NewEvent, StreamNotFoundError

TASKS, ROUNDS = 40, 15


@pytest.mark.parametrize("seed", range(3))
async def test_a_storm(world: World, seed: int) -> None:
    chance = Random(seed)
    client = world.client
    acknowledged: Counter[str] = Counter()
    given: Counter[str] = Counter()
    for stream in "abc":
        await client.append_event(stream, None, NewEvent("First", bytes(chance.randrange(5000))))
    await client.get_stream_events("a")  # with the first read begins the task that keeps time for all of them
    await trio.testing.wait_all_tasks_blocked()
    living = trio.lowlevel.current_statistics().tasks_living

    async def write(stream: str) -> None:
        given[stream] += 1
        await client.append_event(stream, -1, NewEvent("Happened", bytes(chance.randrange(20_000))))
        acknowledged[stream] += 1

    async def compete(stream: str) -> None:
        given[stream] += 1
        try:
            await client.append_event(stream, chance.randrange(300), NewEvent("Happened", b"{}"))
        except ExpectedPositionError:
            given[stream] -= 1
        else:
            acknowledged[stream] += 1

    async def read(stream: str) -> None:
        found = await client.get_stream_events(stream, backwards=chance.random() < 0.5)
        assert len({event.stream_position for event in found}) == len(found)

    async def look(stream: str) -> None:
        async with client.read_all_events(filter_exclude=()) as events:
            for _ in range(chance.randrange(30)):
                if chance.random() < 0.1:
                    await trio.sleep(chance.random())
                async for _ in events:
                    break

    async def follow(stream: str) -> None:
        async with client.subscribe_stream_events(stream, from_end=chance.random() < 0.5) as events:
            numbers: list[int] = []
            with trio.move_on_after(chance.random()):
                async for event in events:
                    numbers.append(event.stream_position)  # noqa: PERF401
        assert numbers == sorted(set(numbers))

    async def ask(stream: str) -> None:
        await client.get_stream_position(stream)
        await client.set_stream_metadata(stream, {"seed": seed})
        await client.get_stream_metadata(stream)
        with pytest.raises(StreamNotFoundError):
            await client.get_stream_events("nothing")

    async def work() -> None:
        for _ in range(ROUNDS):
            with trio.CancelScope() as scope:
                if chance.random() < 0.3:
                    scope.deadline = trio.current_time() + chance.random()
                elif chance.random() < 0.5:
                    nursery.start_soon(cancel, scope, chance.randrange(25))
                await chance.choice((write, compete, read, look, follow, ask))(chance.choice("abc"))

    async def cancel(scope: trio.CancelScope, turns: int) -> None:
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        for _ in range(TASKS):
            nursery.start_soon(work)

    await assert_nothing_is_left(client, world.served)
    assert trio.lowlevel.current_statistics().tasks_living == living
    assert len(client.statistics().connections) == 1
    for stream in "abc":
        count = len(await client.get_stream_events(stream)) - 1
        assert acknowledged[stream] <= count <= given[stream]


@pytest.mark.parametrize("seed", range(3))
async def test_a_bad_network(world: World, seed: int) -> None:
    """Connections break all the time: each append is written once, and a subscription misses nothing."""
    chance = Random(seed)
    client = world.client
    seen: list[int] = []
    done = 0

    async def break_connections() -> None:
        while True:
            await trio.sleep(chance.random() / 20)
            for _ in range(chance.randrange(30)):  # in the middle of what begins at this moment
                await trio.lowlevel.checkpoint()
            for link in world.served:
                if not link.closed.is_set():
                    await trio.aclose_forcefully(link._stream)

    async def write() -> None:
        nonlocal done
        for number in range(30):
            event = NewEvent("Happened", bytes(chance.randrange(50_000)))
            await trio.sleep(chance.random() / 10)
            await client.append_event("s", number - 1 if number else None, event)
        done += 1

    async def follow() -> None:
        nonlocal done
        async with client.subscribe_stream_events("s") as events:
            while len(seen) < 30:
                seen.append((await events.receive()).stream_position)
        done += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        nursery.start_soon(follow)
        with trio.move_on_after(10**5):
            async with trio.open_nursery() as breaking:
                breaking.start_soon(break_connections)
                while done < 2:
                    await trio.sleep(1)
                breaking.cancel_scope.cancel()
        nursery.cancel_scope.cancel()
    assert seen == list(range(30))
    await trio.testing.wait_all_tasks_blocked()
    assert len(await client.get_stream_events("s")) == 30
    await assert_nothing_is_left(client, world.served)
    assert len(client.statistics().connections) == 1
