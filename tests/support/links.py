"""Links whose other end is frames by hand, and a client's link connected to a server's."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import trio
from hpack import Decoder, Encoder
from trio.testing import MemoryReceiveStream, MemorySendStream, memory_stream_pair, wait_all_tasks_blocked

from tests.support import http2
from tests.support.http2 import Sent
from trio_esdb._transport import ClientLink, KeepAlive, StreamingCall
from trio_esdb._transport._handlers import Failure, Handler
from trio_esdb._transport._serving import serve_stream
from trio_esdb._wire import PREFIX_SIZE, Limits, Outcome, Status

Headers = tuple[tuple[str, str], ...]


def headers(path: str, *more: tuple[str, str]) -> Headers:
    return tuple((":path", path) if name == ":path" else (name, value) for name, value in http2.REQUEST) + more


def unknown(path: str) -> Failure:
    return Failure(Status.UNIMPLEMENTED, f"no method {path}")


class Call(StreamingCall):
    """A call whose responses are in a memory channel: a list for each read of the connection that brought some."""

    def __init__(
        self,
        link: ClientLink,
        headers: Headers,
        messages: Sequence[bytes],
        *,
        deadline: float = math.inf,
        end: bool = True,
    ) -> None:
        self._incoming, self.batches = trio.open_memory_channel[list[bytes]](math.inf)
        self.waiting = 0
        self.draining = 0
        """How often the call was told that its connection is about to be closed."""
        super().__init__(link, headers, messages, _Inbox(self), deadline=deadline, end=end)

    def drawn(self, batch: list[bytes]) -> None:
        """Give the server credit for these messages."""
        self.waiting -= len(batch)
        self.take(sum(len(message) + PREFIX_SIZE for message in batch))


class _Inbox:
    """The sink of such a call."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def on_messages(self, messages: list[bytes]) -> None:
        self._call.waiting += len(messages)
        self._call._incoming.send_nowait(messages)

    def on_draining(self) -> None:
        self._call.draining += 1

    def on_end(self, outcome: Outcome) -> None:
        self._call._incoming.close()


class Consumer:
    """Receives the messages of a call one by one, and gives credit for them."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._ready: deque[bytes] = deque()

    async def receive(self) -> bytes:
        """The next message; trio.EndOfChannel at the end of the call."""
        if not self._ready:
            batch = await self._call.batches.receive()
            self._call.drawn(batch)
            self._ready += batch
        return self._ready.popleft()

    async def rest(self) -> list[bytes]:
        """All messages up to the end of the call."""
        found = []
        try:
            while True:
                found.append(await self.receive())
        except trio.EndOfChannel:
            return found


class Hand:
    """The other end of a connection, by hand: the test reads what the link sent and puts what it receives."""

    def __init__(self) -> None:
        self._out = MemorySendStream()
        self._in = MemoryReceiveStream()
        self.stream = trio.StapledStream(self._out, self._in)
        self.encoder: Encoder = http2.without_table()
        self.decoder = Decoder()
        self.closed = False
        self.raw = b""

    def put(self, *frames: bytes) -> None:
        self._in.put_data(b"".join(frames))

    def hang_up(self) -> None:
        self._in.put_eof()

    async def heard(self) -> list[Sent]:
        """All frames sent since the last call, after all tasks are blocked."""
        await wait_all_tasks_blocked()
        raw = b""
        while not self.closed:
            try:
                portion = bytes(self._out.get_data_nowait())
            except trio.WouldBlock:
                break
            self.closed = not portion
            raw += portion
        return http2.cut(raw.removeprefix(http2.PREFACE))

    def headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> bytes:
        flags = http2.END_HEADERS | (http2.END_STREAM if end else 0)
        return http2.frame(http2.HEADERS, flags, stream_id, self.encoder.encode(list(headers)))

    def answer(self, stream_id: int, *messages: bytes, status: str | None = "0") -> None:
        """A whole answer to a call, or the beginning of one."""
        self.put(
            self.headers(stream_id, http2.RESPONSE),
            *(http2.data(stream_id, http2.message(m)) for m in messages),
            *([] if status is None else [self.headers(stream_id, (("grpc-status", status),), end=True)]),
        )

    def told(self, sent: Sent) -> dict[str, str]:
        assert sent.kind == http2.HEADERS
        return {name.decode(): value.decode() for name, value in self.decoder.decode(sent.payload, raw=True)}


@asynccontextmanager
async def client_by_hand(
    limits: Limits | None = None, keep_alive: KeepAlive | None = None
) -> AsyncIterator[tuple[ClientLink, Hand]]:
    """A client's link to a server by hand, after the exchange of SETTINGS."""
    hand = Hand()
    link = ClientLink(hand.stream, "node-1", limits, keep_alive)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        hand.put(http2.settings((3, 100)))
        await hand.heard()
        yield link, hand
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def server_by_hand(
    methods: Mapping[str, Handler], limits: Limits | None = None, *settings: tuple[int, int]
) -> AsyncIterator[Hand]:
    """A server's link with a client by hand, after the exchange of SETTINGS."""
    hand = Hand()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, hand.stream, methods, unknown, limits)
        hand.put(http2.PREFACE, http2.settings(*settings))
        await hand.heard()
        yield hand
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def linked(
    methods: Mapping[str, Handler], limits: Limits | None = None, server_limits: Limits | None = None
) -> AsyncIterator[ClientLink]:
    """A client's link, connected to a server's link."""
    ours, theirs = memory_stream_pair()
    link = ClientLink(ours, "node-1", limits)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, theirs, methods, unknown, server_limits)
        nursery.start_soon(link.run)
        assert await link.ready()
        yield link
        nursery.cancel_scope.cancel()
