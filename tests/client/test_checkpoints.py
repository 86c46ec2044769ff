"""Every async function is a checkpoint, also when there is nothing to wait for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.scripted import (
    URI,
    Scripted,
    Seen,
    appended,
    confirmed,
    deleted,
    event,
    goes_on,
    last_position,
    says,
)
from trio_esdb import ESDBClient, NewEvent

EVENT = NewEvent("Happened", b"{}")

CALLS: dict[str, Callable[[ESDBClient], Awaitable[Any]]] = {
    "append_events": lambda client: client.append_events("s", None, [EVENT]),
    "append_event": lambda client: client.append_event("s", None, EVENT),
    "append nothing": lambda client: client.append_events("s", None, []),
    "delete_stream": lambda client: client.delete_stream("s", None),
    "tombstone_stream": lambda client: client.tombstone_stream("s", None),
    "get_stream_events": lambda client: client.get_stream_events("s"),
    "get_stream_position": lambda client: client.get_stream_position("s"),
    "get_commit_position": lambda client: client.get_commit_position(),
    "get_stream_metadata": lambda client: client.get_stream_metadata("s"),
    "set_stream_metadata": lambda client: client.set_stream_metadata("s", {}),
    "aclose": lambda client: client.aclose(),
}

OPENINGS: dict[str, Callable[[ESDBClient], Any]] = {
    "read_stream_events": lambda client: client.read_stream_events("s"),
    "read_all_events": lambda client: client.read_all_events(),
    "subscribe_all_events": lambda client: client.subscribe_all_events(),
    "subscribe_stream_events": lambda client: client.subscribe_stream_events("s"),
}


@pytest.fixture
def obliging(server: Scripted) -> Scripted:
    """A server that answers everything."""

    async def read(seen: Seen) -> None:
        if seen.read.subscription is not None:
            await seen.give(confirmed(), event(0), event(1))
        await seen.send(event(0), last_position(0))

    server.append = says(appended(0, 1))
    server.delete = server.tombstone = says(deleted(1))
    server.read = read
    return server


@pytest.mark.parametrize("name", CALLS)
async def test_calls(client: ESDBClient, obliging: Scripted, name: str) -> None:
    with trio.testing.assert_checkpoints():
        await CALLS[name](client)


@pytest.mark.parametrize("name", CALLS)
async def test_a_cancelled_scope_sends_nothing(client: ESDBClient, obliging: Scripted, name: str) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await CALLS[name](client)
    assert scope.cancelled_caught
    await trio.testing.wait_all_tasks_blocked()
    assert obliging.seen == []


@pytest.mark.parametrize("name", OPENINGS)
async def test_entering_a_block(client: ESDBClient, obliging: Scripted, name: str) -> None:
    receiving = OPENINGS[name](client)
    with trio.testing.assert_checkpoints():
        await receiving.__aenter__()
    await receiving.__aexit__(None, None, None)


@pytest.mark.parametrize("name", OPENINGS)
async def test_a_block_in_a_cancelled_scope_sends_nothing(client: ESDBClient, obliging: Scripted, name: str) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        async with OPENINGS[name](client):
            pytest.fail("it was entered")
    assert scope.cancelled_caught
    await trio.testing.wait_all_tasks_blocked()
    assert obliging.seen == []


async def test_receive_when_an_event_is_there(client: ESDBClient, obliging: Scripted) -> None:
    async with client.subscribe_all_events() as events:
        await trio.testing.wait_all_tasks_blocked()
        assert events.statistics().current_buffer_used == 2
        with trio.testing.assert_checkpoints():
            await events.receive()


async def test_receive_at_the_end(client: ESDBClient, obliging: Scripted) -> None:
    async with client.read_stream_events("s") as events:
        await trio.testing.wait_all_tasks_blocked()
        await events.receive()
        with trio.testing.assert_checkpoints(), pytest.raises(trio.EndOfChannel):
            await events.receive()
        with trio.testing.assert_checkpoints(), pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_receive_when_an_event_has_to_come(client: ESDBClient, server: Scripted) -> None:
    async def slow(seen: Seen) -> None:
        await trio.sleep(1)
        await seen.send(event(0), event(1))

    server.read = slow
    async with client.read_stream_events("s") as events:
        with trio.testing.assert_checkpoints():
            await events.receive()


async def test_iteration_notices_cancellation_and_takes_turns(client: ESDBClient, server: Scripted) -> None:
    """One event is not always a turn of the others, which would cost more than the event; 64 are."""
    server.read = goes_on(confirmed(), *(event(n) for n in range(64)))
    async with client.subscribe_all_events() as events:
        await trio.testing.wait_all_tasks_blocked()
        with trio.testing.assert_checkpoints():
            for _ in range(64):
                await anext(events)


async def test_closing_a_channel(client: ESDBClient, obliging: Scripted) -> None:
    async with client.subscribe_all_events() as events:
        clone = events.clone()
        for channel in (clone, events, events):
            with trio.testing.assert_checkpoints():
                await channel.aclose()


async def test_opening_and_closing_a_client(server: Scripted) -> None:
    client = ESDBClient(URI, connect=server.connect)
    with trio.testing.assert_checkpoints():
        await client.__aenter__()
    for _ in range(2):
        with trio.testing.assert_checkpoints():
            await client.aclose()
    await client.__aexit__(None, None, None)
