"""Our client and our server, over memory streams that give what they like, and over TCP."""

from __future__ import annotations

import contextlib
import socket
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from tests.support import http2
from tests.support.links import Call, Consumer, headers, linked, unknown
from trio_esdb._transport import ClientLink, dial_tcp, listen_tcp, port_of, unary_call
from trio_esdb._transport._handlers import AsyncHandler, Handler, ServerCall
from trio_esdb._transport._serving import serve_stream
from trio_esdb._wire import Limits, Status

from .test_serving import METHODS


async def count(call: ServerCall) -> None:
    """Sends as many messages as asked for, of as many bytes."""
    number, size = map(int, (await call.receive()).split())
    for n in range(number):
        await call.send(b"%08d" % n + bytes(size - 8))


COUNT: dict[str, Handler] = {"/count": AsyncHandler(count)}


async def read(link: ClientLink, number: int, size: int, pause: float = 0) -> list[bytes]:
    """What a careful consumer gets of ``/count``."""
    call = Call(link, headers("/count"), [b"%d %d" % (number, size)])
    consumer = Consumer(call)
    found = []
    with contextlib.suppress(trio.EndOfChannel):
        while True:
            found.append((await consumer.receive())[:8])
            if pause:
                await trio.sleep(pause)
    assert call.outcome is not None
    assert call.outcome.ok
    return found


def numbers(number: int) -> list[bytes]:
    return [b"%08d" % n for n in range(number)]


async def test_calls_of_all_kinds_at_once() -> None:
    async with linked(METHODS | COUNT) as link:
        replies: dict[int, bytes] = {}

        async def ask(n: int) -> None:
            reply, outcome = await unary_call(link, headers("/joined"), [b"%d" % n, b"x" * n])
            assert outcome.ok
            replies[n] = reply

        reads: list[list[bytes]] = []

        async def take() -> None:
            reads.append(await read(link, 200, 500))

        async with trio.open_nursery() as nursery:
            for n in range(90):
                nursery.start_soon(ask, n)
            for _ in range(5):
                nursery.start_soon(take)
        assert replies == {n: b"%d+" % n + b"x" * n for n in range(90)}
        assert reads == [numbers(200)] * 5
        assert not link.core.streams
        _, outcome = await unary_call(link, headers("/nowhere"), [])
        assert (outcome.status, outcome.message) == (Status.UNIMPLEMENTED, "no method /nowhere")


async def test_a_slow_consumer_gets_everything(autojump_clock: MockClock) -> None:
    async with linked(COUNT, Limits(stream_window=5000)) as link:
        assert await read(link, 300, 400, pause=1) == numbers(300)


async def test_messages_larger_than_every_window() -> None:
    small = Limits(stream_window=http2.DEFAULT_WINDOW, connection_window=http2.DEFAULT_WINDOW)
    async with linked(METHODS | COUNT, small, small) as link:
        assert await read(link, 3, 400_000) == numbers(3)
        reply, outcome = await unary_call(link, headers("/joined"), [b"x" * 500_000, b"y" * 300_000])
        assert outcome.ok
        assert reply == b"x" * 500_000 + b"+" + b"y" * 300_000


async def test_a_stopped_consumer_stops_the_server_and_the_others_go_on() -> None:
    sent = 0

    async def endless(call: ServerCall) -> None:
        nonlocal sent
        while True:
            await call.send(bytes(995))
            sent += 1

    limits = Limits(stream_window=20_000)
    async with linked({"/endless": AsyncHandler(endless)} | COUNT, limits) as link:
        call = Call(link, headers("/endless"), [])
        await wait_all_tasks_blocked()
        assert call.waiting == 20, "no more than the window"
        assert sent <= 20 + 67
        before = sent
        assert await read(link, 100, 1000) == numbers(100)
        assert (sent, call.waiting) == (before, 20)
        consumer = Consumer(call)
        for _ in range(40):
            await consumer.receive()
        call.close()
        await wait_all_tasks_blocked()
        before = sent
        assert await read(link, 100, 1000) == numbers(100)
        assert sent == before


async def test_a_deadline_travels_with_the_call(autojump_clock: MockClock) -> None:
    deadlines: list[float] = []

    async def forever(call: ServerCall) -> None:
        deadlines.append(call.deadline)
        await trio.sleep_forever()

    async with linked({"/forever": AsyncHandler(forever)}) as link:
        with trio.move_on_after(7) as scope:
            await unary_call(link, headers("/forever"), [b""])
        assert scope.cancelled_caught
        assert deadlines == [scope.deadline]
        call = Call(link, headers("/forever"), [], deadline=trio.current_time() + 3)
        with pytest.raises(trio.EndOfChannel):
            await call.batches.receive()
        assert call.outcome is not None
        assert call.outcome.status is Status.DEADLINE_EXCEEDED
        assert trio.current_time() == 7 + 3


async def test_a_cancelled_call_cancels_the_method() -> None:
    running = trio.Event()
    stopped = trio.Event()

    async def forever(_: ServerCall) -> None:
        try:
            running.set()
            await trio.sleep_forever()
        finally:
            stopped.set()

    async with linked({"/forever": AsyncHandler(forever)} | METHODS) as link:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(unary_call, link, headers("/forever"), [b""])
            await running.wait()
            nursery.cancel_scope.cancel()
        await stopped.wait()
        assert (await unary_call(link, headers("/joined"), [b"on"]))[0] == b"on"


@pytest.mark.parametrize("most", [1, 7, 1000])
async def test_streams_that_give_little_at_a_time(most: int) -> None:
    ours, theirs = memory_stream_pair()

    class Sparing(trio.abc.ReceiveStream):
        def __init__(self, stream: trio.abc.ReceiveStream) -> None:
            self._stream = stream

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            return bytes(await self._stream.receive_some(most))

        async def aclose(self) -> None:
            await self._stream.aclose()

    link = ClientLink(trio.StapledStream(ours.send_stream, Sparing(ours.receive_stream)), "node-1")
    async with trio.open_nursery() as nursery:
        sparing = trio.StapledStream(theirs.send_stream, Sparing(theirs.receive_stream))
        nursery.start_soon(serve_stream, sparing, METHODS | COUNT, unknown)
        nursery.start_soon(link.run)
        assert await link.ready()
        assert await read(link, 10, 50) == numbers(10)
        assert (await unary_call(link, headers("/joined"), [b"a", b"b"]))[0] == b"a+b"
        nursery.cancel_scope.cancel()


async def test_streams_in_lockstep(autojump_clock: MockClock) -> None:
    ours, theirs = lockstep_stream_pair()
    link = ClientLink(ours, "node-1", Limits(stream_window=5000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, theirs, METHODS | COUNT, unknown)
        nursery.start_soon(link.run)
        assert await link.ready()
        assert await read(link, 100, 500) == numbers(100)
        reply, outcome = await unary_call(link, headers("/joined"), [b"x" * 200_000])
        assert outcome.ok
        assert len(reply) == 200_000
        nursery.cancel_scope.cancel()


async def test_the_server_leaves_and_open_calls_hear_of_it() -> None:
    ours, theirs = memory_stream_pair()
    link = ClientLink(ours, "node-1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        async with trio.open_nursery() as serving:
            serving.start_soon(serve_stream, theirs, METHODS, unknown)
            assert await link.ready()
            call = Call(link, headers("/echo"), [])
            serving.cancel_scope.cancel()
        await link.closed.wait()
        with pytest.raises(trio.EndOfChannel):
            await call.batches.receive()
    assert call.outcome is not None


async def test_requests_to_a_server_with_a_small_limit() -> None:
    async with linked(METHODS, None, Limits(receive_message=100)) as link:
        reply, outcome = await unary_call(link, headers("/joined"), [b"fits", b"x" * 101])
        assert (reply, outcome.status) == (b"", Status.RESOURCE_EXHAUSTED)
        assert outcome.message == "Received message exceeds the maximum configured message size."
        assert (await unary_call(link, headers("/joined"), [b"x" * 100]))[1].ok


async def test_more_calls_than_the_server_serves_at_once() -> None:
    async def forever(_: ServerCall) -> None:
        await trio.sleep_forever()

    async with linked({"/forever": AsyncHandler(forever)} | METHODS, None, Limits(concurrent_streams=3)) as link:
        assert link.room == 3
        calls = [Call(link, headers("/forever"), []) for _ in range(3)]
        assert link.room == 0
        _, outcome = await unary_call(link, headers("/joined"), [b"x"])
        assert (outcome.status, outcome.refused) == (Status.UNAVAILABLE, True)
        calls[1].close()
        assert (await unary_call(link, headers("/joined"), [b"x"]))[1].ok


async def test_over_tcp() -> None:
    async with trio.open_nursery() as nursery:
        handler = partial(serve_stream, handlers=METHODS | COUNT, unknown=unknown)
        listeners = await listen_tcp("127.0.0.1", 0)
        port = port_of(listeners)
        nursery.start_soon(trio.serve_listeners, handler, listeners)
        link = ClientLink(await dial_tcp("127.0.0.1", port), f"127.0.0.1:{port}")
        nursery.start_soon(link.run)
        assert await link.ready()
        assert await read(link, 1000, 300) == numbers(1000)
        with pytest.raises(OSError, match="in use"):
            await listen_tcp("127.0.0.1", port)
        link.close()
        await link.closed.wait()
        nursery.cancel_scope.cancel()


class TwoAddresses(trio.abc.HostnameResolver):
    """Every host has two addresses, both this machine's."""

    async def getaddrinfo(self, host: object, port: object, *_: object, **__: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in (1, 2)]

    async def getnameinfo(self, sockaddr: object, flags: object) -> tuple[str, str]:
        raise AssertionError("nobody asks")


async def test_a_host_with_several_addresses_has_one_port() -> None:
    trio.socket.set_custom_hostname_resolver(TwoAddresses())
    async with trio.open_nursery() as nursery:
        listeners = await listen_tcp("node-1", 0)
        nursery.start_soon(trio.serve_listeners, trio.aclose_forcefully, listeners)
        for address in ("127.0.0.1", "127.0.0.2"):
            with socket.create_connection((address, port_of(listeners))):
                pass
        nursery.cancel_scope.cancel()


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            await dial_tcp("127.0.0.1", taken.getsockname()[1])
