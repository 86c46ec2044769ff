"""What serves connections: a node, or a function that serves one stream."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import trio

from trio_esdb._transport._certificates import TLS


class Node(Protocol):
    """What an ``EmbeddedNode`` is to the network."""

    async def serve_listeners(
        self,
        listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
        *,
        tls: TLS | None,
        address: tuple[str, int],
        task_status: trio.TaskStatus[object],
    ) -> None:
        """Serve the connections that the listeners accept."""


Server: TypeAlias = Node | Callable[[trio.abc.Stream], Awaitable[object]]


async def serve_on(
    server: Server,
    listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
    address: tuple[str, int],
    context: ssl.SSLContext | None,
    started: Callable[[], None],
    limits: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Serve all connections that these listeners accept, until cancelled or the node ends; closes the listeners.

    Args:
        server: Who serves.
        listeners: The listeners.
        address: Host and port that a node tells its clients.
        context: TLS to be put on the connections.
        started: Is called once connections are accepted.
        limits: Further arguments for a node.
    """
    status = _Started(started)
    if callable(server):
        served = server if context is None else _with_tls(server, context)
        await trio.serve_listeners(served, list(listeners), task_status=status)
    else:
        await server.serve_listeners(listeners, tls=context, address=address, task_status=status, **limits)


class _Started:
    """A task status that tells a function."""

    def __init__(self, started: Callable[[], None]) -> None:
        self._started = started

    def started(self, value: object = None) -> None:
        """See trio.TaskStatus."""
        self._started()


def _with_tls(
    server: Callable[[trio.abc.Stream], Awaitable[object]], context: ssl.SSLContext
) -> Callable[[trio.abc.Stream], Awaitable[object]]:
    from trio_esdb._transport._tls import TLSStream

    async def serve(stream: trio.abc.Stream) -> None:
        await server(TLSStream(stream, context, server_side=True))

    return serve
