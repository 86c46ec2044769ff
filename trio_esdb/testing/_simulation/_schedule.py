"""Draws the faults of a seed.

Each seed draws first which kinds of fault there are and how often each one comes, and only then the faults: a seed with
everything at once hides what a seed with a single kind shows. Each kind has chance of its own, so that a change in one
does not move the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from ._faults import (
    Close,
    Cut,
    Fault,
    Freeze,
    HalfOpen,
    Hold,
    Kill,
    Latency,
    Partition,
    Refuse,
    Reset,
    Resign,
    Slow,
    Terminate,
)

LATENCY = 0.002, 0.020
"""Seconds that bytes take, at least and at most; each seed has a range inside. Without latency many faults hide."""
_CALM = 0.2
"""Seconds without faults at the beginning: a client of a single node does not open if it cannot connect."""
_CHANCES = 0.15, 0.3, 0.6
"""How likely each kind of fault is; a seed has one of them."""
_HASTE = 0.1, 1.0
"""What the times between faults are multiplied with: tests may take a second or a minute."""


class _Kind(NamedTuple):
    least_gap: float
    """Seconds from one to the next, in the mean, for a seed that has many."""
    most_gap: float
    """The same for a seed that has few."""
    draw: Callable[[Random, float, int], Fault]
    """Draws one: with chance, for a time, in a cluster of so many nodes."""


def draw(seed: int, nodes: int, duration: float, *, exact_sizes: bool) -> tuple[Fault, ...]:
    """The schedule of a seed, in the order of time.

    Args:
        seed: The seed.
        nodes: How many nodes there are.
        duration: Seconds of simulated time in which faults begin.
        exact_sizes: Whether the same bytes pass in each run: those of TLS differ in number.
    """
    random = Random(f"{seed}/faults")
    chance = random.choice(_CHANCES)
    haste = _time(random, *_HASTE)
    possible = [
        name for name in _KINDS if (nodes > 1 or name not in _OF_CLUSTERS) and (exact_sizes or name not in _BY_SIZE)
    ]
    kinds = [name for name in possible if random.random() < chance] or [random.choice(possible)]
    faults: list[Fault] = []
    for name in kinds:
        kind = _KINDS[name]
        own = Random(f"{seed}/faults/{name}")
        gap = haste * _time(own, kind.least_gap, kind.most_gap)
        at = _CALM + own.expovariate(1 / gap)
        while at < duration:
            faults.append(kind.draw(own, round(at, 3), nodes))
            at += own.expovariate(1 / gap)
    return tuple(sorted(faults, key=lambda fault: fault.at))


def latency(seed: int) -> tuple[float, float]:
    """The usual latency of a seed: the least and the most, in seconds."""
    least, most = sorted(Random(f"{seed}/latency").uniform(*LATENCY) for _ in range(2))
    return round(least, 4), round(most, 4)


def _node(random: Random, nodes: int) -> int:
    return random.randint(1, nodes)


def _some(random: Random, nodes: int) -> int | None:
    """One node, or all of them."""
    return None if random.random() < 0.3 else random.randint(1, nodes)


def _time(random: Random, least: float, most: float) -> float:
    """A time; short ones are as likely as long ones: as many between 0.1 and 1 as between 1 and 10."""
    return round(math.exp(random.uniform(math.log(least), math.log(most))), 3)


def _partition(random: Random, at: float, nodes: int) -> Fault:
    side = sorted(random.sample(range(1, nodes + 1), random.randint(1, nodes - 1)))
    return Partition(at, tuple(side), random.random() < 0.25, lasts=_time(random, 0.5, 10))


_KINDS: dict[str, _Kind] = {
    "kill": _Kind(3, 20, lambda r, at, n: Kill(at, _node(r, n), lasts=_time(r, 0.05, 10))),
    "terminate": _Kind(5, 30, lambda r, at, n: Terminate(at, _node(r, n), lasts=_time(r, 0.5, 10))),
    "freeze": _Kind(3, 20, lambda r, at, n: Freeze(at, _node(r, n), lasts=_time(r, 0.1, 10))),
    "resign": _Kind(5, 30, lambda r, at, n: Resign(at, _node(r, n))),
    "partition": _Kind(5, 30, _partition),
    "reset": _Kind(0.3, 10, lambda r, at, n: Reset(at, _some(r, n))),
    "close": _Kind(0.5, 10, lambda r, at, n: Close(at, _some(r, n))),
    "half-open": _Kind(3, 20, lambda r, at, n: HalfOpen(at, _some(r, n))),
    "cut": _Kind(
        0.2,
        10,
        lambda r, at, n: Cut(
            at,
            _some(r, n),
            count=r.choice((r.randint(0, 64), r.randint(0, 20_000))),
            to=r.choice(("client", "server")),
            ending=r.choice(("reset", "reset", "close")),
        ),
    ),
    "refuse": _Kind(1, 10, lambda r, at, n: Refuse(at, _some(r, n), lasts=_time(r, 0.05, 5))),
    "hold": _Kind(
        1, 10, lambda r, at, n: Hold(at, _some(r, n), r.choice((None, "client", "server")), lasts=_time(r, 0.05, 15))
    ),
    "slow": _Kind(
        2, 20, lambda r, at, n: Slow(at, _some(r, n), round(_time(r, 300, 100_000)), lasts=_time(r, 0.5, 10))
    ),
    "latency": _Kind(2, 20, lambda r, at, n: Latency(at, _some(r, n), 0.05, _time(r, 0.1, 3), lasts=_time(r, 0.5, 10))),
}
_OF_CLUSTERS = "resign", "partition"
_BY_SIZE = "cut", "slow"
