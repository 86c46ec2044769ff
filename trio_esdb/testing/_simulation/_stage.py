"""What faults act on: the cluster and its network."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import trio

from trio_esdb.testing._network import MemoryNetwork
from trio_esdb.testing._route import Route

if TYPE_CHECKING:
    from trio_esdb.testing._cluster import EmbeddedCluster
    from trio_esdb.testing._cluster_node import ClusterNode


class Stage:
    """The cluster and the network of a simulation, as faults command them.

    Faults overlap. So a command that makes no sense for a node as it is does nothing: a node that does not run cannot
    be killed. A node that several faults keep down is started when the last of them ends.
    """

    def __init__(self, cluster: EmbeddedCluster, network: MemoryNetwork, latency: tuple[float, float]) -> None:
        self.cluster = cluster
        self.network = network
        self._latency = latency
        self._down: Counter[int] = Counter()
        self._frozen: Counter[int] = Counter()
        self._partitions: dict[object, tuple[tuple[int, ...], bool]] = {}
        self.usual_latency(None)

    def node(self, number: int) -> ClusterNode:
        """The node with this number."""
        return self.cluster.nodes[number - 1]

    def route(self, number: int | None) -> Route:
        """The connections of clients with a node, or with all nodes."""
        if number is None:
            return self.network.to()
        node = self.node(number)
        return self.network.to(node.host, node.port)

    def usual_latency(self, number: int | None) -> None:
        """Let bytes take the time that they usually take in this simulation."""
        self.route(number).latency(*self._latency)

    # -- processes ---------------------------------------------------------------------------------------------------

    def kill(self, number: int) -> None:
        """Kill a node until ``start_again``."""
        self._down[number] += 1
        with contextlib.suppress(RuntimeError):
            self.node(number).kill()

    def wipe(self, number: int) -> None:
        """Kill a node until ``start_again``, and take its data."""
        self.kill(number)
        self.node(number).wipe()

    def terminate(self, number: int) -> None:
        """Let a node end, until ``start_again``."""
        self._down[number] += 1
        with contextlib.suppress(RuntimeError):
            self.node(number).terminate()

    async def start_again(self, number: int) -> None:
        """Start a node again, unless another fault keeps it down."""
        self._down[number] -= 1
        if not self._down[number]:
            await self._start(self.node(number))

    async def _start(self, node: ClusterNode) -> None:
        if node.is_ending:
            await node.stopped()
        with contextlib.suppress(RuntimeError):
            node.restart()

    def freeze(self, number: int) -> None:
        """Let a node stand still until ``wake``."""
        self._frozen[number] += 1
        with contextlib.suppress(RuntimeError):
            self.node(number).freeze()

    def wake(self, number: int) -> None:
        """Let a node go on, unless another fault keeps it still."""
        self._frozen[number] -= 1
        if not self._frozen[number]:
            with contextlib.suppress(RuntimeError):
                self.node(number).wake()

    def resign(self, number: int) -> None:
        """Let a node resign if it leads."""
        with contextlib.suppress(RuntimeError):
            self.node(number).resign()

    def set_priority(self, number: int, priority: int) -> None:
        """Set the priority of a node if it runs."""
        with contextlib.suppress(RuntimeError):
            self.node(number).set_priority(priority)

    # -- partitions --------------------------------------------------------------------------------------------------

    def part(self, fault: object, nodes: tuple[int, ...], *, one_way: bool) -> None:
        """Part these nodes from the others until ``join``."""
        self._partitions[fault] = nodes, one_way
        self.cluster.partition(*nodes, one_way=one_way)

    def join(self, fault: object) -> None:
        """End a partition. Others stay."""
        self._partitions.pop(fault, None)
        self.cluster.heal()
        for nodes, one_way in self._partitions.values():
            self.cluster.partition(*nodes, one_way=one_way)

    # -- healing -----------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def heal(self) -> None:
        """End all faults, and wait until the cluster is whole."""
        self._down.clear()
        self._frozen.clear()
        self._partitions.clear()
        self.network.to().heal()
        self.usual_latency(None)
        self.cluster.heal()
        for node in self.cluster.nodes:
            if node.is_frozen:
                node.wake()
        while any(node.is_ending or not node.is_running for node in self.cluster.nodes):
            for node in self.cluster.nodes:
                if node.is_ending or not node.is_running:
                    await self._start(node)
            await self.cluster.settled(within=float("inf"))
        await self.cluster.settled(within=float("inf"))
