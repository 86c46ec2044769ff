"""The connections of a client to its node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from trio_esdb._convert import ReadDecoder
from trio_esdb._errors import UnavailableError
from trio_esdb._transport import ClientLink
from trio_esdb._wire import Limits

Connect = Callable[[], Awaitable[trio.abc.Stream]]

_PATIENCE = 10.0
"""Seconds in which a new connection must be made and the server must have said something on it."""


class Session:
    """Connections to one node, opened when they are needed.

    A server takes about 100 calls at once on a connection; the next call opens a further one. A connection that broke
    is replaced by the next call. Calls in flight on it fail; nothing is repeated here.
    """

    def __init__(self, nursery: trio.Nursery, connect: Connect, address: str, limits: Limits) -> None:
        self.address = address
        self.closed = False
        self.decoder = ReadDecoder()
        """Decodes what reads and subscriptions of this session receive."""
        self._nursery = nursery
        self._connect = connect
        self._limits = limits
        self._links: list[ClientLink] = []
        self._connecting = trio.Lock()
        self._attempt: trio.CancelScope | None = None
        self._failed_attempts = 0
        self._last_failure = ""

    async def link(self) -> ClientLink:
        """A connection with room for a call, which must be opened without waiting in between.

        UnavailableError where the node cannot be reached, trio.ClosedResourceError after the client was closed.
        """
        if self.closed:
            await trio.lowlevel.checkpoint()  # a task that is cancelled as well is to learn of that
        link = self._with_room()
        if link is not None:
            return link
        failed_before = self._failed_attempts
        async with self._connecting:  # whoever waited for somebody else's attempt shares what came of it
            while (link := self._with_room()) is None:
                if self._failed_attempts != failed_before:
                    raise self._unreachable()
                await self._open()
        return link

    def _with_room(self) -> ClientLink | None:
        if self.closed:
            raise trio.ClosedResourceError("the client was closed")
        for link in self._links:
            if link.room > 0:
                return link
        return None

    async def _open(self) -> None:
        reason = f"no answer within {_PATIENCE:g} seconds"
        with trio.move_on_after(_PATIENCE) as self._attempt:
            try:
                stream = await self._connect()
            except (OSError, UnicodeError, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                raise self._attempt_failed(_reason(exc)) from exc
            if self.closed:  # in the meantime; the nursery may be gone as well
                await trio.aclose_forcefully(stream)
                raise trio.ClosedResourceError("the client was closed")
            link = ClientLink(stream, self.address, self._limits)
            self._nursery.start_soon(self._run, link)
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
        """No call from now on; whoever waits for a connection is told at once."""
        self.closed = True
        if self._attempt is not None:
            self._attempt.cancel()

    async def aclose(self) -> None:
        """Close all connections and wait until they are; calls that are open end."""
        self.close()
        links = list(self._links)
        for link in links:
            link.close()
        for link in links:
            await link.closed.wait()
        await trio.lowlevel.checkpoint()

    async def _run(self, link: ClientLink) -> None:
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
        reason = self._last_failure
        return UnavailableError(
            f"cannot connect to {self.address}: {reason}", status="UNAVAILABLE", details=reason, address=self.address
        )


def _reason(exc: Exception) -> str:
    """What stopped a connection: trio says only that all attempts failed, and keeps the reasons as the cause."""
    cause = exc.__cause__
    if isinstance(cause, BaseExceptionGroup):
        return "; ".join(str(each) for each in cause.exceptions)
    return str(cause or exc)
