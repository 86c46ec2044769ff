"""The process of a node: its connections, and how it begins and ends.

A process runs once. It ends in one of three ways:

- It is shut down, as a real node on SIGTERM. It stops listening at once and says GOAWAY on every connection. Calls go
  on for the grace period, those that still come too. A connection closes when its last call has ended; what is open at
  the end of the grace period is reset.
- It is killed: all connections end at once, without a word.
- Its task is cancelled: the connections are closed in order.

The store is not part of it. The process of a node that starts again is a new one, which may be given the same store.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Self

import trio

from trio_esdb._nursery import background_tasks
from trio_esdb._transport._admission import Admission
from trio_esdb._transport._serving import Patience, ServerLink
from trio_esdb._wire import Limits

from ._services import Authentication, Groups, NodeContext, methods_of, unknown_to

_LIMITS = Limits(
    receive_message=16_767_216,
    stream_window=768 * 1024,
    connection_window=1024 * 1024,
    header_list=32 * 1024,
    concurrent_streams=100,
    largest_stream_window=768 * 1024,
)
"""A real node's."""
_log = logging.getLogger("trio_esdb.server")
_GRACE = 5.0
"""Seconds that a real node goes on serving when it is told to end."""
_NOT_RUNNING = "this EmbeddedNode does not run yet: enter it with `async with`, or start its `run`"


class Process:
    """What runs of a node. ``_listening`` adds the ways to reach it.

    Args:
        context: The node's data and what its services share.
    """

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._groups = Groups(context)
        self._methods = methods_of(context, self._groups)
        self._authentication = None if context.users is None else Authentication(context.users)
        self._has_run = False
        self._closing = trio.Event()
        self._stopped = trio.Event()
        self._grace = trio.CancelScope()
        self._grace_time = _GRACE
        self._nursery: trio.Nursery | None = None
        self._links: dict[ServerLink, None] = {}
        self._link_left = trio.Event()
        self._lifetime: AbstractAsyncContextManager[None] | None = None
        context.shut_down = self._closing.set

    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> Self:
        lifetime = self._alive()
        await lifetime.__aenter__()
        self._lifetime = lifetime
        return self

    @trio.lowlevel.enable_ki_protection
    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._lifetime is not None
        return await self._lifetime.__aexit__(kind, exc, trace)

    @asynccontextmanager
    @trio.lowlevel.enable_ki_protection
    async def _alive(self) -> AsyncIterator[None]:
        async with background_tasks() as nursery:
            await nursery.start(self.run)
            yield

    @trio.lowlevel.enable_ki_protection
    async def run(self, *, task_status: trio.TaskStatus[Self] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the node until it is cancelled or shut down; started with the node itself.

        Raises:
            RuntimeError: The node has run before.
        """
        if self._has_run:
            raise RuntimeError("an EmbeddedNode runs only once")
        self._has_run = True
        self._begin()
        try:
            async with trio.open_nursery() as self._nursery:
                try:
                    self._groups.spawn = self._nursery.start_soon
                    task_status.started(self)
                    await self._closing.wait()
                    await self._drain()
                finally:
                    self._closing.set()  # from here on nothing more can be started
                    self._stopped.set()
                self._nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
            self._closing.set()
            self._stopped.set()

    def _begin(self) -> None:
        """Do what comes before the first connection."""

    @trio.lowlevel.enable_ki_protection
    async def shut_down(self, grace: float = _GRACE) -> None:
        """End the node as a real one ends on SIGTERM. Returns when it has ended.

        It stops listening at once and says GOAWAY on every connection. Calls go on for the grace period, and a
        connection closes when its last call has ended. What is still open then is cut off: TCP connections are reset,
        which gRPC clients report as UNAVAILABLE.

        Args:
            grace: The grace period in seconds. A second call can make it shorter.

        Raises:
            RuntimeError: The node does not run yet.
        """
        if not self._has_run:
            raise RuntimeError(_NOT_RUNNING)
        if self._closing.is_set():
            self._grace.deadline = min(self._grace.deadline, trio.current_time() + grace)
        self._grace_time = grace
        self._closing.set()
        await self._stopped.wait()

    @trio.lowlevel.enable_ki_protection
    def kill(self) -> None:
        """End the node as a real one ends on SIGKILL: each connection is closed at once, without a word.

        Returns at once; ``wait_stopped`` waits until no task is left. What the node holds is left as it is.

        Raises:
            RuntimeError: The node does not run yet.
        """
        if not self._has_run:
            raise RuntimeError(_NOT_RUNNING)
        self._closing.set()
        self._grace.cancel()
        for link in self._links:
            link.cut()

    async def _drain(self) -> None:
        self._grace.deadline = trio.current_time() + self._grace_time
        for link in list(self._links):
            link.drain()
        with self._grace:
            while self._links:
                self._link_left = trio.Event()
                await self._link_left.wait()
        for link in list(self._links):
            link.cut(reset=True)

    async def wait_stopped(self) -> None:
        """Wait until the node has ended."""
        await self._stopped.wait()

    @trio.lowlevel.enable_ki_protection
    async def _serve(
        self,
        stream: trio.abc.Stream,
        patience: Patience | None = None,
        admission: Admission | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        secured = None
        if context is not None:
            from trio_esdb._transport._tls import TLSStream

            stream = secured = TLSStream(stream, context, server_side=True)  # shakes hands when it is first used
        link = ServerLink(
            stream,
            self._methods,
            lambda path: unknown_to(self._methods, path),
            _LIMITS,
            patience,
            authenticate=None if self._authentication is None else self._authentication.caller,
        )
        if admission is not None and not admission.admit(link):
            await trio.aclose_forcefully(stream)
            return
        self._links[link] = None
        if self._closing.is_set():
            link.drain()
        try:
            await link.run()
        finally:
            del self._links[link]
            if admission is not None:
                admission.leave(link)
            self._link_left.set()
            if secured is not None and secured.failure is not None:
                _log.info("a connection with TLS failed: %s", secured.failure)

    async def _cancel_at_end(self, scope: trio.CancelScope) -> None:
        await self._stopped.wait()
        scope.cancel()

    def _running(self) -> trio.Nursery:
        if self._nursery is not None and not self._closing.is_set():
            return self._nursery
        if self._has_run:
            raise trio.ClosedResourceError("this EmbeddedNode has ended")
        raise RuntimeError(_NOT_RUNNING)
