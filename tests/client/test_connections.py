"""Connections that break, are full, or are refused, and what calls make of that."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from tests.support.scripted import URI, Door, Scripted, appended, confirmed, event, goes_on, says, silence
from trio_esdb import (
    DeadlineExceededError,
    ESDBClient,
    ESDBError,
    NewEvent,
    RecordedEvent,
    ResourceExhaustedError,
    StreamState,
    UnavailableError,
)
from trio_esdb._wire import Limits

EVENT = NewEvent("Happened", b"{}")


async def break_connections(server: Scripted) -> None:
    """As when the server's process dies."""
    for stream in server.streams:
        await trio.aclose_forcefully(stream)
    await trio.testing.wait_all_tasks_blocked()


async def test_a_connection_lost_during_an_append(client: ESDBClient, server: Scripted, nursery: trio.Nursery) -> None:
    server.append = silence
    failed = trio.Event()

    async def append() -> None:
        with pytest.raises(UnavailableError, match=r"appending to stream 's': .*closed the connection") as caught:
            await client.append_event("s", StreamState.ANY, EVENT)
        assert caught.value.status == "UNAVAILABLE"
        assert caught.value.address == "node-1:2113"
        failed.set()

    nursery.start_soon(append)
    await trio.testing.wait_all_tasks_blocked()
    await break_connections(server)
    await failed.wait()

    server.append = says(appended(0, 9))
    assert await client.append_event("s", None, EVENT) == 9
    assert len(server.links) == 2
    assert len(client.statistics().connections) == 1


async def test_what_may_have_been_done_is_not_sent_twice(
    client: ESDBClient, server: Scripted, nursery: trio.Nursery
) -> None:
    server.append = silence

    async def append() -> None:
        with pytest.raises(UnavailableError):
            await client.append_event("s", StreamState.EXISTS, EVENT)

    nursery.start_soon(append)
    await trio.testing.wait_all_tasks_blocked()
    await break_connections(server)
    assert len(server.seen) == 1


async def test_a_connection_lost_in_the_middle_of_a_read(client: ESDBClient, server: Scripted) -> None:
    """What had come is handed over first."""
    server.read = goes_on(event(0), event(1), event(2))
    async with client.read_stream_events("s", retry=False) as events:
        assert (await events.receive()).stream_position == 0
        await break_connections(server)
        assert (await events.receive()).stream_position == 1
        assert events.receive_nowait().stream_position == 2
        for _ in range(2):
            with pytest.raises(UnavailableError, match=r"reading stream 's'"):
                await events.receive()
        with pytest.raises(UnavailableError):
            events.receive_nowait()
        with pytest.raises(UnavailableError):
            await anext(events)
    server.read = says(event(7))
    assert [e.stream_position for e in await client.get_stream_events("s")] == [7]


async def test_a_connection_lost_while_a_subscription_waits(
    client: ESDBClient, server: Scripted, nursery: trio.Nursery
) -> None:
    server.read = goes_on(confirmed())
    failures = 0

    async def consume() -> None:
        nonlocal failures
        async with client.subscribe_all_events(resume=False) as events:
            with pytest.raises(UnavailableError, match="subscribing to all events") as caught:
                await anext(events)
            assert caught.value.address == "node-1:2113"
            failures += 1

    for _ in range(3):
        nursery.start_soon(consume)
    await trio.testing.wait_all_tasks_blocked()
    await break_connections(server)
    await trio.testing.wait_all_tasks_blocked()
    assert failures == 3


async def test_a_connection_lost_before_the_confirmation(
    client: ESDBClient, server: Scripted, nursery: trio.Nursery
) -> None:
    server.read = silence

    async def lose() -> None:
        await trio.testing.wait_all_tasks_blocked()
        await break_connections(server)

    nursery.start_soon(lose)
    with pytest.raises(UnavailableError, match="subscribing to stream 's'"):
        async with client.subscribe_stream_events("s", retry=False):
            pytest.fail("it subscribed")


async def test_an_idle_connection_that_was_lost_is_replaced(client: ESDBClient, server: Scripted) -> None:
    await break_connections(server)
    assert client.statistics().connections == ()
    server.append = says(appended(3, 12))
    assert (await client.append_event("s", 2, EVENT)).stream_position == 3


async def test_when_the_node_is_gone_calls_say_so(nursery: trio.Nursery) -> None:
    server = Scripted(nursery)
    there = True

    async def connect(host: str, port: int) -> trio.abc.Stream:
        if not there:
            raise ConnectionRefusedError(111, "Connection refused")
        return await server.connect(host, port)

    async with ESDBClient(URI, connect=connect) as client:
        there = False
        await break_connections(server)
        for _ in range(2):
            with pytest.raises(DeadlineExceededError, match=r"tried (9|10|11) times, the last failure: .*refused"):
                await client.append_event("s", None, EVENT)
        with pytest.raises(UnavailableError, match="refused"):
            async with client.subscribe_all_events():
                pytest.fail("it subscribed")
        there = True
        server.append = says(appended(0, 4))
        assert await client.append_event("s", None, EVENT) == 4


async def test_tasks_that_wait_for_a_connection_share_what_comes_of_it(nursery: trio.Nursery) -> None:
    """Fifty tasks do not try fifty times one after another, ten seconds each."""
    server = Scripted(nursery)
    door = Door(server, 0, math.inf)
    async with ESDBClient(URI, connect=door.connect) as client:
        await break_connections(server)
        began = trio.current_time()

        async def append() -> None:
            with pytest.raises(DeadlineExceededError):
                await client.append_event("s", None, EVENT)
            assert trio.current_time() - began == pytest.approx(10)

        async with trio.open_nursery() as tasks:
            for _ in range(50):
                tasks.start_soon(append)
    assert door.attempts == 2


async def test_if_the_one_that_connects_gives_up_the_others_go_on(nursery: trio.Nursery) -> None:
    server = Scripted(nursery)
    server.append = says(appended(0, 4))
    door = Door(server, 0, 3)
    async with ESDBClient(URI, connect=door.connect) as client:
        await break_connections(server)

        async def append() -> None:
            assert await client.append_event("s", None, EVENT) == 4

        async with trio.open_nursery() as tasks:
            with trio.move_on_after(1) as scope:
                tasks.start_soon(append)
                await client.append_event("s", None, EVENT)
        assert scope.cancelled_caught
    assert door.attempts == 2
    assert trio.current_time() == 3


async def test_a_timeout_covers_connecting(nursery: trio.Nursery) -> None:
    server = Scripted(nursery)
    door = Door(server, 0, math.inf)
    async with ESDBClient(URI, connect=door.connect) as client:
        await break_connections(server)
        for use in (
            lambda: client.append_event("s", None, EVENT, timeout=2),
            lambda: client.get_stream_events("s", timeout=2),
            lambda: client.get_stream_position("s", timeout=2),
            lambda: client.subscribe_all_events(timeout=2).__aenter__(),
        ):
            began = trio.current_time()
            with pytest.raises(trio.TooSlowError):
                await use()
            assert trio.current_time() - began == pytest.approx(2)


async def test_a_host_that_cannot_be_looked_up() -> None:
    async def connect(host: str, port: int) -> trio.abc.Stream:
        return await trio.open_tcp_stream("a..b", 2113)

    with pytest.raises(UnavailableError, match="cannot connect"):
        async with ESDBClient(URI, connect=connect):
            pytest.fail("it connected")


@pytest.fixture
async def few(nursery: trio.Nursery) -> Scripted:
    """A server that takes two calls on a connection."""
    return Scripted(nursery, Limits(concurrent_streams=2))


async def test_a_call_more_than_a_connection_takes_goes_over_another(few: Scripted) -> None:
    few.read = goes_on(confirmed())
    few.append = says(appended(0, 4))
    async with ESDBClient(URI, connect=few.connect) as client:
        async with client.subscribe_all_events(), client.subscribe_all_events():
            assert len(few.links) == 1
            assert await client.append_event("s", None, EVENT) == 4
            assert len(few.links) == 2
            async with client.subscribe_all_events(), client.subscribe_all_events():
                assert len(few.links) == 2
                assert await client.append_event("s", None, EVENT) == 4
                assert len(few.links) == 3
        assert await client.append_event("s", None, EVENT) == 4
        assert len(few.links) == 3


async def test_the_101st_subscription_works(client: ESDBClient, server: Scripted, nursery: trio.Nursery) -> None:
    server.read = goes_on(confirmed(), event(5))
    received: list[RecordedEvent] = []
    done = trio.Event()

    async def consume() -> None:
        async with client.subscribe_all_events() as events:
            received.append(await events.receive())
            await done.wait()

    for _ in range(150):
        nursery.start_soon(consume)
    await trio.testing.wait_all_tasks_blocked()
    assert len(received) == 150
    assert sorted(connection.open_calls for connection in client.statistics().connections) == [50, 100]
    done.set()
    await trio.testing.wait_all_tasks_blocked()
    assert client.statistics().open_calls == 0
    assert server.open_calls == 0


async def test_a_server_that_takes_no_calls_at_all(nursery: trio.Nursery) -> None:
    server = Scripted(nursery, Limits(concurrent_streams=0))
    with pytest.raises(UnavailableError, match="takes no calls"):
        async with ESDBClient(URI, connect=server.connect):
            pytest.fail("it connected")
    await trio.testing.wait_all_tasks_blocked()
    assert [link.closed.is_set() for link in server.links] == [True]


async def test_a_server_that_says_goodbye_finishes_what_it_began(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed(), event(0))
    server.append = says(appended(0, 4))
    async with client.subscribe_all_events() as events:
        server.links[0].core.goodbye()
        server.links[0].wake()
        await trio.testing.wait_all_tasks_blocked()
        assert await client.append_event("s", None, EVENT) == 4
        assert len(server.links) == 2
        assert (await events.receive()).stream_position == 0
    await trio.testing.wait_all_tasks_blocked()
    assert server.links[0].closed.is_set()
    assert len(client.statistics().connections) == 1


@pytest.fixture
async def stingy(nursery: trio.Nursery) -> AsyncIterator[ESDBClient]:
    """A client of a server that takes next to no headers."""
    server = Scripted(nursery, Limits(header_list=200))
    async with ESDBClient(URI, connect=server.connect) as client:
        yield client
    assert server.seen == []


async def test_headers_that_the_server_would_not_take(stingy: ESDBClient) -> None:
    with pytest.raises(ResourceExhaustedError, match="headers are larger than the 200 bytes") as caught:
        await stingy.append_event("s", None, EVENT)
    assert caught.value.address == "node-1:2113"
    with pytest.raises(ESDBError, match="headers are larger than the 200 bytes"):
        await stingy.get_stream_events("s")
