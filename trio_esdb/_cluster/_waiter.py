"""A call that waits for a connection, as the pool sees it."""

from __future__ import annotations

import trio

from ._node_link import NodeLink

CLOSED = "the client was closed"


class NodeLeft(Exception):
    """A call that waited for a connection is to look for another node."""


def closed() -> trio.ClosedResourceError:
    """The error for calls of a client that was closed."""
    return trio.ClosedResourceError(CLOSED)


class Waiter:
    """One place in the line of the calls that wait."""

    __slots__ = ("_link", "_woken", "failure")

    def __init__(self) -> None:
        self.failure: Exception | None = None
        """What it is to raise."""
        self._link: NodeLink | None = None
        self._woken = trio.Event()

    async def wait(self) -> None:
        """Wait until there is something to look at."""
        await self._woken.wait()
        self._woken = trio.Event()

    def wake(self) -> None:
        """Let it look."""
        self._woken.set()

    def take(self, link: NodeLink) -> None:
        """Promise it room on a connection, until it runs."""
        link.promised += 1
        self._link = link
        self._woken.set()

    def give_back(self) -> NodeLink | None:
        """End the promise; the connection that it was for."""
        link, self._link = self._link, None
        if link is not None:
            link.promised -= 1
        return link

    def fail(self, failure: Exception) -> None:
        """Let it raise this."""
        self.failure = failure
        self._woken.set()
