"""Timeouts that pass while messages are there, and servers that end a call because of its deadline."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio

from tests.support.scripted import URI, Scripted, Seen, confirmed, event, fails, goes_on, says
from trio_esdb import DeadlineExceededError, ESDBClient, NewEvent, ServerError, UnavailableError
from trio_esdb._wire import Code, Status

EVENT = NewEvent("Happened", b"{}")
EVENTS = [event(number) for number in range(1000)]
OPENED: dict[str, Callable[..., Any]] = {
    "read a stream": lambda client, **more: client.read_stream_events("s", **more),
    "read all": lambda client, **more: client.read_all_events(**more),
    "subscribe to a stream": lambda client, **more: client.subscribe_stream_events("s", **more),
    "subscribe to all": lambda client, **more: client.subscribe_all_events(**more),
}
every_way = pytest.mark.parametrize("name", OPENED)


@pytest.fixture
async def client(server: Scripted) -> AsyncIterator[ESDBClient]:
    """A client that repeats nothing, so that each failure comes out as it is."""
    async with ESDBClient(URI, connect=server.connect, retry=False) as client:
        yield client


async def consume(events: Any, seen: list[object]) -> None:
    """Take a tenth of a second for each."""
    async for each in events:
        seen.append(each)
        await trio.sleep(0.1)


def thousand(name: str, *, ends: bool) -> Any:
    messages = [confirmed(), *EVENTS] if name.startswith("subscribe") else EVENTS
    return says(*messages) if ends else goes_on(*messages)


# -- a slow consumer of much that has come ----------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("ends", [True, False], ids=["and the call is over", "and the call is open"])
async def test_the_consumers_time_counts(client: ESDBClient, server: Scripted, name: str, ends: bool) -> None:
    server.read = thousand(name, ends=ends)
    began = trio.current_time()
    seen: list[object] = []
    async with OPENED[name](client, timeout=0.55) as events:
        with pytest.raises(DeadlineExceededError):
            await consume(events, seen)
        for use in (events.receive, events.__anext__):
            with pytest.raises(DeadlineExceededError):
                await use()
        with pytest.raises(DeadlineExceededError):
            events.receive_nowait()
    assert trio.current_time() - began == pytest.approx(0.6)
    assert len(seen) == 6


@every_way
@pytest.mark.parametrize("use", ["receive", "receive_nowait"])
async def test_whichever_way_they_are_received(client: ESDBClient, server: Scripted, name: str, use: str) -> None:
    server.read = thousand(name, ends=False)
    async with OPENED[name](client, timeout=0.55) as events:
        await events.receive()
        for _ in range(5):
            await trio.sleep(0.1)
            await events.receive()
        await trio.sleep(0.1)
        with pytest.raises(DeadlineExceededError):
            await (events.receive() if use == "receive" else events.receive_nowait())
        await server.seen[0].over.wait()
    assert server.seen[0].given_up


async def test_all_who_share_a_read_are_told(client: ESDBClient, server: Scripted) -> None:
    server.read = thousand("read all", ends=False)
    seen: list[object] = []

    async def work(channel: Any) -> None:
        with pytest.raises(DeadlineExceededError):
            await consume(channel, seen)

    async with client.read_all_events(timeout=0.55) as events, trio.open_nursery() as nursery:
        for channel in (events, events.clone(), events.clone()):
            nursery.start_soon(work, channel)
    assert len(seen) == 18


# -- a server that ends a call at its deadline, a moment before the client ---------------------------------------------


def ends_early(how: str, after: float) -> Any:
    """A script that takes its time and then ends the call as one whose deadline has passed."""

    async def run(seen: Seen) -> None:
        await trio.sleep(after)
        if how == "reset":
            seen.link.core.reset(seen.stream, Code.CANCEL)
            seen.link.wake()
        else:
            await fails(Status[how])(seen)

    return run


async def append(client: ESDBClient, **more: Any) -> None:
    await client.append_event("s", None, EVENT, **more)


async def read(client: ESDBClient, **more: Any) -> None:
    async with client.read_stream_events("s", **more) as events:
        await events.receive()


async def subscribe(client: ESDBClient, **more: Any) -> None:
    async with client.subscribe_all_events(**more) as events:
        await events.receive()


calls = pytest.mark.parametrize("call", [append, read, subscribe])
ways = pytest.mark.parametrize("how", ["reset", "CANCELLED", "DEADLINE_EXCEEDED"])


@calls
@ways
async def test_at_the_deadline_it_is_the_deadline(client: ESDBClient, server: Scripted, call: Any, how: str) -> None:
    server.read = server.append = ends_early(how, 4.99)
    with pytest.raises(DeadlineExceededError):
        await call(client, timeout=5)
    began = trio.current_time()
    with pytest.raises(trio.TooSlowError) as caught, trio.fail_after(5):
        await call(client)
    assert type(caught.value) is trio.TooSlowError, "the scope's own error"
    assert trio.current_time() - began == pytest.approx(5)


@calls
@pytest.mark.parametrize(
    ("how", "kind"),
    [("reset", UnavailableError), ("CANCELLED", ServerError)],
    ids=["reset", "status"],
)
async def test_long_before_it_is_not(
    client: ESDBClient, server: Scripted, call: Any, how: str, kind: type[ServerError]
) -> None:
    server.read = server.append = ends_early(how, 1)
    for timeout in (5, None):
        with pytest.raises(ServerError) as caught:
            await call(client, timeout=timeout, retry=False)
        assert type(caught.value) is kind
