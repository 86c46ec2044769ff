"""The writes of a node, one after the other.

A write changes the store in one step, without a checkpoint: nobody else can see or change the store meanwhile, and each
subscription gets the new events in the same step. Only an append of very many events, or of many events that have many
subscribers, is written in turns, and all other writes wait for its end. Readers need not wait: they see nothing of such
an append before all of it is written.

So most writes of a single node need no task: a handler asks ``must_wait`` and then writes to the store itself. A node
of a cluster has ``ReplicatedWrites``, with which each write must wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import TypeVar

import trio

from .._store import (
    TURN,
    Append,
    HarmfulMetadata,
    NeverAnswered,
    Store,
    StreamDeleted,
    Write,
    Written,
    WrongExpectation,
)
from ._feed import Feed
from ._turns import in_turns

T = TypeVar("T")

Refused = (StreamDeleted, NeverAnswered, HarmfulMetadata)
"""What a store raises for a write."""
Outcome = Callable[[], Awaitable[Written | WrongExpectation]]
"""What waits for the outcome of a write that has begun."""
Steps = Generator[Write, Written | WrongExpectation, T]
"""Writes that depend on each other: it yields a write, and is sent the outcome, or has raised in it what the store
raises. It returns a T."""

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

    def begin(self, write: Write) -> Outcome:
        """Make a write that must wait; what is to be called to wait for its outcome, as ``run`` does."""
        return partial(self.run, write)

    async def run(self, write: Write) -> Written | WrongExpectation:
        """Make a write when it is its turn. Once begun, it cannot be cancelled. The list of its events is emptied.

        Raises:
            StreamDeleted, NeverAnswered, HarmfulMetadata: The store refuses it.
        """
        async with self._lock:
            if isinstance(write, Append):
                work = self._store.append_in_turns(write.stream, write.expected, write.events, self._now())
                with trio.CancelScope(shield=True):
                    outcome = await in_turns(work)
            else:
                outcome = self._store.run(write, self._now())
        return outcome

    def take_steps_now(self, steps: Steps[T]) -> T:
        """Make these writes in one step; what they return. For a node of which no write must wait."""
        return _in_one_step(steps, self._store, self._now())

    async def take_steps(self, steps: Steps[T]) -> T:
        """Make these writes when it is their turn; what they return."""
        async with self._lock:
            return self.take_steps_now(steps)


def _in_one_step(steps: Steps[T], store: Store, now: int) -> T:
    try:
        write = next(steps)
        while True:
            try:
                outcome = store.run(write, now)
            except Refused as exc:
                write = steps.throw(exc)
            else:
                write = steps.send(outcome)
    except StopIteration as stop:
        result: T = stop.value
        return result
