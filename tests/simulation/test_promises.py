"""What the client promises holds whatever fails: nodes, leaders, networks.

- An append that was acknowledged is in the log, once, at the place that was told.
- What was said to be certainly not written never appears. What may have been written appears once or not at all.
- A subscription gives each event once and in order, whatever it follows and whichever nodes it prefers.
- A read sees only what stays, in order. Each call ends.

With all tests a few schedules are run, by CI 200 of each (`just seeds=200 simulate`), and 2000 by `just simulate`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

import trio

from trio_esdb import RecordedEvent
from trio_esdb.testing import World, simulate

from .ledger import Ledger, connected, everything
from .listeners import Open, Readers, Subscriber, following
from .writers import Writers

FAULTS = 20.0
"""Seconds in which faults come. Writers begin with them and need longer."""
SETTLE = 60.0
CAUGHT_UP = 30.0
"""Seconds in which a subscriber has all events, once everything is healed and written."""


@simulate(seeds=20, nodes=3, read_only_replicas=1, duration=FAULTS, settle=SETTLE)
async def test_subscribers_get_each_event_once(world: World) -> None:
    ledger = Ledger()
    async with AsyncExitStack() as stack:
        client = await connected(stack, world.client)
        uri = world.cluster.uri + "&nodePreference="
        follower = await connected(stack, partial(world.client, uri=uri + "follower"))
        replica = await connected(stack, partial(world.client, uri=uri + "readOnlyReplica"))
        nursery = await stack.enter_async_context(trio.open_nursery())
        writers = Writers(world, client, ledger, count=15)
        subscribers = [
            (client, Subscriber(ledger.seen("stream"), stream("numbers"), following("numbers"))),
            (client, Subscriber(ledger.seen("all"), all_events(), is_usual)),
            (client, Subscriber(ledger.seen("filtered"), all_events("Number"), is_type("Number"))),
            (client, Subscriber(ledger.seen("links"), stream("links", links=True), following("linked"))),
            (client, Subscriber(ledger.seen("clones"), all_events("Number"), is_type("Number"), clones=3)),
            (follower, Subscriber(ledger.seen("follower"), all_events(), is_usual)),
            (follower, Subscriber(ledger.seen("follower, stream"), stream("any"), following("any"))),
            (replica, Subscriber(ledger.seen("replica"), all_events(), is_usual)),
        ]
        for owner, subscriber in subscribers:
            nursery.start_soon(subscriber.run, owner)
        async with trio.open_nursery() as writing:
            for write in (
                partial(writers.numbers, "numbers"),
                partial(writers.batches, "batches"),
                partial(writers.any, "any"),
                partial(writers.links, "links", "linked"),
            ):
                writing.start_soon(write)
            await trio.sleep(FAULTS)
            await world.healed()
            writers.healed = True
        truth = await everything(client)
        ledger.check(truth)
        for _, subscriber in subscribers:
            await subscriber.until_complete(truth, CAUGHT_UP)
        nursery.cancel_scope.cancel()


@simulate(seeds=20, nodes=3, duration=FAULTS, settle=SETTLE)
async def test_nothing_that_was_acknowledged_is_lost(world: World) -> None:
    ledger = Ledger()
    async with AsyncExitStack() as stack:
        client = await connected(stack, world.client)
        reader = await connected(stack, world.client)
        nursery = await stack.enter_async_context(trio.open_nursery())
        writers = Writers(world, client, ledger, count=15)
        readers = Readers(world, reader, ledger, "numbers")
        nursery.start_soon(readers.run)
        async with trio.open_nursery() as writing:
            for write in (
                partial(writers.numbers, "numbers"),
                partial(writers.new_streams, "new"),
                partial(writers.any, "any"),
                partial(writers.exists, "exists"),
                partial(writers.contested, "contested", "Ann"),
                partial(writers.contested, "contested", "Bob"),
                partial(writers.metadata, "described"),
                partial(writers.deletions, "deleted"),
            ):
                writing.start_soon(write)
            await trio.sleep(FAULTS)
            await world.healed()
            writers.healed = True
        nursery.cancel_scope.cancel()
        assert readers.reads
        ledger.check(await everything(client), removed=writers.removed)


@simulate(seeds=20, nodes=3, tls=True, users=True, duration=FAULTS, settle=SETTLE)
async def test_the_same_with_tls_and_users(world: World) -> None:
    ledger = Ledger()
    async with AsyncExitStack() as stack:
        client = await connected(stack, world.client)
        nursery = await stack.enter_async_context(trio.open_nursery())
        writers = Writers(world, client, ledger, count=10)
        subscriber = Subscriber(ledger.seen("all"), all_events(), is_usual)
        nursery.start_soon(subscriber.run, client)
        async with trio.open_nursery() as writing:
            writing.start_soon(writers.numbers, "numbers")
            writing.start_soon(writers.any, "any")
            await trio.sleep(FAULTS)
            await world.healed()
            writers.healed = True
        truth = await everything(client)
        ledger.check(truth)
        await subscriber.until_complete(truth, CAUGHT_UP)
        nursery.cancel_scope.cancel()


def stream(name: str, *, links: bool = False) -> Open:
    return lambda client, after: client.subscribe_stream_events(name, after, resolve_links=links)


def all_events(*types: str) -> Open:
    include = {"filter_include": types} if types else {}
    return lambda client, after: client.subscribe_all_events(after, **include)


def is_usual(event: RecordedEvent) -> bool:
    """Whether an event is given without a filter of the program's own."""
    return not event.type.startswith("$")


def is_type(type: str) -> Callable[[RecordedEvent], bool]:
    return lambda event: event.type == type
