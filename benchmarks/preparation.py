"""Writes to a real node what a replay node makes up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import trio

from trio_esdb import ESDBClient, NewEvent, StreamState

from .replay._events import ALL_STREAMS, EVENT_METADATA, EVENT_TYPE, event_data
from .replay._scripts import Name

_BYTES_A_CALL = 512 * 1024


def prepare(address: str, streams: Iterable[str]) -> None:
    """Write the streams that are not there yet."""
    trio.run(_prepare, address, sorted(set(streams)))


async def _prepare(address: str, streams: list[str]) -> None:
    async with ESDBClient(f"esdb://{address}?Tls=false") as client:
        for stream in streams:
            name = Name.parse(stream)
            if name is None or name.kind == "idle":
                continue
            if name.kind == "all":
                for number in range(ALL_STREAMS):
                    count = len(range(number, name.count, ALL_STREAMS))
                    await _write(client, f"{stream}{number}", _events(count, name.size), name.size)
            elif name.kind == "links":
                target = f"{stream}-target"
                await _write(client, target, _events(name.count, name.size), name.size)
                links = (NewEvent("$>", f"{number}@{target}".encode()) for number in range(name.count))
                await _write(client, stream, links, 50)
            else:
                await _write(client, stream, _events(name.count, name.size), name.size)


def _events(count: int, size: int) -> Iterator[NewEvent]:
    data = event_data(size)
    return (NewEvent(EVENT_TYPE, data, EVENT_METADATA, "application/octet-stream") for _ in range(count))


async def _write(client: ESDBClient, stream: str, events: Iterable[NewEvent], size: int) -> None:
    if await client.get_stream_position(stream) is not None:
        return
    a_call = max(1, _BYTES_A_CALL // (size + 200))
    waiting: list[NewEvent] = []
    for event in events:
        waiting.append(event)
        if len(waiting) == a_call:
            await client.append_events(stream, StreamState.ANY, waiting)
            waiting = []
    if waiting:
        await client.append_events(stream, StreamState.ANY, waiting)
