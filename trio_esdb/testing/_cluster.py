"""A cluster of nodes in this process, which loses its leader on command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from types import TracebackType
from typing import Literal, Self, TypeAlias
from urllib.parse import quote

import trio

from trio_esdb._errors import InvalidArgumentError, InvalidTypeError
from trio_esdb._nursery import background_tasks
from trio_esdb._transport._certificates import TLS, Certificates, context_of

from ._cluster_node import ClusterNode
from ._hosts import Host, MemoryHost
from ._network import MemoryNetwork

ClusterTLS: TypeAlias = bool | TLS | Sequence[TLS]
"""How the nodes of a cluster speak TLS: with certificates that are made, with these, or each node with its own."""
_PORT = 2113
_PASSWORD = "changeit"


class EmbeddedCluster:
    """A cluster of EventStoreDB nodes in this process, for tests and development.

    The nodes elect a leader, replicate, and gossip, and can be killed, frozen, or parted from each other::

        async with EmbeddedCluster() as cluster:
            async with ESDBClient(cluster.uri, connect=cluster.network.connect) as client:
                cluster.leader.kill()  # and see what the program makes of it

    Everything takes as long as it was seen to take in a real cluster: three nodes need some seconds until one leads
    and the others follow, of trio's clock; under a mock clock that takes no time. The delays are drawn from ranges by
    ``random``, so each run is the same as far as the program itself is.

    Use it as a context manager, or give it to a nursery of yours with ``await nursery.start(cluster.run)``.

    Args:
        nodes: How many nodes vote, an odd number makes most sense.
        network: The network on which the nodes listen; without it the cluster has one of its own.
        hosts: The machines of the nodes, one for each, the read-only replicas last. Without it they are hosts of the
            network: ``node1.example`` and so on, port 2113.
        tls: Whether the nodes speak TLS, with certificates that are made for all their names. Or the certificates, or
            an ``ssl.SSLContext`` for servers; or one for each node.
        users: Whether the cluster has users, as for ``EmbeddedNode``. They exist some milliseconds after the first
            leader has been elected; before that nobody can log in.
        read_only_replicas: How many more nodes there are that replicate and never vote. They are numbered last.
        random: The source of all chance in the cluster. Without it a ``random.Random(0)``.
        started: When the cluster counts as started: once it is ``"settled"``, or once its processes have ``"begun"``.
        restarts: Whether a process that ends by itself is started again, as by a supervisor. That of a deposed leader
            does so, if it has events that the new one has not. A process that is killed or terminated stays away.

    Raises:
        InvalidArgumentError: A number makes no sense, or there are too few or too many hosts or certificates.
        InvalidTypeError: An argument is of another type.
        ValueError: A name in ``users`` has a colon.
        TypeError: ``users`` is something else.
        ESDBError: ``tls`` is True, and the package trustme is not installed.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        network: MemoryNetwork | None = None,
        hosts: Sequence[Host] | None = None,
        tls: ClusterTLS = False,
        users: bool | Mapping[str, str] = False,
        read_only_replicas: int = 0,
        random: Random | None = None,
        started: Literal["settled", "begun"] = "settled",
        restarts: bool = False,
    ) -> None:
        _check_count("nodes", nodes, 1)
        _check_count("read_only_replicas", read_only_replicas, 0)
        if started not in ("settled", "begun"):
            raise InvalidArgumentError(f'started must be "settled" or "begun", not {started!r}')
        random = Random(0) if random is None else random
        numbers = range(1, nodes + read_only_replicas + 1)
        self._network = MemoryNetwork(random=Random(random.getrandbits(64))) if network is None else network
        if hosts is None:
            hosts = [MemoryHost(self._network, f"node{number}.example", _PORT) for number in numbers]
        elif len(hosts) != len(numbers):
            raise InvalidArgumentError(f"hosts= must name {len(numbers)} hosts, one for each node, not {len(hosts)}")
        from ._machinery import Machinery  # it loads the embedded node

        self._has_users = users is not False
        self._password = users.get("admin", _PASSWORD) if isinstance(users, Mapping) else _PASSWORD
        self._hosts = tuple(hosts)
        self._started = started
        self._has_run = False
        self._lifetime: AbstractAsyncContextManager[None] | None = None
        names = {number: host.name for number, host in zip(numbers, hosts, strict=True)}
        self._machinery = Machinery(numbers[:nodes], names, self._network, random, users)
        self._machinery.restarts = restarts
        self._root_certificates = b""
        certificates = self._certificates(tls)
        self._uses_tls = certificates[0] is not None
        self._nodes = tuple(
            ClusterNode(number, self._machinery, host, certificate)
            for number, host, certificate in zip(numbers, hosts, certificates, strict=True)
        )

    def __repr__(self) -> str:
        nodes = ", ".join(f"{node.number}: {'stopped' if node.state is None else node.state}" for node in self._nodes)
        return f"<trio_esdb.testing.EmbeddedCluster {nodes}>"

    # -- what there is to see

    @property
    def nodes(self) -> tuple[ClusterNode, ...]:
        """All nodes, by their numbers, which begin with 1: ``nodes[0]`` is node 1."""
        return self._nodes

    @property
    def leader(self) -> ClusterNode | None:
        """The node that leads; None if there is none at the moment.

        A deposed leader may think for a while that it still leads. Then it is the one that was elected last.
        """
        leading = [node for node in self._nodes if node._process is not None and node._process.peer.is_leading]
        return max(leading, key=lambda node: node._epoch, default=None)

    @property
    def followers(self) -> tuple[ClusterNode, ...]:
        """The nodes that say of themselves that they follow, with a vote."""
        return tuple(node for node in self._nodes if node.state == "Follower")

    @property
    def network(self) -> MemoryNetwork:
        """The network between the nodes. If these have hosts on TCP, it only says what passes between them."""
        return self._network

    @property
    def uri(self) -> str:
        """A connection string that names all nodes.

        With users it logs in as ``admin``. With TLS a client needs ``root_certificates``.
        """
        user = f"admin:{quote(self._password, safe='')}@" if self._has_users else ""
        hosts = ",".join(node.address for node in self._nodes)
        return f"esdb://{user}{hosts}?tls={'true' if self._uses_tls else 'false'}"

    @property
    def root_certificates(self) -> bytes:
        """What clients must trust, for their argument of this name; empty without TLS, and if it is not known."""
        return self._root_certificates

    def node(self, number: int) -> ClusterNode:
        """The node of this number.

        Args:
            number: From 1 on.

        Raises:
            InvalidArgumentError: There is no such node.
        """
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(self._nodes):
            raise InvalidArgumentError(f"there is no node {number!r}: they are numbered from 1 to {len(self._nodes)}")
        return self._nodes[number - 1]

    # -- commands

    def partition(self, *nodes: ClusterNode | int, one_way: bool = False) -> None:
        """Part these nodes from all others, until ``heal``. Clients reach all of them.

        ``network.partition`` parts any hosts from each other, those of clients too.

        Args:
            nodes: The nodes, or their numbers.
            one_way: Whether only what these nodes send to the others is stopped.

        Raises:
            InvalidArgumentError: There is no such node, or these are none or all.
        """
        inside = {self._number_of(node) for node in nodes}
        names = self._machinery.shape.hosts
        there = [names[node.number] for node in self._nodes if node.number not in inside]
        if not inside or not there:
            raise InvalidArgumentError("partition takes some nodes of the cluster, not none and not all")
        self._network.partition([names[number] for number in sorted(inside)], there, one_way=one_way)

    def heal(self) -> None:
        """End all partitions and holds of the network. What has ended because of them, has ended."""
        self._network.heal()

    @trio.lowlevel.enable_ki_protection
    async def settled(self, within: float = 60.0) -> None:
        """Wait until one node leads, and all others that run follow, have the same data and see each other so.

        Args:
            within: Seconds of trio's clock, after which it is given up.

        Raises:
            trio.TooSlowError: The cluster has not settled; the message says how it stands. Without a quorum, or with a
                node that is frozen or parted from others, it never does.
            RuntimeError: The cluster does not run.
        """
        await trio.lowlevel.checkpoint()
        if self._machinery.nursery is None:
            raise RuntimeError("this EmbeddedCluster does not run")
        with trio.move_on_after(within):
            while not self._is_settled():
                await self._machinery.wait_moved()
            return
        raise trio.TooSlowError(f"the cluster has not settled in {within} seconds: {self!r}")

    # -- its life

    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> Self:
        lifetime = self._alive()
        await lifetime.__aenter__()
        self._lifetime = lifetime
        return self

    @trio.lowlevel.enable_ki_protection
    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._lifetime is not None
        return await self._lifetime.__aexit__(kind, exc, trace)

    @asynccontextmanager
    @trio.lowlevel.enable_ki_protection
    async def _alive(self) -> AsyncIterator[None]:
        async with background_tasks() as nursery:
            await nursery.start(self.run)
            yield

    @trio.lowlevel.enable_ki_protection
    async def run(self, *, task_status: trio.TaskStatus[Self] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the cluster until this is cancelled; started with the cluster itself.

        Raises:
            RuntimeError: The cluster has run before.
            InvalidArgumentError: A host has not chosen its port yet.
            OSError: An address cannot be listened on.
        """
        if self._has_run:
            raise RuntimeError("an EmbeddedCluster runs only once")
        self._has_run = True
        machinery = self._machinery
        for node in self._nodes:
            if not node.port:
                raise InvalidArgumentError(f"the host of node {node.number} has no port yet: reserve one first")
            machinery.shape.addresses[node.number] = (node.host, node.port)
        machinery.begin()
        forget = self._network.on_change(machinery.mesh.changed)
        try:
            async with background_tasks() as machinery.nursery:
                for node in self._nodes:
                    node._start(first=True)
                machinery.nursery.start_soon(machinery.run)
                if self._started == "settled":
                    await self.settled()
                task_status.started(self)
                await trio.sleep_forever()
        finally:
            machinery.nursery = None
            forget()

    # -- inside

    def _is_settled(self) -> bool:
        frozen = any(node.is_frozen for node in self._nodes)
        peers = [node._process.peer for node in self._nodes if node._process is not None]
        return not frozen and self._machinery.are_settled(peers)

    def _number_of(self, node: ClusterNode | int) -> int:
        if not isinstance(node, ClusterNode):
            return self.node(node).number
        if not any(node is other for other in self._nodes):
            raise InvalidArgumentError(f"{node!r} is a node of another cluster")
        return node.number

    def _certificates(self, tls: ClusterTLS) -> list[TLS | None]:
        """What each node shows."""
        count = len(self._hosts)
        if tls is False:
            return [None] * count
        if tls is True:
            names = dict.fromkeys(host.address[0] for host in self._hosts)
            tls = Certificates.self_made(*names)
        if not isinstance(tls, Sequence):
            tls = [tls] * count
        elif len(tls) != count:
            raise InvalidArgumentError(f"tls= must hold {count} certificates, one for each node, not {len(tls)}")
        for each in tls:
            context_of(each)
        roots = [each.root_certificates for each in tls if isinstance(each, Certificates)]
        self._root_certificates = b"".join(dict.fromkeys(roots))
        return list(tls)


def _check_count(name: str, count: int, least: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int):
        raise InvalidTypeError(f"{name} is a number of nodes, not {count!r}")
    if count < least:
        raise InvalidArgumentError(f"{name} must be at least {least}, not {count}")
