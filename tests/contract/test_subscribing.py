"""Catch-up subscriptions: what was recorded, then what is being recorded."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.events import ANY, ids, kinds, numbers, own, some, take, take_own, take_until_dropped, written
from tests.support.versions import CaughtUpIs, Server
from trio_esdb import (
    CaughtUp,
    Checkpoint,
    ESDBClient,
    EventChannel,
    InvalidPositionError,
    NewEvent,
    RecordedEvent,
    StreamDeletedError,
    UnimplementedError,
)


async def test_a_stream_from_its_beginning(client: ESDBClient, stream: str) -> None:
    events = some(6)
    await client.append_events(stream, None, events[:3])
    async with client.subscribe_stream_events(stream) as channel:
        assert channel.subscription_id
        assert ids(await take(channel, 3)) == ids(events[:3])
        await client.append_events(stream, 2, events[3:])
        got = await take(channel, 3)
        assert ids(got) == ids(events[3:])
        assert numbers(got) == [3, 4, 5]
        with pytest.raises(trio.WouldBlock):
            channel.receive_nowait()


async def test_a_stream_after_a_position(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some(5))
    async with client.subscribe_stream_events(stream, 2) as events:
        assert numbers(await take(events, 2)) == [3, 4]
    async with client.subscribe_stream_events(stream, 0) as events:
        assert numbers(await take(events, 4)) == [1, 2, 3, 4]
    async with client.subscribe_stream_events(stream, 4) as events:
        await client.append_events(stream, 4, some())
        assert numbers(await take(events, 1)) == [5]


async def test_a_position_beyond_the_end(client: ESDBClient, stream: str) -> None:
    """Nothing comes until the stream has got there."""
    await client.append_events(stream, None, some(2))
    async with client.subscribe_stream_events(stream, 4) as events:
        await client.append_events(stream, 1, some(6))
        assert numbers(await take(events, 3)) == [5, 6, 7]


async def test_a_stream_from_its_end(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some(3))
    async with client.subscribe_stream_events(stream, from_end=True) as events:
        await client.append_events(stream, 2, some(2))
        assert numbers(await take(events, 2)) == [3, 4]


async def test_a_stream_that_does_not_exist_yet(client: ESDBClient, stream: str) -> None:
    async with client.subscribe_stream_events(stream) as events:
        await client.append_events(stream, None, some(2))
        assert numbers(await take(events, 2)) == [0, 1]


async def test_only_that_stream(client: ESDBClient, stream: str) -> None:
    async with client.subscribe_stream_events(stream) as events:
        await client.append_events(f"{stream}-other", None, some(3))
        await client.append_events(stream, None, some(2))
        got = await take(events, 2)
    assert {event.stream_name for event in got} == {stream}


async def test_caught_up(client: ESDBClient, server: Server, stream: str) -> None:
    told = server.caught_up is not CaughtUpIs.NEVER_TOLD
    caught_up = [CaughtUp] if told else []
    await client.append_events(stream, None, some(40))
    async with client.subscribe_stream_events(stream, include_caught_up=told) as events:
        await client.append_events(stream, 39, some())
        assert kinds(await take(events, 41 + len(caught_up))).count(RecordedEvent) == 41
        await client.append_events(stream, 40, some())
        assert kinds(await take(events, 1)) == [RecordedEvent]
    async with client.subscribe_stream_events(stream, include_caught_up=told) as events:
        assert kinds(await take(events, 42 + len(caught_up))) == [RecordedEvent] * 42 + caught_up
        await client.append_events(stream, 41, some())
        assert kinds(await take(events, 1)) == [RecordedEvent]
    async with client.subscribe_stream_events(stream, from_end=True, include_caught_up=told) as events:
        assert kinds(await take(events, len(caught_up))) == caught_up
        await client.append_events(stream, 42, some())
        assert kinds(await take(events, 1)) == [RecordedEvent]


async def test_servers_that_never_tell_it_are_not_asked_for_it(client: ESDBClient, server: Server, stream: str) -> None:
    """A subscription would wait for it for ever."""
    for subscription in (
        client.subscribe_stream_events(stream, include_caught_up=True),
        client.subscribe_all_events(include_caught_up=True),
    ):
        if server.caught_up is CaughtUpIs.NEVER_TOLD:
            with pytest.raises(UnimplementedError, match=r"include_caught_up needs a server of version 23\.10\.0"):
                await subscription.__aenter__()
        else:
            async with subscription:
                pass


async def test_caught_up_with_a_stream_that_does_not_exist(client: ESDBClient, server: Server, stream: str) -> None:
    told = server.caught_up is not CaughtUpIs.NEVER_TOLD
    async with client.subscribe_stream_events(stream, include_caught_up=told) as events:
        if server.caught_up is CaughtUpIs.TOLD:
            assert await events.receive() == CaughtUp()
        await client.append_events(stream, None, some(2))
        assert kinds(await take(events, 2)) == [RecordedEvent] * 2
        if server.caught_up is CaughtUpIs.TOLD_AFTER_AN_EVENT:
            assert await events.receive() == CaughtUp()
        await client.append_events(stream, 1, some())
        assert kinds(await take(events, 1)) == [RecordedEvent]


async def test_all_events(client: ESDBClient, stream: str) -> None:
    results = await written(client, stream, 3)
    async with client.subscribe_all_events(**own(stream)) as events:
        assert numbers(await take(events, 3)) == [0, 1, 2]
        await client.append_events(f"{stream}-2", None, some(2))
        got = await take(events, 2)
        assert {event.stream_name for event in got} == {f"{stream}-2"}
    async with client.subscribe_all_events(results[0], **own(stream)) as events:
        assert [event.commit_position for event in await take(events, 2)] == results[1:]
    for everything in ({}, {"filter_exclude": ()}):
        async with client.subscribe_all_events(results[0], **everything) as events:
            assert [event.commit_position for event in await take_own(events, stream, 2)] == results[1:]


async def test_all_events_from_the_end(client: ESDBClient, stream: str) -> None:
    await written(client, stream, 3)
    async with client.subscribe_all_events(from_end=True, **own(stream)) as events:
        await client.append_events(stream, 2, some(2))
        assert numbers(await take(events, 2)) == [3, 4]


async def test_all_events_unfiltered(client: ESDBClient, stream: str) -> None:
    """Also those that servers write."""
    async with client.subscribe_all_events(from_end=True, filter_exclude=()) as events:
        await client.append_events(stream, None, some())
        await client.set_stream_metadata(stream, {"a": 1})
        found = await take_own(events, stream, 2)
    assert [event.stream_name for event in found] == [stream, f"$${stream}"]


async def test_all_events_caught_up(client: ESDBClient, server: Server, stream: str) -> None:
    told = server.caught_up is not CaughtUpIs.NEVER_TOLD
    caught_up = [CaughtUp] if told else []
    await written(client, stream, 3)
    async with client.subscribe_all_events(include_caught_up=told, **own(stream)) as events:
        assert kinds(await take(events, 3 + len(caught_up))) == [RecordedEvent] * 3 + caught_up
        await client.append_events(stream, 2, some())
        assert kinds(await take(events, 1)) == [RecordedEvent]


async def test_a_position_that_is_no_events(client: ESDBClient, stream: str) -> None:
    result = (await written(client, stream, 2))[0]
    with pytest.raises(InvalidPositionError, match="subscribing to all events"):
        async with client.subscribe_all_events(result + 1) as events:
            await events.receive()


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"filter_include": ["{}Placed"]}, ["order-1 Placed", "bill.1 Placed"]),
        ({"filter_include": ["{}-order-.*"], "filter_by_stream_name": True}, ["order-1 Placed", "order-1 Paid"]),
        ({"filter_include": ["{}Pa"], "filter_by_prefix": True}, ["order-1 Paid", "bill.1 Paid"]),
        (
            {"filter_include": ["{}-bill."], "filter_by_prefix": True, "filter_by_stream_name": True},
            ["bill.1 Placed", "bill.1 Paid"],
        ),
    ],
)
async def test_filters(client: ESDBClient, prefix: str, filter: dict[str, Any], expected: list[str]) -> None:
    """What was recorded before and what is recorded afterwards is filtered alike."""

    async def write() -> None:
        for stream in ("order-1", "bill.1"):
            for type in ("Placed", "Paid"):
                await client.append_event(f"{prefix}-{stream}", ANY, NewEvent(f"{prefix}{type}", b"{}"))

    filter = {**filter, "filter_include": [text.format(prefix) for text in filter["filter_include"]]}
    await write()
    async with client.subscribe_all_events(**filter) as events:
        for _ in range(2):
            got = await take(events, 2)
            assert [f"{e.stream_name} {e.type}".replace(f"{prefix}-", "").replace(prefix, "") for e in got] == expected
            await write()


async def test_checkpoints(client: ESDBClient, stream: str) -> None:
    """They come though nothing matches, and one goes on from them without a gap."""
    begin = await client.append_event(stream, None, some()[0])
    async with client.subscribe_all_events(
        begin, include_checkpoints=True, filter_include=[f"Wanted-{stream}"], window_size=10
    ) as events:
        for first in range(0, 200, 20):
            await client.append_events(stream, first, some(20))
        checkpoints = await take(events, 5)
        assert all(isinstance(message, Checkpoint) for message in checkpoints)
        positions = [(c.commit_position, c.prepare_position) for c in checkpoints]
        assert positions == sorted(set(positions))
        assert positions[0][0] >= begin
    wanted = some(3, f"Wanted-{stream}")
    await client.append_events(stream, 200, wanted)
    for checkpoint in checkpoints:
        async with client.subscribe_all_events(checkpoint, filter_include=[f"Wanted-{stream}"]) as events:
            assert ids(await take(events, 3)) == ids(wanted)


async def test_going_on_from_an_event(client: ESDBClient, stream: str) -> None:
    """Subscription after subscription, each from where the last one ended: every event once."""
    await written(client, stream, 20)
    got: list[RecordedEvent] = []
    position: int | None = None
    while len(got) < 20:
        async with client.subscribe_all_events(position, **own(stream)) as events:
            got += await take(events, 3 if len(got) < 18 else 2)
        position = got[-1].commit_position
    assert numbers(got) == list(range(20))


async def test_many_subscribers_see_the_same(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some(50))
    ready = 0
    seen: list[list[int]] = []

    async def consume() -> None:
        nonlocal ready
        async with client.subscribe_stream_events(stream) as events:
            ready += 1
            seen.append(numbers(await take(events, 100)))

    async with trio.open_nursery() as nursery:
        for _ in range(120):
            nursery.start_soon(consume)
        for number in range(49, 99):
            await client.append_events(stream, number, some())
    assert seen == [list(range(100))] * 120
    assert ready == 120


async def test_a_consumer_that_stops_for_a_while(client: ESDBClient, server: Server, stream: str) -> None:
    """Everything comes, each once, in order; where the server ends the subscription, from a second one."""
    async with client.subscribe_stream_events(stream) as events:
        for number in range(80):
            await client.append_event(stream, number - 1 if number else None, NewEvent("Large", bytes(60_000)))
        got = numbers(await take_until_dropped(events, 80))
        if len(got) == 80:
            await client.append_events(stream, 79, some())
            assert numbers(await take(events, 1)) == [80]
    if server.drops_slow_consumers and len(got) < 80:
        async with client.subscribe_stream_events(stream, got[-1] if got else None) as events:
            got += numbers(await take(events, 80 - len(got)))
    assert got == list(range(80))


async def test_a_burst_beyond_the_servers_buffer(client: ESDBClient, server: Server, stream: str) -> None:
    async with client.subscribe_stream_events(stream) as events:
        for first in range(0, 1000, 250):
            await client.append_events(stream, first - 1 if first else None, some(250))
        got = numbers(await take_until_dropped(events, 1000))
    if server.drops_slow_consumers and len(got) < 1000:
        async with client.subscribe_stream_events(stream, got[-1] if got else None) as events:
            got += numbers(await take(events, 1000 - len(got)))
    assert got == list(range(1000))


async def test_several_tasks_share_a_subscription(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some(100))
    got: list[int] = []

    async def work(channel: EventChannel[RecordedEvent]) -> None:
        async with channel:
            while len(got) < 150:
                with trio.move_on_after(0.5):
                    got.append((await channel.receive()).stream_position)

    async with client.subscribe_stream_events(stream) as events, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(work, events.clone())
        await client.append_events(stream, 99, some(50))
    assert Counter(got) == Counter(range(150))


async def test_links(client: ESDBClient, server: Server, stream: str) -> None:
    """Resolved before and after it has caught up; a lost one comes as it is."""
    await client.append_events(stream, None, some(2))
    links = f"{stream}-links"
    told = server.caught_up is not CaughtUpIs.NEVER_TOLD

    async def link(*targets: str) -> None:
        await client.append_events(links, ANY, [NewEvent("$>", target.encode()) for target in targets])

    await link(f"0@{stream}", f"9@{stream}")
    async with client.subscribe_stream_events(links, resolve_links=True, include_caught_up=told) as events:
        first, lost = await take(events, 2)
        if told:
            assert await events.receive() == CaughtUp()
        await link(f"1@{stream}", f"9@{stream}")
        second, lost_again = await take(events, 2)
    for event, number in ((first, 0), (second, 1)):
        assert (event.stream_name, event.stream_position) == (stream, number)
        assert event.is_resolved_event
        assert event.original.stream_name == links
    assert lost.is_link_event
    assert lost_again.is_link_event
    async with client.subscribe_stream_events(links) as events:
        assert [event.type for event in await take(events, 4)] == ["$>"] * 4


async def test_a_tombstone_ends_it(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some())
    async with client.subscribe_stream_events(stream) as events:
        await events.receive()
        await client.tombstone_stream(stream, 0)
        last = await events.receive()
        assert (last.type, last.stream_position) == ("$streamDeleted", 2**63 - 1)
        with pytest.raises(StreamDeletedError):
            await events.receive()
    with pytest.raises(StreamDeletedError):
        async with client.subscribe_stream_events(stream):
            pytest.fail("it subscribed")


async def test_a_deletion_is_not_seen(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some(2))
    async with client.subscribe_stream_events(stream) as events:
        await take(events, 2)
        await client.delete_stream(stream, 1)
        await client.append_events(stream, ANY, some())
        assert numbers(await take(events, 1)) == [2]
    async with client.subscribe_stream_events(stream) as events:
        assert numbers(await take(events, 1)) == [2]


async def test_the_writer_and_the_reader_in_one_program(client: ESDBClient, stream: str) -> None:
    """A program reads its own writes: the position of an append is where its subscription gets to."""
    done = trio.Event()
    result = 0

    async def follow() -> None:
        async with client.subscribe_all_events(**own(stream)) as events:
            async for event in events:
                if event.commit_position == result:
                    done.set()
                    return

    async with trio.open_nursery() as nursery:
        result = await client.append_events(stream, None, some(10))
        nursery.start_soon(follow)
        await done.wait()


async def test_subscriptions_left_and_taken_up_again(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some(10))
    for count in range(50):
        async with client.subscribe_stream_events(stream) as events:
            assert numbers(await take(events, count % 10)) == list(range(count % 10))
    assert len(await client.get_stream_events(stream)) == 10
