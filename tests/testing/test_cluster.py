"""EmbeddedCluster: what can be done to its nodes, and what they then show."""

from __future__ import annotations

from random import Random

import pytest
import trio

from trio_esdb import ESDBClient, NewEvent, StreamState
from trio_esdb._errors import InvalidArgumentError, InvalidTypeError
from trio_esdb.testing import ClusterNode, EmbeddedCluster, MemoryHost, MemoryNetwork


def client_of(cluster: EmbeddedCluster) -> ESDBClient:
    roots = cluster.root_certificates or None
    return ESDBClient(cluster.uri, connect=cluster.network.connect, root_certificates=roots)


def leader_of(cluster: EmbeddedCluster) -> ClusterNode:
    assert cluster.leader is not None
    return cluster.leader


def states(cluster: EmbeddedCluster) -> list[str]:
    return sorted(str(node.state) for node in cluster.nodes)


async def append(cluster: EmbeddedCluster, stream: str = "s") -> None:
    async with client_of(cluster) as client:
        await client.append_event(stream, StreamState.ANY, NewEvent(type="t", data=b"{}"))


async def test_a_cluster_starts_with_one_leader_that_all_know() -> None:
    async with EmbeddedCluster() as cluster:
        assert 4.2 < trio.current_time() < 9.6
        assert states(cluster) == ["Follower", "Follower", "Leader"]
        for node in cluster.nodes:
            members = node.members()
            assert [member.address for member in members] == ["node3.example", "node2.example", "node1.example"]
            assert [member.state for member in members] == [other.state for other in reversed(cluster.nodes)]
            assert all(member.is_alive and member.instance_id.int for member in members)
            assert all(member.time_stamp.year == 2026 for member in members)
        assert cluster.uri == "esdb://node1.example:2113,node2.example:2113,node3.example:2113?tls=false"


async def test_a_cluster_of_one_node_leads_itself() -> None:
    async with EmbeddedCluster(1) as cluster:
        assert states(cluster) == ["Leader"]
        await append(cluster)


async def test_read_only_replicas_follow_and_are_numbered_last() -> None:
    async with EmbeddedCluster(read_only_replicas=1) as cluster:
        assert cluster.nodes[3].state == "ReadOnlyReplica"
        assert cluster.nodes[3].is_read_only_replica
        leader_of(cluster).kill()
        await cluster.settled()
        assert cluster.nodes[3].state == "ReadOnlyReplica"


async def test_the_same_seed_makes_the_same_cluster() -> None:
    async def life(seed: int) -> list[object]:
        began = trio.current_time()
        async with EmbeddedCluster(random=Random(seed)) as cluster:
            seen: list[object] = [round(trio.current_time() - began, 6), leader_of(cluster).number]
            seen.append(cluster.nodes[0].members()[0].instance_id)
            leader_of(cluster).kill()
            await cluster.settled()
            return [*seen, round(trio.current_time() - began, 6), leader_of(cluster).number]

    assert await life(7) == await life(7) != await life(8)


async def test_a_killed_leader_is_replaced_and_comes_back() -> None:
    async with EmbeddedCluster() as cluster:
        await append(cluster)
        old = leader_of(cluster)
        old.kill()
        assert not old.is_running
        assert old.state is None
        killed = trio.current_time()
        while cluster.leader is None:
            await trio.sleep(0.01)
        assert 0.1 < trio.current_time() - killed < 1.65
        await append(cluster)
        old.restart()
        await cluster.settled()
        assert old.state == "Follower"


async def test_a_wiped_node_gets_all_data_again() -> None:
    async with EmbeddedCluster() as cluster:
        await append(cluster)
        node = cluster.followers[0]
        node.kill()
        node.wipe()
        node.restart()
        await cluster.settled()
        for other in cluster.nodes:
            if other is not node:
                other.kill()
        uri = f"esdb://{node.address}?tls=false&nodePreference=random"
        async with ESDBClient(uri, connect=cluster.network.connect) as client:
            assert len(await client.get_stream_events("s")) == 1


async def test_users_exist_in_the_whole_cluster() -> None:
    async with EmbeddedCluster(tls=True, users={"admin": "se/cret"}) as cluster:
        assert "admin:se%2Fcret@" in cluster.uri
        assert cluster.uri.endswith("?tls=true")
        await append(cluster)
        leader_of(cluster).kill()
        await cluster.settled()
        await append(cluster)


async def test_a_partitioned_leader_gives_up_and_follows_the_new_one() -> None:
    async with EmbeddedCluster() as cluster:
        old = leader_of(cluster)
        cluster.partition(old)
        await trio.sleep(3.0)
        assert old.state == "Leader"
        await trio.sleep(0.5)
        assert old.state == "Unknown"
        await trio.sleep(6)
        assert leader_of(cluster) is not old
        cluster.heal()
        await cluster.settled()
        assert old.state == "Follower"


async def test_one_way_partitions_part_as_well() -> None:
    async with EmbeddedCluster() as cluster:
        old = leader_of(cluster)
        cluster.partition(old.number, one_way=True)
        await trio.sleep(12)
        assert leader_of(cluster) is not old
        cluster.heal()
        await cluster.settled()


async def test_a_cluster_without_quorum_does_not_settle() -> None:
    async with EmbeddedCluster() as cluster:
        for node in cluster.followers:
            node.kill()
        with pytest.raises(trio.TooSlowError, match=r"not settled in 20 seconds: .*: stopped.*Unknown"):
            await cluster.settled(20)


async def test_impossible_commands_say_what_is_wrong() -> None:
    async with EmbeddedCluster() as cluster:
        node = cluster.followers[0]
        with pytest.raises(RuntimeError, match=f"node {node.number} cannot resign, because it does not lead"):
            node.resign()
        with pytest.raises(RuntimeError, match="cannot be restarted, because it runs: kill or terminate it first"):
            node.restart()
        with pytest.raises(RuntimeError, match="cannot be wiped while it runs"):
            node.wipe()
        node.freeze()
        for command in (node.freeze, node.terminate, node.resign):
            with pytest.raises(RuntimeError, match="because it is frozen: wake it first"):
                command()
        node.wake()
        node.terminate()
        with pytest.raises(RuntimeError, match="because it is about to end"):
            node.terminate()
        with pytest.raises(RuntimeError, match="because it runs: wait for `stopped` first"):
            node.restart()
        await node.stopped()
        for stopped in (node.kill, node.terminate, node.freeze, node.wake, node.resign, node.members):
            with pytest.raises(RuntimeError, match="because it does not run"):
                stopped()
        with pytest.raises(RuntimeError, match="because it does not run"):
            node.set_priority(1)
        with pytest.raises(InvalidArgumentError, match="no node 4: they are numbered from 1 to 3"):
            cluster.node(4)
        for none_or_all in ((), (1, 2, 3)):
            with pytest.raises(InvalidArgumentError, match="not none and not all"):
                cluster.partition(*none_or_all)
        with pytest.raises(InvalidTypeError, match="a priority is an int"):
            leader_of(cluster).set_priority("high")  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="32 bits"):
            leader_of(cluster).set_priority(2**31)
    with pytest.raises(RuntimeError, match="does not run"):
        await cluster.settled()
    with pytest.raises(RuntimeError, match="runs only once"):
        await cluster.run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nodes": 0}, "nodes must be at least 1, not 0"),
        ({"read_only_replicas": -1}, "read_only_replicas must be at least 0"),
        ({"started": "soon"}, 'must be "settled" or "begun"'),
        ({"hosts": [MemoryHost(MemoryNetwork(), "a.example")]}, "must name 3 hosts"),
        ({"tls": []}, "must hold 3 certificates"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        EmbeddedCluster(**arguments)  # type: ignore[arg-type]


def test_a_number_of_nodes_is_a_number() -> None:
    with pytest.raises(InvalidTypeError, match="nodes is a number of nodes, not 'three'"):
        EmbeddedCluster("three")  # type: ignore[arg-type]


async def test_nodes_of_another_cluster_are_refused() -> None:
    async with EmbeddedCluster() as cluster, EmbeddedCluster(started="begun") as other:
        with pytest.raises(InvalidArgumentError, match="a node of another cluster"):
            cluster.partition(other.nodes[0])
