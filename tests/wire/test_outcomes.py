"""What an end of a call says about its cause: what the policy for trouble goes by."""

from __future__ import annotations

import math

import pytest

from tests.support import http2
from tests.support.http2 import BareServer, data, end, ends, message
from trio_esdb._wire import Code, Outcome, Status, Stream

FACTS = ("refused", "lost", "calm", "unsent")


def facts(outcome: Outcome) -> set[str]:
    return {fact for fact in FACTS if getattr(outcome, fact)}


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        (Code.NO_ERROR, Status.INTERNAL, {"lost"}),
        (Code.PROTOCOL_ERROR, Status.INTERNAL, set()),
        (Code.INTERNAL_ERROR, Status.INTERNAL, {"lost"}),
        (Code.FLOW_CONTROL_ERROR, Status.INTERNAL, set()),
        (Code.SETTINGS_TIMEOUT, Status.INTERNAL, set()),
        (Code.STREAM_CLOSED, Status.INTERNAL, {"lost"}),
        (Code.FRAME_SIZE_ERROR, Status.INTERNAL, set()),
        (Code.REFUSED_STREAM, Status.UNAVAILABLE, {"refused"}),
        (Code.CANCEL, Status.CANCELLED, {"lost"}),
        (Code.COMPRESSION_ERROR, Status.INTERNAL, set()),
        (Code.CONNECT_ERROR, Status.INTERNAL, {"lost"}),
        (Code.ENHANCE_YOUR_CALM, Status.RESOURCE_EXHAUSTED, {"calm"}),
        (Code.INADEQUATE_SECURITY, Status.PERMISSION_DENIED, set()),
        (Code.HTTP_1_1_REQUIRED, Status.INTERNAL, set()),
        (4711, Status.INTERNAL, set()),
    ],
)
def test_every_code_of_a_reset(code: int, status: Status, told: set[str]) -> None:
    """The statuses are those of gRPC's doc/PROTOCOL-HTTP2.md."""
    server = BareServer()
    server.call(b"")
    server.sent()
    outcome = end(server.feed(http2.rst_stream(1, code))).outcome
    assert (outcome.status, outcome.local) == (status, True)
    assert facts(outcome) == told


@pytest.mark.parametrize(
    ("http", "status", "told"),
    [
        ("200", Status.UNKNOWN, set()),
        ("400", Status.INTERNAL, set()),
        ("401", Status.UNAUTHENTICATED, set()),
        ("403", Status.PERMISSION_DENIED, set()),
        ("404", Status.UNIMPLEMENTED, set()),
        ("429", Status.UNAVAILABLE, {"calm"}),
        ("431", Status.INTERNAL, set()),
        ("500", Status.UNKNOWN, set()),
        ("502", Status.UNAVAILABLE, {"lost"}),
        ("503", Status.UNAVAILABLE, {"lost"}),
        ("504", Status.UNAVAILABLE, {"lost"}),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>gateway</html>"])
def test_every_status_of_a_proxy(http: str, status: Status, told: set[str], body: bytes) -> None:
    """The statuses are those of gRPC's doc/http-grpc-status-mapping.md."""
    server = BareServer()
    server.call(b"")
    server.sent()
    headers = server.headers(1, ((":status", http), ("content-type", "text/html")), end=not body)
    outcome = end(server.feed(headers, *([data(1, body, end=True)] if body else []))).outcome
    assert (outcome.status, outcome.local) == (status, True)
    assert facts(outcome) == told


@pytest.mark.parametrize("http", ["200", "502", "503"])
def test_a_status_of_grpc_counts_more_than_that_of_http(http: str) -> None:
    server = BareServer()
    server.call(b"")
    server.sent()
    trailers = ((":status", http), ("content-type", "application/grpc"), ("grpc-status", "9"))
    outcome = end(server.feed(server.headers(1, trailers, end=True))).outcome
    assert (outcome.status, outcome.local, facts(outcome)) == (Status.FAILED_PRECONDITION, False, set())


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.OK])
def test_a_status_that_the_server_sent_is_no_loss(status: Status) -> None:
    server = BareServer()
    server.call(b"")
    server.sent()
    events = server.feed(server.headers(1, (*http2.RESPONSE, ("grpc-status", str(status.value))), end=True))
    assert facts(end(events).outcome) == set()


@pytest.mark.parametrize("half", [b"", message(b"12345")[:-1]], ids=["no status", "cut in a message"])
def test_an_answer_that_is_cut_off(half: bytes) -> None:
    server = BareServer()
    stream = server.call(b"")
    server.sent()
    events = server.answer(stream, data(1, message(b"x") + half, end=True))
    assert facts(end(events).outcome) == {"lost"}


@pytest.mark.parametrize(
    ("code", "told"),
    [(Code.NO_ERROR, {"lost"}), (Code.INTERNAL_ERROR, {"lost"}), (Code.ENHANCE_YOUR_CALM, {"lost", "calm"})],
)
@pytest.mark.parametrize("last", [1, 2**31 - 1])
def test_calls_below_the_last_number_of_goaway_are_lost_with_the_connection(
    code: int, told: set[str], last: int
) -> None:
    server = BareServer()
    server.call(b"")
    server.sent()
    assert ends(server.feed(http2.goaway(last, code))) == []
    assert facts(end(server.core.connection_lost("the peer closed the connection")).outcome) == told


def test_calls_above_the_last_number_of_goaway_are_refused() -> None:
    server = BareServer()
    server.call(b"")
    server.call(b"")
    server.sent()
    assert facts(end(server.feed(http2.goaway(1))).outcome) == {"refused"}
    assert facts(end(server.feed(http2.goaway(0, Code.ENHANCE_YOUR_CALM))).outcome) == {"refused", "calm"}


def test_a_goaway_does_not_lose_its_code_when_another_one_follows() -> None:
    server = BareServer()
    server.call(b"")
    server.sent()
    server.feed(http2.goaway(2**31 - 1, Code.ENHANCE_YOUR_CALM), http2.goaway(1))
    assert facts(end(server.core.connection_lost("gone")).outcome) == {"lost", "calm"}


# -- the end of the request was never handed over ----------------------------------------------------------------------


def queued(server: BareServer) -> Stream:
    """The whole request is in the queue."""
    return server.call(b"x")


def half_taken(server: BareServer) -> Stream:
    """The writer has taken a part of the request."""
    stream = server.call(bytes(50_000))
    server.core.data_to_send(1000)
    return stream


def beyond_the_window(server: BareServer) -> Stream:
    """All that the windows admit has left; the rest waits for the server."""
    stream = server.call(bytes(100_000))
    server.core.data_to_send()
    return stream


def end_behind_the_window(server: BareServer) -> Stream:
    """All DATA but the last byte has left."""
    stream = server.call(bytes(65_536 - 5))
    server.core.data_to_send()
    return stream


UNSENT = [queued, half_taken, beyond_the_window, end_behind_the_window]


@pytest.mark.parametrize("request_", UNSENT)
@pytest.mark.parametrize(
    ("cut", "told"),
    [
        ("lost", {"lost"}),
        ("goaway", {"lost"}),
        ("cancel", {"lost"}),
        ("502", {"lost"}),
        ("calm", {"lost", "calm"}),
        ("cut off", {"lost"}),
    ],
)
def test_a_call_that_was_cut_off_before_its_end_had_left(request_: object, cut: str, told: set[str]) -> None:
    server = BareServer()
    stream = request_(server)  # type: ignore[operator]
    outcome = end(cut_off(server, stream, cut)).outcome
    assert facts(outcome) == told | {"unsent"}


@pytest.mark.parametrize("cut", ["lost", "goaway", "cancel", "502", "calm", "cut off"])
def test_a_call_whose_end_has_left(cut: str) -> None:
    server = BareServer()
    stream = server.call(bytes(1000))
    server.core.data_to_send()
    server.call(b"another one, which is still queued")
    events = cut_off(server, stream, cut)
    assert "unsent" not in facts(next(each for each in ends(events) if each.stream is stream).outcome)


@pytest.mark.parametrize("cut", ["lost", "goaway", "cancel", "502", "calm", "cut off"])
def test_a_call_whose_owner_goes_on_asking(cut: str) -> None:
    """The server may have acted on any of the requests."""
    server = BareServer()
    stream = server.call(b"x", end=False)
    server.core.data_to_send()
    assert "unsent" not in facts(end(cut_off(server, stream, cut)).outcome)


def cut_off(server: BareServer, stream: Stream, cut: str) -> list[object]:
    match cut:
        case "goaway":
            server.feed(http2.goaway(2**31 - 1))
        case "calm":
            server.feed(http2.goaway(2**31 - 1, Code.ENHANCE_YOUR_CALM))
        case "cancel":
            return server.feed(http2.rst_stream(stream.id, Code.CANCEL))
        case "502":
            return server.feed(server.headers(stream.id, ((":status", "502"),), end=True))
        case "cut off":
            return server.answer(stream, data(stream.id, b"", end=True))
    return server.core.connection_lost("gone")


@pytest.mark.parametrize("request_", UNSENT)
def test_a_final_answer_before_the_end_had_left_stays_what_it_is(request_: object) -> None:
    """It must not be taken for a call that may be sent again."""
    server = BareServer()
    stream = request_(server)  # type: ignore[operator]
    trailers = (*http2.RESPONSE, ("grpc-status", "7"))
    assert facts(end(server.feed(server.headers(stream.id, trailers, end=True))).outcome) == set()


def test_a_peer_that_breaks_a_rule_before_the_end_had_left() -> None:
    server = BareServer()
    server.call(b"x")
    assert facts(end(server.feed(http2.data(0, b"x"))).outcome) == {"unsent"}


# -- pushback ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("1", 0.001),
        ("2500", 2.5),
        ("-1", math.inf),
        ("-0", math.inf),
        ("", math.inf),
        ("soon", math.inf),
        ("1.5", math.inf),
        ("+5", math.inf),
        ("05", math.inf),
        ("1_0", math.inf),
        ("\u0665", math.inf),
        ("9" * 30, math.inf),
    ],
)
def test_when_the_server_wants_a_call_again(value: str, seconds: float) -> None:
    server = BareServer()
    server.call(b"")
    server.sent()
    trailers = (*http2.RESPONSE, ("grpc-status", "14"), ("grpc-retry-pushback-ms", value))
    outcome = end(server.feed(server.headers(1, trailers, end=True))).outcome
    assert outcome == Outcome(Status.UNAVAILABLE)
    assert outcome.pushback == seconds


def test_a_server_that_says_nothing_about_it() -> None:
    server = BareServer()
    server.call(b"")
    server.sent()
    trailers = (*http2.RESPONSE, ("grpc-status", "14"), ("exception", "x"))
    assert end(server.feed(server.headers(1, trailers, end=True))).outcome.pushback is None
