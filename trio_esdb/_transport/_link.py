"""The two tasks that move a connection's bytes: one reads, one writes, nobody else touches the stream.

Callers change the core synchronously and wake the writer. A cancelled caller therefore never tears a frame: what it
had queued is whole.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from trio_esdb._wire import ConnectionEnded, Event

if TYPE_CHECKING:
    from trio_esdb._wire import ClientConnection
    from trio_esdb._wire._server_connection import ServerConnection

Core = TypeVar("Core", "ClientConnection", "ServerConnection")

_READ_SIZE = 64 * 1024
_WRITE_SIZE = 256 * 1024
"""Larger buffers would be new pages of memory each time, which cost more than a further call."""
_CLOSING_TIME = 1.0
"""Seconds in which a connection's last words must leave."""


class Link(ABC, Generic[Core]):
    """One connection: a core, the byte stream under it, and what its events are done with."""

    def __init__(self, stream: trio.abc.Stream, core: Core) -> None:
        self.core: Core = core
        self.closed = trio.Event()
        self.reason = ""
        """Why the connection ended, once ``closed`` is set."""
        self._stream = stream
        self._writer: trio.lowlevel.Task | None = None
        self._sending = False
        self._lost: str | None = None

    @abstractmethod
    def handle(self, event: Event) -> None:
        """Do what one event asks for; must neither wait nor raise."""

    def wake(self) -> None:
        """There is something to send."""
        if self._writer is not None:
            task, self._writer = self._writer, None
            trio.lowlevel.reschedule(task)

    async def move_bytes(self) -> None:
        """Read and write until the connection ends or this is cancelled; then close the stream, in bounded time.

        Never raises for trouble with the connection: every call learns of it as its own end.
        """
        reason = "the connection was closed here"
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, nursery.cancel_scope)
                reason = await self._read()
                nursery.cancel_scope.cancel()
            if self._lost is not None and not self.core.ended:
                reason = self._lost
        finally:
            self.reason = reason
            if not self.core.ended:  # else its last words are queued
                self.core.goodbye()
            self._handle_all(self.core.connection_lost(reason))
            await self._close()
            self.closed.set()

    async def _read(self) -> str:
        """Feed the core until there is nothing more to read; why that is so."""
        core, stream = self.core, self._stream
        while True:
            try:
                data = await stream.receive_some(_READ_SIZE)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                return f"the connection broke: {exc.__cause__ or exc}"
            if not data:
                return "the peer closed the connection"
            events = core.receive_data(bytes(data))
            self._handle_all(events)
            if core.has_output:
                self.wake()
            if core.ended:
                return next((e.reason for e in events if isinstance(e, ConnectionEnded)), "the connection ended")

    async def _write(self, reading: trio.CancelScope) -> None:
        core, stream = self.core, self._stream
        try:
            while True:
                await trio.lowlevel.checkpoint_if_cancelled()  # what is queued then is for the last words
                data = core.data_to_send(_WRITE_SIZE)
                if core.events:
                    self._handle_all(core.take_events())
                if data:
                    self._sending = True
                    await stream.send_all(data)
                    self._sending = False
                else:
                    await self._wait_for_output()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._lost = f"the connection broke: {exc.__cause__ or exc}"
            reading.deadline = trio.current_time() + _CLOSING_TIME  # what the peer said last may still be there

    async def _wait_for_output(self) -> None:
        self._writer = trio.lowlevel.current_task()

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._writer = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _handle_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self.handle(event)

    async def _close(self) -> None:
        """Send what is queued, then close; at the latest after the closing time the stream is cut."""
        with trio.CancelScope(shield=True) as scope:
            if self._sending or self._lost is not None:  # a frame is torn, and nothing may follow it
                scope.cancel()
            else:
                scope.deadline = trio.current_time() + _CLOSING_TIME
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._stream.send_all(self.core.data_to_send())
            await self._stream.aclose()
        with trio.CancelScope(shield=True) as scope:
            scope.cancel()  # closed already, unless the time passed while something was still to be sent
            await self._stream.aclose()
