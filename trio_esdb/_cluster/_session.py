"""The calls of a client, each on a connection of the pool."""

from __future__ import annotations

import math
from random import Random

import trio

from trio_esdb._convert import ReadDecoder
from trio_esdb._model import RetryPolicy
from trio_esdb._rpc import Attempts, Operation, Reply, error_from, wait_for_own_deadline
from trio_esdb._transport import Sink, StreamingCall, unary_call
from trio_esdb._wire import HeadersTooLarge, Limits

from ._node_link import NodeLink
from ._pool import Pool

_LARGEST_REPLY = 64 * 1024
"""Bytes of a reply. Those of the calls that have one are far smaller, and are read in one go."""
_DEFAULT_DEADLINE = 10.0
"""Seconds."""


class Session:
    """Runs and opens calls. Nothing is repeated here.

    Args:
        pool: The connections.
        limits: What is taken from the server.
    """

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self.pool = pool
        self.decoder = ReadDecoder()
        """Decodes what reads and subscriptions of this session receive."""
        self._random = Random()
        self._largest_reply = min(limits.receive_message, _LARGEST_REPLY)

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self.pool.closed

    def deadline(self, operation: Operation) -> float:
        """When the timeout of a call that begins now will pass, in seconds of trio's clock."""
        timeout = operation.timeout
        return math.inf if timeout is None or timeout == math.inf else trio.current_time() + timeout

    def attempts(self, operation: Operation, deadline: float = math.inf) -> Attempts:
        """What decides whether this call is repeated, with the deadline that it has."""
        return Attempts(
            operation,
            RetryPolicy(),
            deadline=deadline,
            patience=_DEFAULT_DEADLINE,
            random=self._random,
            wait=trio.sleep,
        )

    @trio.lowlevel.enable_ki_protection
    async def run(self, operation: Operation) -> Reply:
        """The reply to a call that has one.

        Raises:
            DeadlineExceededError: The operation's timeout passed.
            ServerError: What the server's end of the call means.
            trio.ClosedResourceError: The client was closed.
        """
        deadline = self.deadline(operation)
        if deadline == math.inf:
            return await self._run_on(await self.pool.link(), operation)
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
        link = await (self.pool.link() if deadline == math.inf else self._link_before(deadline, operation))
        if not operation.endless:
            deadline = min(deadline, trio.current_effective_deadline())
        headers = link.headers.of(operation.method)
        try:
            return StreamingCall(link, headers, operation.requests, sink, deadline=deadline)
        except HeadersTooLarge as exc:
            raise operation.headers_refused(exc, link.address) from None

    @trio.lowlevel.enable_ki_protection
    async def _link_before(self, deadline: float, operation: Operation) -> NodeLink:
        with trio.CancelScope(deadline=deadline):
            await trio.lowlevel.checkpoint_if_cancelled()
            return await self.pool.link()
        raise operation.overdue(self.pool.node.address, applied=False)
