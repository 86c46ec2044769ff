"""TCP: dialling a node, listening for clients."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from functools import partial

import trio

_RESET_AT_ONCE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""SO_LINGER: on, zero seconds."""


async def dial_tcp(host: str, port: int) -> trio.abc.Stream:
    """A TCP connection to this address.

    Raises:
        OSError: There is none to be had.
    """
    return await trio.open_tcp_stream(host, port)


def reset_when_closed(stream: trio.abc.Stream) -> None:
    """Let the peer of a TCP connection see a reset when the stream is closed, not an orderly end.

    gRPC clients take an orderly end in the middle of a call for a fault of the server's protocol, and a reset for a
    server that is gone.
    """
    if isinstance(stream, trio.SocketStream):
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)


@trio.lowlevel.enable_ki_protection
async def serve_tcp(
    handler: Callable[[trio.abc.Stream], Awaitable[None]],
    host: str,
    port: int,
    connections: trio.Nursery,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept connections until cancelled; started with the port that is listened on.

    Args:
        handler: Is given each connection, in a task of its own.
        host: The address or name to listen on.
        port: The port; 0 picks a free one.
        connections: The nursery of the handlers. They go on when listening ends.
        task_status: For ``nursery.start``.

    Raises:
        OSError: The address cannot be listened on.
    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    started: int = listeners[0].socket.getsockname()[1]
    if port == 0 and len(listeners) > 1:  # the host has several addresses, and each picked a port of its own
        for listener in listeners:
            await listener.aclose()
        listeners = await trio.open_tcp_listeners(started, host=host)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, handler, listeners, handler_nursery=connections))
        task_status.started(started)
