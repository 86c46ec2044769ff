"""What a server does with a call: its handler, the call as the handler sees it, the failure that ends it.

Most calls of EventStoreDB have one request and one response, and never wait. A task for each of them would cost more
than all else that the call does. So there are two kinds of handler: a ``SyncHandler`` is a generator that is run by the
task that reads the connection, an ``AsyncHandler`` has a task of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import trio

from trio_esdb._wire import Metadata, Status, Stream

_HIGH_WATER = 64 * 1024
"""Bytes of a call that may wait to be sent before its handler has to wait."""


class Failure(Exception):
    """Ends a call with a status other than OK.

    Args:
        status: The gRPC status.
        message: The text that goes with it.
        trailers: Further trailers. Those without a value are left out, as on a real node.
        headers: Headers of gRPC's own, if the call has no response yet.
    """

    def __init__(
        self,
        status: Status,
        message: str = "",
        trailers: Mapping[str, str | bytes] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.headers = headers
        self.trailers = {key: value for key, value in (trailers or {}).items() if value}


class HttpFailure(Exception):
    """Ends a call with an HTTP status and no status of gRPC, as where a server fails before it comes to that.

    Args:
        status: The HTTP status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call, on a server that asks for it.

    ``name`` is None where the client did not say who it is. ``groups`` are the names of the groups of the user.
    """

    name: str | None = None
    groups: frozenset[str] = frozenset()


Authenticate = Callable[[Sequence[str]], Caller]
"""Tells who makes a call from the values of its ``authorization`` headers. Raises Failure or HttpFailure."""


def handler_failed() -> Failure:
    """What a node answers where a handler fails on the request; in practice the request is malformed."""
    return Failure(Status.UNKNOWN, "Exception was thrown by handler.")


@dataclass(frozen=True, slots=True)
class Never:
    """What a SyncHandler returns, once the client has sent all requests, if the call gets no answer.

    The call stays open, without a task, until its deadline passes, the client resets it or the connection ends.
    """


@dataclass(frozen=True, slots=True)
class SyncHandler:
    """A handler that never waits and needs no task: a generator function.

    The generator is sent each request as it comes, and None when the client has sent them all. It returns the
    response. It may raise Failure at any time, also while requests are still coming.
    """

    run: Callable[[ServerCall], Generator[None, bytes | None, bytes | Later | Never]]


@dataclass(frozen=True, slots=True)
class Later:
    """What a SyncHandler returns, once the client has sent all requests, if the response takes longer.

    The function is called in a task of its own and gives the response, or raises Failure. It goes on when the client
    resets the call or its deadline passes; only the end of the connection cancels it.
    """

    respond: Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class AsyncHandler:
    """A handler with a task of its own. It ends the call with OK by returning, or with a status by raising Failure.

    The task is cancelled when the client resets the call, when the call's deadline passes and when the connection
    ends.
    """

    run: Callable[[ServerCall], Awaitable[None]]


Handler = SyncHandler | AsyncHandler


class CallLink(Protocol):
    """The connection of a call, as far as the call needs it."""

    def take(self, stream: Stream, message: bytes) -> bytes:
        """The content of a request that the handler takes now."""

    def respond(self, stream: Stream, messages: tuple[bytes, ...]) -> None:
        """Queue responses."""


@dataclass(slots=True)
class ServerCall:
    """A call as its handler sees it.

    ``metadata`` holds the request's metadata with lower-case keys and decoded ``-bin`` values. It may hold passwords,
    so it is left out of the ``repr``. ``deadline`` is a time of ``trio.current_time()`` in seconds, infinite where the
    client gave none. ``caller`` is None on a server that does not ask who its clients are.
    """

    path: str
    metadata: Metadata = field(repr=False)
    deadline: float
    caller: Caller | None
    _link: CallLink = field(repr=False)
    _stream: Stream = field(repr=False)
    _requests: trio.MemoryReceiveChannel[bytes] | None = field(default=None, repr=False)
    _room: trio.Event | None = field(default=None, repr=False)

    async def receive(self) -> bytes:
        """The next request.

        Raises:
            trio.EndOfChannel: The client has sent them all.
        """
        assert self._requests is not None, "a SyncHandler is sent its requests"
        message = await self._requests.receive()
        return self._link.take(self._stream, message)

    @property
    def behind(self) -> bool:
        """Whether responses wait to be sent: for the client's windows, or because it does not read its socket."""
        return bool(self._stream.unsent)

    def post(self, *messages: bytes) -> None:
        """Queue responses without waiting. Only for little at a time, to a client that is not ``behind``."""
        self._link.respond(self._stream, messages)

    async def send(self, *messages: bytes) -> None:
        """Queue responses, then wait while more than a little of this call has still to be sent."""
        self.post(*messages)
        if self._stream.unsent > _HIGH_WATER:
            self._stream.drain_wanted = True
            if self._room is None or self._room.is_set():
                self._room = trio.Event()
            await self._room.wait()
        else:
            await trio.lowlevel.checkpoint()

    def drained(self) -> None:
        """All responses have been sent: ``send`` goes on."""
        if self._room is not None:
            self._room.set()
