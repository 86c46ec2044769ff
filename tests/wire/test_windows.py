"""Flow control in both directions: every received byte is accounted for, and no more is sent than the peer allows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import http2
from tests.support.http2 import BareClient, BareServer, Sent, check_windows, data, end, message, messages
from trio_esdb._wire import CallReceived, Drained, Limits, Status, Stream

WINDOW = 1000
LIMITS = Limits(receive_message=20_000, stream_window=WINDOW, connection_window=http2.DEFAULT_WINDOW)


def granted(frames: list[Sent], stream_id: int) -> int:
    return sum(f.number for f in frames if f.kind == http2.WINDOW_UPDATE and f.stream_id == stream_id)


def begin(limits: Limits = LIMITS) -> tuple[BareServer, Stream]:
    server = BareServer(limits)
    stream = server.call(b"")
    server.answer(stream)
    server.sent()
    return server, stream


def test_nothing_is_given_back_before_it_is_taken() -> None:
    server, stream = begin()
    for _ in range(10):
        server.feed(data(1, message(b"x" * 95)))
    assert stream.window == 0
    assert granted(server.sent(), 1) == 0
    for _ in range(4):
        server.core.take(stream, 100)
    assert not server.core.has_output, "credit is given back by halves of the window"
    server.core.take(stream, 100)
    assert granted(server.sent(), 1) == 500
    server.core.take(stream, 500)
    assert granted(server.sent(), 1) == 500
    assert stream.window == WINDOW
    check_windows(server.core, [stream])


def test_the_connection_opens_whoever_takes() -> None:
    server, stream = begin(Limits(stream_window=10**6, connection_window=http2.DEFAULT_WINDOW))
    total = 0
    for _ in range(50):
        server.feed(data(1, message(b"x" * 9995)))
        total += granted(server.sent(), 0)
    assert total + server.core.credit == 500_000
    assert stream.untaken == 500_000


def test_a_message_larger_than_the_window_comes_in_whole() -> None:
    server, stream = begin()
    raw = message(b"x" * 4995) + message(b"y" * 95)
    sent = 0
    found: list[bytes] = []
    window = WINDOW
    while not found:
        assert window > 0, "the server is stuck"
        size = min(window, 700)
        found += messages(server.feed(data(1, raw[sent : sent + size])))
        sent += size
        window += granted(server.sent(), 1) - size
    assert found == [b"x" * 4995]
    assert stream.advance == 5000 - WINDOW + 0
    assert window == 0, "it is given what the message lacks, and no more"
    server.core.take(stream, 5000)
    assert stream.advance == 0
    assert granted(server.sent(), 1) == WINDOW
    assert messages(server.feed(data(1, raw[sent:]))) == [b"y" * 95]


def test_a_large_message_behind_a_small_one_waits_for_the_consumer() -> None:
    server, stream = begin()
    server.feed(data(1, message(b"x" * 95) + message(b"y" * 4995)[:900]))
    assert stream.window == 0
    assert not server.core.has_output
    server.core.take(stream, 100)
    assert granted(server.sent(), 1) == 4100
    check_windows(server.core, [stream])


def test_a_large_message_behind_one_of_half_the_window() -> None:
    server, stream = begin()
    server.feed(data(1, message(b"x" * 595) + message(b"y" * 4995)[:400]))
    server.core.take(stream, 600)
    assert granted(server.sent(), 1) == 600
    server.feed(data(1, message(b"y" * 4995)[400:410]))
    assert stream.window == 4590
    assert granted(server.sent(), 1) == 4000
    check_windows(server.core, [stream])


def test_padding_is_given_back_at_once() -> None:
    server, stream = begin()
    for _ in range(20):
        server.feed(data(1, b"", padding=200))
    assert stream.window + stream.credit == WINDOW
    server.feed(data(1, message(b"x" * 100), padding=100))
    assert (stream.untaken, stream.window + stream.credit) == (105, WINDOW - 105)


def test_padding_does_not_starve_a_large_message() -> None:
    server, _ = begin()
    raw = message(b"x" * 3000)
    window = WINDOW
    found: list[bytes] = []
    at = 0
    while not found:
        assert window > 0
        padding = min(100, window - 2) if window > 1 else None
        size = 1 if padding is None else min(window - padding - 1, 150)
        events = server.feed(data(1, raw[at : at + size], padding=padding))
        found += messages(events)
        at += size
        window += granted(server.sent(), 1) - size - (0 if padding is None else padding + 1)
    assert found == [b"x" * 3000]


def test_taking_after_the_end() -> None:
    server, stream = begin()
    events = server.feed(data(1, message(b"x" * 900)), server.headers(1, http2.OK, end=True))
    assert end(events)
    server.core.take(stream, 905)
    check_windows(server.core, [stream])
    assert not server.core.has_output


def test_taking_after_a_reset() -> None:
    server, stream = begin()
    server.feed(data(1, message(b"x" * 900)))
    server.core.reset(stream)
    server.sent()
    server.core.take(stream, 905)
    assert not server.core.has_output
    server.feed(*[data(1, b"z" * 10_000)] * 10)
    assert granted(server.sent(), 0) > 65_535, "what came too late is given back to the connection"
    check_windows(server.core, [stream])


def test_requests_that_ended_open_no_window() -> None:
    client = BareClient(http2.SMALL)
    event, *_ = client.open(1, *[data(1, message(b"x" * 995) * 10)] * 5, data(1, b"", end=True))
    assert isinstance(event, CallReceived)
    client.sent()
    client.core.take(event.stream, 50_000)
    assert not client.core.has_output
    check_windows(client.core, [event.stream])


@given(st.data())
@settings(max_examples=40)
def test_the_books_balance_whatever_comes_and_whenever_it_is_taken(source: st.DataObject) -> None:
    """Several calls, a peer that keeps to the windows, a consumer that takes when it likes: nobody is ever stuck."""
    server = BareServer(LIMITS, (4, 2**16))
    streams = [server.call(b"") for _ in range(3)]
    kinds = source.draw(st.lists(st.sampled_from(["grpc", "text"]), min_size=3, max_size=3))
    bodies: list[bytes] = []
    expected: list[list[bytes]] = []
    waiting: list[list[int]] = [[], [], []]
    got: list[list[bytes]] = [[], [], []]
    windows = [WINDOW] * 3
    connection = http2.DEFAULT_WINDOW
    for stream, kind in zip(streams, kinds, strict=True):
        sizes = source.draw(st.lists(st.integers(0, 3000), max_size=6))
        payloads = [bytes([n]) * size for n, size in enumerate(sizes)]
        bodies.append(b"".join(map(message, payloads)))
        expected.append(payloads if kind == "grpc" else [])
        server.feed(server.headers(stream.id, http2.RESPONSE if kind == "grpc" else [(":status", "404")]))
    server.sent()

    def hear() -> None:
        nonlocal connection
        frames = server.sent()
        connection += granted(frames, 0)
        for n, stream in enumerate(streams):
            windows[n] += granted(frames, stream.id)

    while any(bodies) or any(waiting):
        can_send = [n for n in range(3) if bodies[n] and windows[n] > 0]
        can_take = [n for n in range(3) if waiting[n]]
        assert can_send or can_take, "stuck"
        if can_send and (not can_take or source.draw(st.booleans())):
            n = source.draw(st.sampled_from(can_send))
            most = min(windows[n], len(bodies[n]), connection)
            padding = source.draw(st.sampled_from([None, None, 0, 50]))
            if padding is not None and padding + 1 >= most:
                padding = None
            over = 0 if padding is None else padding + 1
            size = min(len(bodies[n]), source.draw(st.integers(1, max(1, most - over))))
            events = server.feed(data(streams[n].id, bodies[n][:size], padding=padding))
            bodies[n] = bodies[n][size:]
            windows[n] -= size + over
            connection -= size + over
            found = messages(events)
            got[n] += found
            waiting[n] += [len(m) + 5 for m in found]
        else:
            n = source.draw(st.sampled_from(can_take))
            count = source.draw(st.integers(1, len(waiting[n])))
            server.core.take(streams[n], sum(waiting[n][:count]))
            del waiting[n][:count]
        hear()
        check_windows(server.core, streams)
        assert [stream.window for stream in streams] == windows
    assert got == expected


# -- sending ---------------------------------------------------------------------------------------------------------


def payload(frames: list[Sent], stream_id: int = 1) -> bytes:
    return b"".join(f.payload for f in frames if f.kind == http2.DATA and f.stream_id == stream_id)


def test_what_the_peers_window_does_not_admit_waits() -> None:
    server = BareServer(None, (4, 10))
    stream = server.call(b"x" * 20)
    frames = server.sent()
    assert len(payload(frames)) == 10
    assert not any(f.flags & http2.END_STREAM for f in frames)
    assert stream.unsent == 15
    server.feed(http2.window_update(1, 7))
    assert len(payload(server.sent())) == 7
    server.feed(http2.window_update(1, 100))
    (last,) = server.sent()
    assert (len(last.payload), last.flags) == (8, http2.END_STREAM)


def test_what_is_queued_can_be_had_in_portions() -> None:
    """Each but the last is as large as asked for, a frame more or less."""
    server = BareServer(None, (4, 10**6))
    server.feed(http2.window_update(0, 10**6))
    body = [bytes([n]) * 3000 for n in range(40)] + [b"large" * 20_000]
    server.call(*body)
    portions = list(iter(lambda: server.core.data_to_send(20_000), b""))
    assert not server.core.has_output
    assert all(20_000 <= len(portion) <= 20_000 + 16_384 for portion in portions[:-1])
    assert len(portions[-1]) <= 20_000
    assert payload(http2.cut(b"".join(portions))) == b"".join(map(message, body))


def test_frames_are_no_larger_than_the_peer_takes() -> None:
    server = BareServer(None, (4, 10**6))
    server.call(b"x" * 40_000)
    assert [len(f.payload) for f in server.sent()[1:]] == [16_384, 16_384, 40_005 - 2 * 16_384]


def test_the_connections_window_is_shared_fairly() -> None:
    server = BareServer(None, (4, 10**6))
    for _ in range(3):
        server.call(b"x" * 60_000)
    sent = {1: 0, 3: 0, 5: 0}

    def count() -> None:
        for stream_id in sent:
            sent[stream_id] += len(payload(frames, stream_id))

    frames = server.sent()
    count()
    assert sent == {1: 60_005, 3: 5530, 5: 0}
    turns = []
    for _ in range(4):
        server.feed(http2.window_update(0, 10_000))
        frames = server.sent()
        turns.append({f.stream_id for f in frames})
        count()
    assert turns == [{3}, {5}, {3}, {5}]
    server.feed(http2.window_update(0, 10**6))
    frames = server.sent()
    count()
    assert sent == {1: 60_005, 3: 60_005, 5: 60_005}


def test_settings_move_the_windows_of_open_calls() -> None:
    server = BareServer(None, (4, 10))
    first, second = server.call(b"x" * 20, end=False), server.call(b"", end=False)
    assert len(payload(server.sent())) == 10
    server.feed(http2.settings((4, 4)))
    assert (first.send_window, second.send_window) == (-6, -1)
    assert payload(server.sent()) == b""
    server.feed(http2.window_update(1, 6))
    assert payload(server.sent()) == b""
    server.feed(http2.settings((4, 14)))
    assert (first.send_window, second.send_window) == (0, 9)
    assert len(payload(server.sent())) == 10


def test_an_empty_end_needs_no_window() -> None:
    server = BareServer(None, (4, 5))
    stream = server.call(b"", end=False)
    server.feed(http2.settings((4, 0)))
    server.sent()
    assert stream.send_window == -5
    server.core.send_messages(stream, [], end=True)
    assert server.sent() == [Sent(http2.DATA, http2.END_STREAM, 1, b"")]


def test_trailers_need_no_window() -> None:
    client = BareClient(None, (4, 0))
    event, *_ = client.open(1, end=True)
    assert isinstance(event, CallReceived)
    client.core.finish(event.stream, Status.OK)
    assert [f.kind for f in client.sent()] == [http2.HEADERS]


def test_settings_cannot_raise_a_window_beyond_its_limit() -> None:
    server = BareServer()
    stream = server.call(b"")
    server.feed(http2.window_update(1, 2**31 - 1 - stream.send_window))
    events = server.feed(http2.settings((4, 65_536)))
    assert http2.reason(events) == "SETTINGS raised a window beyond its limit"
    assert server.sent()[-1].payload[4:8] == b"\0\0\0\3"


def test_a_call_given_up_sends_nothing_more() -> None:
    server = BareServer(None, (4, 10))
    stream = server.call(b"x" * 20)
    server.sent()
    server.core.reset(stream)
    server.feed(http2.window_update(1, 100), http2.window_update(0, 100), http2.settings((4, 1000)))
    assert [f.kind for f in server.sent()] == [http2.RST_STREAM, http2.SETTINGS]


@pytest.mark.parametrize("reset", [False, True])
def test_a_call_whose_room_comes_with_its_end(reset: bool) -> None:
    server = BareServer(None, (4, 10))
    stream = server.call(b"x" * 20, end=False)
    stream.drain_wanted = True
    last = http2.rst_stream(1, 0) if reset else server.headers(1, [*http2.RESPONSE, *http2.OK], end=True)
    events = server.feed(http2.window_update(1, 15), last)
    assert events[0] == Drained(stream)
    assert end(events).stream is stream


@given(st.data())
@settings(max_examples=40)
def test_never_more_than_the_peer_granted(source: st.DataObject) -> None:
    """A peer that changes its windows as it likes: every frame fits them, and in the end everything came."""
    initial = source.draw(st.integers(0, 2000))
    server = BareServer(None, (4, initial))
    windows: dict[int, int] = {}
    connection = http2.DEFAULT_WINDOW
    received: dict[int, bytes] = {}
    expected: dict[int, bytes] = {}
    ended: set[int] = set()

    def hear() -> None:
        nonlocal connection
        for f in server.sent():
            if f.kind == http2.DATA:
                received[f.stream_id] += f.payload
                windows[f.stream_id] -= len(f.payload)
                connection -= len(f.payload)
                assert not f.payload or (windows[f.stream_id] >= 0 and connection >= 0)
                assert len(f.payload) <= 16_384
                if f.flags & http2.END_STREAM:
                    ended.add(f.stream_id)

    def start() -> None:
        sizes = source.draw(st.lists(st.integers(0, 30_000), max_size=3))
        stream = server.call(*(b"m" * size for size in sizes))
        windows[stream.id] = initial
        received[stream.id] = b""
        expected[stream.id] = b"".join(message(b"m" * size) for size in sizes)

    for _ in range(source.draw(st.integers(1, 12))):
        match source.draw(st.sampled_from(["start", "start", "stream", "connection", "settings"])):
            case "start":
                start()
            case "stream" if windows:
                stream_id = source.draw(st.sampled_from(sorted(windows)))
                by = source.draw(st.integers(1, 5000))
                windows[stream_id] += by
                server.feed(http2.window_update(stream_id, by))
            case "connection":
                by = source.draw(st.integers(1, 5000))
                connection += by
                server.feed(http2.window_update(0, by))
            case _:
                new = source.draw(st.integers(0, 4000))
                for stream_id in windows:
                    windows[stream_id] += new - initial
                initial = new
                server.feed(http2.settings((4, new)))
        hear()
        for stream_id, stream in server.core.streams.items():
            assert stream.send_window == windows[stream_id]
            assert not stream.unsent or min(windows[stream_id], connection) <= 0, "it could send, and does not"
    for stream_id in windows:
        windows[stream_id] += 10**6
        server.feed(http2.window_update(stream_id, 10**6))
        hear()
    connection += 10**7
    server.feed(http2.window_update(0, 10**7))
    hear()
    assert received == expected
    assert ended == set(expected)
