"""A read or subscription as an ``async with`` block."""

from __future__ import annotations

from types import TracebackType
from typing import Generic, NoReturn, TypeVar

import trio

from trio_esdb._cluster import Session
from trio_esdb._errors import ESDBError
from trio_esdb._observing import CallInfo
from trio_esdb._rpc import Operation

from ._channel import EventChannel
from ._feed import Feed
from ._position import ReadOptions
from ._resuming import Resumption

T = TypeVar("T")


class ReadOrSubscription(Generic[T]):
    """Opens a read or subscription when the block is entered, and gives its channel.

    Leaving the block resets the call at once, whatever was still to come; it never waits for a consumer. A subscription
    has begun when the block is entered: the server has confirmed it. A block can be entered once.
    """

    __slots__ = ("_call", "_channel", "_feed", "_operation", "_options", "_resume", "_session", "_wanted")

    def __init__(
        self,
        session: Session,
        operation: Operation,
        options: ReadOptions,
        wanted: frozenset[type],
        *,
        resume: bool,
    ) -> None:
        self._session = session
        self._operation = operation
        self._options = options
        self._wanted = wanted
        self._resume = resume
        self._feed: Feed | None = None
        self._call: CallInfo | None = None
        """What instruments were told of."""
        self._channel: EventChannel[T] | None = None
        """Kept so that a program that drops its own reference inside the block does not end the call."""

    def __repr__(self) -> str:
        state = "not opened yet: use it with `async with`" if self._feed is None else "opened"
        return f"<trio_esdb: {self._operation.doing}, {state}>"

    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> EventChannel[T]:
        if self._feed is not None:
            raise ESDBError("this read or subscription was opened before; make a new one")
        operation = self._operation
        if self._session.instruments.active:
            self._call = self._session.call_info(operation)
            operation = operation._replace(call=self._call)
            self._session.instruments.tell("call_started", self._call)
        self._feed = feed = Feed(
            self._session, operation, self._options, self._wanted, resume=self._resume, resumer=Resumption
        )
        try:
            await feed.start()
            if not feed.open and not isinstance(error := feed.ended(), trio.EndOfChannel):
                await feed.wait_for_own_deadline()
                raise error
        except BaseException as exc:
            feed.close()
            if self._call is not None:
                self._tell_end(self._call, feed, exc)
            raise
        self._channel = EventChannel(feed, feed.batches.clone())
        return self._channel

    @trio.lowlevel.enable_ki_protection
    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        feed = self._feed
        assert feed is not None
        feed.close()
        if self._call is not None:
            self._tell_end(self._call, feed, feed.error or (exc if isinstance(exc, trio.Cancelled) else None))
        await trio.lowlevel.cancel_shielded_checkpoint()

    def _tell_end(self, call: CallInfo, feed: Feed, error: BaseException | None) -> None:
        call.address = feed.address
        self._session.instruments.tell("call_ended", call, error)

    def __aiter__(self) -> NoReturn:
        raise ESDBError(
            "open it first: `async with client.read_...(...) as events:`, then `async for event in events:`"
        )
