"""The client's end, against a server made by hand."""

from __future__ import annotations

import struct

import pytest
from hpack import Encoder

from tests.support import http2
from tests.support.http2 import BareServer, Sent, data, end, ends, message, messages, reason
from trio_esdb._wire import (
    CallEnded,
    ClientConnection,
    Code,
    ConnectionEnded,
    Drained,
    GoawayReceived,
    HeadersTooLarge,
    Limits,
    MessagesReceived,
    Outcome,
    RoomChanged,
    Status,
)

DONE = Outcome(Status.OK)


def test_the_greeting() -> None:
    server = BareServer()
    first, window = server.greeting
    assert (first.kind, first.flags, first.stream_id) == (http2.SETTINGS, 0, 0)
    told = dict(struct.iter_unpack(">HI", first.payload))
    assert told[2] == 0, "no pushed streams"
    assert told[4] == 512 * 1024, "a stream's window"
    assert told[6] == 1024 * 1024, "the largest header list"
    assert 3 not in told, "the server opens no streams"
    assert (window.kind, window.stream_id, window.number) == (http2.WINDOW_UPDATE, 0, 16 * 1024 * 1024 - 65_535)


def test_the_smallest_connection_window_needs_no_update() -> None:
    assert len(BareServer(http2.SMALL).greeting) == 1
    with pytest.raises(ValueError, match="65535"):
        Limits(connection_window=65_534)


def test_a_unary_call_from_beginning_to_end() -> None:
    server = BareServer()
    stream = server.call(b"ask", timeout="5000m")
    headers, body = server.sent()
    assert (headers.kind, headers.flags, headers.stream_id) == (http2.HEADERS, http2.END_HEADERS, 1)
    assert server.told(headers.payload) == dict(http2.REQUEST) | {"grpc-timeout": "5000m"}
    assert body == Sent(http2.DATA, http2.END_STREAM, 1, message(b"ask"))
    events = server.answer(stream, data(1, message(b"reply")), server.headers(1, http2.OK, end=True))
    assert events == [MessagesReceived(stream, [b"reply"]), CallEnded(stream, DONE)]
    assert not server.core.streams
    assert not server.core.has_output, "nothing is left to be said"


def test_requests_in_portions() -> None:
    server = BareServer()
    stream = server.call(end=False)
    server.core.send_messages(stream, [b"a", b"b"])
    server.core.send_messages(stream, [])
    server.core.send_messages(stream, [], end=True)
    server.core.send_messages(stream, [b"late"])
    assert [(f.kind, f.flags, f.payload) for f in server.sent()[1:]] == [
        (http2.DATA, 0, message(b"a") + message(b"b")),
        (http2.DATA, http2.END_STREAM, b""),
    ]


def test_messages_of_one_portion_come_at_once() -> None:
    server = BareServer()
    stream = server.call(b"")
    raw = b"".join(message(bytes([n])) for n in range(10))
    events = server.answer(stream, data(1, raw[:7]), data(1, raw[7:31], padding=3), data(1, raw[31:]))
    assert events == [MessagesReceived(stream, [bytes([n]) for n in range(10)])]


def test_a_response_headers_frame_may_be_cut_and_padded_and_have_a_priority() -> None:
    server = BareServer()
    stream = server.call(b"")
    block = server.encoder.encode(list(http2.RESPONSE))
    padded = b"\x02" + b"\0\0\0\0\x10" + block[:1] + b"\0\0"
    events = server.feed(
        http2.frame(http2.HEADERS, http2.PADDED | http2.PRIO, 1, padded),
        http2.frame(http2.CONTINUATION, 0, 1, b""),
        http2.frame(http2.CONTINUATION, http2.END_HEADERS, 1, block[1:]),
        data(1, message(b"x")),
    )
    assert messages(events) == [b"x"]
    assert stream.headers == http2.RESPONSE


def test_remembered_headers_follow_the_servers_table() -> None:
    server = BareServer()

    def call() -> int:
        server.call(b"")
        headers, _ = server.sent()
        assert server.told(headers.payload) == dict(http2.REQUEST)
        return len(headers.payload)

    first, second, third = (call() for _ in range(3))
    assert first > second == third
    for sizes in ([0], [4096], [60], [0, 4096], [100, 0], [0, 0], [4096, 60, 4096]):
        for size in sizes:
            server.feed(http2.settings((1, size)))
        server.sent()
        server.decoder.max_allowed_table_size = sizes[-1]
        call()
        call()


def test_large_request_headers_are_cut_into_frames() -> None:
    server = BareServer()
    server.call(b"", headers=(*http2.REQUEST, ("x", "y" * 20_000)))
    first, second, body = server.sent()
    assert (first.kind, first.flags, len(first.payload)) == (http2.HEADERS, 0, 16_384)
    assert (second.kind, second.flags) == (http2.CONTINUATION, http2.END_HEADERS)
    assert server.told(first.payload + second.payload)["x"] == "y" * 20_000
    assert body.kind == http2.DATA


def test_trailers_only() -> None:
    server = BareServer()
    stream = server.call(b"")
    trailers = (*http2.RESPONSE, ("content-length", "0"), ("grpc-status", "9"), ("grpc-message", "no"), ("reason", "x"))
    assert server.feed(server.headers(1, trailers, end=True)) == [
        CallEnded(stream, Outcome(Status.FAILED_PRECONDITION, "no", {"reason": "x"}))
    ]


def test_a_message_that_begins_with_a_blank() -> None:
    server = BareServer()
    server.call(b"")
    block = server.encoder.encode([*http2.RESPONSE, ("grpc-status", "9"), ("grpc-message", " blank")])
    outcome = end(server.feed(http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, block))).outcome
    assert outcome.message == " blank"


@pytest.mark.parametrize(
    ("trailers", "status", "text"),
    [
        ([("grpc-status", "13"), ("grpc-message", "%e2%82%ac")], Status.INTERNAL, "\u20ac"),
        ([("grpc-status", "0"), ("grpc-status", "5")], Status.NOT_FOUND, ""),
        ([("grpc-status", "100")], Status.UNKNOWN, "the server sent grpc-status '100': "),
        ([("grpc-status", "")], Status.UNKNOWN, "the server sent grpc-status '': "),
        ([("grpc-message", "x")], Status.UNKNOWN, "the answer ended without a grpc-status"),
        ([], Status.UNKNOWN, "the answer ended without a grpc-status"),
    ],
)
def test_the_status_in_trailers(trailers: list[tuple[str, str]], status: Status, text: str) -> None:
    server = BareServer()
    stream = server.call(b"")
    outcome = end(server.answer(stream, server.headers(1, trailers, end=True))).outcome
    assert (outcome.status, outcome.message) == (status, text)


def test_an_answer_that_ends_without_trailers() -> None:
    server = BareServer()
    stream = server.call(b"")
    outcome = end(server.answer(stream, data(1, message(b"x"), end=True))).outcome
    assert (outcome.status, outcome.local) == (Status.UNKNOWN, True)


@pytest.mark.parametrize("last", [message(b"cut")[:6], message(b"")[:3]])
def test_an_answer_that_ends_inside_a_message(last: bytes) -> None:
    server = BareServer()
    stream = server.call(b"")
    events = server.answer(stream, data(1, message(b"whole") + last), server.headers(1, http2.OK, end=True))
    assert messages(events) == [b"whole"]
    assert end(events).outcome == Outcome(Status.INTERNAL, "the answer ended inside a message", local=True)


def test_a_failure_inside_a_message_stays_what_the_server_says() -> None:
    server = BareServer()
    stream = server.call(b"")
    events = server.answer(stream, data(1, b"\0"), server.headers(1, [("grpc-status", "10")], end=True))
    assert end(events).outcome == Outcome(Status.ABORTED)


@pytest.mark.parametrize(
    ("http", "status"), [("404", Status.UNIMPLEMENTED), ("500", Status.UNKNOWN), ("502", Status.UNAVAILABLE)]
)
@pytest.mark.parametrize("portions", [1, 3])
def test_an_http_error_with_a_body(http: str, status: Status, portions: int) -> None:
    server = BareServer()
    server.call(b"")
    head = server.headers(1, [(":status", http), ("content-type", "text/html"), ("server", "proxy")])
    text = b"<p>sorry</p>"
    size = len(text) // portions
    pieces = [data(1, text[at : at + size]) for at in range(0, len(text), size)]
    events = server.feed(head, *pieces, data(1, b"", end=True, padding=4))
    outcome = end(events).outcome
    assert outcome == Outcome(status, f"HTTP {http} (text/html) instead of a gRPC answer: <p>sorry</p>", local=True)
    assert not messages(events)


def test_a_long_body_is_kept_only_in_part_and_never_fills_the_window() -> None:
    server = BareServer(http2.SMALL)
    server.call(b"")
    server.feed(server.headers(1, [(":status", "500")]))
    for _ in range(20):
        server.feed(data(1, b"x" * 16_000))
    outcome = end(server.feed(data(1, b"", end=True))).outcome
    assert outcome.message == f"HTTP 500 (no content type) instead of a gRPC answer: {'x' * 1024}"


@pytest.mark.parametrize("status", ["200", "500"])
def test_a_good_status_after_a_body_that_is_no_grpc_is_not_believed(status: str) -> None:
    server = BareServer()
    server.call(b"")
    head = server.headers(1, [(":status", status), ("content-type", "text/plain")])
    outcome = end(server.feed(head, data(1, b"hello"), server.headers(1, http2.OK, end=True))).outcome
    assert outcome.status is Status.UNKNOWN
    assert "hello" in outcome.message


def test_an_http_error_may_bring_a_grpc_status() -> None:
    server = BareServer()
    server.call(b"")
    head = server.headers(1, [(":status", "503"), ("grpc-status", "14"), ("grpc-message", "soon")], end=True)
    assert end(server.feed(head)).outcome == Outcome(Status.UNAVAILABLE, "soon")


@pytest.mark.parametrize("status", ["abc", "9" * 5000, "20", "\u0662"])
def test_an_http_status_that_is_none(status: str) -> None:
    server = BareServer()
    server.call(b"")
    outcome = end(server.feed(server.headers(1, [(":status", status)], end=True))).outcome
    assert outcome.message.startswith("HTTP 0 ")


def test_interim_answers_are_passed_over() -> None:
    server = BareServer()
    stream = server.call(b"")
    assert server.feed(server.headers(1, [(":status", "100")]), server.headers(1, [(":status", "103")])) == []
    assert messages(server.answer(stream, data(1, message(b"x")))) == [b"x"]


def broken(server: BareServer, *frames: bytes) -> str:
    """A frame that breaks one call: only that is reset, and others go on. What its owner hears."""
    other = server.call(b"")
    server.sent()
    events = server.feed(*frames)
    outcome = end(events).outcome
    assert (outcome.status, outcome.local) == (Status.INTERNAL, True)
    (reset,) = server.sent()
    assert (reset.kind, reset.stream_id) == (http2.RST_STREAM, 1)
    assert server.answer(other, server.headers(other.id, http2.OK, end=True)) == [CallEnded(other, DONE)]
    return f"{Code(reset.number).name}: {outcome.message}"


def test_what_breaks_a_call() -> None:
    def case() -> BareServer:
        server = BareServer()
        server.call(b"")
        return server

    server = case()
    assert broken(server, data(1, b"x")) == "PROTOCOL_ERROR: DATA came before HEADERS"
    server = case()
    assert broken(server, server.headers(1, [(":status", "100")], end=True)) == (
        "PROTOCOL_ERROR: an answer ended with the interim status 100"
    )
    server = case()
    twice = server.headers(1, http2.RESPONSE), server.headers(1, http2.OK)
    assert broken(server, *twice) == "PROTOCOL_ERROR: trailers came that do not end the stream"
    server = case()
    assert "uppercase" in broken(server, server.headers(1, [(":status", "200"), ("Upper", "x")]))
    server = case()
    assert ":status" in broken(server, server.headers(1, [("content-type", "application/grpc")]))
    server = case()
    head = server.headers(1, [*http2.RESPONSE, ("content-length", "3")])
    assert broken(server, head, data(1, b"\0\0\0\0")) == "PROTOCOL_ERROR: more DATA came than content-length tells"
    server = case()
    head = server.headers(1, [*http2.RESPONSE, ("content-length", "3")])
    assert broken(server, head, data(1, b"\0", end=True)) == "PROTOCOL_ERROR: less DATA came than content-length tells"
    server = case()
    head = server.headers(1, [*http2.RESPONSE, ("content-length", "3")])
    assert broken(server, head, server.headers(1, http2.OK, end=True)) == (
        "PROTOCOL_ERROR: less DATA came than content-length tells"
    )
    server = case()
    assert broken(server, http2.window_update(1, 2**31 - 1)) == (
        "FLOW_CONTROL_ERROR: WINDOW_UPDATE raised a window beyond its limit"
    )


def test_more_than_the_window_of_a_call() -> None:
    server = BareServer(Limits(stream_window=100))
    stream = server.call(b"")
    server.feed(server.headers(1, http2.RESPONSE), data(1, message(b"x" * 50)))
    assert broken(server, data(1, message(b"x" * 41))) == (
        "FLOW_CONTROL_ERROR: the peer sent more than the call's window"
    )
    assert stream.window == 45


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (message(b"x" * 1001), Status.RESOURCE_EXHAUSTED, "a message of 1001 bytes came, 1000 is the limit"),
        (message(b"x", flag=1), Status.INTERNAL, "a compressed message came, though no compression was agreed"),
        (message(b"x", flag=255), Status.INTERNAL, "a message came with the unknown flag 255"),
    ],
)
def test_a_message_that_cannot_be_taken(body: bytes, status: Status, text: str) -> None:
    server = BareServer(http2.SMALL)
    stream = server.call(b"")
    server.sent()
    events = server.answer(stream, data(1, message(b"good") + body + message(b"lost")))
    assert messages(events) == [b"good"]
    assert end(events).outcome == Outcome(status, text, local=True)
    assert [(f.kind, f.number) for f in server.sent()] == [(http2.RST_STREAM, Code.CANCEL)]
    assert server.feed(data(1, message(b"late"))) == []


def test_a_header_list_beyond_our_limit() -> None:
    server = BareServer(Limits(header_list=300))
    server.call(b"")
    stream = server.call(b"")
    server.sent()
    outcome = end(server.feed(server.headers(1, [*http2.RESPONSE, ("x", "y" * 300)]))).outcome
    assert outcome == Outcome(Status.RESOURCE_EXHAUSTED, "a header list of more than 300 bytes came", local=True)
    assert [(f.kind, f.stream_id, f.number) for f in server.sent()] == [(http2.RST_STREAM, 1, Code.CANCEL)]
    trailers = server.headers(stream.id, [*http2.OK, ("x", "y" * 300)], end=True)
    assert end(server.answer(stream, trailers)).outcome.status is Status.RESOURCE_EXHAUSTED


def test_a_header_list_beyond_the_servers_limit_is_not_sent() -> None:
    server = BareServer(None, (6, 400))
    server.core.start_call(http2.REQUEST, "1S", None)
    server.sent()
    with pytest.raises(HeadersTooLarge, match="the 400 bytes that the server accepts"):
        server.core.start_call((*http2.REQUEST, ("x", "y" * 200)), None, None)
    assert not server.core.has_output
    assert list(server.core.streams) == [1]


def test_a_call_that_ends_before_its_requests_did_is_reset() -> None:
    server = BareServer()
    stream = server.call(b"first", end=False)
    server.sent()
    events = server.feed(server.headers(1, [*http2.RESPONSE, ("grpc-status", "3")], end=True), http2.rst_stream(1, 0))
    assert events == [CallEnded(stream, Outcome(Status.INVALID_ARGUMENT))]
    assert [(f.kind, f.stream_id, f.number) for f in server.sent()] == [(http2.RST_STREAM, 1, Code.CANCEL)]
    server.core.send_messages(stream, [b"more"], end=True)
    server.core.reset(stream)
    assert not server.core.has_output


def test_giving_a_call_up() -> None:
    server = BareServer()
    stream, other = server.call(b""), server.call(b"")
    server.sent()
    server.core.reset(stream)
    server.core.reset(stream)
    assert [(f.kind, f.stream_id, f.number) for f in server.sent()] == [(http2.RST_STREAM, 1, Code.CANCEL)]
    late = server.headers(1, http2.RESPONSE), data(1, message(b"late")), server.headers(1, http2.OK, end=True)
    assert server.feed(*late, http2.rst_stream(1, 5), http2.window_update(1, 5)) == []
    assert messages(server.answer(other, data(other.id, message(b"x")))) == [b"x"]


def test_malformed_headers_for_a_call_given_up_change_nothing() -> None:
    server = BareServer()
    server.core.reset(server.call(b""))
    assert server.feed(server.headers(1, [("Upper", "x")])) == []


@pytest.mark.parametrize(
    ("code", "status", "refused"),
    [
        (Code.REFUSED_STREAM, Status.UNAVAILABLE, True),
        (Code.CANCEL, Status.CANCELLED, False),
        (Code.NO_ERROR, Status.INTERNAL, False),
        (Code.ENHANCE_YOUR_CALM, Status.RESOURCE_EXHAUSTED, False),
    ],
)
def test_reset_by_the_server(code: Code, status: Status, refused: bool) -> None:
    server = BareServer()
    stream = server.call(b"")
    (event,) = server.feed(http2.rst_stream(1, code))
    assert event == CallEnded(
        stream, Outcome(status, f"the peer reset the call with {code.name}", local=True, refused=refused)
    )
    assert server.feed(data(1, b"late")) == [], "it crossed the reset on the way"


def test_goodbye_of_a_real_node_leaves_open_calls_alone() -> None:
    server = BareServer()
    stream = server.call(b"")
    assert server.feed(http2.goaway(2**31 - 1)) == [GoawayReceived(first=True, too_many_pings=False)]
    assert (server.core.room, server.core.draining, server.core.ended) == (0, True, False)
    assert server.core.goaway == "the server closes the connection with NO_ERROR"
    events = server.answer(stream, data(1, message(b"x")), server.headers(1, http2.OK, end=True))
    assert end(events).outcome == DONE


def test_goodbye_with_a_lower_number_refuses_later_calls() -> None:
    server = BareServer()
    first, second, third = (server.call(b"") for _ in range(3))
    events = server.feed(http2.goaway(first.id, Code.ENHANCE_YOUR_CALM, b"too many\xff"))
    text = "the server closes the connection with ENHANCE_YOUR_CALM: too many\ufffd"
    refused = Outcome(Status.UNAVAILABLE, text, local=True, refused=True)
    assert events == [CallEnded(second, refused), CallEnded(third, refused), GoawayReceived(True, False)]
    assert server.feed(data(second.id, b"late"), http2.goaway(first.id)) == [GoawayReceived(False, False)]
    assert list(server.core.streams) == [first.id]


def test_the_end_of_a_connection_tells_what_goodbye_said() -> None:
    server = BareServer()
    stream = server.call(b"")
    server.feed(http2.goaway(1, Code.COMPRESSION_ERROR))
    assert server.core.connection_lost("the peer closed the connection") == [
        CallEnded(
            stream,
            Outcome(
                Status.UNAVAILABLE,
                "the server closes the connection with COMPRESSION_ERROR; the peer closed the connection",
                local=True,
            ),
        )
    ]
    assert server.core.connection_lost("again") == []
    assert server.core.receive_data(http2.goaway(0)) == []
    assert server.core.room == 0


def test_room() -> None:
    core = ClientConnection()
    assert core.room == 100, "what servers usually allow"
    first = http2.settings((3, 2))
    core.receive_data(first[:10])
    assert core.room == 100, "half a frame says nothing"
    assert core.receive_data(first[10:]) == [RoomChanged()]
    assert core.room == 2
    core.start_call(http2.REQUEST, None, None)
    assert core.room == 1
    core.receive_data(http2.settings((3, 0)))
    assert core.room == -1


def test_a_server_may_set_no_limit() -> None:
    assert BareServer().core.room > 10**6


def test_the_last_stream_number() -> None:
    server = BareServer()
    server.core._next_id = 2**31 - 1
    stream = server.call(b"")
    assert server.core.room == 0
    assert server.core.draining
    assert end(server.answer(stream, server.headers(stream.id, http2.OK, end=True))).outcome.ok


def test_pings_are_answered() -> None:
    server = BareServer()
    assert server.feed(http2.frame(http2.PING, 0, 0, b"12345678")) == []
    assert server.sent() == [Sent(http2.PING, http2.ACK, 0, b"12345678")]
    assert server.feed(http2.frame(http2.PING, http2.ACK, 0, b"12345678")) == []
    assert not server.core.has_output


def test_what_is_unknown_is_passed_over() -> None:
    server = BareServer()
    stream = server.call(b"")
    server.sent()
    alternative = struct.pack(">H", 4) + b"http" + b'h2=":8000"'
    assert (
        server.feed(
            http2.frame(0xA, 0, 0, alternative),
            http2.frame(0xA, 0, 1, b""),
            http2.frame(0x42, 0xFF, 0, b"junk"),
            http2.frame(0x42, 0xFF, 1, b""),
            http2.frame(http2.PRIORITY, 0, 1, b"\0\0\0\0\x10"),
        )
        == []
    )
    assert not server.core.has_output
    assert messages(server.answer(stream, data(1, message(b"x")))) == [b"x"]


@pytest.mark.parametrize(
    ("raw", "text", "code"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the server speaks HTTP/1.1 on this port, not HTTP/2", 13),
        (b"\x15\x03\x03\x00\x02\x02\x46", "the server speaks TLS on this port: use tls=true", 1),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the server's first frame is not SETTINGS: no HTTP/2 here", 1),
        (http2.frame(http2.PING, 0, 0, bytes(8)), "the server's first frame is not SETTINGS: no HTTP/2 here", 1),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_something_else_on_the_port(raw: bytes, text: str, code: int, step: int) -> None:
    core = ClientConnection()
    core.data_to_send()
    stream = core.start_call(http2.REQUEST, None, None)
    core.data_to_send()
    events = [event for at in range(0, len(raw), step) for event in core.receive_data(raw[at : at + step])]
    assert reason(events) == text
    assert end(events).outcome == Outcome(Status.INTERNAL, text, local=True)
    assert end(events).stream is stream
    (last,) = http2.cut(core.data_to_send())
    assert (last.kind, last.payload) == (http2.GOAWAY, struct.pack(">II", 0, code) + text.encode())


def test_a_settings_frame_that_looks_like_http_in_its_first_byte() -> None:
    core = ClientConnection()
    core.data_to_send()
    assert core.receive_data(b"H") == []
    assert core.receive_data(b"TTS") == [ConnectionEnded("the server's first frame is not SETTINGS: no HTTP/2 here")]


def test_nothing_is_sent_for_a_connection_that_is_over() -> None:
    server = BareServer()
    stream = server.call(b"", end=False)
    events = server.feed(http2.frame(http2.DATA, 0, 0, b""))
    assert end(events).stream is stream
    server.sent()
    server.core.send_messages(stream, [b"x"])
    server.core.take(stream, 0)
    with pytest.raises(AssertionError, match="room must be checked before"):
        server.call(b"")
    assert not server.core.has_output
    assert server.feed(http2.settings()) == []


def test_frames_of_a_call_given_up_long_ago() -> None:
    """A network that stood still for seconds delivers the answers to very many calls that timed out meanwhile."""
    server = BareServer()
    ids = []
    for _ in range(10_000):
        stream = server.core.start_call(http2.REQUEST, None, None)
        ids.append(stream.id)
        server.core.reset(stream)
        server.sent()
    alive = server.call(b"")
    server.sent()
    theirs = Encoder()
    for number, stream_id in enumerate(ids):
        block = theirs.encode([*http2.RESPONSE, ("number", str(number))])
        late = http2.frame(http2.HEADERS, http2.END_HEADERS, stream_id, block) + data(stream_id, message(b"x" * 2000))
        assert server.feed(late, http2.window_update(stream_id, 5), http2.rst_stream(stream_id, 8)) == []
    assert sum(f.number for f in server.sent() if f.kind == http2.WINDOW_UPDATE) > 10_000_000, "given back"
    block = theirs.encode([*http2.RESPONSE, ("number", "9999")])
    assert len(block) == 4, "known from HPACK's table"
    events = server.feed(http2.frame(http2.HEADERS, http2.END_HEADERS, alive.id, block), data(alive.id, message(b"y")))
    assert messages(events) == [b"y"]
    assert dict(alive.headers or ())["number"] == "9999"


@pytest.mark.parametrize("ended", ["by us", "by them", "well"])
def test_frames_of_a_stream_that_is_over_are_ignored(ended: str) -> None:
    server = BareServer()
    stream = server.call(b"")
    if ended == "by us":
        server.core.reset(stream)
    elif ended == "by them":
        server.feed(http2.rst_stream(1, 8))
    else:
        server.answer(stream, server.headers(1, http2.OK, end=True))
    server.sent()
    late = (
        server.headers(1, http2.RESPONSE),
        data(1, message(b"x")),
        server.headers(1, [("Bad", "x")]),
        server.headers(1, [("x", "")] * 4000),
        http2.frame(http2.PRIORITY, 0, 1, bytes(5)),
        http2.window_update(1, 2**31 - 1),
        http2.window_update(1, 2**31 - 1),
        http2.rst_stream(1, 8),
        server.headers(1, http2.OK, end=True),
    )
    assert server.feed(*late) == []
    assert server.sent() == []


@pytest.mark.parametrize("stream_id", [2, 3, 4, 2**31 - 1])
def test_frames_of_a_stream_that_was_never_opened_end_the_connection(stream_id: int) -> None:
    for late in (
        lambda server: server.headers(stream_id, http2.RESPONSE),
        lambda server: data(stream_id, b"x"),
        lambda server: http2.window_update(stream_id, 1),
        lambda server: http2.rst_stream(stream_id, 8),
    ):
        server = BareServer()
        server.call(b"")
        assert "which nobody opened" in reason(server.feed(late(server)))


def test_drained_only_for_whom_asks() -> None:
    server = BareServer(None, (4, 10))
    stream = server.call(b"x" * 20, end=False)
    assert server.feed(http2.window_update(1, 10)) == []
    stream.drain_wanted = True
    assert server.feed(http2.window_update(1, 4)) == []
    assert server.feed(http2.window_update(1, 1)) == [Drained(stream)]
    assert not stream.drain_wanted
    assert ends(server.feed(http2.rst_stream(1, 8)))
