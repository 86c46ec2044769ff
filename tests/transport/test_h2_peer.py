"""A link with h2 at the other end of its stream, in both roles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h2.events
import pytest
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair

from tests.support import http2
from tests.support.links import Call, Consumer, headers, unknown
from trio_esdb._transport import ClientLink, unary_call
from trio_esdb._transport._serving import serve_stream
from trio_esdb._wire import Outcome, Status

from .test_serving import METHODS


class Peer:
    """An h2 connection on a stream."""

    def __init__(self, stream: trio.abc.Stream, *, client: bool) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=client, header_encoding="utf-8"))
        self.stream = stream
        self.events: list[h2.events.Event] = []
        self._came = trio.Event()

    async def run(self) -> None:
        self.h2.initiate_connection()
        await self.flush()
        while data := await self.stream.receive_some():
            events = self.h2.receive_data(bytes(data))
            for event in events:
                if isinstance(event, h2.events.DataReceived):
                    assert event.flow_controlled_length is not None
                    assert event.stream_id is not None
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            await self.flush()
            self.events += events
            self._came.set()
            self._came = trio.Event()

    async def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            await self.stream.send_all(data)

    async def until(self, kind: type[h2.events.Event]) -> h2.events.Event:
        """The first event of this kind that was not looked at yet; what came before it is thrown away."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if isinstance(event, kind):
                    return event
            await self._came.wait()

    async def body(self, stream_id: int) -> bytes:
        """All DATA of a stream until its end."""
        found = b""
        while True:
            event = await self.until(h2.events.Event)
            if getattr(event, "stream_id", None) == stream_id:
                found += getattr(event, "data", b"") or b""
                if isinstance(event, h2.events.StreamEnded):
                    return found


@asynccontextmanager
async def beside(link: ClientLink | None, peer: Peer, theirs: trio.abc.Stream | None = None) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.run)
        if link is None:
            assert theirs is not None
            nursery.start_soon(serve_stream, theirs, METHODS, unknown)
        else:
            nursery.start_soon(link.run)
            assert await link.ready()
        yield
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("pair", [memory_stream_pair, lockstep_stream_pair])
async def test_an_h2_server(pair: type, autojump_clock: MockClock) -> None:
    ours, theirs = pair()
    link, peer = ClientLink(ours, "node-1"), Peer(theirs, client=False)
    results: list[tuple[bytes, Outcome]] = []

    async def ask(request: bytes) -> None:
        results.append(await unary_call(link, http2.REQUEST, [request]))

    async with beside(link, peer), trio.open_nursery() as nursery:
        nursery.start_soon(ask, b"x" * 200_000)
        assert await peer.body(1) == http2.message(b"x" * 200_000)
        peer.h2.send_headers(1, list(http2.RESPONSE))
        peer.h2.send_data(1, http2.message(b"reply"), pad_length=5)
        peer.h2.send_headers(1, [*http2.OK, ("x", "y")], end_stream=True)
        await peer.flush()
        call = Call(link, http2.REQUEST, [b"a"])
        await peer.until(h2.events.RequestReceived)
        peer.h2.send_headers(3, list(http2.RESPONSE))
        peer.h2.send_data(3, http2.message(b"one") + http2.message(b"two")[:6])
        peer.h2.send_data(3, http2.message(b"two")[6:])
        peer.h2.ping(b"12345678")
        await peer.flush()
        consumer = Consumer(call)
        assert [await consumer.receive() for _ in range(2)] == [b"one", b"two"]
        await peer.until(h2.events.PingAckReceived)
        call.close()
        reset = await peer.until(h2.events.StreamReset)
        assert getattr(reset, "error_code", None) == 8
        nursery.start_soon(ask, b"a")
        await peer.body(5)
        peer.h2.send_headers(5, [*http2.RESPONSE, ("grpc-status", "5")], end_stream=True)
        await peer.flush()
    assert results == [(b"reply", Outcome(Status.OK, "", {"x": "y"})), (b"", Outcome(Status.NOT_FOUND))]


@pytest.mark.parametrize("pair", [memory_stream_pair, lockstep_stream_pair])
async def test_an_h2_client(pair: type, autojump_clock: MockClock) -> None:
    ours, theirs = pair()
    peer = Peer(ours, client=True)
    async with beside(None, peer, theirs):
        await peer.until(h2.events.RemoteSettingsChanged)
        peer.h2.send_headers(1, list(headers("/joined")))
        peer.h2.send_data(1, http2.message(b"a" * 10_000), pad_length=100)
        peer.h2.send_data(1, http2.message(b"b"), end_stream=True)
        await peer.flush()
        assert await peer.body(1) == http2.message(b"a" * 10_000 + b"+b")
        peer.h2.send_headers(3, list(headers("/echo")))
        peer.h2.send_data(3, http2.message(b"there and back"))
        await peer.flush()
        event = await peer.until(h2.events.DataReceived)
        assert getattr(event, "data", None) == http2.message(b"there and back")
        peer.h2.reset_stream(3, 8)
        peer.h2.send_headers(5, list(headers("/nowhere")), end_stream=True)
        await peer.flush()
        answer = await peer.until(h2.events.ResponseReceived)
        assert dict(getattr(answer, "headers", []))["grpc-status"] == "12"
        peer.h2.send_headers(7, list(headers("/echo")))
        peer.h2.send_data(7, http2.message(b"x" * 40_000)[:16_000])
        peer.h2.close_connection()
        await peer.flush()
