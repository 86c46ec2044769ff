"""``trio-esdb serve``: an embedded node on a TCP port, until it is told to stop."""

from __future__ import annotations

import signal

import trio

from trio_esdb.embedded import EmbeddedNode


async def serve(host: str, port: int) -> None:
    """Serve until SIGINT (Ctrl-C) or SIGTERM; says where, once it listens."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            listening = await nursery.start(node.serve, host, port)
            shown = f"[{host}]" if ":" in host else host
            print(f"listening on esdb://{shown}:{listening}?Tls=false", flush=True)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                break
