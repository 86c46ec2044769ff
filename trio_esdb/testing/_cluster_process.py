"""A process of a node of an embedded cluster: its part among the nodes, and its services for clients."""

from __future__ import annotations

from random import Random

import trio

from trio_esdb._nursery import background_tasks
from trio_esdb._transport._certificates import TLS
from trio_esdb.embedded._cluster import _timings as timings
from trio_esdb.embedded._cluster._node import GRACE, MemberNode
from trio_esdb.embedded._cluster._peer import Peer
from trio_esdb.embedded._cluster._subscriber import Disk

from ._hosts import Host
from ._machinery import Machinery


class ClusterProcess:
    """One process of a node.

    Args:
        number: The number of the node.
        machinery: What the nodes share.
        host: The machine that it runs on.
        disk: The node's data.
        tls: The certificates that it shows.
    """

    def __init__(self, number: int, machinery: Machinery, host: Host, disk: Disk, tls: TLS | None) -> None:
        self._machinery = machinery
        self._host = host
        self._tls = tls
        self._opened = trio.Event()
        self._scope = trio.CancelScope()
        self.is_frozen = False
        self.is_ending = False
        """Whether it was told to end, or ends by itself."""
        self.ended_by_itself = False
        disk.replica = disk.replica.reopened(machinery.new_id)
        self.peer = Peer(
            number,
            machinery.shape,
            disk,
            machinery.new_id(),
            mesh=machinery.mesh,
            schedule=machinery.schedule,
            random=Random(machinery.random.getrandbits(64)),
            ticks=machinery.ticks,
        )
        self._node = MemberNode(
            self.peer,
            disk.replica,
            machinery.shape.addresses,
            now=machinery.ticks,
            new_id=machinery.new_id,
            random=Random(machinery.random.getrandbits(64)),
            accounts=machinery.accounts,
        )
        self.peer.on_open = self._opened.set
        self.peer.on_shut_down = self._shut_down

    def start(self, *, first: bool) -> None:
        """Begin; the first process of a node starts together with those of the other nodes."""
        if self.peer.is_read_only:
            delay = timings.START_READ_ONLY
        elif not first:
            delay = timings.RESTART
        else:
            delay = timings.START if self._tls is None else timings.START_TLS
        self.peer.start(delay)

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Run until the process is gone."""
        with self._scope:
            async with background_tasks() as nursery:
                await nursery.start(self._node.run)
                nursery.start_soon(self._serve)
                await self._node.wait_stopped()
            self.is_ending = True
            self.peer.fall_silent()
            exit = timings.EXIT_AFTER_CALLS if self._node.calls_were_cut else timings.EXIT
            await trio.sleep(exit.draw(self._machinery.random))
            self.peer.end(timings.EXIT_SEEN)

    async def _serve(self) -> None:
        await self._opened.wait()
        try:
            await self._host.serve(self._node, tls=self._tls)
        except OSError as exc:
            host, port = self._host.address
            raise OSError(
                exc.errno, f"node {self.peer.number} cannot listen on {host}:{port}: {exc.strerror}"
            ) from None

    def kill(self) -> None:
        """Let it be gone now."""
        self.peer.end()
        if self._node.has_run:
            self._node.kill()
        self._host.kill()
        self._scope.cancel()

    def terminate(self, grace: float = GRACE) -> None:
        """Let it end in order."""
        self.is_ending = True
        self._node.begin_shut_down(grace)

    def freeze(self) -> None:
        """Let it stand still."""
        self.is_frozen = True
        self._host.freeze()
        self.peer.stand_still(True)

    def wake(self) -> None:
        """Let it go on."""
        self.is_frozen = False
        self._host.wake()
        self.peer.stand_still(False)

    def _shut_down(self) -> None:
        """The process ends by itself."""
        self.ended_by_itself = True
        self.terminate()
        self.peer.end(timings.SHUT_DOWN_SEEN)
