"""h2 as the judge: the same bytes to both. What h2 refuses we refuse, what it accepts means the same to us.

One difference is meant: a header value with blanks around it passes, because a real node sends some. Left out is what
need not be refused: frames after the peer's GOAWAY (calls go on), ALTSVC (an extension, not ours), HEADERS that hold
nothing but padding (RFC 9113, 6.2, allows them).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import h2.events
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import http2
from tests.support.http2 import data, message
from trio_esdb._wire import CallReceived, ClientConnection, ConnectionEnded, Limits, MessagesReceived, Status, Stream
from trio_esdb._wire._server_connection import ServerConnection

from .test_hostile import frames

LIMITS = Limits(10**9, http2.DEFAULT_WINDOW, http2.DEFAULT_WINDOW, header_list=64 * 1024)


@dataclass
class Judged:
    """One stream in h2's eyes and in ours."""

    body: bytes = b""
    ended: bool = False
    ours: list[bytes] = field(default_factory=list)
    stream: Stream | None = None


class Court:
    """Both, fed frame by frame."""

    core: ClientConnection | ServerConnection

    def __init__(self, *, client: bool) -> None:
        self.client = client
        self.core = ClientConnection(LIMITS) if client else ServerConnection(LIMITS)
        self.core.data_to_send()
        self.h2 = H2Connection(H2Configuration(client_side=client, header_encoding=None))
        self.h2.local_settings = Settings(
            client=client,
            initial_values={
                SettingCodes.MAX_HEADER_LIST_SIZE: LIMITS.header_list,
                SettingCodes.MAX_CONCURRENT_STREAMS: 100,
                SettingCodes.ENABLE_PUSH: 0,
            },
        )
        self.h2.initiate_connection()
        self.streams: dict[int, Judged] = {}
        self.over = False
        start = (b"" if client else http2.PREFACE) + http2.settings()
        self.h2.receive_data(start)
        self.core.receive_data(start)
        self.collect()

    def collect(self) -> set[int]:
        """Streams that h2 has just reset."""
        self.core.data_to_send()
        sent = self.h2.data_to_send().removeprefix(http2.PREFACE)
        return {frame.stream_id for frame in http2.cut(sent) if frame.kind == http2.RST_STREAM}

    def ask(self, *, end: bool) -> None:
        """A call of ours, at both."""
        assert isinstance(self.core, ClientConnection)
        stream = self.core.start_call(http2.REQUEST, None, None)
        self.core.send_messages(stream, [b""], end=end)
        self.h2.send_headers(stream.id, list(http2.REQUEST))
        self.h2.send_data(stream.id, message(b""), end_stream=end)
        self.streams[stream.id] = Judged(stream=stream)
        self.collect()

    def finish(self, stream_id: int) -> None:
        """Both answer a call with a status alone."""
        assert isinstance(self.core, ServerConnection)
        stream = self.core.streams[stream_id]
        ended = stream.remote_closed
        self.core.finish(stream, Status.ABORTED)
        self.h2.send_headers(stream_id, [*http2.RESPONSE, ("grpc-status", "10")], end_stream=True)
        if not ended:
            self.h2.reset_stream(stream_id)
        self.collect()

    def reset(self, stream_id: int) -> None:
        """Both give a call up."""
        self.core.reset(self.core.streams[stream_id])
        self.h2.reset_stream(stream_id)
        self.collect()

    def judge(self, frame: bytes) -> None:
        """One frame to both."""
        stream_id = int.from_bytes(frame[5:9], "big") & (2**31 - 1)
        for event in self.core.receive_data(frame):
            match event:
                case ConnectionEnded():
                    self.over = True
                case CallReceived(stream, _, _, _):
                    self.streams[stream.id] = Judged(stream=stream)
                case MessagesReceived(stream, messages):
                    self.streams[stream.id].ours += messages
                    self.core.take(stream, sum(len(m) + 5 for m in messages))
        try:
            events = self.h2.receive_data(frame)
        except ProtocolError as refusal:
            why = repr(refusal)
        else:
            why = ""
        if why and not only_padding(frame):
            assert self.over or stream_id not in self.core.streams, f"h2 refuses it ({why}), we do not"
        if why:
            self.over = True
            return
        for event in events:
            if isinstance(event, h2.events.ConnectionTerminated):
                self.over = True
            elif isinstance(event, h2.events.DataReceived):
                assert event.stream_id is not None
                assert event.flow_controlled_length is not None
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id in self.streams:
                    self.streams[event.stream_id].body += event.data or b""
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self.streams:
                self.streams[event.stream_id].ended = True
            elif isinstance(event, h2.events.StreamReset):
                assert event.stream_id not in self.core.streams
        for gone in self.collect():
            assert self.over or gone not in self.core.streams, "h2 resets it, we do not"
        if not self.over:
            self.compare()

    def compare(self) -> None:
        """What is open with us is open with h2, and the same has come of it."""
        for stream_id, stream in self.core.streams.items():
            judged = self.streams[stream_id]
            assert judged.ended == stream.remote_closed
            if stream.deframer.error is None and (not self.client or stream.is_grpc):
                assert judged.body == b"".join(map(message, judged.ours)) + b"".join(stream.deframer._parts)


def only_padding(frame: bytes) -> bool:
    """Whether these are HEADERS without a header block."""
    (sent,) = http2.cut(frame)
    before = 1 + (5 if sent.flags & http2.PRIO else 0)
    padded = sent.kind == http2.HEADERS and bool(sent.flags & http2.PADDED) and bool(sent.payload)
    return padded and sent.payload[0] == len(sent.payload) - before


def request(court: Court, stream_id: int, headers: list[tuple[str, str]], *, end: bool = False) -> None:
    """Headers on a stream."""
    block = http2.without_table().encode(headers)
    flags = http2.END_HEADERS | (http2.END_STREAM if end else 0)
    court.judge(http2.frame(http2.HEADERS, flags, stream_id, block))


SUSPECTS = [
    *http2.REQUEST,
    *http2.RESPONSE,
    *http2.OK,
    (":status", "100"),
    (":status", ""),
    (":protocol", "x"),
    (":unknown", "x"),
    (":method", "CONNECT"),
    (":method", "GET"),
    (":path", ""),
    (":path", "relative"),
    ("connection", "close"),
    ("transfer-encoding", "chunked"),
    ("te", "gzip"),
    ("host", "other"),
    ("host", "node:2113"),
    ("Upper", "x"),
    ("", "x"),
    ("a:b", "x"),
    ("a b", "x"),
    ("caf\u00e9", "x"),
    ("x", "a\0b"),
    ("x", "a\nb"),
    ("x", ""),
    ("x", "caf\u00e9"),
    ("content-length", "0"),
    ("content-length", "5"),
    ("content-length", "-5"),
    ("content-length", ""),
    ("content-length", "9" * 5000),
    ("cookie", "a=b"),
]


def changes(headers: tuple[tuple[str, str], ...]) -> Iterator[list[tuple[str, str]]]:
    """These headers with a small change."""
    for suspect in SUSPECTS:
        for at in {0, len(headers) // 2, len(headers)}:
            yield [*headers[:at], suspect, *headers[at:]]
        if suspect[0] in dict(headers):
            yield [suspect if header[0] == suspect[0] else header for header in headers]
    for at in range(len(headers)):
        yield [*headers[:at], *headers[at + 1 :]]
    yield [*headers, ("content-length", "5"), ("content-length", "6")]
    yield [*headers, ("content-length", "5"), ("content-length", "5")]
    yield [*headers, ("x", "y" * 70_000)]


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("place", ["request", "request trailers", "response", "response trailers", "only trailers"])
def test_every_small_change_of_headers(place: str, end: bool) -> None:
    client = place not in ("request", "request trailers")
    usual = {
        "request": http2.REQUEST,
        "response": http2.RESPONSE,
        "only trailers": (*http2.RESPONSE, *http2.OK),
    }
    for changed in changes(usual.get(place, http2.OK)):
        court = Court(client=client)
        if client:
            court.ask(end=True)
        if place == "request trailers":
            request(court, 1, list(http2.REQUEST))
        elif place == "response trailers":
            request(court, 1, list(http2.RESPONSE))
        raw = http2.without_table().encode(changed)
        pieces = [raw[at : at + 16_384] for at in range(0, len(raw), 16_384)] or [b""]
        for number, piece in enumerate(pieces):
            flags = http2.END_STREAM if end and not number else 0
            flags |= http2.END_HEADERS if number == len(pieces) - 1 else 0
            court.judge(http2.frame(http2.CONTINUATION if number else http2.HEADERS, flags, 1, piece))


@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("told", ["0", "5", "6", "30"])
@pytest.mark.parametrize("ending", ["data", "empty data", "trailers"])
def test_bodies_and_their_lengths(client: bool, told: str, ending: str) -> None:
    for body in ([], [message(b"")], [message(b"x")], [b"\0\0", b"\0\0\0"], [message(b"x" * 5)] * 3, [b""]):
        for padding in (None, 7):
            court = Court(client=client)
            if client:
                court.ask(end=True)
            request(court, 1, [*(http2.RESPONSE if client else http2.REQUEST), ("content-length", told)])
            for number, piece in enumerate(body):
                last = ending == "data" and number == len(body) - 1
                if not court.over:
                    court.judge(data(1, piece, end=last, padding=padding))
            if court.over:
                continue
            if ending == "empty data":
                court.judge(data(1, b"", end=True))
            elif ending == "trailers":
                request(court, 1, list(http2.OK), end=True)


STATES = ["idle", "open", "answered", "half-closed", "ended", "reset by us", "reset by them"]


def bring(court: Court, state: str) -> None:
    """Stream 1 into this state, lawfully."""
    if state == "idle":
        return
    if court.client:
        court.ask(end=state != "half-closed")
        if state in ("answered", "half-closed"):
            request(court, 1, list(http2.RESPONSE))
        elif state == "ended":
            request(court, 1, [*http2.RESPONSE, *http2.OK], end=True)
    else:
        request(court, 1, list(http2.REQUEST), end=state in ("half-closed", "ended"))
        if state == "answered":
            court.judge(data(1, message(b"x")))
        elif state == "ended":
            court.finish(1)
    if state == "reset by us":
        court.reset(1)
    elif state == "reset by them":
        court.judge(http2.rst_stream(1, 8))
    assert not court.over


kinds = st.sampled_from([0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 66])
flags_ = st.one_of(st.sampled_from([0, 1, 4, 5, 8, 9, 0xC, 0x24, 0x2C]), st.integers(0, 255))
blocks = [http2.without_table().encode(list(headers)) for headers in (http2.REQUEST, http2.RESPONSE, http2.OK)]
payloads = st.one_of(
    st.sampled_from([bytes(n) for n in range(10)]),
    st.sampled_from([b"\x7f" + b"\xff" * 3, b"\x80\0\0\0", b"\0\0\0\1", b"\0\0\0\1\7", *blocks]),
    st.sampled_from(blocks).map(lambda block: b"\2" + block + b"\0\0"),
    st.sampled_from(blocks).map(lambda block: b"\0\0\0\1\7" + block),
    st.sampled_from(blocks).map(lambda block: b"\0\0\0\5\7" + block),
    st.tuples(st.integers(0, 9), st.sampled_from([0, 1, 2**14 - 1, 2**14, 2**24, 2**31 - 1, 2**31])).map(
        lambda setting: struct.pack(">HI", *setting)
    ),
    st.binary(max_size=20),
)


@given(
    st.booleans(),
    st.sampled_from(STATES),
    st.lists(st.tuples(kinds, flags_, st.sampled_from([0, 1, 1, 1, 2, 3]), payloads), min_size=1, max_size=3),
)
@settings(max_examples=400)
def test_any_frame_in_any_state(client: bool, state: str, suspects: list[tuple[int, int, int, bytes]]) -> None:
    court = Court(client=client)
    bring(court, state)
    for suspect in suspects:
        if not court.over:
            court.judge(http2.frame(*suspect))


@given(st.booleans(), st.lists(frames().filter(lambda frame: frame[3] != 0xA), max_size=6))
@settings(max_examples=100)
def test_hostile_frames(client: bool, script: list[bytes]) -> None:
    court = Court(client=client)
    bring(court, "open")
    for frame in script:
        if not court.over:
            court.judge(frame)


@pytest.mark.parametrize("client", [False, True])
def test_the_one_difference(client: bool) -> None:
    court = Court(client=client)
    if client:
        court.ask(end=True)
    headers = [*(http2.RESPONSE if client else http2.REQUEST), ("grpc-message", " blank")]
    frame = http2.frame(http2.HEADERS, http2.END_HEADERS, 1, Encoder().encode(headers))
    with pytest.raises(AssertionError, match="surrounded by whitespace"):
        court.judge(frame)


def test_too_many_calls() -> None:
    court = Court(client=False)
    encoder = Encoder()
    for number in range(101):
        court.judge(
            http2.frame(http2.HEADERS, http2.END_HEADERS, 2 * number + 1, encoder.encode(list(http2.REQUEST))),
        )
    assert court.over
    assert len(court.core.streams) == 100
