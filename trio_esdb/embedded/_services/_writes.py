"""The writes of a node, one after the other.

A write changes the store in one step, without a checkpoint: nobody else can see or change the store meanwhile, and each
subscription gets the new events in the same step. Only an append of very many events, or of many events that have many
subscribers, is written in turns, and all other writes wait for its end. Readers need not wait: they see nothing of such
an append before all of it is written.

So most writes need no task: a handler asks ``must_wait`` and then writes to the store itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

from .._store import TURN, Proposal, Store, Written, WrongExpectation
from ._feed import Feed
from ._turns import in_turns

T = TypeVar("T")


_TOLD_AT_ONCE = 20_000
"""Events that subscriptions may get in one step, all subscriptions together."""


class Writes:
    """The order of the writes to a store.

    Args:
        store: The store.
        feed: Those who get the new events.
        now: The node's clock, in ticks since the Unix epoch.
    """

    __slots__ = ("_feed", "_lock", "_now", "_store")

    def __init__(self, store: Store, feed: Feed, now: Callable[[], int]) -> None:
        self._store = store
        self._feed = feed
        self._now = now
        self._lock = trio.Lock()

    def must_wait(self, events: int = 1) -> bool:
        """Whether a write of this many events cannot be made in one step now."""
        return events > TURN or events * self._feed.followers > _TOLD_AT_ONCE or self._lock.locked()

    async def append(self, stream: str, expected: int, events: list[Proposal]) -> Written | WrongExpectation:
        """Append these events when it is their turn. See `Store.append_in_turns`: the list is emptied.

        Once begun, the append cannot be cancelled.
        """
        async with self._lock:
            work = self._store.append_in_turns(stream, expected, events, self._now())
            with trio.CancelScope(shield=True):
                outcome = await in_turns(work)
        return outcome

    async def write(self, write: Callable[[], T]) -> T:
        """Make a write of one step when it is its turn; its result."""
        async with self._lock:
            return write()
