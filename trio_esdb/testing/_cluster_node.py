"""A node of an embedded cluster: its data, its machine, and the process that runs on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import trio

from trio_esdb._errors import InvalidArgumentError, InvalidTypeError
from trio_esdb._model._cluster import ClusterMember, NodeState
from trio_esdb._transport._certificates import TLS

from ._hosts import Host

if TYPE_CHECKING:  # the embedded node is loaded only when a cluster is made
    from ._cluster_process import ClusterProcess
    from ._machinery import Machinery

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ClusterNode:
    """A node of an ``EmbeddedCluster``, and what can be done to it.

    All commands return at once. A command that makes no sense for the node as it is raises RuntimeError.
    """

    def __init__(self, number: int, machinery: Any, host: Host, tls: TLS | None) -> None:
        self._number = number
        self._machinery: Machinery = machinery
        self._host = host
        self._tls = tls
        self._disk = machinery.new_disk()
        self._process: ClusterProcess | None = None

    def __repr__(self) -> str:
        state = "stopped" if self.state is None else f"frozen, {self.state}" if self.is_frozen else self.state
        return f"<trio_esdb.testing.ClusterNode {self._number}: {self.address}, {state}>"

    # -- what there is to see

    @property
    def number(self) -> int:
        """The node's number in its cluster, from 1 on."""
        return self._number

    @property
    def host(self) -> str:
        """The host name or IP address by which clients reach the node."""
        return self._host.address[0]

    @property
    def port(self) -> int:
        """The port on which the node listens."""
        return self._host.address[1]

    @property
    def address(self) -> str:
        """Host and port, as in a connection string."""
        host, port = self._host.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def is_running(self) -> bool:
        """Whether a process runs. One that was terminated runs until it is gone, which takes some seconds."""
        return self._process is not None

    @property
    def is_frozen(self) -> bool:
        """Whether the process stands still."""
        return self._process is not None and self._process.is_frozen

    @property
    def is_ending(self) -> bool:
        """Whether the process was told to end, or ends by itself, and is not gone yet."""
        return self._process is not None and self._process.is_ending

    @property
    def is_read_only_replica(self) -> bool:
        """Whether the node never votes and never leads."""
        return self._number not in self._machinery.shape.voters

    @property
    def state(self) -> NodeState | None:
        """What the node itself says that it does; None if no process runs. Other nodes may see it otherwise."""
        return None if self._process is None else NodeState(self._process.peer.state.name)

    def members(self) -> tuple[ClusterMember, ...]:
        """The members of the cluster as this node sees them: what its gossip would answer, without a call.

        Raises:
            RuntimeError: The node does not run.
        """
        return tuple(
            ClusterMember(
                member.host,
                member.port,
                NodeState(member.state.name),
                member.is_alive,
                UUID(int=member.instance),
                _EPOCH + timedelta(microseconds=member.time_stamp // 10),
            )
            for member in self._running("tell its members").peer.members()
        )

    async def stopped(self) -> None:
        """Wait until the process that runs now is gone. In a cluster that ``restarts`` them the next one may run."""
        process = self._process
        await trio.lowlevel.checkpoint()
        while process is not None and self._process is process:
            await self._machinery.wait_moved()

    # -- commands

    def kill(self) -> None:
        """Kill the process, as SIGKILL does: its connections are closed at once, without a word.

        Raises:
            RuntimeError: The node does not run.
        """
        process = self._running("be killed")
        self._process = None
        process.kill()
        self._machinery.moved()

    def terminate(self, grace: float = 5.0) -> None:
        """Let the process end, as SIGTERM does; ``stopped`` waits until it is gone.

        Its port is closed at once and clients are told to go, but open calls are served for the grace period. All that
        time the node leads, if it did.

        Args:
            grace: The grace period in seconds.

        Raises:
            RuntimeError: The node does not run, is frozen, or was terminated before.
        """
        self._awake("be terminated").terminate(grace)

    def restart(self) -> None:
        """Start a new process on the data of the last one. It has rejoined the cluster after about two seconds.

        Raises:
            RuntimeError: The node runs.
        """
        if self._process is not None:
            hint = "wait for `stopped` first" if self._process.is_ending else "kill or terminate it first"
            raise RuntimeError(f"node {self._number} cannot be restarted, because it runs: {hint}")
        self._start(first=False)

    def wipe(self) -> None:
        """Take the data away, as an empty disk does. The next process gets all data from the leader.

        Raises:
            RuntimeError: The node runs.
        """
        if self._process is not None:
            raise RuntimeError(f"node {self._number} cannot be wiped while it runs: kill it first")
        self._disk = self._machinery.new_disk()

    def freeze(self) -> None:
        """Let the process stand still, as SIGSTOP does: connections are accepted, and nothing is said.

        Raises:
            RuntimeError: The node does not run, or is frozen.
        """
        self._awake("be frozen").freeze()

    def wake(self) -> None:
        """Let a frozen process go on, as SIGCONT does; one that is not frozen goes on as it is.

        Raises:
            RuntimeError: The node does not run.
        """
        process = self._running("be woken")
        if process.is_frozen:
            process.wake()

    def resign(self) -> None:
        """Let the leader resign, as the operation ResignNode does. The other nodes elect another one, or it again.

        Raises:
            RuntimeError: The node does not lead.
        """
        process = self._awake("resign")
        if not process.peer.is_leading:
            raise RuntimeError(f"node {self._number} cannot resign, because it does not lead: it is {self.state}")
        process.peer.resign()

    def set_priority(self, value: int) -> None:
        """Make the node a better or worse candidate, as the operation SetNodePriority does. It changes no leader.

        It holds until the process ends. Of nodes that have the same data the one with the highest priority is elected.

        Args:
            value: The priority. It is 0 at first.

        Raises:
            InvalidTypeError: The value is no integer.
            InvalidArgumentError: It does not fit into 32 bits.
            RuntimeError: The node does not run.
        """
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidTypeError(f"a priority is an int, not {value!r}")
        if not -(2**31) <= value < 2**31:
            raise InvalidArgumentError(f"a priority has 32 bits, {value} does not fit")
        self._running("get a priority").peer.priority = value

    # -- inside

    @property
    def _epoch(self) -> int:
        """The number of the epoch that the node takes part in."""
        return 0 if self._process is None else self._process.peer.epoch

    def _running(self, do: str) -> ClusterProcess:
        if self._process is None:
            raise RuntimeError(f"node {self._number} cannot {do}, because it does not run")
        return self._process

    def _awake(self, do: str) -> ClusterProcess:
        process = self._running(do)
        if process.is_frozen:
            raise RuntimeError(f"node {self._number} cannot {do}, because it is frozen: wake it first")
        if process.is_ending:
            raise RuntimeError(f"node {self._number} cannot {do}, because it is about to end")
        return process

    def _start(self, *, first: bool) -> None:
        """Start a process; the first one starts together with those of the other nodes."""
        from ._cluster_process import ClusterProcess

        nursery = self._machinery.nursery
        if nursery is None:
            raise RuntimeError("this EmbeddedCluster does not run")
        self._process = process = ClusterProcess(self._number, self._machinery, self._host, self._disk, self._tls)
        process.start(first=first)
        nursery.start_soon(self._run, process)

    async def _run(self, process: ClusterProcess) -> None:
        try:
            await process.run()
        finally:
            was_killed = self._process is not process
            if not was_killed:
                self._process = None
            self._machinery.moved()
        if process.ended_by_itself and not was_killed and self._machinery.restarts:
            self._start(first=False)
