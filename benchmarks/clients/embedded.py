"""The embedded node together with its client, in one process."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from benchmarks.clients._harness import Job, Meter, expect, proposed, resident, run
from trio_esdb import ESDBClient, NewEvent, StreamState

_A_CALL = 500
_WINDOW = 20_000


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
    """A store that grows: at each mark, what the last events and reading the last events took, and memory."""
    found = []
    async with ESDBClient("esdb://embedded") as client:
        memory, size = resident(), 0
        with meter(job.count):
            for mark in job.marks:
                await _fill(client, f"stream-{size}", mark - size - 2 * _WINDOW, job.size)
                await _small_appends(client, f"stream-{size}-small", _WINDOW)
                calls = [new_events(_A_CALL, job.size) for _ in range(_WINDOW // _A_CALL)]
                name = f"stream-{size}-last"
                before = time.perf_counter()
                for events in calls:
                    await client.append_events(name, StreamState.ANY, events)
                appended = time.perf_counter()
                await _read(client, name, _WINDOW)
                done = time.perf_counter()
                size = mark
                found.append(
                    {
                        "events": size,
                        "append": (appended - before) / _WINDOW * 1e6,
                        "read": (done - appended) / _WINDOW * 1e6,
                        "bytes": (resident() - memory) / size,
                    }
                )
    meter.extra["marks"] = found


async def _fill(client: ESDBClient, name: str, count: int, size: int) -> None:
    while count > 0:
        await client.append_events(name, StreamState.ANY, new_events(min(count, _A_CALL), size))
        count -= _A_CALL


async def _small_appends(client: ESDBClient, name: str, count: int) -> None:
    """Many streams, as real stores have."""
    for number in range(count // 100):
        await client.append_events(f"{name}-{number}", StreamState.ANY, new_events(100, 20))


async def _read(client: ESDBClient, name: str, count: int) -> None:
    found = 0
    async with client.read_stream_events(name) as events:
        async for _ in events:
            found += 1
    expect(found, count)


KINDS: dict[str, Callable[[Job, Meter], Awaitable[None]]] = {
    work.__name__: work for work in (start, append, read, growth)
}


def perform(job: Job, meter: Meter) -> None:
    """Do a job in an event loop of its own."""
    trio.run(partial(KINDS[job.kind], job, meter))


if __name__ == "__main__":
    run(perform)
