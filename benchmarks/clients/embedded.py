"""The embedded node together with its client, in one process."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

import trio
from trio.testing import MockClock

from benchmarks.clients._harness import Job, Meter, expect, proposed, resident, run
from trio_esdb import ESDBClient, NewEvent, StreamState
from trio_esdb.testing import EmbeddedCluster

_A_CALL = 500
_WINDOW = 20_000
_SMALL = 2000


def new_events(count: int, size: int) -> list[NewEvent]:
    """Events to be appended."""
    kind, data, metadata = proposed(size)
    return [NewEvent(kind, data, metadata) for _ in range(count)]


async def start(job: Job, meter: Meter) -> None:
    """Start nodes, one after another, each with a client that is connected to it."""
    async with ESDBClient("esdb://embedded"):
        pass
    with meter(job.count):
        for _ in range(job.count):
            async with ESDBClient("esdb://embedded"):
                pass


async def append(job: Job, meter: Meter) -> None:
    """Small appends from many tasks."""
    async with ESDBClient("esdb://embedded") as client:
        batches = [new_events(job.count, job.size) for _ in range(job.parallel)]

        async def one_after_another(name: str, events: list[NewEvent]) -> None:
            for event in events:
                await client.append_event(name, StreamState.ANY, event)

        with meter(job.count * job.parallel):
            async with trio.open_nursery() as nursery:
                for number, events in enumerate(batches):
                    nursery.start_soon(one_after_another, f"stream-{number}", events)


async def read(job: Job, meter: Meter) -> None:
    """Read a stream."""
    async with ESDBClient("esdb://embedded") as client:
        await _fill(client, "stream", job.count, job.size)
        with meter(job.count):
            await _read(client, "stream", job.count)


async def growth(job: Job, meter: Meter) -> None:
    """A store that grows: for each step what appending took of an event, what reading the last ones took, memory."""
    found = []
    async with ESDBClient("esdb://embedded") as client:
        memory, size = resident(), 0
        with meter(job.count):
            for mark in job.marks:
                step, name = mark - size, f"stream-{size}"
                before = time.perf_counter()
                await _fill(client, name, step - _SMALL, job.size)
                for number in range(_SMALL // 20):  # real stores have many streams
                    await client.append_events(f"{name}-{number}", StreamState.ANY, new_events(20, job.size))
                appended = time.perf_counter()
                await _read(client, name, _WINDOW, start=step - _SMALL - _WINDOW)
                done = time.perf_counter()
                size = mark
                found.append(
                    {
                        "events": size,
                        "append": (appended - before) / step * 1e6,
                        "read": (done - appended) / _WINDOW * 1e6,
                        "bytes": (resident() - memory) / size,
                    }
                )
    meter.extra["marks"] = found


async def cluster(job: Job, meter: Meter) -> None:
    """Start clusters of three nodes, one after another, each until one leads and the others follow; and stop them."""
    async with EmbeddedCluster():
        pass
    with meter(job.count):
        for number in range(job.count):
            async with EmbeddedCluster(random=Random(number)):
                pass


async def idle_hour(job: Job, meter: Meter) -> None:
    """Hours in which nothing happens in a cluster, with one subscription."""
    async with (
        EmbeddedCluster() as cluster,
        ESDBClient(cluster.uri, connect=cluster.network.connect) as client,
        client.subscribe_all_events(),
    ):
        with meter(job.count):
            await trio.sleep(3600 * job.count)


async def _fill(client: ESDBClient, name: str, count: int, size: int) -> None:
    while count > 0:
        await client.append_events(name, StreamState.ANY, new_events(min(count, _A_CALL), size))
        count -= _A_CALL


async def _read(client: ESDBClient, name: str, count: int, start: int = 0) -> None:
    found = 0
    async with client.read_stream_events(name, start) as events:
        async for _ in events:
            found += 1
    expect(found, count)


KINDS: dict[str, Callable[[Job, Meter], Awaitable[None]]] = {
    work.__name__: work for work in (start, append, read, growth, cluster, idle_hour)
}
_SIMULATED = ("cluster", "idle_hour")
"""Kinds whose time is that of a mock clock; what they take of real time is measured."""


def perform(job: Job, meter: Meter) -> None:
    """Do a job in an event loop of its own."""
    clock = MockClock(autojump_threshold=0) if job.kind in _SIMULATED else None
    trio.run(partial(KINDS[job.kind], job, meter), clock=clock)


if __name__ == "__main__":
    run(perform)
