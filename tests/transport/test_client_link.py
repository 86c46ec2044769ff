"""A client's link, against a server made by hand."""

from __future__ import annotations

import math
import struct

import pytest
import trio
from trio.testing import lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from tests.support import http2
from tests.support.links import Call, Consumer, Hand, client_by_hand
from trio_esdb._transport import OVERDUE, ClientLink, OverdueCalls, unary_call
from trio_esdb._transport._calls import UnaryCall
from trio_esdb._wire import Code, HeadersTooLarge, Limits, Outcome, Status

OK = Outcome(Status.OK)


async def start_unary(link: ClientLink, nursery: trio.Nursery, *messages: bytes) -> list[tuple[bytes, Outcome]]:
    """A unary call in the background, and where its result will be."""
    results: list[tuple[bytes, Outcome]] = []

    async def call() -> None:
        results.append(await unary_call(link, http2.REQUEST, messages))

    nursery.start_soon(call)
    await wait_all_tasks_blocked()
    return results


async def test_a_unary_call(nursery: trio.Nursery) -> None:
    async with client_by_hand() as (link, hand):
        results = await start_unary(link, nursery, b"a", b"b")
        head, body = await hand.heard()
        assert hand.told(head) == dict(http2.REQUEST)
        assert (body.flags, body.payload) == (http2.END_STREAM, http2.message(b"a") + http2.message(b"b"))
        hand.answer(1, b"reply")
        assert await hand.heard() == []
        assert results == [(b"reply", OK)]


async def test_a_unary_call_that_is_over_before_anybody_waits() -> None:
    async with client_by_hand() as (link, _):
        call = UnaryCall(link)
        stream = link.start(http2.REQUEST, [], call, math.inf, end=True)
        call.on_messages(stream, [b"reply"])
        call.on_end(OK)
        assert await call.run(stream) == (b"reply", OK)


async def test_a_unary_call_that_fails(nursery: trio.Nursery) -> None:
    async with client_by_hand() as (link, hand):
        results = await start_unary(link, nursery, b"a")
        trailers = (*http2.RESPONSE, ("grpc-status", "9"), ("grpc-message", "no"), ("reason", "x"))
        hand.put(hand.headers(1, trailers, end=True))
        await hand.heard()
        assert results == [(b"", Outcome(Status.FAILED_PRECONDITION, "no", {"reason": "x"}))]


@pytest.mark.parametrize("replies", [[], [b"a", b"b"]])
async def test_a_unary_call_with_another_number_of_responses(nursery: trio.Nursery, replies: list[bytes]) -> None:
    async with client_by_hand() as (link, hand):
        results = await start_unary(link, nursery, b"a")
        hand.answer(1, *replies)
        await hand.heard()
        text = f"{len(replies)} responses came to a call that has one"
        assert results == [(b"", Outcome(Status.INTERNAL, text, local=True))]


async def test_a_large_response_opens_the_window(nursery: trio.Nursery) -> None:
    async with client_by_hand(Limits(stream_window=1000)) as (link, hand):
        results = await start_unary(link, nursery, b"a")
        await hand.heard()
        raw = http2.message(b"x" * 50_000)
        hand.put(hand.headers(1, http2.RESPONSE))
        while raw:
            assert link.core.streams[1].window > 0
            size = min(link.core.streams[1].window, 10_000)
            hand.put(http2.data(1, raw[:size]))
            raw = raw[size:]
            await hand.heard()
        hand.put(hand.headers(1, http2.OK, end=True))
        await hand.heard()
        assert results == [(b"x" * 50_000, OK)]


async def test_a_unary_call_that_is_due_sooner_than_one_before_it(nursery: trio.Nursery) -> None:
    overdue = OverdueCalls(nursery.start_soon)
    ended: list[tuple[float, Outcome, float]] = []
    began = trio.current_time()

    async def call(due: float) -> None:
        _, outcome = await unary_call(link, http2.REQUEST, [b"a"], overdue=overdue, due=began + due)
        ended.append((due, outcome, trio.current_time() - began))

    async with client_by_hand() as (link, hand):
        for due in (3, 1, 4, 2, 0, 5):
            nursery.start_soon(call, due)
            await wait_all_tasks_blocked()
        hand.answer(11, b"reply")  # to the last one
        await hand.heard()
        await trio.sleep(10)
        assert [each[:2] for each in ended] == [(0, OVERDUE), (5, OK), *((due, OVERDUE) for due in (1, 2, 3, 4))]
        assert [at for _, _, at in ended] == pytest.approx([0, 0, 1, 2, 3, 4], abs=0.1)
        resets = [frame for frame in await hand.heard() if frame.kind == http2.RST_STREAM]
        assert [frame.number for frame in resets] == [Code.CANCEL] * 4, "and one before"
        assert not overdue.calls


async def test_a_cancelled_unary_call_is_reset_at_once_and_the_connection_goes_on(nursery: trio.Nursery) -> None:
    async with client_by_hand() as (link, hand):
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel_when_blocked, scope)
            await unary_call(link, http2.REQUEST, [b"a"])
        assert scope.cancelled_caught
        _, _, reset = await hand.heard()
        assert (reset.kind, reset.stream_id, reset.number) == (http2.RST_STREAM, 1, Code.CANCEL)
        hand.answer(1, b"late")
        results = await start_unary(link, nursery, b"b")
        hand.answer(3, b"reply")
        await hand.heard()
        assert results == [(b"reply", OK)]
        assert not link.core.streams


async def cancel_when_blocked(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


async def test_what_is_cancelled_already_is_not_sent() -> None:
    async with client_by_hand() as (link, hand):
        with trio.CancelScope() as scope:
            scope.cancel()
            await unary_call(link, http2.REQUEST, [b"a"])
        assert scope.cancelled_caught
        assert await hand.heard() == []


async def test_the_deadline_is_sent_and_kept(autojump_clock: trio.testing.MockClock) -> None:
    async with client_by_hand() as (link, hand):
        start = trio.current_time()
        with trio.move_on_after(60), trio.move_on_after(5) as scope, trio.move_on_after(7):
            await unary_call(link, http2.REQUEST, [b"a"])
        assert scope.cancelled_caught
        assert trio.current_time() - start == 5
        head, _, reset = await hand.heard()
        assert hand.told(head)["grpc-timeout"] == "5000m"
        assert reset.kind == http2.RST_STREAM


async def test_no_deadline_is_no_header() -> None:
    async with client_by_hand() as (link, hand):
        Call(link, http2.REQUEST, [b"a"])
        head, *_ = await hand.heard()
        assert "grpc-timeout" not in hand.told(head)


@pytest.mark.parametrize("seconds", [-math.inf, -5, 0])
async def test_a_deadline_that_has_passed_is_still_a_deadline(seconds: float) -> None:
    async with client_by_hand() as (link, hand):
        Call(link, http2.REQUEST, [b"a"], deadline=trio.current_time() + seconds)
        head, *_ = await hand.heard()
        assert hand.told(head)["grpc-timeout"] == "1m"


async def test_a_shielded_call_keeps_to_its_own_deadline(autojump_clock: trio.testing.MockClock) -> None:
    async with client_by_hand() as (link, hand):
        with trio.CancelScope() as scope:
            scope.cancel()
            with trio.move_on_after(3, shield=True):
                await unary_call(link, http2.REQUEST, [b"a"])
        head, *_ = await hand.heard()
        assert hand.told(head)["grpc-timeout"] == "3000m"


async def test_a_call_with_many_responses() -> None:
    async with client_by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"])
        assert call.address == "node-1"
        assert call.outcome is None
        hand.answer(1, b"x", b"y", b"z")
        assert await Consumer(call).rest() == [b"x", b"y", b"z"]
        assert call.outcome == OK
        call.close()
        call.close()
        assert [f.kind for f in await hand.heard()] == [http2.HEADERS, http2.DATA]


async def test_leaving_a_call_resets_it_at_once() -> None:
    async with client_by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"])
        hand.answer(1, b"x", b"y", status=None)
        consumer = Consumer(call)
        assert await consumer.receive() == b"x"
        call.close()
        assert (await hand.heard())[-1].kind == http2.RST_STREAM
        hand.put(http2.data(1, http2.message(b"late")))
        assert await hand.heard() == []
        assert not link.core.streams


async def test_a_thousand_calls_left_half_way_leave_nothing() -> None:
    async with client_by_hand() as (link, hand):
        for number in range(1000):
            call = Call(link, http2.REQUEST, [b"a"])
            hand.answer(2 * number + 1, b"x" * 100, b"y", status=None)
            await call.batches.receive()
            call.close()
        await hand.heard()
        assert not link.core.streams
        assert link.core.window + link.core.credit == link.core.limits.connection_window
        assert link.room == 100


async def test_credit_follows_the_consumer() -> None:
    """It is given back as messages are taken, half of the window at a time."""
    async with client_by_hand(Limits(stream_window=1000, largest_stream_window=1000)) as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"])
        hand.answer(1, *[b"x" * 95] * 10, status=None)
        assert not any(f.stream_id == 1 and f.kind == http2.WINDOW_UPDATE for f in await hand.heard())
        assert call.waiting == 10
        call.drawn(await call.batches.receive())
        assert call.waiting == 0
        (update,) = await hand.heard()
        assert (update.kind, update.stream_id, update.number) == (http2.WINDOW_UPDATE, 1, 1000)
        hand.put(http2.data(1, http2.message(b"x")))
        await hand.heard()
        call.drawn(await call.batches.receive())
        assert await hand.heard() == [], "too little to speak of"


@pytest.mark.parametrize("how", ["eof", "broken", "torn"])
async def test_the_loss_of_the_connection_ends_every_call(nursery: trio.Nursery, how: str) -> None:
    async with client_by_hand() as (link, hand):
        results = await start_unary(link, nursery, b"a")
        call = Call(link, http2.REQUEST, [b"a"])
        hand.answer(3, b"x", status=None)
        await hand.heard()
        if how == "eof":
            hand.hang_up()
            reason = "the peer closed the connection"
        elif how == "broken":
            with trio.CancelScope() as scope:
                scope.cancel()
                await hand.stream.receive_stream.aclose()
            reason = "the connection broke: "
        else:
            hand.put(b"\0\0\x08\x06")
            hand.hang_up()
            reason = "the peer closed the connection"
        await link.closed.wait()
        assert await Consumer(call).rest() == [b"x"], "what came before stays"
        for outcome in (results[0][1], call.outcome):
            assert outcome is not None
            assert (outcome.status, outcome.local) == (Status.UNAVAILABLE, True)
            assert outcome.message.startswith(reason)
        assert link.reason.startswith(reason)
        assert (link.room, link.core.ended) == (0, True)
        call.close()


async def test_a_connection_that_breaks_while_we_send(nursery: trio.Nursery) -> None:
    ours, theirs = lockstep_stream_pair()
    link = ClientLink(ours, "node-1")
    nursery.start_soon(link.run)
    await wait_all_tasks_blocked()
    call = Call(link, http2.REQUEST, [b"a"])
    await theirs.send_stream.aclose()
    await theirs.receive_stream.aclose()
    await link.closed.wait()
    assert call.outcome is not None
    assert call.outcome.status is Status.UNAVAILABLE
    assert not await link.ready()


async def test_only_the_way_out_is_broken(nursery: trio.Nursery) -> None:
    ours, theirs = lockstep_stream_pair()
    link = ClientLink(ours, "node-1")
    nursery.start_soon(link.run)
    await wait_all_tasks_blocked()
    await theirs.receive_stream.aclose()
    await link.closed.wait()
    assert link.reason.startswith("the connection broke: ")


async def test_the_way_out_is_broken_and_the_peer_had_said_why(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    ours, theirs = memory_stream_pair()
    link = ClientLink(ours, "node-1")
    await theirs.receive_stream.aclose()
    nursery.start_soon(link.run)
    await wait_all_tasks_blocked()
    await theirs.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await link.closed.wait()
    assert link.reason == "the server speaks HTTP/1.1 on this port, not HTTP/2"


async def test_closing_says_goodbye() -> None:
    async with client_by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"])
        link.close()
        assert link.room == 0
        *_, farewell = await hand.heard()
        assert farewell == http2.Sent(http2.GOAWAY, 0, 0, bytes(8))
        assert hand.closed
        assert link.closed.is_set()
        assert link.reason == "the connection was closed here"
        assert call.outcome == Outcome(Status.UNAVAILABLE, "the connection was closed here", local=True)


async def test_closing_sends_what_was_queued() -> None:
    async with client_by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"])
        await hand.heard()
        call.close()
        link.close()
        assert [f.kind for f in await hand.heard()] == [http2.RST_STREAM, http2.GOAWAY]
        assert hand.closed


async def test_closing_takes_bounded_time_when_the_peer_does_not_read(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    ours, theirs = lockstep_stream_pair()
    link = ClientLink(ours, "node-1")
    nursery.start_soon(link.run)
    await theirs.receive_some()  # the greeting; from now on nobody reads
    await wait_all_tasks_blocked()
    start = trio.current_time()
    link.close()
    await link.closed.wait()
    assert trio.current_time() - start == 1
    with pytest.raises(trio.ClosedResourceError):
        await ours.send_all(b"x")


async def test_closing_in_the_middle_of_a_frame_cuts_the_connection(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    ours, theirs = lockstep_stream_pair()
    link = ClientLink(ours, "node-1")
    nursery.start_soon(link.run)
    assert await theirs.receive_some(10) == http2.PREFACE[:10]
    start = trio.current_time()
    link.close()
    await link.closed.wait()
    assert trio.current_time() == start
    rest = b""
    while portion := await theirs.receive_some():
        rest += portion
    kinds = [frame.kind for frame in http2.cut((http2.PREFACE[:10] + rest).removeprefix(http2.PREFACE))]
    assert kinds == [http2.SETTINGS, http2.WINDOW_UPDATE], "nothing may follow what was torn"


async def test_a_broken_rule_is_answered_with_one_goaway(nursery: trio.Nursery) -> None:
    async with client_by_hand() as (link, hand):
        results = await start_unary(link, nursery, b"a")
        await hand.heard()
        hand.put(http2.data(7, b"x"))
        (farewell,) = await hand.heard()
        assert farewell.payload[:8] == struct.pack(">II", 0, Code.PROTOCOL_ERROR)
        text = "a frame came for stream 7, which nobody opened"
        assert results == [(b"", Outcome(Status.INTERNAL, text, local=True))]
        assert (hand.closed, link.reason) == (True, text)


async def test_a_call_is_answered_as_soon_as_headers_come() -> None:
    async with client_by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"])
        await hand.heard()
        assert not call.answered
        hand.put(hand.headers(1, http2.RESPONSE), http2.data(1, http2.message(bytes(1000))[:500]))
        await hand.heard()
        assert call.answered
        assert call.waiting == 0
        call.close()
        assert not call.answered


async def test_pings_are_answered() -> None:
    async with client_by_hand() as (_, hand):
        hand.put(http2.frame(http2.PING, 0, 0, b"12345678"))
        assert await hand.heard() == [http2.Sent(http2.PING, http2.ACK, 0, b"12345678")]


async def test_goodbye_without_calls_closes_at_once() -> None:
    async with client_by_hand() as (link, hand):
        hand.put(http2.goaway(2**31 - 1))
        await hand.heard()
        assert hand.closed
        assert link.room == 0


@pytest.mark.parametrize("queued", [1, 2, 3])
async def test_a_connection_that_is_lost_before_all_of_a_large_request_is_queued(
    queued: int, nursery: trio.Nursery
) -> None:
    """Its messages are queued in turns of ten thousand: before the last turn, the server cannot have done anything."""
    async with client_by_hand() as (link, hand):
        results: list[tuple[bytes, Outcome]] = []
        hand.put(http2.settings((4, 10**6)), http2.window_update(0, 10**6))
        await hand.heard()

        async def call() -> None:
            results.append(await unary_call(link, http2.REQUEST, [b""] * 30_000))

        nursery.start_soon(call)
        for _ in range(queued):
            await trio.lowlevel.checkpoint()
        if queued == 3:
            await hand.heard()
        hand.hang_up()
        await link.closed.wait()
        await wait_all_tasks_blocked()
        ((_, outcome),) = results
        assert (outcome.lost, outcome.unsent) == (True, queued < 3)


@pytest.mark.parametrize("ending", ["answer", "cancel", "refuse"])
async def test_after_goodbye_open_calls_go_on_and_the_last_closes_the_link(nursery: trio.Nursery, ending: str) -> None:
    async with client_by_hand() as (link, hand):
        results = await start_unary(link, nursery, b"a")
        call = Call(link, http2.REQUEST, [b"a"])
        await hand.heard()
        hand.put(http2.goaway(1 if ending == "refuse" else 2**31 - 1))
        assert await hand.heard() == []
        assert (link.room, link.closed.is_set()) == (0, False)
        hand.answer(1, b"reply")
        if ending == "refuse":
            assert call.outcome is not None
            assert call.outcome.refused
        else:
            await hand.heard()
            assert not link.closed.is_set()
            if ending == "answer":
                hand.answer(3, b"x")
            else:
                call.close()
        await hand.heard()
        assert results == [(b"reply", OK)]
        assert hand.closed


async def test_ready_waits_for_settings(nursery: trio.Nursery) -> None:
    hand = Hand()
    link = ClientLink(hand.stream, "node-1")
    nursery.start_soon(link.run)
    answers: list[bool] = []

    async def ask() -> None:
        answers.append(await link.ready())

    nursery.start_soon(ask)
    await hand.heard()
    assert not answers
    hand.put(http2.settings((3, 7)))
    await hand.heard()
    assert answers == [True]
    assert link.room == 7


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_never_ready(nursery: trio.Nursery, raw: bytes) -> None:
    hand = Hand()
    link = ClientLink(hand.stream, "node-1")
    nursery.start_soon(link.run)
    if raw:
        hand.put(raw)
    else:
        hand.hang_up()
    assert not await link.ready()
    await link.closed.wait()
    assert ("HTTP/1.1" in link.reason) == bool(raw)


async def test_headers_larger_than_the_server_takes() -> None:
    async with client_by_hand() as (link, hand):
        hand.put(http2.settings((6, 500)))
        await hand.heard()
        large = (*http2.REQUEST, ("x", "y" * 500))
        with pytest.raises(HeadersTooLarge):
            await unary_call(link, large, [b"a"])
        with pytest.raises(HeadersTooLarge):
            Call(link, large, [b"a"])
        assert await hand.heard() == []
        assert not link.core.streams


async def test_requests_larger_than_the_window_go_as_it_opens(nursery: trio.Nursery) -> None:
    async with client_by_hand() as (link, hand):
        results = await start_unary(link, nursery, b"x" * 100_000)
        sent = sum(len(f.payload) for f in (await hand.heard())[1:])
        assert sent == 65_535
        hand.put(http2.window_update(0, 10**6), http2.window_update(1, 10**6))
        frames = await hand.heard()
        assert sum(len(f.payload) for f in frames) == 100_005 - 65_535
        assert frames[-1].flags == http2.END_STREAM
        hand.answer(1, b"reply")
        await hand.heard()
        assert results == [(b"reply", OK)]


# A call that goes on sending


async def test_requests_after_the_first_ones() -> None:
    async with client_by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [b"a"], end=False)
        _, first = await hand.heard()
        assert (first.flags, first.payload) == (0, http2.message(b"a"))
        await call.send(b"b", b"c")
        (more,) = await hand.heard()
        assert (more.flags, more.payload) == (0, http2.message(b"b") + http2.message(b"c"))
        hand.answer(1, b"x", status=None)
        assert await Consumer(call).receive() == b"x"
        call.half_close()
        call.half_close()
        (end,) = await hand.heard()
        assert (end.kind, end.flags, end.payload) == (http2.DATA, http2.END_STREAM, b"")
        with pytest.raises(trio.ClosedResourceError, match="half-closed"):
            await call.send(b"d")
        hand.put(hand.headers(1, (("grpc-status", "0"),), end=True))
        assert await Consumer(call).rest() == []
        assert call.outcome == OK


async def test_sending_waits_for_the_servers_window(nursery: trio.Nursery) -> None:
    async with client_by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [], end=False)
        sent: list[int] = []

        async def send() -> None:
            for number in range(6):
                await call.send(b"x" * 50_000)
                sent.append(number)

        nursery.start_soon(send)
        await hand.heard()
        assert sent == [0, 1]  # the window is full, and a little more than 64 KiB wait
        hand.put(http2.window_update(0, 10**6), http2.window_update(1, 60_000))
        await hand.heard()
        assert sent == [0, 1], "there is less than before, but what waited for room goes on when all of it has left"
        hand.put(http2.window_update(1, 10**6))
        await hand.heard()
        assert sent == [0, 1, 2, 3, 4, 5]
        call.close()


@pytest.mark.parametrize("how", ["ended", "closed", "lost"])
async def test_sending_stops_with_the_call(nursery: trio.Nursery, how: str) -> None:
    async with client_by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [], end=False)
        told: list[type[BaseException]] = []

        async def send() -> None:
            try:
                await call.send(b"x" * 200_000)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                told.append(type(exc))

        for _ in range(2):
            nursery.start_soon(send)
        await hand.heard()
        if how == "closed":
            call.close()
        elif how == "lost":
            hand.hang_up()
        else:
            hand.answer(1)
        await hand.heard()
        expected = trio.ClosedResourceError if how == "closed" else trio.BrokenResourceError
        assert told == [expected, expected]
        for use in (lambda: call.send(b"y"), lambda: call.send()):
            with pytest.raises(expected):
                await use()
        with pytest.raises(expected):
            call.half_close()
        assert not link.core.streams


async def test_what_was_given_to_a_cancelled_send_is_sent(nursery: trio.Nursery) -> None:
    async with client_by_hand() as (link, hand):
        call = Call(link, http2.REQUEST, [], end=False)
        with trio.move_on_after(1) as scope:
            await call.send(b"x" * 200_000)
        assert scope.cancelled_caught
        call.half_close()
        hand.put(http2.window_update(0, 10**6), http2.window_update(1, 10**6))
        frames = [f for f in await hand.heard() if f.kind == http2.DATA]
        assert b"".join(f.payload for f in frames) == http2.message(b"x" * 200_000)
        assert frames[-1].flags == http2.END_STREAM
        with trio.CancelScope() as scope:
            scope.cancel()
            await call.send(b"")
        assert scope.cancelled_caught
        call.close()


@pytest.mark.parametrize("complaint", [trio.BrokenResourceError("gone"), ConnectionResetError(104, "reset")])
async def test_a_stream_that_cannot_be_closed_without_a_complaint(complaint: Exception) -> None:
    """The connection ends all the same, and so does nothing else."""
    async with client_by_hand() as (link, hand):

        async def close() -> None:
            raise complaint

        hand.stream.aclose = close  # type: ignore[method-assign]
        hand.hang_up()
        await link.closed.wait()
        assert link.reason == "the peer closed the connection"
