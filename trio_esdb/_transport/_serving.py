"""The server's end: connections are accepted, each call is given to its method."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field

import trio

from trio_esdb._wire import (
    PREFIX_SIZE,
    CallReceived,
    CallReset,
    Code,
    Drained,
    Event,
    Limits,
    MessagesReceived,
    Metadata,
    RequestsEnded,
    Status,
    Stream,
)
from trio_esdb._wire._server_connection import ServerConnection

from ._link import Link

_log = logging.getLogger("trio_esdb.server")

_HIGH_WATER = 64 * 1024
"""Bytes of a call that may wait for the client's window before its method has to wait."""


class Failure(Exception):
    """Ends a call with a status other than OK. Trailers without a value are left out, as a real node does."""

    def __init__(self, status: Status, message: str = "", trailers: Mapping[str, str | bytes] | None = None) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.trailers = {key: value for key, value in (trailers or {}).items() if value}


@dataclass(frozen=True, slots=True)
class SyncHandler:
    """A method that never waits and so needs no task: a generator function.

    It is sent each request as it comes and None when the client has sent them all; it returns the response. It may
    raise Failure at any time, also while requests are still coming.
    """

    run: Callable[[ServerCall], Generator[None, bytes | None, bytes]]


@dataclass(frozen=True, slots=True)
class AsyncHandler:
    """A method with a task of its own: returning ends the call with OK, raising Failure with its status.

    The task is cancelled when the client gives the call up, when the call's deadline passes and when the connection
    ends.
    """

    run: Callable[[ServerCall], Awaitable[None]]


Handler = SyncHandler | AsyncHandler


@dataclass(slots=True)
class ServerCall:
    """A call as its method sees it.

    ``metadata`` holds the request's metadata with lower-case keys, ``-bin`` values decoded. ``deadline`` is in
    ``trio.current_time()``'s seconds, infinite where the client gave none.
    """

    path: str
    metadata: Metadata
    deadline: float
    _link: ServerLink = field(repr=False)
    _stream: Stream = field(repr=False)
    _requests: trio.MemoryReceiveChannel[bytes] | None = field(default=None, repr=False)
    _room: trio.Event | None = field(default=None, repr=False)

    async def receive(self) -> bytes:
        """The next request; trio.EndOfChannel when the client has sent them all."""
        assert self._requests is not None, "a SyncHandler is sent its requests"
        message = await self._requests.receive()
        self._link.take(self._stream, len(message) + PREFIX_SIZE)
        return message

    @property
    def behind(self) -> bool:
        """Whether responses wait for the client's window."""
        return bool(self._stream.unsent)

    def post(self, *messages: bytes) -> None:
        """Queue responses without waiting; for little at a time, to a client that is not ``behind``."""
        self._link.respond(self._stream, messages)

    async def send(self, *messages: bytes) -> None:
        """Queue responses, and wait while more than a little of this call is still to be taken by the client."""
        self.post(*messages)
        if self._stream.unsent > _HIGH_WATER:
            self._stream.drain_wanted = True
            if self._room is None or self._room.is_set():
                self._room = trio.Event()
            await self._room.wait()
        else:
            await trio.lowlevel.checkpoint()


class _Running:
    """What the link keeps of a call: where its requests go, how it is stopped."""

    __slots__ = ("call", "generator", "requests", "scope")

    def __init__(self, call: ServerCall) -> None:
        self.call = call
        self.generator: Generator[None, bytes | None, bytes] | None = None
        self.requests: trio.MemorySendChannel[bytes] | None = None
        self.scope = trio.CancelScope()


class ServerLink(Link[ServerConnection]):
    """One accepted connection."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        methods: Mapping[str, Handler],
        unknown: Callable[[str], Failure],
        limits: Limits | None = None,
    ) -> None:
        super().__init__(stream, ServerConnection(limits))
        self._methods = methods
        self._unknown = unknown
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Serve the connection until it ends."""
        async with trio.open_nursery() as self._nursery:
            await self.move_bytes()
            self._nursery.cancel_scope.cancel()

    def take(self, stream: Stream, size: int) -> None:
        """A method took a request."""
        self.core.take(stream, size)
        if self.core.has_output:
            self.wake()

    def respond(self, stream: Stream, messages: tuple[bytes, ...]) -> None:
        """A method gives responses."""
        self.core.respond(stream, messages)
        self.wake()

    def handle(self, event: Event) -> None:
        """Hand an event to the method that it belongs to."""
        if type(event) is CallReceived:
            self._begin(event)
        elif type(event) is MessagesReceived:
            self._requests_came(event.stream, event.messages)
        elif type(event) is RequestsEnded:
            self._requests_ended(event.stream)
        elif type(event) is CallReset:
            self._stop(event.stream)
        elif type(event) is Drained:
            running: _Running | None = event.stream.owner
            if running is not None and running.call._room is not None:
                running.call._room.set()

    def _begin(self, event: CallReceived) -> None:
        stream = event.stream
        method = self._methods.get(event.path)
        if method is None:
            self._fail(stream, self._unknown(event.path))
            return
        assert self._nursery is not None
        deadline = math.inf if event.timeout == math.inf else trio.current_time() + event.timeout
        call = ServerCall(event.path, event.metadata, deadline, self, stream)
        running = stream.owner = _Running(call)
        if isinstance(method, SyncHandler):
            running.generator = method.run(call)
            self._step(stream, running, None)
            if deadline != math.inf and stream.owner is not None:
                self._nursery.start_soon(self._expire, stream, running, deadline)
        else:
            # Without a limit of its own: the call's receive window bounds what can be in it.
            running.requests, call._requests = trio.open_memory_channel[bytes](math.inf)
            self._nursery.start_soon(self._converse, stream, running, method, deadline)

    def _requests_came(self, stream: Stream, messages: list[bytes]) -> None:
        running: _Running | None = stream.owner
        if running is None:
            return
        if running.requests is not None:
            for message in messages:
                running.requests.send_nowait(message)
            return
        for message in messages:
            self.core.take(stream, len(message) + PREFIX_SIZE)
            if not self._step(stream, running, message):
                return

    def _requests_ended(self, stream: Stream) -> None:
        running: _Running | None = stream.owner
        if running is None:
            return
        if running.requests is not None:
            running.requests.close()
        elif self._step(stream, running, None):
            self._drop(stream, running)
            self._crashed(stream, running.call, RuntimeError("it asked for another request after the last"))

    def _step(self, stream: Stream, running: _Running, message: bytes | None) -> bool:
        """Go on with a SyncHandler; whether it wants more."""
        assert running.generator is not None
        try:
            running.generator.send(message)
        except StopIteration as stop:
            self._drop(stream, running)
            if isinstance(stop.value, bytes):
                self.core.respond(stream, (stop.value,))
                self.core.finish(stream, Status.OK)
            else:
                self._crashed(stream, running.call, TypeError(f"it answered with {stop.value!r}"))
            return False
        except Failure as failure:
            self._drop(stream, running)
            self._fail(stream, failure)
            return False
        except Exception as exc:  # noqa: BLE001 - a method's bug must not take the connection down
            self._drop(stream, running)
            self._crashed(stream, running.call, exc)
            return False
        return True

    async def _expire(self, stream: Stream, running: _Running, deadline: float) -> None:
        with running.scope:
            await trio.sleep_until(deadline)
            self._drop(stream, running)
            self._fail(stream, Failure(Status.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    async def _converse(self, stream: Stream, running: _Running, method: AsyncHandler, deadline: float) -> None:
        running.scope.deadline = deadline
        try:
            with running.scope:
                await method.run(running.call)
        except Failure as failure:
            self._fail(stream, failure)
        except Exception as exc:  # noqa: BLE001 - as in _step
            self._crashed(stream, running.call, exc)
        else:
            if running.scope.cancelled_caught:
                self._fail(stream, Failure(Status.DEADLINE_EXCEEDED, "Deadline Exceeded"))
            else:
                self.core.finish(stream, Status.OK)
                self.wake()
        finally:
            stream.owner = None

    def _stop(self, stream: Stream) -> None:
        running: _Running | None = stream.owner
        if running is not None:
            if running.generator is not None:
                self._drop(stream, running)
            running.scope.cancel()

    def _drop(self, stream: Stream, running: _Running) -> None:
        """A SyncHandler is over."""
        stream.owner = None
        running.scope.cancel()
        assert running.generator is not None
        try:
            running.generator.close()
        except Exception as exc:  # noqa: BLE001 - as in _step
            _log.error("%s failed when it was stopped", running.call.path, exc_info=exc)

    def _fail(self, stream: Stream, failure: Failure) -> None:
        """End the call with a status. Trailers that cannot be headers end it as they end it on a real node."""
        try:
            self.core.finish(stream, failure.status, failure.message, failure.trailers)
        except (TypeError, ValueError):
            if self.core.has_begun(stream):
                self.core.reset(stream, Code.INTERNAL_ERROR)
            else:
                self.core.refuse_http(stream, 500)
        self.wake()

    def _crashed(self, stream: Stream, call: ServerCall, exc: Exception) -> None:
        _log.error("%s failed", call.path, exc_info=exc)
        self._fail(stream, Failure(Status.INTERNAL, f"{call.path} failed: {exc!r}"))


async def serve_stream(
    stream: trio.abc.Stream,
    methods: Mapping[str, Handler],
    unknown: Callable[[str], Failure],
    limits: Limits | None = None,
) -> None:
    """Serve one connection until it ends; cancel this to close it.

    ``methods`` maps a call's path to its method, ``unknown`` makes the failure for any other path.
    """
    await ServerLink(stream, methods, unknown, limits).run()
