"""Embedded nodes on real sockets, in a thread of their own, for clients that know nothing of trio."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from trio_esdb.embedded import EmbeddedNode


class Nodes:
    """Starts nodes; all end together."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None

    def start(self, *, users: bool = False) -> int:
        """A fresh node on 127.0.0.1, with users or without; its port."""
        assert self._nursery is not None
        return trio.from_thread.run(self._nursery.start, self._serve, users, trio_token=self._token)

    async def _serve(self, users: bool, *, task_status: trio.TaskStatus[int]) -> None:
        async with EmbeddedNode(users=users) as node:
            await node.serve_tcp("127.0.0.1", 0, task_status=task_status)

    async def _run(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._token = trio.lowlevel.current_trio_token()
            self._ready.set()
            await trio.sleep_forever()

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Nodes]:
        """Run the thread of the nodes while the block is open."""
        nodes = cls()
        thread = threading.Thread(target=trio.run, args=(nodes._run,))
        thread.start()
        nodes._ready.wait()
        try:
            yield nodes
        finally:
            assert nodes._nursery is not None
            trio.from_thread.run_sync(nodes._nursery.cancel_scope.cancel, trio_token=nodes._token)
            thread.join()
