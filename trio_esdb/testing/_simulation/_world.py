"""What a simulated test is given: the cluster, the network, clients, chance, and the two phases of its time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

import trio

from trio_esdb import ESDBClient
from trio_esdb._errors import InvalidArgumentError
from trio_esdb.testing._cluster import EmbeddedCluster
from trio_esdb.testing._network import MemoryNetwork

from ._faults import Fault
from ._stage import Stage
from ._trace import Trace, TracedHost
from ._tree import task_tree

_HEALING = 120.0
"""Seconds in which a cluster must be whole when all faults have ended; it takes some ten."""


class World:
    """A simulated cluster, its network, and what else a program's test needs to be the same in each run.

    A test function of ``simulate`` is given one. The faults of its schedule come while the function runs. They end when
    it awaits ``healed``, or after the duration: then all that is broken is mended.

    The world begins when its cluster is whole for the first time. ``now`` is the time since then, which is also the
    time of faults and of the trace.
    """

    def __init__(self, seed: int, stage: Stage, schedule: Sequence[Fault], duration: float, settle: float) -> None:
        self.seed = seed
        """The seed."""
        self.schedule = tuple(schedule)
        """The faults, in the order in which they were drawn or given."""
        self.random = Random(f"{seed}/program")
        """Chance for the program under test."""
        self.ids: Iterator[UUID] = _ids(Random(f"{seed}/ids"))
        """Ids for the program under test; ``new_id`` gives the next of them."""
        self.trace = Trace()
        """What clients sent and received, connections, and faults."""
        self._begin = self.trace._begin = trio.current_time()
        self._stage = stage
        self._duration = duration
        self._settle = settle
        self._clients = count(1)
        self._begun = 0
        self._phase = trio.CancelScope(deadline=trio.current_time() + duration)
        self._faults: trio.Nursery | None = None
        self._whole = trio.Event()
        self._bound = trio.CancelScope()
        self._hangs: str | None = None

    def __repr__(self) -> str:
        return f"<trio_esdb.testing.World: seed {self.seed}, {len(self.schedule)} faults>"

    @property
    def now(self) -> float:
        """Seconds of simulated time since the world began."""
        return trio.current_time() - self._begin

    @property
    def cluster(self) -> EmbeddedCluster:
        """The cluster: its ``nodes``, its ``leader``, its ``uri``."""
        return self._stage.cluster

    @property
    def network(self) -> MemoryNetwork:
        """The network that clients and nodes are on."""
        return self._stage.network

    def new_id(self) -> UUID:
        """An id that is the same in each run with this seed."""
        return next(self.ids)

    def client(self, **options: Any) -> ESDBClient:
        """A client of the cluster, on a host of its own: ``async with world.client() as client``.

        Args:
            options: Arguments of ``ESDBClient``, besides ``connect`` and ``random``. ``uri`` is by default that of the
                cluster, ``root_certificates`` those of its TLS.

        Raises:
            InvalidArgumentError: An argument cannot be used.
        """
        for name in ("connect", "random"):
            if name in options:
                raise InvalidArgumentError(f"{name}= of a client of a simulation is the simulation's to choose")
        number = next(self._clients)
        uri = options.pop("uri", self.cluster.uri)
        if self.cluster.root_certificates:
            options.setdefault("root_certificates", self.cluster.root_certificates)
        options.setdefault("plain_text_credentials", "@" in uri and "tls=false" in uri)
        host = TracedHost(f"client-{number}", self.network, self.trace)
        random = Random(f"{self.seed}/client/{number}")
        return ESDBClient(uri, connect=host.connect, random=random, **options)

    def at(self, time: float, fault: Fault) -> None:
        """Let a fault happen that is not of the schedule.

        Args:
            time: When, in seconds since the world began.
            fault: The fault; its own ``at`` is ignored.

        Raises:
            InvalidArgumentError: The time is over, or the fault cannot be.
        """
        if not isinstance(fault, Fault):
            raise InvalidArgumentError(f"at takes a time and a fault such as Kill(node=1), not {fault!r}")
        if isinstance(time, bool) or not isinstance(time, int | float) or not self.now <= time < math.inf:
            raise InvalidArgumentError(f"a fault can happen from {self.now:g} seconds on, not at {time!r}")
        check_nodes(fault, len(self.cluster.nodes))
        if self._faults is None or self._phase.cancel_called:
            raise InvalidArgumentError("there are no faults any more: everything is being healed")
        self._faults.start_soon(self._carry_out, fault, time)

    @trio.lowlevel.enable_ki_protection
    async def healed(self) -> None:
        """End the faults, mend all that is broken, and wait until the cluster is whole again.

        What the test does from then on has to end within the ``settle`` seconds of the simulation.
        """
        self._phase.cancel()
        await self._whole.wait()

    # -- the phases --------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Let the faults of the schedule happen, then heal everything."""
        with self._phase:
            async with trio.open_nursery() as self._faults:
                for fault in self.schedule:
                    self._faults.start_soon(self._carry_out, fault, fault.at)
                task_status.started()
                await trio.sleep_forever()
        self.trace._add("", "-", "healing")
        with trio.move_on_after(_HEALING) as healing:
            await self._stage.heal()
        if healing.cancelled_caught:
            self._give_up(f"{_HEALING:g} seconds later the cluster has not become whole")
            return
        self.trace._add("", "-", "healed")
        self._whole.set()
        await trio.sleep(self._settle)
        self._give_up(f"{self._settle:g} seconds later the test has not ended")

    def _give_up(self, reason: str) -> None:
        """End the test, which has not ended in its time."""
        self._hangs = f"hangs after healing: {reason}; the tasks are\n{task_tree()}"
        self._bound.cancel()

    @trio.lowlevel.enable_ki_protection
    async def _carry_out(self, fault: Fault, time: float) -> None:
        await trio.sleep_until(self._begin + time)
        self._begun += 1
        self.trace._add("", "-", repr(fault))
        fault._begin(self._stage)
        if 0 < fault._duration < math.inf:
            await trio.sleep_until(self._begin + time + fault._duration)
            self.trace._add("", "-", f"end of {fault!r}")
            await fault._end(self._stage)


def check_nodes(fault: Fault, nodes: int) -> None:
    """Raise InvalidArgumentError if a fault names a node that there is not."""
    for number in fault._nodes:
        if number > nodes:
            there = "there is 1" if nodes == 1 else f"there are {nodes}"
            raise InvalidArgumentError(f"{fault!r} names node {number}, and {there}")


def _ids(random: Random) -> Iterator[UUID]:
    while True:
        yield UUID(int=random.getrandbits(128), version=4)
