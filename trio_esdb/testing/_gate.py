"""A process as its peers see it: it can be stopped and go on, and it can be killed.

A process that is stopped reads nothing and writes nothing, while the machine below it goes on: connections are taken,
and bytes wait at both sides of the process until it goes on. One that is killed says nothing more either, and the
machine closes its connections. All of a process's streams and listeners go through one gate, which is closed while
the process is stopped. The gate lies below TLS, as a process does that encrypts by itself.
"""

from __future__ import annotations

from typing import TypeAlias, cast

import trio

from trio_esdb._transport._tcp import reset_when_closed

from ._listener import MemoryListener
from ._stream import MemoryStream

_PIECE = 64 * 1024
Stream: TypeAlias = MemoryStream | trio.SocketStream
Listener: TypeAlias = MemoryListener | trio.SocketListener


class Gate:
    """What a process's streams and listeners go through.

    Args:
        listeners: Those on which it listens.
    """

    def __init__(self, listeners: list[Listener]) -> None:
        self.listeners = [_GatedListener(listener, self) for listener in listeners]
        """The listeners, for the process to use."""
        self._streams: dict[Stream, None] = {}
        self.is_killed = False
        """Whether the process was killed."""
        self._awake = trio.Event()
        self._awake.set()

    @property
    def is_stopped(self) -> bool:
        """Whether the process stands still."""
        return not self._awake.is_set()

    def stop(self) -> None:
        """Let the process stand still."""
        if not self.is_stopped and not self.is_killed:
            self._awake = trio.Event()

    def go_on(self) -> None:
        """Let the process go on."""
        self._awake.set()

    def kill(self) -> None:
        """Close everything, as the operating system does; what is on its way to peers still arrives."""
        self.is_killed = True
        for listener in self.listeners:
            _close(listener.below)
        for stream in list(self._streams):
            _close(stream)
        self._awake.set()

    async def running(self) -> None:
        """Wait while the process is stopped.

        Raises:
            trio.ClosedResourceError: The process was killed.
        """
        if self.is_stopped:
            await self._awake.wait()
        if self.is_killed:
            raise trio.ClosedResourceError("the process was killed")


class _GatedListener(trio.abc.Listener[trio.abc.Stream]):
    def __init__(self, below: Listener, gate: Gate) -> None:
        self.below = below
        self._gate = gate

    async def accept(self) -> trio.abc.Stream:
        """See trio. Connections are taken while the process is stopped too."""
        try:
            stream = cast(Stream, await self.below.accept())
        except trio.ClosedResourceError:
            if self._gate.is_killed:
                await trio.sleep_forever()  # a killed process does not notice
            raise
        return _GatedStream(stream, self._gate)

    async def aclose(self) -> None:
        """See trio."""
        await self.below.aclose()


class _GatedStream(trio.abc.Stream):
    def __init__(self, below: Stream, gate: Gate) -> None:
        self._below = below
        self._gate = gate
        self._received: bytes | None = None
        """What has come while the process was stopped."""
        gate._streams[below] = None

    def reset_when_closed(self) -> None:
        """Let the other end see a reset when this one is closed, not an orderly end."""
        reset_when_closed(self._below)

    @trio.lowlevel.enable_ki_protection
    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See trio."""
        await self._gate.running()
        rest = memoryview(data)
        while len(rest) > _PIECE:
            await self._below.send_all(rest[:_PIECE])
            await self._gate.running()
            rest = rest[_PIECE:]
        await self._below.send_all(rest)

    @trio.lowlevel.enable_ki_protection
    async def wait_send_all_might_not_block(self) -> None:
        """See trio."""
        await self._gate.running()
        await self._below.wait_send_all_might_not_block()

    @trio.lowlevel.enable_ki_protection
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See trio."""
        if self._received is None:
            try:
                data = bytes(await self._below.receive_some(max_bytes))
            except trio.BrokenResourceError:
                await self._gate.running()
                raise
            if not self._gate.is_stopped:
                return data
            self._received = data
        else:
            await trio.lowlevel.checkpoint()
        await self._gate.running()
        data, self._received = self._received, None
        if max_bytes is not None and len(data) > max_bytes:
            data, self._received = data[:max_bytes], data[max_bytes:]
        return data

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """See trio. The peer of a process that is stopped learns of it when the process goes on."""
        try:
            await self._gate.running()
        except trio.ClosedResourceError:
            pass
        finally:
            self._gate._streams.pop(self._below, None)
            await self._below.aclose()


def _close(below: Stream | Listener) -> None:
    if isinstance(below, MemoryStream | MemoryListener):
        below.close()
    else:
        below.socket.close()
