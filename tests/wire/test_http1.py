"""HTTP/1.1 on the port: health checks are answered, everything else is refused, and nobody waits for ever."""

from __future__ import annotations

import pytest

from trio_esdb._wire import ConnectionEnded
from trio_esdb._wire._http1 import http1_answer
from trio_esdb._wire._server_connection import ServerConnection


def status(raw: bytes) -> int | None:
    """The status of the answer; checks that it is whole."""
    answer = http1_answer(raw)
    if answer is None:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode("ascii").split("\r\n")
    version, code, _ = first.split(" ", 2)
    assert version == "HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in rest)
    assert headers["Connection"] == "close"
    assert len(body) == int(headers.get("Content-Length", 0))
    return int(code)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/health/live", 204),
        ("/health/live?", 204),
        ("/health/live?liveCode=200", 200),
        ("/health/live?a=b&liveCode=299&c", 299),
        ("/health/live?liveCode=404", 204),
        ("/health/live?liveCode=2000", 204),
        ("/health", 400),
        ("/info", 400),
        ("/", 400),
        ("*", 400),
    ],
)
@pytest.mark.parametrize("headers", ["", "Host: x\r\nUser-Agent: probe\r\n"])
def test_requests(method: str, target: str, code: int, headers: str) -> None:
    assert status(f"{method} {target} HTTP/1.1\r\n{headers}\r\n".encode()) == code


@pytest.mark.parametrize(
    "raw", [b"POST /health/live HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"GET / HTTP/1.0\r\n\r\n"]
)
def test_requests_that_are_none_of_a_health_check(raw: bytes) -> None:
    assert status(raw) == 400


def test_a_head_request_has_no_body() -> None:
    answer = http1_answer(b"HEAD /info HTTP/1.1\r\n\r\n")
    assert answer is not None
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"hello",
        b"GET\r\n",
        b"GET / HTTP/3\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"\r\n\r\n",
        b"A" * 21,
        b"PRI * HTTP/2.0\r\n\r\nXX",
    ],
)
def test_what_is_no_request_is_refused_at_once(raw: bytes) -> None:
    assert status(raw) == 400


def test_a_request_in_single_bytes_is_waited_for() -> None:
    raw = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    assert [status(raw[:n]) for n in range(1, len(raw))] == [None] * (len(raw) - 1)
    assert status(raw) == 204


@pytest.mark.parametrize("raw", [b"GET /" + b"x" * 9000, b"GET / HTTP/1.1\r\nx: " + b"y" * 9000])
def test_a_head_without_an_end_is_refused(raw: bytes) -> None:
    assert status(raw[:8000]) is None
    assert status(raw) == 431


def test_a_connection_that_speaks_http1_ends_with_the_answer_and_no_frame() -> None:
    core = ServerConnection()
    raw = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    assert core.receive_data(raw[:1]) == []
    assert core.receive_data(raw[1:20]) == []
    assert not core.has_output
    assert core.receive_data(raw[20:]) == [ConnectionEnded("the client does not speak HTTP/2")]
    assert core.data_to_send() == http1_answer(raw)
    assert core.ended


def test_nothing_is_said_to_a_client_that_said_nothing() -> None:
    core = ServerConnection()
    core.drain()
    core.goodbye()
    core.connection_lost("the node ends")
    assert not core.has_output
