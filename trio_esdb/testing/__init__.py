"""A network in memory for tests: host names and ports, and faults on command.

    network = MemoryNetwork()
    async with EmbeddedNode() as node, network.listen(node, "node1.example", 2113):
        async with ESDBClient("esdb://node1.example:2113?tls=false", connect=network.connect) as client:
            network.to("node1.example").reset()  # and see what the program makes of it

It works under trio's mock clock, and needs no package besides those of the client. ``docs/testing.md`` shows how to
test a program with it.
"""

from trio_esdb._public import publish

from ._cable import Ending, Side
from ._cluster import EmbeddedCluster
from ._cluster_node import ClusterNode
from ._connection import Connection
from ._faults import Faults
from ._hosts import Host, MemoryHost, TCPHost
from ._listener import MemoryListener
from ._network import MemoryNetwork
from ._route import Route
from ._simulation._faults import (
    Close,
    Cut,
    Fault,
    Freeze,
    HalfOpen,
    Hold,
    Kill,
    Latency,
    Partition,
    Refuse,
    Reset,
    Resign,
    SetPriority,
    Slow,
    Terminate,
    Wipe,
)
from ._simulation._run import HangError
from ._simulation._simulate import Figures, NotDeterministicError, simulate
from ._simulation._trace import Trace, TraceEntry
from ._simulation._world import World

__all__ = [
    "Close",
    "ClusterNode",
    "Connection",
    "Cut",
    "EmbeddedCluster",
    "Ending",
    "Fault",
    "Faults",
    "Figures",
    "Freeze",
    "HalfOpen",
    "HangError",
    "Hold",
    "Host",
    "Kill",
    "Latency",
    "MemoryHost",
    "MemoryListener",
    "MemoryNetwork",
    "NotDeterministicError",
    "Partition",
    "Refuse",
    "Reset",
    "Resign",
    "Route",
    "SetPriority",
    "Side",
    "Slow",
    "TCPHost",
    "Terminate",
    "Trace",
    "TraceEntry",
    "Wipe",
    "World",
    "simulate",
]

publish(__name__, __all__)
