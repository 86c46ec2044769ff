"""Subscriptions to nodes that do things while they are interrupted, and to servers of other versions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.conversations import KINDS, READER, WRITER, World, hold
from tests.support.imitation import Imitation
from trio_esdb import (
    Checkpoint,
    ESDBClient,
    NewEvent,
    PositionLostError,
    StreamDeletedError,
    StreamState,
)
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing import MemoryNetwork

ADDRESS = "node.example", 2113
URI = "esdb://node.example:2113?tls=false"


def new(type: str = "Happened") -> NewEvent:
    return NewEvent(type, b"{}")


class Rig:
    """A node, a reader that is interrupted and a writer that is not."""

    def __init__(self, network: MemoryNetwork, node: EmbeddedNode) -> None:
        self.network = network
        self.node = node

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve a connection by the node that is there now."""
        await self.node.serve_stream(stream)

    def client(self) -> ESDBClient:
        return ESDBClient(URI, connect=self.network.connect)

    def writer(self) -> ESDBClient:
        return ESDBClient("esdb://writer?tls=false", connect=self.node.connect)

    async def interrupted(self, meanwhile: Callable[[ESDBClient], Awaitable[Any]]) -> None:
        """Break the reader's connections, and let something happen before it can connect again."""
        route = self.network.to(*ADDRESS)
        route.refuse()
        route.reset()
        async with self.writer() as writer:
            await meanwhile(writer)
        route.accept()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    network = MemoryNetwork()
    async with EmbeddedNode() as node:
        rig = Rig(network, node)
        async with network.listen(rig.serve, *ADDRESS):
            yield rig


async def fill(rig: Rig, count: int) -> None:
    async with rig.writer() as writer:
        await writer.append_events("s", StreamState.ANY, [new() for _ in range(count)])


async def test_a_stream_that_was_truncated_meanwhile(rig: Rig) -> None:
    """What the server does not show any more is not seen; what it still shows is, once."""

    async def truncate(writer: ESDBClient) -> None:
        await writer.append_events("s", 2, [new() for _ in range(5)])
        await writer.set_stream_metadata("s", {"$tb": 6})

    await fill(rig, 3)
    async with rig.client() as client, client.subscribe_stream_events("s") as events:
        assert [(await events.receive()).stream_position for _ in range(3)] == [0, 1, 2]
        await rig.interrupted(truncate)
        assert [(await events.receive()).stream_position for _ in range(2)] == [6, 7]


async def test_a_stream_that_was_deleted_meanwhile(rig: Rig) -> None:
    """Its numbers go on."""

    async def delete(writer: ESDBClient) -> None:
        await writer.delete_stream("s", 2)

    await fill(rig, 3)
    async with rig.client() as client, client.subscribe_stream_events("s") as events:
        for _ in range(3):
            await events.receive()
        await rig.interrupted(delete)
        with trio.move_on_after(3):
            await events.receive()
        assert events.resumptions == 1
        await fill(rig, 1)
        assert (await events.receive()).stream_position == 3


async def test_a_stream_that_was_tombstoned_meanwhile(rig: Rig) -> None:
    async def tombstone(writer: ESDBClient) -> None:
        await writer.tombstone_stream("s", 2)

    await fill(rig, 3)
    async with rig.client() as client:
        async with client.subscribe_stream_events("s") as events:
            for _ in range(3):
                await events.receive()
            await rig.interrupted(tombstone)
            for _ in range(2):
                with pytest.raises(StreamDeletedError):
                    await events.receive()


@pytest.mark.parametrize("kind", ["all", "checkpoints", "stream", "shorter stream", "from the end"])
async def test_a_database_that_was_replaced(rig: Rig, kind: str) -> None:
    """As when a node without a disk is started again."""
    subscriptions: dict[str, Callable[[ESDBClient], Any]] = {
        "all": lambda client: client.subscribe_all_events(),
        "checkpoints": lambda client: client.subscribe_all_events(
            filter_include=["Never"], include_checkpoints=True, window_size=1
        ),
        "from the end": lambda client: client.subscribe_all_events(from_end=True),
    }
    open_ = subscriptions.get(kind, lambda client: client.subscribe_stream_events("s"))
    await fill(rig, 20)
    async with rig.client() as client, open_(client) as events:
        if kind == "checkpoints":
            while not isinstance(message := await events.receive(), Checkpoint) or message.commit_position < 2000:
                pass
        elif kind != "from the end":
            for _ in range(20):
                await events.receive()
        route = rig.network.to(*ADDRESS)
        route.refuse()
        route.reset()
        await trio.sleep(1)
        async with EmbeddedNode() as rig.node:
            if kind == "shorter stream":
                await fill(rig, 1)
            route.accept()
            for _ in range(2):
                with pytest.raises(PositionLostError):
                    await to_the_end(events)


async def to_the_end(events: Any) -> None:
    """Checkpoints that had come are given first."""
    async for message in events:
        assert isinstance(message, Checkpoint)


async def test_a_position_that_is_not_there_yet(rig: Rig) -> None:
    """It is waited for, before and after an interruption."""

    async def write(writer: ESDBClient) -> None:
        await writer.append_events("s", 2, [new() for _ in range(4)])

    await fill(rig, 3)
    async with rig.client() as client, client.subscribe_stream_events("s", 5) as events:
        await rig.interrupted(write)
        assert (await events.receive()).stream_position == 6
        assert events.resumptions == 1


@asynccontextmanager
async def world_of(version: str, nursery: trio.Nursery) -> AsyncIterator[World]:
    """As ``conversations.world``, with a server of another version."""
    network = MemoryNetwork()
    async with EmbeddedNode() as node:
        server = Imitation(nursery, node, version)
        async with (
            network.listen(server._serve, "reader.example", 2113),
            network.listen(node, "writer.example", 2113),
            ESDBClient(WRITER, connect=network.connect) as writer,
        ):
            yield World(network, node, writer)


@pytest.mark.parametrize("version", ["21.10.11", "23.10.6", "26.1.0"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "subscription" in kind or kind == "stream"])
async def test_servers_of_other_versions(nursery: trio.Nursery, version: str, kind: str) -> None:
    async with world_of(version, nursery) as world:
        for part in range(12):
            conversation = await KINDS[kind](world)
            async with ESDBClient(READER, connect=world.network.connect) as reader:
                world.network.connections[-1].cut_after(100 * part + part, to="client")
                conversation.check(await hold(conversation, reader, channels=1 + part % 2 * 2))
