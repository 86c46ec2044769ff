"""TCP: dialling a node, listening for clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


async def dial_tcp(host: str, port: int) -> trio.abc.Stream:
    """A TCP connection to this address; OSError where there is none to be had."""
    return await trio.open_tcp_stream(host, port)


async def serve_tcp(
    handler: Callable[[trio.abc.Stream], Awaitable[None]],
    host: str,
    port: int,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept connections and give each to the handler, until cancelled; started with the port that is listened on.

    Port 0 picks a free one. OSError where the address cannot be listened on.
    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    started: int = listeners[0].socket.getsockname()[1]
    if port == 0 and len(listeners) > 1:  # the host has several addresses, and each picked a port of its own
        for listener in listeners:
            await listener.aclose()
        listeners = await trio.open_tcp_listeners(started, host=host)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, handler, listeners)
        task_status.started(started)
