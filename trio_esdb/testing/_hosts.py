"""The machines of a cluster's nodes: where each listens, and what becomes of its process.

A node can run on a memory network or on TCP ports. Either way its process can be killed, started again, stopped and
woken, and its peers see what they see of a real one.
"""

from __future__ import annotations

import errno
import math
import socket
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import trio

from trio_esdb._errors import InvalidArgumentError
from trio_esdb._transport._certificates import TLS, context_of
from trio_esdb._transport._tcp import listen_tcp, port_of

from ._gate import Gate, Listener
from ._names import canonical
from ._network import MemoryNetwork
from ._serving import Server, serve_on

_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


@runtime_checkable
class Host(Protocol):
    """A machine on which the process of a node runs, one process at a time."""

    @property
    def name(self) -> str:
        """The name of the machine, by which partitions tell it from others."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port by which the node is reached, and which its gossip tells."""

    async def serve(
        self,
        server: Server,
        *,
        tls: TLS | None = None,
        task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run the process: listen and serve until it ends, is killed, or this is cancelled."""

    def kill(self) -> None:
        """Kill the process. The machine closes its connections, and nobody listens any more."""

    def freeze(self) -> None:
        """Stop the process: connections are accepted, and nothing is read or written."""

    def wake(self) -> None:
        """Let a stopped process go on. What was sent meanwhile arrives."""


class _Host:
    """What both kinds of hosts have in common."""

    _host: str
    _port: int
    _gate: Gate | None = None
    _limits: Mapping[str, float] = MappingProxyType({})
    _running: trio.CancelScope | None = None

    def __repr__(self) -> str:
        kind, state = type(self).__name__, "nothing runs" if self._gate is None else "a process runs"
        return f"<trio_esdb.testing.{kind}: {self._host}:{self._port}, {state}>"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port by which the node is reached, and which its gossip tells; port 0 until one was chosen."""
        return self._host, self._port

    @abstractmethod
    async def _listen(self) -> list[Listener]:
        """Listen, and fix the port."""

    @trio.lowlevel.enable_ki_protection
    async def serve(
        self,
        server: Server,
        *,
        tls: TLS | None = None,
        task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run the process: listen and serve until it ends, is killed, or this is cancelled.

        Args:
            server: An ``EmbeddedNode``, or a function that serves one stream, as ``trio.serve_listeners`` takes it.
            tls: The certificates that the server shows, or an ``ssl.SSLContext`` for servers.
            task_status: For ``nursery.start``; started with the address.

        Raises:
            InvalidArgumentError: ``tls`` cannot be used.
            RuntimeError: A process runs already.
            OSError: The address cannot be listened on.
        """
        if self._running is not None:
            raise RuntimeError(f"a process runs on {self._host}:{self._port} already")
        context = context_of(tls)
        self._running = running = trio.CancelScope()
        gate = None
        try:
            with running:
                self._gate = gate = Gate(await self._listen())
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_killed_at_end, gate)
                    served = partial(_until_killed, server, gate) if callable(server) else server
                    started = partial(task_status.started, self.address)
                    await serve_on(served, gate.listeners, self.address, context, started, self._limits)
                    nursery.cancel_scope.cancel()
        finally:
            if gate is not None:
                gate.kill()
            if self._running is running:
                self._gate = self._running = None

    def kill(self) -> None:
        """Kill the process, if one runs: its connections are closed at once, and nobody listens any more."""
        if self._gate is not None:
            self._gate.kill()
        if self._running is not None:
            self._running.cancel()
        self._gate = self._running = None  # the next one may run at once

    def freeze(self) -> None:
        """Stop the process, if one runs: connections are accepted, and nothing is read or written, until ``wake``."""
        if self._gate is not None:
            self._gate.stop()

    def wake(self) -> None:
        """Let a stopped process go on. What was sent meanwhile arrives."""
        if self._gate is not None:
            self._gate.go_on()


class MemoryHost(_Host):
    """A host of a memory network.

    Args:
        network: The network.
        name: The name or IP address of the host.
        port: The port on which the node listens; 0 picks a free one when it starts first.

    Raises:
        InvalidArgumentError: That is no address.
    """

    def __init__(self, network: MemoryNetwork, name: str, port: int = 2113) -> None:
        self._network = network
        self._host = canonical(name)
        self._port = _checked_port(port)

    @property
    def name(self) -> str:
        """The name or IP address of the host."""
        return self._host

    async def _listen(self) -> list[Listener]:
        await trio.lowlevel.checkpoint()
        listener = self._network.listener(self._host, self._port)
        self._port = listener.port
        return [listener]


class TCPHost(_Host):
    """A host that is this machine: the node listens on a TCP port.

    Args:
        host: The address or name to listen on.
        port: The port; 0 picks a free one, in ``reserve`` or when the node starts first.
        advertise_host: The host that clients are told; without it that on which the node listens, and the loopback
            address for all addresses of the machine.
        advertise_port: The port that clients are told.
        max_connections: How many connections are kept, see ``EmbeddedNode.serve_listeners``.
        preface_timeout: Seconds in which a client must begin to speak HTTP/2.
        idle_timeout: Seconds that a connection without calls is kept, at least.

    Raises:
        InvalidArgumentError: That is no address.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        advertise_host: str | None = None,
        advertise_port: int | None = None,
        max_connections: int | None = None,
        preface_timeout: float = math.inf,
        idle_timeout: float = math.inf,
    ) -> None:
        self._host = host
        self._port = _checked_port(port)
        self._advertise_host = advertise_host
        self._advertise_port = None if advertise_port is None else _checked_port(advertise_port, 1)
        limits = {"preface_timeout": preface_timeout, "idle_timeout": idle_timeout}
        self._limits = limits if max_connections is None else {**limits, "max_connections": max_connections}
        self._reserved: list[socket.socket] = []

    @property
    def name(self) -> str:
        """The address on which the node listens, with the port: all hosts of this kind are the same machine."""
        return f"{self._host}:{self._port}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port by which the node is reached, and which its gossip tells; port 0 until one was chosen."""
        return self._advertise_host or _ANY_ADDRESS.get(self._host, self._host), self._advertise_port or self._port

    @property
    def port(self) -> int:
        """The port on which the node listens; 0 until one was chosen."""
        return self._port

    @trio.lowlevel.enable_ki_protection
    async def reserve(self) -> None:
        """Find out whether the address can be listened on, and choose the port.

        Nobody who asks for a free port gets this one from now on, until ``close``. Connections are refused while no
        process runs.

        Raises:
            OSError: The address cannot be listened on.
        """
        listeners = await listen_tcp(self._host, self._port)
        self._port = port_of(listeners)
        places = [(listener.socket.family, listener.socket.getsockname()) for listener in listeners]
        for listener in listeners:
            listener.socket.close()
        for family, address in places:
            place = socket.socket(family, socket.SOCK_STREAM)
            self._reserved.append(place)
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                place.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            place.bind(address)

    def close(self) -> None:
        """Give a reserved port back."""
        while self._reserved:
            self._reserved.pop().close()

    async def _listen(self) -> list[Listener]:
        try:
            listeners = await listen_tcp(self._host, self._port)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or not self._reserved:
                raise
            # On some systems a port that is reserved cannot be listened on.
            self.close()
            listeners = await listen_tcp(self._host, self._port)
        self._port = port_of(listeners)
        return list(listeners)


async def _killed_at_end(gate: Gate) -> None:
    """Kill a process that is stopped when it is to end: it cannot end by itself."""
    try:
        await trio.sleep_forever()
    finally:
        if gate.is_stopped:
            gate.kill()


async def _until_killed(
    server: Callable[[trio.abc.Stream], Awaitable[object]], gate: Gate, stream: trio.abc.Stream
) -> None:
    """Serve one stream. Nobody hears what a process that was killed complains of."""
    try:
        await server(stream)
    except Exception:
        if not gate.is_killed:
            raise


def _checked_port(port: int, least: int = 0) -> int:
    if isinstance(port, bool) or not isinstance(port, int) or not least <= port < 65_536:
        raise InvalidArgumentError(f"a port is a number from {least} to 65535, not {port!r}")
    return port
