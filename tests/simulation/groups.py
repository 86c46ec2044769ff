"""A group of consumers in a simulation: what its consumers said, what the nodes did, and whether that agrees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any
from unittest.mock import patch

import trio

from trio_esdb import (
    ESDBClient,
    GroupChannel,
    GroupEvent,
    RecordedEvent,
    Retry,
    StreamNotFoundError,
    SubscriptionExistsError,
)
from trio_esdb.embedded._groups import Candidate, Group, Item, Place, Settlement
from trio_esdb.embedded._services._running_group import RunningGroup
from trio_esdb.embedded._store import Turns
from trio_esdb.testing import World

from .ledger import TEMPORARY

STREAM = "work"
MESSAGE_TIMEOUT = 2.0
"""Seconds. Some handlers take longer."""


@dataclass(frozen=True)
class Name:
    """Which group it is: one of the stream, or one of all streams."""

    group: str
    of_all: bool

    @property
    def key(self) -> str:
        """As nodes name it."""
        return f"{'$all' if self.of_all else STREAM}::{self.group}"

    @property
    def parked_stream(self) -> str:
        """Where its parked events are."""
        return f"$persistentsubscription-{self.key}-parked"

    def consume(self, client: ESDBClient, **options: Any) -> Any:
        """Connect a consumer."""
        if self.of_all:
            return client.read_subscription(self.group, **options)
        return client.read_stream_subscription(self.group, STREAM, **options)

    async def create(self, client: ESDBClient, strategy: Any) -> None:
        """Make the group, however long it takes."""
        settings: dict[str, Any] = {
            "message_timeout": MESSAGE_TIMEOUT,
            "max_retry_count": 2,
            "checkpoint_after": 0.5,
            "min_checkpoint_count": 1,
            "max_checkpoint_count": 4,
            "live_buffer_size": 12,
            "history_buffer_size": 12,
            "read_batch_size": 5,
            "consumer_strategy": strategy,
        }
        while True:
            try:
                if self.of_all:
                    only: dict[str, Any] = {
                        "filter_include": [STREAM],
                        "filter_by_stream_name": True,
                        "filter_by_prefix": True,
                    }
                    await client.create_subscription(self.group, **settings, **only)
                else:
                    await client.create_stream_subscription(self.group, STREAM, **settings)
            except SubscriptionExistsError:
                return
            except TEMPORARY:
                await trio.sleep(0.1)
            else:
                return

    async def update(self, client: ESDBClient, **settings: Any) -> None:
        """Change the group, if that can be done now."""
        with suppress(*TEMPORARY):
            if self.of_all:
                await client.update_subscription(self.group, **settings)
            else:
                await client.update_stream_subscription(self.group, STREAM, **settings)


class Said:
    """What the consumers of a group said, and what the nodes did with it. Events are named by the numbers of their ids.

    ``wrong`` has all that must not be.
    """

    def __init__(self, name: Name) -> None:
        self.name = name
        self.delivered: set[int] = set()
        self.settled: set[int] = set()
        """Acked or skipped."""
        self.refused: set[int] = set()
        """Refused for a retry."""
        self.put_aside: set[int] = set()
        """Refused for the parked stream."""
        self.timed_out: set[int] = set()
        self.taken: defaultdict[Group, set[int]] = defaultdict(set)
        """What each group, as a process of a node has it, knows to be acked or skipped."""
        self.wrong: list[str] = []
        self.flushes = 0
        self.checkpoints = 0

    # -- consumers ---------------------------------------------------------------------------------------------------

    def got(self, event: GroupEvent) -> None:
        """A consumer got an event."""
        self.delivered.add(event.id.int)

    def say(self, events: GroupChannel, event: GroupEvent, action: str) -> None:
        """Ack or refuse an event."""
        number = event.id.int
        if action == "ack":
            events.ack(event)
        else:
            events.nack(event, action, "of the test")  # type: ignore[arg-type]
        self.note(number, action)

    def note(self, number: int, action: str) -> None:
        """An event was acked or refused."""
        {"retry": self.refused, "park": self.put_aside}.get(action, self.settled).add(number)

    async def flush(self, events: GroupChannel, said: Iterable[tuple[object, int]]) -> None:
        """Flush. What was acked and came by the present call must be known to a group then, unless it timed out."""
        call = events._consumer.current
        with suppress(*TEMPORARY):
            await events.flush()
            self.flushes += 1
            known = set().union(self.timed_out, *self.taken.values())
            for by, number in said:
                if by is call and number not in known:
                    self.wrong.append(f"{number} was acked and flushed, and no group knows it")

    # -- nodes -------------------------------------------------------------------------------------------------------

    def take(self, group: Group, ids: Iterable[int]) -> None:
        """A node was told that these are done."""
        self.taken[group].update(id for id in ids if id in group.outstanding)

    def pushed(self, group: Group, item: Item) -> None:
        """A node has sent an event."""
        if item.id in self.taken[group]:
            self.wrong.append(f"{item.candidate.place} came again, after the same group knew that it was done")

    def checkpoint(self, running: RunningGroup, place: Place) -> None:
        """A node writes a checkpoint: all before it are done, or are in the parked stream."""
        self.checkpoints += 1
        store, now = running._context.store, running._context.now()
        parked: set[int] = set()
        page = store.read_stream(self.name.parked_stream, 0, 1000, now)
        for link in page.records:
            target = store.resolve(link, now)
            assert target is not None
            parked.add(target.id)
        for candidate in _all_of(running):
            if candidate.place <= place and candidate.record.id not in self.settled | parked:
                self.wrong.append(f"the checkpoint {place} is beyond {candidate.place}, which is not done")

    # -- the end -----------------------------------------------------------------------------------------------------

    async def complete(self, client: ESDBClient, truth: list[RecordedEvent]) -> None:
        """Wait until all events are done, then compare."""
        wanted = {event.id.int for event in truth if event.stream_name == STREAM}
        while missing := wanted - self.settled - set(await self._parked(client)):
            await trio.sleep(0.5)
            if trio.current_effective_deadline() - trio.current_time() < 1:
                raise AssertionError(f"{self.name} never handled {missing}")
        for number, reason in (await self._parked(client)).items():
            told = "explicitly" in reason
            allowed = self.put_aside if told else self.refused | self.timed_out
            assert number in allowed, f"{self.name} parked {number}: {reason}"
        assert not self.wrong, f"{self.name}: {self.wrong[:5]}"

    async def _parked(self, client: ESDBClient) -> dict[int, str]:
        while True:
            try:
                links = await client.get_stream_events(self.name.parked_stream, resolve_links=True)
            except StreamNotFoundError:
                return {}
            except TEMPORARY:
                await trio.sleep(0.1)
            else:
                return {event.id.int: event.link.metadata.decode() for event in links if event.link is not None}


@contextmanager
def watching(said: Said) -> Iterator[None]:
    """See what the nodes do with the group."""
    ack, nack, push, tick = Group.ack, Group.nack, Group._push_one, Group.tick
    write = RunningGroup.write_checkpoint

    def acked(group: Group, ids: Iterable[int], now: float) -> None:
        ids = list(ids)
        said.take(group, ids)
        ack(group, ids, now)

    def nacked(group: Group, ids: Iterable[int], settlement: Settlement, reason: str, now: float) -> None:
        ids = list(ids)
        if settlement == "skip":
            said.take(group, ids)
        nack(group, ids, settlement, reason, now)

    def pushed(group: Group, item: Item, now: float) -> bool:
        was_pushed = push(group, item, now)
        if was_pushed:
            said.pushed(group, item)
        return was_pushed

    def ticked(group: Group, now: float) -> None:
        limit = now - group.settings.message_timeout
        said.timed_out.update(id for id, (_, pushed) in group.outstanding.items() if pushed <= limit)
        tick(group, now)

    def written(running: RunningGroup, place: Place) -> None:
        said.checkpoint(running, place)
        write(running, place)

    with ExitStack() as stack:
        for owner, name, seen in (
            (Group, "ack", acked),
            (Group, "nack", nacked),
            (Group, "_push_one", pushed),
            (Group, "tick", ticked),
            (RunningGroup, "write_checkpoint", written),
        ):
            stack.enter_context(patch.object(owner, name, seen))
        yield


def _all_of(running: RunningGroup) -> list[Candidate]:
    found: list[Candidate] = _finished(running._source.page(-1, 1000, running._context.now()))[0]
    return found


def _finished(work: Turns[Any]) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value


class Workers:
    """The consumers of a group, which handle an event as its number says."""

    def __init__(self, world: World, said: Said) -> None:
        self._world = world
        self._said = said
        self.healed = False
        """Whether consumers no longer crash."""

    def _random(self, who: str) -> Random:
        return Random(f"{self._world.seed}/{self._said.name.key}/{who}")

    async def one_by_one(self, client: ESDBClient, who: str) -> None:
        """Take events with ``async for``; flush now and then, leave in all ways, and come again."""
        random = self._random(who)
        while True:
            with suppress(*TEMPORARY), self._life(random):
                async with self._said.name.consume(client, buffer_size=random.choice([1, 3, 10])) as events:
                    await self._take(events, random)
            await trio.sleep(0.05)

    def _life(self, random: Random) -> trio.CancelScope:
        """Consumers are cancelled, until all is healed."""
        seconds = random.uniform(0.5, 8)
        return trio.CancelScope(deadline=float("inf") if self.healed else trio.current_time() + seconds)

    async def _take(self, events: GroupChannel, random: Random) -> None:
        said: list[tuple[object, int]] = []
        most = random.randint(5, 30)
        async for event in events:
            self._said.got(event)
            await self._work(event, random)
            action = action_for(event)
            by, number = event._call, event.id.int
            self._said.say(events, event, action)
            if action in ("ack", "skip"):
                said.append((by, number))
            if random.random() < 0.2:
                await self._said.flush(events, said)
            most -= 1
            if not most:
                if random.random() < 0.3:
                    events.close()  # what was acked last may be lost, and comes again
                return

    async def _work(self, event: GroupEvent, random: Random) -> None:
        """Some events take long, the first time even too long."""
        number = int(event.data)
        if number % 9 == 4 and not event.retry_count and random.random() < 0.5:
            await trio.sleep(MESSAGE_TIMEOUT * 1.5)
        elif number % 3 == 1:
            await trio.sleep(random.uniform(0, 0.3))
        else:
            await trio.lowlevel.checkpoint()

    async def processing(self, client: ESDBClient, who: str) -> None:
        """Handle events with workers that crash."""
        random = self._random(who)
        while True:
            busy: set[int] = set()
            with suppress(*TEMPORARY), self._life(random):
                async with self._said.name.consume(client, buffer_size=5, grace=random.choice([0.2, 2.0])) as events:
                    last = random.uniform(0.5, 5) if random.random() < 0.3 else float("inf")
                    stopping = trio.current_time() + last
                    await events.process(
                        partial(self._handle, events, random, busy, stopping),
                        workers=3,
                        key=_key,
                        on_error=self._on_error,
                        grace=random.choice([0.1, None]),
                    )
            await trio.sleep(0.05)

    async def _handle(
        self, events: GroupChannel, random: Random, busy: set[int], stopping: float, event: GroupEvent
    ) -> None:
        self._said.got(event)
        key = _key(event)
        assert key not in busy, "two events with one key at a time"
        busy.add(key)
        try:
            await self._work(event, random)
        finally:
            busy.discard(key)
        action = action_for(event)
        if trio.current_time() > stopping:
            events.stop()
        if action != "ack":
            raise ValueError(action)
        self._said.note(event.id.int, "ack")

    def _on_error(self, event: GroupEvent, error: Exception) -> Any:
        action = str(error)
        assert action in ("retry", "park", "skip"), error
        self._said.note(event.id.int, action)
        return Retry(delay=0.2) if action == "retry" else action


def action_for(event: GroupEvent) -> str:
    """What is said of an event."""
    kind = int(event.data) % 10
    if kind == 3 or (kind == 6 and not event.retry_count):
        return "retry"  # the first kind for ever
    return {5: "park", 8: "skip"}.get(kind, "ack")


def _key(event: GroupEvent) -> int:
    return int(event.data) % 4
