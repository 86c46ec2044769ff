"""One run of a simulated test: a seed, a schedule, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from time import perf_counter

import trio

from trio_esdb._nursery import background_tasks
from trio_esdb._transport._certificates import Certificates
from trio_esdb.testing._network import MemoryNetwork

from ._faults import Fault
from ._schedule import latency
from ._scheduler import decided_by
from ._stage import Stage
from ._trace import Trace
from ._world import World


class HangError(AssertionError):
    """A simulated test did not end in its time after everything was healed. The text has the tree of its tasks."""


@dataclass(frozen=True)
class Setting:
    """What all runs of a simulated test have in common."""

    nodes: int = 3
    read_only_replicas: int = 0
    tls: bool = False
    users: bool | Mapping[str, str] = False
    duration: float = 30.0
    settle: float = 30.0

    @property
    def all_nodes(self) -> int:
        """How many nodes there are."""
        return self.nodes + self.read_only_replicas


@dataclass(frozen=True)
class Run:
    """What came of a run."""

    schedule: tuple[Fault, ...]
    trace: Trace
    failure: BaseException | None
    begun: int
    """How many faults happened."""
    simulated: float
    """Seconds of simulated time."""
    real: float
    """Seconds that it took."""


def run_once(test: Callable[[World], Awaitable[object]], seed: int, schedule: Sequence[Fault], setting: Setting) -> Run:
    """Run a test once. What it raises is in the result; what is no failure, such as Ctrl-C, is raised."""
    from trio.testing import MockClock  # takes long to load

    from trio_esdb.testing._cluster import EmbeddedCluster  # loads the embedded node

    begin = perf_counter()
    # Made before anything is seeded: making them takes chance, and only the first run makes some.
    certificates = _certificates(setting.all_nodes) if setting.tls else False
    worlds: list[World] = []
    simulated = 0.0

    async def main() -> None:
        nonlocal simulated
        network = MemoryNetwork(random=Random(f"{seed}/network"))
        try:
            async with EmbeddedCluster(
                setting.nodes,
                network=network,
                tls=certificates,
                users=setting.users,
                read_only_replicas=setting.read_only_replicas,
                random=Random(f"{seed}/cluster"),
                restarts=True,
            ) as cluster:
                stage = Stage(cluster, network, latency(seed))
                world = World(seed, stage, schedule, setting.duration, setting.settle)
                worlds.append(world)
                await _phases(test, world)
        finally:
            simulated = trio.current_time()

    failure: BaseException | None = None
    with decided_by(seed):
        try:
            trio.run(main, clock=MockClock(autojump_threshold=0))
        except BaseException as exc:
            if not _is_failure(exc):
                raise
            failure = exc
    trace, begun = (worlds[0].trace, worlds[0]._begun) if worlds else (Trace(), 0)
    return Run(tuple(schedule), trace, failure, begun, simulated, perf_counter() - begin)


@cache
def _certificates(nodes: int) -> Certificates:
    return Certificates.self_made(*(f"node{number}.example" for number in range(1, nodes + 1)))


async def _phases(test: Callable[[World], Awaitable[object]], world: World) -> None:
    async with background_tasks() as tasks:
        await tasks.start(world._run)
        try:
            with world._bound:
                await test(world)
        except BaseException as exc:
            if world._hangs is None or not _is_failure(exc):
                raise
            raise HangError(world._hangs) from exc
        if world._hangs is not None:
            raise HangError(world._hangs)


def _is_failure(exc: BaseException) -> bool:
    """Whether an exception is a failure of the test; else it is Ctrl-C, a skipped test, or something of that kind."""
    if isinstance(exc, BaseExceptionGroup):
        return all(map(_is_failure, exc.exceptions))
    if isinstance(exc, Exception):
        return True
    pytest = sys.modules.get("pytest")
    return pytest is not None and isinstance(exc, pytest.fail.Exception) and not isinstance(exc, pytest.xfail.Exception)
