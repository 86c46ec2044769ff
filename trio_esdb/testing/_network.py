"""The network: who listens where, and who connects."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import trio

from trio_esdb._errors import InvalidArgumentError
from trio_esdb._nursery import background_tasks
from trio_esdb._transport._certificates import TLS, context_of

from ._connection import Connection
from ._line import Hold
from ._listener import MemoryListener
from ._names import Names, canonical
from ._paths import Paths
from ._route import Route, Routes
from ._serving import Server, serve_on
from ._source import Source, first_of

_FIRST_FREE_PORT = 49_152
_SYN_PATIENCE = 127.0
"""Seconds after which Linux gives up an attempt to connect that gets no answer."""
CLIENT = "client"
"""The host of the clients that were not told another."""


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
        self._names = Names()
        self._routes = Routes(self._names)
        self._paths = Paths(self._names, Random(self._random.getrandbits(64)))
        self._listeners: dict[tuple[str, int], MemoryListener] = {}

    def __repr__(self) -> str:
        listening = ", ".join(f"{each.host}:{each.port}" for each in self._listeners.values()) or "nobody listens"
        return f"<trio_esdb.testing.MemoryNetwork: {listening}>"

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All connections that were ever made, in their order."""
        return tuple(self._routes.made())

    def to(self, host: str | None = None, port: int | None = None, *, source: str | None = None) -> Route:
        """All connections to an address, open and future ones; their faults are commanded there.

        Args:
            host: The host that clients ask for; None stands for all hosts.
            port: The port; None stands for all ports.
            source: The host that clients connect from, see ``connect_from``; None stands for all hosts.

        Raises:
            InvalidArgumentError: That is no host.
        """
        return self._routes.route(
            None if host is None else canonical(host), port, None if source is None else canonical(source)
        )

    def name(self, name: str, addresses: Iterable[str]) -> None:
        """Let a name stand for hosts, as in DNS. It replaces what the name stood for.

        A name of one host is this host: who listens at the one listens at the other. Clients that look a name of
        several up find all of them.

        Args:
            name: The name.
            addresses: IP addresses, or names of hosts; none lets the name be unknown.

        Raises:
            InvalidArgumentError: One of them is no host, the name is an IP address, or somebody listens at it.
        """
        if any(listener.host == canonical(name) for listener in self._listeners.values()):
            raise InvalidArgumentError(f"somebody listens at {name}: give it its addresses before")
        self._names.name(name, addresses)

    # -- between hosts -----------------------------------------------------------------------------------------------

    def partition(self, a: str | Iterable[str], b: str | Iterable[str], *, one_way: bool = False) -> None:
        """Part hosts from each other, until ``heal``: nothing passes between the two sides.

        A partition is silence. Connections stay, and what is sent arrives after the partition; so does the end of a
        connection. Attempts to connect get no answer, and fail after 127 seconds. Within each side all goes on.

        Args:
            a: A host or several, as names or IP addresses. Clients are at the host ``client``, or where
                ``connect_from`` says.
            b: The host or hosts on the other side.
            one_way: Whether only what ``a`` sends to ``b`` is stopped.

        Raises:
            InvalidArgumentError: These are no hosts, or a host is on both sides.
        """
        self._paths.stop(Hold.PARTED, a, b, one_way=one_way)
        self._changed()

    def heal(self) -> None:
        """End all partitions and holds between hosts. Latency stays; faults of routes are ended by ``to().heal()``."""
        self._paths.heal()
        self._changed()

    def hold(self, a: str | Iterable[str], b: str | Iterable[str]) -> None:
        """Let nothing pass between hosts, until ``release`` or ``heal``.

        Nothing is lost, and all arrives in its order. Attempts to connect wait as long as it takes.

        Args:
            a: A host or several.
            b: The host or hosts on the other side.

        Raises:
            InvalidArgumentError: These are no hosts, or a host is on both sides.
        """
        self._paths.stop(Hold.BETWEEN, a, b)
        self._changed()

    def release(self, a: str | Iterable[str], b: str | Iterable[str]) -> None:
        """End a ``hold`` between hosts; what was held arrives.

        Args:
            a: A host or several.
            b: The host or hosts on the other side.

        Raises:
            InvalidArgumentError: These are no hosts, or a host is on both sides.
        """
        self._paths.go_on(Hold.BETWEEN, a, b)
        self._changed()

    def latency(
        self,
        least: float,
        most: float | None = None,
        *,
        between: tuple[str | Iterable[str], str | Iterable[str]] | None = None,
    ) -> None:
        """Let bytes take this time from one host to another, and so the messages of the nodes of a cluster.

        Args:
            least: Seconds, or the least number of seconds of a range.
            most: The end of the range; a time is chosen from it, by the network's random source, for each piece that
                is sent.
            between: Two hosts, or twice several; without it, it is about all hosts. A later command replaces an
                earlier one about the same hosts.

        Raises:
            InvalidArgumentError: The times are no range, or these are no hosts.
        """
        if between is None:
            self.to().latency(least, most)
            self._paths.usual_latency(least, least if most is None else most)
        else:
            if not isinstance(between, tuple) or len(between) != 2:
                raise InvalidArgumentError(f"between= takes two hosts, or twice several, not {between!r}")
            for source, target in list(self._paths.pairs(*between)):
                self.to(target, source=source).latency(least, most)
            self._paths.latency(*between, least, least if most is None else most)
        self._changed()

    def passes(self, source: str, target: str) -> bool:
        """Whether bytes pass from one host to another now: they are neither parted nor held.

        Args:
            source: The host that sends.
            target: The host that they travel to.
        """
        return self._paths.passes(canonical(source), canonical(target))

    def delay(self, source: str, target: str) -> float:
        """How long a message from one host to another takes, by ``latency``; chosen anew each time.

        Args:
            source: The host that sends.
            target: The host that it travels to.

        Returns:
            Seconds.
        """
        return self._paths.delay(canonical(source), canonical(target))

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call a function each time when ``passes`` or ``delay`` may have changed.

        Args:
            callback: Is called at once, within the command; it must not fail.

        Returns:
            Ends it.
        """
        return self._paths.on_change(callback)

    def _changed(self) -> None:
        for connection in self._routes.connections:
            self._paths.apply(connection)
        self._paths.changed()

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
        host = canonical(host)
        here, *more = self._names.hosts(host)
        if more:
            raise InvalidArgumentError(f"{host} is a name of several hosts: listen at one of them")
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65_536:
            raise InvalidArgumentError(f"a port is a number from 0 to 65535, not {port!r}")
        if not port:
            port = next(free for free in range(_FIRST_FREE_PORT, 65_536) if (here, free) not in self._listeners)
        if (here, port) in self._listeners:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        listener = MemoryListener(host, port, self._forget)
        self._names.add(here)
        self._listeners[here, port] = listener
        return listener

    def _forget(self, listener: MemoryListener) -> None:
        self._listeners = {at: each for at, each in self._listeners.items() if each is not listener}

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
            await serve_on(server, [listener], address, context, partial(task_status.started, self.to(*address)))

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
        """Connect to an address; this is the ``connect=`` of a client. It connects from the host ``client``.

        Of a name with several addresses the first that answers is taken. The next one is tried after a failure, or
        after 250 ms.

        Args:
            host: The name or IP address.
            port: The port.

        Returns:
            The client's end of the connection.

        Raises:
            socket.gaierror: Nobody ever listened at a host of that name.
            OSError: There is no way to this IP address, or nobody listens at the port; or the hosts were parted, for
                127 seconds.
        """
        return await self._connect(CLIENT, host, port)

    async def resolve(self, host: str, port: int = 0) -> tuple[str, ...]:
        """The hosts that a name stands for, as DNS tells them. Clients that ``connect`` ask it.

        Args:
            host: The name or IP address.
            port: Is ignored.

        Returns:
            The addresses that were given by ``name``; otherwise the name itself.

        Raises:
            socket.gaierror: Nobody ever listened at a host of that name.
            OSError: There is no way to this IP address.
        """
        await trio.lowlevel.checkpoint()
        return self._names.addresses(canonical(host))

    def connect_from(self, source: str) -> Callable[[str, int], Awaitable[trio.abc.Stream]]:
        """The ``connect=`` of a client that runs on a host of its own.

        So a partition can be between this client and a node, and ``to`` can name this client's connections alone.

        Args:
            source: The client's host: any name or IP address. ``connect`` itself connects from the host ``client``.

        Returns:
            A function as ``connect`` is.

        Raises:
            InvalidArgumentError: That is no host.
        """
        return Source(canonical(source), self._connect, self.resolve).connect

    async def _connect(self, source: str, host: str, port: int) -> trio.abc.Stream:
        addresses = await self.resolve(host)
        return await first_of(addresses, partial(self._dial, source, canonical(host), port))

    @trio.lowlevel.enable_ki_protection
    async def _dial(self, source: str, host: str, port: int, target: str) -> trio.abc.Stream:
        self._names.reachable(target)
        given_up = trio.current_time() + _SYN_PATIENCE
        connection = Connection(source, host, target, port, self._random)
        self._routes.begin(connection)
        self._paths.apply(connection)
        try:
            await connection._cable.to_server.packet(given_up)
            listener = self._listeners.get((target, port))
            await connection._cable.to_client.packet(given_up)
            if listener is None or listener._closed or connection._cable.refused:
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            connection._made = True
            listener._offer.send_nowait(connection)
        finally:
            if not connection._made:
                self._routes.connections.remove(connection)
        return connection._cable.client
