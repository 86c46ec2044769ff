"""The same on the nodes of a whole cluster, which forward to each other what they forward."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from random import Random

import pytest
import trio

from tests.support.peer import STREAMS, Peer
from trio_esdb._transport import ClientLink
from trio_esdb.testing import ClusterNode, EmbeddedCluster

from .test_batches import batch
from .test_by_role import NOT_OFFERED, RECORDED, ROLES, compare, has_group, opened
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
                if has_group(role, stream.partition(" ")[0]):
                    assert (await opened(peer, "ps-create", stream).end()).ok
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


class Batches:
    """Writers that send batches to nodes at random, and what they were told."""

    def __init__(self, cluster: EmbeddedCluster, random: Random) -> None:
        self.told: Counter[str] = Counter()
        self.acknowledged: set[int] = set()
        self._cluster = cluster
        self._random = random
        self._ids = count(1)

    async def write(self) -> None:
        """Send batches over one connection after another, until cancelled."""
        while True:
            with suppress(OSError):
                async with connection(self._cluster, self._random.choice(self._cluster.nodes)) as peer:
                    await self._write_to(Peer(peer.link, (), self._ids))
            await trio.sleep(1)

    async def _write_to(self, peer: Peer) -> None:
        if self._random.random() < 0.5:
            peer = peer.with_headers(("requires-leader", "true"))
        call = peer.call(STREAMS + "BatchAppend")
        numbers = [next(self._ids) for _ in range(self._random.randrange(1, 40))]
        for number in numbers:
            call.send({**batch(peer, number), "proposed_messages": [peer.event(b"%d" % number)]})
        left = set(numbers)
        with trio.move_on_after(8), suppress(trio.EndOfChannel):
            while left:
                reply = await call.receive()
                number = int(reply["correlation_id"]["string"][-12:])
                left.remove(number)
                if "success" in reply:
                    self.acknowledged.add(number)
                self.told[reply["error"]["message"] if "error" in reply else "success"] += 1
        self.told["ended" if call.outcome else "silent"] += bool(left)
        call.cancel()


async def harm(cluster: EmbeddedCluster, random: Random) -> None:
    """Do something to one node, and make it well again."""
    node = random.choice(cluster.nodes)
    match random.choice(("kill", "terminate", "freeze", "resign", "partition")):
        case "partition":
            cluster.partition(node)
            await trio.sleep(random.uniform(0, 8))
            cluster.heal()
        case "freeze":
            node.freeze()
            await trio.sleep(random.uniform(0, 8))
            node.wake()
        case "resign":
            if node is cluster.leader:
                node.resign()
        case ending:
            node.kill() if ending == "kill" else node.terminate()
            await node.stopped()
            await trio.sleep(random.uniform(0, 5))
            node.restart()


@pytest.mark.parametrize("seed", range(3))
async def test_acknowledged_batches_are_there_whatever_happens_to_nodes(seed: int) -> None:
    random = Random(seed)
    async with EmbeddedCluster(random=Random(seed)) as cluster:
        batches = Batches(cluster, random)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(batches.write)
            for _ in range(5):
                await trio.sleep(random.uniform(0, 4))
                with suppress(RuntimeError):  # a woken leader may have ended by itself
                    await harm(cluster, random)
                for node in cluster.nodes:
                    if not node.is_running:
                        node.restart()
            nursery.cancel_scope.cancel()
        await cluster.settled(within=LONG)
        assert cluster.leader is not None
        async with connection(cluster, cluster.leader) as peer:
            messages, outcome = await peer.read("s").rest()
        assert outcome.ok
        there = Counter(int(str(message["event"]["event"]["data"])) for message in messages)
        assert batches.acknowledged <= there.keys()
        assert set(there.values()) == {1}
        assert batches.told["success"] > 100, batches.told
