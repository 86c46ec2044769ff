"""``trio-esdb serve --nodes N``: an embedded cluster on TCP ports, until it is told to stop.

It says where it listens once a leader is elected and the others follow it, so that clients with little patience can
use the address at once. From then on standard input gives commands. On a signal all nodes end as a real one does.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Sequence
from contextlib import ExitStack
from random import Random

from trio_esdb._nursery import background_tasks
from trio_esdb._transport._admission import usual_connections
from trio_esdb.testing import ClusterNode, EmbeddedCluster, TCPHost

from ._commands import Commands
from ._input import unstoppable
from ._signals import end_within, stopping
from ._where import cannot_listen, certificates_of, uri_of


async def serve_cluster(options: argparse.Namespace) -> None:
    """Serve until a signal; prints where, once the cluster can be used."""
    certificates = [each for each in certificates_of(options) if each is not None]
    with ExitStack() as reserved, stopping() as told, unstoppable():
        hosts = await _hosts(options, reserved)
        cluster = EmbeddedCluster(
            options.nodes,
            hosts=hosts,
            tls=certificates or False,
            users=options.users,
            random=Random(),
            started="begun",
        )
        async with background_tasks() as tasks:
            await tasks.start(cluster.run)
            tasks.start_soon(_talk, options, hosts, cluster)
            await told.wait()
            end_within(options.grace)
            await _end(cluster.nodes, options.grace)


async def _hosts(options: argparse.Namespace, reserved: ExitStack) -> list[TCPHost]:
    """One for each node, on consecutive ports, or each on a free one."""
    advertise_host, advertise_port = options.advertise
    most = usual_connections() // options.nodes if options.max_connections is None else options.max_connections
    hosts = []
    for index in range(options.nodes):
        host = TCPHost(
            options.host,
            options.port and options.port + index,
            advertise_host=advertise_host,
            advertise_port=advertise_port and advertise_port + index,
            max_connections=max(1, most),
            preface_timeout=options.preface_timeout,
            idle_timeout=options.idle_timeout,
        )
        reserved.callback(host.close)
        try:
            await host.reserve()
        except OSError as exc:
            raise cannot_listen(options.host, host.port, exc) from None
        hosts.append(host)
    return hosts


async def _talk(options: argparse.Namespace, hosts: Sequence[TCPHost], cluster: EmbeddedCluster) -> None:
    await cluster.settled(math.inf)
    print(f"listening on {uri_of(options, [host.port for host in hosts])}", flush=True)
    await Commands(cluster).run()


async def _end(nodes: Sequence[ClusterNode], grace: float) -> None:
    """Let all nodes end in order at the same time. One that is frozen cannot, and is killed."""
    for node in nodes:
        if node.is_frozen:
            node.kill()
        elif node.is_running:
            with contextlib.suppress(RuntimeError):  # it is ending already
                node.terminate(grace)
    for node in nodes:
        await node.stopped()
