"""The same on the nodes of a whole cluster, which forward to each other what they forward."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.support.peer import STREAMS, Peer
from trio_esdb._transport import ClientLink
from trio_esdb.testing import ClusterNode, EmbeddedCluster

from .test_batches import batch
from .test_by_role import NOT_OFFERED, RECORDED, ROLES, compare
from .test_states import told

LONG = 100.0


@asynccontextmanager
async def connection(cluster: EmbeddedCluster, node: ClusterNode) -> AsyncIterator[Peer]:
    """A client's connection to this node."""
    link = ClientLink(await cluster.network.connect(node.host, node.port), "node")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        await link.ready()
        yield Peer(link)
        link.close()


def node_of(cluster: EmbeddedCluster, role: str) -> ClusterNode:
    """A node that has this role, or will have it."""
    if role.startswith("read-only-replica"):
        return cluster.nodes[-1]
    if role.startswith("follower"):
        return cluster.followers[0]
    assert cluster.leader is not None
    return cluster.leader


@pytest.mark.parametrize("role", ROLES)
async def test_each_operation_as_recorded(role: str) -> None:
    users = ROLES[role].users
    cells = [
        (operation, header)
        for operation, columns in RECORDED[role].items()
        if not operation.startswith(NOT_OFFERED)
        for header in columns
    ]
    async with EmbeddedCluster(users=users, read_only_replicas=int(role.startswith("read-only"))) as cluster:
        leader = cluster.leader
        assert leader is not None
        node = node_of(cluster, role)
        async with connection(cluster, leader) as peer:
            if users:
                peer = peer.user("admin")
            for stream in ("old", *(f"{operation} {header}" for operation, header in cells)):
                await peer.append(stream, peer.event())
        await cluster.settled()
        if role == "leaderless":
            for other in cluster.followers:
                other.kill()
            with trio.fail_after(LONG):
                while node.state != "Unknown":
                    await trio.sleep(0.1)
        assert node.state == ROLES[role].state.name
        async with connection(cluster, node) as peer:
            if users:
                peer = peer.user("admin")
            for operation, header in cells:
                await compare(peer, role, operation, header, (leader.host, leader.port), f"{operation} {header}")


async def test_batches_that_are_forwarded_are_written_in_their_order() -> None:
    async with EmbeddedCluster() as cluster, connection(cluster, cluster.followers[0]) as peer:
        call = peer.call(STREAMS + "BatchAppend").send(
            batch(peer, 0, expected={"no_stream": {}}),
            *(batch(peer, number, expected={"stream_position": number - 1}) for number in range(1, 100)),
        )
        replies = await call.some(100)
        assert all("success" in reply for reply in replies)
        call.cancel()


async def test_a_subscription_stays_when_the_leader_resigns() -> None:
    async with EmbeddedCluster() as cluster:
        old = cluster.leader
        assert old is not None
        async with connection(cluster, old) as peer:
            subscription = peer.with_headers(("requires-leader", "true")).subscribe("s", at="end")
            await subscription.some(2)
            old.set_priority(-5)
            old.resign()
            with trio.fail_after(LONG):
                while cluster.leader in (old, None):
                    await trio.sleep(0.1)
            await cluster.settled()
            assert cluster.leader is not None
            async with connection(cluster, cluster.leader) as other:
                await other.append("s", other.event())
            (message,) = await subscription.some(1)
            assert "event" in message
            _, outcome = await peer.with_headers(("requires-leader", "true")).subscribe("s").rest()
            assert told(outcome) == (cluster.leader.host, cluster.leader.port)
            subscription.cancel()
