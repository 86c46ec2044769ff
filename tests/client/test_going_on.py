"""Reads whose call is lost and that go on: from where, with what is left of their limit, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from tests.client.test_resumption import LOST, lost, start_of
from tests.support.scripted import (
    Script,
    Scripted,
    Seen,
    event,
    fails,
    goes_on,
    last_position,
    linked,
    not_found,
    recorded,
    says,
    silence,
)
from trio_esdb import (
    CallResumed,
    Checkpoint,
    ConnectionEvent,
    DeadlineExceededError,
    ESDBClient,
    StreamDeletedError,
    StreamNotFoundError,
    UnavailableError,
)
from trio_esdb._convert import NO_LIMIT
from trio_esdb._wire import Status


def in_turn(*scripts: Script) -> Script:
    """The first call gets the first script, and so on; the last is for all further calls."""
    calls = 0

    async def run(seen: Seen) -> Any:
        nonlocal calls
        calls += 1
        return await scripts[min(calls, len(scripts)) - 1](seen)

    return run


def asked(server: Scripted) -> list[tuple[Any, int | None]]:
    """Where the calls began, and how many events they were to give."""
    return [(start_of(seen.read), seen.read.count) for seen in server.seen]


async def numbers(events: Any) -> list[int]:
    return [each.stream_position async for each in events]


async def test_a_stream_forwards(client: ESDBClient, server: Scripted) -> None:
    server.read = in_turn(lost(event(3), event(4)), lost(), says(event(5), event(6)))
    async with client.read_stream_events("s", 3) as events:
        assert await numbers(events) == [3, 4, 5, 6]
        assert events.resumptions == 2
    assert asked(server) == [(3, NO_LIMIT), (5, NO_LIMIT), (5, NO_LIMIT)]


async def test_a_stream_backwards(client: ESDBClient, server: Scripted) -> None:
    """From the end, which is pinned by the first event. After event 0 there is nothing left to ask for."""
    server.read = in_turn(lost(event(2), event(1)), lost(event(0)))
    async with client.read_stream_events("s", backwards=True) as events:
        assert await numbers(events) == [2, 1, 0]
        with pytest.raises(trio.EndOfChannel):
            await events.receive()
    assert asked(server) == [("end", NO_LIMIT), (0, NO_LIMIT)]


async def test_all_events_forwards(client: ESDBClient, server: Scripted) -> None:
    """The event at the position is given again, and dropped; if it is gone, no other one is."""
    server.read = in_turn(lost(event(0), event(1, prepare=33)), lost(event(1, prepare=33), event(2)), says(event(3)))
    async with client.read_all_events() as events:
        assert await numbers(events) == [0, 1, 2, 3]
    assert [start for start, _ in asked(server)] == ["start", (150, 33), (250, 250)]


async def test_all_events_backwards(client: ESDBClient, server: Scripted) -> None:
    server.read = in_turn(lost(event(9), event(8)), says(event(7)))
    async with client.read_all_events(Checkpoint(1000, 7), backwards=True) as events:
        assert await numbers(events) == [9, 8, 7]
    assert [start for start, _ in asked(server)] == [(1000, 7), (850, 850)]


@pytest.mark.parametrize(
    ("arguments", "scripts", "expected"),
    [
        ({}, [lost(event(0), event(1)), says(event(2))], [("start", 3), (2, 1)]),
        ({"backwards": True}, [lost(event(9), event(8)), says(event(7))], [("end", 3), (7, 1)]),
        ({}, [lost(event(0), event(1), event(2))], [("start", 3)]),
        ({}, [lost(), says(event(0), event(1), event(2))], [("start", 3), ("start", 3)]),
    ],
)
async def test_what_is_left_of_a_limit(
    client: ESDBClient, server: Scripted, arguments: dict[str, Any], scripts: list[Script], expected: list[Any]
) -> None:
    """If that is nothing, there is no call."""
    server.read = in_turn(*scripts)
    async with client.read_stream_events("s", limit=3, **arguments) as events:
        assert len(await numbers(events)) == 3
    assert asked(server) == expected


@pytest.mark.parametrize("again", [True, False], ids=["given again", "scavenged"])
async def test_what_is_left_of_the_limit_of_a_read_of_all(client: ESDBClient, server: Scripted, again: bool) -> None:
    first = [event(1)] if again else [event(2), event(3), event(4)]
    server.read = in_turn(lost(event(0), event(1)), says(*first, event(5), event(6)))
    async with client.read_all_events(limit=4) as events:
        assert await numbers(events) == ([0, 1, 5, 6] if again else [0, 1, 2, 3])
    assert asked(server)[1] == ((150, 150), 3)


async def test_links(client: ESDBClient, server: Scripted) -> None:
    """The place is that of the link, also if it leads nowhere."""
    link = recorded(4, "links", type="$>")
    server.read = in_turn(
        lost(linked(link, recorded(70, "s"))), lost(linked(recorded(5, "links", type="$>"), None)), says()
    )
    async with client.read_stream_events("links", resolve_links=True) as events:
        assert [each.original.stream_position async for each in events] == [4, 5]
    assert [start for start, _ in asked(server)] == ["start", 5, 6]
    assert all(seen.read.resolve_links for seen in server.seen)


async def test_the_last_position_and_a_stream_that_is_gone(client: ESDBClient, server: Scripted) -> None:
    server.read = in_turn(lost(), says(event(5), last_position(5)))
    assert await client.get_stream_position("s") == 5
    server.read = in_turn(lost(event(0)), says(not_found()))
    async with client.read_stream_events("s") as events:
        assert (await events.receive()).stream_position == 0
        with pytest.raises(StreamNotFoundError):
            await events.receive()
    gone = fails(Status.FAILED_PRECONDITION, "deleted", exception="stream-deleted")
    server.read = in_turn(lost(event(0)), gone)
    with pytest.raises(StreamDeletedError):
        await client.get_stream_events("s")


async def test_ten_seconds_without_progress(client: ESDBClient, server: Scripted) -> None:
    """Then the error is raised, after what had come. Progress begins it anew."""
    server.read = in_turn(*[lost(event(n)) for n in range(50)], LOST)
    began = trio.current_time()
    async with client.read_stream_events("s") as events:
        got = [(await events.receive()).stream_position for _ in range(50)]
        with pytest.raises(UnavailableError, match="gone") as caught:
            await events.receive()
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await events.receive()
            with pytest.raises(UnavailableError):
                events.receive_nowait()
    assert got == list(range(50))
    assert 7 < trio.current_time() - began < 11
    assert "tried" in str(caught.value)


async def test_no_first_answer(client: ESDBClient, server: Scripted) -> None:
    """The call is reset after five seconds and sent again, over another connection."""
    server.read = in_turn(silence, says(event(0)))
    began = trio.current_time()
    assert [e.stream_position for e in await client.get_stream_events("s")] == [0]
    assert trio.current_time() - began == pytest.approx(5, abs=0.1)
    assert len(server.links) == 2
    server.read = silence
    began = trio.current_time()
    with pytest.raises(UnavailableError, match="no answer within 5 seconds"):
        await client.get_stream_events("s")
    assert 10 <= trio.current_time() - began < 16


async def test_no_first_answer_while_nobody_waited(client: ESDBClient, server: Scripted) -> None:
    """Whoever waits after the time finds out, at once."""
    server.read = in_turn(silence, says(event(0)))
    async with client.read_stream_events("s") as events:
        await trio.sleep(60)
        assert len(server.seen) == 1
        began = trio.current_time()
        assert await numbers(events) == [0]
        assert trio.current_time() - began < 1
    assert len(server.seen) == 2


async def test_no_first_answer_while_several_wait(client: ESDBClient, server: Scripted) -> None:
    """One of them has the read go on, and each gets an event."""
    server.read = in_turn(silence, says(event(0), event(1)))
    got: list[int] = []

    async def receive() -> None:
        got.append((await events.receive()).stream_position)

    began = trio.current_time()
    async with client.read_stream_events("s") as events, trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        nursery.start_soon(receive)
    assert sorted(got) == [0, 1]
    assert trio.current_time() - began < 6
    assert len(server.seen) == 2


async def test_a_filter_may_take_its_time(client: ESDBClient, server: Scripted) -> None:
    async def slow(seen: Seen) -> None:
        await trio.sleep(60)
        await seen.send(event(0))

    server.read = slow
    async with client.read_all_events(filter_include=["Rare"]) as events:
        assert await numbers(events) == [0]
    assert len(server.seen) == 1


async def test_later_answers_may_take_their_time(client: ESDBClient, server: Scripted) -> None:
    async def slow(seen: Seen) -> None:
        for number in range(3):
            await seen.send(event(number))
            await trio.sleep(60)

    server.read = slow
    async with client.read_stream_events("s") as events:
        assert await numbers(events) == [0, 1, 2]
    assert len(server.seen) == 1


async def test_without_repetition_it_is_one_call(client: ESDBClient, server: Scripted) -> None:
    server.read = lost(event(0))
    async with client.read_stream_events("s", retry=False) as events:
        assert (await events.receive()).stream_position == 0
        with pytest.raises(UnavailableError, match="gone"):
            await events.receive()
    assert len(server.seen) == 1


async def test_the_scope_of_a_receive_is_not_that_of_the_read(client: ESDBClient, server: Scripted) -> None:
    """The server is told of the scope in which the block was entered, also by a call that goes on."""
    server.read = in_turn(lost(event(0)), goes_on(event(1)))
    began = trio.current_time()
    with trio.move_on_after(50):
        async with client.read_stream_events("s") as events:
            await events.receive()
            with trio.move_on_after(1):
                await events.receive()
            assert [seen.call.deadline for seen in server.seen] == pytest.approx([began + 50] * 2, abs=0.01)


async def test_the_timeout_holds_while_it_goes_on(client: ESDBClient, server: Scripted) -> None:
    server.read = in_turn(lost(event(0)), LOST)
    began = trio.current_time()
    with pytest.raises(DeadlineExceededError, match=r"the last failure: .*gone"):
        await client.get_stream_events("s", timeout=3)
    assert trio.current_time() - began == pytest.approx(3)


async def test_it_can_be_observed(client: ESDBClient, server: Scripted) -> None:
    server.read = in_turn(lost(event(0)), says(event(1)))
    async with client.connection_events() as listener:
        await client.get_stream_events("s")
        resumed: ConnectionEvent = await anext(listener)
        while not isinstance(resumed, CallResumed):
            resumed = await anext(listener)
    assert (resumed.address, resumed.doing) == ("node-1:2113", "reading stream 's'")
    assert "gone" in resumed.cause
