"""Appends of many events leave other tasks their turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
import trio
import trio.testing

from tests.support.scripted import Scripted, appended, says, silence
from trio_esdb import ESDBClient, InvalidTypeError, NewEvent
from trio_esdb._convert import append_options, proposed_message

COUNT = 25_000
EVENTS = [NewEvent("T", b"") for _ in range(COUNT)]


class Turns(trio.abc.Instrument):
    """Counts the turns of one task until something has happened."""

    def __init__(self) -> None:
        self.count = 0
        self.task: trio.lowlevel.Task | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.count += 1


async def test_they_are_encoded_in_turns(client: ESDBClient, server: Scripted) -> None:
    server.append = says(appended(COUNT - 1, 4))
    turns = Turns()

    async def tick() -> None:
        turns.task = trio.lowlevel.current_task()
        while not server.seen:
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        trio.lowlevel.add_instrument(turns)
        try:
            assert await client.append_events("s", None, EVENTS) == 4
        finally:
            trio.lowlevel.remove_instrument(turns)
    assert turns.count > 10
    (seen,) = server.seen
    assert seen.requests == [append_options("s", -1), *map(proposed_message, EVENTS)]


async def test_large_events_are_encoded_in_turns(client: ESDBClient, server: Scripted) -> None:
    server.append = silence
    turns = Turns()

    async def tick() -> None:
        turns.task = trio.lowlevel.current_task()
        while not server.seen:
            await trio.lowlevel.checkpoint()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            trio.lowlevel.add_instrument(turns)
            nursery.start_soon(client.append_events, "s", None, [NewEvent("T", bytes(3_000_000))] * 12)
            while not server.seen:
                await trio.lowlevel.checkpoint()
            trio.lowlevel.remove_instrument(turns)
            scope.cancel()
    assert turns.count > 3


async def test_they_are_framed_in_turns(client: ESDBClient, server: Scripted) -> None:
    """A message is framed when its turn comes; the request is whole, whatever becomes of the caller in between."""
    server.append = says(appended(COUNT - 1, 4))
    queued: list[int] = []
    task = trio.lowlevel.current_task()

    class Look(trio.abc.Instrument):
        def after_task_step(self, stepped: trio.lowlevel.Task) -> None:
            if stepped is task and client.statistics().open_calls:
                queued.append(client.statistics().bytes_queued)

    look = Look()
    trio.lowlevel.add_instrument(look)
    try:
        await client.append_events("s", None, EVENTS)
    finally:
        trio.lowlevel.remove_instrument(look)
    whole = sum(len(proposed_message(event)) + 5 for event in EVENTS)
    assert len(queued) >= 3
    assert queued[0] < whole / 2
    assert len(server.seen[0].requests) == COUNT + 1


@pytest.mark.parametrize("steps", [1, 2, 3, 9, 14, 16, 18, 20])
async def test_cancelled_half_way(client: ESDBClient, server: Scripted, steps: int) -> None:
    server.append = says(appended(COUNT - 1, 4))
    with trio.CancelScope() as scope:
        left = steps
        task = trio.lowlevel.current_task()

        class Cancel(trio.abc.Instrument):
            def after_task_step(self, stepped: trio.lowlevel.Task) -> None:
                nonlocal left
                left -= stepped is task
                if not left:
                    scope.cancel()

        cancel = Cancel()
        trio.lowlevel.add_instrument(cancel)
        try:
            await client.append_events("s", None, EVENTS)
        finally:
            trio.lowlevel.remove_instrument(cancel)
    await trio.testing.wait_all_tasks_blocked()
    assert client.statistics().open_calls == 0
    assert client.statistics().bytes_queued == 0
    assert server.open_calls == 0


async def test_the_events_are_taken_before_anything_is_sent(client: ESDBClient, server: Scripted) -> None:
    def lazy() -> Iterator[NewEvent]:
        for event in EVENTS:
            assert not server.seen
            assert client.statistics().open_calls == 0
            yield event

    server.append = says(appended(COUNT - 1, 4))
    assert await client.append_events("s", None, lazy()) == 4


async def test_a_list_may_be_changed_meanwhile(client: ESDBClient, server: Scripted) -> None:
    events = list(EVENTS)

    async def change() -> None:
        events.clear()

    server.append = says(appended(COUNT - 1, 4))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        await client.append_events("s", None, events)
    assert len(server.seen[0].requests) == COUNT + 1


async def test_the_last_of_many_is_no_event(client: ESDBClient, server: Scripted) -> None:
    mixed: Iterable[object] = [*EVENTS, b"{}"]
    with pytest.raises(InvalidTypeError, match="events must hold NewEvent, not bytes"):
        await client.append_events("s", None, mixed)  # type: ignore[arg-type]
    assert server.seen == []
