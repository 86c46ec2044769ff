"""What passes between two hosts, and how fast: partitions, holds, and latency.

They are facts about pairs of hosts, each direction by itself. Connections get them as holds of their lines; programs
that exchange messages without connections, as the nodes of an embedded cluster do, ask here before each message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from trio_esdb._errors import InvalidArgumentError

from ._connection import Connection
from ._line import Hold
from ._names import Hosts, Names

_STATES = (Hold.PARTED, Hold.BETWEEN)


class Paths:
    """What the network does between hosts.

    Args:
        names: The hosts of the network.
        random: Chooses the delays of messages that need no connection.
    """

    def __init__(self, names: Names, random: Random) -> None:
        self._names = names
        self._random = random
        self._stopped: dict[Hold, dict[tuple[str, str], None]] = {state: {} for state in _STATES}
        self._latency: dict[tuple[str, str], tuple[float, float]] = {}
        self._usual = (0.0, 0.0)
        self._watchers: dict[object, Callable[[], None]] = {}

    def stop(self, state: Hold, a: Hosts, b: Hosts, *, one_way: bool = False) -> None:
        """Let nothing pass between hosts, or from ``a`` to ``b`` only."""
        self._stopped[state].update(dict.fromkeys(list(self.pairs(a, b, one_way=one_way))))

    def go_on(self, state: Hold, a: Hosts, b: Hosts) -> None:
        """End what ``stop`` began."""
        for pair in self.pairs(a, b):
            self._stopped[state].pop(pair, None)

    def heal(self) -> None:
        """Let everything pass between all hosts."""
        for stopped in self._stopped.values():
            stopped.clear()

    def usual_latency(self, least: float, most: float) -> None:
        """Let messages between any hosts take this time."""
        self._latency.clear()
        self._usual = least, most

    def latency(self, a: Hosts, b: Hosts, least: float, most: float) -> None:
        """Let messages between these hosts take this time."""
        for pair in self.pairs(a, b):
            self._latency[pair] = least, most

    def passes(self, source: str, target: str) -> bool:
        """Whether bytes pass from one host to another."""
        pair = self._names.host_of(source), self._names.host_of(target)
        return not any(pair in stopped for stopped in self._stopped.values())

    def delay(self, source: str, target: str) -> float:
        """How long a message takes, in seconds."""
        pair = self._names.host_of(source), self._names.host_of(target)
        least, most = self._latency.get(pair, self._usual)
        return self._random.uniform(least, most) if least < most else least

    def apply(self, connection: Connection) -> None:
        """Give a connection the state of the path that it takes."""
        cable = connection._cable
        there = self._names.host_of(connection.source), connection.target
        for line, pair in ((cable.to_server, there), (cable.to_client, there[::-1])):
            for state, stopped in self._stopped.items():
                if pair in stopped:
                    line.holds.add(state)
                else:
                    line.holds.discard(state)
        cable.notify()

    def pairs(self, a: Hosts, b: Hosts, *, one_way: bool = False) -> Iterator[tuple[str, str]]:
        """The pairs of hosts, in both directions or from ``a`` to ``b`` only.

        Raises:
            InvalidArgumentError: These are no hosts, or a host is on both sides.
        """
        first, second = self._names.hosts(a), self._names.hosts(b)
        both = [host for host in first if host in second]
        if both:
            raise InvalidArgumentError(f"{', '.join(both)} cannot be on both sides: bytes always pass within a host")
        for source in first:
            for target in second:
                yield source, target
                if not one_way:
                    yield target, source

    # -- who wants to know -------------------------------------------------------------------------------------------

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call a function after each change; what is returned ends that."""
        key = object()
        self._watchers[key] = callback

        def forget() -> None:
            self._watchers.pop(key, None)

        return forget

    def changed(self) -> None:
        """Tell all who want to know."""
        for callback in list(self._watchers.values()):
            callback()
