"""Deadlines: the caller's scopes, and the ``timeout`` of a call."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.leaks import assert_nothing_is_left
from tests.support.scripted import (
    URI,
    Door,
    Scripted,
    Seen,
    appended,
    confirmed,
    deleted,
    event,
    fails,
    goes_on,
    says,
    silence,
)
from trio_esdb import (
    DeadlineExceededError,
    ESDBClient,
    InvalidArgumentError,
    InvalidTypeError,
    NewEvent,
    ServerError,
    StreamState,
)
from trio_esdb._wire import Status

EVENT = NewEvent("Happened", b"{}")

Unary = Callable[..., Awaitable[Any]]
UNARY: dict[str, Callable[..., Awaitable[Any]]] = {
    "append_events": lambda client, **more: client.append_events("s", None, [EVENT], **more),
    "append_event": lambda client, **more: client.append_event("s", None, EVENT, **more),
    "delete_stream": lambda client, **more: client.delete_stream("s", None, **more),
    "tombstone_stream": lambda client, **more: client.tombstone_stream("s", None, **more),
    "set_stream_metadata": lambda client, **more: client.set_stream_metadata("s", {}, **more),
    "get_stream_metadata": lambda client, **more: client.get_stream_metadata("s", **more),
    "get_stream_events": lambda client, **more: client.get_stream_events("s", **more),
    "get_stream_position": lambda client, **more: client.get_stream_position("s", **more),
    "get_commit_position": lambda client, **more: client.get_commit_position(**more),
}
WITH_FIRST_ANSWER = {"get_stream_metadata", "get_stream_events", "get_stream_position", "get_commit_position"}
"""Reads, which are begun again if there is no first answer."""
READS: dict[str, Callable[..., Any]] = {
    "read_stream_events": lambda client, **more: client.read_stream_events("s", **more),
    "read_all_events": lambda client, **more: client.read_all_events(**more),
}
SUBSCRIPTIONS: dict[str, Callable[..., Any]] = {
    "subscribe_all_events": lambda client, **more: client.subscribe_all_events(**more),
    "subscribe_stream_events": lambda client, **more: client.subscribe_stream_events("s", **more),
}
unary = pytest.mark.parametrize("name", UNARY)
reads = pytest.mark.parametrize("name", READS)
subscriptions = pytest.mark.parametrize("name", SUBSCRIPTIONS)


@pytest.fixture
def silent(server: Scripted) -> Scripted:
    """A server that never answers."""
    server.read = server.append = server.delete = server.tombstone = silence
    return server


@unary
async def test_without_a_deadline_none_is_sent(
    client: ESDBClient, silent: Scripted, nursery: trio.Nursery, name: str
) -> None:
    nursery.start_soon(partial(UNARY[name], client, timeout=math.inf))
    await trio.testing.wait_all_tasks_blocked()
    assert silent.seen[0].call.deadline == math.inf
    if name not in WITH_FIRST_ANSWER:
        await trio.sleep(1000)
        assert not silent.seen[0].over.is_set()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", sorted(set(UNARY) - {"get_stream_events"}))
async def test_the_default_deadline(client: ESDBClient, silent: Scripted, name: str) -> None:
    """Calls with one answer have it; the time begins with each call."""
    for _ in range(2):
        began = trio.current_time()
        with pytest.raises(DeadlineExceededError, match="timeout passed"):
            await UNARY[name](client)
        assert trio.current_time() - began == pytest.approx(10)
        await trio.sleep(3)
    await trio.testing.wait_all_tasks_blocked()
    assert silent.open_calls == 0


async def test_calls_that_are_due_one_after_another(silent: Scripted, nursery: trio.Nursery) -> None:
    ended: list[tuple[str, float]] = []
    async with ESDBClient(URI, connect=silent.connect, default_deadline=4) as client:

        async def append(stream: str) -> None:
            with pytest.raises(DeadlineExceededError, match=stream) as caught:
                await client.append_event(stream, StreamState.ANY, EVENT)
            assert caught.value.applied is None
            ended.append((stream, trio.current_time() - began))

        began = trio.current_time()
        async with trio.open_nursery() as tasks:
            for number in range(5):
                tasks.start_soon(append, f"s{number}")
                await trio.sleep(1)
        assert [stream for stream, _ in ended] == [f"s{number}" for number in range(5)]
        assert [at for _, at in ended] == pytest.approx([4, 5, 6, 7, 8])
        await assert_nothing_is_left(client, silent.links)


async def test_calls_that_have_waited_for_a_connection(silent: Scripted) -> None:
    """They are sent all at once, in any order: each has its own deadline all the same, and the server is told none."""
    ended: dict[str, float] = {}
    door = Door(silent, 0, 6)
    async with ESDBClient(URI, connect=door.connect, default_deadline=8) as client:
        await trio.aclose_forcefully(silent.streams[0])
        await trio.testing.wait_all_tasks_blocked()

        async def append(stream: str) -> None:
            with pytest.raises(DeadlineExceededError, match=stream) as caught:
                await client.append_event(stream, StreamState.ANY, EVENT)
            assert caught.value.applied is None
            ended[stream] = trio.current_time() - began

        began = trio.current_time()
        async with trio.open_nursery() as tasks:
            for number in range(6):
                tasks.start_soon(append, f"s{number}")
                await trio.sleep(1)
        assert len(silent.seen) == 6
        assert all(seen.call.deadline == math.inf for seen in silent.seen)
        assert list(ended) == [f"s{number}" for number in range(6)]
        assert list(ended.values()) == pytest.approx([8, 9, 10, 11, 12, 13])
        await assert_nothing_is_left(client, silent.links[1:])


async def test_a_client_without_a_default_deadline(silent: Scripted, nursery: trio.Nursery) -> None:
    async with ESDBClient(URI, connect=silent.connect, default_deadline=None) as client:
        nursery.start_soon(client.append_event, "s", None, EVENT)
        await trio.sleep(1000)
        assert not silent.seen[0].over.is_set()
        nursery.cancel_scope.cancel()


async def test_calls_need_no_tasks(client: ESDBClient, server: Scripted) -> None:
    """Neither a call in time nor its deadline, and nothing wakes up when there is no call.

    One task keeps the deadlines of all calls. It begins with the first one.
    """
    server.append = says(appended(0, 4))
    await client.append_event("s", None, EVENT)
    before = trio.lowlevel.current_statistics().tasks_living
    for _ in range(2):
        await client.append_event("s", None, EVENT)
        assert trio.lowlevel.current_statistics().tasks_living == before
        await trio.sleep(11)
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline > 10**6
    server.append = silence
    with pytest.raises(DeadlineExceededError):
        await client.append_event("s", None, EVENT)


@unary
async def test_a_timeout(client: ESDBClient, silent: Scripted, name: str) -> None:
    began = trio.current_time()
    with pytest.raises(DeadlineExceededError, match="timeout passed") as caught:
        await UNARY[name](client, timeout=2.5)
    assert isinstance(caught.value, trio.TooSlowError)
    assert isinstance(caught.value, ServerError)
    assert caught.value.status == "DEADLINE_EXCEEDED"
    assert caught.value.address == "node-1:2113"
    assert trio.current_time() - began == pytest.approx(2.5)
    assert silent.seen[0].call.deadline == pytest.approx(began + 2.5, abs=0.002)
    await silent.seen[0].over.wait()
    assert trio.current_time() - began == pytest.approx(2.5, abs=0.002)
    await trio.testing.wait_all_tasks_blocked()
    assert silent.open_calls == 0


@unary
async def test_a_timeout_of_nothing_sends_nothing(client: ESDBClient, silent: Scripted, name: str) -> None:
    with pytest.raises(trio.TooSlowError):
        await UNARY[name](client, timeout=0)
    await trio.testing.wait_all_tasks_blocked()
    assert silent.seen == []


@unary
async def test_the_scope_of_the_caller(client: ESDBClient, silent: Scripted, name: str) -> None:
    """It is sent, it cancels, and it is not turned into an error of ours."""
    began = trio.current_time()
    with trio.move_on_after(3) as scope:
        await UNARY[name](client)
    assert scope.cancelled_caught
    assert trio.current_time() - began == pytest.approx(3)
    assert silent.seen[0].call.deadline == pytest.approx(began + 3, abs=0.002)

    with pytest.raises(trio.TooSlowError) as caught, trio.fail_after(3):
        await UNARY[name](client)
    assert type(caught.value) is trio.TooSlowError


@unary
async def test_a_cancelled_call_is_reset_at_once(
    client: ESDBClient, silent: Scripted, nursery: trio.Nursery, name: str
) -> None:
    with trio.CancelScope() as scope:

        async def cancel() -> None:
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()

        nursery.start_soon(cancel)
        await UNARY[name](client)
    assert scope.cancelled_caught
    began = trio.current_time()
    await silent.seen[0].over.wait()
    assert trio.current_time() == began
    assert silent.seen[0].given_up
    await assert_nothing_is_left(client, silent.links)


@unary
async def test_the_nearer_one_counts(client: ESDBClient, silent: Scripted, name: str) -> None:
    began = trio.current_time()
    with trio.move_on_after(1) as scope:
        await UNARY[name](client, timeout=5)
    assert scope.cancelled_caught
    with trio.fail_after(5), pytest.raises(DeadlineExceededError):
        await UNARY[name](client, timeout=1)
    assert trio.current_time() - began == pytest.approx(2)
    for seen, start in zip(silent.seen, (began, began + 1), strict=True):
        assert seen.call.deadline == pytest.approx(start + 1, abs=0.002)


@unary
@pytest.mark.parametrize(
    ("timeout", "kind"),
    [
        (-1, InvalidArgumentError),
        (-0.001, InvalidArgumentError),
        (math.nan, InvalidArgumentError),
        ("5", InvalidTypeError),
        (True, InvalidTypeError),
        (b"5", InvalidTypeError),
    ],
)
async def test_unusable_timeouts(
    client: ESDBClient, silent: Scripted, name: str, timeout: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="timeout must"):
        await UNARY[name](client, timeout=timeout)
    assert silent.seen == []


@pytest.mark.parametrize("name", [*READS, *SUBSCRIPTIONS])
@pytest.mark.parametrize("timeout", [-1, math.nan, "5"])
async def test_unusable_timeouts_of_reads(client: ESDBClient, silent: Scripted, name: str, timeout: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout must"):
        (READS | SUBSCRIPTIONS)[name](client, timeout=timeout)
    assert silent.seen == []


async def test_a_timeout_without_an_end(client: ESDBClient, server: Scripted) -> None:
    server.append = says(appended(0, 4))
    server.read = says(event(0))
    assert await client.append_event("s", None, EVENT, timeout=math.inf) == 4
    assert len(await client.get_stream_events("s", timeout=math.inf)) == 1
    assert [seen.call.deadline for seen in server.seen] == [math.inf, math.inf]


async def test_an_answer_in_time(client: ESDBClient, server: Scripted) -> None:
    async def slow(seen: Seen) -> bytes:
        await trio.sleep(1)
        return appended(0, 4)

    server.append = slow
    assert await client.append_event("s", None, EVENT, timeout=2) == 4
    with trio.fail_after(2):
        assert await client.append_event("s", None, EVENT) == 4


# -- reads and subscriptions ------------------------------------------------------------------------------------------


@reads
async def test_the_timeout_of_a_read(client: ESDBClient, server: Scripted, name: str) -> None:
    server.read = goes_on(event(0))
    began = trio.current_time()
    async with READS[name](client, timeout=4) as events:
        await events.receive()
        with pytest.raises(DeadlineExceededError, match="the timeout passed"):
            await events.receive()
        assert trio.current_time() - began == pytest.approx(4)
        await server.seen[0].over.wait()
        assert trio.current_time() - began == pytest.approx(4)
        for use in (events.receive(), anext(events)):
            with pytest.raises(DeadlineExceededError):
                await use
    assert server.seen[0].call.deadline == pytest.approx(began + 4, abs=0.002)


@subscriptions
async def test_the_timeout_of_a_subscription(client: ESDBClient, server: Scripted, name: str) -> None:
    server.read = goes_on(confirmed(), event(0))
    began = trio.current_time()
    async with SUBSCRIPTIONS[name](client, timeout=4) as events:
        assert server.seen[0].call.deadline == pytest.approx(began + 4, abs=0.002)
        with pytest.raises(trio.TooSlowError):
            async for _ in events:
                pass
    assert trio.current_time() - began == pytest.approx(4)


@subscriptions
async def test_a_scope_around_opening_does_not_end_the_subscription_later(
    client: ESDBClient, server: Scripted, name: str
) -> None:
    server.read = goes_on(confirmed(), event(0))
    async with contextlib.AsyncExitStack() as stack:
        with trio.fail_after(4):
            events = await stack.enter_async_context(SUBSCRIPTIONS[name](client))
        assert server.seen[0].call.deadline == math.inf
        assert await events.receive()
        with trio.move_on_after(10) as waiting:
            await events.receive()
    assert waiting.cancelled_caught


@subscriptions
async def test_the_timeout_of_a_subscription_that_is_not_confirmed(
    client: ESDBClient, silent: Scripted, name: str
) -> None:
    began = trio.current_time()
    with pytest.raises(DeadlineExceededError):
        async with SUBSCRIPTIONS[name](client, timeout=4):
            pytest.fail("it subscribed")
    assert trio.current_time() - began == pytest.approx(4)
    await silent.seen[0].over.wait()


async def test_the_timeout_of_a_read_is_told_to_all_who_share_it(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed())
    began = trio.current_time()

    async def work(channel: Any) -> None:
        with pytest.raises(DeadlineExceededError):
            await channel.receive()
        assert trio.current_time() - began == pytest.approx(4)

    async with client.subscribe_all_events(timeout=4) as events, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(work, events.clone())


@reads
async def test_the_scope_around_a_read_is_told_to_the_server(client: ESDBClient, server: Scripted, name: str) -> None:
    server.read = goes_on(event(0))
    began = trio.current_time()
    with trio.move_on_after(4) as scope:
        async with READS[name](client) as events:
            async for _ in events:
                pass
    assert scope.cancelled_caught
    assert trio.current_time() - began == pytest.approx(4)
    assert server.seen[0].call.deadline == pytest.approx(began + 4, abs=0.002)
    await server.seen[0].over.wait()


async def test_a_scope_around_one_receive_leaves_the_read_open(client: ESDBClient, server: Scripted) -> None:
    async def slow(seen: Seen) -> None:
        await trio.sleep(3)
        await seen.send(event(0))

    server.read = slow
    async with client.read_stream_events("s") as events:
        with trio.move_on_after(1) as scope:
            await events.receive()
        assert scope.cancelled_caught
        assert (await events.receive()).stream_position == 0
    assert server.seen[0].call.deadline == math.inf


# -- what the server says of deadlines --------------------------------------------------------------------------------


def early(seconds: float) -> Any:
    """A server whose clock runs ahead: it ends a call this much before its time."""

    async def run(seen: Seen) -> None:
        await trio.sleep_until(seen.call.deadline - seconds)
        await fails(Status.DEADLINE_EXCEEDED, "Deadline Exceeded")(seen)

    return run


@unary
async def test_a_server_that_is_a_little_early_leaves_it_to_the_scope(
    client: ESDBClient, server: Scripted, name: str
) -> None:
    server.read = server.append = server.delete = server.tombstone = early(0.2)
    began = trio.current_time()
    with trio.move_on_after(3) as scope:
        await UNARY[name](client)
    assert scope.cancelled_caught
    assert trio.current_time() - began == pytest.approx(3)
    with pytest.raises(DeadlineExceededError):
        await UNARY[name](client, timeout=3)


async def test_it_is_the_same_if_the_server_had_said_so_before(client: ESDBClient, server: Scripted) -> None:
    """The end of the call is there already when the next event is asked for."""
    server.read = early(0.2)
    for use in (lambda events: events.receive(), lambda events: anext(events)):
        with trio.move_on_after(3) as scope:
            async with client.read_stream_events("s") as events:
                await trio.sleep(2.9)
                await use(events)
        assert scope.cancelled_caught


async def test_it_is_the_same_if_events_come_with_it(client: ESDBClient, server: Scripted) -> None:
    async def late(seen: Seen) -> None:
        await trio.sleep_until(seen.call.deadline - 0.2)
        seen.call.post(event(0), event(1))
        await fails(Status.DEADLINE_EXCEEDED, "Deadline Exceeded")(seen)

    server.read = late
    with trio.move_on_after(3) as scope:
        await client.get_stream_events("s")
    assert scope.cancelled_caught


async def test_a_server_with_a_deadline_of_its_own(client: ESDBClient, server: Scripted) -> None:
    server.append = fails(Status.DEADLINE_EXCEEDED, "Deadline Exceeded")
    server.read = fails(Status.DEADLINE_EXCEEDED, "Deadline Exceeded", after=(event(0),))
    began = trio.current_time()
    with trio.move_on_after(60):
        with pytest.raises(DeadlineExceededError, match="appending to stream 's': Deadline Exceeded") as caught:
            await client.append_event("s", None, EVENT, retry=False)
        assert caught.value.details == "Deadline Exceeded"
        with pytest.raises(DeadlineExceededError, match="reading stream 's': Deadline Exceeded"):
            await client.get_stream_events("s", retry=False)
    with pytest.raises(DeadlineExceededError):
        await client.append_event("s", StreamState.ANY, EVENT)
    assert trio.current_time() == began


async def test_deletions_in_time(client: ESDBClient, server: Scripted) -> None:
    server.delete = server.tombstone = says(deleted(3))
    assert await client.delete_stream("s", None, timeout=5) == 3
    assert await client.tombstone_stream("s", None, 5) == 3
    assert all(seen.call.deadline < math.inf for seen in server.seen)
