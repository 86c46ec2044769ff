"""TCP: dialling a node, listening for clients."""

from __future__ import annotations

import socket
import struct
import sys

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
    server that is gone. A stream over TCP, and one that is like it, has a method of this name.
    """
    above_tcp = getattr(stream, "reset_when_closed", None)
    if above_tcp is not None:
        above_tcp()
    elif isinstance(stream, trio.SocketStream):
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)


async def listen_tcp(host: str, port: int) -> list[trio.SocketListener]:
    """Listeners on all addresses that the host stands for, with the same port.

    Args:
        host: The address or name to listen on.
        port: The port; 0 picks a free one.

    Raises:
        OSError: The address cannot be listened on.
    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    if port == 0 and len(listeners) > 1:  # each address picked a port of its own
        port = port_of(listeners)
        for listener in listeners:
            await listener.aclose()
        listeners = await trio.open_tcp_listeners(port, host=host)
    return listeners


def port_of(listeners: list[trio.SocketListener]) -> int:
    """The port that is listened on."""
    port: int = listeners[0].socket.getsockname()[1]
    return port
