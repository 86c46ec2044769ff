"""The ways to reach a node: connections in memory, over TCP, over any byte stream."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

from trio_esdb._transport import listen_tcp, port_of
from trio_esdb._transport._admission import Admission, usual_connections
from trio_esdb._transport._certificates import TLS, context_of
from trio_esdb._transport._serving import Patience

from ._memory import memory_streams
from ._process import Process

HERE = ("127.0.0.1", 2113)
"""The address that clients are told of a node that has not listened anywhere."""
_ANY_ADDRESS = ("", "0.0.0.0", "::")


class ListeningNode(Process):
    """A process that can be connected to."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the node as its gossip calls tell them: where it listened first, or what it advertises."""
        return self._context.membership.address

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
        max_connections: int | None = None,
        preface_timeout: float = math.inf,
        idle_timeout: float = math.inf,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve all connections that these listeners accept, until cancelled or the node ends; closes the listeners.

        The limits of ``serve_tcp`` do not hold for these connections, apart from those that are given.

        Args:
            listeners: Any listeners of trio's kind: those of a memory network, of Unix sockets.
            tls: The certificates that the node shows, or an ``ssl.SSLContext`` for servers; without it there is no TLS.
            address: Host and port that clients are told, if the node has not listened anywhere yet.
            max_connections: How many connections are kept, see ``serve_tcp``; any number by default.
            preface_timeout: Seconds in which a client must begin to speak HTTP/2, the TLS handshake included.
            idle_timeout: Seconds that a connection without calls is kept, at least.
            task_status: For ``nursery.start``.

        Raises:
            ValueError: A number makes no sense, or ``tls`` cannot be used.
            RuntimeError: The node does not run yet.
            trio.ClosedResourceError: The node has ended or is about to.
        """
        self._running()
        context = context_of(tls)
        patience = Patience(preface=preface_timeout, idle=idle_timeout)
        admission = None if max_connections is None else Admission(max_connections)

        async def serve(stream: trio.abc.Stream) -> None:
            await self._serve(stream, patience, admission, context)

        await self._serve_listeners(listeners, serve, address or HERE, task_status.started)

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
                if self._context.membership.address is HERE:
                    self._context.membership.address = address
                started()
                await self._closing.wait()
                listening.cancel_scope.cancel()
            await self._stopped.wait()
            connections.cancel_scope.cancel()
