"""The channel that reads and subscriptions are."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.counting import counted_steps
from tests.support.scripted import (
    Scripted,
    Seen,
    appended,
    caught_up,
    checkpoint,
    confirmed,
    event,
    fails,
    goes_on,
    says,
    silence,
)
from trio_esdb import ESDBClient, ESDBError, EventChannel, NewEvent, ProtocolError, RecordedEvent, ServerError
from trio_esdb._convert import ReadDecoder
from trio_esdb._wire import Status

MALFORMED = b"\x0a\xff"


def post(events: EventChannel[Any], *messages: bytes) -> None:
    """Messages come, in the middle of a task's turn."""
    source = events._feed._source
    assert source is not None
    source.on_messages(list(messages))


async def test_it_is_a_receive_channel(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(0))
    async with client.read_stream_events("s") as events:
        assert isinstance(events, EventChannel)
        assert isinstance(events, trio.abc.ReceiveChannel)


async def test_receive_waits(client: ESDBClient, server: Scripted) -> None:
    async def slow(seen: Seen) -> None:
        await trio.sleep(2)
        await seen.send(event(0))
        await trio.sleep(2)

    server.read = slow
    began = trio.current_time()
    async with client.read_stream_events("s") as events:
        assert (await events.receive()).stream_position == 0
        assert trio.current_time() - began == pytest.approx(2)
        with pytest.raises(trio.EndOfChannel):
            await events.receive()
        assert trio.current_time() - began == pytest.approx(4)


async def test_the_end_stays_the_end(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(0))
    async with client.read_stream_events("s") as events:
        await events.receive()
        for _ in range(2):
            with pytest.raises(trio.EndOfChannel):
                await events.receive()
            with pytest.raises(StopAsyncIteration):
                await anext(events)
        with pytest.raises(trio.EndOfChannel):
            events.receive_nowait()


async def test_receive_nowait(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(caught_up(), event(0), caught_up(), event(1), caught_up())
    async with client.read_stream_events("s") as events:
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
        await trio.testing.wait_all_tasks_blocked()
        assert events.receive_nowait().stream_position == 0
        assert events.receive_nowait().stream_position == 1
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()


async def test_statistics(client: ESDBClient, server: Scripted, nursery: trio.Nursery) -> None:
    server.read = goes_on(*(event(n) for n in range(100)))
    async with client.read_stream_events("s") as events:
        await trio.testing.wait_all_tasks_blocked()
        for taken in range(100):
            assert events.statistics().current_buffer_used == 100 - taken
            events.receive_nowait()

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await events.receive()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        statistics = events.statistics()
        assert (statistics.current_buffer_used, statistics.tasks_waiting_receive) == (0, 1)


async def test_a_cancelled_receive_loses_nothing(client: ESDBClient, server: Scripted) -> None:
    async def slow(seen: Seen) -> None:
        for number in range(5):
            await trio.sleep(1)
            await seen.send(event(number))

    server.read = slow
    numbers: list[int] = []
    async with client.read_stream_events("s") as events:
        while len(numbers) < 5:
            with trio.move_on_after(0.3):
                numbers.append((await events.receive()).stream_position)
    assert numbers == list(range(5))


async def test_a_receive_cancelled_as_the_event_comes_loses_nothing(client: ESDBClient, server: Scripted) -> None:
    """Both happen at the same moment, in either order."""

    async def slow(seen: Seen) -> None:
        for number in range(20):
            await trio.sleep(1)
            await seen.send(event(number))

    server.read = slow
    numbers: list[int] = []
    async with client.read_stream_events("s") as events:
        while len(numbers) < 20:
            with trio.move_on_after(1):
                numbers.append((await events.receive()).stream_position)
    assert numbers == list(range(20))


async def test_a_scope_that_is_cancelled_already_gets_nothing(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(0), event(1))
    async with client.read_stream_events("s") as events:
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            await events.receive()
        assert scope.cancelled_caught
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(events)
        assert scope.cancelled_caught
        assert [e.stream_position async for e in events] == [0, 1]


# -- leaving ----------------------------------------------------------------------------------------------------------


async def test_leaving_resets_the_call_at_once(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(event(0), event(1), event(2))
    began = trio.current_time()
    async with client.read_stream_events("s") as events:
        await events.receive()
    await server.seen[0].over.wait()
    assert server.seen[0].given_up
    assert server.open_calls == 0
    assert trio.current_time() == began
    for use in (events.receive(), anext(events)):
        with pytest.raises(trio.ClosedResourceError):
            await use
    with pytest.raises(trio.ClosedResourceError):
        events.receive_nowait()
    with pytest.raises(trio.ClosedResourceError):
        events.clone()


async def test_leaving_drops_what_had_come(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(*(event(n) for n in range(200)))
    async with client.read_stream_events("s") as events:
        await trio.testing.wait_all_tasks_blocked()
        await events.receive()
        assert events.statistics().current_buffer_used == 199
    assert events.statistics().current_buffer_used == 0


async def test_a_read_that_came_to_its_end_has_ended_whatever_becomes_of_the_client(
    client: ESDBClient, server: Scripted
) -> None:
    server.read = says(*(event(n) for n in range(3)))
    async with client.read_stream_events("s") as events:
        await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
        assert [received.stream_position async for received in events] == [0, 1, 2]
        with pytest.raises(trio.EndOfChannel):
            await events.receive()


async def test_two_tasks_that_open_the_same_read(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(event(0))
    reading = client.read_stream_events("s")
    refused = 0

    async def use() -> None:
        nonlocal refused
        try:
            async with reading as events:
                await events.receive()
        except ESDBError:
            refused += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use)
        nursery.start_soon(use)
    assert refused == 1
    await trio.testing.wait_all_tasks_blocked()
    assert server.open_calls == 0


async def test_leaving_before_anything_came(client: ESDBClient, server: Scripted) -> None:
    server.read = silence
    async with client.read_stream_events("s"):
        await trio.testing.wait_all_tasks_blocked()
    await server.seen[0].over.wait()
    assert server.seen[0].given_up


async def test_leaving_by_an_exception(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed())
    with pytest.raises(LookupError, match="mine"):
        async with client.subscribe_all_events():
            raise LookupError("mine")
    await server.seen[0].over.wait()


async def test_leaving_by_cancellation(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed())
    with trio.move_on_after(1) as scope:
        async with client.subscribe_all_events() as events:
            await events.receive()
    assert scope.cancelled_caught
    await server.seen[0].over.wait()


async def test_leaving_while_another_task_waits_for_events(
    client: ESDBClient, server: Scripted, nursery: trio.Nursery
) -> None:
    server.read = goes_on(confirmed())
    told = 0

    async def wait(channel: EventChannel[RecordedEvent]) -> None:
        nonlocal told
        with pytest.raises(trio.ClosedResourceError):
            await channel.receive()
        told += 1

    async def iterate(channel: EventChannel[RecordedEvent]) -> None:
        nonlocal told
        with pytest.raises(trio.ClosedResourceError):
            await anext(channel)
        told += 1

    async with client.subscribe_all_events() as events:
        nursery.start_soon(wait, events)
        nursery.start_soon(iterate, events)
        nursery.start_soon(wait, events.clone())
        await trio.testing.wait_all_tasks_blocked()
    await trio.testing.wait_all_tasks_blocked()
    assert told == 3
    assert server.seen[0].given_up


async def test_leaving_at_the_moment_an_event_comes(
    client: ESDBClient, server: Scripted, nursery: trio.Nursery
) -> None:
    """Whoever waits is given the event, but has not seen it yet when the block is left."""
    server.read = goes_on(confirmed())
    told = trio.Event()

    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await events.receive()
        told.set()

    async with client.subscribe_all_events() as events:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        post(events, event(0))
    await told.wait()


async def test_closing_the_channel_ends_the_call(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed(), event(0))
    async with client.subscribe_all_events() as events:
        with trio.testing.assert_checkpoints():
            await events.aclose()
        await server.seen[0].over.wait()
        with pytest.raises(trio.ClosedResourceError):
            await events.receive()
        with pytest.raises(trio.ClosedResourceError):
            events.receive_nowait()
        await events.aclose()
        events.close()


async def test_a_channel_is_a_context_manager_of_its_own(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed())
    async with client.subscribe_all_events() as events:
        async with events:
            pass
        await server.seen[0].over.wait()


async def test_closing_while_another_task_receives(client: ESDBClient, server: Scripted, nursery: trio.Nursery) -> None:
    server.read = goes_on(confirmed())
    told = trio.Event()

    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await events.receive()
        told.set()

    async with client.subscribe_all_events() as events:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await events.aclose()
        await told.wait()


async def test_closing_a_read_that_is_over(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(0))
    async with client.read_stream_events("s") as events:
        assert [e.stream_position async for e in events] == [0]
        await events.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await events.receive()


# -- sharing ----------------------------------------------------------------------------------------------------------


async def test_several_tasks_share_a_subscription(client: ESDBClient, server: Scripted) -> None:
    async def stream(seen: Seen) -> None:
        await seen.send(confirmed())
        for number in range(0, 300, 3):
            await seen.send(*(event(n) for n in range(number, number + 3)))
            await trio.sleep(0.01)

    server.read = stream
    got: dict[int, list[int]] = {}

    async def work(task: int, channel: EventChannel[RecordedEvent]) -> None:
        got[task] = []
        async with channel:
            async for received in channel:
                got[task].append(received.stream_position)
                await trio.sleep(0.005 * (task + 1))

    async with client.subscribe_all_events(resume=False) as events, trio.open_nursery() as nursery:
        for task in range(3):
            nursery.start_soon(work, task, events.clone())
        await events.aclose()
    assert Counter(n for numbers in got.values() for n in numbers) == Counter(range(300))
    assert all(numbers == sorted(numbers) and numbers for numbers in got.values())


async def test_a_task_that_waited_does_not_disturb_the_order_of_the_others(
    client: ESDBClient, server: Scripted, nursery: trio.Nursery
) -> None:
    """It was given the first event of a batch; another task takes the next ones before it has its turn."""
    server.read = goes_on(confirmed())
    waited: list[int] = []

    async def wait(channel: EventChannel[RecordedEvent]) -> None:
        waited.append((await channel.receive()).stream_position)

    async with client.subscribe_all_events() as events:
        nursery.start_soon(wait, events.clone())
        await trio.testing.wait_all_tasks_blocked()
        post(events, *(event(n) for n in range(4)))
        assert events.receive_nowait().stream_position == 1
        await trio.testing.wait_all_tasks_blocked()
        assert waited == [0]
        assert [events.receive_nowait().stream_position for _ in range(2)] == [2, 3]
        assert events.statistics().current_buffer_used == 0


async def test_a_clone_closed_as_it_is_woken_keeps_what_it_was_given(
    client: ESDBClient, server: Scripted, nursery: trio.Nursery
) -> None:
    """Nobody else would be woken for it, and those who took later events must not be given an earlier one."""
    server.read = goes_on(confirmed())
    got: list[list[int]] = [[], []]

    async def work(task: int, channel: EventChannel[RecordedEvent]) -> None:
        with contextlib.suppress(trio.ClosedResourceError):
            async for received in channel:
                got[task].append(received.stream_position)

    async with client.subscribe_all_events() as events:
        clones = events.clone(), events.clone()
        for task, clone in enumerate(clones):
            nursery.start_soon(work, task, clone)
            await trio.testing.wait_all_tasks_blocked()
        post(events, *(event(n) for n in range(4)))
        clones[0].close()
        await trio.testing.wait_all_tasks_blocked()
        assert got == [[0], [1, 2, 3]]


async def test_a_closed_clone_gets_nothing_that_is_ready(client: ESDBClient, server: Scripted) -> None:
    """Although events are there, and its siblings take them."""
    server.read = goes_on(confirmed(), *(event(n) for n in range(10)))
    async with client.subscribe_all_events() as events:
        clone = events.clone()
        assert (await clone.receive()).stream_position == 0
        clone.close()
        for use in (clone.receive(), anext(clone)):
            with pytest.raises(trio.ClosedResourceError):
                await use
        with pytest.raises(trio.ClosedResourceError):
            clone.receive_nowait()
        assert [(await events.receive()).stream_position for _ in range(9)] == list(range(1, 10))


async def test_the_call_lives_as_long_as_one_clone(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed(), *(event(n) for n in range(3)))
    async with client.subscribe_all_events() as events:
        first, second = events.clone(), events.clone()
        await events.aclose()
        assert (await first.receive()).stream_position == 0
        await first.aclose()
        assert (await second.receive()).stream_position == 1
        assert not server.seen[0].over.is_set()
        third = second.clone()
        await second.aclose()
        assert (await third.receive()).stream_position == 2
        third.close()
        await server.seen[0].over.wait()
        with pytest.raises(trio.ClosedResourceError):
            third.clone()


async def test_clones_know_what_the_original_knows(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed("abc"))
    async with client.subscribe_all_events() as events:
        assert events.clone().subscription_id == "abc"
        assert events.statistics().open_receive_channels == 2


async def test_every_clone_learns_of_the_end(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(0))
    async with client.read_stream_events("s") as events, events.clone() as clone:
        await events.receive()
        for channel in (clone, events):
            with pytest.raises(trio.EndOfChannel):
                await channel.receive()


async def test_every_clone_learns_of_an_error(client: ESDBClient, server: Scripted, nursery: trio.Nursery) -> None:
    async def fail(seen: Seen) -> None:
        await seen.send(confirmed())
        await trio.sleep(1)
        await fails(Status.DATA_LOSS, "disk")(seen)

    server.read = fail
    told = 0

    async def work(channel: EventChannel[RecordedEvent]) -> None:
        nonlocal told
        with pytest.raises(ServerError, match="disk"):
            await channel.receive()
        told += 1

    async with client.subscribe_all_events() as events:
        for _ in range(3):
            nursery.start_soon(work, events.clone())
        await trio.sleep(2)
    assert told == 3


# -- malformed responses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        MALFORMED,
        event(1)[:-1],
        b"\x0a\x02\x0a\x00\x00",
        b"\xff",
        b"\x0a\x00",
    ],
)
async def test_a_response_that_cannot_be_understood(client: ESDBClient, server: Scripted, garbage: bytes) -> None:
    """What follows it is not handed over: an event would be missing in between."""
    server.read = goes_on(event(0), garbage, event(2), event(3))
    async with client.read_stream_events("s") as events, events.clone() as clone:
        await trio.testing.wait_all_tasks_blocked()
        assert (await events.receive()).stream_position == 0
        for channel in (events, clone, events):
            with pytest.raises(ProtocolError, match=r"reading stream 's': .*malformed") as caught:
                await channel.receive()
            assert caught.value.address == "node-1:2113"
            with pytest.raises(ProtocolError):
                channel.receive_nowait()
            with pytest.raises(ProtocolError):
                await anext(channel)
        await server.seen[0].over.wait()
    server.append = says(appended(0, 5))
    assert await client.append_event("s", None, NewEvent("Happened", b"{}")) == 5
    assert len(server.links) == 1


async def test_another_task_that_waits_is_told_of_it(
    client: ESDBClient, server: Scripted, nursery: trio.Nursery
) -> None:
    async def garble(seen: Seen) -> None:
        await seen.send(confirmed())
        await trio.sleep(1)
        await seen.give(MALFORMED)

    server.read = garble
    told = 0

    async def work(channel: EventChannel[RecordedEvent]) -> None:
        nonlocal told
        with pytest.raises(ProtocolError):
            async for _ in channel:
                pass
        told += 1

    async with client.subscribe_all_events() as events:
        for _ in range(3):
            nursery.start_soon(work, events.clone())
        await trio.sleep(2)
    assert told == 3


async def test_other_calls_go_on_meanwhile(client: ESDBClient, server: Scripted) -> None:
    async def either(seen: Seen) -> None:
        if seen.read.subscription is not None:
            await seen.send(confirmed())
            await trio.sleep(2)
            await seen.give(event(9))
        else:
            await seen.give(MALFORMED)

    server.read = either
    async with client.subscribe_stream_events("s") as events:
        with pytest.raises(ProtocolError):
            await client.get_stream_events("s")
        assert (await events.receive()).stream_position == 9
    assert len(server.links) == 1


# -- taking turns -----------------------------------------------------------------------------------------------------


async def switches(body: Any) -> int:
    """How often another task had its turn during ``body``."""
    turns = 0
    async with trio.open_nursery() as nursery:

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        nursery.start_soon(other)
        await trio.lowlevel.checkpoint()
        turns = 0
        await body()
        nursery.cancel_scope.cancel()
    return turns


async def test_iterating_lets_others_have_their_turn(client: ESDBClient, server: Scripted) -> None:
    """At least once in 64 events, although all of them are there already."""
    server.read = goes_on(confirmed(), *(event(n) for n in range(640)))
    async with client.subscribe_all_events() as events:
        await trio.testing.wait_all_tasks_blocked()

        async def take() -> None:
            for _ in range(640):
                await anext(events)

        assert 9 <= await switches(take) <= 20


async def test_every_receive_is_a_turn(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed(), *(event(n) for n in range(50)))
    async with client.subscribe_all_events() as events:
        await trio.testing.wait_all_tasks_blocked()

        async def take() -> None:
            for _ in range(50):
                await events.receive()

        assert await switches(take) >= 49


async def test_iterating_notices_cancellation_at_every_event(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed(), *(event(n) for n in range(50)))
    async with client.subscribe_all_events() as events:
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            async for received in events:
                if received.stream_position == 4:
                    scope.cancel()
        assert scope.cancelled_caught
        assert (await events.receive()).stream_position == 5


@pytest.mark.parametrize("way", ["receive", "iterate", "wait"])
async def test_other_tasks_run_between_batches_that_nobody_wants(
    client: ESDBClient, server: Scripted, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A server can send very many of them, and decoding takes time."""
    turns: list[int] = []
    decode = ReadDecoder.read_responses

    def counted(decoder: ReadDecoder, messages: list[bytes]) -> object:
        turns.append(steps.count)
        return decode(decoder, messages)

    monkeypatch.setattr(ReadDecoder, "read_responses", counted)
    server.read = goes_on(confirmed())
    unwanted = [checkpoint(number) for number in range(64 * 5)]
    with counted_steps() as steps:
        async with client.subscribe_all_events() as events:
            turns.clear()

            async def send() -> None:
                post(events, *unwanted, event(7))

            if way == "wait":
                nursery.start_soon(send)
            else:
                await send()
            found = await (anext(events) if way == "iterate" else events.receive())
    assert found.stream_position == 7
    assert len(turns) >= 6
    assert len(set(turns)) == len(turns)
