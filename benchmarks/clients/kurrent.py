"""kurrentdbclient, its synchronous client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from kurrentdbclient import KurrentDBClient, NewEvent, RecordedEvent, StreamState

from benchmarks.clients._harness import (
    PER_CONNECTION,
    Job,
    Meter,
    expect,
    peak,
    proposed,
    reset_peak,
    resident,
    run,
)

_WARM_UP = "bench-200-packed-100"


@contextmanager
def opened(job: Job) -> Iterator[KurrentDBClient]:
    """A client that has already done a little of everything."""
    if job.certificate:
        client = KurrentDBClient(f"esdb://admin:changeit@{job.address}", root_certificates=job.root_certificates)
    else:
        client = KurrentDBClient(f"esdb://{job.address}?Tls=false")
    with client:
        for _ in client.read_stream(_WARM_UP):
            pass
        client.append_to_stream("bench-warm-up", current_version=StreamState.ANY, events=new_events(3, 200))
        client.append_to_stream("bench-warm-up", current_version=StreamState.ANY, events=new_events(1, 200)[0])
        yield client


def new_events(count: int, size: int) -> list[NewEvent]:
    """Events to be appended."""
    kind, data, metadata = proposed(size)
    return [NewEvent(kind, data, metadata, "application/octet-stream") for _ in range(count)]


def _consume(events: Iterable[RecordedEvent], count: int) -> None:
    found = 0
    for event in events:
        _kept = event.id, event.type, event.data, event.metadata, event.commit_position, event.recorded_at
        found += 1
        if found == count:
            break
    expect(found, count)


def read(client: KurrentDBClient, job: Job, meter: Meter) -> None:
    """One stream, event by event."""
    with meter(job.count), client.read_stream(job.stream) as events:
        _consume(events, job.count)


def get(client: KurrentDBClient, job: Job, meter: Meter) -> None:
    """One stream, all events at once."""
    with meter(job.count):
        _consume(client.get_stream(job.stream), job.count)


def read_many(client: KurrentDBClient, job: Job, meter: Meter) -> None:
    """Several reads at once, each in a thread."""

    def one(_: int) -> None:
        with client.read_stream(job.stream) as events:
            _consume(events, job.count)

    with meter(job.count * job.parallel), ThreadPoolExecutor(job.parallel) as threads:
        list(threads.map(one, range(job.parallel)))


def links(client: KurrentDBClient, job: Job, meter: Meter) -> None:
    """One stream of links, resolved."""
    with meter(job.count), client.read_stream(job.stream, resolve_links=True) as events:
        _consume(events, job.count)


def read_all(client: KurrentDBClient, job: Job, meter: Meter) -> None:
    """All streams whose names begin so."""
    with (
        meter(job.count),
        client.read_all(filter_include=[job.stream], filter_by_stream_name=True, filter_by_prefix=True) as events,
    ):
        _consume(events, job.count)


def subscribe(client: KurrentDBClient, job: Job, meter: Meter) -> None:
    """A catch-up subscription, until so many events have come."""
    with meter(job.count), client.subscribe_to_stream(job.stream) as events:
        _consume(events, job.count)


def consume(client: KurrentDBClient, job: Job, meter: Meter) -> None:
    """Consumers of a group, each in a thread, and each acks each event."""

    def one(_: int) -> None:
        found = 0
        events = client.read_subscription_to_stream("g", job.stream, event_buffer_size=job.count)
        for event in events:
            _kept = event.id, event.type, event.data, event.metadata, event.commit_position, event.recorded_at
            events.ack(event)
            found += 1
            if found == job.count:
                break
        events.stop()
        expect(found, job.count)

    with meter(job.count * job.parallel), ThreadPoolExecutor(job.parallel) as threads:
        list(threads.map(one, range(job.parallel)))


def keep(client: KurrentDBClient, job: Job, meter: Meter) -> None:
    """Memory of events that are kept."""
    kept: list[object] = []
    with meter.memory(job.count), client.read_stream(job.stream) as events:
        for event in events:
            kept.append(event)  # noqa: PERF402
    expect(len(kept), job.count)


def slow(client: KurrentDBClient, job: Job, meter: Meter) -> None:
    """The largest memory of a consumer slower than the node, above what the idle client has, at some marks."""
    reset_peak()
    idle_memory, found, marks = resident(), 0, {}
    with meter(job.count), client.read_stream(job.stream) as events:
        for _ in events:
            found += 1
            if not found % 2000:
                time.sleep(0.001)
            if found in job.marks:
                marks[str(found)] = peak() - idle_memory
    expect(found, job.count)
    meter.extra["peaks"] = marks


def idle(client: KurrentDBClient, job: Job, meter: Meter) -> None:
    """Memory of subscriptions that wait, none of them received from; a client for each hundred of them.

    Channels to one address share a connection unless their options differ, and a connection has room for a hundred.
    """
    with client.subscribe_to_stream(job.stream):
        pass  # the first one loads what all need
    with ExitStack() as stack, meter.memory(job.parallel):
        for number in range(job.parallel):
            if number and not number % PER_CONNECTION:
                uri = f"esdb://{job.address}?Tls=false&KeepAliveInterval={100_000 + number}"
                client = stack.enter_context(KurrentDBClient(uri))
            stack.enter_context(client.subscribe_to_stream(job.stream))


def append(client: KurrentDBClient, job: Job, meter: Meter) -> None:
    """Appends of one or more events from one or more threads, each thread's one after another."""
    batches = [[new_events(job.per_call, job.size) for _ in range(job.count)] for _ in range(job.parallel)]

    def one_after_another(number: int) -> None:
        name = f"{job.stream}-{number}"
        for events in batches[number]:
            what = events[0] if job.per_call == 1 else events
            client.append_to_stream(name, current_version=StreamState.ANY, events=what)

    if job.parallel == 1:
        with meter(job.count):
            one_after_another(0)
    else:
        with meter(job.count * job.parallel), ThreadPoolExecutor(job.parallel) as threads:
            list(threads.map(one_after_another, range(job.parallel)))


KINDS: dict[str, Callable[[KurrentDBClient, Job, Meter], None]] = {
    work.__name__: work
    for work in (read, get, read_many, links, read_all, subscribe, consume, keep, slow, idle, append)
}


def perform(job: Job, meter: Meter) -> None:
    """Do a job with a client of its own."""
    with opened(job) as client:
        KINDS[job.kind](client, job, meter)


if __name__ == "__main__":
    run(perform)
