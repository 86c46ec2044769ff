"""What the nodes of an embedded cluster share: the mesh, the clock, chance, and the task that waits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from uuid import UUID

import trio

from trio_esdb._nursery import BackgroundTasks
from trio_esdb.embedded._clock import FIRST_DAY, Ticks, clock_from, clock_is_mock, wall_clock
from trio_esdb.embedded._cluster._mesh import Mesh
from trio_esdb.embedded._cluster._mesh import Network as Paths
from trio_esdb.embedded._cluster._peer import Peer
from trio_esdb.embedded._cluster._presence import Shape
from trio_esdb.embedded._cluster._schedule import Schedule
from trio_esdb.embedded._cluster._subscriber import Disk
from trio_esdb.embedded._services import first_accounts
from trio_esdb.embedded._services._membership import State
from trio_esdb.embedded._store._replica import Replica

_SETTLED = (State.Leader, State.Follower, State.ReadOnlyReplica)


class Machinery:
    """What the nodes of a cluster share.

    Args:
        voters: The numbers of the nodes that vote.
        names: For each node the host under which the network knows it.
        paths: What passes between hosts.
        random: The source of all chance.
        users: As for ``EmbeddedNode``.
    """

    def __init__(
        self,
        voters: Sequence[int],
        names: dict[int, str],
        paths: Paths,
        random: Random,
        users: bool | Mapping[str, str],
    ) -> None:
        self.random = Random(random.getrandbits(64))
        self.accounts = first_accounts(users)
        """The users of a fresh cluster."""
        self.shape = Shape(tuple(voters), {}, names)
        self.schedule = Schedule(trio.current_time)
        self.mesh = Mesh(self.schedule, paths, Random(random.getrandbits(64)))
        self.nursery: BackgroundTasks | None = None
        """Where the processes of the nodes run; None before and after the cluster runs."""
        self.restarts = False
        """Whether a node whose process ends by itself is started again."""
        self.ticks: Ticks = wall_clock
        self._ids = Random(random.getrandbits(64))
        self._earlier = trio.Event()
        self._moved = trio.Event()
        self.schedule.on_earlier = lambda: self._earlier.set()

    def new_id(self) -> int:
        """A new random id."""
        return UUID(int=self._ids.getrandbits(128), version=4).int

    def new_disk(self) -> Disk:
        """The data of a node that has none yet."""
        return Disk(Replica(self.new_id))

    def begin(self) -> None:
        """Start the clock: under a mock clock time begins as it does for a single node."""
        self.ticks = clock_from(FIRST_DAY) if clock_is_mock() else wall_clock

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Let happen what is due, until cancelled."""
        while True:
            self._earlier = trio.Event()
            self.schedule.run_due()
            self.moved()
            due = self.schedule.next_due
            if self.schedule.is_due:
                await trio.lowlevel.checkpoint()
            elif due == math.inf:
                await self._earlier.wait()
            else:
                with trio.move_on_at(due):
                    await self._earlier.wait()

    def are_settled(self, peers: Sequence[Peer]) -> bool:
        """Whether one of these leads, and the others follow, have the same data and see each other so."""
        voters = [peer for peer in peers if not peer.is_read_only]
        return (
            len(voters) >= self.shape.quorum
            and sum(peer.is_leading for peer in peers) == 1
            and all(peer.state in _SETTLED for peer in peers)
            and len({(peer.epoch, peer.log_end, peer.confirmed_end) for peer in peers}) == 1
            and all(_sees_right(peer, peers) for peer in peers)
        )

    def moved(self) -> None:
        """Something has changed: wake who waits for it."""
        moved, self._moved = self._moved, trio.Event()
        moved.set()

    async def wait_moved(self) -> None:
        """Wait until something has changed."""
        await self._moved.wait()


def _sees_right(viewer: Peer, peers: Sequence[Peer]) -> bool:
    states = {peer.number: peer.state for peer in peers}
    seen = viewer.sees()
    right = all(seen.get(number) == (state, True) for number, state in states.items())
    return right and not any(alive for number, (_, alive) in seen.items() if number not in states)
