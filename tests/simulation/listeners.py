"""Subscribers and readers of every kind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import trio

from trio_esdb import ESDBClient, EventChannel, RecordedEvent, StreamNotFoundError
from trio_esdb.testing import World

from .ledger import TEMPORARY, Ledger, Seen

Open = Callable[[ESDBClient, Any], Any]
"""Opens a subscription after an event, or from the start."""


class Subscriber:
    """Takes all events of a subscription, with as many channels as it is told to."""

    def __init__(self, seen: Seen, open: Open, wanted: Callable[[RecordedEvent], bool], clones: int = 1) -> None:
        self.seen = seen
        self._open = open
        self._wanted = wanted
        self._clones = clones
        self._changed = trio.lowlevel.ParkingLot()

    async def run(self, client: ESDBClient) -> None:
        """Take events, for ever. Entering the subscription gives up after some time; then it is entered again."""
        while True:
            try:
                async with self._open(client, None) as events, trio.open_nursery() as nursery:
                    channels = [events, *(events.clone() for _ in range(self._clones - 1))]
                    for channel in channels:
                        nursery.start_soon(self._take, channel)
            except TEMPORARY:
                assert not self.seen.events, "a subscription that has begun goes on for ever"

    async def _take(self, channel: EventChannel[Any]) -> None:
        last: tuple[int, int] | None = None
        async for event in channel:
            self.seen.add(event)
            self._changed.unpark_all()
            position = event.commit_position if event.link is None else event.link.commit_position
            place = (position or 0, event.stream_position)
            assert last is None or place > last, f"{self.seen.who}: {place} after {last}"
            last = place
            await trio.sleep(0)

    async def until_complete(self, truth: list[RecordedEvent], within: float) -> None:
        """Wait until everything was received, each event once; with one channel also in order."""
        expected = [(event.stream_name, event.stream_position, event.id) for event in truth if self._wanted(event)]
        with trio.move_on_after(within):
            while len(self.seen.events) < len(expected):
                await self._changed.park()
        got = self.seen.events
        assert not (missing := set(expected) - set(got)), f"{self.seen.who} never got {sorted(missing)[:3]}"
        assert len(got) == len(expected), f"{self.seen.who} got {len(got)} events, not {len(expected)}"
        if self._clones == 1:
            assert got == expected, f"{self.seen.who} got them in another order"


def following(stream: str) -> Callable[[RecordedEvent], bool]:
    """The events of one stream."""
    return lambda event: event.stream_name == stream


class Readers:
    """Reads over and over, in all ways; what they see must be in the log in the end."""

    def __init__(self, world: World, client: ESDBClient, ledger: Ledger, stream: str) -> None:
        self._random = Random(f"{world.seed}/readers")
        self._client = client
        self._ledger = ledger
        self._stream = stream
        self.reads = 0

    async def run(self) -> None:
        """Read until cancelled."""
        client = self._client
        ways = [
            ("forwards", lambda: client.read_stream_events(self._stream), "stream_position", False),
            (
                "backwards",
                lambda: client.read_stream_events(self._stream, backwards=True),
                "stream_position",
                True,
            ),
            ("all", lambda: client.read_all_events(limit=50), "commit_position", False),
            ("all backwards", lambda: client.read_all_events(backwards=True, limit=20), "commit_position", True),
            ("filtered", lambda: client.read_all_events(filter_include=["Number"]), "commit_position", False),
        ]
        while True:
            await self._read(*self._random.choice(ways))
            await trio.sleep(self._random.uniform(0.3, 2))

    async def _read(self, who: str, open: Callable[[], Any], counted_by: str, backwards: bool) -> None:
        seen = self._ledger.seen(f"a read, {who}")
        positions: list[int] = []
        with suppress(*TEMPORARY, StreamNotFoundError):
            async with open() as events:
                async for event in events:
                    seen.add(event)
                    positions.append(getattr(event, counted_by))
        self.reads += 1
        assert positions == sorted(set(positions), reverse=backwards), f"{who}: {positions}"
