"""``trio-esdb serve``: an embedded node on a TCP port, until it is told to stop.

The first SIGTERM or Ctrl-C lets the node end as a real one does: it stops listening, says GOAWAY, and serves open calls
for the grace period. A second one ends the process at once. Should the event loop stand still, nothing in it can see
the signal; then faulthandler's own thread ends the process and prints where it stood.
"""

from __future__ import annotations

import argparse
import faulthandler
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from trio_esdb._nursery import background_tasks
from trio_esdb._settings import Host
from trio_esdb.embedded import EmbeddedNode

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MARGIN = 3.0
"""Seconds in which the event loop must notice a signal, and in which the node must end after the grace period."""


async def serve(options: argparse.Namespace) -> None:
    """Serve until a signal or until a client shuts the node down; prints where, once it listens."""
    host, port = options.host, options.port
    with _stopping() as told:
        async with EmbeddedNode() as node, background_tasks() as listening:
            try:
                listened_on = await listening.start(
                    lambda task_status: node.serve_tcp(
                        host,
                        port,
                        advertise_host=options.advertise[0],
                        advertise_port=options.advertise[1],
                        max_connections=options.max_connections,
                        preface_timeout=options.preface_timeout,
                        idle_timeout=options.idle_timeout,
                        task_status=task_status,
                    )
                )
            except OSError as exc:
                where = Host(host, port).address
                raise OSError(f"cannot listen on {where}: {exc.strerror or exc}") from None
            print(f"listening on esdb://{Host(host, listened_on).address}?Tls=false", flush=True)
            listening.start_soon(_shut_down, told, node, options.grace)
            await node.wait_stopped()


async def _shut_down(told: trio.Event, node: EmbeddedNode, grace: float) -> None:
    await told.wait()
    faulthandler.dump_traceback_later(grace + _MARGIN, exit=True)
    await node.shut_down(grace)


@contextmanager
def _stopping() -> Iterator[trio.Event]:
    """An event that is set by the first signal. From then on signals end the process, and the clock ticks for it."""
    told = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def on_signal(_number: int, _frame: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        faulthandler.dump_traceback_later(_MARGIN, exit=True)
        token.run_sync_soon(told.set)

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield told
    finally:
        faulthandler.cancel_dump_traceback_later()
        for number, handler in before.items():
            signal.signal(number, handler)
