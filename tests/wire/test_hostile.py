"""Whatever a peer sends, the core never crashes: calls end, each once, and the connection at most once."""

from __future__ import annotations

import struct

from hpack import Encoder
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support import http2
from trio_esdb._wire import (
    CallEnded,
    CallReceived,
    CallReset,
    ClientConnection,
    ConnectionEnded,
    Drained,
    Event,
    GoawayReceived,
    Limits,
    MessagesReceived,
    RequestsEnded,
    RoomChanged,
    Status,
    Stream,
)
from trio_esdb._wire._server_connection import ServerConnection

LIMITS = Limits(receive_message=1000, stream_window=http2.DEFAULT_WINDOW, connection_window=http2.DEFAULT_WINDOW)

stream_ids = st.sampled_from([0, 1, 1, 1, 2, 3, 3, 5, 7, 2**31 - 1, 2**31 + 1])
codes = st.one_of(st.integers(0, 20), st.integers(0, 2**32 - 1))
numbers = st.sampled_from([0, 1, 2, 100, 65_535, 2**31 - 1, 2**31, 2**32 - 1])


def block(*headers: tuple[str, str]) -> bytes:
    encoder = Encoder()
    return encoder.encode(list(headers))


BLOCKS = [
    block(*http2.REQUEST),
    block(*http2.REQUEST, ("content-length", "7")),
    block(*http2.REQUEST, ("grpc-timeout", "9" * 400 + "H")),
    block(*http2.REQUEST, ("grpc-timeout", "-1n"), ("x-bin", "?"), ("x-bin", ",")),
    block(*http2.REQUEST, ("content-length", "9" * 4500)),
    block((":method", "CONNECT"), (":authority", "x")),
    block((":method", "GET"), *http2.REQUEST[1:]),
    block(*http2.RESPONSE),
    block(*http2.RESPONSE, ("grpc-status", "9" * 4500)),
    block((":status", "9" * 4500)),
    block((":status", "")),
    block((":status", "100")),
    block((":status", "500"), ("content-type", "text/html")),
    block(*http2.OK),
    block(("grpc-status", "-0"), ("grpc-message", "%f0%28%8c%28")),
    block(("x", "y"), ("", "z")),
    block(("x", "y" * 70_000)),
    b"",
    b"\x80",
    b"\xbe" * 9,
    b"\x3f\xe1\x1f\x20\x3f\xe1\x1f",
    b"\x00\xff\xff\xff\xff\xff\x07",
    b"\x40\x82\xff\xff\x82\xff\xff",
]
BODIES = [
    http2.message(b"x"),
    http2.message(b"x")[:5],
    b"",
    b"\x01\0\0\0\0",
    b"\x07\0\0\0\0",
    b"\0\xff\xff\xff\xff",
    b"\0",
]


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from([0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 66]))
    flags = draw(st.one_of(st.sampled_from([0, 1, 4, 4, 5, 5, 8, 0xC, 0x2C]), st.integers(0, 255)))
    number = draw(numbers)
    match kind:
        case http2.DATA:
            payload = draw(st.one_of(st.sampled_from(BODIES), st.binary(max_size=20)))
        case http2.HEADERS | http2.CONTINUATION | http2.PUSH_PROMISE:
            payload = draw(st.one_of(st.sampled_from(BLOCKS), st.binary(max_size=40)))
        case http2.PRIORITY:
            payload = struct.pack(">IB", number, 7)
        case http2.RST_STREAM | http2.WINDOW_UPDATE:
            payload = struct.pack(">I", number)
        case http2.SETTINGS:
            payload = b"".join(struct.pack(">HI", draw(st.integers(0, 9)), draw(numbers)) for _ in range(2))
            payload = b"" if flags & http2.ACK else payload
        case http2.PING:
            payload = b"8 bytes!"
        case http2.GOAWAY:
            payload = struct.pack(">II", number, draw(codes)) + draw(st.binary(max_size=9))
        case _:
            payload = draw(st.binary(max_size=9))
    if kind in (http2.DATA, http2.HEADERS) and flags & http2.PADDED:
        padding = draw(st.integers(0, 30))
        priority = struct.pack(">IB", number, 7) if kind == http2.HEADERS and flags & http2.PRIO else b""
        payload = bytes([padding]) + priority + payload + bytes(draw(st.sampled_from([padding, padding, 0])))
    if draw(st.integers(0, 15)) == 0:
        payload = payload[: draw(st.integers(0, len(payload)))]
    stream_id = draw(stream_ids)
    if draw(st.integers(0, 3)):
        stream_id = 0 if kind in (http2.SETTINGS, http2.PING, http2.GOAWAY) else stream_id
    return http2.frame(kind, flags, stream_id, payload[:16_384])


class Owner:
    """The layer above a core: remembers what it was told, and checks that it is lawful."""

    def __init__(self, core: ClientConnection | ServerConnection) -> None:
        self.core = core
        self.open: dict[int, Stream] = {}
        self.ended: dict[int, Stream] = {}
        self.connection_ended = False

    def hear(self, events: list[Event]) -> None:
        for event in events:
            assert not self.connection_ended, "nothing comes after the end"
            if isinstance(event, ConnectionEnded):
                self.connection_ended = True
                assert not self.open
            elif isinstance(event, CallReceived):
                assert event.stream.id not in self.open | self.ended
                self.open[event.stream.id] = event.stream
            elif isinstance(event, (RoomChanged, GoawayReceived)):
                pass
            else:
                assert isinstance(event, (MessagesReceived, CallEnded, RequestsEnded, CallReset, Drained))
                if isinstance(event, (CallEnded, CallReset)):
                    self.ended[event.stream.id] = self.open.pop(event.stream.id)
                else:
                    assert event.stream is self.open[event.stream.id]
                if isinstance(event, MessagesReceived):
                    self.core.take(event.stream, sum(len(m) + 5 for m in event.messages))
        http2.check_windows(self.core, [*self.open.values(), *self.ended.values()])
        assert self.core.ended == self.connection_ended
        sent = http2.cut(self.core.data_to_send().removeprefix(http2.PREFACE))
        assert all(frame.kind != http2.GOAWAY for frame in sent[:-1])
        assert (bool(sent) and sent[-1].kind == http2.GOAWAY) <= self.connection_ended

    def lost(self) -> None:
        for event in self.core.connection_lost("over"):
            assert isinstance(event, (CallEnded, CallReset))
            del self.open[event.stream.id]
        assert not self.open


def portions(raw: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted(place for place in places if place < len(raw))
    return [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


cuttings = st.lists(st.integers(0, 400), max_size=6)


@given(st.lists(frames(), max_size=25), cuttings, st.booleans())
@settings(max_examples=250)
@example([http2.frame(http2.HEADERS, 5, 1, block((":status", "9" * 4500)))], [], True)
def test_random_frames_to_a_client(script: list[bytes], places: list[int], half_close: bool) -> None:
    core = ClientConnection(LIMITS)
    owner = Owner(core)
    for _ in range(3):
        stream = core.start_call(http2.REQUEST, None, None)
        core.send_messages(stream, [b"x" * 70_000], end=half_close)
        stream.drain_wanted = True
        owner.open[stream.id] = stream
    owner.hear([])
    for portion in portions(http2.settings() + b"".join(script), places):
        owner.hear(core.receive_data(portion))
    owner.lost()


@given(st.lists(frames(), max_size=25), cuttings, st.integers(0, 5))
@settings(max_examples=250)
@example([http2.frame(http2.HEADERS, 4, 1, block(*http2.REQUEST, ("grpc-timeout", "9" * 400 + "H")))], [], 0)
@example([http2.frame(http2.HEADERS, 4, 1, block(*http2.REQUEST, ("content-length", "9" * 4500)))], [], 0)
def test_random_frames_to_a_server(script: list[bytes], places: list[int], answer: int) -> None:
    core = ServerConnection(LIMITS)
    owner = Owner(core)
    for portion in portions(http2.PREFACE + http2.settings() + b"".join(script), places):
        events = core.receive_data(portion)
        for event in events:
            if isinstance(event, RequestsEnded):
                core.respond(event.stream, [b"x" * 10_000] * answer)
            elif isinstance(event, CallReceived) and answer == 4:
                core.respond(event.stream, [b"x" * 80_000])
                event.stream.drain_wanted = True
        owner.hear(events)
        for stream in list(owner.open.values()):
            if answer == 3:
                core.finish(stream, Status.ABORTED)
                owner.ended[stream.id] = owner.open.pop(stream.id)
    owner.lost()


@given(st.binary(max_size=300), st.sampled_from([b"", http2.settings(), http2.settings() + b"\0\0\x05\0\0\0\0\0\x01"]))
@settings(max_examples=150)
def test_random_bytes(raw: bytes, before: bytes) -> None:
    for core in (ClientConnection(LIMITS), ServerConnection(LIMITS)):
        owner = Owner(core)
        owner.hear([])
        if isinstance(core, ClientConnection):
            stream = core.start_call(http2.REQUEST, None, None)
            owner.open[stream.id] = stream
        owner.hear(core.receive_data((http2.PREFACE if isinstance(core, ServerConnection) else b"") + before + raw))
        owner.lost()


@given(st.lists(st.binary(max_size=60), max_size=10), st.booleans())
@settings(max_examples=200)
def test_hostile_header_blocks(blocks: list[bytes], client: bool) -> None:
    """HPACK is the only state that a peer writes into directly."""
    core: ClientConnection | ServerConnection = ClientConnection(LIMITS) if client else ServerConnection(LIMITS)
    owner = Owner(core)
    owner.hear([])
    owner.hear(core.receive_data((b"" if client else http2.PREFACE) + http2.settings()))
    for number, raw in enumerate(blocks):
        if isinstance(core, ClientConnection) and core.room:
            stream = core.start_call(http2.REQUEST, None, None)
            owner.open[stream.id] = stream
        owner.hear(core.receive_data(http2.frame(http2.HEADERS, 5, 2 * number + 1, raw)))
    owner.lost()
