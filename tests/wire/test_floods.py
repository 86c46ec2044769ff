"""Peers that send frames without end: the work and the queue stay bounded, and then the connection ends.

Bounds are counted in frames, bytes and calls of functions, not in seconds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from tests.support import http2
from tests.support.counting import counted_calls
from tests.support.http2 import BareClient, BareServer, data, message, reason
from trio_esdb._wire import CallReceived, CallReset, Status

READ = 64 * 1024

PING = http2.frame(http2.PING, 0, 0, b"8 bytes!")
FLOODS = {
    "PING": PING,
    "SETTINGS without values": http2.settings(),
    "SETTINGS that change windows": http2.settings((4, 1)) + http2.settings((4, 2)),
    "SETTINGS of many values": http2.settings(*[(4, 70_000)] * 2700),
    "SETTINGS of many table sizes": http2.settings(*[(1, 100), (1, 4096)] * 1350),
    "PRIORITY": http2.frame(http2.PRIORITY, 0, 1, struct.pack(">IB", 0, 7)),
    "WINDOW_UPDATE of the connection": http2.window_update(0, 1),
    "WINDOW_UPDATE of a call": http2.window_update(1, 1),
    "WINDOW_UPDATE of a call that is over": http2.window_update(3, 1),
    "DATA without a byte": data(1, b""),
    "DATA without a byte for a call that is over": data(3, b""),
    "DATA with nothing but padding": data(1, b"", padding=0),
    "unknown frames": http2.frame(77, 0, 0),
    "GOAWAY": http2.goaway(2**31 - 1),
}


def client_core() -> BareServer:
    """A client with an open call and one that is over."""
    peer = BareServer()
    peer.answer(peer.call(b"x", end=False))
    peer.core.reset(peer.call(b"x"))
    peer.sent()
    return peer


def server_core() -> BareClient:
    peer = BareClient()
    peer.open(1)
    peer.open(3)
    peer.core.reset(peer.streams[3])
    peer.sent()
    return peer


@pytest.mark.parametrize("make", [client_core, server_core])
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_ends_the_connection_and_no_other(make: Callable[[], BareServer | BareClient], flood: str) -> None:
    peer = make()
    frames = FLOODS[flood]
    read = frames * (READ // len(frames))
    most = 0
    for _ in range(60):
        events = peer.core.receive_data(read)
        most = max(most, peer.core.output_size)
        if peer.core.ended:
            break
    assert peer.core.ended
    assert most < 100_000
    last = peer.sent()[-1]
    assert last.kind == http2.GOAWAY
    assert struct.unpack_from(">II", last.payload)[1] == 11, "ENHANCE_YOUR_CALM"
    assert reason(events)
    assert not peer.core.streams


@pytest.mark.parametrize("make", [client_core, server_core])
def test_what_a_frame_of_a_flood_costs(make: Callable[[], BareServer | BareClient]) -> None:
    """Ten thousand of the frames that do not count as answers take a few calls of functions each."""
    for flood in ("PRIORITY", "WINDOW_UPDATE of the connection", "DATA without a byte", "unknown frames"):
        peer = make()
        with counted_calls() as calls:
            peer.core.receive_data(FLOODS[flood] * 1000)
        assert calls.total < 6500, (flood, calls.worst(1000))


@pytest.mark.parametrize("make", [client_core, server_core])
def test_a_quiet_connection_is_pinged_for_days(make: Callable[[], BareServer | BareClient]) -> None:
    """Keepalive: what a peer asks for, and takes, is no flood."""
    peer = make()
    for number in range(6000):
        assert peer.core.receive_data(PING) == []
        assert peer.core.data_to_send(None if number % 2000 == 0 else READ) == http2.frame(
            http2.PING, http2.ACK, 0, b"8 bytes!"
        )


@pytest.mark.parametrize("make", [client_core, server_core])
def test_credit_for_what_was_sent_is_no_flood(make: Callable[[], BareServer | BareClient]) -> None:
    """A peer may give back each frame of its own, and say so for the connection, too."""
    peer = make()
    core = peer.core
    for _ in range(10_000):
        core.send_messages(peer.streams[1], [b"x" * 1000])
        core.data_to_send()
        assert core.receive_data(http2.window_update(1, 1005) + http2.window_update(0, 1005)) == []
    assert not core.ended


def test_late_frames_of_many_calls_are_no_flood() -> None:
    """What was on its way when its calls were given up, in however many frames."""
    peer = client_core()
    late = peer.headers(3, http2.RESPONSE) + data(3, message(b"x")) + peer.headers(3, http2.OK, end=True)
    for _ in range(20):
        assert peer.core.receive_data(late * 1000) == []
    assert not peer.core.ended


def test_calls_opened_and_reset_in_one_read() -> None:
    """They would begin work that nobody wants. A client that gives up a few hundred calls at once is no flood."""
    client = BareClient()
    first = 1

    def burst(count: int, *body: bytes) -> bytes:
        nonlocal first
        ids = range(first, first + 2 * count, 2)
        first += 2 * count
        return b"".join(client.headers(i, http2.REQUEST) + b"".join(body) + http2.rst_stream(i, 8) for i in ids)

    for _ in range(5):
        events = client.feed(burst(200))
        assert [type(event) for event in events] == [CallReceived, CallReset] * 200
    for stream_id in range(first, first + 3000, 2):
        client.feed(client.headers(stream_id, http2.REQUEST))
        client.feed(http2.rst_stream(stream_id, 8))
        client.streams.clear()  # their windows need not be checked again and again
    first += 3000
    assert not client.core.ended
    client.encoder.header_table_size = 4096  # the smallest requests that there are
    client.feed(client.headers(first, http2.REQUEST), http2.rst_stream(first, 8))
    first += 2
    flood = burst(2400)
    assert len(flood) < READ + 5000
    assert reason(client.feed(flood)) == "too many calls were opened and reset at once"


@pytest.mark.parametrize(
    "headers",
    [
        [(":method", "GET"), *http2.REQUEST[1:]],
        [header for header in http2.REQUEST if header[0] != "content-type"],
        [*http2.REQUEST, ("x", "v" * 70_000)],
        [*http2.REQUEST, ("Bad", "x")],
        list(http2.REQUEST),
    ],
    ids=["405", "415", "431", "malformed", "answered"],
)
def test_requests_of_a_client_that_takes_no_answer(headers: list[tuple[str, str]]) -> None:
    """It holds a bounded number of answers: an end that has not left keeps its place among the open calls."""
    client = BareClient()
    raw = client.headers(1, headers[:6])
    parts = [http2.frame(http2.HEADERS, 0, 1, raw[9:])]
    if len(headers) > 6:
        more = client.encoder.encode(headers[6:])
        parts += [http2.frame(http2.CONTINUATION, 0, 1, more[at : at + 16_000]) for at in range(0, len(more), 16_000)]
    request = b"".join([*parts, http2.frame(http2.CONTINUATION, http2.END_HEADERS, 1)])
    most = 0
    for stream_id in range(1, 4001, 2):
        events = client.core.receive_data(request.replace(b"\0\0\0\1", struct.pack(">I", stream_id)))
        for event in events:
            if isinstance(event, CallReceived):
                client.core.finish(event.stream, Status.UNIMPLEMENTED, "no " * 50)
        most = max(most, client.core.output_size)
        if client.core.ended:
            break
    assert client.core.ended
    assert most < 60_000
    assert "does not take its answers" in reason(events)


@pytest.mark.parametrize("rule", ["trailers without an end", "DATA after the end"])
def test_calls_that_break_a_rule_of_a_client_that_takes_no_reset(rule: str) -> None:
    client = BareClient()
    for stream_id in range(1, 4001, 2):
        if rule == "DATA after the end":
            frames = client.headers(stream_id, http2.REQUEST, end=True) + data(stream_id, b"x")
        else:
            frames = client.headers(stream_id, http2.REQUEST) + client.headers(stream_id, [("x", "y")])
        events = client.core.receive_data(frames)
        if client.core.ended:
            break
    assert stream_id == 2001
    assert "does not take its answers" in reason(events)


def test_an_end_that_has_not_left_keeps_its_place() -> None:
    client = BareClient(None)
    for stream_id in range(1, 201, 2):
        (event, *_) = client.open(stream_id, end=True)
        assert isinstance(event, CallReceived)
        client.core.finish(event.stream, Status.OK)
    assert not client.core.streams
    assert client.open(201, end=True) == []
    assert client.feed(http2.rst_stream(5, 8)) == [], "the client gave this one up: for it the call is over"
    assert [type(e) for e in client.open(203, end=True)][:1] == [CallReceived]
    client.core.data_to_send(10)
    refused = 0
    for stream_id in range(205, 1001, 2):
        refused += not client.open(stream_id, end=True)
    assert refused > 300
    client.core.data_to_send()
    assert client.open(1001, end=True) != []


def test_a_header_block_without_end() -> None:
    """What is kept of it is bounded, and so is the number of its frames that bring nothing."""
    client = BareClient()
    client.feed(http2.frame(http2.HEADERS, 0, 1, b"\x00\x01x\x7f\xff\xff\xff\x7f"))
    for _ in range(1000):
        assert client.feed(http2.frame(http2.CONTINUATION, 0, 1, b"v" * 16_000)) == []
    assert not client.core.ended
    assert "bring nothing" in reason(client.feed(http2.frame(http2.CONTINUATION, 0, 1) * 10_001))
