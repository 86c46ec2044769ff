"""Byte streams in memory: what is sent at one end is received at the other.

trio has such streams among its tools for tests. They are not used here, because importing these tools takes longer than
starting a node. Those of ``trio_esdb.testing`` have names, times and faults, which cost more than these.
"""

from __future__ import annotations

from collections import deque
from operator import index

import trio

_ROOM = 256 * 1024
"""Bytes that may wait for the receiver before the sender has to wait."""


def memory_streams() -> tuple[MemoryStream, MemoryStream]:
    """Two connected ends."""
    there, back = _Pipe(), _Pipe()
    return MemoryStream(there, back), MemoryStream(back, there)


class _Pipe:
    """One direction of a connection."""

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.size = 0
        self.sender_closed = False
        self.receiver_closed = False
        self.sending = False
        self.receiving = False
        self._changed: list[trio.Event] = []

    def notify(self) -> None:
        changed, self._changed = self._changed, []
        for event in changed:
            event.set()

    async def change(self) -> None:
        event = trio.Event()
        self._changed.append(event)
        await event.wait()


class MemoryStream(trio.abc.Stream):
    """One end of a connection in memory."""

    in_process = True
    """The other end is in this process and cannot vanish without a word, so a client needs no keepalive."""

    def __init__(self, outgoing: _Pipe, incoming: _Pipe) -> None:
        self._outgoing = outgoing
        self._incoming = incoming

    @trio.lowlevel.enable_ki_protection
    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of the data. Waits while more than ``_ROOM`` bytes wait for the receiver."""
        pipe = self._outgoing
        if pipe.sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        pipe.sending = True
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._check_open()
            if data:
                pipe.chunks.append(bytes(data))
                pipe.size += len(data)
                pipe.notify()
            if pipe.size <= _ROOM:
                await trio.lowlevel.cancel_shielded_checkpoint()
            while pipe.size > _ROOM:
                await pipe.change()
                self._check_open()
        finally:
            pipe.sending = False

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room to send."""
        pipe = self._outgoing
        if pipe.sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        pipe.sending = True
        try:
            await trio.lowlevel.checkpoint()
            while pipe.size > _ROOM and not pipe.receiver_closed and not pipe.sender_closed:
                await pipe.change()
            if pipe.sender_closed:
                raise trio.ClosedResourceError("this stream was closed")
        finally:
            pipe.sending = False

    def _check_open(self) -> None:
        if self._outgoing.sender_closed:
            raise trio.ClosedResourceError("this stream was closed")
        if self._outgoing.receiver_closed:
            raise trio.BrokenResourceError("the other end was closed")

    @trio.lowlevel.enable_ki_protection
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes; empty once the other end is closed and everything has been received."""
        if max_bytes is not None and index(max_bytes) < 1:
            raise ValueError("max_bytes must be at least 1")
        pipe = self._incoming
        if pipe.receiving:
            raise trio.BusyResourceError("another task is receiving from this stream")
        pipe.receiving = True
        try:
            await trio.lowlevel.checkpoint()
            while True:
                if pipe.receiver_closed:
                    raise trio.ClosedResourceError("this stream was closed")
                if pipe.chunks:
                    chunk = pipe.chunks.popleft()
                    if max_bytes is not None and len(chunk) > max_bytes:
                        pipe.chunks.appendleft(chunk[max_bytes:])
                        chunk = chunk[:max_bytes]
                    pipe.size -= len(chunk)
                    pipe.notify()
                    return chunk
                if pipe.sender_closed:
                    return b""
                await pipe.change()
        finally:
            pipe.receiving = False

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Close this end. The other end can still receive what was sent before."""
        self._outgoing.sender_closed = True
        self._incoming.receiver_closed = True
        self._incoming.chunks.clear()
        self._incoming.size = 0
        self._outgoing.notify()
        self._incoming.notify()
        await trio.lowlevel.checkpoint()
