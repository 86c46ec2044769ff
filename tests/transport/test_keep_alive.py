"""Connections whose other end says nothing any more, and connections that only look like that."""

from __future__ import annotations

import math
import struct
from contextlib import AbstractAsyncContextManager

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from tests.support import http2
from tests.support.counting import counted_steps
from tests.support.links import Call, Hand, client_by_hand, unknown
from trio_esdb._transport import ClientLink, KeepAlive, unary_call
from trio_esdb._transport._handlers import AsyncHandler, Handler, ServerCall
from trio_esdb._transport._serving import Patience, ServerLink, serve_stream
from trio_esdb._wire import Code, Outcome, Status

TEXT = "no answer to a PING for 10 s, the peer is frozen or cannot be reached"
LOST = Outcome(Status.UNAVAILABLE, TEXT, local=True, lost=True)


def by_hand(keep_alive: KeepAlive | None = None) -> AbstractAsyncContextManager[tuple[ClientLink, Hand]]:
    """A client's link with keepalive, to a server by hand that answers no PING by itself."""
    return client_by_hand(keep_alive=keep_alive or KeepAlive(10, 10))


def pings(found: list[http2.Sent]) -> int:
    return sum(sent == http2.Sent(http2.PING, 0, 0, bytes(8)) for sent in found)


async def test_a_frozen_server_ends_all_calls(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    async with by_hand() as (link, hand):
        outcomes = []

        async def ask() -> None:
            outcomes.append((await unary_call(link, http2.REQUEST, [b"a"]))[1])

        await trio.sleep(3)
        hand.put(http2.settings())  # the last that comes
        nursery.start_soon(ask)
        call = Call(link, http2.REQUEST, [b"a"])
        await link.closed.wait()
        assert trio.current_time() == 23
        assert outcomes == [LOST]
        assert call.outcome == LOST
        assert outcomes[0].lost
        assert not outcomes[0].unsent
        assert (link.reason, link.broken) == (TEXT, True)
        sent = await hand.heard()
        assert pings(sent) == 1
        assert sent[-1].payload == struct.pack(">II", 0, Code.INTERNAL_ERROR) + TEXT.encode(), "should it wake up"
        assert hand.closed


async def test_a_server_that_takes_nothing_ends_all_calls(autojump_clock: MockClock) -> None:
    """The PING cannot even leave."""
    ours, theirs = memory_stream_pair()
    assert ours.send_stream is not None
    ours.send_stream.send_all_hook = trio.sleep_forever
    link = ClientLink(ours, "node-1", None, KeepAlive(10, 10))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        await theirs.send_all(http2.settings())
        assert await link.ready()
        call = Call(link, http2.REQUEST, [b"a"])
        await link.closed.wait()
    assert trio.current_time() == 20
    assert call.outcome == LOST
    assert call.outcome.unsent


async def test_a_server_that_answers_keeps_its_calls(autojump_clock: MockClock) -> None:
    async with by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"])
        asked = 0
        while trio.current_time() < 10_000:
            if pings(await hand.heard()):
                asked += 1
                await trio.sleep(9.9)  # a round trip like that of a train in a tunnel
                hand.put(http2.frame(http2.PING, http2.ACK, 0, bytes(8)))
            await trio.sleep(0.1)
        assert call.outcome is None
        assert 490 < asked <= 505


async def test_a_server_that_sends_is_not_asked(autojump_clock: MockClock) -> None:
    async with by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"])
        await hand.heard()
        hand.put(hand.headers(1, http2.RESPONSE))
        raw = http2.data(1, http2.message(bytes(200)))
        for at in range(len(raw)):
            await trio.sleep(9.9)
            hand.put(raw[at : at + 1])
        assert await hand.heard() == []
        assert call.waiting == 1


async def test_an_idle_client_does_not_wake_up(autojump_clock: MockClock) -> None:
    async with by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"])
        await hand.heard()
        hand.answer(1, b"reply")
        await hand.heard()
        assert call.outcome == Outcome(Status.OK)
        with counted_steps() as steps:
            await trio.sleep(100_000)
        assert steps.count <= 4, "the test itself, and keepalive once"
        assert await hand.heard() == []


async def test_a_call_after_a_long_pause_on_a_dead_connection(autojump_clock: MockClock) -> None:
    async with by_hand() as (link, hand):
        await trio.sleep(5000)
        call = Call(link, http2.REQUEST, [b"a"])
        assert pings(await hand.heard()) == 1
        await link.closed.wait()
        assert trio.current_time() == 5010
        assert call.outcome == LOST


async def test_calls_with_deadlines_find_a_dead_connection(autojump_clock: MockClock) -> None:
    async with by_hand() as (link, _):
        await trio.sleep(5000)
        for _ in range(6):
            with trio.move_on_after(2):
                _, outcome = await unary_call(link, http2.REQUEST, [b"a"])
                assert outcome == LOST
                break
        await link.closed.wait()
        assert trio.current_time() == 5010


async def test_how_often_an_open_call_wakes_the_client(autojump_clock: MockClock) -> None:
    """Protects batteries: a round trip each interval, and nothing for each event."""
    handlers: dict[str, Handler] = {"/shop.Orders/Place": AsyncHandler(forever)}
    ours, theirs = memory_stream_pair()
    link = ClientLink(ours, "node-1", None, KeepAlive(10, 10))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, theirs, handlers, unknown)
        nursery.start_soon(link.run)
        assert await link.ready()
        call = Call(link, http2.REQUEST, [b"a"])
        await trio.sleep(100)
        with counted_steps() as steps:
            await trio.sleep(10_000)
        assert steps.count / 1000 < 18  # [14]: each 10 s one PING and its answer, on both sides
        assert call.outcome is None
        nursery.cancel_scope.cancel()


async def forever(call: ServerCall) -> None:
    await trio.sleep_forever()


async def test_a_consumer_that_stops_does_not_make_a_healthy_connection_die(autojump_clock: MockClock) -> None:
    async def flood(call: ServerCall) -> None:
        while True:
            await call.send(bytes(10_000))

    handlers: dict[str, Handler] = {"/shop.Orders/Place": AsyncHandler(flood)}
    ours, theirs = memory_stream_pair()
    link = ClientLink(ours, "node-1", None, KeepAlive(10, 10))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, theirs, handlers, unknown)
        nursery.start_soon(link.run)
        assert await link.ready()
        call = Call(link, http2.REQUEST, [b"a"])
        await trio.sleep(10_000)
        assert call.outcome is None
        assert call.waiting > 0
        nursery.cancel_scope.cancel()


async def test_a_loop_that_stood_still_does_not_make_a_healthy_connection_die(mock_clock: MockClock) -> None:
    """The answer came in time and waits in the socket, while the timer finds its time over."""
    for _ in range(20):  # trio runs the reader and the timer in any order
        async with by_hand() as (link, hand):
            call = Call(link, http2.REQUEST, [b"a"])
            await hand.heard()
            mock_clock.jump(10)
            assert pings(await hand.heard()) == 1
            hand.put(http2.frame(http2.PING, http2.ACK, 0, bytes(8)))
            mock_clock.jump(30)
            await wait_all_tasks_blocked()
            mock_clock.jump(1)
            await wait_all_tasks_blocked()
            assert call.outcome is None


async def test_a_loop_that_stood_still_before_the_ping_left(mock_clock: MockClock) -> None:
    async with by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"])
        await hand.heard()
        mock_clock.jump(1000)
        assert await hand.heard() == []
        mock_clock.jump(1)
        assert pings(await hand.heard()) == 1
        hand.put(http2.frame(http2.PING, http2.ACK, 0, bytes(8)))
        await wait_all_tasks_blocked()
        mock_clock.jump(20)
        await wait_all_tasks_blocked()
        assert call.outcome is None


async def test_a_server_that_finds_the_pings_too_many(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    keep_alive = KeepAlive(10, 10)
    async with by_hand(keep_alive) as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"])
        hand.put(http2.goaway(1, Code.ENHANCE_YOUR_CALM, b"too_many_pings"))
        await hand.heard()
        assert keep_alive.interval == 20
        assert [record.getMessage() for record in caplog.records] == [
            "node-1 finds that keepalive sends too many PINGs: new connections send one after 20 s of silence"
        ]
        await link.closed.wait()
        assert trio.current_time() == 30
        assert call.outcome is not None
        assert "too_many_pings" in call.outcome.message


async def test_without_keepalive_a_silent_server_is_waited_for(autojump_clock: MockClock) -> None:
    async with by_hand(KeepAlive(math.inf)) as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"])
        await hand.heard()
        await trio.sleep(100_000)
        assert call.outcome is None
        assert await hand.heard() == []


async def test_closing_a_connection_that_is_watched(autojump_clock: MockClock) -> None:
    async with by_hand() as (link, hand):
        Call(link, http2.REQUEST, [b"a"])
        await trio.sleep(15)
        link.close()
        await link.closed.wait()
        assert trio.current_time() == 15
        assert (link.reason, link.broken) == ("the connection was closed here", False)
        assert (await hand.heard())[-1] == http2.Sent(http2.GOAWAY, 0, 0, bytes(8))


async def test_a_frozen_client_ends_its_calls(autojump_clock: MockClock) -> None:
    hand = Hand()
    ended = trio.Event()

    async def wait(call: ServerCall) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    handlers: dict[str, Handler] = {"/shop.Orders/Place": AsyncHandler(wait)}
    link = ServerLink(hand.stream, handlers, unknown, None, Patience(ping=10, pong=10))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        hand.put(http2.PREFACE, http2.settings(), hand.headers(1, http2.REQUEST))
        await ended.wait()
        assert trio.current_time() == 20
    assert link.reason == TEXT
    sent = await hand.heard()
    assert pings(sent) == 1
    assert sent[-1].payload == struct.pack(">II", 1, Code.INTERNAL_ERROR) + TEXT.encode()


async def test_a_client_without_calls_is_asked_too(autojump_clock: MockClock) -> None:
    """As by a real node: nobody else would notice that it is gone."""
    hand = Hand()
    link = ServerLink(hand.stream, {}, unknown, None, Patience(ping=10, pong=4))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        hand.put(http2.PREFACE, http2.settings())
        await trio.sleep(11)
        assert pings(await hand.heard()) == 1
        hand.put(http2.frame(http2.PING, http2.ACK, 0, bytes(8)))
        await link.closed.wait()
        assert trio.current_time() == 25


async def test_a_client_that_takes_nothing_is_given_up(autojump_clock: MockClock) -> None:
    ours, theirs = memory_stream_pair()
    assert ours.send_stream is not None
    ours.send_stream.send_all_hook = trio.sleep_forever
    link = ServerLink(ours, {}, unknown, None, Patience(ping=10, pong=10))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        await theirs.send_all(http2.PREFACE + http2.settings())
        await link.closed.wait()
    assert trio.current_time() == 20
