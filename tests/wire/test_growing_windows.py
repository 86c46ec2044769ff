"""Receive windows that grow with what is taken in a round trip, and window arithmetic at its limits.

The two cores talk through a line with a delay in simulated time: one round trip is one unit.
"""

from __future__ import annotations

import heapq
import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import http2
from tests.support.http2 import BareClient, BareServer, check_windows, data, message
from trio_esdb._wire import CallReceived, ClientConnection, Limits, MessagesReceived, Status, Stream
from trio_esdb._wire._server_connection import ServerConnection

MIB = 1024 * 1024
MAX_WINDOW = 2**31 - 1


class Line:
    """A client that reads ``total`` bytes from a server, half a unit of time away, in messages of 10,000 bytes.

    The consumer takes at most ``pace`` bytes in a unit of time; None: at once.
    """

    def __init__(self, total: int, limits: Limits | None = None, pace: int | None = None) -> None:
        self.client = ClientConnection(limits)
        self.server = ServerConnection()
        self.now = 0.0
        self.clock = True
        self.pace = pace
        self.left = total
        self.waiting = self.most_waiting = 0
        self.taking = pace is None
        self.responding: Stream | None = None
        self.probes = 0
        self.may_take = 0
        self.numbers = itertools.count()
        self.flight: list[tuple[float, int, str, bytes]] = []
        self.stream = self.client.start_call(http2.REQUEST, None, None)
        self.client.send_messages(self.stream, [b"read"], end=True)

    def later(self, delay: float, what: str, raw: bytes = b"") -> None:
        heapq.heappush(self.flight, (self.now + delay, next(self.numbers), what, raw))

    def exchange(self) -> None:
        while raw := self.client.data_to_send(64 * 1024):
            self.probes += raw.count(http2.frame(http2.PING, 0, 0, b"window 1"))
            self.later(0.5, "to server", raw)
        while True:
            stream = self.responding
            if stream is not None and not stream.unsent and self.left and stream.id in self.server.streams:
                self.server.respond(stream, [b"x" * 9995] * 20)
                self.left -= min(self.left, 200_000)
                if not self.left:
                    self.server.finish(stream, Status.OK)
            raw = self.server.data_to_send(64 * 1024)
            if not raw:
                return
            self.later(0.5, "to client", raw)

    def take(self, size: int) -> None:
        self.waiting -= size
        self.client.take(self.stream, size)

    def run(self, until: float) -> float:
        """Round trips until the call has ended, or this many."""
        self.exchange()
        if self.pace is not None:
            self.later(0.01, "take")
        while self.flight and self.now < until and self.stream.id in self.client.streams:
            self.now, _, what, raw = heapq.heappop(self.flight)
            if what == "to server":
                for event in self.server.receive_data(raw, self.now * self.clock):
                    if isinstance(event, CallReceived):
                        self.responding = event.stream
            elif what == "to client":
                for event in self.client.receive_data(raw, self.now * self.clock):
                    if isinstance(event, MessagesReceived):
                        self.waiting += sum(len(each) + 5 for each in event.messages)
                self.most_waiting = max(self.most_waiting, self.waiting)
                if self.taking:
                    self.take(self.waiting)
            elif self.pace is not None:
                self.may_take += self.pace // 100
                whole = min(self.may_take, self.waiting) // 10_000 * 10_000
                self.may_take -= whole
                self.take(whole)
                self.later(0.01, "take")
            check_windows(self.client, [self.stream])
            self.exchange()
        return self.now


def test_a_large_read_over_a_long_line() -> None:
    """40 MB. With the window that a call begins with it would take 80 round trips."""
    line = Line(40 * 10**6)
    assert line.run(1000) <= 11
    assert line.stream.allowance == 8 * MIB


def test_a_fixed_window() -> None:
    line = Line(10 * 10**6, Limits(largest_stream_window=512 * 1024))
    assert line.run(1000) > 20
    assert line.stream.allowance == 512 * 1024
    assert line.probes == 0


def test_a_small_read_asks_for_nothing() -> None:
    line = Line(200_000)
    line.run(1000)
    assert line.probes == 0
    assert line.stream.allowance == 512 * 1024


def test_a_window_does_not_grow_for_a_consumer_that_is_slower() -> None:
    """It takes a tenth of a window in a round trip: never is more than the first window waiting."""
    line = Line(40 * 10**6, pace=50_000)
    line.run(100)
    assert line.stream.taken > 4 * 10**6
    assert line.probes > 1, "that was measured"
    assert line.stream.allowance == 512 * 1024
    assert line.most_waiting <= 512 * 1024


def test_a_window_does_not_grow_when_that_has_brought_nothing() -> None:
    """The consumer limits the speed, so the PING waits in the socket as long as the consumer takes for a window."""
    server = BareServer()
    stream = server.call(b"")
    server.answer(stream)
    pong = http2.frame(http2.PING, http2.ACK, 0, b"window 1")
    allowances = []
    for _ in range(20):
        for _ in range(stream.allowance // (256 * 1024)):
            half(server, stream)
        server.now -= 1.0  # the ACK comes together with what was sent before it
        server.feed(pong)
        allowances.append(stream.allowance // 1024)
    assert allowances == [1024] * 20


def test_a_window_does_not_grow_in_short_round_trips() -> None:
    server = BareServer()
    stream = server.call(b"")
    server.answer(stream)
    half(server, stream)
    half(server, stream)
    server.now -= 1.996  # 4 ms after the first half was taken
    server.feed(http2.frame(http2.PING, http2.ACK, 0, b"window 1"))
    assert stream.allowance == 512 * 1024


def test_a_window_does_not_grow_without_a_clock() -> None:
    line = Line(10 * 10**6)
    line.clock = False
    line.run(1000)
    assert line.probes > 0
    assert line.stream.allowance == 512 * 1024


def test_a_consumer_that_stops_stops_the_server_within_the_bound() -> None:
    line = Line(200 * 10**6)
    line.run(9)
    assert line.stream.allowance == 8 * MIB
    line.taking = False
    taken = line.stream.taken
    line.run(30)
    assert line.stream.taken == taken
    assert line.most_waiting <= 8 * MIB
    line.taking = True
    line.take(line.waiting)
    assert line.run(1000) < 60, "and it goes on from there"


def test_a_consumer_that_never_takes() -> None:
    line = Line(40 * 10**6)
    line.taking = False
    line.run(20)
    assert line.probes == 0
    assert line.most_waiting <= 512 * 1024


def test_probes_become_rare_where_they_are_of_no_use() -> None:
    line = Line(40 * 10**6, pace=100_000)
    line.run(200)
    halves = line.stream.taken // (256 * 1024)
    assert halves > 60
    assert line.probes <= 8


def half(server: BareClient | BareServer, stream: Stream) -> None:
    """The consumer takes half of the first window, at once."""
    server.feed(data(1, message(b"x" * 9995)) * 26 + data(1, message(b"x" * 2139)))
    server.core.take(stream, stream.untaken)


def test_the_answer_to_another_ping_is_no_round_trip() -> None:
    server = BareServer()
    stream = server.call(b"")
    server.answer(stream)
    server.sent()
    pong = http2.frame(http2.PING, http2.ACK, 0, b"window 1")
    assert server.feed(pong) == [], "nobody asked"
    half(server, stream)
    assert [f.kind for f in server.sent()] == [http2.WINDOW_UPDATE, http2.PING]
    half(server, stream)
    server.feed(http2.frame(http2.PING, http2.ACK, 0, b"another!"))
    assert stream.allowance == 512 * 1024
    assert [f.kind for f in server.sent()] == [http2.WINDOW_UPDATE], "one at a time"
    server.feed(pong)
    assert stream.allowance == 1024 * 1024
    assert [f.kind for f in server.sent()] == [http2.WINDOW_UPDATE, http2.PING]


@pytest.mark.parametrize("over", ["reset", "ended", "closed by the server"])
def test_a_round_trip_of_a_call_that_is_over(over: str) -> None:
    server = BareServer()
    stream = server.call(b"", end=over != "closed by the server")
    server.answer(stream)
    half(server, stream)
    if over == "reset":
        server.core.reset(stream)
    else:
        server.feed(server.headers(1, http2.OK, end=True))
    server.sent()
    assert server.feed(http2.frame(http2.PING, http2.ACK, 0, b"window 1")) == []
    assert server.sent() == []
    other = server.call(b"")
    server.feed(server.headers(3, http2.RESPONSE), data(3, message(b"x" * 9995)) * 27)
    server.core.take(other, other.untaken)
    assert http2.PING in [f.kind for f in server.sent()], "the next call may ask again"


def test_a_round_trip_of_a_call_whose_requests_have_ended() -> None:
    """The same on the server: nothing more can come, so there is nothing to grant."""
    client = BareClient()
    client.open(1)
    stream = client.streams[1]
    half(client, stream)
    assert [f.kind for f in client.sent()] == [http2.WINDOW_UPDATE, http2.PING]
    half(client, stream)
    client.feed(data(1, b"", end=True))
    client.sent()
    assert client.feed(http2.frame(http2.PING, http2.ACK, 0, b"window 1")) == []
    assert client.sent() == []
    assert stream.allowance == 512 * 1024


def test_a_window_that_is_full_of_an_advance_does_not_grow() -> None:
    server = BareServer(Limits(receive_message=2**32 - 1))
    stream = server.call(b"")
    server.answer(stream)
    half(server, stream)
    half(server, stream)
    server.feed(data(1, struct.pack(">BI", 0, 3 * 2**30)))
    assert stream.window == MAX_WINDOW
    server.sent()
    server.feed(http2.frame(http2.PING, http2.ACK, 0, b"window 1"))
    assert stream.window == MAX_WINDOW
    assert server.sent() == []


# -- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connection_window", 65_534),
        ("connection_window", 2**31),
        ("stream_window", 0),
        ("stream_window", 2**31),
        ("largest_stream_window", 2**31),
        ("receive_message", -1),
        ("receive_message", 2**32),
    ],
)
def test_limits_that_http2_and_grpc_do_not_have(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})


sizes = st.sampled_from([1, 1000, 65_535, 2**20, 2**30, 2**31 - 2, 2**31 - 1])
announced = st.sampled_from([0, 100, 2**20, 2**31 - 2**20, 2**31 - 6, 2**31 - 1, 2**31, 3 * 2**30, 2**32 - 1])


@given(
    sizes,
    sizes,
    st.lists(st.one_of(announced.map(lambda size: -size), st.integers(1, 16_000)), min_size=1, max_size=12),
    st.booleans(),
)
@settings(max_examples=200)
def test_no_window_ever_goes_beyond_its_limit(window: int, largest: int, script: list[int], take: bool) -> None:
    """Messages of up to 4 GiB are announced, of which the first bytes come."""
    limits = Limits(2**32 - 1, window, MAX_WINDOW, largest_stream_window=largest)
    server = BareServer(limits)
    stream = server.call(b"")
    server.answer(stream)
    granted = window
    received = 0
    for step in script:
        body = struct.pack(">BI", 0, -step) if step <= 0 else bytes(step)
        if stream.deframer.held > 5 and step <= 0:
            body = b"y"
        body = body[: stream.window]
        received += len(body)
        server.feed(data(1, body))
        if take:
            server.core.take(stream, stream.untaken)
        server.feed(http2.frame(http2.PING, http2.ACK, 0, b"window 1"))
        if stream.id not in server.core.streams:
            return  # what came as a prefix was none
        for frame in server.sent():
            if frame.kind == http2.WINDOW_UPDATE and frame.stream_id == 1:
                assert 0 < frame.number < 2**31
                granted += frame.number
                assert granted - received <= MAX_WINDOW
        assert stream.window == granted - received


def test_a_message_larger_than_any_window_comes_in_all_the_same() -> None:
    """What it still lacks is granted as its parts come."""
    server = BareServer(Limits(receive_message=2**32 - 1))
    stream = server.call(b"")
    server.answer(stream, data(1, struct.pack(">BI", 0, 3 * 2**30)))
    assert stream.window == MAX_WINDOW
    server.sent()
    server.feed(data(1, bytes(16_000)))
    (update,) = server.sent()
    assert update.number == 16_000
    assert stream.window == MAX_WINDOW
