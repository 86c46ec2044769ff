"""What faults act on: the cluster and its network."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypeAlias

from trio_esdb.testing._network import MemoryNetwork
from trio_esdb.testing._route import Route

Done: TypeAlias = Awaitable[object] | None
"""What a command gives back: nothing, or what is to be awaited."""


class Node(Protocol):
    """A node of a cluster."""

    host: str
    port: int

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""

    def kill(self) -> Done:
        """Kill its process."""

    def terminate(self) -> Done:
        """Let its process end."""

    def restart(self) -> Done:
        """Start it again."""

    def freeze(self) -> Done:
        """Let it stand still."""

    def wake(self) -> Done:
        """Let it go on."""

    def resign(self) -> Done:
        """Let it give up leadership."""

    def set_priority(self, priority: int) -> Done:
        """Set its priority for elections."""

    def wipe(self) -> Done:
        """Take its data."""


class Stage:
    """The cluster and the network of a simulation, as faults command them."""

    def __init__(self, cluster: Any, network: MemoryNetwork, latency: tuple[float, float]) -> None:
        self.cluster = cluster
        self.network = network
        self._latency = latency
        self.usual_latency(None)

    def node(self, number: int) -> Node:
        """The node with this number."""
        nodes: Sequence[Node] = self.cluster.nodes
        return nodes[number - 1]

    def route(self, number: int | None) -> Route:
        """The connections of clients with a node, or with all nodes."""
        if number is None:
            return self.network.to()
        node = self.node(number)
        return self.network.to(node.host, node.port)

    def usual_latency(self, number: int | None) -> None:
        """Let bytes take the time that they usually take in this simulation."""
        self.route(number).latency(*self._latency)

    async def start_again(self, number: int) -> None:
        """Start a node again, unless it runs."""
        node = self.node(number)
        if not node.is_running:
            await finish(node.restart())

    async def wipe(self, number: int) -> None:
        """Kill a node and take its data."""
        node = self.node(number)
        if node.is_running:
            await finish(node.kill())
        await finish(node.wipe())

    def part(self, nodes: tuple[int, ...], one_way: bool) -> Done:
        """Part these nodes from the others."""
        done: Done = self.cluster.partition(*(self.node(number) for number in nodes), one_way=one_way)
        return done

    def join(self) -> Done:
        """End all partitions."""
        done: Done = self.cluster.heal()
        return done

    async def heal(self) -> None:
        """End all faults, and wait until the cluster is whole."""
        self.network.to().heal()
        self.usual_latency(None)
        if len(self.cluster.nodes) > 1:
            await finish(self.cluster.heal())
        for node in self.cluster.nodes:
            if node.is_running:
                await finish(node.wake())
            else:
                await finish(node.restart())
        await self.cluster.settled()


async def finish(done: Done) -> None:
    """Await what a command gave back, if it is to be awaited."""
    if done is not None:
        await done
