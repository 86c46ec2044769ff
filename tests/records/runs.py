"""The situations, done to an embedded cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

import trio

from trio_esdb.testing import ClusterNode, EmbeddedCluster

from .recorder import STREAMS, Recorder, append_request, recording, subscribe_request
from .timelines import Timeline

BEFORE = 2.05
"""Seconds of recording before the action."""
WOKEN = 8.017
"""Seconds after which the recorded leader was woken again."""


async def kill(cluster: EmbeddedCluster, leader: ClusterNode) -> None:
    leader.kill()
    await trio.sleep(15)


async def terminate(cluster: EmbeddedCluster, leader: ClusterNode) -> None:
    leader.terminate()
    await trio.sleep(15)


async def freeze(cluster: EmbeddedCluster, leader: ClusterNode) -> None:
    leader.freeze()
    await trio.sleep(WOKEN)
    leader.wake()
    await trio.sleep(17)


async def resign(cluster: EmbeddedCluster, leader: ClusterNode) -> None:
    leader.resign()
    await trio.sleep(12)


async def resign_with_priority(cluster: EmbeddedCluster, leader: ClusterNode) -> None:
    leader.set_priority(-5)
    leader.resign()
    await trio.sleep(12)


async def lose_quorum(cluster: EmbeddedCluster, leader: ClusterNode) -> None:
    for node in cluster.followers:
        node.kill()
    await trio.sleep(15)


ACTIONS: dict[str, Callable[[EmbeddedCluster, ClusterNode], Awaitable[None]]] = {
    "kill": kill,
    "terminate": terminate,
    "freeze and wake": freeze,
    "resign": resign,
    "resign with another priority": resign_with_priority,
    "quorum lost": lose_quorum,
}


async def terminate_quietly(seed: int) -> Timeline:
    """Terminate the leader while no call is open on it."""
    async with EmbeddedCluster(3, random=Random(seed)) as cluster:
        old = cluster.leader
        assert old is not None
        async with recording(cluster) as recorder:
            for node in cluster.followers:
                recorder.append(node, ", requires-leader", f"to-{node.number}", leader_wanted=True)
            await trio.sleep(BEFORE)
            recorder.begin()
            old.terminate()
            await trio.sleep(6)
            parts, fate = _parts(cluster, old)
            return await recorder.timeline(parts, fate)


async def start(seed: int, *, tls: bool) -> Timeline:
    """Start three nodes at once."""
    async with EmbeddedCluster(3, random=Random(seed), started="begun", tls=tls) as cluster:
        async with recording(cluster) as recorder:
            await trio.sleep(13)
            leader = cluster.leader
            assert leader is not None
            a, b = (node for node in cluster.nodes if node is not leader)
            return await recorder.timeline({"leader": leader, "a": a, "b": b})


async def join(seed: int) -> Timeline:
    """Start a read-only replica while the others run."""
    async with EmbeddedCluster(3, read_only_replicas=1, random=Random(seed)) as cluster:
        leader = cluster.leader
        replica = cluster.nodes[3]
        assert leader is not None
        replica.kill()
        await trio.sleep(5)
        async with recording(cluster) as recorder:
            await trio.sleep(0.5)
            recorder.begin()
            replica.restart()
            await trio.sleep(10)
            a, b = cluster.followers
            return await recorder.timeline({"leader": leader, "a": a, "b": b, "replica": replica})


async def rejoin(seed: int) -> Timeline:
    """Start the killed leader again, after another one was elected."""
    async with EmbeddedCluster(3, random=Random(seed)) as cluster:
        returning = cluster.leader
        assert returning is not None
        returning.kill()
        await trio.sleep(10)
        leader = cluster.leader
        assert leader is not None
        (other,) = (node for node in cluster.nodes if node not in (returning, leader))
        async with recording(cluster) as recorder:
            await trio.sleep(0.5)
            recorder.begin()
            returning.restart()
            await trio.sleep(6)
            return await recorder.timeline({"leader": leader, "other": other, "returning": returning})


async def lose_and_regain_quorum(seed: int) -> Timeline:
    """Kill both followers while appends are sent, and start them again. Times count from the start."""
    async with EmbeddedCluster(3, random=Random(seed)) as cluster:
        old = cluster.leader
        assert old is not None
        followers = cluster.followers
        async with recording(cluster) as recorder:
            async with trio.open_nursery() as appending:
                appending.start_soon(recorder.append_until_cancelled, old, "to-old")
                await trio.sleep(BEFORE)
                for node in followers:
                    node.kill()
                await trio.sleep(12)
                appending.cancel_scope.cancel()
            recorder.begin()
            for node in followers:
                node.restart()
            await trio.sleep(12)
            a, b = followers
            return await recorder.timeline({"old": old, "a": a, "b": b}, "old")


OTHERS: dict[str, Callable[[int], Awaitable[Timeline]]] = {
    "terminate, no call open": terminate_quietly,
    "quorum returns": lose_and_regain_quorum,
    "rejoin, 1": rejoin,
    "startup": partial(start, tls=False),
    "startup with TLS": partial(start, tls=True),
    "read-only replica joins": join,
}


async def run(name: str, seed: int) -> tuple[str, Timeline]:
    """Do something to the leader while appends are sent; the situation that this turns out to be, and what was seen."""
    async with EmbeddedCluster(3, random=Random(seed)) as cluster:
        old = cluster.leader
        assert old is not None
        via = cluster.followers[0]
        async with recording(cluster) as recorder:
            await _open_calls(recorder, old, via)
            recorder.append(old, "", "to-old", leader_wanted=True)
            recorder.append(via, ", forwarded", "forwarded", leader_wanted=False)
            recorder.append(via, ", requires-leader", "leader-wanted", leader_wanted=True)
            await trio.sleep(BEFORE)
            recorder.begin()
            await ACTIONS[name](cluster, old)
            parts, fate = _parts(cluster, old)
            return _situation(name, parts), await recorder.timeline(parts, fate)


def _parts(cluster: EmbeddedCluster, old: ClusterNode) -> tuple[dict[str, ClusterNode], str]:
    new = cluster.leader
    rest = [node for node in cluster.nodes if node not in (old, new)]
    if new is None or new is old:
        return {"old": old, "a": rest[0], "b": rest[1]}, "old"
    return {"old": old, "new": new, "other": rest[0]}, "new"


def _situation(name: str, parts: dict[str, ClusterNode]) -> str:
    """Which node wins after a resignation is chance."""
    return "resign with another priority" if name == "resign" and "new" in parts else name


async def _open_calls(recorder: Recorder, leader: ClusterNode, follower: ClusterNode) -> None:
    options, _ = append_request("half", b"")
    for node in (leader, follower):
        read = STREAMS + "Read"
        wanted = node is leader
        await recorder.open(node, "subscribe stream", read, subscribe_request("to-old"), leader_wanted=wanted)
        await recorder.open(node, "subscribe $all", read, subscribe_request(None), leader_wanted=False)
    await recorder.open(leader, "append half sent", STREAMS + "Append", options, leader_wanted=False)
