"""How a server ends connections: after GOAWAY with their last call, for silence, for output that nobody takes."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from tests.support import http2
from tests.support.links import Hand, headers, unknown
from trio_esdb._transport._admission import Admission, usual_connections
from trio_esdb._transport._handlers import AsyncHandler, Handler, ServerCall
from trio_esdb._transport._serving import Patience, ServerLink

from .test_serving import BEGIN, METHODS, OK, ask, heard

INFINITE = struct.pack(">II", 2**31 - 1, 0)


async def forever(call: ServerCall) -> None:
    await call.send(b"begun")
    await trio.sleep_forever()


HANDLERS: dict[str, Handler] = METHODS | {"/forever": AsyncHandler(forever)}


@asynccontextmanager
async def serving(patience: Patience | None = None, *, greet: bool = True) -> AsyncIterator[tuple[ServerLink, Hand]]:
    """A server's link and a client made by hand."""
    hand = Hand()
    link = ServerLink(hand.stream, HANDLERS, unknown, None, patience)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        if greet:
            hand.put(http2.PREFACE, http2.settings())
            await hand.heard()
        yield link, hand
        nursery.cancel_scope.cancel()


def goaways(found: list[object]) -> list[bytes]:
    return [sent.payload for sent in found if isinstance(sent, http2.Sent) and sent.kind == http2.GOAWAY]


async def test_a_connection_without_calls_ends_at_once() -> None:
    async with serving() as (link, hand):
        link.drain()
        assert goaways(await heard(hand)) == [struct.pack(">II", 0, 0)]
        assert hand.closed


async def test_a_connection_ends_with_its_last_call() -> None:
    async with serving() as (link, hand):
        ask(hand, 1, "/echo", b"a", end=False)
        await heard(hand)
        link.drain()
        (goaway,) = await heard(hand)
        assert goaways([goaway]) == [INFINITE]
        ask(hand, 3, "/joined", b"new")
        assert await heard(hand) == [BEGIN, http2.message(b"new"), OK], "a real node serves new calls for a while, too"
        hand.put(http2.data(1, http2.message(b"b"), end=True))
        *rest, farewell = await heard(hand)
        assert rest == [http2.message(b"b"), OK]
        assert goaways([farewell]) == [struct.pack(">II", 3, 0)]
        assert hand.closed


async def test_a_connection_ends_when_its_last_call_is_reset() -> None:
    async with serving() as (link, hand):
        ask(hand, 1, "/forever")
        await heard(hand)
        link.drain()
        await heard(hand)
        assert not hand.closed
        hand.put(http2.rst_stream(1, 8))
        await heard(hand)
        assert hand.closed


@pytest.mark.parametrize("draining", [False, True])
async def test_a_connection_is_cut_without_a_word(draining: bool) -> None:
    async with serving() as (link, hand):
        ask(hand, 1, "/forever")
        await heard(hand)
        if draining:
            link.drain()
            await heard(hand)
        link.core.drain()  # queued, and never sent
        link.cut()
        assert await heard(hand) == []
        assert hand.closed


async def test_a_connection_is_cut_once() -> None:
    async with serving() as (link, hand):
        ask(hand, 1, "/forever")
        await heard(hand)
        link.cut()
        link.cut(reset=True)
        assert not link.resets_unanswered


async def test_a_client_that_has_not_spoken_yet_hears_nothing() -> None:
    async with serving(greet=False) as (link, hand):
        link.drain()
        assert await heard(hand) == []
        assert hand.closed


async def test_a_client_that_does_not_begin_is_closed(autojump_clock: MockClock) -> None:
    async with serving(Patience(preface=10), greet=False) as (_, hand):
        hand.put(http2.PREFACE[:-1])
        await trio.sleep(9.9)
        await hand.heard()
        assert not hand.closed
        await trio.sleep(0.2)
        assert await heard(hand) == []
        assert hand.closed


async def test_a_client_that_began_is_not_closed_for_its_silence(autojump_clock: MockClock) -> None:
    async with serving(Patience(preface=10)) as (_, hand):
        await trio.sleep(10_000)
        await hand.heard()
        assert not hand.closed


async def test_a_connection_without_calls_is_closed_after_a_while(autojump_clock: MockClock) -> None:
    async with serving(Patience(idle=100)) as (_, hand):
        await trio.sleep(90)
        ask(hand, 1, "/joined", b"a")
        await trio.sleep(99)
        await hand.heard()
        assert not hand.closed
        await trio.sleep(102)
        assert goaways(await heard(hand)) == [struct.pack(">II", 1, 0)]
        assert hand.closed


async def test_an_open_call_keeps_a_connection(autojump_clock: MockClock) -> None:
    async with serving(Patience(idle=100)) as (_, hand):
        ask(hand, 1, "/forever")
        await trio.sleep(10_000)
        await hand.heard()
        assert not hand.closed
        hand.put(http2.rst_stream(1, 8))
        await trio.sleep(100)
        await hand.heard()
        await trio.sleep(101)
        await hand.heard()
        assert hand.closed


async def test_a_client_that_takes_nothing_is_given_up(autojump_clock: MockClock) -> None:
    client, server = memory_stream_pair()
    send_stream = server.send_stream
    assert send_stream is not None

    async def never() -> None:
        await trio.sleep_forever()

    send_stream.send_all_hook = never
    link = ServerLink(server, HANDLERS, unknown, None, Patience(write=30))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        await client.send_all(http2.PREFACE + http2.settings())
        await link.closed.wait()
    assert 30 <= trio.current_time() <= 32
    assert link.reason == "the connection broke: the peer took nothing for 30 s"


class Stuck(trio.abc.Stream):
    """A client that sends what it has and never reads."""

    def __init__(self, *portions: bytes) -> None:
        self.portions = list(portions)
        self.link: ServerLink | None = None
        self.most_output = 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.sleep_forever()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.sleep_forever()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        assert self.link is not None
        self.most_output = max(self.most_output, self.link.core.output_size)
        if not self.portions:
            await trio.sleep_forever()
        return self.portions.pop(0)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("what", ["answers", "refusals", "unknown paths"])
async def test_what_waits_for_a_client_that_asks_and_does_not_read(what: str, autojump_clock: MockClock) -> None:
    """However it asks, what is queued for it stays bounded; if it goes on asking, the connection ends."""
    hand = Hand()

    def request(stream_id: int) -> bytes:
        if what == "answers":
            return hand.headers(stream_id, headers("/joined")) + http2.data(
                stream_id, http2.message(b"x" * 400), end=True
            )
        if what == "refusals":
            return hand.headers(stream_id, (*headers("/joined")[:-1], ("content-type", "text/plain")), end=True)
        return hand.headers(stream_id, headers("/nothing"), end=True)

    portion = 500
    stream = Stuck(
        http2.PREFACE + http2.settings((4, 2**31 - 1)) + http2.window_update(0, 2**31 - 1 - 65_535),
        *(b"".join(request(2 * n + 1) for n in range(at, at + portion)) for at in range(0, 6 * portion, portion)),
    )
    link = stream.link = ServerLink(stream, HANDLERS, unknown)
    await link.run()
    assert link.core.calls < 3000
    assert stream.most_output < 512 * 1024
    assert "does not take its answers" in link.reason


class Place:
    """A connection, as far as admission looks at it."""

    def __init__(self, *, greeted: bool = True, calls: int = 0, open_calls: int = 0) -> None:
        self.core = self
        self.greeted = greeted
        self.calls = calls
        self.streams = dict.fromkeys(range(open_calls))
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_who_goes_for_a_new_connection() -> None:
    busy, silent, used, fresh, older = (
        Place(calls=1, open_calls=1),
        Place(greeted=False),
        Place(calls=5),
        Place(),
        Place(),
    )
    admission = Admission(5)
    everybody = (busy, used, silent, older, fresh)
    for place in everybody:
        assert admission.admit(place)  # type: ignore[arg-type]
    gone = []
    for _ in range(4):
        assert admission.admit(Place(calls=1, open_calls=1))  # type: ignore[arg-type]
        gone += [place for place in everybody if place.closed and place not in gone]
    assert gone == [silent, older, fresh, used]
    assert not admission.admit(Place())  # type: ignore[arg-type]
    admission.leave(busy)  # type: ignore[arg-type]
    admission.leave(busy)  # type: ignore[arg-type]
    assert admission.admit(Place())  # type: ignore[arg-type]


@pytest.mark.parametrize(("files", "kept"), [(200, 136), (20_000, 1000), (-1, 1000), (10, 1)])
def test_how_many_connections_are_usual(monkeypatch: pytest.MonkeyPatch, files: int, kept: int) -> None:
    resource = pytest.importorskip("resource")
    limit = resource.RLIM_INFINITY if files < 0 else files
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert usual_connections() == kept


def test_a_system_without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "resource", None)
    assert usual_connections() == 1000


async def test_a_client_that_breaks_a_rule_learns_which_though_output_is_on_its_way() -> None:
    ours, theirs = memory_stream_pair()
    taken = trio.Event()
    send_stream = theirs.send_stream
    assert send_stream is not None
    send_stream.send_all_hook = taken.wait
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ServerLink(theirs, HANDLERS, unknown).run)
        await ours.send_all(http2.PREFACE + http2.settings())
        await wait_all_tasks_blocked()
        await ours.send_all(http2.data(0, b"", end=True))
        await wait_all_tasks_blocked()
        taken.set()
        received = b""
        while portion := await ours.receive_some():
            received += portion
    *_, farewell = http2.cut(received)
    assert farewell.payload == struct.pack(">II", 0, 1) + b"a frame came for stream 0, which nobody opened"


async def test_a_client_that_breaks_a_rule_and_takes_nothing_is_closed(autojump_clock: MockClock) -> None:
    ours, theirs = memory_stream_pair()
    send_stream = theirs.send_stream
    assert send_stream is not None
    send_stream.send_all_hook = trio.sleep_forever
    link = ServerLink(theirs, HANDLERS, unknown)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        await ours.send_all(http2.PREFACE + http2.settings() + http2.data(0, b"", end=True))
    assert link.closed.is_set()
    assert trio.current_time() <= 3
