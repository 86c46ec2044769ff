"""A node whose side of a connection is a recording: the frames that a real node of a cluster sent, at their times.

What the recording does not hold, the bodies of messages, the test gives.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import trio
import trio.testing
from hpack import Decoder, Encoder

from tests.support import http2
from trio_esdb._wire._frames import Code
from trio_esdb_proto.event_store.client.server_features import SupportedMethods

INITIAL_WINDOW_SIZE = 4
SETTINGS = {
    "MAX_CONCURRENT_STREAMS": 3,
    "INITIAL_WINDOW_SIZE": INITIAL_WINDOW_SIZE,
    "MAX_HEADER_LIST_SIZE": 6,
    "ENABLE_CONNECT_PROTOCOL": 8,
}
FEATURES = "/event_store.client.server_features.ServerFeatures/GetSupportedMethods"
STATUS = {"NOT_FOUND": 5, "ABORTED": 10, "UNAVAILABLE": 14}
Frames = list[dict[str, Any]]


@cache
def record() -> dict[str, Any]:
    """What was recorded."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "wire.json").read_text())
    return found


@dataclass
class Call:
    """A call that the client made."""

    connection: Connection
    stream: int
    path: str
    window: int
    body: bytes = b""
    whole: trio.Event = field(default_factory=trio.Event)
    """Set when all of the request is there."""

    def answer(self, *messages: bytes, end: bool = True) -> None:
        """A good answer."""
        self.begin()
        self.give(*messages)
        if end:
            self.end()

    def begin(self) -> None:
        """The headers of a good answer, as they are always."""
        self.connection.put(self.connection.headers(self.stream, http2.RESPONSE))

    def give(self, *messages: bytes) -> None:
        """Messages, each in a frame."""
        self.connection.put(*(http2.data(self.stream, http2.message(message)) for message in messages))

    def fail(self, code: str, details: str, trailers: dict[str, str]) -> None:
        """The end of a call as a real node says it: one block of headers, the trailers before the status."""
        end = (("grpc-status", str(STATUS[code])), ("grpc-message", details))
        headers = (*http2.RESPONSE, ("content-length", "0"), *trailers.items(), *end)
        self.connection.put(self.connection.headers(self.stream, headers, end=True))

    async def give_frames(self, bodies: Sequence[bytes]) -> None:
        """DATA frames with these bodies, in one piece as far as the windows have room."""
        piece: list[bytes] = []
        for body in bodies:
            rest = body
            while rest:
                room = min(self.window, self.connection.window)
                if not room:
                    self.connection.put(*piece)
                    piece = []
                    await self.connection.opened.park()
                    continue
                self.window -= len(rest[:room])
                self.connection.window -= len(rest[:room])
                piece.append(http2.data(self.stream, rest[:room]))
                rest = rest[room:]
        self.connection.put(*piece)

    def end(self) -> None:
        """The good end of an answer."""
        self.connection.put(self.connection.headers(self.stream, (("grpc-status", "0"),), end=True))

    async def play(self, frames: Frames) -> None:
        """Frames at their times from now, those of stream 1 on the stream of this call; and how the connection ends."""
        await self.connection.play_all(frames, {1: self.stream})


class Connection:
    """The node's side of one connection."""

    def __init__(self, stream: trio.abc.Stream, greeting: Frames) -> None:
        self._stream = stream
        self._greeting = greeting
        self._encoder: Encoder = http2.without_table()
        self._decoder = Decoder()
        self._out, self._outgoing = trio.open_memory_channel[bytes](math.inf)
        self.calls: dict[int, Call] = {}
        self.window = self._stream_window = http2.DEFAULT_WINDOW
        self.opened = trio.lowlevel.ParkingLot()
        self.pings: list[float] = []
        """When the client has answered our PINGs."""
        self.ended: float | None = None
        """When the client closed the connection."""

    def put(self, *frames: bytes) -> None:
        """Send frames, in one piece."""
        self._out.send_nowait(b"".join(frames))

    def headers(self, stream: int, headers: Iterable[tuple[str, str]], *, end: bool = False) -> bytes:
        """A block of headers."""
        flags = http2.END_HEADERS | (http2.END_STREAM if end else 0)
        return http2.frame(http2.HEADERS, flags, stream, self._encoder.encode(list(headers)))

    async def play_all(self, frames: Frames, streams: dict[int, int]) -> None:
        """Frames at their times from now."""
        begun = trio.current_time()
        for frame in frames:
            await trio.sleep_until(begun + frame["t"] / 1000)
            self.play(frame, streams)

    def play(self, frame: dict[str, Any], streams: dict[int, int]) -> None:
        """One recorded frame."""
        stream = streams.get(frame.get("stream", 0), frame.get("stream", 0))
        match frame["type"]:
            case "SETTINGS" if frame.get("ack"):
                self.put(http2.frame(http2.SETTINGS, http2.ACK, 0))
            case "SETTINGS":
                self.put(http2.settings(*((SETTINGS[name], value) for name, value in frame["settings"].items())))
            case "WINDOW_UPDATE":
                self.put(http2.window_update(stream, frame["by"]))
            case "HEADERS":
                self.put(self.headers(stream, [tuple(each) for each in frame["headers"]], end=frame["end"]))
            case "GOAWAY":
                self.put(http2.goaway(frame["last"], Code[frame["error"]]))
            case "RST_STREAM":
                self.put(http2.rst_stream(stream, Code[frame["error"]]))
            case "PING":
                self.put(http2.frame(http2.PING, 0, 0, bytes(8)))
            case "CLOSED":
                self._out.close()
            case other:
                raise AssertionError(other)

    async def run(self, on_call: Callable[[Call], object]) -> None:
        """Move the bytes."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send)
            for frame in self._greeting:
                self.play(frame, {})
            await self._receive(on_call)
            self.ended = trio.current_time()
            nursery.cancel_scope.cancel()
        await self._stream.aclose()

    async def _send(self) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for piece in self._outgoing:
                await self._stream.send_all(piece)
        await self._stream.aclose()

    async def _receive(self, on_call: Callable[[Call], object]) -> None:
        raw = b""
        while True:
            try:
                portion = await self._stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if not portion:
                return
            raw = (raw + portion).removeprefix(http2.PREFACE)
            while len(raw) >= 9 and len(raw) >= 9 + (size := int.from_bytes(raw[:3], "big")):
                (frame,) = http2.cut(raw[: 9 + size])
                raw = raw[9 + size :]
                self._heard(frame, on_call)

    def _heard(self, frame: http2.Sent, on_call: Callable[[Call], object]) -> None:
        if frame.kind == http2.HEADERS:
            told = {name.decode(): value.decode() for name, value in self._decoder.decode(frame.payload, raw=True)}
            call = self.calls[frame.stream_id] = Call(self, frame.stream_id, told[":path"], self._stream_window)
            if call.path == FEATURES:
                call.answer(bytes(SupportedMethods(event_store_server_version="23.10.6")))
            else:
                on_call(call)
        elif frame.kind == http2.DATA:
            self.calls[frame.stream_id].body += frame.payload
        elif frame.kind == http2.SETTINGS:
            for at in range(0, len(frame.payload), 6):
                name, value = struct.unpack_from(">HI", frame.payload, at)
                if name == INITIAL_WINDOW_SIZE:
                    self._stream_window = value
        elif frame.kind == http2.WINDOW_UPDATE:
            owner = self.calls[frame.stream_id] if frame.stream_id else self
            owner.window += frame.number
            self.opened.unpark_all()
        elif frame.kind == http2.PING:
            if frame.flags & http2.ACK:
                self.pings.append(trio.current_time())
            else:
                self.put(http2.frame(http2.PING, http2.ACK, 0, frame.payload))
        if frame.kind in (http2.HEADERS, http2.DATA) and frame.flags & http2.END_STREAM:
            self.calls[frame.stream_id].whole.set()


class RecordedNode:
    """What a client connects to."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._greeting = [frame for frame in record()["connections"]["SIGTERM, no call"] if frame["t"] < 0]
        self._calls, self._coming = trio.open_memory_channel[Call](math.inf)
        self.connections: list[Connection] = []
        self.asked: list[tuple[str, int]] = []
        """Where the client connected to."""

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """A client's end of a new connection."""
        await trio.lowlevel.checkpoint()
        self.asked.append((host, port))
        ours, theirs = trio.testing.memory_stream_pair()
        connection = Connection(theirs, self._greeting)
        self.connections.append(connection)
        self._nursery.start_soon(connection.run, self._calls.send_nowait)
        return ours

    async def call(self) -> Call:
        """The next call, when all of its request is there."""
        call = await self._coming.receive()
        await call.whole.wait()
        return call
