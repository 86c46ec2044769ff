"""From a node to a connection that calls can be made on."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from trio_esdb._rpc import RequestHeaders
from trio_esdb._transport import KeepAlive
from trio_esdb._transport._dial import Dialer, DialError, ended_before_settings

from ._endpoint import Endpoint
from ._node_link import LinkOwner, NodeLink
from ._options import ClientOptions
from ._waiter import CLOSED


class Opener:
    """Opens connections to one node.

    Args:
        dial: Makes the byte stream of a connection.
        node: Where the node is.
        options: What the client was told.
        requires_leader: Whether calls insist on a node that leads: those that do not need it, and those that do.
        patience: The seconds in which a connection must be ready, all steps together.
    """

    def __init__(
        self,
        dial: Dialer,
        node: Endpoint,
        options: ClientOptions,
        requires_leader: tuple[bool, bool],
        patience: float,
    ) -> None:
        self._dial = dial
        self._node = node
        self._options = options
        self._requires_leader = requires_leader
        self._patience = patience
        self._keep_alive = KeepAlive(
            options.keep_alive_interval, options.keep_alive_timeout, options.keep_alive_without_calls
        )

    @trio.lowlevel.enable_ki_protection
    async def __call__(self, number: int, owner: LinkOwner, start: Callable[[NodeLink], None]) -> NodeLink:
        """A new connection that the server takes calls on.

        Args:
            number: The number of the connection in its client.
            owner: Who is told what happens to it.
            start: Starts the tasks of a connection.

        Raises:
            DialError: There is none to be had.
        """
        if self._patience == math.inf:
            return await self._open(number, owner, start)
        with trio.move_on_after(self._patience):
            return await self._open(number, owner, start)
        raise DialError(f"no connection within {self._patience:g} seconds (gossipTimeout)")

    async def _open(self, number: int, owner: LinkOwner, start: Callable[[NodeLink], None]) -> NodeLink:
        options, node = self._options, self._node
        stream = await self._dial(node.host, node.port, node.name)
        if owner.closed:  # and connect() did not care that it was cancelled
            await trio.aclose_forcefully(stream)
            raise DialError(CLOSED)
        scheme = "http" if options.tls is None else "https"
        headers = RequestHeaders(node.address, scheme=scheme, connection_name=options.connection_name)
        # A node in this process cannot vanish unseen. PINGs would also be many where a mock clock jumps over days.
        keep_alive = None if getattr(stream, "in_process", False) else self._keep_alive
        link = NodeLink(stream, owner, number, headers, options.limits, keep_alive)
        link.requires_leader = self._requires_leader
        link.closing_time = options.timeouts.close
        start(link)
        limit = options.timeouts.settings
        try:
            with trio.move_on_after(limit):
                if not await link.ready():
                    ended = ended_before_settings(stream, link.reason)
                    raise DialError(ended.reason, ended.final or link.rule_broken)
                if link.room <= 0:
                    raise DialError(link.core.goaway or "the server takes no calls")
                link.idle_since = trio.current_time()
                return link
            raise DialError(f"the server sent nothing within {limit:g} seconds (timeouts.settings)")
        except BaseException:
            link.close()
            raise
