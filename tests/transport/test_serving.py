"""A server's link, against a client made by hand."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Callable, Generator

import pytest
import trio
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from tests.support import http2
from tests.support.links import Hand, headers, server_by_hand, unknown
from trio_esdb._transport._handlers import AsyncHandler, Failure, Handler, ServerCall, SyncHandler
from trio_esdb._transport._serving import serve_stream
from trio_esdb._wire import Code, Status

Reply = Generator[None, bytes | None, bytes]


def joined(_: ServerCall) -> Reply:
    """Answers with all requests, one after another."""
    found = []
    while (message := (yield)) is not None:
        found.append(message)
    return b"+".join(found)


async def echo(call: ServerCall) -> None:
    """Sends each request back."""
    while True:
        try:
            message = await call.receive()
        except trio.EndOfChannel:
            return
        await call.send(message)


METHODS: dict[str, Handler] = {"/joined": SyncHandler(joined), "/echo": AsyncHandler(echo)}


def ask(hand: Hand, stream_id: int, path: str, *messages: bytes, end: bool = True, timeout: str | None = None) -> None:
    """A call with these requests."""
    more = () if timeout is None else (("grpc-timeout", timeout),)
    hand.put(
        hand.headers(stream_id, headers(path, *more)),
        *(http2.data(stream_id, http2.message(m)) for m in messages),
        *([http2.data(stream_id, b"", end=True)] if end else []),
    )


async def heard(hand: Hand) -> list[object]:
    """What the server says, in short: header blocks as dictionaries, DATA as bytes, resets as numbers."""
    found: list[object] = []
    for sent in await hand.heard():
        match sent.kind:
            case http2.HEADERS:
                found.append({k: v for k, v in hand.told(sent).items() if k != "content-type"})
            case http2.DATA:
                found.append(sent.payload)
            case http2.RST_STREAM:
                found.append(Code(sent.number))
            case _:
                found.append(sent)
    return found


def status(status: Status, message: str = "", **more: str) -> dict[str, str]:
    told = {":status": "200", "grpc-status": str(status.value)} | more
    return told | ({"grpc-message": message} if message else {})


OK = {"grpc-status": "0"}
BEGIN = {":status": "200"}


async def test_an_answer() -> None:
    async with server_by_hand(METHODS) as hand:
        ask(hand, 1, "/joined", b"a", b"b", end=False)
        assert await heard(hand) == []
        hand.put(http2.data(1, http2.message(b"c"), end=True))
        assert await heard(hand) == [BEGIN, http2.message(b"a+b+c"), OK]


async def test_a_conversation() -> None:
    async with server_by_hand(METHODS) as hand:
        ask(hand, 1, "/echo", b"a", b"b", end=False)
        assert await heard(hand) == [BEGIN, http2.message(b"a"), http2.message(b"b")]
        hand.put(http2.data(1, http2.message(b"c"), end=True))
        assert await heard(hand) == [http2.message(b"c"), OK]


async def test_an_unknown_path() -> None:
    async with server_by_hand(METHODS) as hand:
        ask(hand, 1, "/nothing", b"a")
        assert await heard(hand) == [status(Status.UNIMPLEMENTED, "no method /nothing")]


async def test_what_a_method_sees_of_the_call(autojump_clock: MockClock) -> None:
    seen: list[ServerCall] = []

    async def look(call: ServerCall) -> None:
        seen.append(call)

    async with server_by_hand({"/look": AsyncHandler(look)}) as hand:
        more = (("requires-leader", "true"), ("id-bin", "AAE"), ("grpc-timeout", "2S"))
        hand.put(hand.headers(1, headers("/look", *more), end=True), hand.headers(3, headers("/look"), end=True))
        await hand.heard()
    first, second = sorted(seen, key=lambda call: call.deadline)
    assert (first.path, first.metadata) == ("/look", {"requires-leader": "true", "id-bin": b"\0\1"})
    assert first.deadline == trio.current_time() + 2
    assert second.deadline == math.inf
    assert "_link" not in repr(first)


async def test_an_answer_may_come_before_the_requests_end() -> None:
    def first(_: ServerCall) -> Reply:
        message = yield
        assert message is not None
        return message

    def at_once(_: ServerCall) -> Reply:
        return b"now"
        yield

    async with server_by_hand({"/first": SyncHandler(first), "/at-once": SyncHandler(at_once)}) as hand:
        ask(hand, 1, "/first", b"a", b"b", end=False)
        assert await heard(hand) == [BEGIN, http2.message(b"a"), OK, Code.NO_ERROR]
        hand.put(http2.data(1, http2.message(b"late"), end=True))
        assert await heard(hand) == []
        ask(hand, 3, "/at-once", b"x", end=False, timeout="5S")
        assert await heard(hand) == [BEGIN, http2.message(b"now"), OK, Code.NO_ERROR]


async def test_a_conversation_may_end_before_the_requests() -> None:
    async def one(call: ServerCall) -> None:
        await call.send(await call.receive())

    async with server_by_hand({"/one": AsyncHandler(one)}) as hand:
        ask(hand, 1, "/one", b"a", b"b", end=False)
        assert await heard(hand) == [BEGIN, http2.message(b"a"), OK, Code.NO_ERROR]


@pytest.mark.parametrize("moment", ["first", "request", "end"])
async def test_an_answer_fails(moment: str) -> None:
    failure = Failure(Status.NOT_FOUND, "gone", {"name": "x", "empty": "", "id-bin": b"\1"})

    def failing(_: ServerCall) -> Reply:
        if moment == "first":
            raise failure
        yield
        if moment == "request":
            raise failure
        yield
        raise failure

    async with server_by_hand({"/failing": SyncHandler(failing)}) as hand:
        ask(hand, 1, "/failing", b"a", end=moment == "end")
        told, *reset = await heard(hand)
        assert told == status(Status.NOT_FOUND, "gone", name="x") | {"id-bin": "AQ"}
        assert reset == ([] if moment == "end" else [Code.NO_ERROR])


@pytest.mark.parametrize("begun", [False, True])
async def test_a_conversation_fails(begun: bool) -> None:
    async def failing(call: ServerCall) -> None:
        if begun:
            await call.send(b"a")
        raise Failure(Status.ABORTED, "too slow")

    async with server_by_hand({"/failing": AsyncHandler(failing)}) as hand:
        ask(hand, 1, "/failing")
        if begun:
            told = {"grpc-status": "10", "grpc-message": "too slow"}
            assert await heard(hand) == [BEGIN, http2.message(b"a"), told]
        else:
            assert await heard(hand) == [status(Status.ABORTED, "too slow")]


@pytest.mark.parametrize(
    ("message", "trailers"),
    [("x", {"name": "caf\u00e9"}), ("x", {"name": "a\nb"}), ("x", {"name": b"x"}), ("\udc80", {})],
)
@pytest.mark.parametrize("begun", [False, True])
async def test_trailers_that_are_no_headers(message: str, trailers: dict[str, str | bytes], begun: bool) -> None:
    async def failing(call: ServerCall) -> None:
        if begun:
            await call.send(b"a")
        raise Failure(Status.ABORTED, message, trailers)

    async with server_by_hand({"/failing": AsyncHandler(failing)} | METHODS) as hand:
        ask(hand, 1, "/failing")
        if begun:
            assert await heard(hand) == [BEGIN, http2.message(b"a"), Code.INTERNAL_ERROR]
        else:
            assert await heard(hand) == [{":status": "500", "content-length": "0"}]
        ask(hand, 3, "/joined", b"on")
        assert await heard(hand) == [BEGIN, http2.message(b"on"), OK]


async def test_a_reset_cancels_the_method() -> None:
    stopped: list[str] = []

    async def waiting(call: ServerCall) -> None:
        try:
            await call.receive()
            await trio.sleep_forever()
        except trio.Cancelled:
            stopped.append("conversation")
            raise

    def generator(_: ServerCall) -> Reply:
        try:
            while True:
                yield
        finally:
            stopped.append("answer")

    async with server_by_hand({"/waiting": AsyncHandler(waiting), "/generator": SyncHandler(generator)}) as hand:
        ask(hand, 1, "/waiting", b"a", end=False)
        ask(hand, 3, "/generator", b"a", end=False, timeout="9S")
        await hand.heard()
        hand.put(http2.rst_stream(1, 8), http2.rst_stream(3, 8))
        assert await heard(hand) == []
        assert sorted(stopped) == ["answer", "conversation"]


async def test_requests_that_cannot_be_understood_cancel_the_method() -> None:
    async with server_by_hand(METHODS) as hand:
        ask(hand, 1, "/echo", end=False)
        ask(hand, 3, "/joined", end=False)
        await hand.heard()
        hand.put(http2.data(1, http2.message(b"x", flag=1)), http2.data(3, b"\0", end=True))
        compressed = "Request did not include grpc-encoding value with compressed message."
        assert await heard(hand) == [
            status(Status.INTERNAL, "Incomplete message."),
            status(Status.INTERNAL, compressed),
            Code.NO_ERROR,
        ]


def crash(call: ServerCall) -> Reply:
    yield
    raise KeyError(call.path)


def greedy(_: ServerCall) -> Reply:
    while True:
        yield


def forgetful(_: ServerCall) -> Reply:
    yield
    return None  # type: ignore[return-value]


async def collapse(call: ServerCall) -> None:
    raise KeyError(call.path)


async def wrong_type(call: ServerCall) -> None:
    await call.send("text")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (SyncHandler(crash), "KeyError('/bug')"),
        (SyncHandler(greedy), "RuntimeError('it asked for another request after the last')"),
        (SyncHandler(forgetful), "TypeError"),
        (AsyncHandler(collapse), "KeyError('/bug')"),
        (AsyncHandler(wrong_type), "TypeError"),
    ],
)
async def test_a_bug_of_a_method_ends_its_call_alone(
    method: Handler, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with server_by_hand({"/bug": method} | METHODS) as hand:
        ask(hand, 1, "/echo", b"a", end=False)
        ask(hand, 3, "/bug", b"a")
        (told,) = (told for told in await heard(hand) if isinstance(told, dict) and "grpc-status" in told)
        assert (told["grpc-status"], told["grpc-message"]) == ("2", "Exception was thrown by handler.")
        hand.put(http2.data(1, http2.message(b"b"), end=True))
        assert await heard(hand) == [http2.message(b"b"), OK]
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("trio_esdb.server", logging.ERROR, "/bug failed")
    assert record.exc_info is not None
    assert text.split("(")[0] in repr(record.exc_info[1])


async def test_a_bug_in_the_clean_up_of_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    def stubborn(_: ServerCall) -> Reply:
        try:
            while True:
                yield
        finally:
            raise KeyError("clean-up")

    async with server_by_hand({"/stubborn": SyncHandler(stubborn)} | METHODS) as hand:
        ask(hand, 1, "/stubborn", end=False)
        hand.put(http2.rst_stream(1, 8))
        ask(hand, 3, "/joined", b"on")
        assert await heard(hand) == [BEGIN, http2.message(b"on"), OK]
    assert [record.getMessage() for record in caplog.records] == ["/stubborn failed when it was stopped"]


@pytest.mark.parametrize("path", ["/greedy", "/forever"])
async def test_the_deadline(path: str, autojump_clock: MockClock) -> None:
    async def forever(call: ServerCall) -> None:
        await trio.sleep_forever()

    async with server_by_hand({"/greedy": SyncHandler(greedy), "/forever": AsyncHandler(forever)}) as hand:
        ask(hand, 1, path, b"a", end=False, timeout="2500m")
        await trio.sleep(2.499)
        assert await heard(hand) == []
        await trio.sleep(0.001)
        assert await heard(hand) == [status(Status.DEADLINE_EXCEEDED, "Deadline Exceeded"), Code.NO_ERROR]


async def test_a_deadline_in_the_middle_of_an_answer(autojump_clock: MockClock) -> None:
    async def ticking(call: ServerCall) -> None:
        while True:
            await call.send(b"tick")
            await trio.sleep(1)

    async with server_by_hand({"/ticking": AsyncHandler(ticking)}) as hand:
        ask(hand, 1, "/ticking", timeout="1500m")
        await trio.sleep(5)
        late = {"grpc-status": "4", "grpc-message": "Deadline Exceeded"}
        assert await heard(hand) == [BEGIN, http2.message(b"tick"), http2.message(b"tick"), late]


async def test_a_deadline_kept_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    async with server_by_hand(METHODS) as hand:
        before = trio.lowlevel.current_statistics().tasks_living
        ask(hand, 1, "/joined", b"a", timeout="60S")
        assert await heard(hand) == [BEGIN, http2.message(b"a"), OK]
        assert trio.lowlevel.current_statistics().tasks_living == before
        await trio.sleep(100)
        assert await heard(hand) == []


async def test_a_deadline_that_has_passed_already(autojump_clock: MockClock) -> None:
    async with server_by_hand(METHODS) as hand:
        ask(hand, 1, "/joined", end=False, timeout="0m")
        ask(hand, 3, "/echo", end=False, timeout="0m")
        told = await heard(hand)
        assert told.count(status(Status.DEADLINE_EXCEEDED, "Deadline Exceeded")) == 2


async def stream_of(call: ServerCall, sent: Callable[[], None]) -> None:
    while True:
        await call.send(b"x" * 995)
        sent()


async def test_a_client_that_does_not_take_stops_the_method() -> None:
    sent = 0

    async def endless(call: ServerCall) -> None:
        def count() -> None:
            nonlocal sent
            sent += 1

        await stream_of(call, count)

    async with server_by_hand({"/endless": AsyncHandler(endless)}, None, (4, 10_000)) as hand:
        ask(hand, 1, "/endless")
        await hand.heard()
        assert 10 + 64 <= sent <= 10 + 67, "the client's window, and a little more"
        before = sent
        hand.put(http2.window_update(1, 20_000))
        await hand.heard()
        assert sent == before, "the method goes on once all is out"
        hand.put(http2.window_update(0, 100_000), http2.window_update(1, 80_000))
        await hand.heard()
        assert 110 <= sent - 64 <= 113
        hand.put(http2.rst_stream(1, 8))
        await hand.heard()


async def test_posting_needs_no_task() -> None:
    calls: list[ServerCall] = []
    done = trio.Event()

    async def posted_to(call: ServerCall) -> None:
        calls.append(call)
        await done.wait()

    async with server_by_hand({"/posted": AsyncHandler(posted_to)}, None, (4, 10)) as hand:
        ask(hand, 1, "/posted")
        await hand.heard()
        (call,) = calls
        call.post(b"abc", b"d")
        assert call.behind
        assert await heard(hand) == [BEGIN, (http2.message(b"abc") + http2.message(b"d"))[:10]]
        hand.put(http2.window_update(1, 100))
        assert await heard(hand) == [http2.message(b"d")[2:]]
        assert not call.behind
        done.set()
        assert await heard(hand) == [OK]
        call.post(b"late")
        assert await heard(hand) == []


async def test_two_tasks_of_a_method_wait_for_the_same_room() -> None:
    done: list[int] = []

    async def both(call: ServerCall) -> None:
        async def one(number: int) -> None:
            await call.send(b"x" * 70_000)
            done.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, 1)
            nursery.start_soon(one, 2)

    async with server_by_hand({"/both": AsyncHandler(both)}, None, (4, 0)) as hand:
        ask(hand, 1, "/both")
        await hand.heard()
        assert not done
        hand.put(http2.window_update(1, 10**6), http2.window_update(0, 10**6))
        *_, last = await heard(hand)
        assert sorted(done) == [1, 2]
        assert last == OK


async def test_a_method_that_does_not_take_stops_the_client() -> None:
    go_on = trio.Event()

    async def slow(call: ServerCall) -> None:
        await go_on.wait()
        await echo(call)

    def windows(frames: list[http2.Sent]) -> int:
        return sum(f.number for f in frames if f.kind == http2.WINDOW_UPDATE and f.stream_id == 1)

    async with server_by_hand({"/slow": AsyncHandler(slow)}, http2.SMALL) as hand:
        ask(hand, 1, "/slow", *[b"x" * 995] * 65, end=False)
        assert windows(await hand.heard()) == 0
        go_on.set()
        assert windows(await hand.heard()) > 30_000


async def test_the_end_of_the_connection_cancels_all_methods() -> None:
    ended: list[str] = []

    async def waiting(call: ServerCall) -> None:
        try:
            await call.receive()
        finally:
            ended.append("conversation")

    def generator(_: ServerCall) -> Reply:
        try:
            yield
        finally:
            ended.append("answer")
        return b""

    hand = Hand()
    methods: dict[str, Handler] = {"/waiting": AsyncHandler(waiting), "/generator": SyncHandler(generator)}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, hand.stream, methods, unknown)
        hand.put(http2.PREFACE, http2.settings())
        ask(hand, 1, "/waiting", end=False)
        ask(hand, 3, "/generator", end=False, timeout="9S")
        await hand.heard()
        hand.hang_up()
    assert sorted(ended) == ["answer", "conversation"]
    assert [f.kind for f in await hand.heard()] == [http2.GOAWAY]
    assert hand.closed


async def test_cancelling_the_server_says_goodbye() -> None:
    hand = Hand()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, hand.stream, METHODS, unknown)
        hand.put(http2.PREFACE, http2.settings())
        ask(hand, 1, "/echo", b"a", end=False)
        await hand.heard()
        nursery.cancel_scope.cancel()
    (farewell,) = await hand.heard()
    assert (farewell.kind, farewell.payload) == (http2.GOAWAY, struct.pack(">II", 1, 0))
    assert hand.closed


async def test_a_client_that_breaks_the_rules() -> None:
    hand = Hand()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, hand.stream, METHODS, unknown)
        hand.put(http2.PREFACE, http2.settings(), http2.data(0, b"", end=True))
    *_, farewell = await hand.heard()
    assert farewell.payload == struct.pack(">II", 0, 1) + b"a frame came for stream 0, which nobody opened"


async def test_a_client_that_neither_reads_nor_leaves(autojump_clock: MockClock) -> None:
    ours, theirs = lockstep_stream_pair()
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, theirs, METHODS, unknown)
        await ours.send_all(http2.PREFACE)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert trio.current_time() == start, "it was in the middle of its greeting"
    assert await ours.receive_some() != b""
    assert await ours.receive_some() == b""


async def test_a_method_that_refuses_to_be_cancelled_may_finish() -> None:
    finished = trio.Event()

    async def stubborn(call: ServerCall) -> None:
        with trio.CancelScope(shield=True):
            await finished.wait()
            await call.send(b"to nobody")

    async with server_by_hand({"/stubborn": AsyncHandler(stubborn)} | METHODS) as hand:
        ask(hand, 1, "/stubborn", b"a", end=False)
        hand.put(http2.data(1, http2.message(b"b")), http2.rst_stream(1, 8))
        await hand.heard()
        finished.set()
        assert await heard(hand) == []
        ask(hand, 3, "/joined", b"on")
        assert await heard(hand) == [BEGIN, http2.message(b"on"), OK]


async def burst(call: ServerCall) -> None:
    """Leaves more behind than the client has room for."""
    with trio.move_on_after(0):
        await call.send(b"x" * 100_000)


async def test_a_reset_after_the_end_of_a_method_that_still_sends() -> None:
    async with server_by_hand({"/burst": AsyncHandler(burst)} | METHODS, None, (4, 10)) as hand:
        ask(hand, 1, "/burst", end=False)
        assert await heard(hand) == [BEGIN, b"\0" + struct.pack(">I", 100_000) + b"xxxxx"]
        hand.put(http2.rst_stream(1, 8))
        ask(hand, 3, "/joined", b"on")
        assert await heard(hand) == [BEGIN, http2.message(b"on"), OK]


async def test_requests_after_the_end_of_a_method_that_still_sends() -> None:
    async with server_by_hand({"/burst": AsyncHandler(burst)}, None, (4, 10)) as hand:
        ask(hand, 1, "/burst", end=False)
        await hand.heard()
        hand.put(http2.data(1, http2.message(b"late")), http2.data(1, b"", end=True))
        assert await heard(hand) == []
        hand.put(http2.window_update(1, 10**6), http2.window_update(0, 10**6))
        *body, last = await heard(hand)
        assert sum(len(piece) for piece in body if isinstance(piece, bytes)) == 100_005 - 10
        assert last == OK


async def test_memory_streams_end_to_end() -> None:
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, theirs, METHODS, unknown)
        await ours.send_all(http2.PREFACE + http2.settings())
        await ours.aclose()
