"""The byte stream at one end of a connection."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from operator import index

import trio

from ._line import ROOM, End, Line

_MOST = 64 * 1024


class MemoryStream(trio.abc.Stream):
    """One end of a connection of the memory network."""

    def __init__(self, outgoing: Line, incoming: Line) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._closed = False
        self._lost = False
        self._resets = False
        self._sending = False
        self._receiving = False
        self.on_top: Callable[[trio.abc.Stream], trio.abc.Stream] | None = None
        """Makes what a client is to use, of this stream or of TLS on it."""

    @property
    def is_open(self) -> bool:
        """Whether this end was not closed and knows of no reset."""
        return not self._closed and not self._lost and self._incoming.end_known() is not End.RESET

    def lose(self) -> None:
        """Let this end find the connection broken."""
        self._lost = True
        self._outgoing.notify()
        self._incoming.notify()

    def reset_when_closed(self) -> None:
        """Let the other end see a reset when this one is closed, not an orderly end."""
        self._resets = True

    @trio.lowlevel.enable_ki_protection
    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of the data. Waits while too much is on its way."""
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._sending = True
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._check()
            if data:
                self._outgoing.put(bytes(data))
            if self._outgoing.size <= ROOM:
                await trio.lowlevel.cancel_shielded_checkpoint()
            while self._outgoing.size > ROOM:
                await self._outgoing.change(self._incoming.end_arrival())
                self._check()
        finally:
            self._sending = False

    @trio.lowlevel.enable_ki_protection
    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room to send."""
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._sending = True
        try:
            await trio.lowlevel.checkpoint()
            while self._outgoing.size > ROOM and not self._closed and self.is_open:
                await self._outgoing.change(self._incoming.end_arrival())
            if self._closed:
                raise trio.ClosedResourceError("this stream was closed")
        finally:
            self._sending = False

    def _check(self) -> None:
        self._check_usable()
        end = self._incoming.end_known()
        if end is not None:
            raise _broken(errno.ECONNRESET if end is End.RESET else errno.EPIPE)

    def _check_usable(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed")
        if self._lost:
            raise _broken(errno.ECONNRESET)

    @trio.lowlevel.enable_ki_protection
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes; empty once the other end is closed and everything has been received."""
        if max_bytes is None:
            max_bytes = _MOST
        elif index(max_bytes) < 1:
            raise ValueError("max_bytes must be at least 1")
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving from this stream")
        self._receiving = True
        line = self._incoming
        try:
            await trio.lowlevel.checkpoint()
            while True:
                self._check_usable()
                data = line.take(max_bytes)
                if data:
                    return data
                end = line.end_seen()
                if end is End.CLOSE:
                    return b""
                if end is End.RESET:
                    raise _broken(errno.ECONNRESET)
                await line.change(line.arrival(max_bytes))
        finally:
            self._receiving = False

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Close this end. The other one can still receive what was sent before."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close this end at once, as an operating system does for a process that is killed."""
        if not self._closed:
            self._closed = True
            self._outgoing.end(End.RESET if self._resets else End.CLOSE)
            self._incoming.discard()
            self._outgoing.notify()


def _broken(number: int) -> trio.BrokenResourceError:
    error = trio.BrokenResourceError()
    error.__cause__ = OSError(number, os.strerror(number))
    return error
