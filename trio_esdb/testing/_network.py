"""The network: who listens where, and who connects."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import math
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Protocol, TypeAlias

import trio

from trio_esdb._errors import InvalidArgumentError
from trio_esdb._nursery import background_tasks
from trio_esdb._transport._certificates import TLS, context_of

from ._connection import Connection
from ._route import Route, Routes

_FIRST_FREE_PORT = 49_152


class Node(Protocol):
    """What an ``EmbeddedNode`` is to the network."""

    async def serve_listeners(
        self,
        listeners: list[MemoryListener],
        *,
        tls: TLS | None,
        address: tuple[str, int],
        task_status: trio.TaskStatus[object],
    ) -> None:
        """Serve the connections that the listeners accept."""


Server: TypeAlias = "Node | Callable[[trio.abc.Stream], Awaitable[object]]"


class MemoryNetwork:
    """A network in memory, with host names and ports, and with faults on command.

    A node listens on it, a client connects to it by an ordinary connection string::

        network = MemoryNetwork()
        async with EmbeddedNode() as node, network.listen(node, "node1.example", 2113):
            async with ESDBClient("esdb://node1.example:2113?tls=false", connect=network.connect) as client:
                ...

    ``to`` gives the faults of all connections to an address, ``connections`` the single connections, which have the
    same faults. A name is known from when somebody first listened there. To connect to an unknown name raises
    socket.gaierror, to a port where nobody listens ConnectionRefusedError, as a real network does.

    All times are those of trio's clock. Under a mock clock nothing takes real time, and each run is the same as far
    as the program itself is.

    Args:
        random: Chooses latencies from their ranges. Without it a ``random.Random(0)``, so each run is the same.
    """

    def __init__(self, *, random: Random | None = None) -> None:
        self._random = Random(0) if random is None else random
        self._routes = Routes()
        self._names: set[str] = set()
        self._listeners: dict[tuple[str, int], MemoryListener] = {}

    def __repr__(self) -> str:
        listening = ", ".join(f"{host}:{port}" for host, port in self._listeners) or "nobody listens"
        return f"<trio_esdb.testing.MemoryNetwork: {listening}>"

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All connections that were ever made, in their order."""
        return tuple(self._routes.made())

    def to(self, host: str | None = None, port: int | None = None) -> Route:
        """All connections to an address, open and future ones; their faults are commanded there.

        Args:
            host: The host that clients ask for; None stands for all hosts.
            port: The port; None stands for all ports.
        """
        return self._routes.route(None if host is None else _canonical(host), port)

    # -- listening ---------------------------------------------------------------------------------------------------

    def listener(self, host: str, port: int) -> MemoryListener:
        """Listen at an address, for ``trio.serve_listeners`` and its like.

        Args:
            host: The name or IP address.
            port: The port; 0 picks a free one.

        Raises:
            InvalidArgumentError: That is no address.
            OSError: Somebody listens there already.
        """
        host = _canonical(host)
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65_536:
            raise InvalidArgumentError(f"a port is a number from 0 to 65535, not {port!r}")
        if not port:
            port = next(free for free in range(_FIRST_FREE_PORT, 65_536) if (host, free) not in self._listeners)
        if (host, port) in self._listeners:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        listener = MemoryListener(host, port, self._forget)
        self._names.add(host)
        self._listeners[host, port] = listener
        return listener

    def _forget(self, listener: MemoryListener) -> None:
        del self._listeners[listener.host, listener.port]

    @trio.lowlevel.enable_ki_protection
    async def serve(
        self,
        server: Server,
        host: str,
        port: int,
        *,
        tls: TLS | None = None,
        task_status: trio.TaskStatus[Route] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Let a server listen at an address until this is cancelled; started with the route to it.

        Connections end with it. A node that shuts down stops listening by itself.

        Args:
            server: An ``EmbeddedNode``, or a function that serves one stream, as ``trio.serve_listeners`` takes it.
            host: The name or IP address.
            port: The port.
            tls: The certificates that the server shows, or an ``ssl.SSLContext`` for servers.
            task_status: For ``nursery.start``.

        Raises:
            InvalidArgumentError: That is no address, or ``tls`` cannot be used.
            OSError: Somebody listens there already.
        """
        context = context_of(tls)
        async with self.listener(host, port) as listener:
            address = listener.host, listener.port
            started = _Started(task_status, self.to(*address))
            if callable(server):
                served = server if context is None else _with_tls(server, context)
                await trio.serve_listeners(served, [listener], task_status=started)
            else:
                await server.serve_listeners([listener], tls=context, address=address, task_status=started)

    @asynccontextmanager
    @trio.lowlevel.enable_ki_protection
    async def listen(self, server: Server, host: str, port: int, *, tls: TLS | None = None) -> AsyncIterator[Route]:
        """Let a server listen at an address while the block is open: ``async with network.listen(...) as route``.

        Connections end with the block. A node that shuts down stops listening by itself.

        Args:
            server: An ``EmbeddedNode``, or a function that serves one stream, as ``trio.serve_listeners`` takes it.
            host: The name or IP address.
            port: The port.
            tls: The certificates that the server shows, or an ``ssl.SSLContext`` for servers.

        Raises:
            InvalidArgumentError: That is no address, or ``tls`` cannot be used.
            OSError: Somebody listens there already.
        """
        async with background_tasks() as tasks:
            yield await tasks.start(partial(self.serve, tls=tls), server, host, port)

    # -- connecting --------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """Connect to an address; this is the ``connect=`` of a client.

        Args:
            host: The name or IP address.
            port: The port.

        Returns:
            The client's end of the connection.

        Raises:
            socket.gaierror: Nobody ever listened at a host of that name.
            OSError: There is no way to this IP address, or nobody listens at the port.
        """
        await trio.lowlevel.checkpoint()
        host = _canonical(host)
        if host not in self._names:
            raise _unknown(host)
        connection = Connection(host, port, self._random)
        self._routes.begin(connection)
        try:
            await connection._cable.to_server.packet()
            listener = self._listeners.get((host, port))
            await connection._cable.to_client.packet()
            if listener is None or listener._closed or connection._cable.refused:
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            connection._made = True
            listener._offer.send_nowait(connection)
        finally:
            if not connection._made:
                self._routes.connections.remove(connection)
        return connection._cable.client


class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """Listens at an address of a memory network. Got from ``MemoryNetwork.listener``."""

    def __init__(self, host: str, port: int, on_close: Callable[[MemoryListener], None]) -> None:
        self.host = host
        """The name or IP address."""
        self.port = port
        """The port."""
        self._on_close = on_close
        self._closed = False
        self._offer, self._offered = trio.open_memory_channel[Connection](math.inf)

    async def accept(self) -> trio.abc.Stream:
        """The next connection.

        Returns:
            The server's end of it.

        Raises:
            trio.ClosedResourceError: The listener was closed.
        """
        return (await self._offered.receive())._cable.server

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Stop listening. Connections that were not accepted yet are reset."""
        if not self._closed:
            self._closed = True
            self._on_close(self)
            with contextlib.suppress(trio.WouldBlock):
                while True:
                    self._offered.receive_nowait().reset()
            self._offered.close()
        await trio.lowlevel.checkpoint()


def _with_tls(
    server: Callable[[trio.abc.Stream], Awaitable[object]], context: ssl.SSLContext
) -> Callable[[trio.abc.Stream], Awaitable[object]]:
    from trio_esdb._transport._tls import TLSStream

    async def serve(stream: trio.abc.Stream) -> None:
        await server(TLSStream(stream, context, server_side=True))

    return serve


class _Started:
    """Tells who started the task of the route."""

    def __init__(self, task_status: trio.TaskStatus[Route], route: Route) -> None:
        self._task_status = task_status
        self._route = route

    def started(self, value: object = None) -> None:
        """See trio.TaskStatus."""
        self._task_status.started(self._route)


def _canonical(host: str) -> str:
    """A host in the form in which it is looked up."""
    if not isinstance(host, str) or not host.strip("."):
        raise InvalidArgumentError(f"a host is a name or an IP address, not {host!r}")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.removesuffix(".").lower()


def _unknown(host: str) -> OSError:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
