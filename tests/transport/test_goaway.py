"""What the calls and the owner of a connection are told when the server says GOAWAY."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support import http2
from tests.support.links import Call, Consumer, Hand, client_by_hand
from trio_esdb._transport import ClientLink, StreamingCall, unary_call
from trio_esdb._wire import Outcome, Status

BOTH = (http2.goaway(2**31 - 1), http2.goaway(3))


@pytest.mark.parametrize(
    "goaways",
    [(BOTH[0],), BOTH, (http2.goaway(3),), (http2.goaway(3, 11, b"slow down"),)],
    ids=["draining", "draining, then the last call", "the last call only", "with a code"],
)
@pytest.mark.parametrize("together", [True, False])
async def test_open_calls_are_told_once_and_go_on(
    goaways: Sequence[bytes], together: bool, nursery: trio.Nursery
) -> None:
    async with client_by_hand() as (link, hand):
        replies: list[tuple[bytes, Outcome]] = []

        async def ask() -> None:
            replies.append(await unary_call(link, http2.REQUEST, [b"a"]))

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        call = Call(link, http2.REQUEST, [b"a"])
        ended = Call(link, http2.REQUEST, [b"a"])
        await hand.heard()
        hand.answer(5)
        await hand.heard()
        if together:
            hand.put(*goaways)
        else:
            for goaway in goaways:
                hand.put(goaway)
                await hand.heard()
        await hand.heard()
        assert call.draining == 1
        assert ended.draining == 0
        assert link.room == 0
        hand.answer(1, b"reply")
        hand.answer(3, b"message")
        await hand.heard()
        assert replies == [(b"reply", Outcome(Status.OK))]
        assert await Consumer(call).rest() == [b"message"]
        assert call.outcome == Outcome(Status.OK)
        assert hand.closed, "it closes with its last call"


async def test_a_call_that_is_refused_ends_and_is_not_told_first() -> None:
    async with client_by_hand() as (link, hand):
        first, second = (Call(link, http2.REQUEST, [b"a"]) for _ in range(2))
        await hand.heard()
        hand.put(http2.goaway(1))
        await hand.heard()
        assert (first.draining, first.outcome) == (1, None)
        assert second.draining == 0
        assert second.outcome is not None
        assert second.outcome.refused


async def test_a_call_that_the_second_goaway_refuses() -> None:
    async with client_by_hand() as (link, hand):
        first, second = (Call(link, http2.REQUEST, [b"a"]) for _ in range(2))
        await hand.heard()
        hand.put(http2.goaway(2**31 - 1))
        await hand.heard()
        assert (first.draining, second.draining) == (1, 1)
        hand.put(http2.goaway(1))
        await hand.heard()
        assert second.outcome is not None
        assert second.outcome.refused
        assert first.outcome is None


class Leaver:
    """A sink that closes its call, and another one, as soon as the server says GOAWAY."""

    def __init__(self) -> None:
        self.to_close: list[StreamingCall] = []
        self.told = 0

    def on_messages(self, messages: list[bytes]) -> None:
        raise AssertionError("nothing was sent")

    def on_draining(self) -> None:
        self.told += 1
        for call in self.to_close:
            call.close()

    def on_end(self, outcome: Outcome) -> None:
        raise AssertionError("it was closed here")


async def test_a_call_may_be_closed_when_it_is_told() -> None:
    async with client_by_hand() as (link, hand):
        sink = Leaver()
        for _ in range(2):
            call = StreamingCall(link, http2.REQUEST, [b"a"], sink, deadline=math.inf)
            sink.to_close.append(call)
        await hand.heard()
        hand.put(http2.goaway(2**31 - 1))
        sent = await hand.heard()
        assert [(f.kind, f.stream_id) for f in sent] == [
            (http2.RST_STREAM, 1),
            (http2.RST_STREAM, 3),
            (http2.GOAWAY, 0),
        ]
        assert sink.told == 1, "the second call was closed before its turn"
        assert hand.closed
        assert not link.core.streams


async def test_the_owner_of_a_connection_is_told_once(nursery: trio.Nursery) -> None:
    told: list[int] = []

    class Owned(ClientLink):
        def on_goaway(self) -> None:
            told.append(self.room)

    hand = Hand()
    link = Owned(hand.stream, "node-1")
    nursery.start_soon(link.run)
    hand.put(http2.settings((3, 100)))
    await hand.heard()
    Call(link, http2.REQUEST, [b"a"])
    await hand.heard()
    assert told == []
    hand.put(*BOTH)
    await hand.heard()
    assert told == [0]
    hand.hang_up()
    await link.closed.wait()
    assert link.broken
    assert link.reason == "the peer closed the connection"
    assert link.core.goaway == "the server closes the connection with NO_ERROR"


async def test_a_connection_without_calls_closes_at_once() -> None:
    async with client_by_hand() as (link, hand):
        hand.put(http2.goaway(2**31 - 1))
        await hand.heard()
        await link.closed.wait()
        assert not link.broken
        assert hand.closed
