"""Faults and schedules as values: what they accept, how they are drawn, and how they are cut down."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trio_esdb.testing
from trio_esdb import InvalidArgumentError
from trio_esdb.testing import (
    Cut,
    Fault,
    Hold,
    Kill,
    Latency,
    Partition,
    Reset,
    SetPriority,
    Slow,
)
from trio_esdb.testing._simulation._schedule import draw, latency
from trio_esdb.testing._simulation._shrink import smallest

KINDS = [
    kind
    for name in trio_esdb.testing.__all__
    if isinstance(kind := getattr(trio_esdb.testing, name), type) and issubclass(kind, Fault) and kind is not Fault
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_repr_of_a_fault_makes_it(kind: type[Fault]) -> None:
    fault = kind(1.25)
    assert repr(fault).startswith(f"{kind.__name__}(at=1.25")
    assert eval(repr(fault), vars(trio_esdb.testing)) == fault
    with pytest.raises(dataclasses.FrozenInstanceError):
        fault.at = 2  # type: ignore[misc]


@pytest.mark.parametrize("seed", range(60))
def test_the_repr_of_a_drawn_fault_makes_it(seed: int) -> None:
    for fault in draw(seed, 3, 10, exact_sizes=True):
        assert eval(repr(fault), vars(trio_esdb.testing)) == fault


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Kill(at=-1), "at= of Kill must be seconds from 0 on, not -1"),
        (lambda: Kill(at=math.nan), "at= of Kill must be seconds from 0 on, not nan"),
        (lambda: Kill(at=True), "at= of Kill"),
        (lambda: Kill(at="1"), "at= of Kill"),  # type: ignore[arg-type]
        (lambda: Kill(node=0), "node= of Kill must be the number of a node, from 1 on, not 0"),
        (lambda: Kill(node=None), "node= of Kill must be the number of a node, from 1 on, not None"),  # type: ignore[arg-type]
        (lambda: Kill(lasts=0), "lasts= of Kill must be seconds above 0, or None, not 0"),
        (lambda: Kill(lasts=math.inf), "lasts= of Kill"),
        (lambda: Reset(node="a"), "node= of Reset must be the number of a node, from 1 on, or None, not 'a'"),  # type: ignore[arg-type]
        (lambda: SetPriority(priority=1.5), "priority= of SetPriority must be a whole number, not 1.5"),  # type: ignore[arg-type]
        (lambda: Partition(nodes=()), r"nodes= of Partition must be the numbers of some nodes, from 1 on, not \(\)"),
        (lambda: Partition(nodes=1), "nodes= of Partition"),  # type: ignore[arg-type]
        (lambda: Partition(nodes=(1, 0)), "nodes= of Partition"),
        (lambda: Cut(count=-1), "count= of Cut must be a number of bytes, from 0 on, not -1"),
        (lambda: Cut(to="both"), "to= of Cut must be 'client' or 'server', not 'both'"),  # type: ignore[arg-type]
        (lambda: Cut(ending="bang"), "ending= of Cut must be one of 'reset', 'close', 'half-open', 'hold', not 'bang'"),  # type: ignore[arg-type]
        (lambda: Hold(to="both"), "to= of Hold must be 'client', 'server' or None, not 'both'"),  # type: ignore[arg-type]
        (lambda: Slow(rate=0), "rate= of Slow must be bytes a second, above 0, not 0"),
        (lambda: Latency(least=-1), "least= of Latency must be seconds from 0 on, not -1"),
        (lambda: Latency(least=2, most=1), "most= of Latency must be seconds from least=2 on, or None, not 1"),
    ],
)
def test_a_fault_that_cannot_be(make: Any, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        make()


def test_the_nodes_of_a_partition_may_be_any_numbers() -> None:
    assert Partition(nodes=[2, 3]) == Partition(nodes=(2, 3))  # type: ignore[arg-type]
    assert hash(Partition(nodes=[2, 3])) == hash(Partition(nodes=(2, 3)))  # type: ignore[arg-type]


# -- drawing -----------------------------------------------------------------------------------------------------------


def test_seeds_differ_in_the_kinds_of_faults_and_in_their_rates() -> None:
    schedules = [draw(seed, 3, 30, exact_sizes=True) for seed in range(200)]
    kinds = [frozenset(type(fault) for fault in schedule) for schedule in schedules]
    drawn = frozenset().union(*kinds)
    assert {kind.__name__ for kind in KINDS if kind not in drawn} == {"Wipe", "SetPriority"}
    assert len(set(kinds)) > 100
    for kind in drawn:
        assert 10 < sum(kind in each for each in kinds) < 130
    counts = sorted(len(schedule) for schedule in schedules)
    assert counts[0] < 10
    assert counts[-1] > 300


@given(seed=st.integers(0, 10**6), nodes=st.integers(1, 5), duration=st.floats(1, 100))
def test_a_schedule_is_in_order_and_within_its_time(seed: int, nodes: int, duration: float) -> None:
    schedule = draw(seed, nodes, duration, exact_sizes=True)
    assert schedule == draw(seed, nodes, duration, exact_sizes=True)
    times = [fault.at for fault in schedule]
    assert times == sorted(times)
    assert all(0.2 <= time <= duration for time in times)
    assert all(1 <= node <= nodes for fault in schedule for node in fault._nodes)
    assert nodes > 1 or not {"Partition", "Resign"} & {type(fault).__name__ for fault in schedule}
    least, most = latency(seed)
    assert 0.002 <= least <= most <= 0.020


def test_without_exact_sizes_nothing_depends_on_them() -> None:
    """The bytes of TLS differ in number from run to run."""
    for seed in range(200):
        schedule = draw(seed, 3, 30, exact_sizes=False)
        assert not {"Cut", "Slow"} & {type(fault).__name__ for fault in schedule}


# -- cutting down ------------------------------------------------------------------------------------------------------


@given(st.lists(st.booleans(), max_size=40))
def test_a_smallest_list_has_what_is_needed_and_nothing_else(needed: list[bool]) -> None:
    parts = list(enumerate(needed))
    wanted = [part for part in parts if part[1]]
    asked: list[list[tuple[int, bool]]] = []

    def fails(some: Sequence[tuple[int, bool]]) -> bool:
        asked.append(list(some))
        return all(part in some for part in wanted)

    assert smallest(parts, fails) == wanted


def test_what_fails_for_several_reasons_is_cut_down_to_one() -> None:
    found = smallest(range(100), lambda some: {3, 70} <= set(some) or 50 in some)
    assert found in ([50], [3, 70])


def test_cutting_down_takes_few_runs() -> None:
    runs = 0

    def fails(some: Sequence[int]) -> bool:
        nonlocal runs
        runs += 1
        return {11, 90} <= set(some)

    assert smallest(range(100), fails) == [11, 90]
    assert runs < 60  # each of them is a simulation
