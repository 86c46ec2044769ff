"""trio_esdb."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from benchmarks.clients._harness import Job, Meter, expect, peak, proposed, reset_peak, resident, run
from trio_esdb import ESDBClient, NewEvent, StreamState

_WARM_UP = "bench-200-packed-100"


@asynccontextmanager
async def opened(job: Job) -> AsyncIterator[ESDBClient]:
    """A client that has already done a little of everything."""
    uri = f"esdb://{job.address}{'' if job.certificate else '?tls=false'}"
    async with ESDBClient(uri, root_certificates=job.certificate or None) as client:
        async with client.read_stream_events(_WARM_UP) as events:
            async for _ in events:
                pass
        await client.append_events("bench-warm-up", StreamState.ANY, new_events(3, 200))
        yield client


def new_events(count: int, size: int) -> list[NewEvent]:
    """Events to be appended."""
    kind, data, metadata = proposed(size)
    return [NewEvent(kind, data, metadata, "application/octet-stream") for _ in range(count)]


async def _consume(receiving: Any, count: int) -> None:
    found = 0
    async with receiving as events:
        async for event in events:
            _kept = event.id, event.type, event.data, event.metadata, event.commit_position, event.recorded_at
            found += 1
            if found == count:
                break
    expect(found, count)


async def read(client: ESDBClient, job: Job, meter: Meter) -> None:
    """One stream, event by event."""
    with meter(job.count):
        await _consume(client.read_stream_events(job.stream), job.count)


async def get(client: ESDBClient, job: Job, meter: Meter) -> None:
    """One stream, all events at once."""
    with meter(job.count):
        for event in await client.get_stream_events(job.stream):
            _kept = event.id, event.type, event.data, event.metadata, event.commit_position, event.recorded_at


async def read_many(client: ESDBClient, job: Job, meter: Meter) -> None:
    """Several reads at once."""
    with meter(job.count * job.parallel):
        async with trio.open_nursery() as nursery:
            for _ in range(job.parallel):
                nursery.start_soon(_consume, client.read_stream_events(job.stream), job.count)


async def links(client: ESDBClient, job: Job, meter: Meter) -> None:
    """One stream of links, resolved."""
    with meter(job.count):
        await _consume(client.read_stream_events(job.stream, resolve_links=True), job.count)


async def read_all(client: ESDBClient, job: Job, meter: Meter) -> None:
    """All streams whose names begin so."""
    receiving = client.read_all_events(filter_include=[job.stream], filter_by_stream_name=True, filter_by_prefix=True)
    with meter(job.count):
        await _consume(receiving, job.count)


async def subscribe(client: ESDBClient, job: Job, meter: Meter) -> None:
    """A catch-up subscription, until so many events have come."""
    with meter(job.count):
        await _consume(client.subscribe_stream_events(job.stream), job.count)


async def consume(client: ESDBClient, job: Job, meter: Meter) -> None:
    """Consumers of a group, each of which acks each event."""

    async def one() -> None:
        found = 0
        async with client.read_stream_subscription("g", job.stream, buffer_size=job.count, grace=0) as events:
            async for event in events:
                _kept = event.id, event.type, event.data, event.metadata, event.commit_position, event.recorded_at
                events.ack(event)
                found += 1
                if found == job.count:
                    break
        expect(found, job.count)

    with meter(job.count * job.parallel):
        async with trio.open_nursery() as nursery:
            for _ in range(job.parallel):
                nursery.start_soon(one)


async def keep(client: ESDBClient, job: Job, meter: Meter) -> None:
    """Memory of events that are kept."""
    kept: list[object] = []
    with meter.memory(job.count):
        async with client.read_stream_events(job.stream) as events:
            async for event in events:
                kept.append(event)  # noqa: PERF401  # comprehensions are for peers that have them, too
    expect(len(kept), job.count)


async def slow(client: ESDBClient, job: Job, meter: Meter) -> None:
    """The largest memory of a consumer slower than the node, above what the idle client has, at some marks."""
    reset_peak()
    idle, found, marks = resident(), 0, {}
    with meter(job.count):
        async with client.read_stream_events(job.stream) as events:
            async for _ in events:
                found += 1
                if not found % 2000:
                    await trio.sleep(0.001)
                if found in job.marks:
                    marks[str(found)] = peak() - idle
    expect(found, job.count)
    meter.extra["peaks"] = marks


async def idle(client: ESDBClient, job: Job, meter: Meter) -> None:
    """Memory of subscriptions that wait."""
    async with client.subscribe_stream_events(job.stream):
        pass  # the first one loads what all need
    async with trio.open_nursery() as nursery:
        with meter.memory(job.parallel):
            for _ in range(job.parallel):
                await nursery.start(_wait_for_events, client, job.stream)
        nursery.cancel_scope.cancel()


async def _wait_for_events(client: ESDBClient, stream: str, task_status: trio.TaskStatus[None]) -> None:
    async with client.subscribe_stream_events(stream) as events:
        task_status.started()
        async for _ in events:
            pass


async def append(client: ESDBClient, job: Job, meter: Meter) -> None:
    """Appends of one or more events from one or more tasks, each task's one after another."""
    batches = [[new_events(job.per_call, job.size) for _ in range(job.count)] for _ in range(job.parallel)]

    async def one_after_another(name: str, calls: list[list[NewEvent]]) -> None:
        if job.per_call == 1:
            for (event,) in calls:
                await client.append_event(name, StreamState.ANY, event)
        else:
            for events in calls:
                await client.append_events(name, StreamState.ANY, events)

    with meter(job.count * job.parallel):
        async with trio.open_nursery() as nursery:
            for number, calls in enumerate(batches):
                nursery.start_soon(one_after_another, f"{job.stream}-{number}", calls)


KINDS: dict[str, Callable[[ESDBClient, Job, Meter], Awaitable[None]]] = {
    work.__name__: work
    for work in (read, get, read_many, links, read_all, subscribe, consume, keep, slow, idle, append)
}


async def _perform(job: Job, meter: Meter) -> None:
    async with opened(job) as client:
        await KINDS[job.kind](client, job, meter)


def perform(job: Job, meter: Meter) -> None:
    """Do a job with a client of its own."""
    trio.run(partial(_perform, job, meter))


if __name__ == "__main__":
    run(perform)
