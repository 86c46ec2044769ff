"""Subscriptions and reads of every kind while a cluster loses its leader: nothing is lost, nothing comes twice."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from random import Random

import pytest
import trio

from trio_esdb import (
    AbortedError,
    DeadlineExceededError,
    ESDBClient,
    EventChannel,
    NewEvent,
    RecordedEvent,
    ServerError,
    StreamState,
)
from trio_esdb.testing import EmbeddedCluster

Fault = Callable[[EmbeddedCluster], Awaitable[None]]
STREAM, LINKS, LONG = "orders", "links", "long"


async def kill(cluster: EmbeddedCluster) -> None:
    assert cluster.leader is not None
    cluster.leader.kill()


async def kill_and_restart(cluster: EmbeddedCluster) -> None:
    leader = cluster.leader
    assert leader is not None
    leader.kill()
    await trio.sleep(1)
    leader.restart()


async def terminate(cluster: EmbeddedCluster) -> None:
    assert cluster.leader is not None
    cluster.leader.terminate()


async def freeze(cluster: EmbeddedCluster) -> None:
    leader = cluster.leader
    assert leader is not None
    leader.freeze()
    await trio.sleep(12)
    leader.wake()


async def resign(cluster: EmbeddedCluster) -> None:
    assert cluster.leader is not None
    cluster.leader.resign()


async def part(cluster: EmbeddedCluster) -> None:
    """The old leader is parted from the others, not from the client."""
    assert cluster.leader is not None
    cluster.partition(cluster.leader)
    await trio.sleep(12)
    cluster.heal()


async def lose_quorum(cluster: EmbeddedCluster) -> None:
    followers = cluster.followers
    for node in followers:
        node.kill()
    await trio.sleep(2)
    for node in followers:
        node.restart()


FAULTS: list[Fault] = [kill, kill_and_restart, terminate, freeze, resign, part, lose_quorum]


class Readers:
    """Every kind of subscription, and a long read; each notes the numbers in the events that it was given."""

    def __init__(self, client: ESDBClient) -> None:
        self.client = client
        self.found: dict[str, list[str]] = {}

    async def run(self, nursery: trio.Nursery) -> None:
        """Begin all of them."""
        client = self.client
        kinds = {
            "stream": client.subscribe_stream_events(STREAM),
            "stream from its end": client.subscribe_stream_events(STREAM, from_end=True),
            "all": client.subscribe_all_events(),
            "all from its end": client.subscribe_all_events(from_end=True),
            "filtered": client.subscribe_all_events(
                filter_include=["Placed"], include_checkpoints=True, window_size=1, checkpoint_interval_multiplier=1
            ),
            "links": client.subscribe_stream_events(LINKS, resolve_links=True),
            "clones": client.subscribe_stream_events(STREAM),
        }
        for name, subscription in kinds.items():
            self.found[name] = []
            await nursery.start(self._follow, name, subscription)
        nursery.start_soon(self._read)

    async def _follow(self, name: str, subscription: object, task_status: trio.TaskStatus[None]) -> None:
        async with subscription as events:  # type: ignore[attr-defined]
            task_status.started()
            async with trio.open_nursery() as nursery:
                if name == "clones":
                    nursery.start_soon(self._take, name, events.clone())
                await self._take(name, events)

    async def _take(self, name: str, events: EventChannel[RecordedEvent]) -> None:
        async for event in events:
            if isinstance(event, RecordedEvent) and event.type == "Placed":
                self.found[name].append(event.data.decode())

    async def _read(self) -> None:
        """Read something long, slowly, so that the trouble comes in the middle."""
        self.found["read"] = []
        async with self.client.read_stream_events(LONG) as events:
            async for event in events:
                self.found["read"].append(event.data[:3].decode())
                await trio.sleep(0.05)
        self.found["read"].append("end")


async def write(client: ESDBClient, done: list[str], until: float) -> None:
    """Append numbered events, each once. What may have been done is looked for, as a program would."""
    position: int | None = None
    number = 0
    while trio.current_time() < until:
        try:
            await client.append_event(STREAM, position, NewEvent("Placed", f"{number:04}".encode()))
        except (DeadlineExceededError, AbortedError):
            position = await where(client)
            number = 0 if position is None else position + 1
            continue
        done.append(f"{number:04}")
        position = number
        number += 1
        with contextlib.suppress(ServerError):  # it may have been done, so it is not done again
            await client.append_event(LINKS, StreamState.ANY, NewEvent("$>", f"{position}@{STREAM}".encode()))
        await trio.sleep(0.25)


async def where(client: ESDBClient) -> int | None:
    while True:
        try:
            return await client.get_stream_position(STREAM)
        except ServerError:
            await trio.sleep(0.5)


@pytest.mark.parametrize("preference", ["leader", "follower"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_cluster_with_trouble(fault: Fault, preference: str) -> None:
    async with EmbeddedCluster(random=Random(1)) as cluster:
        uri = f"{cluster.uri}{'&' if '?' in cluster.uri else '?'}nodePreference={preference}"
        async with (
            ESDBClient(uri, connect=cluster.network.connect, random=Random(1)) as client,
            trio.open_nursery() as nursery,
        ):
            await client.append_events(
                LONG, None, [NewEvent("Long", f"{n:03}".encode() + bytes(3000)) for n in range(300)]
            )
            await trio.sleep(1)  # until all nodes have it
            readers = Readers(client)
            await readers.run(nursery)
            done: list[str] = []
            with trio.fail_after(300):
                async with trio.open_nursery() as writing:
                    writing.start_soon(write, client, done, trio.current_time() + 24)
                    await trio.sleep(4)
                    await fault(cluster)
            await trio.sleep(30)
            nursery.cancel_scope.cancel()
    found = readers.found
    expected = found["stream"]
    assert [int(number) for number in expected] == list(range(len(expected))), "in order, and each once"
    assert len(done) > 30
    assert set(done) <= set(expected), "what was acknowledged is there"
    for kind in ("stream from its end", "all", "all from its end", "filtered"):
        assert found[kind] == expected, kind
    assert sorted(found["clones"]) == expected
    assert found["links"] == [number for number in expected if number in found["links"]]
    assert len(found["links"]) >= len(expected) - 5
    assert found["read"] == [f"{number:03}" for number in range(300)] + ["end"]
