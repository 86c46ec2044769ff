"""A client finds its node in a whole cluster, while that starts, loses nodes, and has none."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import trio

from trio_esdb import (
    DeadlineExceededError,
    DiscoveryError,
    ESDBClient,
    NewEvent,
    NodeState,
    StreamState,
    UnavailableError,
)
from trio_esdb.embedded import Certificates
from trio_esdb.testing import EmbeddedCluster, MemoryHost, MemoryNetwork

ANY = StreamState.ANY
EVENT = NewEvent("Happened", b"{}")
NAMES = ("node1.example", "node2.example", "node3.example")


def client_of(cluster: EmbeddedCluster, uri: str = "", **more: Any) -> ESDBClient:
    roots = cluster.root_certificates or None
    settings: dict[str, Any] = {"root_certificates": roots, "random": Random(5)} | more
    return ESDBClient(uri or cluster.uri, connect=cluster.network.connect, **settings)


def used(client: ESDBClient) -> set[str]:
    """The addresses of the connections."""
    return {connection.address for connection in client.statistics().connections}


async def test_the_members() -> None:
    async with EmbeddedCluster(read_only_replicas=1) as cluster, client_of(cluster) as client:
        members = await client.read_gossip()
        assert {member.address: str(member.state) for member in members} == {
            node.host: node.state for node in cluster.nodes
        }
        assert all(member.is_alive and member.port == 2113 for member in members)
        assert len({member.instance_id for member in members}) == 4
        follower = cluster.followers[0]
        follower.kill()
        await trio.sleep(1)
        (dead,) = (member for member in await client.read_gossip() if not member.is_alive)
        assert (dead.address, dead.state) == (follower.host, NodeState.FOLLOWER)
        before = {member.address: member.instance_id for member in members}
        follower.restart()
        await trio.sleep(10)
        after = {member.address: member.instance_id for member in await client.read_gossip()}
        assert {address for address in after if after[address] != before[address]} == {follower.host}


async def test_a_cluster_that_starts() -> None:
    """Refused connections, then an election: the client waits for a leader."""
    async with EmbeddedCluster(started="begun") as cluster:
        assert cluster.leader is None
        async with client_of(cluster) as client:
            assert 4 < trio.current_time() < 10
            assert cluster.leader is not None
            await client.append_event("s", None, EVENT)
            assert used(client) == {cluster.leader.address}


async def test_preferences() -> None:
    async with EmbeddedCluster(read_only_replicas=1) as cluster:
        assert cluster.leader is not None
        by_state = {node.address: node.state for node in cluster.nodes}
        for preference, state in {
            "leader": "Leader",
            "follower": "Follower",
            "readOnlyReplica": "ReadOnlyReplica",
        }.items():
            async with client_of(cluster, f"{cluster.uri}&nodePreference={preference}") as client:
                assert {by_state[address] for address in used(client)} == {state}
                await client.append_event("s", ANY, EVENT)
                assert {by_state[address] for address in used(client)} == {state, "Leader"}
        found = set()
        for seed in range(20):
            async with client_of(cluster, f"{cluster.uri}&nodePreference=random", random=Random(seed)) as client:
                found |= used(client)
        assert found == set(by_state)


async def test_a_preference_that_no_node_fits() -> None:
    """It is a wish: other nodes are used, as long as there are any that a client may use."""
    async with EmbeddedCluster() as cluster:
        uri = f"{cluster.uri}&nodePreference=readOnlyReplica&maxDiscoverAttempts=4"
        async with client_of(cluster, uri) as client:
            await client.append_event("s", None, EVENT)
            followers = cluster.followers
            for node in followers:
                node.kill()
            assert len(await client.get_stream_events("s")) == 1, "the leader is there for 3 seconds"
            await trio.sleep(5)
            assert await client.get_stream_position("s") == 0, "the connection is still good"
            for node in cluster.nodes:
                if node.is_running:
                    node.kill()
            with pytest.raises(DiscoveryError, match="no node of the cluster was found that takes calls"):
                await client.get_stream_position("s")
            for node in cluster.nodes:
                node.restart()
            await trio.sleep(15)
            assert await client.get_stream_position("s") == 0
            assert used(client) <= {node.address for node in cluster.followers}


async def test_a_cluster_that_loses_its_quorum() -> None:
    """Nobody leads: writes get one clear error in their time, and succeed when a leader is there again."""
    async with EmbeddedCluster() as cluster, client_of(cluster) as client:
        position = (await client.append_event("s", None, EVENT)).stream_position
        followers = cluster.followers
        for node in followers:
            node.kill()
        await trio.sleep(5)
        began = trio.current_time()
        with pytest.raises(DeadlineExceededError, match="it knows no leader") as caught:
            await client.append_event("s", position, EVENT, timeout=8)
        assert trio.current_time() - began == pytest.approx(8)
        assert caught.value.applied is False
        began = trio.current_time()
        with pytest.raises(DiscoveryError, match="no leader of the cluster was found") as found:
            await client.append_event("s", position, EVENT, timeout=60)
        assert trio.current_time() - began < 20
        assert set(found.value.candidates) == {node.address for node in cluster.nodes}
        for node in followers:
            node.restart()
        await client.append_event("s", position, EVENT, timeout=60)


async def test_a_name_of_all_nodes_over_tls_with_users() -> None:
    """The seeds are asked by their addresses and under the name, members under their own."""
    certificates = Certificates.self_made(*NAMES, "cluster.example")
    async with EmbeddedCluster(tls=certificates, users=True) as cluster:
        assert cluster.leader is not None
        cluster.network.name("cluster.example", list(NAMES))
        client = ESDBClient(
            "esdb+discover://admin:changeit@cluster.example",
            certificates.root_certificates,
            connect=cluster.network.connect,
        )
        async with client:
            await trio.sleep(5)
            await client.append_event("s", None, EVENT)
            assert used(client) == {cluster.leader.address}
        cluster.network.name("cluster.other", list(NAMES))
        client = ESDBClient(
            "esdb+discover://cluster.other", certificates.root_certificates, connect=cluster.network.connect
        )
        with pytest.raises(DiscoveryError, match=r"not valid for 'cluster\.other'"):
            async with client:
                pytest.fail("it connected")


async def test_the_wrong_name_in_the_certificate_of_one_node() -> None:
    good = Certificates.self_made(*NAMES)
    for number in range(3):
        tls = [good, good, good]
        tls[number] = Certificates.self_made("other.example")
        async with EmbeddedCluster(tls=tls, started="settled") as cluster:
            assert cluster.leader is not None
            client = ESDBClient(cluster.uri, good.root_certificates, connect=cluster.network.connect)
            if cluster.leader.number == number + 1:
                with pytest.raises(UnavailableError, match="certificate"):
                    async with client:
                        pytest.fail("it connected")
            else:
                async with client:
                    await client.append_event("s", None, EVENT)


async def test_a_name_that_stands_for_another_cluster_now() -> None:
    """A client that knows the old one is told so by the next call, and the one after that goes to the new one."""
    network = MemoryNetwork()
    others = [MemoryHost(network, f"other{number}.example", 2113) for number in (1, 2, 3)]
    async with EmbeddedCluster(network=network) as cluster, EmbeddedCluster(hosts=others, network=network) as another:
        network.name("cluster.example", list(NAMES))
        uri = "esdb+discover://cluster.example?tls=false&maxDiscoverAttempts=3"
        async with ESDBClient(uri, connect=network.connect) as client:
            await client.append_event("s", None, EVENT)
            network.name("cluster.example", [host.name for host in others])
            await client.append_event("s", 0, EVENT)
            for node in cluster.nodes:
                node.kill()
            with pytest.raises(DiscoveryError, match="it belongs to another cluster"):
                await client.append_event("s", 1, EVENT, timeout=60)
            await client.append_event("new", None, EVENT)
            assert another.leader is not None
            assert used(client) == {another.leader.address}
