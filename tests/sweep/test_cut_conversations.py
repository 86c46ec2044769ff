"""Conversations of every kind, cut after every byte: each event comes once, nothing hangs, nothing is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any, Literal

import pytest
import trio
import trio.testing

from tests.support.conversations import KINDS, READER, World, hold, world
from tests.support.leaks import assert_nothing_is_left
from tests.support.world import Canceller, Moment, every_moment
from trio_esdb import ESDBClient, EventChannel
from trio_esdb.testing import Connection

Side = Literal["client", "server"]
every_kind = pytest.mark.parametrize("kind", KINDS)
both_sides = pytest.mark.parametrize("to", ["client", "server"])


@pytest.fixture(name="world")
async def _world() -> AsyncIterator[World]:
    async with world() as made:
        yield made


def bytes_of(connection: Connection, to: Side) -> int:
    return connection.bytes_to_client if to == "client" else connection.bytes_to_server


async def length(world: World, kind: str, to: Side) -> int:
    """How many bytes go to this side in the conversation when nothing happens."""
    conversation = await KINDS[kind](world)
    async with ESDBClient(READER, connect=world.network.connect) as reader:
        connection = world.network.connections[-1]
        before = bytes_of(connection, to)
        conversation.check(await hold(conversation, reader, channels=1))
        return bytes_of(connection, to) - before


async def cut_at(world: World, kind: str, to: Side, at: int, channels: int, *, end: Any = "reset", **more: Any) -> int:
    """Hold a conversation whose connection is cut there; how many connections it took."""
    conversation = await KINDS[kind](world)
    before = len(world.network.connections)
    async with ESDBClient(READER, connect=world.network.connect) as reader:
        world.network.connections[-1].cut_after(at, to=to, end=end)
        conversation.check(await hold(conversation, reader, channels=channels, **more))
        await assert_nothing_is_left(reader)
    return len(world.network.connections) - before


PARTS = 4
"""A test is about every fourth cut, because a single test has little time."""


def cuts(size: int, channels: int, part: int) -> range:
    """Every byte: one half of them with one channel, the other with several."""
    return range(2 * part + (channels > 1), size, 2 * PARTS)


@every_kind
@both_sides
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("part", range(PARTS))
async def test_a_connection_that_is_cut(world: World, kind: str, to: Side, channels: int, part: int) -> None:
    size = await length(world, kind, to)
    await trio.testing.wait_all_tasks_blocked()
    tasks = trio.lowlevel.current_statistics().tasks_living
    taken = [await cut_at(world, kind, to, at, channels) for at in cuts(size, channels, part)]
    await trio.testing.wait_all_tasks_blocked()
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert sum(taken) > len(taken) * 1.5  # nearly all cuts have met the conversation


class Impatient:
    """Receives, cancelled at the first step, at the second and so on, until something has come."""

    def __init__(self, moment: Moment) -> None:
        self.cancelled = 0
        self._moment = moment

    async def __call__(self, events: EventChannel[Any]) -> Any:
        task = trio.lowlevel.current_task()
        for step in count(1):
            with trio.CancelScope() as scope:
                canceller = Canceller(task, scope, step, self._moment)
                trio.lowlevel.add_instrument(canceller)
                try:
                    return await events.receive()
                finally:
                    trio.lowlevel.remove_instrument(canceller)
            self.cancelled += 1
        raise AssertionError


@every_kind
@every_moment
@pytest.mark.parametrize("channels", [1, 3])
async def test_a_connection_that_is_cut_while_receives_are_cancelled(
    world: World, kind: str, moment: Moment, channels: int
) -> None:
    receive = Impatient(moment)
    size = await length(world, kind, "client")
    for part in range(6):
        await cut_at(world, kind, "client", size * part // 6 + channels, channels, receive=receive)
    await cut_at(world, kind, "server", 60, channels, receive=receive)
    assert receive.cancelled > 6


@every_kind
@pytest.mark.parametrize("end", ["close", "half-open", "hold"])
async def test_other_ends_of_a_connection(world: World, kind: str, end: Any) -> None:
    """An orderly one, and those that only time tells."""
    size = await length(world, kind, "client")
    for part in range(8):
        await cut_at(world, kind, "client", size * part // 8, 1 + part % 2 * 2, end=end)
