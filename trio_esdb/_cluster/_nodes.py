"""The nodes that a client uses, each with its own pool of connections, and which of them a call goes to.

Two pools matter to calls. ``leading`` is for calls that need the leader of the cluster, which are all that write;
``serving`` is for the others. With the preference for the leader both are the same. They are attributes, so that a call
that finds room at once costs no function call more than with a single node.

A client of one node (*direct mode*) has one pool, its *home*, and never looks for other nodes. But it follows what a
node says that is not the leader: both pools can be another node's then, until that one has trouble.

Credentials go only where a connection goes that was made as all others: by the same ``connect``, with the same
certificates, and with TLS if the connection string says so.
"""

from __future__ import annotations

import trio

from trio_esdb._errors import UnavailableError
from trio_esdb._model import ConnectionStatistics
from trio_esdb._nursery import BackgroundTasks
from trio_esdb._rpc import Trouble
from trio_esdb._transport._dial import Dialer

from ._endpoint import Endpoint
from ._node_link import NodeLink
from ._options import ClientOptions
from ._pool import NodeLeft, Pool, Totals, closed

_ELSEWHERE = (Trouble.NEVER_SENT, Trouble.NOT_READY, Trouble.LOST, Trouble.NO_FIRST_ANSWER)
"""After this trouble, calls go to another node if there is one."""


class Nodes:
    """The nodes that a client uses.

    Args:
        tasks: Where the connections run.
        dial: Makes the byte stream of a new connection.
        options: What the client was told.
    """

    def __init__(self, tasks: trio.Nursery | BackgroundTasks, dial: Dialer, options: ClientOptions) -> None:
        self.closed = False
        self.closing = trio.Event()
        """Set when the client is closed."""
        self._tasks = tasks
        self._dial = dial
        self._options = options
        self._totals = Totals()
        self._pools: dict[Endpoint, Pool] = {}
        """The pools that take calls."""
        self._retired: dict[Pool, None] = {}
        """Those that have connections and take no more calls."""
        self.home: Pool = self._pool(options.node)
        self.leading: Pool | None = self.home
        """Where calls go that need the leader; None if it is not known."""
        self.serving: Pool | None = self.home
        """Where the other calls go; None if that is to be found out."""

    def _pool(self, node: Endpoint) -> Pool:
        pool = self._pools.get(node)
        if pool is None:
            pool = self._pools[node] = Pool(
                self._tasks, self._dial, self._options, node, owner=self, totals=self._totals
            )
        return pool

    @property
    def address(self) -> str:
        """The node that calls go to, as errors say it that came before a connection."""
        pool = self.serving or self.leading
        return self._options.node.address if pool is None else pool.node.address

    # -- calls -------------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def open(self) -> None:
        """Open the first connection.

        Raises:
            UnavailableError: The node cannot be reached.
            trio.ClosedResourceError: The client was closed.
        """
        await self.home.open()

    @trio.lowlevel.enable_ki_protection
    async def link(self, leader: bool) -> NodeLink:
        """A connection with room for a call. The call must be started before anything is awaited.

        Args:
            leader: Whether the call needs the leader.

        Raises:
            UnavailableError: The node cannot be reached.
            trio.ClosedResourceError: The client was closed.
        """
        while True:
            if self.closed:
                await trio.lowlevel.checkpoint()  # for a task that is cancelled as well, that comes first
                raise closed()
            pool = self.leading if leader else self.serving
            assert pool is not None
            try:
                return await pool.link()
            except NodeLeft:
                continue
            except UnavailableError:
                self._leave(pool)
                raise

    # -- trouble -----------------------------------------------------------------------------------------------------

    def learn(self, link: NodeLink, trouble: Trouble, leader: tuple[str, int] | None, *, follow: bool) -> None:
        """A call has failed.

        Args:
            link: Where it was sent.
            trouble: What kind of failure it was.
            leader: The leader that the node named.
            follow: Whether to believe it.
        """
        pool = link.owner
        if pool is not self.leading and pool is not self.serving:
            return  # others have found out already
        assert isinstance(pool, Pool)
        if trouble is Trouble.NOT_LEADER:
            self._not_leader(pool, link, leader if follow else None)
        elif trouble in _ELSEWHERE:
            self._leave(pool)

    def _not_leader(self, pool: Pool, link: NodeLink, leader: tuple[str, int] | None) -> None:
        found = None if leader is None else _endpoint(*leader)
        if found is not None and found.address != pool.node.address:
            self._lead(self._pool(found))
        elif pool is self.home:
            link.retire()  # a name or a proxy may lead to the new leader
        else:
            self._leave(pool)

    def _leave(self, pool: Pool) -> None:
        """Use another node than this one."""
        if pool is not self.home and (pool is self.leading or pool is self.serving):
            self._lead(self.home)

    def _lead(self, pool: Pool) -> None:
        """The calls that need the leader go there from now on."""
        self.leading = self.serving = pool
        for other in list(self._pools.values()):
            if other is self.home and other is not pool:
                other.rest()
            elif other is not pool:
                self._retire(other)

    def _retire(self, pool: Pool) -> None:
        del self._pools[pool.node]
        self._retired[pool] = None
        pool.retire()
        if not pool.links:
            del self._retired[pool]

    # -- what pools tell ---------------------------------------------------------------------------------------------

    def on_node_draining(self, pool: Pool) -> None:
        """The node takes no more calls on a connection."""
        self._leave(pool)

    def on_node_lost(self, pool: Pool) -> None:
        """The last connection to the node has broken."""
        self._leave(pool)

    def on_node_left(self, pool: Pool) -> None:
        """A pool that is not used any more has no connection any more."""
        self._retired.pop(pool, None)

    # -- closing -----------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    def close(self) -> None:
        """Take no more calls. Tasks that wait for a connection get trio.ClosedResourceError at once."""
        self.closed = True
        self.closing.set()
        for pool in self._all():
            pool.close()

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Close all connections and wait until they are; calls that are open end."""
        self.close()
        links = self.links
        for pool in self._all():
            pool.leave()
        for link in links:
            await link.closed.wait()
        await trio.lowlevel.checkpoint()

    # -- statistics --------------------------------------------------------------------------------------------------

    def _all(self) -> list[Pool]:
        return [*self._retired, *self._pools.values()]

    @property
    def links(self) -> list[NodeLink]:
        """All open connections, the oldest first."""
        return sorted((link for pool in self._all() for link in pool.links), key=lambda link: link.number)

    def connections(self) -> tuple[ConnectionStatistics, ...]:
        """The state of the open connections."""
        return tuple(link.statistics() for link in self.links)

    @property
    def waiting_calls(self) -> int:
        """How many calls wait for a connection."""
        return sum(pool.waiting_calls for pool in self._all())

    @property
    def bytes_sent(self) -> int:
        """Bytes that were sent on all connections."""
        return self._totals.sent + sum(link.bytes_sent for link in self.links)

    @property
    def bytes_received(self) -> int:
        """Bytes that came on all connections."""
        return self._totals.received + sum(link.bytes_received for link in self.links)


def _endpoint(host: str, port: int) -> Endpoint | None:
    """Where a node is that another one has named; None if nothing could be there."""
    if not 0 < port < 65536 or not 0 < len(host) <= 253 or not host.isprintable() or " " in host:
        return None
    return Endpoint(host, port, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
