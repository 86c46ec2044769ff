"""The two tasks that move a connection's bytes: one reads, one writes, and nobody else touches the byte stream.

A call changes the core (``_wire``) synchronously, which leaves output in it, and wakes the writer. From that follows:

- A cancelled caller never tears a frame. What it had queued is whole, and only the writer sends.
- Leaving a call never waits: the reset is queued, and the writer sends it.
- Events are handled by the reader in the order in which they came. ``handle`` neither waits nor raises.

Back-pressure. What the peer may send is bounded by the windows of its streams. So is the DATA that is queued for it,
and of frames that answer the peer only so many may wait (``_wire``). Therefore the reader never has to stop reading. If
both ends stopped, each could wait for the other for ever.

Keepalive. A third task looks from time to time whether the peer still lives (``_wire._keep_alive``). It does so also
while the writer cannot go on because the peer takes nothing.

The end. Whoever ends the connection, what is queued then is sent, within the closing time. If a write was cut in two,
nothing may follow it, and the stream is closed at once.

Interrupts. Ctrl-C raises KeyboardInterrupt at any line of Python that trio does not protect. Two steps that belong
together, such as taking a waiting task out of its place and rescheduling it, must not be separated: the task would be
lost, or rescheduled twice, which is a TrioInternalError. So both tasks run under trio's protection, and so does
whatever else changes the core or reschedules a task. The interrupt then comes at the next checkpoint of the main task.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from trio_esdb._wire import Code, ConnectionEnded, Event, KeepAlive, Watch

from ._tcp import reset_when_closed

if TYPE_CHECKING:
    from trio_esdb._wire import ClientConnection
    from trio_esdb._wire._server_connection import ServerConnection

Core = TypeVar("Core", "ClientConnection", "ServerConnection")

_READ_SIZE = 64 * 1024
_WRITE_SIZE = 256 * 1024
"""Larger buffers would be new pages of memory each time, which cost more than a further call."""
_READERS_TURN = 1.0
"""Seconds that keepalive waits at most after the loop stood still."""
_CLOSED_HERE = "the connection was closed here"


class Link(ABC, Generic[Core]):
    """One connection: a core, the byte stream under it, and what is done with the core's events."""

    write_timeout: float = math.inf
    """Seconds in which the peer must take what is written at once; then the connection is lost."""
    closing_time: float = 1.0
    """Seconds in which the last output of a connection must leave."""
    on_sent: Callable[[], None] | None = None
    """Called whenever the peer took something; None if nobody wants to know."""
    resets_unanswered: bool = False
    """Whether a TCP connection that ends with calls open is reset."""
    says_goodbye: bool = True
    """Whether the connection ends in order: what is queued is sent, and a GOAWAY. Otherwise it is closed at once."""

    def __init__(self, stream: trio.abc.Stream, core: Core, keep_alive: KeepAlive | None = None) -> None:
        self.core: Core = core
        self.closed = trio.Event()
        self.reason = ""
        """Why the connection ended, once ``closed`` is set."""
        self.broken = False
        """Whether it ended though nobody closed it here."""
        self.rule_broken = False
        """Whether it ended because what the peer sent was not HTTP/2."""
        self.bytes_sent = 0
        self.bytes_received = 0
        self._stream = stream
        self._writer: trio.lowlevel.Task | None = None
        self._sending = False
        self._lost: str | None = None
        self._silent = False
        self._late: dict[Callable[[], None], None] = {}
        self._watch = Watch(keep_alive or KeepAlive())
        self._no_calls: trio.Event | None = None
        """What keepalive waits for as long as it has no call to care for."""

    @abstractmethod
    def handle(self, event: Event) -> None:
        """Do what one event asks for. Must neither wait nor raise."""

    @property
    def finished(self) -> bool:
        """Whether the connection is to be closed once its output has been sent."""
        return False

    @trio.lowlevel.enable_ki_protection
    def wake(self) -> None:
        """Tell the writer that there is something to send."""
        if self._writer is not None:
            task, self._writer = self._writer, None
            trio.lowlevel.reschedule(task)

    def before_sending(self, queue: Callable[[], None]) -> None:
        """Call this once when the writer is about to send, to queue output that was gathered until then."""
        self._late[queue] = None
        self.wake()

    def _queue_late(self) -> None:
        late, self._late = self._late, {}
        for queue in late:
            queue()

    @trio.lowlevel.enable_ki_protection
    async def move_bytes(self) -> None:
        """Read and write until the connection ends or this is cancelled; then close the stream, in bounded time.

        Never raises for trouble with the connection: every call learns of it as its own end.
        """
        reason = _CLOSED_HERE
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, nursery.cancel_scope)
                if not self._watch.idle:
                    self.core.heard_at = trio.current_time()
                    nursery.start_soon(self._stay_alive, nursery.cancel_scope)
                reason = await self._read()
                if self.core.ended:  # the peer broke a rule; the writer has still to say which
                    self.rule_broken = True
                    nursery.cancel_scope.deadline = trio.current_time() + self.closing_time
                    self.wake()
                else:
                    nursery.cancel_scope.cancel()
            if self._lost is not None and not self.core.ended:
                reason = self._lost
        finally:
            self.reason = reason
            self.broken = reason is not _CLOSED_HERE
            self._queue_late()
            unanswered = bool(self.core.streams)
            if not self.core.ended and self.says_goodbye:  # else its last output is queued
                self.core.goodbye(*(Code.INTERNAL_ERROR, reason) if self._silent else ())
            self._handle_all(self.core.connection_lost(reason))
            await self._close(reset=unanswered and self.resets_unanswered)
            self.closed.set()

    async def _read(self) -> str:
        """Feed the core until there is nothing more to read. Returns why that is so."""
        core, stream = self.core, self._stream
        while True:
            try:
                data = await stream.receive_some(_READ_SIZE)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                return f"the connection broke: {exc.__cause__ or exc}"
            if not data:
                return "the peer closed the connection"
            self.bytes_received += len(data)
            events = core.receive_data(bytes(data), trio.current_time())
            self._handle_all(events)
            if core.has_output:
                self.wake()
            if core.ended:
                return next((e.reason for e in events if isinstance(e, ConnectionEnded)), "the connection ended")

    @trio.lowlevel.enable_ki_protection
    async def _write(self, reading: trio.CancelScope) -> None:
        core, stream = self.core, self._stream
        try:
            while True:
                await trio.lowlevel.checkpoint_if_cancelled()  # what is queued then is sent by _close
                if self._late:
                    self._queue_late()
                data = core.data_to_send(_WRITE_SIZE)
                if core.events:
                    self._handle_all(core.take_events())
                if data:
                    self._sending = True
                    if self.write_timeout == math.inf:
                        await stream.send_all(data)
                    else:
                        await self._send_in_time(data)
                    self._sending = False
                    self.bytes_sent += len(data)
                    if self.on_sent is not None:
                        self.on_sent()
                elif self.finished or core.ended:
                    reading.cancel()
                    return
                else:
                    await self._wait_for_output()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._lost = f"the connection broke: {exc.__cause__ or exc}"
            reading.deadline = trio.current_time() + self.closing_time  # what the peer sent last may still be there

    @trio.lowlevel.enable_ki_protection
    async def _stay_alive(self, connection: trio.CancelScope) -> None:
        """Give the connection up when the peer is lost."""
        due = math.inf
        while True:
            # If this is late, the loop stood still. Bytes may wait that came in time: the reader has its turn before.
            await trio.sleep(min(max(0.0, trio.current_time() - due), _READERS_TURN))
            look_at = self._watch.look(self.core, trio.current_time())
            if look_at is None:
                self._lost, self._silent = self._watch.lost, True
                connection.cancel()
                return
            due = look_at
            if self.core.has_output:
                self.wake()
            if due == math.inf:
                self._no_calls = trio.Event()
                await self._no_calls.wait()
            else:
                await trio.sleep_until(due)

    def _care(self) -> None:
        """A call was opened while keepalive had none."""
        assert self._no_calls is not None
        self._no_calls.set()
        self._no_calls = None

    async def _send_in_time(self, data: bytes) -> None:
        with trio.move_on_after(self.write_timeout) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            raise trio.BrokenResourceError(f"the peer took nothing for {self.write_timeout:g} s")

    async def _wait_for_output(self) -> None:
        self._writer = trio.lowlevel.current_task()

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._writer = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _handle_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self.handle(event)

    async def _close(self, *, reset: bool) -> None:
        """Send what is queued, then close. After the closing time, the stream is closed whatever is left to send."""
        with trio.CancelScope(shield=True) as scope:
            torn = self._sending or (self._lost is not None and not self._silent)
            if torn or not self.says_goodbye:  # nothing may follow a frame that is torn
                scope.cancel()
            else:
                scope.deadline = trio.current_time() + self.closing_time
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._stream.send_all(self.core.data_to_send())
            if reset:
                reset_when_closed(self._stream)
            await self._close_stream()
        with trio.CancelScope(shield=True) as scope:
            scope.cancel()  # closed already, unless the time passed while something was still to be sent
            await self._close_stream()

    async def _close_stream(self) -> None:
        # A stream of the program's own may complain of a peer that is gone, even when it is just closed.
        try:  # noqa: SIM105 - every connection does this twice, and a context manager costs more
            await self._stream.aclose()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
