"""What a client tells of its connections: to listeners and in the log."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from tests.support.scripted import URI, Door, Scripted, appended, confirmed, goes_on, says
from trio_esdb import (
    Connected,
    Connecting,
    ConnectionClosed,
    ConnectionEvent,
    ConnectionFailed,
    ConnectionLost,
    ESDBClient,
    InvalidArgumentError,
    InvalidTypeError,
    NewEvent,
    NodeDraining,
    UnavailableError,
)
from trio_esdb._wire import Limits

NODE = "node-1:2113"
EVENT = NewEvent("Happened", b"{}")


def story(events: list[ConnectionEvent]) -> list[tuple[str, int]]:
    """What kind of events they are, and of which connection."""
    return [(type(event).__name__, getattr(event, "connection", 0)) for event in events]


async def told_by(
    connect: Callable[[str, int], Awaitable[trio.abc.Stream]], use: Callable[[ESDBClient], Awaitable[None]]
) -> list[ConnectionEvent]:
    """All events of a client, from before it is opened."""
    client = ESDBClient(URI, connect=connect)
    events = client.connection_events()
    async with client:
        await use(client)
        await trio.testing.wait_all_tasks_blocked()
    return [event async for event in events]


async def test_a_life(server: Scripted) -> None:
    server.append = says(appended(0, 7))

    async def use(client: ESDBClient) -> None:
        await client.append_event("s", None, EVENT)

    assert await told_by(Door(server, 1.5).connect, use) == [
        Connecting(address=NODE, connection=1),
        Connected(address=NODE, connection=1, seconds=1.5),
        ConnectionClosed(address=NODE, connection=1, reason="the client was closed"),
    ]


async def test_a_program_sees_that_a_client_is_connecting(server: Scripted, nursery: trio.Nursery) -> None:
    client = ESDBClient(URI, connect=Door(server, math.inf).connect)
    nursery.start_soon(client.run)
    async with client.connection_events() as events:
        assert await anext(events) == Connecting(address=NODE, connection=1)
    await trio.testing.wait_all_tasks_blocked()
    nursery.cancel_scope.cancel()


async def test_a_client_that_cannot_connect(server: Scripted) -> None:
    async def refuse(host: str, port: int) -> trio.abc.Stream:
        raise ConnectionRefusedError(111, "Connection refused")

    client = ESDBClient(URI, connect=refuse)
    events = client.connection_events()
    with pytest.raises(UnavailableError):
        await client.__aenter__()
    assert [event async for event in events] == [
        Connecting(address=NODE, connection=1),
        ConnectionFailed(address=NODE, connection=1, reason="[Errno 111] Connection refused"),
    ]


async def test_a_lost_connection(server: Scripted) -> None:
    server.append = says(appended(0, 7))

    async def use(client: ESDBClient) -> None:
        await trio.testing.wait_all_tasks_blocked()
        await trio.aclose_forcefully(server.streams[0])
        await trio.testing.wait_all_tasks_blocked()
        await client.append_event("s", None, EVENT)

    events = await told_by(server.connect, use)
    assert story(events) == [
        ("Connecting", 1),
        ("Connected", 1),
        ("ConnectionLost", 1),
        ("Connecting", 2),
        ("Connected", 2),
        ("ConnectionClosed", 2),
    ]
    assert events[2] == ConnectionLost(address=NODE, connection=1, reason="the peer closed the connection")


@pytest.mark.parametrize("calls", [0, 1])
async def test_a_node_that_drains(server: Scripted, calls: int) -> None:
    """The connection ends with its last call, and was not lost."""
    server.read = goes_on(confirmed())
    server.append = says(appended(0, 7))

    async def use(client: ESDBClient) -> None:
        if calls:
            async with client.subscribe_all_events():
                server.links[0].core.goodbye()
                server.links[0].wake()
                await trio.testing.wait_all_tasks_blocked()
                assert len(client.statistics().connections) == 1
        else:
            server.links[0].core.goodbye()
            server.links[0].wake()

    events = await told_by(server.connect, use)
    assert [type(event) for event in events[2:4]] == [NodeDraining, ConnectionClosed]
    assert events[3] == ConnectionClosed(address=NODE, connection=1, reason="the node takes no more calls on it")


async def test_an_idle_connection(nursery: trio.Nursery) -> None:
    server = Scripted(nursery, Limits(concurrent_streams=1))
    server.read = goes_on(confirmed())
    client = ESDBClient(URI, connect=server.connect, idle_connection_timeout=7)
    events = client.connection_events()
    async with client:
        async with client.subscribe_all_events():
            async with client.subscribe_all_events():
                pass
            await trio.sleep(8)
        assert len(client.statistics().connections) == 1
    told = [event async for event in events]
    assert ConnectionClosed(address=NODE, connection=2, reason="it was idle for 7 seconds") in told
    assert told[-1] == ConnectionClosed(address=NODE, connection=1, reason="the client was closed")


async def test_closing_while_a_connection_is_opened(server: Scripted, nursery: trio.Nursery) -> None:
    client = ESDBClient(URI, connect=Door(server, 0, math.inf).connect)
    events = client.connection_events()
    async with client:
        await trio.aclose_forcefully(server.streams[0])
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await client.append_event("s", None, EVENT)
    assert [event async for event in events][-2:] == [
        Connecting(address=NODE, connection=2),
        ConnectionFailed(address=NODE, connection=2, reason="the client was closed"),
    ]


async def test_a_client_closed_before_it_was_opened_has_no_events(server: Scripted) -> None:
    client = ESDBClient(URI, connect=server.connect)
    events = client.connection_events()
    await client.aclose()
    assert [event async for event in events] == []


async def test_a_listener_that_does_nothing_holds_nobody_up(client: ESDBClient, server: Scripted) -> None:
    server.append = says(appended(0, 7))
    events = client.connection_events(2)
    for number in range(5):
        await trio.aclose_forcefully(server.streams[number])
        await trio.testing.wait_all_tasks_blocked()
        await client.append_event("s", None, EVENT)
    assert events.dropped == 13
    assert story([events.receive_nowait(), events.receive_nowait()]) == [("Connecting", 6), ("Connected", 6)]


@pytest.mark.parametrize(("size", "error"), [(0, InvalidArgumentError), (-1, InvalidArgumentError)])
def test_a_buffer_has_a_size(size: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_buffer_size must be at least 1"):
        ESDBClient(URI).connection_events(size)
    for wrong in (True, 1.5, math.inf, None, "1"):
        with pytest.raises(InvalidTypeError, match="max_buffer_size must be an int"):
            ESDBClient(URI).connection_events(wrong)  # type: ignore[arg-type]


async def test_the_log_names_the_client(server: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "trio_esdb")
    async with ESDBClient(URI, connect=server.connect, connection_name="orders"):
        pass
    assert caplog.messages == [
        "orders: connecting to node-1:2113 (connection 1)",
        "orders: connected to node-1:2113 (connection 1) after 0.000 s",
        "orders: closed the connection to node-1:2113 (connection 1): the client was closed",
    ]
    assert {record.name for record in caplog.records} == {"trio_esdb"}


async def test_servers_are_told_the_name(server: Scripted) -> None:
    server.append = says(appended(0, 7))
    async with ESDBClient(URI, connect=server.connect, connection_name="orders") as client:
        await client.append_event("s", None, EVENT)
    assert server.seen[0].call.metadata["connection-name"] == "orders"
