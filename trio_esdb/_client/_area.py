"""What every area of the API shares: a way to run a call, and a way to open one."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from typing import Any

from trio_esdb._cluster import Session
from trio_esdb._errors import ESDBError
from trio_esdb._rpc import Operation, Reply

from ._channel import EventChannel
from ._context import ReadOrSubscription
from ._position import ReadOptions


class Area:
    """Base of the areas of the API. They know the session and nothing of each other."""

    _open_session: Session | None

    def _run(self, operation: Operation) -> Awaitable[Reply]:
        """The reply to a call that has one."""
        return self._session.run(operation)

    def _open(
        self,
        operation: Operation,
        options: ReadOptions,
        *,
        wanted: frozenset[type] = frozenset(),
        resume: bool = True,
    ) -> AbstractAsyncContextManager[EventChannel[Any]]:
        """A read or subscription that begins when the context is entered.

        Args:
            operation: The call.
            options: What it asks for.
            wanted: The classes of messages to give besides events.
            resume: Whether a subscription goes on after its call has ended, unless calls are not to be repeated.
        """
        return ReadOrSubscription(self._session, operation, options, wanted, resume=resume)

    @property
    def _session(self) -> Session:
        if self._open_session is None:
            raise ESDBError("the client is not open: use it in `async with ESDBClient(...) as client:`")
        return self._open_session
