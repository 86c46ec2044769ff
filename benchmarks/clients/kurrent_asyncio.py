"""kurrentdbclient, its asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from kurrentdbclient import AsyncKurrentDBClient, RecordedEvent, StreamState

from benchmarks.clients._harness import PER_CONNECTION, Job, Meter, expect, run
from benchmarks.clients.kurrent import new_events

_WARM_UP = "bench-200-packed-100"


@asynccontextmanager
async def opened(job: Job) -> AsyncIterator[AsyncKurrentDBClient]:
    """A client that has already done a little of everything."""
    if job.certificate:
        client = AsyncKurrentDBClient(f"esdb://admin:changeit@{job.address}", root_certificates=job.root_certificates)
    else:
        client = AsyncKurrentDBClient(f"esdb://{job.address}?Tls=false")
    await client.connect()
    try:
        async for _ in await client.read_stream(_WARM_UP):
            pass
        await client.append_to_stream("bench-warm-up", current_version=StreamState.ANY, events=new_events(3, 200))
        yield client
    finally:
        await client.close()


async def _consume(events: AsyncIterable[RecordedEvent], count: int) -> None:
    found = 0
    async for event in events:
        _kept = event.id, event.type, event.data, event.metadata, event.commit_position, event.recorded_at
        found += 1
        if found == count:
            break
    expect(found, count)


async def read(client: AsyncKurrentDBClient, job: Job, meter: Meter) -> None:
    """One stream, event by event."""
    with meter(job.count):
        async with await client.read_stream(job.stream) as events:
            await _consume(events, job.count)


async def read_many(client: AsyncKurrentDBClient, job: Job, meter: Meter) -> None:
    """Several reads at once."""

    async def one() -> None:
        async with await client.read_stream(job.stream) as events:
            await _consume(events, job.count)

    with meter(job.count * job.parallel):
        await asyncio.gather(*(one() for _ in range(job.parallel)))


async def links(client: AsyncKurrentDBClient, job: Job, meter: Meter) -> None:
    """One stream of links, resolved."""
    with meter(job.count):
        async with await client.read_stream(job.stream, resolve_links=True) as events:
            await _consume(events, job.count)


async def read_all(client: AsyncKurrentDBClient, job: Job, meter: Meter) -> None:
    """All streams whose names begin so."""
    with meter(job.count):
        async with await client.read_all(
            filter_include=[job.stream], filter_by_stream_name=True, filter_by_prefix=True
        ) as events:
            await _consume(events, job.count)


async def subscribe(client: AsyncKurrentDBClient, job: Job, meter: Meter) -> None:
    """A catch-up subscription, until so many events have come."""
    with meter(job.count):
        async with await client.subscribe_to_stream(job.stream) as events:
            await _consume(events, job.count)


async def idle(client: AsyncKurrentDBClient, job: Job, meter: Meter) -> None:
    """Memory of subscriptions that wait; a client for each hundred of them, as kurrent.py explains."""
    async with await client.subscribe_to_stream(job.stream):
        pass  # the first one loads what all need
    async with AsyncExitStack() as stack:
        with meter.memory(job.parallel):
            for number in range(job.parallel):
                if number and not number % PER_CONNECTION:
                    client = AsyncKurrentDBClient(
                        f"esdb://{job.address}?Tls=false&KeepAliveInterval={100_000 + number}"
                    )
                    await client.connect()
                    stack.push_async_callback(client.close)
                events = await client.subscribe_to_stream(job.stream)
                stack.push_async_exit(events)
                waiting = asyncio.ensure_future(anext(events))
                stack.callback(waiting.cancel)


async def append(client: AsyncKurrentDBClient, job: Job, meter: Meter) -> None:
    """Appends of one or more events from one or more tasks, each task's one after another."""
    batches = [[new_events(job.per_call, job.size) for _ in range(job.count)] for _ in range(job.parallel)]

    async def one_after_another(number: int) -> None:
        name = f"{job.stream}-{number}"
        for events in batches[number]:
            what = events[0] if job.per_call == 1 else events
            await client.append_to_stream(name, current_version=StreamState.ANY, events=what)

    with meter(job.count * job.parallel):
        await asyncio.gather(*(one_after_another(number) for number in range(job.parallel)))


KINDS: dict[str, Callable[[AsyncKurrentDBClient, Job, Meter], Awaitable[None]]] = {
    work.__name__: work for work in (read, read_many, links, read_all, subscribe, idle, append)
}


async def _perform(job: Job, meter: Meter) -> None:
    async with opened(job) as client:
        await KINDS[job.kind](client, job, meter)


def perform(job: Job, meter: Meter) -> None:
    """Do a job with a client of its own."""
    asyncio.run(_perform(job, meter))


if __name__ == "__main__":
    run(perform)
