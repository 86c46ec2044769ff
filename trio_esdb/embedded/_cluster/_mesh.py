"""What the nodes of a cluster send to each other, and how they notice that one of them is gone.

Messages take their time, and those from one node to another come in their order. The network decides what passes; what
does not pass is lost. Two nodes are *linked* while both processes run and bytes pass between them in both directions,
as they must for a TCP connection. When that changes, both hear of it: a process that ended closes its connections, and
one that stands still or is cut off falls silent, which takes longer to be noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Protocol

from ._schedule import Schedule
from ._timings import CLOSED_SEEN, MESSAGE, SILENCE_SEEN, Range


class Station(Protocol):
    """A process on the mesh."""

    def receive(self, message: object) -> None:
        """A message of another process has come."""

    def lost(self, other: int, seen: Range) -> None:
        """Another process is gone, which can be noticed after a time of this range."""

    def found(self, other: int) -> None:
        """Another process can be reached, for the first time or again."""


class Network(Protocol):
    """What passes between hosts."""

    def passes(self, source: str, target: str) -> bool:
        """Whether bytes pass from one host to another."""

    def delay(self, source: str, target: str) -> float:
        """How long they take, in seconds."""


@dataclass(slots=True, eq=False)
class _Place:
    host: str
    station: Station
    stands_still: bool = False


class Mesh:
    """The connections between the nodes of a cluster.

    Args:
        schedule: For messages under way.
        network: Decides what passes.
        random: Draws how long messages take.
    """

    def __init__(self, schedule: Schedule, network: Network, random: Random) -> None:
        self._schedule = schedule
        self._network = network
        self._random = random
        self._places: dict[int, _Place] = {}
        self._links: dict[tuple[int, int], bool] = {}
        self._last_due: dict[tuple[int, int], float] = {}
        self.on_message: Callable[[int, int, object], None] | None = None
        """Is told the sender, the receiver and the message of each message that has come; for traces."""

    def join(self, number: int, host: str, station: Station) -> None:
        """A process has started."""
        self._places[number] = _Place(host, station)
        self.changed()

    def leave(self, number: int, seen: Range = CLOSED_SEEN) -> None:
        """A process has ended; others can notice it after a time of this range."""
        place = self._places.pop(number, None)
        if place is None:
            return
        for pair in [pair for pair in self._links if number in pair]:
            del self._links[pair]
        for other in self._others(number):
            if self._network.passes(place.host, self._places[other].host):  # else silence is all that is noticed
                self._places[other].station.lost(number, seen)

    def stand_still(self, number: int, still: bool) -> None:
        """A process is stopped, or goes on: what is sent to it meanwhile is lost."""
        place = self._places.get(number)
        if place is not None:
            place.stands_still = still
            self.changed()

    def is_linked(self, one: int, other: int) -> bool:
        """Whether these two processes reach each other."""
        return self._links.get((min(one, other), max(one, other)), False)

    def linked(self, number: int) -> list[int]:
        """The processes that this one reaches, in the order of their numbers."""
        return [other for other in self._others(number) if self.is_linked(number, other)]

    def changed(self) -> None:
        """See what has changed between whom. To be called when the network was changed."""
        numbers = sorted(self._places)
        for index, one in enumerate(numbers):
            for other in numbers[index + 1 :]:
                passes = self._reach(one, other) and self._reach(other, one)
                if passes == self._links.get((one, other), False):
                    continue
                self._links[one, other] = passes
                for here, there in ((one, other), (other, one)):
                    station = self._places[here].station
                    if passes:
                        station.found(there)
                    else:
                        station.lost(there, SILENCE_SEEN)

    def send(self, source: int, target: int, message: object) -> None:
        """Send a message; it is lost if it does not pass."""
        sender, receiver = self._places.get(source), self._places.get(target)
        if sender is None or receiver is None or not self._reach(source, target):
            return
        delay = MESSAGE.draw(self._random) + self._network.delay(sender.host, receiver.host)
        due = max(self._schedule.now() + delay, self._last_due.get((source, target), 0.0))
        self._last_due[source, target] = due
        deliver = partial(self._deliver, source, target, receiver, message)
        self._schedule.at(due, deliver)  # not after a while, as real time goes on meanwhile

    def _deliver(self, source: int, target: int, receiver: _Place, message: object) -> None:
        if self._places.get(target) is not receiver or receiver.stands_still:
            return
        if source in self._places and not self._reach(source, target):
            return
        if self.on_message is not None:
            self.on_message(source, target, message)
        receiver.station.receive(message)

    def _reach(self, source: int, target: int) -> bool:
        sender, receiver = self._places[source], self._places[target]
        if sender.stands_still or receiver.stands_still:
            return False
        return self._network.passes(sender.host, receiver.host)

    def _others(self, number: int) -> list[int]:
        return sorted(other for other in self._places if other != number)
