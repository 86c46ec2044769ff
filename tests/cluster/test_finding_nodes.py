"""A client that finds its node in a cluster, over a network with names, certificates and faults."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.scripted import Scripted, ScriptedNodes, Seen, appended, cluster, fails, says, silence
from tests.support.world import Moment, sweep
from trio_esdb import (
    BasicCredentials,
    DiscoveryError,
    ESDBClient,
    NewEvent,
    StreamState,
    UnavailableError,
)
from trio_esdb._wire import Status
from trio_esdb.embedded import Certificates, EmbeddedNode
from trio_esdb.testing import MemoryNetwork

ANY = StreamState.ANY
EVENT = NewEvent("Happened", b"{}")
NAMES = ("node1.example", "node2.example", "node3.example")
GOOD = Certificates.self_made("node1.example", "node2.example", "node3.example", "cluster.example")
ROOTS = GOOD.root_certificates
WRONG = Certificates.self_made("other.example")


class Nodes:
    """Three nodes on a network; the second leads."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.network = MemoryNetwork()
        self.servers = {name: Scripted(nursery) for name in NAMES}
        self.tell("node2.example")
        for server in self.servers.values():
            server.append = says(appended(0, 4))
        self._nursery = nursery

    def tell(self, leader: str, names: tuple[str, ...] = NAMES, port: int = 2113) -> None:
        """All nodes tell of these members."""
        members = [(name, port, "Leader" if name == leader else "Follower") for name in names]
        for server in self.servers.values():
            server.gossip = says(cluster(*members))

    async def listen(self, **certificates: Certificates | None) -> None:
        """Let the nodes listen; with these certificates, by the first parts of their names, or else with good ones."""
        for name, server in self.servers.items():
            tls = certificates.get(name.partition(".")[0], GOOD)
            await self.serve(server, name, tls)

    async def serve(self, server: Scripted, host: str, tls: Certificates | None = GOOD) -> None:
        """Let a server listen at a host."""
        await self._nursery.start(partial(self.network.serve, tls=tls), server.serve, host, 2113)

    async def break_connections(self) -> None:
        """Reset all connections."""
        for connection in self.network.connections:
            connection.reset()
        await trio.testing.wait_all_tasks_blocked()

    def client(self, uri: str = f"esdb://{','.join(NAMES)}", **more: Any) -> ESDBClient:
        return ESDBClient(uri, ROOTS, connect=self.network.connect, random=Random(3), **more)


@pytest.fixture
async def nodes(nursery: trio.Nursery) -> Nodes:
    return Nodes(nursery)


def used(client: ESDBClient) -> list[str]:
    """The addresses of the connections."""
    return [connection.address for connection in client.statistics().connections]


# -- certificates ----------------------------------------------------------------------------------------------------


async def test_the_wrong_name_in_the_certificate_of_one_node(nodes: Nodes) -> None:
    await nodes.listen(node1=WRONG)
    for seed in range(6):
        client = ESDBClient(
            f"esdb://{','.join(NAMES)}", GOOD.root_certificates, connect=nodes.network.connect, random=Random(seed)
        )
        began = trio.current_time()
        async with client:
            assert await client.append_event("s", ANY, EVENT) == 4
            assert trio.current_time() - began < 0.3


async def test_the_wrong_names_in_all_certificates(nodes: Nodes) -> None:
    other = Certificates.self_made("other.example")
    await nodes.listen(node1=other, node2=other, node3=other)
    client = ESDBClient(f"esdb://{','.join(NAMES)}", other.root_certificates, connect=nodes.network.connect)
    began = trio.current_time()
    with pytest.raises(DiscoveryError) as caught:
        async with client:
            pytest.fail("it connected")
    assert trio.current_time() - began < 0.3, "it cannot get better"
    assert caught.value.final
    for name in NAMES:
        assert f"not valid for '{name}'" in caught.value.candidates[f"{name}:2113"]
        assert f"not valid for '{name}'" in str(caught.value)


async def test_a_leader_with_the_wrong_name_in_its_certificate(nodes: Nodes) -> None:
    """The others tell of it, but no call can be sent to it."""
    await nodes.listen(node2=WRONG)
    client = nodes.client(f"esdb://{','.join(NAMES)}?maxDiscoverAttempts=3")
    began = trio.current_time()
    with pytest.raises(UnavailableError, match=r"node2\.example:2113.*certificate"):
        async with client:
            pytest.fail("it connected")
    assert trio.current_time() - began < 15
    async with nodes.client(f"esdb://{','.join(NAMES)}?nodePreference=follower") as reader:
        assert used(reader) in (["node1.example:2113"], ["node3.example:2113"])


async def test_plain_text_where_tls_was_expected(nodes: Nodes) -> None:
    await nodes.listen(node1=None, node3=None)
    async with nodes.client() as client:
        assert used(client) == ["node2.example:2113"]


# -- names -----------------------------------------------------------------------------------------------------------


async def test_a_name_of_all_nodes_over_tls(nodes: Nodes) -> None:
    """Certificates are checked against the name, whatever address is dialled."""
    await nodes.listen()
    addresses = ["10.0.0.1", "10.0.0.2"]
    for address, server in zip(addresses, nodes.servers.values(), strict=False):
        await nodes.serve(server, address)
    nodes.network.name("cluster.example", addresses)
    async with nodes.client("esdb+discover://cluster.example") as client:
        assert await client.append_event("s", ANY, EVENT) == 4
        assert used(client) == ["node2.example:2113"]
    nodes.network.name("unknown.example", addresses)
    with pytest.raises(DiscoveryError) as caught:
        async with nodes.client("esdb+discover://unknown.example"):
            pytest.fail("it connected")
    assert set(caught.value.candidates) == {f"unknown.example:2113 ({address})" for address in addresses}
    assert "not valid for 'unknown.example'" in str(caught.value)


async def test_one_address_of_several_is_there(nodes: Nodes) -> None:
    await nodes.listen()
    server = nodes.servers["node1.example"]
    for address in ("10.0.0.1", "10.0.0.2"):
        async with nodes.network.listen(server.serve, address, 2113):
            pass
    await nodes.serve(server, "10.0.0.3")
    nodes.network.name("cluster.example", ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    async with nodes.client("esdb+discover://cluster.example") as client:
        assert await client.append_event("s", ANY, EVENT) == 4


async def test_a_single_node_behind_a_name() -> None:
    """A node with one member is used under the address that it was asked under."""
    network = MemoryNetwork()
    async with EmbeddedNode() as node, network.listen(node, "10.0.0.1", 2113, tls=GOOD):
        network.name("cluster.example", ["10.0.0.1"])
        client = ESDBClient("esdb+discover://cluster.example", ROOTS, connect=network.connect)
        async with client:
            await client.append_event("s", None, EVENT)
            assert used(client) == ["cluster.example:2113"]
            (member,) = await client.read_gossip()
            assert member.address != "cluster.example"


async def test_no_name_is_known() -> None:
    network = MemoryNetwork()
    client = ESDBClient("esdb://nowhere.example,never.example?tls=false", connect=network.connect)
    with pytest.raises(DiscoveryError, match="10 attempts") as caught:
        async with client:
            pytest.fail("it connected")
    assert set(caught.value.candidates) == {"nowhere.example:2113", "never.example:2113"}
    assert all("cannot be looked up" in why for why in caught.value.candidates.values())
    assert 8 < trio.current_time() < 14


# -- what members tell -----------------------------------------------------------------------------------------------


async def test_members_with_addresses_that_cannot_be_reached(nodes: Nodes) -> None:
    """As nodes in containers tell them."""
    await nodes.listen()
    nodes.tell("inside2", ("inside1", "inside2", "inside3"))
    began = trio.current_time()
    with pytest.raises(UnavailableError, match="inside2:2113"):
        async with nodes.client(f"esdb://{','.join(NAMES)}?maxDiscoverAttempts=3"):
            pytest.fail("it connected")
    assert trio.current_time() - began < 15
    nodes.tell("node2.example")
    async with nodes.client() as client:
        nodes.tell("inside2", (*NAMES, "inside2"))
        await nodes.break_connections()
        with pytest.raises(Exception, match="inside2:2113"):
            await client.append_event("s", ANY, EVENT, timeout=3)
        nodes.tell("node3.example")
        assert await client.append_event("s", ANY, EVENT) == 4
        assert used(client) == ["node3.example:2113"]


@pytest.mark.parametrize("port", [0, 65536, 2**32 - 1])
async def test_members_with_ports_that_are_none(nodes: Nodes, port: int) -> None:
    await nodes.listen()
    nodes.tell("node2.example", port=port)
    with pytest.raises(DiscoveryError, match="the node to use tells no address"):
        async with nodes.client(f"esdb://{','.join(NAMES)}?maxDiscoverAttempts=2"):
            pytest.fail("it connected")


async def test_an_answer_that_cannot_be_understood(nodes: Nodes) -> None:
    await nodes.listen()
    nodes.servers["node1.example"].gossip = says(b"\x0a\x7f")
    nodes.servers["node2.example"].gossip = fails(Status.UNIMPLEMENTED, "Method is unimplemented.")
    for seed in range(4):
        client = ESDBClient(f"esdb://{','.join(NAMES)}", ROOTS, connect=nodes.network.connect, random=Random(seed))
        async with client:
            assert await client.append_event("s", ANY, EVENT) == 4
    nodes.servers["node3.example"].gossip = says(b"\x0a\x7f")
    with pytest.raises(DiscoveryError, match="malformed"):
        async with nodes.client(f"esdb://{','.join(NAMES)}?maxDiscoverAttempts=2"):
            pytest.fail("it connected")


async def test_another_cluster_at_the_same_addresses(nodes: Nodes) -> None:
    """It is refused, and the error says so. The next call believes the seeds."""
    await nodes.listen()
    async with nodes.client(f"esdb://{','.join(NAMES)}?maxDiscoverAttempts=3") as client:
        assert await client.append_event("s", ANY, EVENT) == 4
        others = ("other1.example", "other2.example", "other3.example")
        for name, server in zip(others, list(nodes.servers.values()), strict=True):
            nodes.servers[name] = server
            await nodes.serve(server, name, Certificates.self_made(*others))
        nodes.tell("other2.example", others)
        await nodes.break_connections()
        with pytest.raises(DiscoveryError, match="it belongs to another cluster") as caught:
            await client.append_event("s", ANY, EVENT)
        assert caught.value.applied is False
        nodes.tell("node1.example")
        assert await client.append_event("s", ANY, EVENT) == 4


# -- trouble on the way ----------------------------------------------------------------------------------------------


async def test_frozen_nodes(nodes: Nodes) -> None:
    await nodes.listen()
    for name in NAMES:
        nodes.tell("node2.example" if name != "node2.example" else "node3.example")
        route = nodes.network.to(name)
        route.hold()
        began = trio.current_time()
        async with nodes.client() as client:
            assert await client.append_event("s", ANY, EVENT) == 4
        assert trio.current_time() - began < 2
        route.release()


async def test_all_nodes_are_frozen(nodes: Nodes) -> None:
    await nodes.listen()
    for name in NAMES:
        nodes.network.to(name).hold()
    client = nodes.client(f"esdb://{','.join(NAMES)}?maxDiscoverAttempts=2&gossipTimeout=1.5")
    with pytest.raises(DiscoveryError, match=r"no answer within 1\.5 seconds \(gossipTimeout\)"):
        async with client:
            pytest.fail("it connected")
    assert trio.current_time() < 2 * 2 + 0.2


async def test_a_far_leader_beside_a_near_node_that_knows_none(nodes: Nodes) -> None:
    """The near one is always first. A connection to the far one takes seconds, and it goes on over the attempts."""
    await nodes.listen()
    alone = cluster(("node1.example", 2113, "Unknown"), ("node2.example", 2113, "Unknown"))
    nodes.servers["node1.example"].gossip = says(alone)
    nodes.network.to("node2.example").latency(0.2)
    async with nodes.client("esdb://node1.example,node2.example") as client:
        assert await client.append_event("s", ANY, EVENT) == 4
    assert trio.current_time() < 5


# -- access ----------------------------------------------------------------------------------------------------------


async def test_nodes_that_do_not_tell_everybody(nodes: Nodes) -> None:
    user = BasicCredentials("ann", "s3cret")
    answer = cluster(*((name, 2113, "Leader" if name == NAMES[1] else "Follower") for name in NAMES))

    async def tell(seen: Seen) -> bytes:
        if seen.call.metadata.get("authorization") != user.authorization():
            await fails(Status.PERMISSION_DENIED, "Access Denied", exception="access-denied")(seen)
        return answer

    for server in nodes.servers.values():
        server.gossip = tell
    await nodes.listen()
    asked = 0

    async def provider() -> BasicCredentials:
        nonlocal asked
        asked += 1
        return user

    for credentials in (user, provider):
        async with nodes.client(credentials=credentials) as client:
            assert await client.append_event("s", ANY, EVENT) == 4
    assert asked
    with pytest.raises(DiscoveryError, match="Access Denied") as caught:
        async with nodes.client():
            pytest.fail("it connected")
    assert caught.value.final


async def test_the_seeds_are_asked_without_credentials(nodes: Nodes) -> None:
    """A cluster that starts does not know its users yet, and would refuse them."""
    await nodes.listen()
    async with nodes.client(credentials=BasicCredentials("ann", "s3cret")):
        pass
    asked = [seen for server in nodes.servers.values() for seen in server.seen]
    assert asked
    assert not any("authorization" in seen.call.metadata for seen in asked)


# -- closing ---------------------------------------------------------------------------------------------------------


async def test_entering_is_given_up(nodes: Nodes) -> None:
    for server in nodes.servers.values():
        server.gossip = silence
    await nodes.listen()
    client = nodes.client()
    with trio.move_on_after(3) as scope:
        async with client:
            pytest.fail("it connected")
    assert scope.cancelled_caught
    assert trio.current_time() <= 4.1
    await trio.sleep(1)
    assert not any(connection.is_open for connection in nodes.network.connections)


async def test_closing_ends_the_search(nodes: Nodes, nursery: trio.Nursery) -> None:
    await nodes.listen()
    async with nodes.client() as client:
        for server in nodes.servers.values():
            server.gossip = silence
        await nodes.break_connections()
        began = trio.current_time()

        async def append() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.append_event("s", ANY, EVENT)

        nursery.start_soon(append)
        await trio.sleep(1)
        await client.aclose()
    assert trio.current_time() - began < 2.1


@pytest.mark.parametrize("moment", [Moment.WAITING, Moment.GOING_ON])
async def test_entering_given_up_at_each_step(nursery: trio.Nursery, moment: Moment) -> None:
    """Nothing is left of the search and of its connections, and the next client finds the node."""
    nodes = ScriptedNodes(nursery, "a", "b", "c")
    nodes.cluster("b")
    nodes.down.add("a")
    nodes.frozen.add("c")
    nodes["b"].append = says(appended(0, 4))

    async def use() -> None:
        async with ESDBClient(nodes.uri, connect=nodes.connect, random=Random(1)) as client:
            await client.append_event("s", ANY, EVENT)

    async def check() -> None:
        await trio.sleep(30)
        assert nodes["b"].open_calls == 0
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        await use()
        await trio.sleep(30)

    await use()
    await trio.sleep(30)
    tasks = trio.lowlevel.current_statistics().tasks_living
    assert await sweep(use, check, moment) > 2


@pytest.mark.parametrize("moment", [Moment.WAITING, Moment.GOING_ON])
async def test_a_call_given_up_during_a_search_at_each_step(nursery: trio.Nursery, moment: Moment) -> None:
    """Another call that waits for the same search has its answer, and is made once."""
    nodes = ScriptedNodes(nursery, "a", "b", "c")
    nodes.cluster("b")
    nodes["b"].append = says(appended(0, 4))
    async with ESDBClient(nodes.uri, connect=nodes.connect, random=Random(1)) as client:

        async def use() -> None:
            with trio.CancelScope(shield=True):
                for stream in nodes["b"].streams:
                    await trio.aclose_forcefully(stream)
                nodes["b"].streams.clear()
                await trio.testing.wait_all_tasks_blocked()
            done = len(nodes["b"].calls)
            nursery.start_soon(client.append_event, "other", ANY, EVENT)
            try:
                await client.append_event("s", ANY, EVENT)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(5)
                    assert done < len(nodes["b"].calls) <= done + 2

        async def check() -> None:
            await client.append_event("s", ANY, EVENT)

        assert await sweep(use, check, moment) > 2
