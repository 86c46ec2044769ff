"""``trio-esdb serve``: an embedded node on a TCP port, until it is told to stop.

The first SIGTERM or Ctrl-C lets the node end as a real one does: it stops listening, says GOAWAY, and serves open calls
for the grace period. A second one ends the process at once. Should the event loop stand still, nothing in it can see
the signal; then faulthandler's own thread ends the process and prints where it stood.
"""

from __future__ import annotations

import argparse
import faulthandler
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import trio

from trio_esdb._nursery import background_tasks
from trio_esdb._settings import Host
from trio_esdb._transport._certificates import LOCAL_NAMES
from trio_esdb.embedded import Certificates, EmbeddedNode

from ._folder import AUTHORITY, certificates_in, objection

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MARGIN = 3.0
"""Seconds in which the event loop must notice a signal, and in which the node must end after the grace period."""


async def serve(options: argparse.Namespace) -> None:
    """Serve until a signal or until a client shuts the node down; prints where, once it listens."""
    host, port = options.host, options.port
    certificates = None if options.tls is None else _certificates(options.tls, host, options.advertise[0])
    with _stopping() as told:
        async with EmbeddedNode(users=options.users) as node, background_tasks() as listening:
            try:
                listened_on = await listening.start(
                    lambda task_status: node.serve_tcp(
                        host,
                        port,
                        tls=certificates,
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
            print(f"listening on {_uri(options, listened_on)}", flush=True)
            if options.tls is not None:
                print(f"the certificate that clients must trust is {_authority(options.tls)}", flush=True)
            listening.start_soon(_shut_down, told, node, options.grace)
            await node.wait_stopped()


def _certificates(folder: Path, host: str, advertised: str | None) -> Certificates:
    """Those in the folder. Says it if they are not for the names by which the node is reached."""
    names = [name for name in (_reachable(host), advertised) if name]
    certificates = certificates_in(folder, tuple(dict.fromkeys([*LOCAL_NAMES, *names])))
    for name in names:
        refused = objection(certificates, name)
        if refused is not None:
            print(f"trio-esdb: clients that connect to {name!r} will refuse the node: {refused}", file=sys.stderr)
    return certificates


def _reachable(host: str) -> str:
    """A host by which clients of this machine reach the node."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _authority(folder: Path) -> str:
    return str((folder / AUTHORITY).resolve())


def _uri(options: argparse.Namespace, port: int) -> str:
    """A connection string for clients of this machine, without credentials."""
    address = Host(_reachable(options.host), port).address
    if options.tls is None:
        return f"esdb://{address}?Tls=false"
    return f"esdb://{address}?tls=true&tlsCaFile={quote(_authority(options.tls))}"


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
