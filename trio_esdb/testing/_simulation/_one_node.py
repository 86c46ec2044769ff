"""A single node in the place of a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trio_esdb._errors import InvalidArgumentError
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing._network import MemoryNetwork


class OneNode:
    """A node that listens on a network, and can be told to be down. What it holds is kept."""

    number = 1
    host = "node1.example"
    port = 2113

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.nodes = (self,)
        self.is_running = True

    @property
    def leader(self) -> OneNode | None:
        """The node, if it is up."""
        return self if self.is_running else None

    @property
    def followers(self) -> tuple[OneNode, ...]:
        """None."""
        return ()

    @property
    def uri(self) -> str:
        """The connection string."""
        return f"esdb://{self.host}:{self.port}?tls=false"

    async def settled(self) -> None:
        """A single node is whole at once."""

    def kill(self) -> None:
        """Let it be down."""
        self.is_running = False
        route = self.network.to(self.host, self.port)
        route.refuse()
        route.reset()

    terminate = kill

    def restart(self) -> None:
        """Let it be up."""
        self.is_running = True
        self.network.to(self.host, self.port).accept()

    def freeze(self) -> None:
        """Let it stand still."""
        self.network.to(self.host, self.port).freeze()

    def wake(self) -> None:
        """Let it go on."""
        self.network.to(self.host, self.port).wake()

    def resign(self) -> None:
        """There is nobody else."""

    def set_priority(self, priority: int) -> None:
        """There is nobody else."""

    def wipe(self) -> None:
        """Its data would be all there is."""
        raise InvalidArgumentError("the data of a single node cannot be wiped: simulate(nodes=3) has more of them")


@asynccontextmanager
async def one_node(network: MemoryNetwork) -> AsyncIterator[OneNode]:
    """A node on the network, under its usual name, while the block is open."""
    stand_in = OneNode(network)
    async with EmbeddedNode() as node, network.listen(node, stand_in.host, stand_in.port):
        yield stand_in
