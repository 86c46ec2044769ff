"""Faults for all connections to an address, those that are open and those to come."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from itertools import count

from trio_esdb._errors import InvalidArgumentError

from ._cable import Cable
from ._connection import Connection
from ._faults import Change, Faults
from ._line import Hold
from ._names import Names


class Route(Faults):
    """All connections to an address, open and future ones, and the faults that they have.

    Got from ``MemoryNetwork.to``.
    """

    def __init__(
        self, routes: Routes, host: str | None, port: int | None, source: str | None, future: float = math.inf
    ) -> None:
        self.host = host
        """The host; None stands for all hosts."""
        self.port = port
        """The port; None stands for all ports."""
        self.source = source
        """The host that the connections come from; None stands for all hosts."""
        self._routes = routes
        self._future = future
        self._changes: dict[str, tuple[int, Change]] = {}

    def __repr__(self) -> str:
        where = f"{self.host or 'any host'}:{self.port or 'any port'}"
        if self.source is not None:
            where += f" from {self.source}"
        return f"<trio_esdb.testing.Route: {where}{'' if self._future == math.inf else ', future connections'}>"

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections to this address that were ever made, in their order."""
        return tuple(connection for connection in self._routes.made() if self._covers(connection))

    def next(self, count: int = 1) -> Route:
        """The next connections to this address, and no others: ``route.next().cut_after(100, to="client")``.

        An attempt that fails counts as well.

        Args:
            count: How many.

        Returns:
            A route, which is used up when that many connections have been made or tried. Its faults must be commanded
            before.

        Raises:
            InvalidArgumentError: The count is not positive.
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InvalidArgumentError(f"next takes a number of connections from 1 on, not {count!r}")
        route = Route(self._routes, self.host, self.port, self.source, count)
        self._routes.all.append(route)
        return route

    def refuse(self) -> None:
        """Refuse connections, though somebody listens, until ``accept``. Open ones are not affected."""
        self._apply("refuse", partial(_refuse, True))

    def accept(self) -> None:
        """End a ``refuse``."""
        self._apply("refuse", partial(_refuse, False))

    def freeze(self) -> None:
        """Let the hosts stand still, as a process that is stopped: they take connections and say nothing.

        Until ``wake``; nothing is lost.
        """
        self._change_lines("freeze", None, lambda line: line.holds.add(Hold.FROZEN))

    def wake(self) -> None:
        """End a ``freeze``; what was sent meanwhile arrives."""
        self._change_lines("freeze", None, lambda line: line.holds.discard(Hold.FROZEN))

    def heal(self) -> None:
        """Take all faults away. What has ended, has ended; a half-open connection stays so."""
        for route in self._routes.all:
            if self._includes(route):
                route._changes.clear()
        super().heal()

    def _includes(self, route: Route) -> bool:
        return (
            self.host in (None, route.host) and self.port in (None, route.port) and self.source in (None, route.source)
        )

    def _covers(self, connection: Connection) -> bool:
        names = self._routes.names
        return (
            (self.host in (None, connection.host) or names.host_of(self.host) == connection.target)
            and self.port in (None, connection.port)
            and (self.source is None or names.host_of(self.source) == names.host_of(connection.source))
        )

    def _apply(self, kind: str, change: Change, *, lasting: bool = True) -> None:
        if self._future < math.inf and not lasting:
            raise InvalidArgumentError(f"{kind} is about open connections, and next() about future ones: use cut_after")
        if not self._future:
            raise InvalidArgumentError("the connections of this next() were made already, see network.connections")
        if lasting:
            self._changes[kind] = next(self._routes.numbers), change
        if self._future == math.inf:
            for connection in self._routes.connections:
                if self._covers(connection):
                    change(connection._cable)


class Routes:
    """The faults of a network: the routes that have some, and the connections that get them."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.connections: list[Connection] = []
        """All that were made, and those that are being made."""
        self.all: list[Route] = []
        self.numbers = count()
        """Tell in which order the commands were given."""

    def route(self, host: str | None, port: int | None, source: str | None) -> Route:
        """The route to an address, for all connections to it."""
        for route in self.all:
            if (route.host, route.port, route.source, route._future) == (host, port, source, math.inf):
                return route
        route = Route(self, host, port, source)
        self.all.append(route)
        return route

    def made(self) -> Iterable[Connection]:
        """The connections that were made."""
        return (connection for connection in self.connections if connection._made)

    def begin(self, connection: Connection) -> None:
        """Give a connection that is about to be made the faults of its routes."""
        changes: list[tuple[int, Change]] = []
        for route in self.all:
            if route._covers(connection) and route._future:
                route._future -= 1
                changes += route._changes.values()
        self.all = [route for route in self.all if route._future]
        self.connections.append(connection)
        for _, change in sorted(changes, key=_number):
            change(connection._cable)


def _number(numbered: tuple[int, Change]) -> int:
    return numbered[0]


def _refuse(refused: bool, cable: Cable) -> None:
    cable.refused = refused
