"""Every call, cancelled at each of its steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest

from tests.support.world import Moment, World, every_moment
from trio_esdb import ESDBClient, NewEvent, StreamNotFoundError, StreamState

ANY = StreamState.ANY
EVENT = NewEvent("Happened", b"{}")


async def delete(client: ESDBClient) -> None:
    """Delete what may have been deleted by the run before."""
    await client.append_event("doomed", ANY, NewEvent("Happened", b"{}"))
    await client.delete_stream("doomed", ANY)


CALLS: dict[str, Callable[[ESDBClient], Awaitable[Any]]] = {
    "append_events": lambda client: client.append_events("a", ANY, [EVENT] * 3),
    "append_events in time": lambda client: client.append_events("a", ANY, [EVENT] * 3, timeout=5),
    "append_event": lambda client: client.append_event("a", ANY, EVENT),
    "get_stream_events": lambda client: client.get_stream_events("s"),
    "get_stream_events in time": lambda client: client.get_stream_events("s", timeout=5),
    "get_stream_events backwards": lambda client: client.get_stream_events("s", backwards=True, limit=70),
    "get_stream_position": lambda client: client.get_stream_position("s"),
    "get_stream_position of nothing": lambda client: client.get_stream_position("nothing"),
    "get_commit_position": lambda client: client.get_commit_position(),
    "get_stream_metadata": lambda client: client.get_stream_metadata("s"),
    "get_stream_metadata of nothing": lambda client: client.get_stream_metadata("nothing"),
    "set_stream_metadata": lambda client: client.set_stream_metadata("s", {"a": 1}),
    "delete_stream": delete,
}


@every_moment
@pytest.mark.parametrize("name", CALLS)
async def test_a_call(world: World, name: str, moment: Moment) -> None:
    await world.fill("s", 100)
    await world.sweep(lambda: CALLS[name](world.client), moment)
    assert len(await world.client.get_stream_events("s")) == 100


@every_moment
async def test_a_large_read(world: World, moment: Moment) -> None:
    """Larger than the window, so that credit goes to and fro."""
    await world.fill("large", 300, size=4000)

    async def read() -> None:
        assert len(await world.client.get_stream_events("large")) == 300

    await world.sweep(read, moment)


@every_moment
async def test_an_append_is_whole_or_nothing(world: World, moment: Moment) -> None:
    """And to repeat it writes it once, whatever had become of it."""
    numbers = count()
    written: list[NewEvent] = []
    events: list[NewEvent] = []

    async def append() -> None:
        events[:] = [NewEvent("Happened", str(next(numbers)).encode()) for _ in range(3)]
        await world.client.append_events("s", len(written) - 1 if written else None, events)

    async def check() -> None:
        before = len(written)
        there = before
        try:
            there = len(await world.client.get_stream_events("s"))
        except StreamNotFoundError:
            assert not before
        assert there in (before, before + 3)
        await world.client.append_events("s", before - 1 if before else None, events)
        written.extend(events)
        found = await world.client.get_stream_events("s")
        assert [(e.id, e.data) for e in found] == [(e.id, e.data) for e in written]

    await world.sweep(append, moment, check=check)


@every_moment
async def test_tombstone_stream(world: World, moment: Moment) -> None:
    names = (f"doomed-{number}" for number in count())
    name = ""

    async def tombstone() -> None:
        nonlocal name
        name = next(names)
        await world.client.tombstone_stream(name, ANY)

    await world.sweep(tombstone, moment)
