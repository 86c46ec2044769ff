"""The node: its clock, its ids, its connections, and how it begins and ends."""

from __future__ import annotations

import logging
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Self

import trio

from trio_esdb._nursery import background_tasks
from trio_esdb._transport import listen_tcp, port_of
from trio_esdb._transport._admission import Admission, usual_connections
from trio_esdb._transport._certificates import TLS, context_of
from trio_esdb._transport._serving import Patience, ServerLink
from trio_esdb._wire import Limits

from ._clock import FIRST_DAY, Ticks, clock_from, clock_is_mock, ticks_of, wall_clock
from ._memory import memory_streams
from ._services import Authentication, Feed, Membership, NodeContext, Users, first_accounts, methods_of, unknown_to
from ._store import Store, write_first_events

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
_HERE = ("127.0.0.1", 2113)
_ANY_ADDRESS = ("", "0.0.0.0", "::")
_GRACE = 5.0
"""Seconds that a real node goes on serving when it is told to end."""
_NOT_RUNNING = "this EmbeddedNode does not run yet: enter it with `async with`, or start its `run`"


class EmbeddedNode:
    """An EventStoreDB node in this process, for development and tests. What it holds is gone when it ends.

    It speaks the real protocol and answers as a single node of version 24.10.4 does, without users unless it is given
    them. Use it as a context
    manager, or give it to a nursery of yours with ``await nursery.start(node.run)``; then connect to it in memory
    (``connect``), let it listen (``serve_tcp``), or hand it any byte stream (``serve_stream``).

    The node's time is the time of day. Under trio's mock clock it begins on 2026-01-01 when the node starts and goes on
    as trio's clock does, so that a test sees the same times in every run; ``start`` asks for the same under any clock.

    A fresh node begins with the events that a real one writes by itself: the first that readers of ``$all`` see is the
    metadata of ``$scavenges``.

    Args:
        clock: Tells the time that events are recorded at, as an aware datetime. It overrides all of the above.
        start: The time when the node starts, as an aware datetime; it goes on as trio's clock does.
        new_id: Makes the ids of subscriptions, of events that the node writes itself, and of the node. Without it
            they are numbered.
        empty: Leave the first events out, apart from those of users.
        users: Whether the node has users: then clients must log in, and access is controlled. A fresh node has the
            users ``admin`` and ``ops``, both with the password ``changeit``. A mapping of names to passwords adds
            users without groups, or gives these two other passwords.

    Raises:
        ValueError: ``start`` has no time zone, or ``clock`` is given too; or a name in ``users`` has a colon.
        TypeError: ``users`` is something else.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] | None = None,
        start: datetime | None = None,
        new_id: Callable[[], uuid.UUID] | None = None,
        empty: bool = False,
        users: bool | Mapping[str, str] = False,
    ) -> None:
        if start is not None and clock is not None:
            raise ValueError("a node takes clock= or start=, not both")
        if start is not None and start.tzinfo is None:
            raise ValueError(f"start= must have a time zone, {start!r} has none")
        self._clock = clock
        self._start = start
        self._ticks: Ticks = wall_clock
        self._ids_made = 0
        self._new_id = new_id
        self._is_empty = empty
        self._has_run = False
        self._closing = trio.Event()
        self._stopped = trio.Event()
        self._grace = trio.CancelScope()
        self._grace_time = _GRACE
        self._nursery: trio.Nursery | None = None
        self._links: dict[ServerLink, None] = {}
        self._link_left = trio.Event()
        self._lifetime: AbstractAsyncContextManager[None] | None = None
        store = Store(self._next_id)
        self._first_accounts = first_accounts(users)
        self._context = NodeContext(
            store=store,
            feed=Feed(store),
            now=self._now,
            new_id=self._next_id,
            membership=Membership(self._next_id(), _HERE, self._now),
            shut_down=self._closing.set,
            users=Users(store, self._now, self._next_id) if self._first_accounts else None,
        )
        self._methods = methods_of(self._context)
        self._authentication = None if self._context.users is None else Authentication(self._context.users)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the node as its gossip calls tell them: where it listened first, or what it advertises."""
        return self._context.membership.address

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
        self._ticks = self._chosen_clock()
        if not self._is_empty:
            write_first_events(self._context.store, self._context.membership.instance, self._next_id, self._now())
        if self._context.users is not None:
            self._context.users.write_first(self._first_accounts)
        try:
            async with trio.open_nursery() as self._nursery:
                try:
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

    async def _drain(self) -> None:
        self._grace.deadline = trio.current_time() + self._grace_time
        for link in list(self._links):
            link.drain()
        with self._grace:
            while self._links:
                self._link_left = trio.Event()
                await self._link_left.wait()

    async def wait_stopped(self) -> None:
        """Wait until the node has ended."""
        await self._stopped.wait()

    async def connect(self, host: str = "", port: int = 0, *, tls: TLS | None = None) -> trio.abc.Stream:
        """The client's end of a new connection to the node, in memory.

        Args:
            host: Is ignored: it is there so that this method can be a client's ``connect``.
            port: Is ignored.
            tls: The certificates that the node shows, or an ``ssl.SSLContext``. The stream has then TLS to be spoken
                on it, which a client does.

        Raises:
            InvalidArgumentError: ``tls`` cannot be used.
            RuntimeError: The node does not run yet.
            trio.ClosedResourceError: The node has ended or is about to.
        """
        await trio.lowlevel.checkpoint()
        nursery = self._running()
        context = context_of(tls)
        client, server = memory_streams()
        nursery.start_soon(self._serve, server, None, None, context)
        return client

    @trio.lowlevel.enable_ki_protection
    async def serve_stream(self, stream: trio.abc.Stream, *, tls: TLS | None = None) -> None:
        """Serve one connection over any byte stream, until it or the node ends; closes the stream.

        Args:
            stream: The server's end of the connection.
            tls: The certificates that the node shows, or an ``ssl.SSLContext``; without it there is no TLS.

        Raises:
            InvalidArgumentError: ``tls`` cannot be used.
            RuntimeError: The node does not run yet.
            trio.ClosedResourceError: The node has ended or is about to.
        """
        self._running()
        context = context_of(tls)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_at_end, nursery.cancel_scope)
            await self._serve(stream, context=context)
            nursery.cancel_scope.cancel()

    @trio.lowlevel.enable_ki_protection
    async def serve_tcp(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: TLS | None = None,
        advertise_host: str | None = None,
        advertise_port: int | None = None,
        max_connections: int | None = None,
        preface_timeout: float = 10.0,
        idle_timeout: float = 300.0,
        write_timeout: float = 60.0,
        keep_alive_interval: float = 10.0,
        keep_alive_timeout: float = 10.0,
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen for clients until cancelled or the node ends; started with the port.

        Clients are told the host and port that the node listened on first, and 127.0.0.1 for a host that stands for
        all addresses of the machine. ``advertise_host`` and ``advertise_port`` override them.

        Args:
            host: The address or name to listen on.
            port: The port; 0 picks a free one.
            tls: The certificates that the node shows, or an ``ssl.SSLContext`` for servers; without it there is no TLS.
            advertise_host: The host that clients are told.
            advertise_port: The port that clients are told.
            max_connections: How many connections are kept; by default 1000, or less where the process may have only
                few open files. A further one takes the place of a connection without calls. It is refused where there
                is none.
            preface_timeout: Seconds in which a client must begin to speak HTTP/2, the TLS handshake included.
            idle_timeout: Seconds that a connection without calls is kept, at least. It is closed before twice as long.
            write_timeout: Seconds in which a client must take what is written to it at once, up to 256 KiB.
            keep_alive_interval: Seconds after which a client that says nothing is sent a PING.
            keep_alive_timeout: Seconds in which such a client must answer; then its connection and calls end.
            task_status: For ``nursery.start``.

        Raises:
            ValueError: A number makes no sense, or ``tls`` cannot be used.
            OSError: The address cannot be listened on.
            RuntimeError: The node does not run yet.
            trio.ClosedResourceError: The node has ended or is about to.
        """
        self._running()
        if advertise_port is not None and not 0 < advertise_port < 65_536:
            raise ValueError(f"advertise_port must be from 1 to 65535, not {advertise_port}")
        context = context_of(tls)
        admission = Admission(usual_connections() if max_connections is None else max_connections)
        patience = Patience(
            preface=preface_timeout,
            idle=idle_timeout,
            write=write_timeout,
            ping=keep_alive_interval,
            pong=keep_alive_timeout,
        )

        async def serve(stream: trio.abc.Stream) -> None:
            await self._serve(stream, patience, admission, context)

        listeners = await listen_tcp(host, port)
        listened_on = port_of(listeners)
        address = (
            advertise_host or ("127.0.0.1" if host in _ANY_ADDRESS else host),
            advertise_port or listened_on,
        )
        await self._serve_listeners(listeners, serve, address, partial(task_status.started, listened_on))

    @trio.lowlevel.enable_ki_protection
    async def serve_listeners(
        self,
        listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
        *,
        tls: TLS | None = None,
        address: tuple[str, int] | None = None,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve all connections that these listeners accept, until cancelled or the node ends; closes the listeners.

        The limits of ``serve_tcp`` do not hold for these connections.

        Args:
            listeners: Any listeners of trio's kind: those of a memory network, of Unix sockets.
            tls: The certificates that the node shows, or an ``ssl.SSLContext`` for servers; without it there is no TLS.
            address: Host and port that clients are told, if the node has not listened anywhere yet.
            task_status: For ``nursery.start``.

        Raises:
            InvalidArgumentError: ``tls`` cannot be used.
            RuntimeError: The node does not run yet.
            trio.ClosedResourceError: The node has ended or is about to.
        """
        self._running()
        context = context_of(tls)

        async def serve(stream: trio.abc.Stream) -> None:
            await self._serve(stream, context=context)

        await self._serve_listeners(listeners, serve, address or _HERE, task_status.started)

    async def _serve_listeners(
        self,
        listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
        serve: Callable[[trio.abc.Stream], Awaitable[None]],
        address: tuple[str, int],
        started: Callable[[], None],
    ) -> None:
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as listening:
                await listening.start(
                    partial(trio.serve_listeners, serve, list(listeners), handler_nursery=connections)
                )
                if self._context.membership.address is _HERE:
                    self._context.membership.address = address
                started()
                await self._closing.wait()
                listening.cancel_scope.cancel()
            await self._stopped.wait()
            connections.cancel_scope.cancel()

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

    def _chosen_clock(self) -> Ticks:
        clock = self._clock
        if clock is not None:
            return lambda: ticks_of(clock())
        if self._start is not None:
            return clock_from(self._start)
        return clock_from(FIRST_DAY) if clock_is_mock() else wall_clock

    def _now(self) -> int:
        return self._ticks()

    def _next_id(self) -> int:
        if self._new_id is not None:
            return self._new_id().int
        self._ids_made += 1
        return uuid.UUID(int=self._ids_made, version=4).int
