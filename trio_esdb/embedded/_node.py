"""The node: its clock, its ids, its connections, its life."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import trio

from trio_esdb._nursery import background_tasks
from trio_esdb._transport import serve_tcp
from trio_esdb._transport._serving import serve_stream
from trio_esdb._wire import Limits

from ._memory import memory_streams
from ._services import Feed, NodeContext, methods_of, unknown_to
from ._store import TICKS, Store, write_first_events

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = int((datetime(2026, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * TICKS
_LIMITS = Limits(
    receive_message=16_767_216,
    stream_window=768 * 1024,
    connection_window=1024 * 1024,
    header_list=32 * 1024,
    concurrent_streams=100,
    largest_stream_window=768 * 1024,
)
"""A real node's."""
_HERE = ("127.0.0.1", 2113)
_ANYWHERE = ("", "0.0.0.0", "::", "localhost")


class EmbeddedNode:
    """An EventStoreDB node in this process, for development and tests. What it holds is gone when it ends.

    It speaks the real protocol and answers as a single, insecure node of version 24.10.4 does. Use it as a context
    manager, or give it to a nursery of yours with ``await nursery.start(node.run)``; then connect to it in memory
    (``connect``), let it listen (``serve_tcp``), or hand it any byte stream (``serve_stream``).

    ``clock`` tells the time that events are recorded at, as an aware datetime. Without it time begins on 2026-01-01
    when the node starts and goes on as trio's clock does, so that a test with trio's mock clock sees the same times
    again and again. ``new_id`` makes ids: of subscriptions, of events that the node writes itself, of the node. Without
    it they are numbered.

    A fresh node begins with the events that a real one writes by itself: the first that readers of `$all` see is the
    metadata of `$scavenges`. ``empty`` leaves them out.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] | None = None,
        new_id: Callable[[], uuid.UUID] | None = None,
        empty: bool = False,
    ) -> None:
        self._clock = clock
        self._ids_made = 0
        self._new_id = new_id
        self._is_empty = empty
        self._started_at = 0.0
        self._has_run = False
        self._stopped = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._lifetime: AbstractAsyncContextManager[None] | None = None
        store = Store(self._next_id)
        self._context = NodeContext(
            store=store,
            feed=Feed(store),
            now=self._now,
            new_id=self._next_id,
            instance=self._next_id(),
            address=_HERE,
            shut_down=self._stopped.set,
        )
        self._methods = methods_of(self._context)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that the node tells its clients, as their gossip calls show; the one it listened on first."""
        return self._context.address

    async def __aenter__(self) -> Self:
        lifetime = self._alive()
        await lifetime.__aenter__()
        self._lifetime = lifetime
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._lifetime is not None
        return await self._lifetime.__aexit__(kind, exc, trace)

    @asynccontextmanager
    async def _alive(self) -> AsyncIterator[None]:
        async with background_tasks() as nursery:
            await nursery.start(self.run)
            yield

    async def run(self, *, task_status: trio.TaskStatus[Self] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the node until it is cancelled or a client shuts it down; started with the node itself.

        A node runs once: RuntimeError for a second time.
        """
        if self._has_run:
            raise RuntimeError("an EmbeddedNode runs only once")
        self._has_run = True
        self._started_at = trio.current_time()
        if not self._is_empty:
            write_first_events(self._context.store, self._context.instance, self._next_id, self._now())
        try:
            async with trio.open_nursery() as self._nursery:
                try:
                    task_status.started(self)
                    await self._stopped.wait()
                finally:
                    self._stopped.set()  # from here on nothing more can be started
                self._nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
            self._stopped.set()

    async def wait_stopped(self) -> None:
        """Wait until the node has ended, or a client has told it to."""
        await self._stopped.wait()

    async def connect(self, host: str = "", port: int = 0) -> trio.abc.Stream:
        """The client's end of a new connection to the node, in memory.

        ``host`` and ``port`` are not looked at: they are there so that this method can be a client's ``connect``.
        RuntimeError before the node runs, trio.ClosedResourceError after its end.
        """
        await trio.lowlevel.checkpoint()
        nursery = self._running()
        client, server = memory_streams()
        nursery.start_soon(self._serve, server)
        return client

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection over any byte stream, until it or the node ends; closes the stream."""
        self._running()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_at_end, nursery.cancel_scope)
            await self._serve(stream)
            nursery.cancel_scope.cancel()

    async def serve_tcp(
        self, host: str = "127.0.0.1", port: int = 0, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen for clients until cancelled or the node ends; started with the port. Port 0 picks a free one.

        OSError where the address cannot be listened on.
        """
        self._running()
        async with background_tasks() as nursery:
            listening = await nursery.start(serve_tcp, self._serve, host, port)
            if self._context.address is _HERE:
                self._context.address = ("127.0.0.1" if host in _ANYWHERE else host, listening)
            task_status.started(listening)
            await self._stopped.wait()

    async def _serve(self, stream: trio.abc.Stream) -> None:
        await serve_stream(stream, self._methods, lambda path: unknown_to(self._methods, path), _LIMITS)

    async def _cancel_at_end(self, scope: trio.CancelScope) -> None:
        await self._stopped.wait()
        scope.cancel()

    def _running(self) -> trio.Nursery:
        if self._nursery is not None and not self._stopped.is_set():
            return self._nursery
        if self._has_run:
            raise trio.ClosedResourceError("this EmbeddedNode has ended")
        raise RuntimeError("this EmbeddedNode does not run yet: enter it with `async with`, or start its `run`")

    def _now(self) -> int:
        if self._clock is None:
            return _FIRST_DAY + round((trio.current_time() - self._started_at) * TICKS)
        passed = self._clock() - _EPOCH
        return (passed.days * 86_400 + passed.seconds) * TICKS + passed.microseconds * 10

    def _next_id(self) -> int:
        if self._new_id is not None:
            return self._new_id().int
        self._ids_made += 1
        return uuid.UUID(int=self._ids_made, version=4).int
