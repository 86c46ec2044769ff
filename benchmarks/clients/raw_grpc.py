"""grpcio alone, with requests made beforehand and nothing decoded: what no client on top of it can be faster than."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from benchmarks.clients._harness import Job, Meter, expect, proposed, run
from benchmarks.replay._events import field, varint

_READ = "/event_store.client.streams.Streams/Read"
_APPEND = "/event_store.client.streams.Streams/Append"
_NO_LIMIT = 2**63 - 1


def _read_request(stream: str, subscription: bool) -> bytes:
    where = field(0x0A, field(0x0A, field(0x1A, stream.encode())) + b"\x1a\x00")
    count = b"\x32\x00" if subscription else b"\x28" + varint(_NO_LIMIT)
    return field(0x0A, where + count + b"\x42\x00" + field(0x4A, b"\x12\x00"))


def _append_requests(stream: str, count: int, size: int) -> list[bytes]:
    kind, data, metadata = proposed(size)
    event = b"".join(
        (
            field(0x0A, field(0x12, b"6f9619ff-8b86-4011-b42d-00c04fc964ff")),
            field(0x12, field(0x0A, b"type") + field(0x12, kind.encode())),
            field(0x12, field(0x0A, b"content-type") + field(0x12, b"application/octet-stream")),
            field(0x1A, metadata),
            field(0x22, data),
        )
    )
    return [field(0x0A, field(0x0A, field(0x1A, stream.encode())) + b"\x22\x00"), *[field(0x12, event)] * count]


def _consume(channel: Any, job: Job, meter: Meter, *, subscription: bool) -> None:
    call = channel.unary_stream(_READ)(_read_request(job.stream, subscription))
    found = -1 if subscription else 0
    with meter(job.count):
        for _ in call:
            found += 1
            if found == job.count:
                break
    call.cancel()
    expect(found, job.count)


def read(channel: Any, job: Job, meter: Meter) -> None:
    """One stream, message by message."""
    _consume(channel, job, meter, subscription=False)


def subscribe(channel: Any, job: Job, meter: Meter) -> None:
    """A catch-up subscription, until so many events have come."""
    _consume(channel, job, meter, subscription=True)


def append(channel: Any, job: Job, meter: Meter) -> None:
    """Appends of one or more events, one after another."""
    if job.parallel > 1:
        raise ValueError("not measured here")
    method = channel.stream_unary(_APPEND)
    requests = _append_requests(job.stream, job.per_call, job.size)
    with meter(job.count):
        for _ in range(job.count):
            method(iter(requests))


KINDS: dict[str, Callable[[Any, Job, Meter], None]] = {work.__name__: work for work in (read, subscribe, append)}


def perform(job: Job, meter: Meter) -> None:
    """Do a job with a channel of its own."""
    options = [("grpc.max_receive_message_length", 17 * 1024 * 1024)]
    channel: Any
    with grpc.insecure_channel(job.address, options=options) as channel:
        for _ in channel.unary_stream(_READ)(_read_request("bench-200-packed-100", False)):
            pass
        channel.stream_unary(_APPEND)(iter(_append_requests("bench-warm-up", 3, 200)))
        KINDS[job.kind](channel, job, meter)


if __name__ == "__main__":
    run(perform)
