"""Handles the events of a consumer with workers: what becomes of each event, and how it ends.

Events with the same key must be handled one after the other. Each key that is being handled has a queue of the events
that wait for it; the worker that has finished with one takes the next one of its own queue.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import trio

from trio_esdb._errors import InvalidArgumentError, InvalidTypeError
from trio_esdb._model import NACK_ACTIONS, GroupEvent, NackAction, OnError, Retry


class Events(Protocol):
    """The channel that events are taken from; see ``GroupChannel``."""

    @property
    def stopping(self) -> bool:
        """Whether no further event is handed out."""

    @property
    def ended(self) -> trio.Event:
        """Set when no further event is handed out."""

    def __aiter__(self) -> AsyncIterator[GroupEvent]:
        """Iterate over the events."""

    def ack(self, events: GroupEvent) -> None:
        """Say that an event was handled."""

    def nack(self, events: GroupEvent, action: NackAction = "retry", reason: str = "") -> None:
        """Refuse an event."""


class Processing:
    """See ``GroupChannel.process`` for the arguments."""

    def __init__(
        self,
        channel: Events,
        handler: Callable[[GroupEvent], Awaitable[object]],
        *,
        workers: int,
        key: Callable[[GroupEvent], object] | None,
        on_error: OnError,
        park_after: int | None,
        grace: float | None,
    ) -> None:
        _check(handler, workers, key, on_error, park_after, grace)
        self._channel = channel
        self._handler = handler
        self._key = key
        self._on_error = on_error
        self._park_after = math.inf if park_after is None else park_after
        self._grace = math.inf if grace is None else grace
        self._room = trio.CapacityLimiter(workers)
        self._queues: dict[object, deque[GroupEvent]] = {}
        self._scope = trio.CancelScope()
        self._over = trio.Event()
        self._error: Exception | None = None

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Handle events until the channel ends."""
        async with trio.open_nursery() as nursery:
            self._scope = nursery.cancel_scope
            nursery.start_soon(self._limit_end)
            try:
                await self._distribute(nursery)
            except Exception as exc:  # noqa: BLE001 - it is raised below, when the handlers have finished
                self._error = exc
            self._over.set()
        if self._error is not None:
            raise self._error

    async def _limit_end(self) -> None:
        """Give the handlers that run when no more events are handed out no more than the grace to finish."""
        async with trio.open_nursery() as nursery:
            for event in (self._channel.ended, self._over):
                nursery.start_soon(self._first_of, event, nursery.cancel_scope)
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + self._grace)

    @staticmethod
    async def _first_of(event: trio.Event, others: trio.CancelScope) -> None:
        await event.wait()
        others.cancel()

    async def _distribute(self, nursery: trio.Nursery) -> None:
        """Give each event to a worker, until there are no more."""
        async for event in self._channel:
            if event.retry_count > self._park_after:
                self._channel.nack(event, "park", f"delivered {event.retry_count + 1} times")
                continue
            key: object = None
            if self._key is not None:
                key = self._key(event)
                queue = self._queues.get(key)
                if queue is not None:
                    queue.append(event)
                    continue
                self._queues[key] = deque()
            await self._room.acquire_on_behalf_of(event)
            if self._channel.stopping:
                return  # it waits no more: the server delivers it again
            nursery.start_soon(self._work, key, event)

    async def _work(self, key: object, event: GroupEvent) -> None:
        """Handle an event, and those that have waited for it."""
        token = event
        try:
            while True:
                await self._handle(event)
                if self._key is None:
                    return
                queue = self._queues[key]
                if not queue or self._channel.stopping:
                    return
                event = queue.popleft()
        except Exception as exc:  # noqa: BLE001 - it ends the processing, and is raised by run()
            self._error = exc
            self._scope.cancel()
        finally:
            if self._key is not None:
                self._queues.pop(key, None)
            self._room.release_on_behalf_of(token)

    async def _handle(self, event: GroupEvent) -> None:
        try:
            await self._handler(event)
        except Exception as exc:  # noqa: BLE001 - whatever a handler raises is its event's business
            await self._failed(event, exc)
        else:
            self._channel.ack(event)

    async def _failed(self, event: GroupEvent, exc: Exception) -> None:
        decided = self._on_error
        if callable(decided):
            decided = decided(event, exc)
        reason = f"{type(exc).__name__}: {exc}"
        if isinstance(decided, Retry):
            if decided.times is not None and event.retry_count >= decided.times:
                self._channel.nack(event, decided.then, reason)
                return
            await trio.sleep(decided.delay)
            self._channel.nack(event, "retry", reason)
        elif decided == "stop":
            self._channel.nack(event, "retry", reason)
            raise exc
        elif decided in NACK_ACTIONS:
            self._channel.nack(event, decided, reason)
        else:
            raise InvalidArgumentError(
                f"on_error must give one of {', '.join(NACK_ACTIONS)} or a Retry, not {decided!r}"
            )


def _check(
    handler: object, workers: int, key: object, on_error: object, park_after: int | None, grace: float | None
) -> None:
    if not callable(handler):
        raise InvalidTypeError(f"handler must be an async function of an event, not {type(handler).__name__}")
    if not isinstance(workers, int) or isinstance(workers, bool):
        raise InvalidTypeError(f"workers must be an int, not {type(workers).__name__}")
    if workers < 1:
        raise InvalidArgumentError(f"workers must be at least 1, not {workers}")
    if key is not None and not callable(key):
        raise InvalidTypeError(f"key must be a function of an event or None, not {type(key).__name__}")
    if not callable(on_error) and not isinstance(on_error, Retry) and on_error not in NACK_ACTIONS:
        raise InvalidArgumentError(f"on_error must be one of {', '.join(NACK_ACTIONS)}, a Retry or a function")
    if park_after is not None and (not isinstance(park_after, int) or isinstance(park_after, bool) or park_after < 0):
        raise InvalidArgumentError(f"park_after must be a number from 0 or None, not {park_after!r}")
    if grace is not None and not grace >= 0:
        raise InvalidArgumentError(f"grace must be a number of seconds or None, not {grace!r}")
