"""What was attempted, what was read and received, and whether it agrees with what the cluster holds in the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import UUID

import trio

from trio_esdb import (
    AbortedError,
    DeadlineExceededError,
    ESDBClient,
    ESDBError,
    NewEvent,
    NotLeaderError,
    RecordedEvent,
    UnavailableError,
)

TEMPORARY = (UnavailableError, DeadlineExceededError, AbortedError, NotLeaderError)
"""What a call may end with in an outage."""
PATIENCE = 10.0
"""Seconds after which every write has an answer: the client's default deadline."""


class Outcome(Enum):
    """What the client said of a write."""

    WRITTEN = "written"
    REFUSED = "certainly not written"
    UNKNOWN = "unknown"


@dataclass
class Attempt:
    """A write, and what the client said of it."""

    stream: str
    ids: tuple[UUID, ...]
    began: float
    ended: float = 0.0
    outcome: Outcome = Outcome.UNKNOWN
    position: int | None = None
    """The stream position of the last event, if it was written."""
    error: ESDBError | None = None


@dataclass
class Seen:
    """What a reader or subscriber was given, in its order."""

    who: str
    events: list[tuple[str, int, UUID]] = field(default_factory=list)

    def add(self, event: RecordedEvent) -> None:
        """Note an event."""
        self.events.append((event.stream_name, event.stream_position, event.id))


@dataclass
class Ledger:
    """All that happened in one run."""

    attempts: list[Attempt] = field(default_factory=list)
    open: dict[int, str] = field(default_factory=dict)
    """Writes that have no answer yet."""
    read: list[Seen] = field(default_factory=list)

    async def write(self, stream: str, events: Sequence[NewEvent], call: Awaitable[Any]) -> Attempt:
        """Do a write and note what becomes of it."""
        attempt = Attempt(stream, tuple(event.id for event in events), trio.current_time())
        self.attempts.append(attempt)
        number = len(self.attempts)
        self.open[number] = stream
        try:
            result = await call
        except ESDBError as error:
            attempt.error = error
            attempt.outcome = Outcome.UNKNOWN if error.applied is None else Outcome.REFUSED
        else:
            attempt.outcome = Outcome.WRITTEN
            attempt.position = getattr(result, "stream_position", None)
        del self.open[number]
        attempt.ended = trio.current_time()
        return attempt

    async def append(self, client: ESDBClient, stream: str, expected: Any, *events: NewEvent) -> Attempt:
        """Append and note what becomes of it."""
        return await self.write(stream, events, client.append_events(stream, expected, events))

    def seen(self, who: str) -> Seen:
        """A list of what somebody is given."""
        seen = Seen(who)
        self.read.append(seen)
        return seen

    # -- the end -----------------------------------------------------------------------------------------------------

    def check(self, truth: Sequence[RecordedEvent], *, removed: Iterable[str] = ()) -> None:
        """Compare everything with all events of the log, in their order."""
        places = {event.id: (event.stream_name, event.stream_position) for event in truth}
        counts = Counter(event.id for event in truth)
        removed = frozenset(removed)
        self._check_calls()
        self._check_written(places, counts, removed)
        self._check_order([event for event in truth if event.stream_name not in removed])
        for seen in self.read:
            for stream, position, id in seen.events:
                if stream not in removed:
                    assert places.get(id) == (stream, position), f"{seen.who} saw {id}, which is at {places.get(id)}"

    def _check_calls(self) -> None:
        assert not self.open, f"writes without an end: {self.open}"
        for attempt in self.attempts:
            took = attempt.ended - attempt.began
            assert took <= PATIENCE + 0.001, f"a write to {attempt.stream} took {took} seconds: {attempt.error}"

    def _check_written(
        self, places: dict[UUID, tuple[str, int]], counts: Counter[UUID], removed: frozenset[str]
    ) -> None:
        outcomes: dict[UUID, list[Outcome]] = defaultdict(list)
        for attempt in self.attempts:
            if attempt.stream in removed:
                continue
            for behind, id in enumerate(reversed(attempt.ids)):
                outcomes[id].append(attempt.outcome)
                if attempt.outcome is Outcome.WRITTEN:
                    assert counts[id], f"lost: {id} was written to {attempt.stream} at {attempt.position}"
                    assert attempt.position is not None
                    assert places[id] == (attempt.stream, attempt.position - behind), "it is elsewhere"
        for id, those in outcomes.items():
            assert counts[id] <= 1, f"{id} is there {counts[id]} times, after {those}"
            if set(those) == {Outcome.REFUSED}:
                assert not counts[id], f"{id} is there, and was said to be certainly not written"

    def _check_order(self, truth: Sequence[RecordedEvent]) -> None:
        """In each stream positions count up, and what was begun after another write had ended comes after it."""
        positions: dict[str, list[int]] = defaultdict(list)
        for event in truth:
            positions[event.stream_name].append(event.stream_position)
        for stream, found in positions.items():
            assert found == list(range(found[0], found[0] + len(found))), f"{stream}: {found}"
        last: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in self.attempts:
            if attempt.position is not None and attempt.ids:
                last[attempt.stream].append(attempt)
        for stream, attempts in last.items():
            in_time = sorted(attempts, key=lambda each: each.began)
            for number, earlier in enumerate(in_time):
                for later in in_time[number + 1 :]:
                    if later.began >= earlier.ended and later.ids != earlier.ids:
                        assert earlier.position is not None
                        assert later.position is not None
                        assert later.position > earlier.position, f"{stream}: order"


async def connected(stack: AsyncExitStack, make: Callable[[], ESDBClient]) -> ESDBClient:
    """Connect, however long it takes; the client is closed with the stack."""
    while True:
        try:
            return await stack.enter_async_context(make())
        except TEMPORARY:
            await trio.sleep(0.1)


async def everything(client: ESDBClient) -> list[RecordedEvent]:
    """All events of streams that are not the server's own, links included, once the cluster answers."""
    while True:
        try:
            async with client.read_all_events(filter_exclude=()) as events:
                return [event async for event in events if not event.stream_name.startswith("$")]
        except TEMPORARY:
            await trio.sleep(0.1)
