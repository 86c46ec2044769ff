"""A node of a cluster whose other nodes are not there: what it knows of them is what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from random import Random

from trio_esdb.embedded._listening import ListeningNode
from trio_esdb.embedded._services import Feed, Membership, NodeContext, State, Users, first_accounts
from trio_esdb.embedded._services._replicated_writes import ReplicatedWrites
from trio_esdb.embedded._store import Write, Written, WrongExpectation
from trio_esdb.embedded._store._replica import Replica

LEADER = ("127.0.0.1", 2303)
HERE = ("127.0.0.1", 2301)
LEADERLESS = (State.Unknown, State.DiscoverLeader, State.ReadOnlyLeaderless)


class Cluster(Membership):
    """The membership of the node. A write that it forwards is in its own log at once, and confirmed."""

    is_single = False

    def __init__(self, replica: Replica) -> None:
        super().__init__(7, HERE, lambda: 0)
        self.state = State.Leader
        self.replica = replica
        self.confirms = True
        """Whether what this node writes as the leader is confirmed at once, or not at all."""
        self.forwarded: list[Write] = []
        self.asked: list[object] = []
        """What operators asked for."""
        replica.on_written = self._confirm

    @property
    def leader(self) -> tuple[str, int] | None:
        return None if self.state in LEADERLESS else HERE if self.state is State.Leader else LEADER

    async def forward(self, write: Write) -> Written | WrongExpectation:
        self.forwarded.append(write)
        outcome, end = self.replica.write(write, 0)
        self.replica.confirm(end)
        return outcome

    def resign(self) -> None:
        self.asked.append("resign")

    def set_priority(self, value: int) -> None:
        self.asked.append(value)

    def _confirm(self) -> None:
        if self.confirms:
            self.replica.confirm(self.replica.end)


@asynccontextmanager
async def member(*, users: bool = False, written: bool = True) -> AsyncIterator[tuple[ListeningNode, Cluster]]:
    """A node that leads, until the test says otherwise. Its users are written already, or not yet."""
    replica = Replica()
    replica.begin_epoch(1, 0)
    cluster = Cluster(replica)
    ids = count(1000)
    context = NodeContext(
        store=replica.confirmed,
        feed=Feed(replica.confirmed),
        now=lambda: 0,
        new_id=lambda: next(ids),
        membership=cluster,
        users=Users(replica.confirmed, lambda: 0, lambda: next(ids)) if users else None,
    )
    context.writes = ReplicatedWrites(replica, context.feed, context.now, cluster, Random(1))
    if context.users is not None and written:
        await context.writes.take_steps(context.users.write_first(first_accounts(True)))
    async with ListeningNode(context) as node:
        yield node, cluster
