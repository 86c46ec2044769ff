"""The connections of a client to one node. They are opened when they are needed.

A server takes about 100 calls at once on a connection; the next call opens a further one. A connection that broke is
replaced by the next call. Connections beyond the first are closed when they have had no call for a while.

Calls for which no connection has room wait in a line. Whenever there may be room, it is given to them at once, to the
first in line first. A call runs only after that, so the room is kept for it (``NodeLink.promised``). One that does not
use it says so with ``on_room``, and the next ones get it. For those that are left, a connection is opened.

The first connection is opened by the task that opens the client. Later on one is opened at a time, by a task of the
client. That task goes on if the call that wanted the connection is cancelled, since others may wait for it by then. If
it fails, all calls that wait get the error. If there may not be more connections, calls wait until one has room.

The pool of a node that is not used any more takes no calls. Those that wait in its line are sent to look for another
node (``NodeLeft``), those that are open go on, and each connection is closed with its last call.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Protocol

import trio

from trio_esdb._errors import UnavailableError
from trio_esdb._model import (
    Connected,
    Connecting,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionLost,
    NodeDraining,
    NodeState,
)
from trio_esdb._nursery import BackgroundTasks
from trio_esdb._transport._dial import Dialer, DialError

from ._endpoint import Endpoint
from ._idle import IdleConnections
from ._node_link import NodeLink
from ._opening import Opener
from ._options import ClientOptions
from ._waiter import CLOSED, NodeLeft, Waiter, closed

_NOT_USED = "another node is used"


class Totals:
    """What is counted for all pools of a client."""

    __slots__ = ("opened", "received", "sent")

    def __init__(self) -> None:
        self.opened = 0
        """How many connections were begun. Each has its number."""
        self.sent = 0
        """Bytes that were sent on connections that have ended."""
        self.received = 0
        """Bytes that came on connections that have ended."""


class PoolOwner(Protocol):
    """What a pool tells whoever made it. The methods must neither wait nor raise."""

    def on_node_reached(self, pool: Pool) -> None:
        """A connection to the node was opened."""

    def on_node_draining(self, pool: Pool) -> None:
        """The node takes no more calls on a connection."""

    def on_node_lost(self, pool: Pool) -> None:
        """The last connection to the node has broken."""

    def on_node_left(self, pool: Pool) -> None:
        """A pool that is not used any more has no connection any more."""


class Pool:
    """Connections to one node.

    Args:
        tasks: Where the connections run.
        dial: Makes the byte stream of a new connection.
        options: What the client was told.
        node: Where the node is; the node of the options by default.
        owner: Who is told of trouble with the node.
        totals: What is counted for all pools of the client.
        requires_leader: Whether calls insist on a node that leads: those that do not need it, and those that do.
        patience: The seconds in which a connection must be ready, all steps together.
    """

    def __init__(
        self,
        tasks: trio.Nursery | BackgroundTasks,
        dial: Dialer,
        options: ClientOptions,
        node: Endpoint | None = None,
        *,
        owner: PoolOwner | None = None,
        totals: Totals | None = None,
        requires_leader: tuple[bool, bool] = (True, True),
        patience: float = math.inf,
    ) -> None:
        self.closed = False
        self.retired = False
        """Whether the node is not used any more."""
        self.node = options.node if node is None else node
        self.role: NodeState | None = None
        """What the node is in its cluster; None if that is not known."""
        self.users = 0
        """How many tasks use the pool that are no calls of the client."""
        self.links: list[NodeLink] = []
        """The open connections, the oldest first."""
        self.several = False
        self.room_wanted = False
        self._tasks = tasks
        self._observer = options.observer
        self._most = math.inf if options.max_connections is None else options.max_connections
        self._owner = owner
        self._totals = Totals() if totals is None else totals
        self._open_link = Opener(dial, self.node, options, requires_leader, patience)
        self._line: OrderedDict[Waiter, None] = OrderedDict()
        """The calls that wait, in their order."""
        self._attempt: trio.CancelScope | None = None
        self._idle = IdleConnections(self.links, options.idle_connection_timeout)

    # -- calls -------------------------------------------------------------------------------------------------------

    def link_now(self) -> NodeLink | None:
        """A connection with room for a call, if there is one and nobody waits for it."""
        if self.closed or self._line:
            return None
        for link in self.links:
            if link.room > 0:
                return link
        return None

    @trio.lowlevel.enable_ki_protection
    async def link(self) -> NodeLink:
        """A connection with room for a call. The call must be started before anything is awaited.

        Raises:
            UnavailableError: The node cannot be reached.
            NodeLeft: The node is not used any more.
            trio.ClosedResourceError: The client was closed.
        """
        if self.closed or self.retired:
            await trio.lowlevel.checkpoint()  # for a task that is cancelled as well, that comes first
            raise closed() if self.closed else NodeLeft
        link = self.link_now()
        return await self._wait_in_line() if link is None else link

    @trio.lowlevel.enable_ki_protection
    async def open(self) -> None:
        """Open the first connection, in the caller's task: there is nobody else yet who could wait for it.

        Raises:
            UnavailableError: The node cannot be reached.
            trio.ClosedResourceError: The client was closed.
        """
        caller = Waiter()
        self._line[caller] = None
        self._attempt = trio.CancelScope()
        try:
            await self._open(self._attempt)
        finally:
            self._line.pop(caller, None)
            caller.give_back()
        if caller.failure is not None:
            raise caller.failure
        if self.closed:
            raise closed()

    async def _wait_in_line(self) -> NodeLink:
        waiter = Waiter()
        self._line[waiter] = None
        try:
            self._serve_line()
            while True:
                await waiter.wait()
                await trio.lowlevel.checkpoint_if_cancelled()  # who gives up must leave the room to others
                if self.closed:
                    raise closed()
                if waiter.failure is not None:
                    raise waiter.failure
                link = waiter.give_back()
                if link is not None:
                    if link.room > 0:
                        return link
                    self._line[waiter] = None  # the connection was lost in between
                    self._line.move_to_end(waiter, last=False)
                    self._serve_line()
        except BaseException:
            self._line.pop(waiter, None)
            waiter.give_back()
            self._serve_line()
            raise

    def _serve_line(self) -> None:
        """Give what room there is to those who wait, the first of them first; open a connection for the others.

        All that can have a call have it at once. If each woke the next one, a client with more calls than connections
        have room for would do one call a turn.
        """
        while self._line and not self.closed:
            for link in self.links:
                if link.room > 0:
                    waiter, _ = self._line.popitem(last=False)
                    waiter.take(link)
                    break
            else:
                self._open_another()
                return

    def _open_another(self) -> None:
        """Open a connection, if there may be one more and none is being opened; else a call waits for room."""
        if self._attempt is not None:
            return
        if sum(not link.core.draining for link in self.links) < self._most:
            self._attempt = trio.CancelScope()
            self._tasks.start_soon(self._open, self._attempt)
        else:
            self._want_room(True)

    def _want_room(self, wanted: bool) -> None:
        self.room_wanted = wanted
        for link in self.links:
            link.on_sent = self.on_room if wanted else None

    # -- what connections tell ---------------------------------------------------------------------------------------

    def on_room(self) -> None:
        """A connection may have room for those who wait."""
        if self.room_wanted:
            self._want_room(False)
        self._serve_line()

    def on_idle(self, link: NodeLink) -> None:
        """The last call on a connection is over."""
        self._idle.on_idle(link)

    def on_draining(self, link: NodeLink) -> None:
        """The server takes no more calls on a connection."""
        details = link.core.goaway or "no reason was given"
        self._observer.emit(NodeDraining(address=link.address, connection=link.number, details=details))
        if self._owner is not None:
            self._owner.on_node_draining(self)
        self.on_room()

    # -- opening -----------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def _open(self, scope: trio.CancelScope) -> None:
        """Open a connection, and tell those who wait what came of it."""
        self._totals.opened += 1
        number, address = self._totals.opened, self.node.address
        self._observer.emit(Connecting(address=address, connection=number))
        began = trio.current_time()
        failure: Exception | None = None
        link: NodeLink | None = None
        try:
            with scope:
                link = await self._open_link(number, self, self._start)
        except Exception as exc:  # noqa: BLE001 - connect() is the program's own, and its caller gets what it raises
            failure = exc
        finally:
            self._attempt = None
            if link is None and failure is None:
                if self.retired:
                    self._observer.emit(ConnectionClosed(address=address, connection=number, reason=_NOT_USED))
                else:
                    self.close()  # it was cancelled: so are all tasks of the client
                    self._observer.emit(ConnectionFailed(address=address, connection=number, reason=CLOSED))
        if link is not None:
            self.links.append(link)
            if self.retired:
                link.retire(_NOT_USED)
            self._observer.emit(Connected(address=address, connection=number, seconds=trio.current_time() - began))
            self._watch_idle()
            if self._owner is not None:
                self._owner.on_node_reached(self)
            self.on_room()
        elif failure is not None:
            self._failed(failure, number)

    def _failed(self, failure: Exception, number: int) -> None:
        """There is no connection: every call that waits gets an error of its own.

        What connect() raised is the program's own. The first call gets it as it is, and the next one tries again.
        """
        address = self.node.address
        reason = failure.reason if isinstance(failure, DialError) else f"{type(failure).__name__} in connect()"
        self._observer.emit(ConnectionFailed(address=address, connection=number, reason=reason))
        if not isinstance(failure, DialError):
            if self._line:
                waiter, _ = self._line.popitem(last=False)
                waiter.fail(failure)
            return
        line, self._line = self._line, OrderedDict()
        for waiter in line:
            error = UnavailableError(
                f"cannot connect to {address}: {reason}",
                status="UNAVAILABLE",
                details=reason,
                address=address,
                applied=False,
            )
            error.final = failure.final
            error.__cause__ = failure.__cause__
            waiter.fail(error)

    # -- the life of a connection ------------------------------------------------------------------------------------

    def _start(self, link: NodeLink) -> None:
        self._tasks.start_soon(self._run, link)

    @trio.lowlevel.enable_ki_protection
    async def _run(self, link: NodeLink) -> None:
        try:
            await link.run()
        finally:
            if link in self.links:
                self.links.remove(link)
                self._totals.sent += link.bytes_sent
                self._totals.received += link.bytes_received
                self._ended(link)
                self._idle.look_again()
                self.on_room()

    def _ended(self, link: NodeLink) -> None:
        address, number = link.address, link.number
        lost = link.broken and not link.closed_because and not self.closed
        if lost:
            self._observer.emit(ConnectionLost(address=address, connection=number, reason=link.reason))
        else:
            why = link.closed_because or CLOSED
            self._observer.emit(ConnectionClosed(address=address, connection=number, reason=why))
        if self._owner is not None and not self.links and not self.closed:
            if self.retired:
                self._owner.on_node_left(self)
            elif lost:
                self._owner.on_node_lost(self)

    def _watch_idle(self) -> None:
        """Have idle connections closed, from the second connection on."""
        if len(self.links) > 1 and not self.several and self._idle.timeout != math.inf:
            self.several = True
            self._tasks.start_soon(self._close_idle)

    @trio.lowlevel.enable_ki_protection
    async def _close_idle(self) -> None:
        await self._idle.close()
        self.several = False

    # -- closing -----------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    def send_away(self) -> None:
        """Let those that wait for a connection look for another node."""
        line, self._line = self._line, OrderedDict()
        for waiter in line:
            waiter.fail(NodeLeft())

    @trio.lowlevel.enable_ki_protection
    def retire(self) -> None:
        """Take no more calls, for the node is not used any more. Each connection is closed with its last call."""
        self.retired = True
        if self._attempt is not None:
            self._attempt.cancel()
        self.rest()

    @trio.lowlevel.enable_ki_protection
    def rest(self) -> None:
        """Close each connection with its last call, for other nodes are used now. The next call opens another one."""
        self.send_away()
        for link in list(self.links):
            link.retire(_NOT_USED)

    @trio.lowlevel.enable_ki_protection
    def close(self) -> None:
        """Take no more calls. Tasks that wait for a connection get trio.ClosedResourceError at once."""
        self.closed = True
        for waiter in self._line:
            waiter.wake()
        if self._attempt is not None:
            self._attempt.cancel()

    def leave(self) -> None:
        """Close all connections soon; calls that are open end."""
        self.close()
        for link in list(self.links):
            link.leave(CLOSED)

    @property
    def waiting_calls(self) -> int:
        """How many calls wait for a connection."""
        return len(self._line)
