"""``trio-esdb serve``: an embedded node on a TCP port, until it is told to stop."""

from __future__ import annotations

import signal

import trio

from trio_esdb._nursery import background_tasks
from trio_esdb._settings import Settings
from trio_esdb.embedded import EmbeddedNode


async def serve(host: str, port: int) -> None:
    """Serve until SIGINT (Ctrl-C) or SIGTERM, or until a client shuts the node down; says where, once it listens."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with EmbeddedNode() as node, background_tasks() as listening:
            try:
                at = await listening.start(node.serve_tcp, host, port)
            except OSError as exc:
                where = Settings(host, port).address
                raise OSError(f"cannot listen on {where}: {exc.strerror or exc}") from None
            print(f"listening on esdb://{Settings(host, at).address}?Tls=false", flush=True)
            listening.start_soon(_stop_with, node, listening.cancel_scope)
            async for _ in signals:
                return


async def _stop_with(node: EmbeddedNode, scope: trio.CancelScope) -> None:
    await node.wait_stopped()
    scope.cancel()
