"""What a client says about its connections."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.support.scripted import URI, Scripted, appended, confirmed, goes_on, says, silence
from trio_esdb import ClientStatistics, ConnectionStatistics, ESDBClient, NewEvent
from trio_esdb._wire import Limits

NODE = "node-1:2113"


async def test_calls_and_connections(nursery: trio.Nursery) -> None:
    server = Scripted(nursery, Limits(concurrent_streams=2))
    server.read = goes_on(confirmed())
    client = ESDBClient(URI, connect=server.connect)
    assert client.statistics() == ClientStatistics(())
    async with client:
        await trio.testing.wait_all_tasks_blocked()
        assert states(client) == [ConnectionStatistics(NODE, 0, 0, accepts_calls=True)]
        async with client.subscribe_all_events(), client.subscribe_all_events():
            await trio.testing.wait_all_tasks_blocked()
            assert states(client) == [ConnectionStatistics(NODE, 2, 0, accepts_calls=False)]
            async with client.subscribe_all_events():
                await trio.testing.wait_all_tasks_blocked()
                first, second = client.statistics().connections
                assert (first.open_calls, second.open_calls) == (2, 1)
                assert client.statistics().open_calls == 3
        await trio.testing.wait_all_tasks_blocked()
        assert [connection.open_calls for connection in client.statistics().connections] == [0, 0]
    assert client.statistics().connections == ()


async def test_what_happened_so_far(nursery: trio.Nursery) -> None:
    server = Scripted(nursery)
    server.append = says(appended(0, 7))
    client = ESDBClient(URI, connect=server.connect)
    async with client:
        await trio.testing.wait_all_tasks_blocked()
        before = client.statistics()
        assert before.connections_opened == 1
        await client.append_event("s", None, NewEvent("T", bytes(10_000)))
        statistics = client.statistics()
        assert 10_000 < statistics.bytes_sent - before.bytes_sent < 10_400
        assert 50 < statistics.bytes_received - before.bytes_received < 200
        assert statistics.bytes_sent == statistics.connections[0].bytes_sent
        await trio.aclose_forcefully(server.streams[0])
        await trio.testing.wait_all_tasks_blocked()
        assert client.statistics()[:5] == ((), 0, 1, 0, 1)
        await client.append_event("s", None, NewEvent("T", b""))
        after = client.statistics()
        assert after.connections_opened == 2
        assert after.bytes_sent > statistics.bytes_sent > after.connections[0].bytes_sent
    end = client.statistics()
    assert (end.connections, end.connections_lost) == ((), 1)
    assert end.bytes_received >= after.bytes_received


def states(client: ESDBClient) -> list[ConnectionStatistics]:
    return [each._replace(bytes_sent=0, bytes_received=0) for each in client.statistics().connections]


async def test_what_waits_to_be_sent(client: ESDBClient, server: Scripted) -> None:
    """Beyond the server's windows; nothing is left when the call is over."""
    server.append = silence
    size = 3_000_000
    with trio.move_on_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.append_event, "s", None, NewEvent("T", bytes(size)))
            await trio.testing.wait_all_tasks_blocked()
            statistics = client.statistics()
            assert statistics.bytes_queued <= size + 1000
            assert statistics.bytes_queued == statistics.connections[0].bytes_queued
    await trio.testing.wait_all_tasks_blocked()
    assert client.statistics().bytes_queued == 0


def test_they_cannot_be_changed() -> None:
    statistics = ConnectionStatistics(NODE, 0, 0, accepts_calls=True)
    with pytest.raises(AttributeError):
        statistics.open_calls = 1  # type: ignore[misc]
