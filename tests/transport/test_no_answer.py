"""A handler that returns ``Never`` leaves its call open, and costs no task."""

from __future__ import annotations

from collections.abc import Generator

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support import http2
from tests.support.links import server_by_hand
from trio_esdb._transport._handlers import Never, ServerCall, SyncHandler

from .test_serving import BEGIN, METHODS, OK, ask, heard


def silent(_: ServerCall) -> Generator[None, bytes | None, Never]:
    while (yield) is not None:
        pass
    return Never()


HANDLERS = METHODS | {"/silent": SyncHandler(silent)}


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def test_the_call_stays_open_and_others_are_answered(autojump_clock: MockClock) -> None:
    async with server_by_hand(HANDLERS) as hand:
        before = tasks()
        for stream in range(1, 41, 2):
            ask(hand, stream, "/silent", b"a")
        assert await heard(hand) == []
        assert tasks() == before
        await trio.sleep(10_000)
        ask(hand, 41, "/joined", b"a")
        assert await heard(hand) == [BEGIN, http2.message(b"a"), OK]


async def test_it_ends_by_its_deadline(autojump_clock: MockClock) -> None:
    async with server_by_hand(HANDLERS) as hand:
        before = tasks()
        ask(hand, 1, "/silent", b"a", timeout="3S")
        await trio.sleep(2.9)
        assert await heard(hand) == []
        await trio.sleep(0.2)
        (ended,) = await heard(hand)
        assert ended == {":status": "200", "grpc-status": "4", "grpc-message": "Deadline Exceeded"}
        assert tasks() == before


async def test_it_ends_by_a_reset() -> None:
    async with server_by_hand(HANDLERS) as hand:
        for stream in range(1, 401, 2):  # twice as many as may be open
            ask(hand, stream, "/silent", b"a")
            hand.put(http2.rst_stream(stream, 8))
            await wait_all_tasks_blocked()
        assert await heard(hand) == []
        assert not hand.closed


async def test_it_ends_with_the_connection() -> None:
    async with server_by_hand(HANDLERS) as hand:
        ask(hand, 1, "/silent", b"a")
        await hand.heard()
        hand.hang_up()
        await hand.heard()
        assert hand.closed
