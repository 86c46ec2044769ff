"""The pools of a client, one for each node: those that take calls, and those whose connections end with their calls."""

from __future__ import annotations

import math

import trio

from trio_esdb._model import ConnectionStatistics
from trio_esdb._nursery import BackgroundTasks
from trio_esdb._transport._dial import Dialer

from ._endpoint import Endpoint
from ._node_link import NodeLink
from ._options import ClientOptions
from ._pool import Pool, PoolOwner, Totals
from ._preference import NodePreference


class Pools:
    """The pools of a client.

    Args:
        tasks: Where the connections run.
        dial: Makes the byte stream of a new connection.
        options: What the client was told.
        owner: Who is told of trouble with a node.
    """

    def __init__(
        self, tasks: trio.Nursery | BackgroundTasks, dial: Dialer, options: ClientOptions, owner: PoolOwner
    ) -> None:
        self._tasks = tasks
        self._dial = dial
        self._options = options
        self._owner = owner
        self._totals = Totals()
        self._usable: dict[Endpoint, Pool] = {}
        self._retired: dict[Pool, None] = {}

    def get(self, node: Endpoint) -> Pool:
        """The pool of a node."""
        pool = self._usable.get(node)
        if pool is None:
            options = self._options
            leader = options.node_preference is NodePreference.LEADER
            found = options.cluster or bool(self._usable)
            pool = self._usable[node] = Pool(
                self._tasks,
                self._dial,
                options,
                node,
                owner=self._owner,
                totals=self._totals,
                # The only node that the program named need not lead, unless the leader is what is wanted.
                requires_leader=(leader, leader or found),
                patience=options.gossip_timeout if found else math.inf,
            )
        return pool

    def of(self, node: Endpoint) -> Pool:
        """The pool of a node, also if its name was looked up and an IP address was dialled."""
        if node not in self._usable:
            for pool in self._usable.values():
                if pool.node.address == node.address and pool.links:
                    return pool
        return self.get(node)

    def retire(self, pool: Pool) -> None:
        """Use a pool no more: its connections end with their calls."""
        del self._usable[pool.node]
        pool.retire()
        if pool.links:
            self._retired[pool] = None

    def forget(self, pool: Pool) -> None:
        """A pool that is not used any more has no connection any more."""
        self._retired.pop(pool, None)

    def usable(self) -> list[Pool]:
        """Those that take calls."""
        return list(self._usable.values())

    def all(self) -> list[Pool]:
        """All that have connections, or could have some."""
        return [*self._retired, *self._usable.values()]

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return len(self._usable) + len(self._retired) > 1

    # -- statistics --------------------------------------------------------------------------------------------------

    @property
    def links(self) -> list[NodeLink]:
        """All open connections, the oldest first."""
        return sorted((link for pool in self.all() for link in pool.links), key=lambda link: link.number)

    def connections(self) -> tuple[ConnectionStatistics, ...]:
        """The state of the open connections."""
        return tuple(link.statistics() for link in self.links)

    @property
    def waiting_calls(self) -> int:
        """How many calls wait for a connection."""
        return sum(pool.waiting_calls for pool in self.all())

    @property
    def bytes_sent(self) -> int:
        """Bytes that were sent on all connections."""
        return self._totals.sent + sum(link.bytes_sent for link in self.links)

    @property
    def bytes_received(self) -> int:
        """Bytes that came on all connections."""
        return self._totals.received + sum(link.bytes_received for link in self.links)
