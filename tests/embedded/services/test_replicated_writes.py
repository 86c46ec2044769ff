"""The writes of a node in a cluster: they wait until they are confirmed, and say what is known if they are not."""

from __future__ import annotations

from random import Random

import pytest
import trio

from tests.support.stores import NOW, events, many, visible
from trio_esdb._transport._handlers import Failure
from trio_esdb._wire import Status
from trio_esdb.embedded._services._feed import Feed
from trio_esdb.embedded._services._membership import Membership, State
from trio_esdb.embedded._services._replicated_writes import ReplicatedWrites
from trio_esdb.embedded._store import ANY, NO_STREAM, Append, StreamDeleted, Tombstone, Write, Written, WrongExpectation
from trio_esdb.embedded._store._replica import Replica


class Cluster(Membership):
    """A membership that a test can change."""

    def __init__(self) -> None:
        super().__init__(1, ("node1.example", 2113), lambda: NOW)
        self.answer: Written | WrongExpectation | Exception | None = None
        self.forwarded: list[Write] = []

    async def forward(self, write: Write) -> Written | WrongExpectation:
        self.forwarded.append(write)
        if self.answer is None:
            await trio.sleep_forever()
        if isinstance(self.answer, Exception):
            raise self.answer
        assert self.answer is not None
        return self.answer


class Node:
    def __init__(self) -> None:
        self.replica = Replica()
        self.replica.begin_epoch(1, NOW)
        self.cluster = Cluster()
        feed = Feed(self.replica.confirmed)
        self.writes = ReplicatedWrites(self.replica, feed, lambda: NOW, self.cluster, Random(1))
        self.outcomes: list[object] = []
        self.ended_at: list[float] = []

    async def run(self, write: Write) -> None:
        """Make a write and keep what comes of it."""
        try:
            self.outcomes.append(await self.writes.run(write))
        except (Failure, StreamDeleted) as exc:
            self.outcomes.append(exc)
        self.ended_at.append(trio.current_time())

    @property
    def failures(self) -> list[tuple[Status, str]]:
        return [(found.status, found.message) for found in self.outcomes if isinstance(found, Failure)]


@pytest.fixture
def node() -> Node:
    return Node()


async def test_a_writer_is_told_when_the_commit_point_has_passed(node: Node, nursery: trio.Nursery) -> None:
    nursery.start_soon(node.run, Append("s", NO_STREAM, events(0)))
    await trio.testing.wait_all_tasks_blocked()
    end = node.replica.end
    nursery.start_soon(node.run, Append("s", 0, events(1)))
    await trio.testing.wait_all_tasks_blocked()
    assert node.outcomes == []
    node.replica.confirm(end)
    await trio.testing.wait_all_tasks_blocked()
    assert [outcome.number for outcome in node.outcomes if isinstance(outcome, Written)] == [0]
    node.replica.confirm(node.replica.end)
    await trio.testing.wait_all_tasks_blocked()
    assert [outcome.number for outcome in node.outcomes if isinstance(outcome, Written)] == [0, 1]


async def test_a_refused_write_does_not_wait(node: Node) -> None:
    with trio.move_on_after(0):
        await node.writes.run(Append("s", NO_STREAM, events(0, 1)))
    await node.run(Append("s", 0, events(2)))
    assert node.outcomes == [WrongExpectation(0, 1)]


@pytest.mark.parametrize("name", ["s", "$$s"])
async def test_a_repeat_waits_for_the_first_write_and_another_one_is_refused_at_once(
    node: Node, nursery: trio.Nursery, name: str
) -> None:
    """Even while readers do not see the event that the refusal counts."""
    for _ in range(2):
        nursery.start_soon(node.run, Append(name, NO_STREAM, events(0)))
    await trio.testing.wait_all_tasks_blocked()
    await node.run(Append(name, NO_STREAM, events(1)))
    assert node.outcomes == [WrongExpectation(NO_STREAM, 0)]
    assert visible(node.replica.confirmed, name) == []
    node.replica.confirm(node.replica.end)
    await trio.testing.wait_all_tasks_blocked()
    assert visible(node.replica.confirmed, name) == [0]
    first, repeat = node.outcomes[1:]
    assert isinstance(first, Written)
    assert first == repeat


@pytest.mark.parametrize("name", ["s", "$$s"])
async def test_a_write_that_was_refused_is_accepted_when_the_one_before_it_is_cut_off(
    node: Node, nursery: trio.Nursery, name: str
) -> None:
    start = node.replica.end
    nursery.start_soon(node.run, Append(name, NO_STREAM, events(0)))
    await trio.testing.wait_all_tasks_blocked()
    await node.run(Append(name, NO_STREAM, events(1)))
    assert node.outcomes == [WrongExpectation(NO_STREAM, 0)]
    node.writes.cancel_all()
    node.replica.cut(start)
    nursery.start_soon(node.run, Append(name, NO_STREAM, events(1)))
    await trio.testing.wait_all_tasks_blocked()
    node.replica.confirm(node.replica.end)
    await trio.testing.wait_all_tasks_blocked()
    assert [outcome.number for outcome in node.outcomes if isinstance(outcome, Written)] == [0]
    (record,) = node.replica.confirmed.read_stream(name, 0, 10, NOW).records
    assert record.id == events(1)[0].id


async def test_a_write_that_is_not_confirmed_times_out_and_stays(
    node: Node, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()
    await node.run(Append("s", NO_STREAM, events(0)))
    assert node.failures == [(Status.ABORTED, "Operation timed out: Commit phase timeout.")]
    assert 2.086 <= node.ended_at[0] - start <= 2.519
    assert visible(node.replica.confirmed, "s") == []
    node.replica.confirm(node.replica.end)
    assert visible(node.replica.confirmed, "s") == [0]


async def test_a_write_goes_on_when_its_caller_is_cancelled(node: Node) -> None:
    with trio.move_on_after(0) as scope:
        await node.writes.run(Append("s", NO_STREAM, events(0)))
    assert scope.cancelled_caught
    node.replica.confirm(node.replica.end)
    assert visible(node.replica.confirmed, "s") == [0]


async def test_writers_hear_when_the_node_leads_no_more(node: Node, nursery: trio.Nursery) -> None:
    nursery.start_soon(node.run, Append("s", NO_STREAM, events(0)))
    nursery.start_soon(node.run, Append("large", NO_STREAM, many(5000, 10)))
    await trio.testing.wait_all_tasks_blocked()
    node.cluster.state = State.Unknown
    node.writes.cancel_all()
    await trio.testing.wait_all_tasks_blocked()
    assert node.failures == [(Status.ABORTED, "Operation timed out: Request canceled by server")] * 2
    node.replica.confirm(node.replica.end)
    assert visible(node.replica.confirmed, "s") == [0]


async def test_a_large_append_ends_when_the_node_leads_no_more(node: Node, nursery: trio.Nursery) -> None:
    """Writes that come while it is written in turns wait for its end."""
    nursery.start_soon(node.run, Append("large", NO_STREAM, many(5000, 10)))
    await trio.lowlevel.checkpoint()
    nursery.start_soon(node.run, Append("s", NO_STREAM, events(0)))
    nursery.start_soon(node.run, Tombstone("t", ANY))
    await trio.lowlevel.checkpoint()
    await trio.lowlevel.checkpoint()
    node.cluster.state = State.Unknown
    node.writes.cancel_all()
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(node.failures, key=str) == [
        (Status.ABORTED, "Operation timed out: Request canceled by server"),
        (Status.UNAVAILABLE, "Server Is Not Ready"),
        (Status.UNAVAILABLE, "Server Is Not Ready"),
    ]
    assert node.replica.entries_after(733) == []


@pytest.mark.parametrize("state", [State.Unknown, State.PreLeader, State.ResigningLeader, State.DiscoverLeader])
async def test_a_node_without_a_leader_is_not_ready(node: Node, state: State) -> None:
    node.cluster.state = state
    await node.run(Append("s", NO_STREAM, events(0)))
    assert node.failures == [(Status.UNAVAILABLE, "Server Is Not Ready")]
    assert node.cluster.forwarded == []


@pytest.mark.parametrize("answer", [Written(3, 800), WrongExpectation(ANY, 4), StreamDeleted("s")])
async def test_other_nodes_forward(node: Node, answer: Written | WrongExpectation | StreamDeleted) -> None:
    node.cluster.state, node.cluster.answer = State.Follower, answer
    write = Append("s", ANY, events(0))
    await node.run(write)
    assert node.outcomes == [answer]
    assert node.cluster.forwarded == [write]
    assert node.replica.end == 733


async def test_forwarding_ends_without_an_answer(node: Node, autojump_clock: trio.testing.MockClock) -> None:
    node.cluster.state = State.Follower
    start = trio.current_time()
    await node.run(Append("s", ANY, events(0)))
    assert node.failures == [(Status.ABORTED, "Operation timed out: Forwarding timeout")]
    assert 4.34 <= node.ended_at[0] - start <= 5.25
