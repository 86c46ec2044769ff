"""How a node of a cluster sees the members: what gossip told it, and what it found out by itself.

A view is always a bit old, and the views of two nodes differ. A member that died keeps its last state and is shown as
dead until it is removed. After an election every member but the leader is Unknown until it tells of itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from .._services._membership import Member, State
from .._store import TICKS
from ._timings import GOSSIP_PERIOD, REMOVAL_OF_DEAD


@dataclass(slots=True)
class _Seen:
    """A member as this node sees it."""

    instance: int
    state: State
    is_alive: bool
    since: float
    """When this process was heard of first, in the seconds of the cluster."""
    changed: float
    """When it was last found to be alive, or dead."""
    phase: float
    """At which point of the period its gossip comes."""


class View:
    """The members but for the node itself, by their numbers.

    Args:
        seeds: The members that the node is configured with. Nothing is known of them at first.
        now: The time, in seconds.
        random: For the times at which gossip comes.
    """

    def __init__(self, seeds: Iterable[int], now: float, random: Random) -> None:
        self._random = random
        self._seen = {seed: _Seen(0, State.Manager, True, now, now, 0.0) for seed in seeds}

    def heard(self, number: int, instance: int, state: State, now: float) -> None:
        """A member told of itself."""
        seen = self._seen.get(number)
        if seen is None or seen.instance != instance or not seen.is_alive:
            since = now if seen is None or seen.instance != instance else seen.since
            self._seen[number] = _Seen(instance, state, True, since, now, self._random.uniform(0, GOSSIP_PERIOD))
        elif state != State.PreLeader or seen.state != State.Leader:
            seen.state = state  # who is elected counts as the leader at once, whatever it says of itself

    def knows(self, number: int) -> bool:
        """Whether this member has been heard of."""
        seen = self._seen.get(number)
        return seen is not None and seen.instance != 0

    def is_alive(self, number: int) -> bool:
        """Whether this member has been heard of, and not been found dead."""
        seen = self._seen.get(number)
        return seen is not None and seen.instance != 0 and seen.is_alive

    def age(self, number: int, now: float) -> float:
        """For how many seconds the process of this member has been known; 0 if it is not."""
        return now - self._seen[number].since if self.is_alive(number) else 0.0

    def found_dead(self, number: int, now: float) -> None:
        """A member does not answer. It keeps its state."""
        seen = self._seen.get(number)
        if seen is not None and seen.is_alive:
            seen.is_alive = False
            seen.changed = now

    def elected(self, leader: int | None, voters: Iterable[int]) -> None:
        """There was an election; the leader is None if it is the node itself."""
        for number in voters:
            seen = self._seen.get(number)
            if seen is not None and seen.instance:
                seen.state = State.Leader if number == leader else State.Unknown

    def forget_dead(self, now: float) -> None:
        """Remove the members that have been dead for long."""
        for number, seen in list(self._seen.items()):
            if seen.instance and not seen.is_alive and now - seen.changed >= REMOVAL_OF_DEAD:
                del self._seen[number]

    def states(self) -> dict[int, tuple[State, bool]]:
        """For each member its state, and whether it is alive."""
        return {number: (seen.state, seen.is_alive) for number, seen in self._seen.items()}

    def members(self, now: float, ticks: int, addresses: dict[int, tuple[str, int]]) -> list[Member]:
        """The members as gossip names them.

        Args:
            now: The time, in seconds.
            ticks: The time, in ticks since the Unix epoch.
            addresses: Where clients reach each member.
        """
        found = []
        for number, seen in self._seen.items():
            lag = now - seen.changed
            if seen.is_alive:
                lag = min((now - seen.phase) % GOSSIP_PERIOD, lag)
            stamp = ticks - round(lag * TICKS)
            found.append(Member(seen.instance, stamp, seen.state, seen.is_alive, *addresses[number]))
        return found
