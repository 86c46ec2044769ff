"""One direction of a connection: the bytes on their way, and what the faults do to them.

A line has no task of its own. What is sent is stamped with the time at which it arrives, and whoever receives waits for
that time. The end of the connection travels behind the bytes, with a stamp of its own: so a peer learns of it in order,
after the latency, and not at all while the line is held.

The rate of a slow line is applied where the bytes are taken, because it may change while they are on their way.
"""

from __future__ import annotations

import errno
import math
import os
from collections import deque
from collections.abc import Callable
from enum import Enum
from random import Random

import trio

ROOM = 256 * 1024
"""Bytes that may be on their way before the sender has to wait."""
_PIECE = 0.1
"""Seconds that the bytes that come together on a slow line take, unless a single byte takes longer."""
_LARGEST_PIECE = 64 * 1024


class End(Enum):
    """How a connection ends, as the one who receives sees it."""

    CLOSE = "close"
    RESET = "reset"


class Hold(Enum):
    """Why nothing passes. A line may be held for several reasons at once."""

    HELD = "held"
    BETWEEN = "held between hosts"
    PARTED = "parted"
    """The network has no way in this direction. What is sent is sent again and again, and arrives when it has one."""
    FROZEN = "frozen"
    SEVERED = "severed"
    """One side is gone. This does not pass."""


class Line:
    """One direction of a connection."""

    def __init__(self, random: Random) -> None:
        self.carried = 0
        """Bytes that were sent and not cut off."""
        self.size = 0
        """Bytes that are on their way."""
        self.latency = (0.0, 0.0)
        self.rate = math.inf
        self.holds: set[Hold] = set()
        self.cut: tuple[int, Callable[[], None]] | None = None
        """How many bytes still pass until the line is cut, and what is done then; None if it is not to be cut."""
        self._random = random
        self._parts: deque[tuple[float, memoryview]] = deque()
        self._last_due = -math.inf
        self._free_at = -math.inf
        self._end: tuple[float, End] | None = None
        self._at_once = False
        self._unwanted = False
        self._changed: list[trio.Event] = []

    # -- sending -----------------------------------------------------------------------------------------------------

    def put(self, data: bytes) -> None:
        """Send. Nothing comes of it where the connection has ended, which the sender may not know yet."""
        if self._end is not None:
            return
        then = None
        if self.cut is not None:
            left, then = self.cut
            data = data[:left]
            self.cut = None if len(data) == left else (left - len(data), then)
        self.carried += len(data)
        if data and not self._unwanted:
            self._parts.append((self._stamp(), memoryview(data)))
            self.size += len(data)
        self.notify()
        if then is not None and self.cut is None:
            then()

    def end(self, kind: End, *, at_once: bool = False) -> None:
        """Let the one who receives see the end: after all that was sent before, or now, whatever is on its way."""
        if at_once:
            self._at_once = True
            self._end = -math.inf, kind
            self.discard()
        elif self._end is None:
            self._end = self._stamp(), kind
            self.notify()

    def _stamp(self) -> float:
        least, most = self.latency
        latency = self._random.uniform(least, most) if least < most else least
        self._last_due = max(self._last_due, trio.current_time() + latency)
        return self._last_due

    # -- receiving ---------------------------------------------------------------------------------------------------

    @property
    def _held(self) -> bool:
        return bool(self.holds) and not self._at_once

    def take(self, most: int) -> bytes:
        """What has arrived; empty if nothing has."""
        if self._held:
            return b""
        taken: list[memoryview] = []
        now = trio.current_time()
        while self._parts and most:
            size, arrival = self._next(most)
            if arrival > now:
                break
            due, data = self._parts[0]
            if self.rate < math.inf:
                self._free_at = arrival
            if size == len(data):
                self._parts.popleft()
            else:
                data, self._parts[0] = data[:size], (due, data[size:])
            taken.append(data)
            most -= size
            self.size -= size
        if taken:
            self.notify()
        return b"".join(taken)

    def _next(self, most: int) -> tuple[int, float]:
        """How many bytes arrive next, and when."""
        due, data = self._parts[0]
        size = min(len(data), most)
        if self.rate == math.inf:
            return size, due
        size = min(size, _LARGEST_PIECE, max(1, int(self.rate * _PIECE)))
        return size, max(due, self._free_at) + size / self.rate

    def arrival(self, most: int) -> float:
        """When something is to be taken next, or the end seen, in seconds of trio's clock."""
        if self._held:
            return math.inf
        if self._parts:
            return self._next(most)[1]
        return math.inf if self._end is None else self._end[0]

    def end_seen(self) -> End | None:
        """The end, if nothing is to be received before it and it has arrived."""
        return None if self._parts else self.end_known()

    def end_known(self) -> End | None:
        """The end, if it has arrived, though bytes may be left to be received."""
        if self._end is None or self._held or self._end[0] > trio.current_time():
            return None
        return self._end[1]

    def end_arrival(self) -> float:
        """When the end arrives, in seconds of trio's clock."""
        return math.inf if self._end is None or self._held else self._end[0]

    def discard(self) -> None:
        """Nobody receives any more; what is on its way and what is still sent vanishes."""
        self._unwanted = True
        self._parts.clear()
        self.size = 0
        self.notify()

    # -- waiting -----------------------------------------------------------------------------------------------------

    async def packet(self, given_up: float) -> None:
        """Wait as long as a single packet needs from one side to the other. A frozen host takes packets.

        Args:
            given_up: When nobody sends it any more, where the network has no way; in seconds of trio's clock.

        Raises:
            TimeoutError: The network had no way until then.
        """
        due = self._stamp()
        while True:
            now = trio.current_time()
            if Hold.PARTED in self.holds:
                if now >= given_up:
                    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
                until = given_up
            elif Hold.HELD in self.holds or Hold.BETWEEN in self.holds:
                until = math.inf
            elif now < due:
                until = due
            else:
                return
            await self.change(until)

    @trio.lowlevel.enable_ki_protection
    async def change(self, until: float = math.inf) -> None:
        """Wait until something was changed, or that time."""
        event = trio.Event()
        self._changed.append(event)
        if until == math.inf:
            await event.wait()
        else:
            with trio.move_on_at(until):
                await event.wait()

    def notify(self) -> None:
        """Wake who waits."""
        changed, self._changed = self._changed, []
        for event in changed:
            event.set()
