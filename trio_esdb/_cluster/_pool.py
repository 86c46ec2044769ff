"""The connections of a client to its node. They are opened when they are needed.

A server takes about 100 calls at once on a connection; the next call opens a further one. A connection that broke is
replaced by the next call. All tasks that wait for one attempt to connect share its result.
"""

from __future__ import annotations

import trio

from trio_esdb._errors import UnavailableError
from trio_esdb._model import ClientStatistics
from trio_esdb._nursery import BackgroundTasks
from trio_esdb._wire import Limits

from ._endpoint import Connect, Endpoint
from ._node_link import NodeLink

_PATIENCE = 10.0
"""Seconds in which a new connection must be made and the server must have sent its first frame on it."""


class Pool:
    """Connections to one node.

    Args:
        tasks: Where the connections run.
        connect: Makes the byte stream of a new connection.
        node: Where the node is.
        limits: What is taken from the server.
    """

    def __init__(self, tasks: trio.Nursery | BackgroundTasks, connect: Connect, node: Endpoint, limits: Limits) -> None:
        self.closed = False
        self.node = node
        self._tasks = tasks
        self._connect = connect
        self._limits = limits
        self._links: list[NodeLink] = []
        self._connecting = trio.Lock()
        self._attempt: trio.CancelScope | None = None
        self._failed_attempts = 0
        self._last_failure = ""

    @trio.lowlevel.enable_ki_protection
    async def link(self) -> NodeLink:
        """A connection with room for a call. The call must be started before anything is awaited.

        Raises:
            UnavailableError: The node cannot be reached.
            trio.ClosedResourceError: The client was closed.
        """
        if self.closed:
            await trio.lowlevel.checkpoint()  # for a task that is cancelled as well, that comes first
        link = self._with_room()
        if link is not None:
            return link
        failed_before = self._failed_attempts
        async with self._connecting:  # all tasks that wait for one attempt share its result
            while (link := self._with_room()) is None:
                if self._failed_attempts != failed_before:
                    raise self._unreachable()
                await self._open()
        return link

    def _with_room(self) -> NodeLink | None:
        if self.closed:
            raise trio.ClosedResourceError("the client was closed")
        for link in self._links:
            if link.room > 0:
                return link
        return None

    @trio.lowlevel.enable_ki_protection
    async def _open(self) -> None:
        reason = f"no answer within {_PATIENCE:g} seconds"
        with trio.move_on_after(_PATIENCE) as self._attempt:
            try:
                stream = await self._connect(self.node.host, self.node.port)
            except (OSError, UnicodeError, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                raise self._attempt_failed(_reason(exc)) from exc
            if self.closed:  # during the attempt; the nursery may be gone as well
                await trio.aclose_forcefully(stream)
                raise trio.ClosedResourceError("the client was closed")
            link = NodeLink(stream, self.node.address, self._limits)
            self._tasks.start_soon(self._run, link)
            ready = False
            try:
                ready = await link.ready() and not self.closed
            finally:
                if not ready:
                    link.close()
            if ready and link.room > 0:
                self._links.append(link)
                return
            reason = link.core.goaway or "the server takes no calls" if ready else link.reason
            link.close()
        if self.closed:
            raise trio.ClosedResourceError("the client was closed")
        raise self._attempt_failed(reason)

    def close(self) -> None:
        """Take no more calls. Tasks that wait for a connection get trio.ClosedResourceError at once."""
        self.closed = True
        if self._attempt is not None:
            self._attempt.cancel()

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Close all connections and wait until they are; calls that are open end."""
        self.close()
        links = list(self._links)
        for link in links:
            link.close()
        for link in links:
            await link.closed.wait()
        await trio.lowlevel.checkpoint()

    def statistics(self) -> ClientStatistics:
        """The state of the open connections."""
        return ClientStatistics(tuple(link.statistics() for link in self._links))

    @trio.lowlevel.enable_ki_protection
    async def _run(self, link: NodeLink) -> None:
        try:
            await link.run()
        finally:
            if link in self._links:
                self._links.remove(link)

    def _attempt_failed(self, reason: str) -> UnavailableError:
        self._failed_attempts += 1
        self._last_failure = reason
        return self._unreachable()

    def _unreachable(self) -> UnavailableError:
        address, reason = self.node.address, self._last_failure
        return UnavailableError(
            f"cannot connect to {address}: {reason}",
            status="UNAVAILABLE",
            details=reason,
            address=address,
            applied=False,
        )


def _reason(exc: Exception) -> str:
    """Why there is no connection. trio says only that all attempts failed; their reasons are the cause."""
    cause = exc.__cause__
    if isinstance(cause, BaseExceptionGroup):
        return "; ".join(map(_text, cause.exceptions))
    return _text(cause or exc)


def _text(exc: BaseException) -> str:
    """What an exception says; an exception without a text says its class."""
    return str(exc) or type(exc).__name__
