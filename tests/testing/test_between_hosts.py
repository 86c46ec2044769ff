"""Partitions, holds and latency between hosts, and faults of one client's connections alone."""

from __future__ import annotations

import errno
import math
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest
import trio
import trio.testing

from trio_esdb import ESDBClient, InvalidArgumentError, NewEvent
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing import MemoryListener, MemoryNetwork

NODE, APP = "node1.example", "app1.example"


@pytest.fixture
async def listener(network: MemoryNetwork) -> AsyncIterator[MemoryListener]:
    async with network.listener(NODE, 2113) as listener:
        yield listener


async def is_silent(stream: trio.abc.Stream, seconds: float = 1000) -> bool:
    with trio.move_on_after(seconds) as scope:
        await stream.receive_some()
    return scope.cancelled_caught


Ends = tuple[trio.abc.Stream, trio.abc.Stream]


async def connected(network: MemoryNetwork, listener: MemoryListener, source: str = APP) -> Ends:
    client = await network.connect_from(source)(NODE, 2113)
    return client, await listener.accept()


# -- partitions ----------------------------------------------------------------------------------------------------


async def test_a_partition_is_silence_and_nothing_is_lost(network: MemoryNetwork, listener: MemoryListener) -> None:
    client, server = await connected(network, listener)
    network.partition(APP, NODE)
    await client.send_all(b"one ")
    await client.send_all(b"two")
    await server.send_all(b"three")
    assert await is_silent(client)
    assert await is_silent(server)
    assert network.connections[0].is_open
    network.heal()
    assert await server.receive_some() == b"one two"
    assert await client.receive_some() == b"three"


async def test_a_partition_holds_what_is_on_its_way(network: MemoryNetwork, listener: MemoryListener) -> None:
    client, server = await connected(network, listener)
    network.latency(2)
    await client.send_all(b"on its way")
    await trio.sleep(1)
    network.partition(APP, NODE)
    assert await is_silent(server)
    network.heal()
    assert await server.receive_some() == b"on its way"


@pytest.mark.parametrize("parted", ["there", "back"])
async def test_one_way_only(network: MemoryNetwork, listener: MemoryListener, parted: str) -> None:
    client, server = await connected(network, listener)
    network.partition(*((APP, NODE) if parted == "there" else (NODE, APP)), one_way=True)
    assert network.passes(APP, NODE) is (parted != "there")
    assert network.passes(NODE, APP) is (parted != "back")
    held, free = ((client, server), (server, client)) if parted == "there" else ((server, client), (client, server))
    await free[0].send_all(b"passes")
    assert await free[1].receive_some() == b"passes"
    await held[0].send_all(b"held")
    assert await is_silent(held[1])
    with pytest.raises(TimeoutError):
        await network.connect_from(APP)(NODE, 2113)
    network.heal()
    assert await held[1].receive_some() == b"held"


async def test_an_attempt_to_connect_hangs_and_ends_in_time(network: MemoryNetwork, listener: MemoryListener) -> None:
    network.partition("client", NODE)
    start = trio.current_time()
    with pytest.raises(TimeoutError) as given_up:
        await network.connect(NODE, 2113)
    assert given_up.value.errno == errno.ETIMEDOUT
    assert trio.current_time() == pytest.approx(start + 127)
    assert network.connections == ()


@pytest.mark.parametrize("one_way", [(), ("there",), ("back",)])
async def test_an_attempt_to_connect_succeeds_when_the_partition_ends(
    network: MemoryNetwork, listener: MemoryListener, one_way: tuple[str, ...]
) -> None:
    hosts = (NODE, "client") if "back" in one_way else ("client", NODE)
    network.partition(*hosts, one_way=bool(one_way))
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.connect, NODE, 2113)
        await trio.sleep(100)
        assert network.connections == ()
        network.heal()
    assert trio.current_time() == start + 100
    assert len(network.connections) == 1


async def test_a_partition_that_begins_while_somebody_connects(
    network: MemoryNetwork, listener: MemoryListener
) -> None:
    network.latency(1)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def connect() -> None:
            with pytest.raises(TimeoutError):
                await network.connect(NODE, 2113)

        await trio.sleep(1.5)
        network.partition(NODE, "client")


async def test_the_end_of_a_connection_is_not_heard_through_a_partition(
    network: MemoryNetwork, listener: MemoryListener
) -> None:
    client, server = await connected(network, listener)
    network.partition(NODE, APP)
    await server.aclose()
    assert await is_silent(client)
    await client.send_all(b"it does not know")
    network.heal()
    assert await client.receive_some() == b""


async def test_who_is_on_the_same_side_is_not_parted(network: MemoryNetwork, listener: MemoryListener) -> None:
    network.partition(["client", "app2.example"], [APP, NODE])
    client, server = await connected(network, listener)
    await client.send_all(b"passes")
    assert await server.receive_some() == b"passes"
    for source in ("client", "app2.example"):
        with pytest.raises(TimeoutError):
            await network.connect_from(source)(NODE, 2113)


async def test_partitions_add_up_and_the_faults_of_routes_are_none_of_them(
    network: MemoryNetwork, listener: MemoryListener
) -> None:
    client, server = await connected(network, listener)
    network.partition(APP, NODE, one_way=True)
    network.partition(NODE, APP, one_way=True)
    network.to().heal()
    network.to().release()
    network.connections[0].heal()
    assert not network.passes(APP, NODE)
    assert not network.passes(NODE, APP)
    await client.send_all(b"x")
    assert await is_silent(server)
    network.to(NODE).hold()
    network.heal()
    assert await is_silent(server), "to heal the network is not to heal the route"
    network.to(NODE).heal()
    assert await server.receive_some() == b"x"


async def test_a_client_and_its_node_across_a_partition(network: MemoryNetwork) -> None:
    async with EmbeddedNode() as node, network.listen(node, NODE, 2113):
        uri = f"esdb://{NODE}?Tls=false"
        async with (
            ESDBClient(uri, connect=network.connect_from(APP)) as app,
            ESDBClient(uri, connect=network.connect) as other,
        ):
            await app.append_event("s", None, NewEvent("A", b""))
            network.partition(APP, NODE)
            await other.append_event("s", 0, NewEvent("B", b""))
            with trio.move_on_after(5) as waited:
                await app.get_stream_position("s")
            assert waited.cancelled_caught
            async with trio.open_nursery() as nursery:
                nursery.start_soon(app.append_event, "s", 1, NewEvent("C", b""))
                await trio.sleep(3)
                assert await other.get_stream_position("s") == 1
                network.heal()
            assert await app.get_stream_position("s") == 2
    assert {connection.source for connection in network.connections} == {APP, "client"}


# -- holds ---------------------------------------------------------------------------------------------------------


async def test_a_hold_keeps_the_order_and_attempts_wait_as_long_as_it_takes(
    network: MemoryNetwork, listener: MemoryListener
) -> None:
    client, server = await connected(network, listener)
    network.latency(0, 1)
    network.hold(APP, NODE)
    for number in range(10):
        await client.send_all(bytes([number]))
        await trio.sleep(0.05)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.connect_from(APP), NODE, 2113)
        await trio.sleep(10_000)
        assert len(network.connections) == 1
        network.release(NODE, APP)
    received = b""
    while len(received) < 10:
        received += await server.receive_some(3)
    assert received == bytes(range(10))


async def test_a_hold_is_of_these_hosts_alone(network: MemoryNetwork, listener: MemoryListener) -> None:
    network.hold([APP, "app2.example"], NODE)
    network.release("app2.example", NODE)
    assert network.passes("app2.example", NODE)
    assert network.passes("client", NODE)
    assert not network.passes(APP, NODE)
    assert not network.passes(NODE, APP)
    await connected(network, listener, "app2.example")
    network.heal()
    assert network.passes(APP, NODE)


async def test_held_and_parted_at_once(network: MemoryNetwork, listener: MemoryListener) -> None:
    client, server = await connected(network, listener)
    network.hold(APP, NODE)
    network.partition(APP, NODE)
    await client.send_all(b"x")
    network.release(APP, NODE)
    assert await is_silent(server)
    network.heal()
    assert await server.receive_some() == b"x"


# -- latency -------------------------------------------------------------------------------------------------------


async def test_latency_between_hosts(network: MemoryNetwork, listener: MemoryListener) -> None:
    client, server = await connected(network, listener)
    other, beyond = await connected(network, listener, "client")
    network.latency(1)
    network.latency(3, between=(APP, NODE))
    assert (network.delay(APP, NODE), network.delay(NODE, APP), network.delay("client", NODE)) == (3, 3, 1)
    start = trio.current_time()
    for sender, receiver, due in ((other, beyond, 1), (client, server, 4)):
        await sender.send_all(b"x")
        await receiver.receive_some()
        assert trio.current_time() == pytest.approx(start + due)
    start = trio.current_time()
    await connected(network, listener)
    assert trio.current_time() == pytest.approx(start + 6), "connections to come have it too"
    network.latency(0)
    assert network.delay(APP, NODE) == 0, "a later command replaces it"
    start = trio.current_time()
    await connected(network, listener)
    assert trio.current_time() == start


def test_delays_of_messages_are_chosen_by_the_network() -> None:
    def delays(random: Random | None) -> list[float]:
        network = MemoryNetwork(random=random)
        network.latency(1, 2, between=("a", ["b", "c"]))
        return [network.delay(*pair) for pair in (("a", "b"), ("b", "a"), ("c", "a"), ("b", "c")) * 5]

    found = delays(None)
    assert found == delays(Random(0))
    assert found != delays(Random(1))
    assert len(set(found)) == 16
    assert all(1 <= delay <= 2 for delay in found if delay)


# -- who is told ---------------------------------------------------------------------------------------------------


def test_changes_are_told(network: MemoryNetwork) -> None:
    seen: list[bool] = []
    stop = network.on_change(lambda: seen.append(network.passes("a", "b")))
    network.partition("a", "b")
    network.heal()
    network.hold("a", "b")
    network.release("a", "b")
    network.latency(1)
    network.latency(1, 2, between=("a", "b"))
    assert seen == [False, True, False, True, True, True]
    stop()
    stop()
    network.partition("a", "b")
    assert len(seen) == 6


# -- faults of one client ------------------------------------------------------------------------------------------


async def test_faults_by_pair_of_hosts(network: MemoryNetwork, listener: MemoryListener) -> None:
    client, server = await connected(network, listener)
    other, beyond = await connected(network, listener, "client")
    route = network.to(NODE, source="APP1.example")
    assert route is network.to(NODE, source=APP)
    assert [connection.source for connection in route.connections] == [APP]
    assert repr(route) == f"<trio_esdb.testing.Route: {NODE}:any port from {APP}>"

    route.refuse()
    with pytest.raises(ConnectionRefusedError):
        await network.connect_from(APP)(NODE, 2113)
    await connected(network, listener, "client")
    route.accept()

    route.slow(1)
    start = trio.current_time()
    await client.send_all(b"ab")
    assert await server.receive_some() + await server.receive_some() == b"ab"
    assert trio.current_time() == pytest.approx(start + 2)
    route.slow(math.inf)

    network.to(source=APP).next().cut_after(1, to="server")
    cut, cut_end = await connected(network, listener)
    await cut.send_all(b"ab")
    assert await cut_end.receive_some() == b"a"
    with pytest.raises(trio.BrokenResourceError):
        await cut_end.receive_some()

    route.reset()
    with pytest.raises(trio.BrokenResourceError):
        await client.receive_some()
    await other.send_all(b"not affected")
    assert await beyond.receive_some() == b"not affected"

    gone, _ = await connected(network, listener)
    network.to(NODE, source=APP).half_open()
    assert await is_silent(gone)
    route.freeze()
    network.to(NODE, source="client").heal()
    frozen, frozen_end = await connected(network, listener)
    await frozen.send_all(b"held")
    assert await is_silent(frozen_end)
    network.to(NODE).heal()
    assert await frozen_end.receive_some() == b"held", "a route of all hosts heals those of single ones"


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "complaint"),
    [
        (lambda network: network.partition("a", "a"), "a cannot be on both sides"),
        (lambda network: network.partition(["a", "b", "c"], ["C.", "d", "b"]), "b, c cannot be on both sides"),
        (lambda network: network.partition([], "a"), "at least one host"),
        (lambda network: network.partition("a", []), "at least one host"),
        (lambda network: network.partition("", "a"), "a host is a name or an IP address, not ''"),
        (lambda network: network.partition(["a", 1], "b"), "a host is a name or an IP address, not 1"),
        (lambda network: network.partition(1, "b"), "hosts are a name or several names, not 1"),
        (lambda network: network.hold("a", "A"), "both sides"),
        (lambda network: network.release("a", None), "not None"),
        (lambda network: network.latency(-1), "latency must be from 0"),
        (lambda network: network.latency(2, 1), "latency must be from 0"),
        (lambda network: network.latency(2, 1, between=("a", "b")), "latency must be from 0"),
        (lambda network: network.latency(1, between="ab"), "between= takes two hosts"),
        (lambda network: network.latency(1, between=("a", "b", "c")), "between= takes two hosts"),
        (lambda network: network.latency(1, between=("a", "a")), "both sides"),
        (lambda network: network.connect_from(""), "a host is"),
        (lambda network: network.to("a", source=""), "a host is"),
        (lambda network: network.passes("a", ""), "a host is"),
        (lambda network: network.delay(None, "a"), "a host is"),
    ],
)
def test_commands_that_make_no_sense(
    network: MemoryNetwork, do: Callable[[MemoryNetwork], object], complaint: str
) -> None:
    told: list[None] = []
    network.on_change(lambda: told.append(None))
    with pytest.raises(InvalidArgumentError, match=complaint):
        do(network)
    assert not told
    assert network.passes("a", "b")
    assert network.passes("a", "d")
    assert network.delay("a", "b") == 0
