"""What an event, an append and an open subscription may cost, counted. The figures in brackets are today's.

A bound that a change breaks is a question, not a verdict: each says what it protects. Time itself is measured in
``benchmarks/``.
"""

from __future__ import annotations

import contextlib
import gc
import math
import tracemalloc
from collections.abc import Callable

import pytest
import trio

from tests.support.canned import CannedServer, event, live, packed
from tests.support.counting import counted_calls, counted_steps, objects_alive
from tests.support.http2 import frame, message
from trio_esdb import ESDBClient, NewEvent, StreamState, Timeouts
from trio_esdb_proto.event_store.client import streams as pb

EVENTS = 1000
MESSAGES = [event(number) for number in range(EVENTS)]
OK = (":status", "200"), ("content-type", "application/grpc")
APPENDED = bytes(
    pb.AppendResp(
        success=pb.AppendRespSuccess(
            current_revision=7, position=pb.AppendRespPosition(commit_position=4711, prepare_position=4711)
        )
    )
)


def reading(framing: Callable[[list[bytes], int], bytes]) -> Callable[[CannedServer, int], bytes]:
    def answer(server: CannedServer, stream_id: int) -> bytes:
        return (
            server.headers(stream_id, *OK)
            + framing(MESSAGES, stream_id)
            + server.headers(stream_id, ("grpc-status", "0"), end=True)
        )

    return answer


def appended(server: CannedServer, stream_id: int) -> bytes:
    return (
        server.headers(stream_id, *OK)
        + frame(0, 0, stream_id, message(APPENDED))
        + server.headers(stream_id, ("grpc-status", "0"), end=True)
    )


def client_of(server: CannedServer) -> ESDBClient:
    async def connect(host: str, port: int) -> trio.abc.Stream:
        return server

    # trio keeps deadlines that did not pass for a while, and they would be counted with the objects
    timeouts = Timeouts(first_answer=math.inf)
    return ESDBClient("esdb://canned?Tls=false", connect=connect, timeouts=timeouts)


async def read_once(client: ESDBClient) -> int:
    count = 0
    async with client.read_stream_events("guarded-stream") as events:
        async for _ in events:
            count += 1
    return count


@pytest.mark.parametrize(
    ("framing", "calls_per_event"),
    [(packed, 3.2), (live, 5)],  # [2.7, 4.5]: one decodes it, one hands it over; a frame of its own costs two
    ids=["packed", "live"],
)
async def test_function_calls_for_an_event(
    framing: Callable[[list[bytes], int], bytes], calls_per_event: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Protects the hot way of reading: no call more for each event."""
    async with client_of(CannedServer(reading(framing))) as client:
        assert await read_once(client) == EVENTS  # what is loaded and remembered at first does not count
        with counted_calls() as calls:
            assert await read_once(client) == EVENTS
    assert calls.total / EVENTS < calls_per_event, (calls.total, calls.worst(EVENTS))


async def test_turns_and_socket_calls_for_a_thousand_events(autojump_clock: trio.testing.MockClock) -> None:
    """Protects batches: a consumer is woken once for what one socket read brought, and credit is given in one go."""
    server = CannedServer(reading(packed))
    async with client_of(server) as client:
        await read_once(client)
        before = server.sends, server.receives
        with counted_steps() as steps:
            await read_once(client)
    assert steps.count < 50  # [30]: sixteen batches, and what moves the bytes
    assert server.sends - before[0] <= 4  # the request and what gives credit back
    assert server.receives - before[1] <= 10  # 390,000 bytes at 65,536 a read, and one that waits


async def test_what_an_append_costs(autojump_clock: trio.testing.MockClock) -> None:
    """Protects the way of a small call: pre-encoded headers, one send, no task of its own, no window update."""
    server = CannedServer(appended)
    new = NewEvent(type="Guarded", data=b"x" * 200)
    async with client_of(server) as client:
        for _ in range(5):
            await client.append_events("guarded-stream", StreamState.ANY, [new])
        before = server.sends, server.receives, server.sent
        with counted_steps() as steps:
            for _ in range(100):
                await client.append_events("guarded-stream", StreamState.ANY, [new])
        after = server.sends, server.receives, server.sent
        with counted_calls() as calls:
            for _ in range(100):
                await client.append_events("guarded-stream", StreamState.ANY, [new])
    assert calls.total / 100 < 95, calls.worst(100)  # [85]
    assert steps.count / 100 < 6  # [5]: the caller twice, the writer, the reader, whoever else a send gives a turn
    assert after[0] - before[0] <= 101  # one for each, and one for what was due before
    assert after[1] - before[1] <= 101
    assert (after[2] - before[2]) / 100 < 380  # [355], of which 200 are the event's data


async def test_an_idle_client_sleeps(autojump_clock: trio.testing.MockClock) -> None:
    """Protects batteries: without calls, keepalive and idle connections have nothing to look at again and again."""
    new = NewEvent(type="Guarded", data=b"x" * 200)
    async with client_of(CannedServer(appended)) as client:
        await client.append_events("guarded-stream", StreamState.ANY, [new])
        with counted_steps() as steps:
            await trio.sleep(100_000)
    assert steps.count < 8  # [4]: this task, and keepalive once


async def test_appends_at_once_leave_together(autojump_clock: trio.testing.MockClock) -> None:
    """Protects the writer's batches: what many tasks queue in one turn leaves in one send."""
    server = CannedServer(appended)
    new = NewEvent(type="Guarded", data=b"x" * 200)
    async with client_of(server) as client:
        before = server.sends, server.receives
        async with trio.open_nursery() as nursery:
            for _ in range(90):
                nursery.start_soon(client.append_events, "guarded-stream", StreamState.ANY, [new])
    assert server.requests == 90
    assert server.sends - before[0] <= 4
    assert server.receives - before[1] <= 4


async def test_what_is_over_needs_no_garbage_collector(autojump_clock: trio.testing.MockClock) -> None:
    """Protects programs from pauses: no call leaves objects that hold each other."""
    new = NewEvent(type="Guarded", data=b"x" * 200)
    appending, reading_ = CannedServer(appended), CannedServer(reading(packed))
    async with client_of(appending) as writer, client_of(reading_) as reader:

        async def use(times: int) -> None:
            for _ in range(times):
                await writer.append_event("guarded-stream", StreamState.ANY, new)
                await read_once(reader)
                async with reader.read_stream_events("guarded-stream") as events:
                    await events.receive()
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await writer.append_event("guarded-stream", StreamState.ANY, new)

        await use(3)
        before = objects_alive()
        gc.disable()
        try:
            await use(20)
            left = len(gc.get_objects()) - before
        finally:
            gc.enable()
    assert left < 40


async def test_objects_of_an_open_subscription(autojump_clock: trio.testing.MockClock) -> None:
    """Protects programs with many subscriptions, and finds what one leaves behind."""
    confirmed = bytes(pb.ReadResp(confirmation=pb.ReadRespSubscriptionConfirmation(subscription_id="canned")))

    def answer(server: CannedServer, stream_id: int) -> bytes:
        return server.headers(stream_id, *OK) + frame(0, 0, stream_id, message(confirmed))

    async with client_of(CannedServer(answer)) as client:
        async with client.subscribe_all_events() as _:
            pass
        empty = objects_alive()
        kept = [client.subscribe_all_events() for _ in range(50)]
        for subscription in kept:
            await subscription.__aenter__()
        open_ones = objects_alive()
        for subscription in kept:
            await subscription.__aexit__(None, None, None)
        kept.clear()
        del subscription
        left = objects_alive()
    assert (open_ones - empty) / 50 < 40
    assert left - empty < 20


async def test_memory_of_an_open_subscription(autojump_clock: trio.testing.MockClock) -> None:
    """Protects programs with many subscriptions: what only trouble needs is not there before."""
    confirmed = bytes(pb.ReadResp(confirmation=pb.ReadRespSubscriptionConfirmation(subscription_id="canned")))

    def answer(server: CannedServer, stream_id: int) -> bytes:
        return server.headers(stream_id, *OK) + frame(0, 0, stream_id, message(confirmed))

    ours = tracemalloc.Filter(True, "*/trio_esdb/*")
    async with client_of(CannedServer(answer)) as client:
        async with client.subscribe_all_events() as _:
            pass
        tracemalloc.start()
        try:
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(50):
                    await stack.enter_async_context(client.subscribe_all_events())
                gc.collect()
                taken = tracemalloc.take_snapshot().filter_traces([ours]).statistics("filename")
        finally:
            tracemalloc.stop()
    assert sum(each.size for each in taken) / 50 < 2000, taken  # [1525], without what trio needs
