"""The queue of frames: what is in it is bounded, and in which order it leaves."""

from __future__ import annotations

import random

import pytest

from tests.support import http2
from tests.support.http2 import BareClient, BareServer, Sent, message
from trio_esdb._wire import CallReceived, Code, Drained, HeadersTooLarge, Status, Stream

KIB = 1024
HUGE = http2.settings((4, 2**31 - 1)) + http2.window_update(0, 2**31 - 1 - 65_535)
"""Windows of a peer that would take everything at once."""


def responding(client: BareClient, count: int) -> list[Stream]:
    for stream_id in range(1, 2 * count, 2):
        client.open(stream_id, end=True)
    client.sent()
    return list(client.streams.values())


def size_of(frames: list[Sent]) -> int:
    return sum(9 + len(frame.payload) for frame in frames)


def test_huge_windows_do_not_fill_the_queue() -> None:
    """The bytes stay with their calls, which costs no copy, until the writer takes them."""
    client = BareClient()
    client.feed(HUGE)
    streams = responding(client, 20)
    large = bytes(1_000_000)
    for stream in streams:
        client.core.respond(stream, [large, large])
    assert client.core.output_size < 400 * KIB
    assert sum(stream.unsent for stream in streams) > 39_000_000
    taken = 0
    while raw := client.core.data_to_send(256 * KIB):
        taken += len(raw)
        assert len(raw) < 400 * KIB
        assert client.core.output_size < 400 * KIB
    assert taken > 40_000_000
    assert not any(stream.unsent for stream in streams)


def test_small_responses_to_a_client_that_does_not_read() -> None:
    """A live subscription: each is queued at once, while there is room; then they are unsent."""
    client = BareClient()
    client.feed(HUGE)
    (stream,) = responding(client, 1)
    client.core.respond(stream, [b"x" * 100])
    assert stream.unsent == 0
    for _ in range(10_000):
        client.core.respond(stream, [b"x" * 100])
    assert client.core.output_size < 300 * KIB
    assert stream.unsent > 700_000
    sent = client.sent()
    assert b"".join(f.payload for f in sent if f.kind == http2.DATA) == message(b"x" * 100) * 10_001
    assert client.core.output_size == 0


def test_what_is_dropped_never_enters_the_queue() -> None:
    client = BareClient()
    client.feed(HUGE)
    first, second = responding(client, 2)
    client.core.respond(first, [bytes(1_000_000)])
    client.core.respond(second, [bytes(1_000_000)])
    client.feed(http2.rst_stream(1, 8))
    sent = client.sent()
    assert sum(len(f.payload) for f in sent if f.kind == http2.DATA and f.stream_id == 1) <= 256 * KIB
    assert sum(len(f.payload) for f in sent if f.kind == http2.DATA and f.stream_id == 3) == 1_000_005


def test_calls_take_turns() -> None:
    """One with much to say does not keep the others waiting."""
    client = BareClient()
    client.feed(HUGE)
    streams = responding(client, 5)
    for stream in streams:
        client.core.respond(stream, [bytes(1_000_000)])
    first: dict[int, int] = {}
    at = 0
    while raw := client.core.data_to_send(64 * KIB):
        for frame in http2.cut(raw):
            first.setdefault(frame.stream_id, at)
            at += len(frame.payload)
    assert max(first.values()) < 600 * KIB


def test_drained_comes_when_the_writer_has_taken_the_last_bytes() -> None:
    client = BareClient()
    client.feed(HUGE)
    (stream,) = responding(client, 1)
    client.core.respond(stream, [bytes(1_000_000)])
    client.core.finish(stream, Status.OK)
    stream.drain_wanted = True
    while stream.unsent:
        assert client.core.events == []
        client.core.data_to_send(64 * KIB)
    assert client.core.take_events() == [Drained(stream)]
    assert client.core.take_events() == []
    assert http2.cut(client.core.data_to_send())[-1].kind == http2.HEADERS
    assert not client.core.streams


def test_a_bare_end_behind_much() -> None:
    server = BareServer(None, (4, 2**31 - 1))
    server.feed(http2.window_update(0, 10**7))
    stream = server.call(bytes(1_000_000), end=False)
    server.core.send_messages(stream, [], end=True)
    sent = [f for f in server.sent() if f.kind == http2.DATA]
    assert [f.flags for f in sent] == [0] * (len(sent) - 1) + [http2.END_STREAM]
    assert sum(len(f.payload) for f in sent) == 1_000_005
    server.core.send_messages(stream, [b"late"], end=True)
    assert server.sent() == []


def test_a_window_that_is_taken_back_and_given_again() -> None:
    """SETTINGS may make a call's window negative while its bytes wait."""
    client = BareClient()
    client.feed(HUGE)
    (stream,) = responding(client, 1)
    client.core.respond(stream, [bytes(600_000)])
    queued = 600_005 - stream.unsent
    client.feed(http2.settings((4, 0)))
    assert stream.send_window == -queued
    assert sum(len(f.payload) for f in client.sent() if f.kind == http2.DATA) == queued
    client.feed(http2.window_update(1, queued))
    assert client.sent() == []
    client.feed(http2.window_update(1, 10))
    assert [len(f.payload) for f in client.sent()] == [10]
    client.feed(http2.settings((4, 100)))
    assert [len(f.payload) for f in client.sent() if f.kind == http2.DATA] == [100]
    client.feed(http2.settings((4, 2**31 - 1 - queued - 110)))
    assert sum(len(f.payload) for f in client.sent() if f.kind == http2.DATA) == 600_005 - queued - 110


def test_a_connection_that_takes_nothing_takes_no_more_calls() -> None:
    """And what the calls queued is bounded, however many were given up."""
    server = BareServer()
    calls = 0
    while server.core.room:
        server.core.reset(server.call(b"x" * 200))
        calls += 1
    assert 1000 < calls < 20_000
    assert server.core.output_size < 400 * KIB
    assert server.feed(http2.frame(http2.PING, 0, 0, bytes(8))) == [], "what waits here is no answer"
    assert not server.core.ended
    assert server.core.output_size == len(server.core.data_to_send())
    assert server.core.room > 100


def test_data_alone_never_keeps_calls_out() -> None:
    """A connection that is busy with large requests is not one that stands still."""
    server = BareServer(None, (3, 100), (4, 2**31 - 1))
    server.feed(http2.window_update(0, 2**31 - 1 - 65_535))
    for left in range(100, 0, -1):
        assert server.core.room == left
        server.call(bytes(3_000_000), end=False)


@pytest.mark.parametrize("about", [None, 1, 100, 300 * KIB])
def test_the_size_of_the_output_is_exact(about: int | None) -> None:
    client = BareClient()
    client.feed(HUGE)
    streams = responding(client, 10)
    rng = random.Random(1)
    for _ in range(300):
        stream = rng.choice(streams)
        match rng.randrange(5):
            case 0:
                client.core.respond(stream, [bytes(rng.choice([0, 5, 30_000]))] * rng.choice([1, 3, 200]))
            case 1:
                client.core.reset(stream)
            case 2:
                client.core.finish(stream, Status.ABORTED, "why", {"x": "v" * 500})
            case 3:
                client.feed(http2.frame(http2.PING, 0, 0, bytes(8)))
            case 4:
                before = client.core.output_size
                taken = len(client.core.data_to_send(about))
                assert taken >= min(before, before if about is None else about)
    client.core.data_to_send()
    assert (client.core.output_size, client.core.has_output) == (0, False)
    client.core.goodbye(text="over")
    assert client.core.output_size == len(client.core.data_to_send())


def test_resets_that_are_queued_together_leave_in_the_order_of_their_streams() -> None:
    server = BareServer()
    streams = [server.call(b"x") for _ in range(90)]
    server.sent()
    random.Random(1).shuffle(streams)
    for stream in streams[:60]:
        server.core.reset(stream)
    assert [f.stream_id for f in server.sent()] == sorted(stream.id for stream in streams[:60])
    for stream in streams[60:75]:
        server.core.reset(stream, Code.INTERNAL_ERROR)
    server.call(b"between")
    for stream in streams[75:]:
        server.core.reset(stream)
    ids = [f.stream_id for f in server.sent()]
    assert ids[:15] == sorted(stream.id for stream in streams[60:75])
    assert ids[15:17] == [181, 181], "headers and message: a place that was given up before is free for it"
    assert ids[17:] == sorted(stream.id for stream in streams[75:])


def test_resets_after_the_writer_has_taken_some() -> None:
    server = BareServer()
    streams = [server.call(b"x") for _ in range(10)]
    for stream in reversed(streams[5:]):
        server.core.reset(stream)
    taken = server.core.data_to_send(1)
    for stream in reversed(streams[:5]):
        server.core.reset(stream)
    ids = [f.stream_id for f in http2.cut(taken + server.core.data_to_send()) if f.kind == http2.RST_STREAM]
    assert ids == [11, 13, 15, 17, 19, 1, 3, 5, 7, 9], "these five came later"


@pytest.mark.parametrize("about", [None, 300 * KIB])
def test_a_reset_never_overtakes_its_own_call(about: int | None) -> None:
    """However many frames are in the queue, compared with the resets that were in it before."""
    server = BareServer()
    first, second, third = (server.call(b"x", end=False) for _ in range(3))
    server.sent()
    server.core.reset(second)
    server.core.reset(third)
    server.core.data_to_send(about)
    server.core.send_messages(first, [b"y"])
    server.core.send_messages(first, [b"z"])
    server.core.reset(first)
    assert [f.kind for f in server.sent()] == [http2.DATA, http2.DATA, http2.RST_STREAM]


# -- what a call may ask for -----------------------------------------------------------------------------------------


def test_a_secret_is_sent_and_never_indexed() -> None:
    server = BareServer()
    for secret in ("Basic one", "Basic two", "Bearer " + "t" * 3000):
        stream = server.core.start_call(http2.REQUEST, "5S", None, authorization=secret)
        frames = [f for f in server.sent() if f.stream_id == stream.id]
        block = b"".join(f.payload for f in frames)
        (header,) = [each for each in server.decoder.decode(block, raw=True) if each[0] == b"authorization"]
        assert header[1] == secret.encode()
        assert not header.indexable
        assert not any(secret.encode() in value for _, value in server.core._h2.encoder.header_table.dynamic_entries)


def test_a_secret_counts_for_the_servers_limit() -> None:
    server = BareServer(None, (6, 500))
    server.core.start_call(http2.REQUEST, None, None, authorization="x")
    with pytest.raises(HeadersTooLarge, match="the 500 bytes"):
        server.core.start_call(http2.REQUEST, None, None, authorization="x" * 200)


def test_a_call_with_a_limit_of_its_own() -> None:
    server = BareServer()
    small = server.core.start_call(http2.REQUEST, None, None, receive_message=100)
    other = server.call(b"x")
    raw = [server.headers(s.id, http2.RESPONSE) + http2.data(s.id, message(b"x" * 101)) for s in (small, other)]
    ended = http2.end(server.feed(*raw))
    assert (ended.stream, ended.outcome.status) == (small, Status.RESOURCE_EXHAUSTED)


def test_a_name_of_any_length_in_trailers() -> None:
    """A node repeats the name of a stream, in a trailer and in the message."""
    name = "n" * 400_000
    client, server = BareClient(), BareServer()
    stream = server.call(b"x")
    (event, *_) = client.open(1, end=True)
    assert isinstance(event, CallReceived)
    client.core.finish(event.stream, Status.FAILED_PRECONDITION, f"Event stream '{name}' is deleted.", {"name": name})
    ended = http2.end(server.core.receive_data(client.core.data_to_send()))
    assert ended.stream is stream
    assert ended.outcome.trailers == {"name": name}
    assert name in ended.outcome.message


@pytest.mark.parametrize("name", ["n" * 2_000_000, "\u00e9" * 400_000])
def test_trailers_beyond_the_limit_fail_only_their_call(name: str) -> None:
    client, server = BareClient(), BareServer()
    stream, beside = server.call(b"x"), server.call(b"x")
    (event, *_) = client.open(1, end=True)
    assert isinstance(event, CallReceived)
    client.core.finish(event.stream, Status.FAILED_PRECONDITION, f"{name} is deleted.")
    ended = http2.end(server.core.receive_data(client.core.data_to_send()))
    assert ended.stream is stream
    assert ended.outcome.status is Status.RESOURCE_EXHAUSTED
    assert ended.outcome.local
    assert list(server.core.streams.values()) == [beside]
    assert http2.messages(server.feed(server.headers(3, http2.RESPONSE), http2.data(3, message(b"y")))) == [b"y"]
