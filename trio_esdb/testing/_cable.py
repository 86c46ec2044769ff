"""Both directions of a connection and its two ends, and what faults do to it as a whole."""

from __future__ import annotations

import math
from random import Random
from typing import Literal, TypeAlias

from ._line import End, Hold, Line
from ._stream import MemoryStream

Side: TypeAlias = Literal["client", "server"]
"""One side of a connection. The client is the one who connected."""
Ending: TypeAlias = Literal["reset", "close", "half-open", "hold"]
"""What comes after the last byte: a reset, an orderly end, a server that is gone without a word, or silence."""


class Cable:
    """A connection without its name: two lines and two streams."""

    def __init__(self, random: Random) -> None:
        # Each line has chance of its own, so that the order in which both sides run does not matter to it.
        self.to_server = Line(Random(random.getrandbits(64)))
        self.to_client = Line(Random(random.getrandbits(64)))
        self.client = MemoryStream(self.to_server, self.to_client)
        self.server = MemoryStream(self.to_client, self.to_server)
        self.refused = False
        """Whether the connection is not to be made."""

    def lines(self, to: Side | None) -> tuple[Line, ...]:
        """The line to a side; both where no side is named."""
        if to is None:
            return self.to_server, self.to_client
        return (self.to_server if to == "server" else self.to_client,)

    def notify(self) -> None:
        """Let all who wait look again: what they wait for depends on both directions."""
        for line in self.lines(None):
            line.notify()

    def cut_after(self, count: int, to: Side, end: Ending) -> None:
        """End the connection after so many further bytes to this side."""
        if count:
            (line,) = self.lines(to)
            line.cut = count, lambda: self.end(end)
        else:
            self.end(end)

    def end(self, end: Ending, *, at_once: bool = False) -> None:
        """End the connection: behind what is on its way, or at once."""
        if end == "half-open":
            self.sever("server")
        for line in self.lines(None):
            if end == "hold":
                line.holds.add(Hold.HELD)
            elif end != "half-open":
                line.end(End(end), at_once=at_once)
        self.notify()

    def sever(self, gone: Side) -> None:
        """Break this side's end, and tell the other nothing any more."""
        for line in self.lines(None):
            line.holds.add(Hold.SEVERED)
        (self.server if gone == "server" else self.client).lose()

    def heal(self) -> None:
        """Take the faults away that can be. Those between hosts are none of a connection."""
        self.refused = False
        for line in self.lines(None):
            line.latency = (0.0, 0.0)
            line.rate = math.inf
            line.cut = None
            line.holds &= {Hold.SEVERED, Hold.PARTED, Hold.BETWEEN}
        self.notify()
