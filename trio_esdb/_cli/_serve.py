"""``trio-esdb serve``: an embedded node on a TCP port, until it is told to stop.

The first SIGTERM or Ctrl-C lets the node end as a real one does: it stops listening, says GOAWAY, and serves open calls
for the grace period. A second one ends the process at once.
"""

from __future__ import annotations

import argparse

import trio

from trio_esdb._nursery import background_tasks
from trio_esdb.embedded import EmbeddedNode

from ._signals import end_within, stopping
from ._where import authority_of, cannot_listen, certificates_of, uri_of


async def serve(options: argparse.Namespace) -> None:
    """Serve until a signal or until a client shuts the node down; prints where, once it listens."""
    (certificates,) = certificates_of(options)
    with stopping() as told:
        async with EmbeddedNode(users=options.users) as node, background_tasks() as listening:
            try:
                port = await listening.start(
                    lambda task_status: node.serve_tcp(
                        options.host,
                        options.port,
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
                raise cannot_listen(options.host, options.port, exc) from None
            print(f"listening on {uri_of(options, [port])}", flush=True)
            if options.tls is not None:
                print(f"the certificate that clients must trust is {authority_of(options)}", flush=True)
            listening.start_soon(_shut_down, told, node, options.grace)
            await node.wait_stopped()


async def _shut_down(told: trio.Event, node: EmbeddedNode, grace: float) -> None:
    await told.wait()
    end_within(grace)
    await node.shut_down(grace)
