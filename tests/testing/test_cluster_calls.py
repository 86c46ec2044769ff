"""Calls to the nodes of a cluster, by their roles."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest
import trio

from tests.support.peer import STREAMS, Peer, connected
from trio_esdb._errors import InvalidArgumentError
from trio_esdb.embedded import Certificates
from trio_esdb.testing import ClusterNode, EmbeddedCluster, MemoryHost, MemoryNetwork, TCPHost

OPERATIONS = "/event_store.client.operations.Operations/"
LEADER_WANTED = ("requires-leader", "true")


def leader_of(cluster: EmbeddedCluster) -> ClusterNode:
    assert cluster.leader is not None
    return cluster.leader


def to(node: ClusterNode) -> AbstractAsyncContextManager[Peer]:
    """A connection to a node."""
    assert node._process is not None
    return connected(node._process._node)


async def append(peer: Peer) -> tuple[str, dict[str, str]]:
    """What an append is answered, and the metadata of that."""
    options = {"options": {"stream_identifier": {"stream_name": b"s"}, "any": {}}}
    call = peer.call(STREAMS + "Append").send(options, {"proposed_message": peer.event()}).half_close()
    outcome = await call.end()
    return outcome.message, {name: str(value) for name, value in dict(outcome.trailers).items()}


async def test_a_follower_forwards_an_append_or_names_the_leader() -> None:
    async with EmbeddedCluster() as cluster, to(cluster.followers[0]) as peer:
        assert await append(peer) == ("", {})
        said, trailers = await append(peer.with_headers(LEADER_WANTED))
        leader = leader_of(cluster)
        assert said == "Leader info available"
        assert trailers["leader-endpoint-host"] == leader.host
        assert trailers["leader-endpoint-port"] == str(leader.port)
        await trio.sleep(0.01)
        assert await peer.numbers("s") == [0]


async def test_a_node_without_a_leader_is_not_ready() -> None:
    async with EmbeddedCluster(started="begun") as cluster:
        await trio.sleep(2)
        async with to(cluster.nodes[0]) as peer:
            assert (await append(peer))[0] == "Server Is Not Ready"


async def test_a_read_only_replica_forwards_for_the_system_alone() -> None:
    """On a cluster without users everybody is the system."""
    async with EmbeddedCluster(read_only_replicas=1) as cluster, to(cluster.nodes[3]) as peer:
        assert (await append(peer))[0] == ""
    async with EmbeddedCluster(read_only_replicas=1, users=True) as cluster, to(cluster.nodes[3]) as peer:
        said, trailers = await append(peer.user("admin"))
        assert said == "Leader info available"
        assert trailers["leader-endpoint-host"] == leader_of(cluster).host


async def test_nobody_can_log_in_before_there_is_a_leader() -> None:
    async with EmbeddedCluster(users=True, started="begun") as cluster:
        await trio.sleep(3)
        async with to(cluster.nodes[0]) as peer:
            assert (await append(peer.user("admin")))[0] == "Unauthenticated"
            await cluster.settled()
            assert (await append(peer.user("admin")))[0] == ""


async def test_the_operations_resign_and_set_priorities() -> None:
    async with EmbeddedCluster() as cluster:
        leader = leader_of(cluster)
        async with to(leader) as peer:
            assert (await peer.ask(OPERATIONS + "SetNodePriority", {"priority": -5}))[1].ok
            await trio.sleep(5)
            assert leader_of(cluster) is leader
            assert (await peer.ask(OPERATIONS + "ResignNode", {}))[1].ok
            assert leader.state == "ResigningLeader"
            assert (await append(peer))[0] == "Server Is Not Ready"
            await trio.sleep(2)
            assert leader_of(cluster) is not leader
            assert (await append(peer))[0] == ""
        async with to(leader) as peer:  # which has nothing to resign any more
            assert (await peer.ask(OPERATIONS + "ResignNode", {}))[1].ok
        await cluster.settled()


async def test_gossip_tells_the_members() -> None:
    async with EmbeddedCluster() as cluster, to(cluster.nodes[1]) as peer:
        (answer,), _ = await peer.ask("/event_store.client.gossip.Gossip/Read", {})
        told = [
            (member["http_end_point"]["address"], member["http_end_point"]["port"], member["is_alive"])
            for member in answer["members"]
        ]
        assert told == [(member.address, member.port, member.is_alive) for member in cluster.nodes[1].members()]


async def test_the_shutdown_operation_ends_a_node() -> None:
    async with EmbeddedCluster() as cluster:
        node = cluster.followers[0]
        async with to(node) as peer:
            assert (await peer.ask(OPERATIONS + "Shutdown", {}))[1].ok
        await node.stopped()
        await cluster.settled()


async def test_certificates_can_differ() -> None:
    made = [Certificates.self_made(f"node{number}.example") for number in (1, 2, 3)]
    async with EmbeddedCluster(tls=made) as cluster:
        assert cluster.root_certificates.count(b"BEGIN CERTIFICATE") == 3


async def test_hosts_must_know_their_ports_and_addresses_must_be_free() -> None:
    with pytest.raises(InvalidArgumentError, match="the host of node 1 has no port yet: reserve one first"):
        async with EmbeddedCluster(hosts=[TCPHost(), TCPHost(), TCPHost()]):
            raise AssertionError
    network = MemoryNetwork()
    async with EmbeddedCluster(network=network):
        with pytest.raises(OSError, match=r"node \d cannot listen on node\d.example:2113: Address already in use"):
            async with EmbeddedCluster(network=network):
                raise AssertionError


async def test_a_host_of_version_six_of_ip_has_brackets() -> None:
    network = MemoryNetwork()
    async with EmbeddedCluster(1, network=network, hosts=[MemoryHost(network, "::1", 2113)]) as cluster:
        assert cluster.nodes[0].address == "[::1]:2113"
        assert cluster.uri == "esdb://[::1]:2113?tls=false"
        assert repr(cluster.nodes[0]) == "<trio_esdb.testing.ClusterNode 1: [::1]:2113, Leader>"
        cluster.nodes[0].freeze()
        assert "frozen, Leader" in repr(cluster.nodes[0])


async def test_a_frozen_node_can_be_killed_and_one_that_starts_too() -> None:
    async with EmbeddedCluster() as cluster:
        node = cluster.followers[0]
        node.freeze()
        node.kill()
        node.restart()
        node.kill()  # before it has begun
        node.restart()
        await trio.sleep(0.5)
        node.kill()  # before its port is open
        node.restart()
        await trio.sleep(0.5)
        node.terminate()
        await node.stopped()
        node.restart()
        await cluster.settled()
    with pytest.raises(RuntimeError, match="this EmbeddedCluster does not run"):
        cluster.nodes[0].restart()
