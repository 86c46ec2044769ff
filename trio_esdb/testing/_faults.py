"""What can be done to connections: to one of them, or to all that go to an address."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

from trio_esdb._errors import InvalidArgumentError

from ._cable import Cable, Ending, Side
from ._line import Hold, Line

SIDES: tuple[Side, ...] = ("client", "server")
ENDINGS: tuple[Ending, ...] = ("reset", "close", "half-open", "hold")
Change: TypeAlias = Callable[[Cable], None]


class Faults(ABC):
    """Faults of the network, on command: those of one ``Connection``, or those of all connections of a ``Route``.

    Where a method takes ``to``, it is about the bytes that travel to this side, ``"client"`` or ``"server"``; without
    it, about both directions. A command replaces an earlier one of the same kind. All take effect at once and
    none waits; times are seconds of trio's clock.
    """

    @abstractmethod
    def _apply(self, kind: str, change: Change, *, lasting: bool = True) -> None:
        """Make the change: now, and to future connections if it is a lasting one."""

    def latency(self, least: float, most: float | None = None, *, to: Side | None = None) -> None:
        """Let bytes take this time from one side to the other. Their order stays.

        Args:
            least: Seconds, or the least number of seconds of a range.
            most: The end of the range; a time is chosen from it, by the network's random source, for each piece that
                is sent.
            to: The side that they travel to.

        Raises:
            InvalidArgumentError: The times are no range.
        """
        most = least if most is None else most
        if not 0 <= least <= most < math.inf:
            raise InvalidArgumentError(f"a latency must be from 0 seconds on, not from {least!r} to {most!r}")

        def change(line: Line) -> None:
            line.latency = least, most

        self._change_lines("latency", to, change)

    def slow(self, bytes_per_second: float, *, to: Side | None = None) -> None:
        """Let no more than so many bytes pass in a second.

        Args:
            bytes_per_second: The rate; ``math.inf`` is no limit.
            to: The side that they travel to.

        Raises:
            InvalidArgumentError: The rate is not more than 0.
        """
        if not bytes_per_second > 0:
            raise InvalidArgumentError(f"a rate must be more than 0 bytes a second, not {bytes_per_second!r}")

        def change(line: Line) -> None:
            line.rate = bytes_per_second

        self._change_lines("slow", to, change)

    def hold(self, *, to: Side | None = None) -> None:
        """Let nothing pass, until ``release``. Nothing is lost.

        With ``to``, the connection works one way only. On a route, attempts to connect get no answer meanwhile.

        Args:
            to: The side that gets nothing.
        """
        self._change_lines("hold", to, lambda line: line.holds.add(Hold.HELD))

    def release(self, *, to: Side | None = None) -> None:
        """End a ``hold``; what was held arrives.

        Args:
            to: The side that gets bytes again.
        """
        self._change_lines("hold", to, lambda line: line.holds.discard(Hold.HELD))

    def cut_after(self, count: int, *, to: Side, end: Ending = "reset") -> None:
        """End the connection after so many further bytes. They still arrive.

        Args:
            count: How many bytes; 0 is at once. On a route, each connection has a count of its own.
            to: The side that these bytes travel to.
            end: What both sides see then. ``"reset"``: the connection is broken. ``"close"``: it has ended.
                ``"half-open"``: the server is gone and the client is not told, see ``half_open``. ``"hold"``: it is
                silent, see ``hold``.

        Raises:
            InvalidArgumentError: The count is negative, or an argument is not one of the words it can be.
        """
        _check(to, end=end)
        if to is None or isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise InvalidArgumentError(f"cut_after takes a number of bytes from 0 on and a side, not {count!r}, {to!r}")
        self._apply(f"cut to {to}", lambda cable: cable.cut_after(count, to, end))

    def half_open(self, *, gone: Side = "server") -> None:
        """Let one side be gone without the other being told, as when a machine loses its power.

        The side that is gone finds its end broken, so that it can be cleaned up. The other one hears nothing any more,
        and what it sends vanishes. Only ``reset`` and ``close`` change that. Future connections are not affected.

        Args:
            gone: Who is gone.

        Raises:
            InvalidArgumentError: It is not a side.
        """
        _check(gone)
        self._apply("half-open", lambda cable: cable.sever(gone), lasting=False)

    def reset(self) -> None:
        """Break open connections: both sides see a reset at once, and what is on its way is lost.

        Future connections are not affected.
        """
        self._apply("reset", lambda cable: cable.end("reset", at_once=True), lasting=False)

    def close(self) -> None:
        """Close open connections, as a proxy does that has had enough of them: both sides see an orderly end at once.

        What is on its way is lost. Future connections are not affected.
        """
        self._apply("close", lambda cable: cable.end("close", at_once=True), lasting=False)

    def heal(self) -> None:
        """Take all faults away. What has ended, has ended; a half-open connection stays so."""
        self._apply("heal", lambda cable: cable.heal())

    def _change_lines(self, kind: str, to: Side | None, change: Callable[[Line], object]) -> None:
        _check(to)

        def change_lines(cable: Cable) -> None:
            for line in cable.lines(to):
                change(line)
            cable.notify()

        self._apply(f"{kind} to {to}", change_lines)


def _check(to: object, *, end: object = "reset") -> None:
    if to is not None and to not in SIDES:
        raise InvalidArgumentError(f"a side of a connection is 'client' or 'server', not {to!r}")
    if end not in ENDINGS:
        raise InvalidArgumentError(f"an end is one of {', '.join(map(repr, ENDINGS))}, not {end!r}")
