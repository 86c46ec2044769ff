"""A consumer that stops stops the server; what is given up leaves nothing behind."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import cache

import pytest
import trio
import trio.testing

from tests.support.leaks import assert_nothing_is_left
from tests.support.scripted import (
    URI,
    Scripted,
    Seen,
    appended,
    confirmed,
    event,
    goes_on,
    says,
)
from trio_esdb import ESDBClient, EventChannel, NewEvent, RecordedEvent
from trio_esdb._wire import Limits

EVENT = NewEvent("Happened", b"{}")
STREAM_WINDOW = 512 * 1024
SERVER_BUFFER = 64 * 1024
PREFIX = 5


@cache
def _message(number: int, size: int) -> bytes:
    return event(number, data=bytes(size))


class Source:
    """A server that sends as much as the client lets it."""

    def __init__(self, server: Scripted, size: int = 1000) -> None:
        self.sent = 0
        self.bytes = 0
        self.size = size
        server.read = self.run

    async def run(self, seen: Seen) -> None:
        await seen.send(confirmed())
        while True:
            message = _message(self.sent, self.size)
            await seen.send(message)
            self.sent += 1
            self.bytes += len(message) + PREFIX


async def test_a_stopped_consumer_stops_the_server(client: ESDBClient, server: Scripted) -> None:
    source = Source(server)
    async with client.subscribe_all_events() as events:
        await trio.testing.wait_all_tasks_blocked()
        stopped_at = source.sent
        assert source.bytes <= STREAM_WINDOW + SERVER_BUFFER + 2 * source.size
        assert events.statistics().current_buffer_used * source.size <= STREAM_WINDOW
        await trio.sleep(3600)
        assert source.sent == stopped_at


async def test_the_server_goes_on_as_events_are_taken(client: ESDBClient, server: Scripted) -> None:
    source = Source(server)
    taken = 0
    async with client.subscribe_all_events() as events:
        for _ in range(20):
            for _ in range(200):
                assert (await events.receive()).stream_position == taken
                taken += 1
            await trio.testing.wait_all_tasks_blocked()
            ahead = (source.sent - taken) * source.size
            assert ahead <= STREAM_WINDOW + SERVER_BUFFER + 100 * source.size
    await assert_nothing_is_left(client, server.links)


async def test_a_consumer_that_takes_without_waiting_gives_credit_as_well(client: ESDBClient, server: Scripted) -> None:
    source = Source(server, size=10_000)
    taken = 0
    async with client.subscribe_all_events() as events:
        for _ in range(10):
            await trio.testing.wait_all_tasks_blocked()
            before = taken
            try:
                while True:
                    assert events.receive_nowait().stream_position == taken
                    taken += 1
            except trio.WouldBlock:
                assert (taken - before) * source.size > 200_000
    assert source.sent >= taken > 200


@pytest.mark.parametrize("wary", [False, True], ids=["tries", "looks first"])
async def test_a_consumer_that_only_polls_gets_large_messages_as_well(
    client: ESDBClient, server: Scripted, wary: bool
) -> None:
    """Larger than the window, and behind small ones whose credit is less than half of it."""
    server.read = goes_on(confirmed(), *(event(n) for n in range(10)), event(10, data=bytes(1_000_000)))
    got: list[int] = []
    async with client.subscribe_all_events() as events:
        with trio.fail_after(100):
            while len(got) < 11:
                await trio.sleep(1)
                if not wary or events.statistics().current_buffer_used:
                    with contextlib.suppress(trio.WouldBlock):
                        got.append(events.receive_nowait().stream_position)
    assert got == list(range(11))


@pytest.mark.parametrize("leaves", [False, True], ids=["busy", "gone"])
async def test_a_task_with_its_event_keeps_nothing_from_the_others(
    client: ESDBClient, server: Scripted, leaves: bool
) -> None:
    """It does not ask for more, but another does, and what comes next is larger than the window."""

    async def stream(seen: Seen) -> None:
        await seen.send(confirmed())
        await trio.sleep(1)
        await seen.send(event(0))
        await seen.give(event(1, data=bytes(1_000_000)))

    server.read = stream
    async with client.subscribe_all_events() as events, trio.open_nursery() as nursery:

        async def take_one(channel: EventChannel[RecordedEvent]) -> None:
            async with channel:
                assert (await channel.receive()).stream_position == 0
                if not leaves:
                    await trio.sleep_forever()

        nursery.start_soon(take_one, events.clone())
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(100):
            assert (await events.receive()).stream_position == 1
        nursery.cancel_scope.cancel()


async def test_a_stopped_consumer_stops_nobody_else(client: ESDBClient, server: Scripted) -> None:
    """Ten of them would fill the connection's window, if it were theirs."""
    source = Source(server)
    stopped = []
    for _ in range(10):
        receiving = client.subscribe_all_events()
        await receiving.__aenter__()
        stopped.append(receiving)
    await trio.testing.wait_all_tasks_blocked()
    before = source.sent
    async with client.subscribe_all_events() as events:
        for _ in range(2000):
            await events.receive()
    server.append = says(appended(0, 4))
    assert await client.append_event("s", None, EVENT) == 4
    assert source.sent - before >= 2000
    assert len(server.links) == 1
    for receiving in stopped:
        await receiving.__aexit__(None, None, None)
    await assert_nothing_is_left(client, server.links)


async def test_messages_larger_than_the_window(client: ESDBClient, server: Scripted) -> None:
    """They come, one at a time, and the next only when the one before has been taken."""
    source = Source(server, size=2_000_000)
    async with client.subscribe_all_events() as events:
        for number in range(5):
            got = await events.receive()
            assert (got.stream_position, len(got.data)) == (number, 2_000_000)
            await trio.testing.wait_all_tasks_blocked()
            assert source.sent <= number + 3
    await assert_nothing_is_left(client, server.links)


async def test_a_thousand_reads_left_half_way(client: ESDBClient, server: Scripted, nursery: trio.Nursery) -> None:
    """No stream stays open, no credit is lost, no task is left, and it all went over one connection."""
    server.read = says(*(event(n, data=bytes(500)) for n in range(100)))
    await client.get_stream_events("s")  # starts the task that keeps the time for first answers, one for all reads
    tasks = trio.lowlevel.current_statistics().tasks_living
    for round in range(1000):
        async with client.read_stream_events("s") as events:
            for _ in range(round % 7):
                await events.receive()
    await assert_nothing_is_left(client, server.links)
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert len(server.links) == 1
    assert len(server.seen) == 1001
    assert len(await client.get_stream_events("s")) == 100


async def test_a_thousand_subscriptions_left_from_many_tasks(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed(), *(event(n, data=bytes(500)) for n in range(100)))
    tasks = trio.lowlevel.current_statistics().tasks_living

    async def use(number: int) -> None:
        for round in range(25):
            async with client.subscribe_all_events() as events:
                for _ in range((number + round) % 5):
                    await events.receive()

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(use, number)
    await assert_nothing_is_left(client, server.links)
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert len(server.links) == 1
    assert len(server.seen) == 1000


async def test_reads_that_were_read_to_their_end(client: ESDBClient, server: Scripted) -> None:
    server.read = says(*(event(n, data=bytes(1000)) for n in range(50)))
    for _ in range(20):
        async with client.read_stream_events("s") as events:
            assert len([e async for e in events]) == 50
        assert len(await client.get_stream_events("s")) == 50
    await assert_nothing_is_left(client, server.links)


async def test_reads_of_which_all_came_and_little_was_taken(client: ESDBClient, server: Scripted) -> None:
    server.read = says(*(event(n, data=bytes(1000)) for n in range(300)))
    for _ in range(30):
        async with client.read_stream_events("s") as events:
            await trio.testing.wait_all_tasks_blocked()
            await events.receive()
    await assert_nothing_is_left(client, server.links)


@pytest.fixture
async def narrow(nursery: trio.Nursery) -> Scripted:
    """A server that takes in little at a time."""
    return Scripted(nursery, Limits(stream_window=65_535, connection_window=65_535))


@pytest.fixture
async def writer(narrow: Scripted) -> AsyncIterator[ESDBClient]:
    async with ESDBClient(URI, connect=narrow.connect) as client:
        yield client


async def test_a_large_append_waits_for_the_server(writer: ESDBClient, narrow: Scripted) -> None:
    narrow.append = says(appended(0, 4))
    events = [NewEvent("Happened", bytes(100_000)) for _ in range(30)]
    assert await writer.append_events("s", None, events) == 4
    assert sum(map(len, narrow.seen[0].requests)) > 3_000_000
    await assert_nothing_is_left(writer, narrow.links)


async def _cancel_after(turns: int, scope: trio.CancelScope) -> None:
    for _ in range(turns):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_large_appends_given_up_half_way(writer: ESDBClient, narrow: Scripted) -> None:
    """The connection goes on; what was not sent yet is dropped."""

    async def hold(seen: Seen) -> bytes:
        return appended(0, 4)

    narrow.append = hold
    large = [NewEvent("Happened", bytes(1_000_000)) for _ in range(10)]
    for turns in range(1, 40):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_after, turns, scope)
                await writer.append_events("s", None, large)
        assert scope.cancelled_caught
    assert await writer.append_event("s", None, EVENT) == 4
    assert len(narrow.links) == 1
    await assert_nothing_is_left(writer, narrow.links)


async def test_a_burst_and_then_nothing(client: ESDBClient, server: Scripted) -> None:
    """All credit is given back, so that the next burst finds the whole window."""
    rounds = 8
    server.read = goes_on(confirmed(), *(event(n, data=bytes(1000)) for n in range(400 * rounds)))
    async with client.subscribe_all_events() as events:
        for _ in range(400 * rounds):
            await events.receive()
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
    await assert_nothing_is_left(client, server.links)
