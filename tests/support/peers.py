"""A cluster of peers without nodes around them: a time that the test moves, and a network that it cuts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from random import Random

from trio_esdb.embedded._cluster._mesh import Mesh
from trio_esdb.embedded._cluster._peer import Peer
from trio_esdb.embedded._cluster._presence import Shape
from trio_esdb.embedded._cluster._schedule import Schedule
from trio_esdb.embedded._cluster._subscriber import Disk
from trio_esdb.embedded._cluster._timings import CLOSED_SEEN, RESTART, START, START_READ_ONLY, Range
from trio_esdb.embedded._services._membership import State
from trio_esdb.embedded._store import ANY, Append, Proposal
from trio_esdb.embedded._store._replica import Replica


class Cut:
    """A network of hosts, between some of which nothing passes."""

    def __init__(self) -> None:
        self.pairs: set[tuple[str, str]] = set()
        self.latency = 0.0

    def passes(self, source: str, target: str) -> bool:
        return (source, target) not in self.pairs

    def delay(self, source: str, target: str) -> float:
        return self.latency


class Peers:
    """Peers numbered from 1, the read-only replicas last."""

    def __init__(self, voters: int = 3, read_only: int = 0, seed: int = 0) -> None:
        self.now = 0.0
        self.random = Random(seed)
        self.schedule = Schedule(lambda: self.now)
        self.network = Cut()
        self.mesh = Mesh(self.schedule, self.network, self.random)
        self.numbers = tuple(range(1, voters + read_only + 1))
        names = {number: f"node{number}.example" for number in self.numbers}
        self.shape = Shape(self.numbers[:voters], {n: (name, 2113) for n, name in names.items()}, names)
        self.disks = {number: Disk(Replica(self._new_id)) for number in self.numbers}
        self.running: dict[int, Peer] = {}
        self.still: set[int] = set()
        self.history: list[tuple[float, int, State]] = []
        """When which peer came into which state."""
        self.leaders: dict[int, int] = {}
        """Who has led each epoch."""
        self.events = 0
        for number in self.numbers:
            self.start(number, START)

    # -- commands

    def start(self, number: int, delay: Range = RESTART) -> Peer:
        disk = self.disks[number]
        disk.replica = disk.replica.reopened(self._new_id)
        peer = Peer(
            number,
            self.shape,
            disk,
            self.random.getrandbits(128),
            mesh=self.mesh,
            schedule=self.schedule,
            random=self.random,
            ticks=lambda: int(self.now * 10_000_000),
        )
        peer.on_state = lambda: self._changed(peer)
        peer.on_shut_down = lambda: self.kill(number)
        self.running[number] = peer
        peer.start(START_READ_ONLY if peer.is_read_only else delay)
        return peer

    def kill(self, number: int, seen: Range = CLOSED_SEEN) -> None:
        self.still.discard(number)
        self.running.pop(number).end(seen)

    def freeze(self, number: int) -> None:
        self.still.add(number)
        self.running[number].stand_still(True)

    def wake(self, number: int) -> None:
        self.still.discard(number)
        self.running[number].stand_still(False)

    def part(self, some: Iterable[int], one_way: bool = False) -> None:
        inside = set(some)
        for a in inside:
            for b in set(self.numbers) - inside:
                self.network.pairs.add((f"node{a}.example", f"node{b}.example"))
                if not one_way:
                    self.network.pairs.add((f"node{b}.example", f"node{a}.example"))
        self.mesh.changed()

    def heal(self) -> None:
        self.network.pairs.clear()
        self.mesh.changed()

    def write(self, number: int, stream: str = "s") -> int:
        """Append an event at this node, which leads; its id."""
        self.events += 1
        event = Proposal(self.events, "t", b"{}", b"", True)
        self.disks[number].replica.write(Append(stream, ANY, [event]), int(self.now * 10_000_000))
        return self.events

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.schedule.next_due <= until:
            self.now = max(self.now, self.schedule.next_due)
            self.schedule.run_due()
        self.now = until

    # -- what there is to see

    @property
    def leading(self) -> list[int]:
        return [number for number, peer in sorted(self.running.items()) if peer.is_leading]

    def states(self) -> dict[int, str]:
        return {number: str(peer.state.name) for number, peer in sorted(self.running.items())}

    def view(self, number: int) -> dict[int, str]:
        seen = self.running[number].sees()
        return {n: f"{state.name} {'alive' if alive else 'dead'}" for n, (state, alive) in sorted(seen.items())}

    def ids(self, number: int, stream: str = "s", confirmed: bool = True) -> list[int]:
        replica = self.disks[number].replica
        store = replica.confirmed if confirmed else replica._store
        page = store.read_stream(stream, 0, 10_000, 0)
        return [record.id for record in page.records]

    def until(self, condition: Callable[[], bool], within: float = 20.0) -> float:
        """Run until this is true; the seconds that it took, infinity if it did not become true."""
        began = self.now
        while not condition():
            if self.now - began > within:
                return math.inf
            self.run(0.01)
        return self.now - began

    def shows(self, viewer: int, number: int, what: str) -> Callable[[], bool]:
        """Whether a node shows another one as this, for ``until``."""
        return lambda: self.view(viewer).get(number) == what

    def entered(self, number: int, state: State, since: float = 0.0) -> float:
        """When a peer came into this state."""
        return next((at for at, n, s in self.history if n == number and s == state and at >= since), math.inf)

    def _new_id(self) -> int:
        return self.random.getrandbits(128)

    def _changed(self, peer: Peer) -> None:
        self.history.append((self.now, peer.number, peer.state))
        if peer.is_leading:
            assert self.leaders.setdefault(peer.epoch, peer.number) == peer.number
