"""The nodes that a client uses, each with its own pool of connections, and which of them a call goes to.

Two pools matter to calls. ``leading`` is for calls that need the leader of the cluster, which are all that write;
``serving`` is for the others. With the preference for the leader both are the same. They are attributes, so that a call
that finds room at once costs no function call more than with a single node.

A client of one node (*direct mode*) has one pool, its *home*, and never looks for other nodes. But it follows what a
node says that is not the leader: both pools can be another node's then, until that one has trouble.

A client of a cluster finds its nodes by ``Discovery``. When a node has trouble, or says GOAWAY, its pool is *left*:
None is in its place until the next call has found another node, or the same one again. Discovery is told of the nodes
that were left lately, and takes one of them only if it says itself that it is there. When a search is over, the pools
of nodes that are not used are closed.

Subscriptions that are to be at the leader move when another node leads: because a node said so to another call, or
because a gossip told it. While such subscriptions are open, the cluster is asked now and then, for a leader that is
deposed tells them nothing. They move only when there is a connection to the new leader. Until then they stay, since
what serves them now may be slow but is there.

Credentials go only where a connection goes that was made as all others: by the same ``connect``, with the same
certificates, and with TLS if the connection string says so.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import trio

from trio_esdb._errors import DiscoveryError, UnavailableError
from trio_esdb._model import (
    ClusterMember,
    Discovered,
    DiscoveryFailed,
    LeaderChanged,
    NodeState,
)
from trio_esdb._nursery import BackgroundTasks
from trio_esdb._rpc import Trouble
from trio_esdb._transport._dial import Dialer

from ._authorization import Authorization
from ._endpoint import Endpoint, usable_endpoint
from ._gossip import ask_members
from ._node_link import NodeLink
from ._options import ClientOptions
from ._pool import Pool
from ._pools import Pools
from ._preference import NodePreference, endpoint_of
from ._waiter import NodeLeft, closed

if TYPE_CHECKING:
    from ._discovery import Discovery, Found, View

_ELSEWHERE = (Trouble.NEVER_SENT, Trouble.NOT_READY, Trouble.LOST, Trouble.NO_FIRST_ANSWER)
"""After this trouble, calls go to another node if there is one."""
_LATELY = 10.0
"""Seconds. For about half of them other nodes may list a node as alive that is gone."""


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
        self.leading: Pool | None = None
        """Where calls go that need the leader; None if that is to be found out."""
        self.serving: Pool | None = None
        """Where the other calls go; None if that is to be found out."""
        self.unwatched = False
        """Whether subscriptions that begin make it necessary to watch the leader."""
        self.authorization = Authorization(options)
        """Who the calls are made for."""
        self.pools = Pools(tasks, dial, options, self)
        self._tasks = tasks
        self._options = options
        self._all_to_leader = options.node_preference is NodePreference.LEADER
        self._left: dict[str, float] = {}
        """The nodes that were left lately, and when."""
        self._leader = ""
        """The address of the last leader."""
        self._searching = 0
        """How many tasks wait for an answer of the discovery."""
        self._discovery: Discovery | None = None
        self._home: Pool | None = None
        """The node that a client of one node was told."""
        if options.cluster:
            self._discovery = self._make_discovery()
            self.unwatched = self._all_to_leader and options.leader_check != math.inf
        else:
            self._home = self.leading = self.serving = self.pools.get(options.node)

    def _make_discovery(self) -> Discovery:
        from ._discovery import Discovery  # a client of one node never loads it
        from ._resolving import resolver

        discovery = Discovery(self._tasks, self._options, self._ask, resolver(self._options.connect))
        discovery.on_view = self._seen
        discovery.on_failure = lambda error: self._options.observer.emit(DiscoveryFailed(reason=str(error)))
        return discovery

    @property
    def address(self) -> str:
        """The node that calls go to, as errors say it that came before a connection; the seeds if it is not known."""
        pool = self.serving or self.leading
        return ", ".join(seed.address for seed in self._options.seeds) if pool is None else pool.node.address

    @property
    def missing(self) -> str:
        """Why there is no node for calls, as the end of a sentence; empty if there is one."""
        if self._discovery is None or not self._discovery.failure or (self.leading and self.serving):
            return ""
        return f"; no node was found so far: {self._discovery.failure}"

    @property
    def may_lag(self) -> bool:
        """Whether calls that do not need the leader may go to a node that does not have yet what others have."""
        return self._discovery is not None and not self._all_to_leader

    # -- calls -------------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def open(self) -> None:
        """Open the first connection of a client of one node.

        Raises:
            UnavailableError: The node cannot be reached.
            trio.ClosedResourceError: The client was closed.
        """
        assert self._home is not None
        await self._home.open()

    @trio.lowlevel.enable_ki_protection
    async def link(self, leader: bool) -> NodeLink:
        """A connection with room for a call. The call must be started before anything is awaited.

        Args:
            leader: Whether the call needs the leader.

        Raises:
            DiscoveryError: There is no node that does what is wanted.
            UnavailableError: The node cannot be reached.
            trio.ClosedResourceError: The client was closed.
        """
        while True:
            if self.closed:
                await trio.lowlevel.checkpoint()  # for a task that is cancelled as well, that comes first
                raise closed()
            pool = self.leading if leader else self.serving
            if pool is None:
                await self._find(leader)
                continue
            try:
                return await pool.link()
            except NodeLeft:
                continue
            except UnavailableError as exc:
                exc.final = exc.final and self._discovery is None
                self._leave(pool)
                raise

    # -- the search --------------------------------------------------------------------------------------------------

    async def _find(self, leader: bool) -> None:
        """Find a node for calls of this kind."""
        assert self._discovery is not None
        wanted = NodePreference.LEADER if leader else self._options.node_preference
        self._searching += 1
        try:
            found = await self._discovery.find(wanted, without=self._left_lately())
            if (self.leading if leader else self.serving) is None:
                self._use(found, wanted)
        finally:
            self._searching -= 1
            self._tidy()

    def _use(self, found: Found, wanted: NodePreference) -> None:
        pool = self.pools.of(found.endpoint)
        pool.role = found.role
        self._left.pop(pool.node.address, None)
        if wanted is NodePreference.LEADER:
            self._lead(pool)
            return
        self.serving = pool
        if self.leading is None and found.role is NodeState.LEADER:
            self._lead(pool)

    def _is_left(self, node: Endpoint) -> bool:
        """Whether it is no use to go there, whoever names the node. There is nothing else to do in direct mode."""
        return self._discovery is not None and node.address in self._left_lately()

    def _left_lately(self) -> frozenset[str]:
        since = trio.current_time() - _LATELY
        self._left = {address: left for address, left in self._left.items() if left > since}
        return frozenset(self._left)

    async def _ask(self, node: Endpoint) -> tuple[ClusterMember, ...]:
        """Ask a node for the members of its cluster, on a connection that calls can use later."""
        pool = self.pools.get(node)
        pool.users += 1
        try:
            return await ask_members(await pool.link(), self.authorization)
        finally:
            pool.users -= 1
            if not self._searching:
                self._tidy()

    def _seen(self, view: View) -> None:
        """A node has told of the members of its cluster."""
        roles = {}
        for member in view.members:
            endpoint = endpoint_of(member)
            if endpoint is not None:
                roles[endpoint.address] = member.state
        for pool in self.pools.usable():
            pool.role = roles.get(pool.node.address, pool.role)
        self._options.observer.emit(Discovered(address=view.source.address, members=view.members))

    def _tidy(self) -> None:
        """Close what is not used."""
        if self._searching or self.closed:
            return
        for pool in self.pools.usable():
            if pool is self.leading or pool is self.serving or pool.users:
                continue
            if pool is self._home:
                pool.rest()
            else:
                self.pools.retire(pool)

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
        found = None if leader is None else usable_endpoint(*leader)
        if found is not None and found.address != pool.node.address and not self._is_left(found):
            pool.role = None
            self._lead(self.pools.of(found))
        elif pool is self._home:
            link.retire()  # a name or a proxy may lead to the new leader
        else:
            self._leave(pool)

    def _leave(self, pool: Pool) -> None:
        """Use another node than this one, if there are others."""
        if pool is self._home or (pool is not self.leading and pool is not self.serving):
            return
        self._left[pool.node.address] = trio.current_time()
        if pool is self.leading:
            self.leading = self._home
        if pool is self.serving:
            self.serving = self._home
        pool.send_away()
        if self._home is not None:
            self._tidy()

    # -- the leader --------------------------------------------------------------------------------------------------

    def _lead(self, pool: Pool) -> None:
        """The calls that need the leader go there from now on."""
        self.leading = pool
        pool.role = NodeState.LEADER
        if self._all_to_leader:
            self.serving = pool
        before, self._leader = self._leader, pool.node.address
        if before and before != self._leader:
            self._options.observer.emit(LeaderChanged(address=self._leader, before=before))
        if pool.links:
            self._move_subscriptions(pool)
        self._tidy()

    def _move_subscriptions(self, leading: Pool) -> None:
        """Let subscriptions that are to be at the leader go there."""
        if self._all_to_leader:
            for pool in self.pools.all():
                if pool is not leading:
                    for link in list(pool.links):
                        link.leader_moved()

    def watch_leader(self) -> None:
        """A subscription begins: from now on, look now and then whether there is another leader."""
        assert self._discovery is not None
        self.unwatched = False
        self._tasks.start_soon(self._watch, self._discovery)

    def suspect(self, link: NodeLink) -> None:
        """A node has not answered a call in its time: find out whether it is there, and use another one if not."""
        pool = link.owner
        if self._discovery is not None and isinstance(pool, Pool) and not self.closed:
            if pool is self.leading:
                self._tasks.start_soon(self._find_again, True)
            if pool is self.serving and not self._all_to_leader:
                self._tasks.start_soon(self._find_again, False)
            self._leave(pool)

    @trio.lowlevel.enable_ki_protection
    async def _find_again(self, leader: bool) -> None:
        with contextlib.suppress(DiscoveryError, trio.ClosedResourceError):  # the next call searches again
            await self._find(leader)

    @trio.lowlevel.enable_ki_protection
    async def _watch(self, discovery: Discovery) -> None:
        """Ask the cluster now and then, as long as there are subscriptions."""
        while True:
            with trio.move_on_after(self._options.leader_check):
                await self.closing.wait()
            if self.closed or not any(link.has_endless_calls for link in self.pools.links):
                self.unwatched = True
                return
            await self._check(discovery)

    @trio.lowlevel.enable_ki_protection
    async def _check(self, discovery: Discovery) -> None:
        """Ask the cluster once; other nodes first than those that are in use, which may not know better."""
        self._searching += 1
        try:
            used = frozenset(pool.node.address for pool in (self.leading, self.serving) if pool is not None)
            self._compare(await discovery.check(last=used))
        except (DiscoveryError, trio.ClosedResourceError):
            pass  # calls and connections tell if something is wrong
        finally:
            self._searching -= 1
            self._tidy()

    def _compare(self, members: tuple[ClusterMember, ...]) -> None:
        """Whether nodes in use are dead, or there is another leader. Of several nodes that lead, none is believed."""
        if len(members) == 1:
            return
        found = {endpoint.address: (endpoint, member) for member in members if (endpoint := endpoint_of(member))}
        for pool in (self.leading, self.serving):
            if pool is not None and pool.node.address in found and not found[pool.node.address][1].is_alive:
                self._leave(pool)
        leaders = [
            endpoint for endpoint, member in found.values() if member.state is NodeState.LEADER and member.is_alive
        ]
        if len(leaders) == 1:
            (leader,) = leaders
            if self.leading is None or self.leading.node.address != leader.address:
                self._lead(self.pools.of(leader))
            elif self.leading.links:
                self._move_subscriptions(self.leading)

    # -- what pools tell ---------------------------------------------------------------------------------------------

    def on_node_reached(self, pool: Pool) -> None:
        """A connection to the node was opened."""
        if pool is self.leading and self.pools.several:
            self._move_subscriptions(pool)

    def on_node_draining(self, pool: Pool) -> None:
        """The node takes no more calls on a connection."""
        self._leave(pool)

    def on_node_lost(self, pool: Pool) -> None:
        """The last connection to the node has broken."""
        self._leave(pool)

    def on_node_left(self, pool: Pool) -> None:
        """A pool that is not used any more has no connection any more."""
        self.pools.forget(pool)

    # -- closing -----------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    def close(self) -> None:
        """Take no more calls. Tasks that wait for a connection get trio.ClosedResourceError at once."""
        self.closed = True
        self.closing.set()
        if self._discovery is not None:
            self._discovery.close()
        for pool in self.pools.all():
            pool.close()

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Close all connections and wait until they are; calls that are open end."""
        self.close()
        links = self.pools.links
        for pool in self.pools.all():
            pool.leave()
        for link in links:
            await link.closed.wait()
        await trio.lowlevel.checkpoint()
