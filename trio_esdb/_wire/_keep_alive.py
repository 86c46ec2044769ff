"""Whether the peer of a connection still lives, when nothing comes from it.

A peer that is frozen, whose host is gone, or that a router on the way has forgotten says nothing, and neither does TCP.
So after ``interval`` seconds in which no byte came, a PING asks. Any byte that comes after that is an answer. If none
comes for ``timeout`` seconds, the connection is lost. So a lost peer is found ``interval + timeout`` after its last
byte.

Nothing is done for a byte that comes, except that its time is noted. A timer looks at that time instead: ``look`` tells
what is due and when to look again.

Without calls nothing waits for the peer, so nobody asks, unless ``without_calls`` is set. Then ``look`` gives no time,
and the timer stands still until the next call is opened. If the connection has been silent for long by then, that call
begins with a PING: it may be on a connection that has been dead for hours.

Servers limit PINGs. Between two of them are ``interval`` seconds at least, and a server that finds that too often says
so in its GOAWAY; then all connections of the client ask half as often from then on (gRPC proposal A8).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._connection import Connection


class KeepAlive:
    """When connections ask their silent peer for a sign of life, in seconds. All connections of a client share it.

    Args:
        interval: After how long a silence a PING asks; infinite: never.
        timeout: How long a byte may take to come after that; infinite: the connection is never given up for it.
        without_calls: Whether connections without open calls ask, too.
    """

    __slots__ = ("interval", "timeout", "without_calls")

    def __init__(self, interval: float = math.inf, timeout: float = 10.0, without_calls: bool = False) -> None:
        if not interval > 0 or not timeout > 0:
            raise ValueError(f"keepalive's interval and timeout must be more than 0 s, not {interval} and {timeout}")
        self.interval = interval
        self.timeout = timeout
        self.without_calls = without_calls

    def __repr__(self) -> str:
        return f"KeepAlive({self.interval:g}, {self.timeout:g}, without_calls={self.without_calls})"


class Watch:
    """Keepalive of one connection."""

    __slots__ = ("_asked_at", "_keep_alive", "interval")

    def __init__(self, keep_alive: KeepAlive) -> None:
        self._keep_alive = keep_alive
        self.interval = keep_alive.interval
        """Seconds of silence after which this connection asks."""
        self._asked_at: float | None = None
        """When the last PING was queued, as long as no byte is known to have come since."""

    @property
    def idle(self) -> bool:
        """Whether this connection never asks."""
        return self.interval == math.inf

    @property
    def lost(self) -> str:
        """Why the connection is given up when ``look`` says so."""
        return f"no answer to a PING for {self._keep_alive.timeout:g} s, the peer is frozen or cannot be reached"

    def look(self, core: Connection, now: float) -> float | None:
        """Queue a PING if one is due.

        Args:
            core: The connection.
            now: The time in seconds, by the clock of its ``receive_data``.

        Returns:
            When to look again; infinite if only after a call has been opened; None if the connection is lost.
        """
        asked_at = self._asked_at
        if asked_at is not None and core.heard_at < asked_at:
            end = asked_at + self._keep_alive.timeout
            return None if now >= end else min(end, now + self.interval)
        self._asked_at = None
        if not core.streams and not self._keep_alive.without_calls:
            return math.inf
        due = core.heard_at + self.interval
        if now < due:
            return due
        core.ask_for_life()
        self._asked_at = now
        return now + min(self.interval, self._keep_alive.timeout)

    def slow_down(self) -> None:
        """The server finds the PINGs too many: this and all further connections send half as many."""
        self.interval *= 2
        self._keep_alive.interval = max(self._keep_alive.interval, self.interval)
