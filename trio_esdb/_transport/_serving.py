"""The server's end of a connection: each call is given to its handler.

The reader of the connection runs everything that need not wait: it takes the events of the core one after another and
drives the generators of SyncHandlers itself. An AsyncHandler gets a task in the connection's nursery; the reader puts
its requests into a memory channel, which needs no limit of its own, since the call's receive window bounds what can be
in it. Responses go into the core at once; the writer is woken.

How a call ends: by the handler (a response, Failure, an exception), by its deadline, by the client's reset, by the end
of the connection. Whichever comes first wins. ``stream.owner`` is what is kept of a call that has not ended; the core
ignores what is said about a stream that it does not know any more, so a handler that ends late does no harm.

How a connection ends: when the client closes it or breaks HTTP/2's rules, when its task is cancelled, when it has been
silent for longer than its limits admit, or after ``drain``: that says GOAWAY, and the connection goes on until its last
call has ended.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import trio

from trio_esdb._wire import (
    PREFIX_SIZE,
    CallReceived,
    CallReset,
    Code,
    CompressedMessage,
    Drained,
    Event,
    KeepAlive,
    Limits,
    MessagesReceived,
    RequestsEnded,
    Status,
    Stream,
)
from trio_esdb._wire._server_connection import ServerConnection

from ._compression import decompress
from ._handlers import (
    AsyncHandler,
    Authenticate,
    Caller,
    Failure,
    Handler,
    HttpFailure,
    Later,
    Never,
    ServerCall,
    SyncHandler,
    handler_failed,
)
from ._link import Link

_log = logging.getLogger("trio_esdb.server")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may be silent, in seconds.

    ``preface`` is the time in which a client must send HTTP/2's connection preface. ``idle`` is how long a connection
    is kept without a call, at least; it may be twice as long. ``write`` is the time in which the client must take what
    is written to it at once. After a silence of ``ping`` a PING asks whether the client is still there, also when it
    has no call, and within ``pong`` it must answer.
    """

    preface: float = math.inf
    idle: float = math.inf
    write: float = math.inf
    ping: float = math.inf
    pong: float = math.inf

    def __post_init__(self) -> None:
        for seconds in (self.preface, self.idle, self.write, self.ping, self.pong):
            if not seconds > 0:
                raise ValueError(f"a timeout of a connection must be more than 0 seconds, not {seconds}")


class _Running:
    """What the link keeps of a call: where its requests go, how it is stopped."""

    __slots__ = ("call", "generator", "requests", "scope")

    def __init__(self, call: ServerCall) -> None:
        self.call = call
        self.generator: Generator[None, bytes | None, bytes | Later | Never] | None = None
        self.requests: trio.MemorySendChannel[bytes] | None = None
        self.scope: trio.CancelScope | None = None
        """The scope of the call's task, if it has one."""


class ServerLink(Link[ServerConnection]):
    """One accepted connection."""

    resets_unanswered = True

    def __init__(
        self,
        stream: trio.abc.Stream,
        handlers: Mapping[str, Handler],
        unknown: Callable[[str], Failure],
        limits: Limits | None = None,
        patience: Patience | None = None,
        authenticate: Authenticate | None = None,
    ) -> None:
        self._patience = patience or Patience()
        keep_alive = KeepAlive(self._patience.ping, self._patience.pong, without_calls=True)
        super().__init__(stream, ServerConnection(limits), keep_alive)
        self._handlers = handlers
        self._unknown = unknown
        self._authenticate = authenticate
        self.write_timeout = self._patience.write
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope()
        self._draining = False

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Serve the connection until it ends; cancel this to close it."""
        with self._scope:
            async with trio.open_nursery() as self._nursery:
                if self._patience.preface < math.inf or self._patience.idle < math.inf:
                    self._nursery.start_soon(self._close_when_silent)
                await self.move_bytes()
                self._nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Close the connection now; its open calls end with it."""
        self._scope.cancel()

    def cut(self, *, reset: bool = False) -> None:
        """Close the connection now, without a word to the client.

        Args:
            reset: Whether a TCP connection is reset, if calls are open. The first time counts.
        """
        if self.says_goodbye:
            self.says_goodbye = False
            self.resets_unanswered = reset
            self._scope.cancel()

    @trio.lowlevel.enable_ki_protection
    def drain(self) -> None:
        """Say GOAWAY and go on. The connection closes when no call is open; calls that still come are served."""
        self._draining = True
        if self.core.streams:
            self.core.drain()
        self.wake()

    @property
    def finished(self) -> bool:
        """Whether the connection is to be closed once its output has been sent."""
        return self._draining and not self.core.streams

    @trio.lowlevel.enable_ki_protection
    async def _close_when_silent(self) -> None:
        if self._patience.preface < math.inf:
            await trio.sleep(self._patience.preface)
            if not self.core.greeted:
                self.close()
        calls = -1
        while self.core.streams or self.core.calls != calls:
            calls = self.core.calls
            await trio.sleep(self._patience.idle)
        self.drain()

    @trio.lowlevel.enable_ki_protection
    def take(self, stream: Stream, message: bytes) -> bytes:
        """The content of a request that the handler takes now.

        Raises:
            Failure: It is compressed and cannot be decompressed.
        """
        self.core.take(stream, len(message) + PREFIX_SIZE)
        if self.core.has_output:
            self.wake()
        return self._decompressed(stream, message) if type(message) is CompressedMessage else message

    def _decompressed(self, stream: Stream, message: bytes) -> bytes:
        encoding = dict(stream.headers or ()).get("grpc-encoding")
        return decompress(message, encoding, self.core.limits.receive_message)

    @trio.lowlevel.enable_ki_protection
    def respond(self, stream: Stream, messages: tuple[bytes, ...]) -> None:
        """Queue responses."""
        self.core.respond(stream, messages)
        self.wake()

    def handle(self, event: Event) -> None:
        """Give an event to the handler of its call."""
        if type(event) is CallReceived:
            self._begin(event)
        elif type(event) is MessagesReceived:
            self._requests_came(event.stream, event.messages)
        elif type(event) is RequestsEnded:
            self._requests_ended(event.stream)
        elif type(event) is CallReset:
            self._stop(event.stream)
            if self._draining:
                self.wake()  # this may have been the last call
        elif type(event) is Drained:
            running: _Running | None = event.stream.owner
            if running is not None:
                running.call.drained()

    def _begin(self, event: CallReceived) -> None:
        stream = event.stream
        caller: Caller | None = None
        if self._authenticate is not None:
            try:
                caller = self._authenticate([value for key, value in stream.headers or () if key == "authorization"])
            except Failure as failure:
                self._fail(stream, failure)
                return
            except HttpFailure as failure:
                self.core.refuse_http(stream, failure.status)
                self.wake()
                return
        handler = self._handlers.get(event.path)
        if handler is None:
            self._fail(stream, self._unknown(event.path))
            return
        assert self._nursery is not None
        deadline = math.inf if event.timeout == math.inf else trio.current_time() + event.timeout
        call = ServerCall(event.path, event.metadata, deadline, caller, self, stream)
        running = stream.owner = _Running(call)
        if isinstance(handler, SyncHandler):
            running.generator = handler.run(call)
            self._step(stream, running, None)
            if deadline != math.inf and stream.owner is not None:
                running.scope = trio.CancelScope()
                self._nursery.start_soon(self._expire, stream, running, running.scope, deadline)
        else:
            # Without a limit of its own: the call's receive window bounds what can be in it.
            running.requests, call._requests = trio.open_memory_channel[bytes](math.inf)
            running.scope = trio.CancelScope(deadline=deadline)
            self._nursery.start_soon(self._converse, stream, running, running.scope, handler)

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
            if type(message) is CompressedMessage:
                try:
                    message = self._decompressed(stream, message)
                except Failure as failure:
                    self._drop(stream, running)
                    self._fail(stream, failure)
                    return
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
        """Go on with a SyncHandler. Returns whether it wants more requests."""
        assert running.generator is not None
        try:
            running.generator.send(message)
        except StopIteration as stop:
            if isinstance(stop.value, Later):
                assert self._nursery is not None
                self._nursery.start_soon(self._respond_later, stream, running, stop.value)
                return False
            if isinstance(stop.value, Never):
                return False
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
        except Exception as exc:  # noqa: BLE001 - a bug of a handler must not end the connection
            self._drop(stream, running)
            self._crashed(stream, running.call, exc)
            return False
        return True

    @trio.lowlevel.enable_ki_protection
    async def _respond_later(self, stream: Stream, running: _Running, later: Later) -> None:
        try:
            response = await later.respond()
        except Failure as failure:
            if self._drop_if_open(stream, running):
                self._fail(stream, failure)
        except Exception as exc:  # noqa: BLE001 - as in _step
            if self._drop_if_open(stream, running):
                self._crashed(stream, running.call, exc)
        else:
            if self._drop_if_open(stream, running):
                self.core.respond(stream, (response,))
                self.core.finish(stream, Status.OK)
                self.wake()

    def _drop_if_open(self, stream: Stream, running: _Running) -> bool:
        """Drop a call, unless it has ended already; whether it had not."""
        if stream.owner is not running:
            return False
        self._drop(stream, running)
        return True

    @trio.lowlevel.enable_ki_protection
    async def _expire(self, stream: Stream, running: _Running, scope: trio.CancelScope, deadline: float) -> None:
        with scope:
            await trio.sleep_until(deadline)
            self._drop(stream, running)
            self._fail(stream, Failure(Status.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    @trio.lowlevel.enable_ki_protection
    async def _converse(
        self, stream: Stream, running: _Running, scope: trio.CancelScope, handler: AsyncHandler
    ) -> None:
        try:
            with scope:
                await handler.run(running.call)
        except Failure as failure:
            self._fail(stream, failure)
        except Exception as exc:  # noqa: BLE001 - as in _step
            self._crashed(stream, running.call, exc)
        else:
            if scope.cancelled_caught:
                self._fail(stream, Failure(Status.DEADLINE_EXCEEDED, "Deadline Exceeded"))
            else:
                self._succeed(stream)
        finally:
            stream.owner = None

    def _stop(self, stream: Stream) -> None:
        running: _Running | None = stream.owner
        if running is not None:
            if running.generator is not None:
                self._drop(stream, running)
            elif running.scope is not None:
                running.scope.cancel()

    def _drop(self, stream: Stream, running: _Running) -> None:
        """Forget a call with a SyncHandler, which has ended."""
        stream.owner = None
        if running.scope is not None:
            running.scope.cancel()
        assert running.generator is not None
        try:
            running.generator.close()
        except Exception as exc:  # noqa: BLE001 - as in _step
            _log.error("%s failed when it was stopped", running.call.path, exc_info=exc)

    @trio.lowlevel.enable_ki_protection
    def _succeed(self, stream: Stream) -> None:
        self.core.finish(stream, Status.OK)
        self.wake()

    @trio.lowlevel.enable_ki_protection
    def _fail(self, stream: Stream, failure: Failure) -> None:
        """End the call with a status. Trailers that cannot be headers end it in the same way as on a real node."""
        try:
            self.core.finish(stream, failure.status, failure.message, failure.trailers, failure.headers)
        except (TypeError, ValueError):
            if self.core.has_begun(stream):
                self.core.reset(stream, Code.INTERNAL_ERROR)
            else:
                self.core.refuse_http(stream, 500)
        self.wake()

    def _crashed(self, stream: Stream, call: ServerCall, exc: Exception) -> None:
        """A fault of ours: the client learns no more of it than from a real node."""
        _log.error("%s failed", call.path, exc_info=exc)
        self._fail(stream, handler_failed())


async def serve_stream(
    stream: trio.abc.Stream,
    handlers: Mapping[str, Handler],
    unknown: Callable[[str], Failure],
    limits: Limits | None = None,
) -> None:
    """Serve one connection until it ends; cancel this to close it.

    Args:
        stream: The connection; it is closed at the end.
        handlers: The handlers by the paths of their calls.
        unknown: Makes the failure for any other path.
        limits: Sizes that hold for the connection.
    """
    await ServerLink(stream, handlers, unknown, limits).run()
