"""What a read or subscription has received, apart from the connection that it came by."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.scripted import Scripted, Seen, caught_up, confirmed, event, goes_on, says
from trio_esdb import CaughtUp, ESDBClient, EventChannel
from trio_esdb._client._feed import Feed
from trio_esdb._wire import Outcome, Status
from trio_esdb._wire._frames import Code


def feed_of(events: EventChannel[Any]) -> Feed:
    return events._feed


async def cut(seen: Seen) -> None:
    """Reset a call from the server's side."""
    await trio.testing.wait_all_tasks_blocked()
    seen.link.core.reset(seen.stream, Code.CANCEL)
    seen.link.wake()
    await trio.testing.wait_all_tasks_blocked()


def subscriptions(server: Scripted) -> list[Seen]:
    """The calls that subscribe; there are short reads between them."""
    return [seen for seen in server.seen if seen.read.subscription is not None]


def stream_of(count: int) -> Any:
    """A server that gives so many events, each at 100 * n + 50, from wherever it is asked to begin after."""

    async def run(seen: Seen) -> None:
        options = seen.read
        assert options.all is not None
        position = options.all.position
        if options.count is not None:
            return  # whether the position is there
        first = 0 if position is None else (position.commit_position - 50) // 100 + 1
        await seen.give(confirmed(), *(event(n) for n in range(first, count)))

    return run


async def test_what_comes_at_once_is_given_in_batches(client: ESDBClient, server: Scripted) -> None:
    """Up to 64 messages, in order."""
    server.read = says(*(event(n) for n in range(150)))
    async with client.read_stream_events("s") as events:
        await trio.testing.wait_all_tasks_blocked()
        batches = feed_of(events).batches
        assert events.statistics().current_buffer_used == 150
        sizes = [len(batch) async for _, _, batch in batches]
        assert sum(sizes) == 150
        assert max(sizes) == 64


async def test_whoever_waits_is_given_a_single_message(
    client: ESDBClient, server: Scripted, nursery: trio.Nursery
) -> None:
    """What is left after that is there for all, in one batch."""
    server.read = goes_on(confirmed())
    given: list[int] = []

    async def wait(channel: EventChannel[Any]) -> None:
        given.append((await channel.receive()).stream_position)

    async with client.subscribe_all_events() as events:
        for _ in range(3):
            nursery.start_soon(wait, events.clone())
        await trio.testing.wait_all_tasks_blocked()
        feed = feed_of(events)
        source = feed._source
        assert source is not None
        source.on_messages([event(n) for n in range(5)])
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(given) == [0, 1, 2]
        assert feed.waiting == 2
        assert [events.receive_nowait().stream_position for _ in range(2)] == [3, 4]


@pytest.mark.parametrize("taken", [0, 1, 70, 300])
async def test_a_call_is_replaced_while_its_clones_go_on(client: ESDBClient, server: Scripted, taken: int) -> None:
    """The new call begins after what was drawn last; nothing is lost, nothing comes twice."""
    server.read = stream_of(300)
    got: list[int] = []

    async def work(channel: EventChannel[Any]) -> None:
        async with channel:
            while True:
                got.append((await channel.receive()).stream_position)

    async with client.subscribe_all_events() as events:
        got += [(await events.receive()).stream_position for _ in range(taken)]
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(work, events.clone())
            for more in (330, 360):
                last = subscriptions(server)[-1]
                server.read = stream_of(more)
                await cut(last)
            nursery.cancel_scope.cancel()
        assert len(subscriptions(server)) == 3
        assert events.resumptions == 2
    assert Counter(got) == Counter(range(360))


async def test_what_a_lost_call_brought_is_given_first(client: ESDBClient, server: Scripted) -> None:
    server.read = stream_of(300)
    async with client.subscribe_all_events() as events:
        assert (await events.receive()).stream_position == 0
        await cut(server.seen[0])
        server.read = stream_of(301)
        for number in range(1, 300):
            assert events.receive_nowait().stream_position == number
        assert len(server.seen) == 1
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
        assert (await events.receive()).stream_position == 300


@pytest.mark.parametrize("overtaken", [True, False])
async def test_a_call_is_replaced_as_tasks_are_woken(client: ESDBClient, server: Scripted, overtaken: bool) -> None:
    """Two tasks were given an event each and have not run. If a later event was drawn, theirs are kept; else they are
    dropped, and the new call brings them again.
    """
    server.read = goes_on(confirmed())
    got: list[int] = []

    async def work(channel: EventChannel[Any]) -> None:
        async with channel:
            while True:
                got.append((await channel.receive()).stream_position)

    async with client.subscribe_all_events() as events, trio.open_nursery() as nursery:
        feed = feed_of(events)
        nursery.start_soon(work, events.clone())
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(work, events.clone())
        await trio.testing.wait_all_tasks_blocked()
        source = feed._source
        assert source is not None
        for number in range(3):
            source.on_messages([event(number)])
        if overtaken:
            got.append(events.receive_nowait().stream_position)
            assert got == [2]
        feed.settle()
        source.on_messages([event(3)])  # what was on its way is not taken any more
        feed.call_ended(Outcome(Status.UNAVAILABLE, "lost", lost=True))
        server.read = stream_of(6)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert Counter(got) == Counter(range(6))


async def test_a_message_without_a_place_overtakes_nothing(client: ESDBClient, server: Scripted) -> None:
    """CaughtUp is drawn before the task runs that was given the event before it: the new call brings that event, so the
    task must not have it from the old call as well.
    """
    server.read = goes_on(confirmed())
    got: list[Any] = []

    async def work(channel: EventChannel[Any]) -> None:
        async with channel:
            while True:
                got.append(await channel.receive())

    async with (
        client.subscribe_all_events(include_caught_up=True) as events,
        trio.open_nursery() as nursery,
    ):
        feed = feed_of(events)
        nursery.start_soon(work, events.clone())
        await trio.testing.wait_all_tasks_blocked()
        source = feed._source
        assert source is not None
        source.on_messages([event(0)])
        source.on_messages([caught_up()])
        got.append(events.receive_nowait())
        assert got == [CaughtUp()]
        feed.call_ended(Outcome(Status.UNAVAILABLE, "lost", lost=True))
        server.read = stream_of(2)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [each.stream_position for each in got[1:]] == [0, 1]


async def test_a_dropped_channel_is_reported_and_its_call_is_reset(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed(), event(0))
    channel = await client.subscribe_all_events().__aenter__()
    await channel.receive()
    with pytest.warns(ResourceWarning, match=r"EventChannel: subscribing to all events, open> was dropped"):
        del channel
    await server.seen[0].over.wait()
    assert server.seen[0].given_up


async def test_the_last_of_several_dropped_channels_is_reported(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed(), event(0))
    channel = await client.subscribe_all_events().__aenter__()
    clone = channel.clone()
    del channel
    with pytest.warns(ResourceWarning, match="was dropped"):
        del clone
    await server.seen[0].over.wait()


async def test_a_dropped_clone_leaves_the_others_open(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed(), event(0))
    async with client.subscribe_all_events() as events:
        clone = events.clone()
        del clone
        assert (await events.receive()).stream_position == 0
        await trio.testing.wait_all_tasks_blocked()
        assert events.statistics().open_receive_channels == 1


async def test_a_channel_may_be_dropped_when_its_call_is_over(client: ESDBClient, server: Scripted) -> None:
    """Warnings are errors here."""
    server.read = says(event(0))
    channel = await client.read_stream_events("s").__aenter__()
    assert [e.stream_position async for e in channel] == [0]
    del channel
    context = client.read_stream_events("s")
    async with context as events:
        del events  # the block keeps it
        await trio.testing.wait_all_tasks_blocked()
    del context
