"""Names of a network that stand for hosts, as in DNS."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest
import trio
import trio.testing

from trio_esdb import ESDBClient, InvalidArgumentError, NewEvent
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing import MemoryNetwork

CLUSTER, FIRST, SECOND, THIRD = "cluster.example", "10.0.0.1", "10.0.0.2", "10.0.0.3"


async def hello(stream: trio.abc.Stream) -> None:
    await stream.send_all(b"hello")
    await trio.sleep_forever()


async def test_another_name_of_a_host(network: MemoryNetwork) -> None:
    network.name("Node1.example.", [FIRST])
    network.name("old.example", ["node1.example"])
    async with EmbeddedNode() as node, network.listen(node, "node1.example", 2113) as route:
        assert node.address == ("node1.example", 2113), "clients are told the name"
        for host in ("node1.example", FIRST, "old.example"):
            async with ESDBClient(f"esdb://{host}?Tls=false", connect=network.connect) as client:
                await client.append_event(host, None, NewEvent("A", b""))
            assert await network.resolve(host) == (FIRST,)
        assert [(each.host, each.target) for each in network.connections] == [
            ("node1.example", FIRST),
            (FIRST, FIRST),
            ("old.example", FIRST),
        ]
        assert route.connections == network.connections
        assert network.to(FIRST).connections == network.connections
        with pytest.raises(OSError, match="in use"):
            network.listener(FIRST, 2113)
        network.partition("client", "old.example")
        assert not network.passes("client", FIRST)
        assert not network.passes("old.example", "client")


async def test_several_addresses(network: MemoryNetwork) -> None:
    network.name(CLUSTER, [SECOND, FIRST, SECOND])
    assert await network.resolve("CLUSTER.example.") == (SECOND, FIRST)
    async with network.listen(hello, FIRST, 1), network.listen(hello, SECOND, 1):
        await network.connect(CLUSTER, 1)
        network.to(SECOND).refuse()
        start = trio.current_time()
        await network.connect(CLUSTER, 1)
        assert trio.current_time() == start, "the next one is tried at once after a failure"
        network.to(SECOND).accept()
        network.partition(SECOND, "client")
        await network.connect(CLUSTER, 1)
        assert trio.current_time() == pytest.approx(start + 0.25)
        assert [(each.host, each.target) for each in network.connections] == [
            (CLUSTER, SECOND),
            (CLUSTER, FIRST),
            (CLUSTER, FIRST),
        ]
        assert network.to(CLUSTER).connections == network.connections
        network.partition("client", CLUSTER)
        assert not network.passes("client", FIRST), "the name of several hosts is all of them"


async def test_two_that_answer_at_the_same_time(network: MemoryNetwork) -> None:
    network.name(CLUSTER, [FIRST, SECOND])
    async with network.listen(hello, FIRST, 1), network.listen(hello, SECOND, 1):
        network.to(FIRST).latency(0.5)
        network.to(SECOND).latency(0.375)
        stream = await network.connect(CLUSTER, 1)
        assert await stream.receive_some() == b"hello"
        await trio.testing.wait_all_tasks_blocked()
        assert [each.is_open for each in network.connections].count(True) == 1


async def test_no_address_answers(network: MemoryNetwork) -> None:
    network.name(CLUSTER, [FIRST, SECOND, THIRD])
    async with network.listen(hello, FIRST, 1), network.listen(hello, THIRD, 2):
        network.to(FIRST).refuse()
        with pytest.raises(OSError, match="all addresses failed") as failed:
            await network.connect(CLUSTER, 1)
    assert isinstance(failed.value.__cause__, ExceptionGroup)
    causes = failed.value.__cause__.exceptions
    assert [cause.errno for cause in causes if isinstance(cause, OSError)] == [
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.ECONNREFUSED,
    ]


async def test_names_that_change(network: MemoryNetwork) -> None:
    async with network.listen(hello, FIRST, 1), network.listen(hello, SECOND, 1):
        for addresses in ([FIRST], [SECOND]):
            network.name(CLUSTER, addresses)
            await network.connect(CLUSTER, 1)
        network.name(CLUSTER, [])
        for ask in (network.resolve(CLUSTER), network.connect(CLUSTER, 1)):
            with pytest.raises(socket.gaierror):
                await ask
    assert [each.target for each in network.connections] == [FIRST, SECOND]


async def test_names_that_go_round_in_circles(network: MemoryNetwork) -> None:
    for name, address in (("a", "b"), ("b", "a"), ("c", "c")):
        network.name(name, [address])
        with pytest.raises(socket.gaierror):
            await network.connect(name, 1)


async def test_what_a_name_is_without_addresses(network: MemoryNetwork) -> None:
    with pytest.raises(socket.gaierror):
        await network.resolve("node1.example")
    with pytest.raises(OSError, match="No route"):
        await network.resolve(FIRST)
    async with network.listen(hello, "node1.example", 1):
        pass
    assert await network.resolve("NODE1.example.") == ("node1.example",)


async def test_the_owner_of_connect_resolves(network: MemoryNetwork) -> None:
    network.name(CLUSTER, [FIRST, SECOND])
    for connect in (network.connect, network.connect_from("app1.example")):
        owner = connect.__self__  # type: ignore[attr-defined]
        assert await owner.resolve(CLUSTER) == (FIRST, SECOND)


async def test_a_client_at_a_host_of_several_names(network: MemoryNetwork) -> None:
    network.name("app1.example", ["10.0.1.1"])
    async with network.listen(hello, FIRST, 1):
        network.partition("10.0.1.1", FIRST)
        for source in ("app1.example", "10.0.1.1"):
            with pytest.raises(TimeoutError):
                await network.connect_from(source)(FIRST, 1)
        network.heal()
        network.to(FIRST, source="app1.example").refuse()
        with pytest.raises(ConnectionRefusedError):
            await network.connect_from("10.0.1.1")(FIRST, 1)


@pytest.mark.parametrize(
    ("do", "complaint"),
    [
        (lambda network: network.name(FIRST, [SECOND]), "is an IP address"),
        (lambda network: network.name("a", "b"), "a list of hosts, not 'b'"),
        (lambda network: network.name("a", [1]), "a host is a name or an IP address, not 1"),
        (lambda network: network.name("", [FIRST]), "a host is"),
        (lambda network: network.name("a", 7), "a list of hosts, not 7"),
        (lambda network: network.listener(CLUSTER, 1), "several hosts"),
    ],
)
def test_what_is_refused(network: MemoryNetwork, do: Callable[[MemoryNetwork], object], complaint: str) -> None:
    network.name(CLUSTER, [FIRST, SECOND])
    with pytest.raises(InvalidArgumentError, match=complaint):
        do(network)


async def test_a_name_is_given_before_somebody_listens_at_it(network: MemoryNetwork) -> None:
    async with network.listen(hello, "node1.example", 1):
        with pytest.raises(InvalidArgumentError, match="give it its addresses before"):
            network.name("NODE1.example", [FIRST])
    network.name("node1.example", [FIRST])
