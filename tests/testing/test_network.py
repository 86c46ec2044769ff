"""Who listens where, and what a node and its clients see of a network in memory."""

from __future__ import annotations

import errno
import socket

import pytest
import trio
import trio.testing

from trio_esdb import DeadlineExceededError, ESDBClient, InvalidArgumentError, NewEvent, UnavailableError
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing import MemoryNetwork

URI = "esdb://node1.example:2113?Tls=false"


def event() -> NewEvent:
    return NewEvent(type="Happened", data=b"{}")


async def echo(stream: trio.abc.Stream) -> None:
    async for data in stream:
        await stream.send_all(data)


@pytest.mark.parametrize("address", ["esdb://node1.example:2113?Tls=false", "esdb://NODE1.Example.?Tls=false"])
async def test_a_node_and_its_client(network: MemoryNetwork, address: str) -> None:
    async with EmbeddedNode() as node, network.listen(node, "node1.example", 2113) as route:
        assert node.address == ("node1.example", 2113)
        async with ESDBClient(address, connect=network.connect) as client:
            await client.append_event("s", None, event())
            (connection,) = network.connections
            assert (connection.host, connection.port, connection.is_open) == ("node1.example", 2113, True)
            assert connection.bytes_to_server > 100
            assert connection.bytes_to_client > 100
            assert route.connections == (connection,)
        await trio.testing.wait_all_tasks_blocked()
        assert not connection.is_open
        assert not connection.open_at_client
        assert not connection.open_at_server


async def test_a_server_in_a_nursery(network: MemoryNetwork, nursery: trio.Nursery) -> None:
    route = await nursery.start(network.serve, echo, "echo.example", 7)
    stream = await network.connect("echo.example", 7)
    await stream.send_all(b"abc")
    assert await stream.receive_some() == b"abc"
    assert route.connections == network.connections


async def test_nobody_is_there(network: MemoryNetwork) -> None:
    for name in ("nowhere.example", "localhost"):
        with pytest.raises(socket.gaierror) as unknown:
            await network.connect(name, 2113)
        assert unknown.value.errno == socket.EAI_NONAME
    with pytest.raises(OSError, match="No route") as no_way:
        await network.connect("192.0.2.7", 2113)
    assert no_way.value.errno == errno.EHOSTUNREACH
    async with network.listen(echo, "node1.example", 2113):
        with pytest.raises(ConnectionRefusedError):
            await network.connect("node1.example", 2114)
    with pytest.raises(ConnectionRefusedError):
        await network.connect("node1.example", 2113)
    with pytest.raises(UnavailableError, match=r"cannot connect to node1\.example:2113: .*refused"):
        async with ESDBClient(URI, connect=network.connect):
            pass
    with pytest.raises(UnavailableError, match="Name or service not known"):
        async with ESDBClient("esdb://node2.example?Tls=false", connect=network.connect):
            pass


async def test_ip_addresses(network: MemoryNetwork) -> None:
    async with network.listen(echo, "0:0::1", 2113), network.listen(echo, "10.0.0.1", 2113):
        await network.connect("::1", 2113)
        await network.connect("10.0.0.1", 2113)
    assert [connection.host for connection in network.connections] == ["::1", "10.0.0.1"]


async def test_an_address_in_use(network: MemoryNetwork) -> None:
    async with network.listen(echo, "node1.example", 2113):
        with pytest.raises(OSError, match="in use") as used:
            network.listener("NODE1.example", 2113)
        assert used.value.errno == errno.EADDRINUSE
    async with network.listen(echo, "node1.example", 2113):
        pass


async def test_free_ports(network: MemoryNetwork) -> None:
    first, second = network.listener("a", 0), network.listener("a", 0)
    assert 0 < first.port < second.port
    assert (first.host, str(network.connections)) == ("a", "()")


@pytest.mark.parametrize(("host", "port"), [("", 1), (".", 1), (None, 1), ("a", -1), ("a", 65536), ("a", True)])
async def test_what_is_no_address(network: MemoryNetwork, host: str, port: int) -> None:
    with pytest.raises(InvalidArgumentError):
        network.listener(host, port)


async def test_a_listener_that_closes_resets_what_it_has_not_accepted(network: MemoryNetwork) -> None:
    listener = network.listener("a", 1)
    stream = await network.connect("a", 1)
    await listener.aclose()
    await listener.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()


async def test_a_listener_that_closes_while_somebody_connects(network: MemoryNetwork) -> None:
    listener = network.listener("a", 1)
    network.to().latency(1)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def connect() -> None:
            with pytest.raises(ConnectionRefusedError):
                await network.connect("a", 1)

        await trio.sleep(1.5)
        await listener.aclose()


async def test_a_node_that_shuts_down_does_not_listen_any_more(network: MemoryNetwork) -> None:
    async with EmbeddedNode() as node, network.listen(node, "node1.example", 2113) as route:
        async with ESDBClient(URI, connect=network.connect) as client, client.subscribe_all_events():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.shut_down, 3)
                await trio.sleep(1)
                with pytest.raises(ConnectionRefusedError):
                    await network.connect("node1.example", 2113)
                assert route.connections[0].is_open
            await trio.testing.wait_all_tasks_blocked()
            assert not any(connection.is_open for connection in route.connections)


async def test_a_node_that_comes_back(network: MemoryNetwork, nursery: trio.Nursery) -> None:
    async with EmbeddedNode() as node:
        with trio.CancelScope() as running:
            async with trio.open_nursery() as first:
                await first.start(network.serve, node, "node1.example", 2113)
                client: ESDBClient = await nursery.start(ESDBClient(URI, connect=network.connect).run)
                await client.append_event("s", None, event())
                running.cancel()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(DeadlineExceededError, match="refused"):
            await client.append_event("s", 0, event(), timeout=5)
        async with network.listen(node, "node1.example", 2113):
            assert await client.append_event("s", 0, event()) > 0


async def test_how_it_shows_itself(network: MemoryNetwork) -> None:
    assert repr(network) == "<trio_esdb.testing.MemoryNetwork: nobody listens>"
    async with network.listen(echo, "a", 1) as route:
        assert repr(network) == "<trio_esdb.testing.MemoryNetwork: a:1>"
        await (await network.connect("a", 1)).send_all(b"abc")
        assert repr(route) == "<trio_esdb.testing.Route: a:1>"
        assert repr(network.to().next()) == "<trio_esdb.testing.Route: any host:any port, future connections>"
        assert repr(network.connections[0]) == (
            "<trio_esdb.testing.Connection: a:1, open, 3 bytes to the server, 0 to the client>"
        )
        network.connections[0].reset()
        assert "not open" in repr(network.connections[0])
