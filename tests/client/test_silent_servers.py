"""Servers that say nothing any more, and connections that are only slow: keepalive, as users see it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio

from trio_esdb import CaughtUp, ESDBClient, NewEvent, StreamState, Timeouts, UnavailableError
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing import MemoryNetwork, Route

URI = "esdb://node-1:2113?Tls=false"
SILENT = "no answer to a PING for 10 s, the peer is frozen or cannot be reached"


@pytest.fixture
async def network() -> AsyncIterator[MemoryNetwork]:
    network = MemoryNetwork()
    async with EmbeddedNode() as node, network.listen(node, "node-1", 2113):
        yield network


def client_of(network: MemoryNetwork, **options: Any) -> ESDBClient:
    """A client that repeats nothing, and waits for answers as long as there is a connection."""
    given: dict[str, Any] = {"retry": False, "default_deadline": None, "timeouts": Timeouts(first_answer=math.inf)}
    return ESDBClient(URI, connect=network.connect, **(given | options))


def event(size: int = 10) -> NewEvent:
    return NewEvent("Happened", bytes(size))


async def append(client: ESDBClient) -> None:
    await client.append_event("s", StreamState.ANY, event())


async def read(client: ESDBClient) -> None:
    await client.get_stream_events("s")


async def subscribe(client: ESDBClient) -> None:
    async with client.subscribe_all_events(resume=False):
        pass


Calling = Callable[[ESDBClient], Awaitable[None]]

LOST: dict[str, Callable[[Route], None]] = {
    "frozen": lambda route: route.hold(),
    "hears nothing": lambda route: route.hold(to="server"),
    "is not heard": lambda route: route.hold(to="client"),
    "gone": lambda route: route.half_open(),
}


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("call", [append, read, subscribe])
async def test_a_call_to_a_server_that_is_lost(network: MemoryNetwork, fault: str, call: Calling) -> None:
    async with client_of(network) as client:
        await append(client)
        began = trio.current_time()
        LOST[fault](network.to("node-1"))
        with pytest.raises(UnavailableError, match=SILENT) as lost:
            await call(client)
        assert trio.current_time() - began == 20
        assert lost.value.applied is None or call is not append


@pytest.mark.parametrize("fault", LOST)
async def test_a_subscription_whose_server_is_lost(network: MemoryNetwork, fault: str) -> None:
    async with client_of(network) as client:
        async with client.subscribe_all_events(include_caught_up=True, resume=False) as events:
            while await events.receive() != CaughtUp():
                pass
            await trio.sleep(1000)
            LOST[fault](network.to("node-1"))
            began = trio.current_time()
            with pytest.raises(UnavailableError, match=SILENT):
                await events.receive()
            assert trio.current_time() - began <= 20


async def test_a_server_that_takes_nothing(network: MemoryNetwork) -> None:
    """More is to be sent than the network takes: the PING cannot even leave. Nor has the end of the request left, so
    the call is sent again even by a client that repeats nothing else.
    """
    async with client_of(network) as client:
        network.connections[0].hold(to="server")
        await client.append_events("s", StreamState.ANY, [event(300_000)] * 3)
        assert trio.current_time() == 20
        assert len(network.connections) == 2
        assert len(await client.get_stream_events("s")) == 3


async def test_the_next_call_after_a_loss(network: MemoryNetwork) -> None:
    async with client_of(network) as client:
        network.to("node-1").half_open()
        with pytest.raises(UnavailableError, match=SILENT):
            await append(client)
        await append(client)


async def test_a_subscription_of_a_healthy_server(network: MemoryNetwork) -> None:
    async with client_of(network) as client:
        async with client.subscribe_stream_events("s", resume=False) as events:
            for number in range(5):
                await trio.sleep(1000)
                await append(client)
                assert (await events.receive()).stream_position == number
        assert len(network.connections) == 1


async def test_a_long_way_is_no_loss(network: MemoryNetwork) -> None:
    async with client_of(network) as client:
        network.to("node-1").latency(4.9)
        await append(client)
        await trio.sleep(1000)
        await append(client)
        assert len(network.connections) == 1


async def test_a_slow_answer_is_no_loss(network: MemoryNetwork) -> None:
    """Whatever comes is a sign of life, also the bytes of an event that takes minutes."""
    async with client_of(network) as client:
        await client.append_events("s", None, [event(300_000)] * 3)
        network.to("node-1").slow(10_000, to="client")
        began = trio.current_time()
        assert len(await client.get_stream_events("s")) == 3
        assert trio.current_time() - began > 80
        assert len(network.connections) == 1


async def test_a_slow_answer_has_begun_in_time(network: MemoryNetwork) -> None:
    """The first event takes longer than ``Timeouts.first_answer``. It is not asked for again and again."""
    async with client_of(network, timeouts=Timeouts()) as client:
        await client.append_events("s", None, [event(300_000)] * 3)
        network.to("node-1").slow(10_000, to="client")
        assert len(await client.get_stream_events("s")) == 3
        assert len(network.connections) == 1


async def test_a_slow_answer_about_the_end_of_a_stream(network: MemoryNetwork) -> None:
    """A subscription from the end asks first for the last event."""
    async with client_of(network, timeouts=Timeouts()) as client:
        await client.append_events("s", None, [event(300_000)] * 3)
        network.to("node-1").slow(10_000, to="client")
        async with client.subscribe_stream_events("s", from_end=True) as events:
            await client.append_event("s", 2, event())
            assert (await events.receive()).stream_position == 3
        assert len(network.connections) == 1


async def test_a_slow_request_is_no_loss(network: MemoryNetwork) -> None:
    async with client_of(network) as client:
        network.to("node-1").slow(50_000, to="server")
        began = trio.current_time()
        await client.append_event("s", None, event(1_000_000))
        assert trio.current_time() - began > 19
        assert len(network.connections) == 1


async def test_a_consumer_that_stops_is_no_loss(network: MemoryNetwork) -> None:
    async with client_of(network) as client:
        await client.append_events("s", None, [event(10_000)] * 100)
        async with client.read_stream_events("s") as events:
            for number in range(100):
                assert (await events.receive()).stream_position == number
                await trio.sleep(100)
        assert len(network.connections) == 1


async def test_keepalive_that_is_switched_off(network: MemoryNetwork) -> None:
    async with client_of(network, keep_alive_interval=None) as client:
        network.to("node-1").half_open()
        with trio.move_on_after(100_000) as scope:
            await append(client)
        assert scope.cancelled_caught


async def test_other_times(network: MemoryNetwork) -> None:
    async with client_of(network, keep_alive_interval=3, keep_alive_timeout=0.5) as client:
        network.to("node-1").half_open()
        began = trio.current_time()
        with pytest.raises(UnavailableError, match=r"no answer to a PING for 0\.5 s"):
            await append(client)
        assert trio.current_time() - began == 3.5


async def test_an_idle_client_notices_nothing_unless_it_is_told_to(network: MemoryNetwork) -> None:
    async with client_of(network) as client, client_of(network, keep_alive_without_calls=True) as watchful:
        network.to("node-1").half_open()
        await trio.sleep(25)
        assert [len(each.statistics().connections) for each in (client, watchful)] == [1, 0]
