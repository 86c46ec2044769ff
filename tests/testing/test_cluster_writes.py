"""Writes to the nodes of a cluster: replicated, forwarded, timed out, applied later, or cut off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

import pytest
import trio
import trio.testing

from tests.support import http2
from tests.support.links import headers
from tests.support.peer import STREAMS
from trio_esdb._transport._handlers import Failure
from trio_esdb.embedded._store import (
    ANY,
    NO_STREAM,
    Append,
    Proposal,
    StreamDeleted,
    Tombstone,
    Written,
    WrongExpectation,
)
from trio_esdb.testing import ClusterNode, EmbeddedCluster

Outcome = Written | WrongExpectation


def event(id: int) -> Proposal:
    return Proposal(id, "t", b"{}", b"", True)


async def append(node: ClusterNode, id: int, expected: int = ANY, stream: str = "s") -> Outcome:
    """Append at a node without asking for the leader."""
    assert node._process is not None
    return await node._process._node._writes.run(Append(stream, expected, [event(id)]))


def ids(node: ClusterNode, stream: str = "s") -> list[int]:
    """What readers of this node see."""
    return [record.id for record in node._disk.replica.confirmed.read_stream(stream, 0, 100_000, 0).records]


def leader_of(cluster: EmbeddedCluster) -> ClusterNode:
    assert cluster.leader is not None
    return cluster.leader


async def failure_of(call: Callable[[], Awaitable[Outcome]]) -> tuple[str, float]:
    """What a write fails with, and after how many seconds."""
    began = trio.current_time()
    with pytest.raises(Failure) as caught:
        await call()
    return caught.value.message, trio.current_time() - began


async def test_a_write_is_answered_when_a_quorum_has_it_and_is_soon_seen_everywhere() -> None:
    async with EmbeddedCluster(read_only_replicas=1) as cluster:
        began = trio.current_time()
        written = await append(leader_of(cluster), 1)
        assert isinstance(written, Written)
        assert 0.0005 < trio.current_time() - began < 0.01
        await trio.sleep(0.01)
        assert [ids(node) for node in cluster.nodes] == [[1]] * 4


async def test_followers_forward_writes_and_what_comes_back() -> None:
    async with EmbeddedCluster() as cluster:
        follower = cluster.followers[0]
        began = trio.current_time()
        assert isinstance(await append(follower, 1), Written)
        assert 0.001 < trio.current_time() - began < 0.02
        assert isinstance(await append(follower, 2, expected=7), WrongExpectation)
        assert follower._process is not None
        writes = follower._process._node._writes
        await writes.run(Tombstone("s", ANY))
        with pytest.raises(StreamDeleted):
            await append(follower, 3)


async def test_many_writes_at_the_same_time_keep_their_order() -> None:
    async with EmbeddedCluster() as cluster:
        leader = leader_of(cluster)
        async with trio.open_nursery() as nursery:
            for id in range(1, 301):
                nursery.start_soon(append, leader, id)
        assert sorted(ids(leader)) == list(range(1, 301))
        await trio.sleep(0.05)
        assert ids(cluster.followers[0]) == ids(leader)


async def test_an_append_of_very_many_events_arrives_as_a_whole() -> None:
    async with EmbeddedCluster() as cluster:
        leader = leader_of(cluster)
        assert leader._process is not None
        events = [event(id) for id in range(1, 25_001)]
        await leader._process._node._writes.run(Append("s", ANY, events))
        await trio.sleep(0.5)
        for node in cluster.nodes:
            assert len(ids(node)) == 25_000


async def test_a_wiped_node_gets_a_large_log() -> None:
    async with EmbeddedCluster() as cluster:
        leader, follower = leader_of(cluster), cluster.followers[0]
        follower.kill()
        follower.wipe()
        assert leader._process is not None
        for id in range(1, 6):
            await leader._process._node._writes.run(Append("s", ANY, [event(id * 2000 + each) for each in range(2000)]))
        follower.restart()
        await cluster.settled()
        assert ids(follower) == ids(leader)


async def test_without_a_quorum_writes_time_out_and_are_applied_when_it_returns() -> None:
    async with EmbeddedCluster() as cluster:
        leader, followers = leader_of(cluster), cluster.followers
        for node in followers:
            node.kill()
        said: list[tuple[str, float]] = []

        async def try_to_append(id: int) -> None:
            said.append(await failure_of(lambda: append(leader, id)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(try_to_append, 1)
            await trio.sleep(2)
            nursery.start_soon(try_to_append, 2)
        first, second = said
        assert first[0] == "Operation timed out: Commit phase timeout."
        assert 2.086 <= first[1] <= 2.519
        assert second[0] == "Operation timed out: Request canceled by server"
        assert 1.0 <= second[1] <= 1.5
        assert (await failure_of(lambda: append(leader, 3)))[0] == "Server Is Not Ready"
        assert ids(leader) == []
        for node in followers:
            node.restart()
        await cluster.settled()
        assert [ids(node) for node in cluster.nodes] == [[1, 2]] * 3


async def test_writes_of_a_deposed_leader_are_cancelled_and_cut_off() -> None:
    async with EmbeddedCluster() as cluster:
        old = leader_of(cluster)
        async with trio.open_nursery() as nursery:
            cluster.partition(old)
            nursery.start_soon(failure_of, lambda: append(old, 1))
            await trio.sleep(8)
            new = leader_of(cluster)
            assert isinstance(await append(new, 2), Written)
            cluster.heal()
        await old.stopped()
        old.restart()
        await cluster.settled()
        assert [ids(node) for node in cluster.nodes] == [[2]] * 3


async def test_a_process_has_stopped_although_the_next_one_is_started_at_once() -> None:
    async with EmbeddedCluster(restarts=True) as cluster:
        old = leader_of(cluster)
        async with trio.open_nursery() as nursery:
            cluster.partition(old)
            nursery.start_soon(failure_of, lambda: append(old, 1))
            await trio.sleep(8)
            cluster.heal()
        while not old.is_ending:
            await trio.sleep(0.01)
        with trio.fail_after(5):
            await old.stopped()
        assert (old.state, old.is_ending) == ("Initializing", False)
        await cluster.settled()


async def test_a_process_that_was_killed_has_stopped_although_another_one_runs() -> None:
    async with EmbeddedCluster() as cluster, trio.open_nursery() as nursery:
        node = leader_of(cluster)
        nursery.start_soon(node.stopped)
        await trio.testing.wait_all_tasks_blocked()
        node.kill()
        node.restart()
        with trio.fail_after(1):
            await trio.testing.wait_all_tasks_blocked()
            assert not nursery.child_tasks


async def test_forwarding_to_a_leader_that_is_gone_times_out() -> None:
    async with EmbeddedCluster() as cluster:
        follower = cluster.followers[0]
        leader_of(cluster).kill()
        said, after = await failure_of(lambda: append(follower, 1))
        assert said == "Operation timed out: Forwarding timeout"
        assert 4.34 <= after <= 5.25
        await cluster.settled()
        assert ids(follower) == []


async def test_what_the_leader_says_of_a_forwarded_write_comes_back() -> None:
    async with EmbeddedCluster(5) as cluster:
        follower, *others = cluster.followers
        for node in others:
            node.kill()
        said, after = await failure_of(lambda: append(follower, 1))
        assert said == "Operation timed out: Commit phase timeout."
        assert 2.08 < after < 2.53


async def test_a_terminated_leader_leads_on_while_it_serves_open_calls() -> None:
    async with EmbeddedCluster() as cluster:
        leader, follower = leader_of(cluster), cluster.followers[0]
        stream = await cluster.network.connect(leader.host, leader.port)
        call = http2.without_table().encode(list(headers(STREAMS + "Append")))  # an append that is half sent
        await stream.send_all(http2.PREFACE + http2.settings() + http2.frame(http2.HEADERS, http2.END_HEADERS, 1, call))
        await trio.sleep(1)
        began = trio.current_time()
        leader.terminate()
        await trio.sleep(0.02)
        with pytest.raises(ConnectionRefusedError):
            await cluster.network.connect(leader.host, leader.port)
        await trio.sleep(4.9)
        assert leader.state == "Leader"
        seen = {member.address: member for member in follower.members()}[leader.host]
        assert (seen.state, seen.is_alive) == ("Leader", True)
        assert isinstance(await append(follower, 1), Written)
        await leader.stopped()
        assert 5.4 <= trio.current_time() - began <= 5.5
        assert leader.state is None
        await cluster.settled()
        assert isinstance(await append(follower, 2), Written)


async def test_a_terminated_leader_without_calls_is_gone_at_once() -> None:
    async with EmbeddedCluster() as cluster:
        leader, follower = leader_of(cluster), cluster.followers[0]
        began = trio.current_time()
        leader.terminate()
        await leader.stopped()
        while next(member for member in follower.members() if member.address == leader.host).is_alive:
            await trio.sleep(0.001)
        assert 0.12 < trio.current_time() - began < 0.22


async def test_ids_are_remembered_by_the_process_that_leads_and_by_what_is_stored() -> None:
    """With a number or NO_STREAM a repeated write is known by what is stored; with ANY by the process alone."""
    async with EmbeddedCluster() as cluster:
        leader = leader_of(cluster)
        first = await append(leader, 1, expected=NO_STREAM)
        again = await append(leader, 1, expected=ANY)
        assert again == first
        leader.kill()
        await trio.sleep(5)
        new = leader_of(cluster)
        assert await append(new, 1, expected=NO_STREAM) == first
        await append(new, 1, expected=ANY)
        assert ids(new) == [1, 1]


async def test_users_are_written_by_a_later_leader_if_the_first_one_could_not() -> None:
    async with EmbeddedCluster(tls=True, users=True, started="begun", random=Random(4)) as cluster:
        while cluster.leader is None:
            await trio.sleep(0.001)
        first = leader_of(cluster)
        first.kill()
        await trio.sleep(5)
        assert leader_of(cluster) is not first
        for name in ("admin", "ops"):
            assert len(ids(leader_of(cluster), f"$user-{name}")) == 1
        first.restart()
        await cluster.settled()
        assert len(ids(first, "$users")) == 2
