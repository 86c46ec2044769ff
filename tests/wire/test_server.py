"""The server's end, against a client made by hand."""

from __future__ import annotations

import math
import struct
import subprocess
import sys

import pytest

from tests.support import http2
from tests.support.http2 import BareClient, Sent, data, message, reason
from trio_esdb._wire import (
    CallReceived,
    CallReset,
    Code,
    ConnectionEnded,
    Drained,
    Limits,
    MessagesReceived,
    RequestsEnded,
    Status,
)
from trio_esdb._wire import _frames as frames
from trio_esdb._wire._server_connection import ServerConnection


def test_the_greeting() -> None:
    client = BareClient()
    first, window = client.greeting
    told = dict(struct.iter_unpack(">HI", first.payload))
    assert told[3] == 100, "calls at once"
    assert told[4] == 512 * 1024
    assert told[6] == 64 * 1024
    assert window == Sent(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 16 * 1024 * 1024 - 65_535))


def test_a_servers_window_is_never_below_what_clients_assume() -> None:
    with pytest.raises(ValueError, match="65535"):
        ServerConnection(Limits(stream_window=65_534))


def test_a_call_from_beginning_to_end() -> None:
    client = BareClient()
    headers = (*http2.REQUEST, ("grpc-timeout", "1500m"), ("requires-leader", "true"), ("id-bin", "AAE"))
    first, *rest = client.open(1, data(1, message(b"a") + message(b"b")), data(1, b"", end=True), headers=headers)
    assert isinstance(first, CallReceived)
    stream = first.stream
    assert (first.path, first.timeout) == ("/shop.Orders/Place", 1.5)
    assert first.metadata == {"requires-leader": "true", "id-bin": b"\0\1"}
    assert rest == [MessagesReceived(stream, [b"a", b"b"]), RequestsEnded(stream)]
    core = client.core
    assert not core.has_output, "the headers wait for the first message"
    assert not core.has_begun(stream)
    core.respond(stream, [b"x"])
    assert core.has_begun(stream)
    core.respond(stream, [b"y", b"z"])
    core.finish(stream, Status.OK)
    head, one, two, trailers = client.sent()
    assert (head.kind, head.flags) == (http2.HEADERS, http2.END_HEADERS)
    assert client.told(head.payload) == dict(http2.RESPONSE)
    assert (one, two) == (
        Sent(http2.DATA, 0, 1, message(b"x")),
        Sent(http2.DATA, 0, 1, message(b"y") + message(b"z")),
    )
    assert (trailers.kind, trailers.flags) == (http2.HEADERS, http2.END_HEADERS | http2.END_STREAM)
    assert client.told(trailers.payload) == {"grpc-status": "0"}
    assert not core.streams
    assert client.feed(http2.rst_stream(1, 0), http2.window_update(1, 5)) == []


def test_a_call_without_a_timeout() -> None:
    client = BareClient()
    (event,) = client.open(1)
    assert isinstance(event, CallReceived)
    assert event.timeout == math.inf
    assert event.metadata == {}


def test_nothing_more_is_said_after_the_end() -> None:
    client = BareClient(None, (4, 10))
    (event, _) = client.open(1, end=True)
    assert isinstance(event, CallReceived)
    core, stream = client.core, event.stream
    core.respond(stream, [b"x" * 20])
    core.finish(stream, Status.ABORTED, "first word")
    core.finish(stream, Status.OK)
    core.respond(stream, [b"more"])
    core.refuse_http(stream, 500)
    head, body = client.sent()
    assert client.told(head.payload)[":status"] == "200"
    assert len(body.payload) == 10
    client.feed(http2.window_update(1, 100))
    rest, trailers = client.sent()
    assert body.payload + rest.payload == message(b"x" * 20)
    assert client.told(trailers.payload) == {"grpc-status": "10", "grpc-message": "first word"}
    core.finish(stream, Status.OK)
    core.respond(stream, [b"more"])
    core.refuse_http(stream, 500)
    core.reset(stream)
    assert not core.has_output


def test_trailers_only() -> None:
    client = BareClient()
    event, *_ = client.open(1, end=True)
    assert isinstance(event, CallReceived)
    client.core.finish(event.stream, Status.NOT_FOUND, "no: \u00e9\n", {"reason": "x", "id-bin": b"\0\1"})
    (only,) = client.sent()
    assert only.flags == http2.END_HEADERS | http2.END_STREAM
    assert client.told(only.payload) == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-status": "5",
        "grpc-message": "no: %C3%A9%0A",
        "reason": "x",
        "id-bin": "AAE",
    }


@pytest.mark.parametrize("trailers", [{"name": "caf\u00e9"}, {"name": "a\nb"}])
def test_trailers_that_are_no_headers(trailers: dict[str, str | bytes]) -> None:
    client = BareClient()
    event, *_ = client.open(1, end=True)
    assert isinstance(event, CallReceived)
    with pytest.raises(ValueError, match="the value of name is empty, or not printable ASCII"):
        client.core.finish(event.stream, Status.ABORTED, "x", trailers)
    assert not client.core.has_output
    client.core.refuse_http(event.stream, 500)
    (only,) = client.sent()
    assert client.told(only.payload) == {":status": "500", "content-length": "0"}
    assert not client.core.streams


def test_an_answer_before_the_requests_ended_stops_the_client() -> None:
    client = BareClient()
    event, *_ = client.open(1, data(1, message(b"a")))
    assert isinstance(event, CallReceived)
    client.core.finish(event.stream, Status.INVALID_ARGUMENT, "enough")
    trailers, reset = client.sent()
    assert client.told(trailers.payload)["grpc-status"] == "3"
    assert (reset.kind, reset.number) == (http2.RST_STREAM, Code.NO_ERROR)
    late = data(1, message(b"late")), client.headers(1, [("x", "y")], end=True), http2.rst_stream(1, 8)
    assert client.feed(*late) == []


def test_large_trailers_are_cut_into_frames() -> None:
    client = BareClient()
    event, *_ = client.open(1, end=True)
    assert isinstance(event, CallReceived)
    client.core.finish(event.stream, Status.ABORTED, "", {"x": "y" * 50_000})
    first, *middle, last = client.sent()
    assert (first.kind, first.flags, len(first.payload)) == (http2.HEADERS, http2.END_STREAM, 16_384)
    assert {(f.kind, f.flags) for f in middle} == {(http2.CONTINUATION, 0)}
    assert (last.kind, last.flags) == (http2.CONTINUATION, http2.END_HEADERS)
    block = b"".join(f.payload for f in (first, *middle, last))
    assert client.told(block)["x"] == "y" * 50_000


def test_frames_as_large_as_the_client_takes() -> None:
    client = BareClient(None, (5, 20_000))
    event, *_ = client.open(1, end=True)
    assert isinstance(event, CallReceived)
    client.core.respond(event.stream, [b"x" * 45_000])
    assert [len(f.payload) for f in client.sent()[1:]] == [20_000, 20_000, 5005]


def test_reset_by_the_client() -> None:
    client = BareClient()
    event, *_ = client.open(1, data(1, message(b"a")))
    assert isinstance(event, CallReceived)
    stream = event.stream
    assert client.feed(http2.rst_stream(1, 8)) == [CallReset(stream, "the client reset the call with CANCEL")]
    client.core.respond(stream, [b"x"])
    client.core.finish(stream, Status.OK)
    client.core.reset(stream)
    assert not client.core.has_output
    assert client.feed(data(1, b"late")) == []


def test_requests_that_end_inside_a_message() -> None:
    client = BareClient()
    *_, last = client.open(1, data(1, message(b"cut")[:-1], end=True))
    assert isinstance(last, CallReset)
    assert last.reason == "the requests ended inside a message"
    (trailers,) = client.sent()
    told = client.told(trailers.payload)
    assert (told["grpc-status"], told["grpc-message"]) == ("13", "Incomplete message.")


@pytest.mark.parametrize(
    ("bad", "status", "text"),
    [
        (message(b"x" * 1001), "8", "Received message exceeds the maximum configured message size."),
        (message(b"x" * 1001, flag=1), "8", "Received message exceeds the maximum configured message size."),
        (message(b"x", flag=7), "2", "Exception was thrown by handler."),
    ],
)
@pytest.mark.parametrize("blocked", [False, True])
def test_a_request_that_cannot_be_taken(bad: bytes, status: str, text: str, blocked: bool) -> None:
    client = BareClient(http2.SMALL, (4, 10))
    event, *_ = client.open(1)
    assert isinstance(event, CallReceived)
    stream = event.stream
    if blocked:
        client.core.respond(stream, [b"more than the client has room for"])
    client.sent()
    good, last = client.feed(data(1, message(b"good") + bad + message(b"lost")))
    assert good == MessagesReceived(stream, [b"good"])
    assert isinstance(last, CallReset)
    client.core.finish(stream, Status.OK)
    trailers, reset = client.sent()
    told = client.told(trailers.payload)
    assert (told["grpc-status"], told["grpc-message"]) == (status, text)
    assert (reset.kind, reset.number) == (http2.RST_STREAM, Code.NO_ERROR)
    assert client.feed(data(1, message(b"late"))) == []


def without(name: str) -> list[tuple[str, str]]:
    return [header for header in http2.REQUEST if header[0] != name]


@pytest.mark.parametrize("end", [False, True])
def test_what_is_no_grpc_call_gets_an_http_status(end: bool) -> None:
    client = BareClient(Limits(header_list=400))
    cases = {
        "405": [(":method", "GET"), *without(":method")],
        "415": [*without("content-type"), ("content-type", "application/json")],
        "431": [*http2.REQUEST, ("x", "y" * 400)],
    }
    for stream_id, (status, headers) in zip((1, 3, 5), cases.items(), strict=True):
        assert client.open(stream_id, end=end, headers=headers) == []
        answer, *reset = client.sent()
        assert answer.flags == http2.END_HEADERS | http2.END_STREAM
        told = {":status": status, "content-length": "0"}
        if status == "415":
            told |= {"grpc-status": "13", "grpc-message": "Content-Type 'application/json' is not supported."}
        assert client.told(answer.payload) == told
        assert [(f.kind, f.number) for f in reset] == ([] if end else [(http2.RST_STREAM, Code.NO_ERROR)])
    assert not client.core.streams


def test_a_request_without_a_content_type() -> None:
    client = BareClient()
    assert client.open(1, headers=without("content-type"), end=True) == []
    told = client.told(client.sent()[0].payload)
    assert (told[":status"], told["grpc-status"]) == ("415", "13")
    assert told["grpc-message"] == "Content-Type is missing from the request."


@pytest.mark.parametrize("content_type", ["application/grpc-web", "application/grpc-web+proto", "application/grpcx"])
def test_a_content_type_that_only_begins_like_grpc(content_type: str) -> None:
    client = BareClient()
    assert client.open(1, headers=[*without("content-type"), ("content-type", content_type)], end=True) == []
    assert client.told(client.sent()[0].payload)[":status"] == "415"


def test_grpc_with_its_codec_named() -> None:
    client = BareClient()
    (event,) = client.open(1, headers=[*without("content-type"), ("content-type", "application/grpc+proto")])
    assert isinstance(event, CallReceived)


def test_malformed_request_headers_refuse_the_stream_alone() -> None:
    client = BareClient()
    assert client.open(1, headers=[*http2.REQUEST, ("Upper", "x")]) == []
    assert client.sent() == [Sent(http2.RST_STREAM, 0, 1, struct.pack(">I", Code.PROTOCOL_ERROR))]
    assert client.feed(data(1, message(b"late"), end=True)) == []
    (event,) = client.open(3)
    assert isinstance(event, CallReceived)


def test_the_101st_call_is_refused() -> None:
    client = BareClient()
    for number in range(100):
        (event,) = client.open(2 * number + 1)
        assert isinstance(event, CallReceived)
    assert client.open(201, data(201, message(b"x"), end=True)) == []
    assert client.sent() == [Sent(http2.RST_STREAM, 0, 201, struct.pack(">I", Code.REFUSED_STREAM))]
    client.feed(http2.rst_stream(1, 8))
    (event,) = client.open(203)
    assert isinstance(event, CallReceived)


def test_goodbye_refuses_what_comes_later_and_lets_open_calls_go_on() -> None:
    client = BareClient()
    (event,) = client.open(1)
    assert isinstance(event, CallReceived)
    client.core.goodbye(text="closing")
    assert client.open(3, end=True) == []
    farewell, refusal = client.sent()
    assert farewell == Sent(http2.GOAWAY, 0, 0, struct.pack(">II", 1, Code.NO_ERROR) + b"closing")
    assert refusal == Sent(http2.RST_STREAM, 0, 3, struct.pack(">I", Code.REFUSED_STREAM))
    assert client.feed(data(1, message(b"x"), end=True)) == [
        MessagesReceived(event.stream, [b"x"]),
        RequestsEnded(event.stream),
    ]
    client.core.finish(event.stream, Status.OK)
    assert not client.core.streams


def test_goodbye_of_the_client_changes_nothing() -> None:
    client = BareClient()
    (event,) = client.open(1)
    assert isinstance(event, CallReceived)
    assert client.feed(http2.goaway(0, 0, b"bye")) == []
    assert client.feed(data(1, b"", end=True)) == [RequestsEnded(event.stream)]


def test_request_trailers_end_the_requests() -> None:
    client = BareClient()
    (event,) = client.open(1)
    assert isinstance(event, CallReceived)
    assert client.feed(client.headers(1, [("x", "y")], end=True)) == [RequestsEnded(event.stream)]


def broken(client: BareClient, *frames: bytes) -> str:
    """A frame that breaks one call; what its method hears."""
    (event,) = client.feed(*frames)
    assert isinstance(event, CallReset)
    (reset,) = client.sent()
    assert (reset.kind, reset.stream_id) == (http2.RST_STREAM, 1)
    assert [type(e) for e in client.open(3)] == [CallReceived]
    return f"{Code(reset.number).name}: {event.reason}"


def test_what_breaks_a_call() -> None:
    def case(*headers: tuple[str, str], end: bool = False) -> BareClient:
        client = BareClient(Limits(1000, http2.DEFAULT_WINDOW, http2.DEFAULT_WINDOW, header_list=65_536))
        client.open(1, headers=(*http2.REQUEST, *headers), end=end)
        return client

    client = case()
    assert broken(client, client.headers(1, [("x", "y")])) == (
        "PROTOCOL_ERROR: trailers came that do not end the stream"
    )
    client = case()
    assert broken(client, client.headers(1, [("x", "")] * 2000, end=True)) == (
        "ENHANCE_YOUR_CALM: a header list of more than 65536 bytes came"
    )
    client = case(end=True)
    assert broken(client, client.headers(1, [("x", "y")], end=True)) == (
        "STREAM_CLOSED: HEADERS came after the end of the stream"
    )
    client = case(end=True)
    assert broken(client, data(1, b"x")) == "STREAM_CLOSED: DATA came after the end of the stream"
    client = case()
    assert "uppercase" in broken(client, client.headers(1, [("X", "y")], end=True))
    client = case(("content-length", "6"))
    assert broken(client, data(1, b"\0\0\0\0\2aa")) == "PROTOCOL_ERROR: more DATA came than content-length tells"
    client = case(("content-length", "6"))
    assert broken(client, client.headers(1, [], end=True)) == (
        "PROTOCOL_ERROR: less DATA came than content-length tells"
    )
    client = case()
    for _ in range(8):
        client.feed(data(1, message(b"x" * 795) * 10))
    client.sent()
    assert broken(client, data(1, message(b"x" * 795) * 10)) == (
        "FLOW_CONTROL_ERROR: the peer sent more than the call's window"
    )


def test_a_call_with_the_right_content_length() -> None:
    client = BareClient()
    event, *rest = client.open(1, data(1, message(b"a"), end=True), headers=(*http2.REQUEST, ("content-length", "6")))
    assert isinstance(event, CallReceived)
    assert rest == [MessagesReceived(event.stream, [b"a"]), RequestsEnded(event.stream)]


def test_a_call_without_the_body_that_content_length_tells() -> None:
    client = BareClient()
    event, last = client.open(1, headers=(*http2.REQUEST, ("content-length", "6")), end=True)
    assert isinstance(event, CallReceived)
    assert last == CallReset(event.stream, "less DATA came than content-length tells")


@pytest.mark.parametrize(
    ("frames", "code", "text"),
    [
        (http2.frame(http2.DATA, 0, 0, b"x"), "PROTOCOL_ERROR", "for stream 0, which nobody opened"),
        (data(3, b"x"), "PROTOCOL_ERROR", "for stream 3, which nobody opened"),
        (data(2, b"x"), "PROTOCOL_ERROR", "for stream 2, which nobody opened"),
        (http2.rst_stream(3, 0), "PROTOCOL_ERROR", "for stream 3, which nobody opened"),
        (http2.rst_stream(0, 0), "PROTOCOL_ERROR", "a bad RST_STREAM"),
        (http2.frame(http2.RST_STREAM, 0, 1, b"abc"), "FRAME_SIZE_ERROR", "a bad RST_STREAM"),
        (http2.window_update(3, 1), "PROTOCOL_ERROR", "for stream 3, which nobody opened"),
        (http2.window_update(1, 0), "PROTOCOL_ERROR", "a WINDOW_UPDATE of 0 came"),
        (http2.frame(http2.WINDOW_UPDATE, 0, 1, b"abc"), "FRAME_SIZE_ERROR", "a WINDOW_UPDATE of another size"),
        (http2.window_update(0, 0), "PROTOCOL_ERROR", ""),
        (http2.window_update(0, 2**31 - 1), "FLOW_CONTROL_ERROR", "beyond its limit"),
        (http2.frame(http2.HEADERS, http2.END_HEADERS, 0), "PROTOCOL_ERROR", "HEADERS came on stream 0"),
        (
            http2.frame(http2.HEADERS, http2.END_HEADERS | http2.PADDED, 3),
            "FRAME_SIZE_ERROR",
            "without the length of its padding",
        ),
        (
            http2.frame(http2.HEADERS, http2.END_HEADERS | http2.PADDED, 3, b"\5abc"),
            "PROTOCOL_ERROR",
            "padding is larger",
        ),
        (
            http2.frame(http2.HEADERS, http2.END_HEADERS | http2.PRIO, 3, b"abcd"),
            "FRAME_SIZE_ERROR",
            "for their priority",
        ),
        (
            http2.frame(http2.HEADERS, http2.END_HEADERS | http2.PRIO, 3, b"\0\0\0\3\1"),
            "PROTOCOL_ERROR",
            "depends on itself",
        ),
        (http2.frame(http2.PRIORITY, 0, 3, b"\0\0\0\3\1"), "PROTOCOL_ERROR", "a stream depends on itself"),
        (http2.frame(http2.DATA, http2.PADDED, 1), "FRAME_SIZE_ERROR", "without the length of its padding"),
        (http2.frame(http2.DATA, http2.PADDED, 1, b"\1"), "PROTOCOL_ERROR", "padding is larger than the frame"),
        (http2.frame(http2.CONTINUATION, 0, 1), "PROTOCOL_ERROR", "CONTINUATION came without a header block"),
        (
            http2.frame(http2.HEADERS, 0, 3) + http2.frame(http2.CONTINUATION, 0, 1),
            "PROTOCOL_ERROR",
            "a header block was interrupted by another frame",
        ),
        (
            http2.frame(http2.HEADERS, 0, 3) + http2.frame(http2.PING, 0, 0, bytes(8)),
            "PROTOCOL_ERROR",
            "a header block was interrupted by another frame",
        ),
        (
            http2.frame(http2.HEADERS, 0, 3) + http2.frame(0x42, 0, 0),
            "PROTOCOL_ERROR",
            "a header block was interrupted by another frame",
        ),
        (
            http2.frame(http2.HEADERS, 0, 3) + http2.frame(http2.CONTINUATION, 0, 3, bytes(16_000)) * 17,
            "ENHANCE_YOUR_CALM",
            "a header block with too many fields came",
        ),
        (http2.frame(http2.PUSH_PROMISE, http2.END_HEADERS, 1, b"\0\0\0\2"), "PROTOCOL_ERROR", "a pushed stream came"),
        (http2.frame(http2.HEADERS, http2.END_HEADERS, 3, b"\x80"), "COMPRESSION_ERROR", "Invalid table index"),
        (
            http2.frame(http2.HEADERS, http2.END_HEADERS, 3, b"\xff" * 16_000),
            "COMPRESSION_ERROR",
            "an integer has too many bytes",
        ),
        (http2.frame(http2.HEADERS, http2.END_HEADERS, 2, b""), "PROTOCOL_ERROR", "opened stream 2, an even number"),
        (http2.frame(http2.PING, 0, 1, bytes(8)), "PROTOCOL_ERROR", ""),
        (http2.frame(http2.PING, 0, 0, bytes(7)), "FRAME_SIZE_ERROR", ""),
        (http2.frame(http2.SETTINGS, 0, 1), "PROTOCOL_ERROR", ""),
        (http2.frame(http2.SETTINGS, 0, 0, bytes(5)), "FRAME_SIZE_ERROR", ""),
        (http2.frame(http2.SETTINGS, http2.ACK, 0, bytes(6)), "PROTOCOL_ERROR", ""),
        (http2.settings((4, 2**31)), "FLOW_CONTROL_ERROR", ""),
        (http2.settings((5, 100)), "PROTOCOL_ERROR", ""),
        (http2.settings((2, 2)), "PROTOCOL_ERROR", ""),
        (http2.frame(http2.GOAWAY, 0, 1, bytes(8)), "PROTOCOL_ERROR", "GOAWAY came on a stream"),
        (http2.frame(http2.GOAWAY, 0, 0, bytes(7)), "FRAME_SIZE_ERROR", "a short GOAWAY came"),
        (http2.frame(0x42, 0, 0, bytes(16_385)), "FRAME_SIZE_ERROR", "a frame of 16385 bytes came"),
    ],
)
def test_what_ends_the_connection(frames: bytes, code: str, text: str) -> None:
    client = BareClient()
    client.open(1)
    events = client.feed(frames)
    assert [type(event) for event in events] == [CallReset, ConnectionEnded]
    assert text in reason(events)
    assert client.core.ended
    assert not client.core.streams
    (last,) = client.sent()
    assert last.kind == http2.GOAWAY
    last_stream, number = struct.unpack_from(">II", last.payload)
    assert last_stream in (1, 3), "the highest that came"
    assert Code(number).name == code
    assert last.payload[8:].decode() == reason(events)[:256]
    assert client.feed(http2.settings()) == []


@pytest.mark.parametrize(
    ("raw", "ending"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True),
        (b"\x16\x03\x01\x02", True),
        (b"PRI * HTTP/2.0\r\n\r\nXX", True),
        (b"PRI", False),
    ],
)
def test_a_client_that_speaks_something_else(raw: bytes, ending: bool) -> None:
    core = ServerConnection()
    events = core.receive_data(raw)
    assert events == ([ConnectionEnded("the client does not speak HTTP/2")] if ending else [])


def test_the_preface_byte_by_byte() -> None:
    core = ServerConnection()
    raw = http2.PREFACE + http2.settings()
    assert [core.receive_data(raw[at : at + 1]) for at in range(len(raw) - 1)] == [[]] * (len(raw) - 1)
    assert [sent.kind for sent in http2.cut(core.data_to_send())] == [http2.SETTINGS, http2.WINDOW_UPDATE]
    core.receive_data(raw[-1:])
    assert http2.cut(core.data_to_send()) == [Sent(http2.SETTINGS, http2.ACK, 0, b"")]


def test_the_connection_is_lost() -> None:
    client = BareClient()
    client.open(1)
    client.open(3)
    events = client.core.connection_lost("gone")
    assert events == [CallReset(client.streams[1], "gone"), CallReset(client.streams[3], "gone")]
    assert client.core.connection_lost("gone") == []


def test_the_servers_role_is_loaded_when_it_is_asked_for() -> None:
    server_side = "('_server_connection', '_serving')"
    loaded = f"import sys, trio_esdb; print([name for name in sys.modules if name.endswith({server_side})])"
    result = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_drained() -> None:
    client = BareClient(None, (4, 0))
    event, *_ = client.open(1, end=True)
    assert isinstance(event, CallReceived)
    stream = event.stream
    client.core.respond(stream, [b"x"])
    stream.drain_wanted = True
    assert client.feed(http2.window_update(1, 6)) == [Drained(stream)]


def test_a_client_that_asks_and_never_reads() -> None:
    server = ServerConnection()
    server.receive_data(frames.PREFACE + frames.head(0, frames.SETTINGS, 0, 0))
    ping = frames.head(8, frames.PING, 0, 0) + bytes(8)
    events = server.receive_data(ping * 1010)
    assert [type(event) for event in events] == [ConnectionEnded]
    assert b"the peer does not take its answers" in server.data_to_send()


def test_a_client_that_makes_room_for_very_many_small_responses_and_pings() -> None:
    """It takes everything; that it was slow is no reason to give it up."""
    client = BareClient(None, (4, 0))
    event, *_ = client.open(1, end=True)
    assert isinstance(event, CallReceived)
    for _ in range(110_000):
        client.core.respond(event.stream, [b"x" * 10])
    ping = http2.frame(http2.PING, 0, 0, b"12345678")
    assert client.feed(http2.window_update(0, 10**7), http2.window_update(1, 10**7), ping) == []
    sent = client.sent()
    assert sum(len(f.payload) for f in sent if f.kind == http2.DATA) == 110_000 * 15
    assert http2.Sent(http2.PING, http2.ACK, 0, b"12345678") in sent


def test_a_refused_request_after_the_answer() -> None:
    """What waits of the answer is dropped, its good end as well: the client is told of the error at once."""
    client = BareClient(None, (4, 10))
    event, *_ = client.open(1)
    assert isinstance(event, CallReceived)
    client.core.respond(event.stream, [b"a" * 20, b"second"])
    client.core.finish(event.stream, Status.OK)
    client.sent()
    client.feed(http2.data(1, http2.message(b"z", flag=2)))
    trailers, reset = client.sent()
    assert client.told(trailers.payload)["grpc-status"] == "2"
    assert (reset.kind, reset.number) == (http2.RST_STREAM, 0)
    assert not client.core.streams
    client.feed(http2.window_update(0, 100))
    assert client.sent() == []
