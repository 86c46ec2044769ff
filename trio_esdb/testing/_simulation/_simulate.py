"""The decorator: from an async test function to a plain one that runs it with many seeds."""

from __future__ import annotations

import functools
import inspect
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from trio_esdb._errors import InvalidArgumentError

from ._faults import Fault
from ._report import as_code, kind_of, versions
from ._run import Run, Setting, run_once
from ._schedule import draw
from ._seeds import FailingSeeds, number_in_environment
from ._shrink import smallest
from ._trace import first_difference
from ._world import World, check_nodes

Test = TypeVar("Test", bound=Callable[..., Awaitable[object]])
_MOST_RUNS = 300
"""How many runs the search for a smallest schedule may take."""


class NotDeterministicError(AssertionError):
    """A simulated test did not do the same in two runs with the same seed and the same faults."""


@dataclass
class Figures:
    """What a simulated test did so far in this process. ``str`` is a line to print."""

    schedules: int = 0
    """How many schedules were run, those of the search for a smallest one included."""
    faults: int = 0
    """How many faults happened."""
    simulated_seconds: float = 0.0
    """The simulated time of all runs."""
    real_seconds: float = 0.0
    """The real time that they took."""

    def __str__(self) -> str:
        hours = self.simulated_seconds / 3600
        return (
            f"schedules: {self.schedules}, faults: {self.faults}, simulated hours: {hours:.2f}, "
            f"real seconds: {self.real_seconds:.1f}"
        )

    def _count(self, run: Run) -> Run:
        self.schedules += 1
        self.faults += run.begun
        self.simulated_seconds += run.simulated
        self.real_seconds += run.real
        return run


def simulate(
    seeds: int = 100,
    *,
    nodes: int = 3,
    read_only_replicas: int = 0,
    tls: bool = False,
    users: bool | Mapping[str, str] = False,
    settle: float = 30.0,
    duration: float = 30.0,
    schedule: Iterable[Fault] | None = None,
    seed: int | None = None,
) -> Callable[[Callable[..., Awaitable[object]]], Callable[..., None]]:
    """Make a plain test function of an async one that has a parameter ``world``, and run it with many seeds.

    Each run has a mock clock, a network with latency, nodes, and faults that are drawn from the seed. The faults come
    until the function awaits ``world.healed()``, or for the duration. Then everything is healed, and the function has
    to end within the time to settle. The run is the same for the same seed, in any process::

        @simulate(seeds=200)
        async def test_orders_survive(world):
            async with world.client() as client:
                for number in range(50):
                    await place_order(client, number)
                await world.healed()
                assert await count_orders(client) == 50

    When a run fails, it is run again to see that it does the same, and the faults are cut down to a smallest schedule
    that fails in the same way. The test's own exception is raised, with a note that has the seed and that schedule as
    code. The seed is tried first the next time.

    The environment variable ``TRIO_ESDB_SEED`` names a single seed to run, ``TRIO_ESDB_SEEDS`` says how many to run.

    Args:
        seeds: How many seeds are run: those from 0 on.
        nodes: How many nodes vote in the cluster; 1 is a single node.
        read_only_replicas: How many more nodes there are that replicate and never vote. They are numbered last.
        tls: Whether the nodes speak TLS, with certificates that are made.
        users: Whether the cluster has users, as for ``EmbeddedCluster``.
        settle: Simulated seconds that the function may take once everything is healed and the cluster is whole.
        duration: Simulated seconds in which faults come.
        schedule: The faults, instead of drawn ones.
        seed: The only seed to run. With a ``schedule``, it is 0 by default.

    Returns:
        A decorator. What it makes has an attribute ``figures``.

    Raises:
        InvalidArgumentError: An argument cannot be used.
    """
    if callable(seeds):
        raise InvalidArgumentError("simulate is called before it decorates: write @simulate(), with parentheses")
    _whole("seeds", seeds, 1)
    _whole("nodes", nodes, 1)
    if seed is not None:
        _whole("seed", seed, 0)
    _whole("read_only_replicas", read_only_replicas, 0)
    _seconds("settle", settle)
    _seconds("duration", duration)
    if not isinstance(tls, bool):
        raise InvalidArgumentError(f"tls= of simulate must be True or False, not {tls!r}")
    setting = Setting(nodes, read_only_replicas, tls, users, duration, settle)
    faults = None if schedule is None else _checked(schedule, setting.all_nodes)
    if seed is None and faults is not None:
        seed = 0

    def decorate(test: Callable[..., Awaitable[object]]) -> Callable[..., None]:
        simulation = Simulation(test, seeds, seed, faults, setting)

        @functools.wraps(test)
        def simulated(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            simulation.run(args, kwargs)

        simulated.__signature__ = simulation.signature  # type: ignore[attr-defined]
        simulated.figures = simulation.figures  # type: ignore[attr-defined]
        return simulated

    return decorate


class Simulation:
    """A test function and how it is run."""

    def __init__(
        self,
        test: Callable[..., Awaitable[object]],
        seeds: int,
        seed: int | None,
        schedule: tuple[Fault, ...] | None,
        setting: Setting,
    ) -> None:
        if not inspect.iscoroutinefunction(test):
            raise InvalidArgumentError(f"simulate decorates an async function, not {test!r}")
        self._whole_signature = inspect.signature(test)
        parameters = self._whole_signature.parameters
        if "world" not in parameters:
            raise InvalidArgumentError(f"{test.__qualname__} has no parameter `world`, which simulate gives it")
        self.signature = self._whole_signature.replace(
            parameters=[parameter for name, parameter in parameters.items() if name != "world"]
        )
        self.figures = Figures()
        self._test = test
        self._seeds = seeds
        self._seed = seed
        self._schedule = schedule
        self._setting = setting
        self._failing = FailingSeeds(f"{test.__module__}.{test.__qualname__}")

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Run the test with these arguments, with all seeds."""
        __tracebackhide__ = True
        given = self.signature.bind(*args, **kwargs).arguments

        async def test(world: World) -> None:
            arguments = {name: world if name == "world" else given[name] for name in self._in_order(given)}
            bound = inspect.BoundArguments(self._whole_signature, OrderedDict(arguments))
            await self._test(*bound.args, **bound.kwargs)

        failed_before = self._failing.read()
        for number, seed in enumerate(self._seeds_to_run(failed_before), 1):
            failure = self._try(test, seed, number)
            if failure is not None:
                self._failing.add(seed)
                raise failure
            if seed in failed_before:
                self._failing.remove(seed)

    def _in_order(self, given: dict[str, Any]) -> list[str]:
        return [name for name in self._whole_signature.parameters if name == "world" or name in given]

    def _seeds_to_run(self, failed_before: list[int]) -> list[int]:
        only = number_in_environment("TRIO_ESDB_SEED", 0)
        count = number_in_environment("TRIO_ESDB_SEEDS", 1)
        if only is not None:
            return [only]
        if self._seed is not None:
            return [self._seed]
        return list(dict.fromkeys((*failed_before, *range(count or self._seeds))))

    def _try(self, test: Callable[[World], Awaitable[object]], seed: int, number: int) -> BaseException | None:
        setting = self._setting
        schedule = self._schedule
        if schedule is None:
            schedule = draw(seed, setting.all_nodes, setting.duration, exact_sizes=not setting.tls)

        def once(faults: Iterable[Fault]) -> Run:
            return self.figures._count(run_once(test, seed, tuple(faults), setting))

        first = once(schedule)
        if first.failure is None:
            return None
        again = once(schedule)
        file = self._test.__code__.co_filename
        kind = kind_of(first.failure, file)
        difference = first_difference(first.trace, again.trace)
        if difference is None and (again.failure is None or kind_of(again.failure, file) != kind):
            difference = f"the trace is the same, but not what came of it: {again.failure!r}"
        if difference is not None:
            error = NotDeterministicError(
                f"seed {seed} failed with {first.failure!r}, and a second run was not the same. "
                f"The program is not deterministic, {difference}"
            )
            error.__cause__ = first.failure
            return error
        return self._smallest(once, first, kind, seed, number)

    def _smallest(
        self, once: Callable[[Iterable[Fault]], Run], first: Run, kind: object, seed: int, number: int
    ) -> BaseException:
        file = self._test.__code__.co_filename
        best = first
        runs = 0

        def fails(faults: Iterable[Fault]) -> bool:
            nonlocal best, runs
            runs += 1
            if runs > _MOST_RUNS:
                return False
            run = once(faults)
            if run.failure is None or kind_of(run.failure, file) != kind:
                return False
            best = run
            return True

        smallest(first.schedule, fails)
        failure = best.failure
        assert failure is not None
        failure.add_note(self._note(first, best, runs, seed, number))
        return failure

    def _note(self, first: Run, best: Run, runs: int, seed: int, number: int) -> str:
        faults = len(first.schedule)
        cut = f"; its {faults} faults were cut down to {len(best.schedule)} in {runs} runs" if runs else ""
        which = f"schedule {number}, " if number > 1 else ""
        code = as_code(best.schedule, seed, self._options())
        return (
            f"simulate: {which}seed {seed} failed, twice in the same way{cut}\n"
            f"{versions()}\n"
            f"TRIO_ESDB_SEED={seed} repeats the seed; the smallest schedule that fails is\n\n"
            + "".join(f"    {line}\n" if line else "\n" for line in code.splitlines())
        )

    def _options(self) -> dict[str, Any]:
        """The arguments of ``simulate`` that were given, besides the seed and the schedule."""
        have = vars(self._setting)
        return {name: value for name, value in have.items() if value != getattr(Setting, name)}


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidArgumentError(f"{name}= of simulate must be a whole number from {least} on, not {value!r}")


def _seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InvalidArgumentError(f"{name}= of simulate must be seconds above 0, not {value!r}")


def _checked(schedule: Iterable[Fault], nodes: int) -> tuple[Fault, ...]:
    if not isinstance(schedule, Iterable):
        raise InvalidArgumentError(f"schedule= of simulate takes a list of faults, not {schedule!r}")
    faults = tuple(schedule)
    for fault in faults:
        if not isinstance(fault, Fault):
            raise InvalidArgumentError(
                f"schedule= of simulate takes faults such as Kill(at=1.5, node=1), not {fault!r}"
            )
        check_nodes(fault, nodes)
    return faults
