"""The connections of a client to its node, and the calls on them."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

from trio_esdb._convert import ReadDecoder
from trio_esdb._errors import UnavailableError
from trio_esdb._model import ClientStatistics
from trio_esdb._nursery import BackgroundTasks
from trio_esdb._rpc import Operation, Reply, error_from, wait_for_own_deadline
from trio_esdb._transport import Sink, StreamingCall, unary_call
from trio_esdb._wire import HeadersTooLarge, Limits

from ._endpoint import Endpoint
from ._node_link import NodeLink

Connect = Callable[[str, int], Awaitable[trio.abc.Stream]]
"""Makes a byte stream to a host and port."""

_LARGEST_REPLY = 64 * 1024
"""Bytes of a reply. Those of the calls that have one are far smaller, and are read in one go."""
_PATIENCE = 10.0
"""Seconds in which a new connection must be made and the server must have sent its first frame on it."""


class Session:
    """Runs and opens calls, on connections to one node that are opened when they are needed.

    A server takes about 100 calls at once on a connection; the next call opens a further one. A connection that broke
    is replaced by the next call. Calls in flight on it fail; nothing is repeated here.
    """

    def __init__(self, tasks: trio.Nursery | BackgroundTasks, connect: Connect, node: Endpoint, limits: Limits) -> None:
        self.closed = False
        self.decoder = ReadDecoder()
        """Decodes what reads and subscriptions of this session receive."""
        self._tasks = tasks
        self._connect = connect
        self._node = node
        self._limits = limits
        self._largest_reply = min(limits.receive_message, _LARGEST_REPLY)
        self._links: list[NodeLink] = []
        self._connecting = trio.Lock()
        self._attempt: trio.CancelScope | None = None
        self._failed_attempts = 0
        self._last_failure = ""

    # -- calls -------------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def run(self, operation: Operation) -> Reply:
        """The reply to a call that has one.

        Raises:
            DeadlineExceededError: The operation's timeout passed.
            ServerError: What the server's end of the call means.
            trio.ClosedResourceError: The client was closed.
        """
        if operation.timeout == math.inf:
            return await self._run_on(await self.link(), operation)
        deadline = trio.current_time() + operation.timeout
        link = await self._link_before(deadline, operation)
        with trio.CancelScope(deadline=deadline):
            return await self._run_on(link, operation)
        raise operation.overdue(link.address)

    async def _run_on(self, link: NodeLink, operation: Operation) -> Reply:
        try:
            message, outcome = await unary_call(
                link, link.headers.of(operation.method), operation.requests, largest_reply=self._largest_reply
            )
        except HeadersTooLarge as exc:
            raise operation.headers_refused(exc, link.address) from None
        if outcome.ok:
            return Reply(message, link.address)
        if self.closed:
            raise trio.ClosedResourceError("the client was closed during the call")
        await wait_for_own_deadline(outcome)
        raise error_from(operation, outcome, link.address)

    @trio.lowlevel.enable_ki_protection
    async def open(self, operation: Operation, sink: Sink, deadline: float) -> StreamingCall:
        """Open a call with many responses, which go to the sink.

        The server is told of the caller's scope too, unless the operation is endless: a scope that is there only to
        limit how long opening takes must not end a subscription that outlives it.

        Args:
            operation: What is called.
            sink: Who receives the responses.
            deadline: When the operation's timeout passes, in seconds of trio's clock.

        Raises:
            DeadlineExceededError: The deadline passed before there was a connection.
            ServerError: The node cannot be reached, or would not take the headers.
            trio.ClosedResourceError: The client was closed.
        """
        await trio.lowlevel.checkpoint()
        link = await (self.link() if deadline == math.inf else self._link_before(deadline, operation))
        if not operation.endless:
            deadline = min(deadline, trio.current_effective_deadline())
        headers = link.headers.of(operation.method)
        try:
            return StreamingCall(link, headers, operation.requests, sink, deadline=deadline)
        except HeadersTooLarge as exc:
            raise operation.headers_refused(exc, link.address) from None

    # -- connections -------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def _link_before(self, deadline: float, operation: Operation) -> NodeLink:
        with trio.CancelScope(deadline=deadline):
            await trio.lowlevel.checkpoint_if_cancelled()
            return await self.link()
        raise operation.overdue(self._node.address, applied=False)

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
                stream = await self._connect(self._node.host, self._node.port)
            except (OSError, UnicodeError, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                raise self._attempt_failed(_reason(exc)) from exc
            if self.closed:  # during the attempt; the nursery may be gone as well
                await trio.aclose_forcefully(stream)
                raise trio.ClosedResourceError("the client was closed")
            link = NodeLink(stream, self._node.address, self._limits)
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
        address, reason = self._node.address, self._last_failure
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
