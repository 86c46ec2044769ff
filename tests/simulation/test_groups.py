"""What is promised of groups of consumers holds whatever fails: consumers, connections, nodes, leaders.

- Every event is handled at least once, or is parked.
- Only what was refused, or was not settled in time too often, is parked.
- No checkpoint is beyond an event that is not done.
- What was acked and flushed is known to the group, and does not come again as long as the group is the same one: a new
  leader, an update and a restart make another one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import trio

from trio_esdb import ESDBClient, NewEvent
from trio_esdb.testing import World, simulate

from .groups import STREAM, Name, Said, Workers, watching
from .ledger import TEMPORARY, connected, everything

FAULTS = 6.0
SETTLE = 90.0
EVENTS = 15
STRATEGIES = ("RoundRobin", "DispatchToSingle", "Pinned", "PinnedByCorrelation")


@simulate(seeds=10, nodes=3, duration=FAULTS, settle=SETTLE)
async def test_consumers_that_take_events_one_by_one(world: World) -> None:
    await run(world, lambda workers: workers.one_by_one)


@simulate(seeds=10, nodes=3, duration=FAULTS, settle=SETTLE)
async def test_consumers_with_workers(world: World) -> None:
    await run(world, lambda workers: workers.processing)


async def run(world: World, way: Callable[[Workers], Callable[..., Any]]) -> None:
    """A group of the stream or of all streams, with one of the strategies; it has two consumers."""
    of_all, strategy = world.seed % 2 == 1, STRATEGIES[world.seed // 2 % 4]
    said = Said(Name("group", of_all))
    workers = Workers(world, said)
    async with AsyncExitStack() as stack:
        stack.enter_context(watching(said))
        client = await connected(stack, world.client)
        other = await connected(stack, world.client)
        nursery = await stack.enter_async_context(trio.open_nursery())
        await said.name.create(client, strategy)
        nursery.start_soon(way(workers), client, "Ann")
        nursery.start_soon(way(workers), other, "Bob")
        async with trio.open_nursery() as working:
            working.start_soon(write, world, client)
            working.start_soon(update, world, client, said.name)
            await trio.sleep(FAULTS)
            await world.healed()
        workers.healed = True
        await said.complete(client, await everything(client))
        assert said.checkpoints
        nursery.cancel_scope.cancel()


async def write(world: World, client: ESDBClient) -> None:
    """Write the events, for several streams of correlated events."""
    random = Random(f"{world.seed}/writer")
    position: int | None = None
    for number in range(EVENTS):
        metadata = b'{"$correlationId":"%d"}' % (number % 5)
        event = NewEvent("Work", b"%d" % number, metadata=metadata, id=world.new_id())
        while True:
            try:
                result = await client.append_events(STREAM, position, [event])
            except TEMPORARY:
                await trio.sleep(0.1)
            else:
                position = result.stream_position
                break
        if random.random() < 0.5:
            await trio.sleep(random.uniform(0, 1))


async def update(world: World, client: ESDBClient, name: Name) -> None:
    """Update the group, at some time."""
    random = Random(f"{world.seed}/updates")
    if random.random() < 0.5:
        await trio.sleep(random.uniform(1, FAULTS))
        strategy, most = random.choice(STRATEGIES[:3]), random.randint(1, 6)
        await name.update(client, min_checkpoint_count=1, max_checkpoint_count=most, consumer_strategy=strategy)
