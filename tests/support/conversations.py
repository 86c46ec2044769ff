"""Conversations of every kind of read and subscription, held over a network whose connection is cut somewhere.

Each conversation is about streams of its own, so that many can be held with one node. A writer on a connection of its
own appends while it is held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
import trio.testing

from trio_esdb import Checkpoint, ESDBClient, EventChannel, NewEvent, RecordedEvent, StreamState
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing import MemoryNetwork

READER = "esdb://reader.example:2113?tls=false"
WRITER = "esdb://writer.example:2113?tls=false"
BEFORE, MEANWHILE = 3, 3
"""How many events there are before a conversation, and how many are appended while it is held."""

Events = EventChannel[Any]


@dataclass
class Held:
    """What one conversation has brought."""

    by_channel: list[list[RecordedEvent | Checkpoint]]

    @property
    def events(self) -> list[RecordedEvent]:
        """All events, channel by channel."""
        return [event for messages in self.by_channel for event in messages if isinstance(event, RecordedEvent)]


class World:
    """A node on a network, and a writer."""

    def __init__(self, network: MemoryNetwork, node: EmbeddedNode, writer: ESDBClient) -> None:
        self.network = network
        self.node = node
        self.writer = writer
        self._named = 0

    def name(self, what: str) -> str:
        """A name that was not used yet."""
        self._named += 1
        return f"{what}{self._named}"

    async def append(self, stream: str, count: int, type: str = "Happened", data: str = "{}") -> int:
        """Append events one by one; the commit position of the last."""
        position = 0
        for _ in range(count):
            event = NewEvent(type, data.encode(), content_type="application/octet-stream")
            position = await self.writer.append_event(stream, StreamState.ANY, event)
        return position


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """A node that listens for a reader and a writer."""
    network = MemoryNetwork()
    async with (
        EmbeddedNode() as node,
        network.listen(node, "reader.example", 2113),
        network.listen(node, "writer.example", 2113),
        ESDBClient(WRITER, connect=network.connect) as writer,
    ):
        yield World(network, node, writer)


@dataclass
class Conversation:
    """A kind of conversation, ready to be held.

    ``open`` gives the read or subscription. ``expected`` are the numbers of the events, counted as ``number`` says. A
    read that comes to its end has seen those of the beginning at least; a subscription sees all.
    """

    open: Callable[[ESDBClient], Any]
    write: Callable[[], Any]
    number: Callable[[RecordedEvent], int] = lambda event: event.stream_position
    backwards: bool = False
    endless: bool = True
    count: int = BEFORE + MEANWHILE

    def check(self, held: Held) -> None:
        """Each event came once, and to each channel in order."""
        for messages in held.by_channel:
            numbers = [self.number(each) for each in messages if isinstance(each, RecordedEvent)]
            assert numbers == sorted(numbers, reverse=self.backwards)
            checkpoints = [each.commit_position for each in messages if isinstance(each, Checkpoint)]
            assert checkpoints == sorted(checkpoints)
        found = Counter(self.number(event) for event in held.events)
        if self.endless:
            assert found == Counter(range(self.count))
        else:
            assert found == Counter(range(len(found)))
            assert len(found) >= (BEFORE if not self.backwards else 1)


async def stream_read(world: World) -> Conversation:
    stream = world.name("s")
    await world.append(stream, BEFORE)
    return Conversation(
        lambda client: client.read_stream_events(stream), lambda: world.append(stream, MEANWHILE), endless=False
    )


async def stream_read_backwards(world: World) -> Conversation:
    stream = world.name("s")
    await world.append(stream, BEFORE)
    return Conversation(
        lambda client: client.read_stream_events(stream, backwards=True),
        lambda: world.append(stream, MEANWHILE),
        backwards=True,
        endless=False,
    )


async def limited_read(world: World) -> Conversation:
    stream = world.name("s")
    await world.append(stream, BEFORE + 2)
    return Conversation(
        lambda client: client.read_stream_events(stream, limit=BEFORE + 1),
        lambda: world.append(stream, MEANWHILE),
        count=BEFORE + 1,
    )


async def read_all(world: World) -> Conversation:
    stream = world.name("s")
    start = await world.append("start", 1)
    await world.append(stream, BEFORE)
    return Conversation(
        lambda client: client.read_all_events(start, filter_include=[stream], filter_by_stream_name=True),
        lambda: world.append(stream, MEANWHILE),
        endless=False,
    )


async def read_all_limited(world: World) -> Conversation:
    start = await world.append("start", 1)
    stream = world.name("s")
    await world.append(stream, BEFORE)
    return Conversation(
        lambda client: client.read_all_events(start, limit=BEFORE, filter_include=[stream], filter_by_stream_name=True),
        lambda: world.append(stream, MEANWHILE),
        count=BEFORE,
    )


async def read_all_backwards(world: World) -> Conversation:
    stream = world.name("s")
    await world.append(stream, BEFORE)
    end = await world.append("end", 1)
    return Conversation(
        lambda client: client.read_all_events(
            end, backwards=True, limit=BEFORE, filter_include=[stream], filter_by_stream_name=True
        ),
        lambda: world.append(stream, MEANWHILE),
        backwards=True,
        count=BEFORE,
    )


async def stream_subscription(world: World) -> Conversation:
    stream = world.name("s")
    await world.append(stream, BEFORE)
    return Conversation(lambda client: client.subscribe_stream_events(stream), lambda: world.append(stream, MEANWHILE))


async def subscription_from_end(world: World) -> Conversation:
    stream = world.name("s")
    await world.append(stream, BEFORE)
    return Conversation(
        lambda client: client.subscribe_stream_events(stream, from_end=True),
        lambda: world.append(stream, MEANWHILE),
        number=lambda event: event.stream_position - BEFORE,
        count=MEANWHILE,
    )


async def all_subscription(world: World) -> Conversation:
    """With a filter that most events do not pass, and many checkpoints."""
    start = await world.append("start", 1)
    stream = world.name("s")
    await world.append(stream, BEFORE)
    await world.append("noise", 4)

    async def write() -> None:
        for _ in range(MEANWHILE):
            await world.append(stream, 1)
            await world.append("noise", 2)

    return Conversation(
        lambda client: client.subscribe_all_events(
            start,
            filter_include=[stream],
            filter_by_stream_name=True,
            include_checkpoints=True,
            window_size=2,
        ),
        write,
    )


async def link_subscription(world: World) -> Conversation:
    """Links in another order than that of their targets; every third leads nowhere."""
    targets, links = world.name("targets"), world.name("links")
    await world.append(targets, BEFORE + MEANWHILE)

    async def link(numbers: Iterable[int]) -> None:
        for number in numbers:
            target = BEFORE + MEANWHILE - number if number % 3 else 1000
            await world.append(links, 1, "$>", f"{target}@{targets}")

    await link(range(BEFORE))
    return Conversation(
        lambda client: client.subscribe_stream_events(links, resolve_links=True),
        lambda: link(range(BEFORE, BEFORE + MEANWHILE)),
        number=lambda event: event.original.stream_position,
    )


KINDS = {
    "stream": stream_read,
    "stream backwards": stream_read_backwards,
    "stream with a limit": limited_read,
    "all": read_all,
    "all with a limit": read_all_limited,
    "all backwards": read_all_backwards,
    "subscription": stream_subscription,
    "subscription from the end": subscription_from_end,
    "subscription to all": all_subscription,
    "subscription to links": link_subscription,
}


async def hold(
    conversation: Conversation,
    client: ESDBClient,
    *,
    channels: int,
    receive: Callable[[Events], Any] = lambda events: events.receive(),
) -> Held:
    """Hold a conversation until all that is expected has come."""
    held = Held([[] for _ in range(channels)])
    async with conversation.open(client) as events:
        async with trio.open_nursery() as nursery:
            missing = conversation.count if conversation.endless else None

            async def work(channel: Events, mine: list[RecordedEvent | Checkpoint]) -> None:
                nonlocal missing
                async with channel:
                    while missing is None or missing > 0:
                        try:
                            message = await receive(channel)
                        except trio.EndOfChannel:
                            return
                        mine.append(message)
                        if missing is not None and not isinstance(message, Checkpoint):
                            missing -= 1
                    nursery.cancel_scope.cancel()

            for mine in held.by_channel:
                nursery.start_soon(work, events.clone(), mine)
            await conversation.write()
        await trio.testing.wait_all_tasks_blocked()
        try:
            while True:  # what has come twice
                held.by_channel[0].append(events.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            pass
    return held
