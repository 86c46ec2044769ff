"""HTTP/2 frames built by hand, connections without I/O with a hand-made peer, and a check of their windows."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hpack import Decoder, Encoder

from trio_esdb._wire import (
    CallEnded,
    CallReceived,
    CallReset,
    ClientConnection,
    ConnectionEnded,
    Drained,
    Event,
    Limits,
    MessagesReceived,
    RequestsEnded,
    Stream,
)
from trio_esdb._wire._server_connection import ServerConnection

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIO = 0x1, 0x1, 0x4, 0x8, 0x20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_WINDOW = 65_535

REQUEST = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/shop.Orders/Place"),
    (":authority", "node:2113"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)
RESPONSE = ((":status", "200"), ("content-type", "application/grpc"))
OK = (("grpc-status", "0"),)

SMALL = Limits(receive_message=1000, stream_window=DEFAULT_WINDOW, connection_window=DEFAULT_WINDOW)
"""The smallest windows that a server may have."""


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream_id) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window_update(stream_id: int, by: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, struct.pack(">I", by))


def rst_stream(stream_id: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream_id, struct.pack(">I", code))


def goaway(last: int, code: int = 0, debug: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + debug)


def data(stream_id: int, payload: bytes, *, end: bool = False, padding: int | None = None) -> bytes:
    flags = END_STREAM if end else 0
    if padding is not None:
        flags |= PADDED
        payload = bytes([padding]) + payload + bytes(padding)
    return frame(DATA, flags, stream_id, payload)


def message(payload: bytes, flag: int = 0) -> bytes:
    """A gRPC message with its prefix."""
    return struct.pack(">BI", flag, len(payload)) + payload


@dataclass(frozen=True)
class Sent:
    """A frame that a core sent."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def number(self) -> int:
        """The increment of a WINDOW_UPDATE or the code of a RST_STREAM."""
        return int.from_bytes(self.payload, "big")


def cut(raw: bytes) -> list[Sent]:
    """The frames in these bytes, which must end with the end of a frame."""
    found = []
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 3], "big")
        kind, flags, stream_id = struct.unpack_from(">BBI", raw, at + 3)
        assert at + 9 + size <= len(raw), "the core sent half a frame"
        found.append(Sent(kind, flags, stream_id, raw[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


def held(stream: Stream) -> int:
    return stream.deframer.held


def check_windows(core: ClientConnection | ServerConnection, streams: Iterable[Stream]) -> None:
    """Every received byte of each window is accounted for once: untaken, held, or credit."""
    for stream in streams:
        accounted = stream.window + held(stream) + stream.untaken + stream.credit
        assert accounted == stream.allowance + stream.advance, f"stream {stream.id}"
        assert min(stream.untaken, stream.credit, stream.advance, held(stream)) >= 0
    assert core.window + core.credit == core.limits.connection_window


def without_table() -> Encoder:
    """An encoder without a dynamic table: its blocks may be sent in any order."""
    encoder = Encoder()
    encoder.header_table_size = 0
    return encoder


@dataclass
class Bare:
    """A connection without I/O, and the other end by hand."""

    core: ClientConnection | ServerConnection
    encoder: Encoder = field(default_factory=without_table)
    decoder: Decoder = field(default_factory=Decoder)
    streams: dict[int, Stream] = field(default_factory=dict)
    greeting: list[Sent] = field(default_factory=list)
    now: float = 0.0
    """The time; each ``feed`` comes a second after the one before."""

    def feed(self, *raw: bytes) -> list[Event]:
        self.now += 1.0
        events = self.core.receive_data(b"".join(raw), self.now)
        for event in events:
            if isinstance(event, CallReceived):
                self.streams[event.stream.id] = event.stream
        check_windows(self.core, self.streams.values())
        return events

    def sent(self) -> list[Sent]:
        return cut(self.core.data_to_send())

    def headers(
        self, stream_id: int, headers: Sequence[tuple[str, str]], *, end: bool = False, flags: int = END_HEADERS
    ) -> bytes:
        block = self.encoder.encode(list(headers))
        return frame(HEADERS, flags | (END_STREAM if end else 0), stream_id, block)

    def told(self, block: bytes) -> dict[str, str]:
        """The headers in a block that the connection sent."""
        return {name.decode(): value.decode() for name, value in self.decoder.decode(block, raw=True)}


class BareServer(Bare):
    """Our client's connection, and the server by hand."""

    core: ClientConnection

    def __init__(self, limits: Limits | None = None, *settings_: tuple[int, int]) -> None:
        super().__init__(ClientConnection(limits))
        raw = self.core.data_to_send()
        assert raw.startswith(PREFACE)
        self.greeting = cut(raw.removeprefix(PREFACE))
        self.feed(settings(*settings_))
        assert self.sent() == [Sent(SETTINGS, ACK, 0, b"")]

    def call(
        self,
        *messages: bytes,
        end: bool = True,
        headers: tuple[tuple[str, str], ...] = REQUEST,
        timeout: str | None = None,
    ) -> Stream:
        stream = self.core.start_call(headers, timeout, None)
        self.streams[stream.id] = stream
        self.core.send_messages(stream, messages, end=end)
        return stream

    def answer(self, stream: Stream, *frames: bytes) -> list[Event]:
        """The usual response headers, then these frames."""
        return self.feed(self.headers(stream.id, RESPONSE), *frames)


class BareClient(Bare):
    """Our server's connection, and the client by hand."""

    core: ServerConnection

    def __init__(self, limits: Limits | None = None, *settings_: tuple[int, int]) -> None:
        super().__init__(ServerConnection(limits))
        assert self.sent() == [], "a client speaks first"
        self.feed(PREFACE)
        self.greeting = self.sent()
        self.feed(settings(*settings_))
        assert self.sent() == [Sent(SETTINGS, ACK, 0, b"")]

    def open(
        self, stream_id: int, *frames: bytes, end: bool = False, headers: Sequence[tuple[str, str]] = REQUEST
    ) -> list[Event]:
        """A call, with what follows its headers."""
        return self.feed(self.headers(stream_id, headers, end=end), *frames)


def ends(events: Iterable[Event]) -> list[CallEnded]:
    return [event for event in events if isinstance(event, CallEnded)]


def end(events: Iterable[Event]) -> CallEnded:
    """The one end of a call among these events."""
    (only,) = ends(events)
    return only


def reason(events: Iterable[Event]) -> str:
    """Why the connection ended."""
    (only,) = [event for event in events if isinstance(event, ConnectionEnded)]
    return only.reason


def messages(events: Iterable[Event], stream: Stream | None = None) -> list[bytes]:
    found: list[bytes] = []
    for event in events:
        if isinstance(event, MessagesReceived) and stream in (None, event.stream):
            found += event.messages
    return found


def story(events: Iterable[Event]) -> dict[int, list[object]]:
    """What happened to each stream, independent of how the bytes were cut."""
    told: dict[int, list[object]] = {}
    for event in events:
        match event:
            case MessagesReceived(stream, received):
                told.setdefault(stream.id, []).extend(received)
            case CallReceived(stream, path, metadata, timeout):
                told.setdefault(stream.id, []).append((path, dict(metadata), timeout))
            case CallEnded(stream, outcome):
                told.setdefault(stream.id, []).append(outcome)
            case RequestsEnded(stream):
                told.setdefault(stream.id, []).append("requests ended")
            case CallReset(stream, why):
                told.setdefault(stream.id, []).append(why)
            case ConnectionEnded(why):
                told.setdefault(0, []).append(why)
            case Drained() | _:
                pass
    return told
