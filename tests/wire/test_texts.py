"""The texts of gRPC's headers: timeouts, metadata, statuses, messages."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_esdb._wire import Outcome, Status, encode_deadline, encode_headers
from trio_esdb._wire._grpc import encode_grpc_message, metadata_from, seconds_from
from trio_esdb._wire._outcome import from_http, from_reset, from_trailers


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-math.inf, "1m"),
        (-5, "1m"),
        (0, "1m"),
        (0.0001, "1m"),
        (0.001, "1m"),
        (0.0011, "2m"),
        (1, "1000m"),
        (1.0001, "1001m"),
        (99_998.9999, "99999000m"),
        (99_999, "99999S"),
        (99_999.1, "100000S"),
        (99_999_998.1, "99999999S"),
        (10**12, "99999999S"),
    ],
)
def test_a_timeout_is_rounded_up_and_has_eight_digits_at_most(seconds: float, text: str) -> None:
    assert encode_deadline(seconds) == text


@given(st.floats(min_value=0, max_value=10**7))
def test_a_timeout_comes_back_never_shorter(seconds: float) -> None:
    text = encode_deadline(seconds)
    assert len(text) <= 9
    assert seconds <= seconds_from(text) <= seconds + max(1e-3, seconds * 1.1e-5)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1H", 3600),
        ("2M", 120),
        ("3S", 3),
        ("4m", 0.004),
        ("5u", 0.000005),
        ("6n", 0.000000006),
        ("0S", 0),
        ("99999999H", 99999999 * 3600),
        (None, math.inf),
        ("", math.inf),
        ("S", math.inf),
        ("1", math.inf),
        ("1x", math.inf),
        ("-1S", math.inf),
        ("1.5S", math.inf),
        ("100000000S", math.inf),  # nine digits
        ("9" * 500 + "H", math.inf),
        ("\u0663S", math.inf),
    ],
)
def test_what_a_timeout_means(text: str | None, seconds: float) -> None:
    assert seconds_from(text) == pytest.approx(seconds)


def test_metadata_leaves_out_what_is_no_metadata() -> None:
    headers = [
        (":path", "/a/B"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "x"),
        ("content-length", "0"),
        ("date", "Mon"),
        ("server", "Kestrel"),
        ("grpc-status", "0"),
        ("grpc-timeout", "1S"),
        ("requires-leader", "true"),
        ("key", "first"),
        ("key", "last"),
        ("grpc-status-details-bin", "AAH/"),
    ]
    assert metadata_from(headers) == {
        "requires-leader": "true",
        "key": "last",
        "grpc-status-details-bin": b"\x00\x01\xff",
    }


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", b""),
        ("AA==", b"\x00"),
        ("AA", b"\x00"),
        ("AAE", b"\x00\x01"),
        ("AAE,AAI", b"\x00\x02"),
        ("A", None),
        ("?", None),
        ("AA?A", None),
        ("AAAA====", None),
        ("AA==AA==", None),
        ("=", None),
        ("A A A A", None),
        ("AAE,?", None),
        ("?,AAE", b"\x00\x01"),
        ("AAE, AAI", b"\x00\x02"),
        ("__--", None),
        ("\u00e9", None),
    ],
)
def test_binary_metadata(value: str, found: bytes | None) -> None:
    assert metadata_from([("key-bin", value)]) == ({} if found is None else {"key-bin": found})


@given(st.dictionaries(st.sampled_from(["a", "b-c", "d-bin", "e.f-bin"]), st.binary(max_size=20)))
def test_metadata_comes_back(values: dict[str, bytes]) -> None:
    metadata = {key: value if key.endswith("-bin") else value.hex() + "~" for key, value in values.items()}
    assert metadata_from(encode_headers(metadata)) == metadata


@pytest.mark.parametrize(
    "metadata",
    [
        {"UPPER": "x"},
        {"content-type": "x"},
        {"grpc-status": "0"},
        {"key": "line\nfeed"},
        {"key": "\u00e9"},
        {"key": b"bytes"},
        {"key-bin": "text"},
    ],
)
def test_metadata_that_cannot_be_sent(metadata: dict[str, str | bytes]) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode_headers(metadata)


def test_a_tab_is_lawful_in_metadata() -> None:
    assert encode_headers({"stream-name": "a\tb"}) == [("stream-name", "a\tb")]
    assert metadata_from([("stream-name", "a\tb")]) == {"stream-name": "a\tb"}


def test_trailers_with_a_value_that_is_not_base64() -> None:
    outcome = from_trailers((("grpc-status", "5"), ("key-bin", "???"), ("other", "x")))
    assert outcome == Outcome(Status.NOT_FOUND, "", {"other": "x"})


def test_the_outcome_in_trailers() -> None:
    trailers = (("grpc-status", "5"), ("grpc-message", "not%20found: %C3%A9"), ("exception", "gone"))
    assert from_trailers(trailers) == Outcome(Status.NOT_FOUND, "not found: \u00e9", {"exception": "gone"})


def test_of_several_statuses_the_last_counts() -> None:
    trailers = (("grpc-status", "0"), ("grpc-message", "a"), ("grpc-status", "14"), ("grpc-message", "b"))
    assert from_trailers(trailers) == Outcome(Status.UNAVAILABLE, "b")


def test_no_status_is_no_outcome() -> None:
    assert from_trailers((("grpc-message", "alone"),)) is None


@pytest.mark.parametrize(
    "status", ["17", "-1", "", "ok", "0x0", "9" * 90, "1_0", "+5", "05", "005", " 7", "7 ", "\u0663", "-0", "00", "5.0"]
)
def test_a_status_that_nobody_knows(status: str) -> None:
    outcome = from_trailers((("grpc-status", status), ("grpc-message", "why")))
    assert outcome is not None
    assert outcome.status is Status.UNKNOWN
    assert outcome.message == f"the server sent grpc-status {status!r}: why"
    assert not outcome.ok


def test_only_the_beginning_of_a_status_is_shown() -> None:
    outcome = from_trailers((("grpc-status", "9" * 5000),))
    assert outcome is not None
    assert len(outcome.message) < 200


@given(st.text(max_size=50))
def test_a_message_comes_back(text: str) -> None:
    encoded = encode_grpc_message(text)
    assert encoded.isascii()
    assert encoded.isprintable()
    outcome = from_trailers((("grpc-status", "13"), ("grpc-message", encoded)))
    assert outcome is not None
    assert outcome.message == text


@pytest.mark.parametrize(
    ("sent", "text"),
    [("%", "%"), ("100%", "100%"), ("%zz", "%zz"), ("%ff", "\ufffd"), (" blank", " blank"), ("a%0Ab", "a\nb")],
)
def test_a_message_badly_coded_is_still_shown(sent: str, text: str) -> None:
    outcome = from_trailers((("grpc-status", "2"), ("grpc-message", sent)))
    assert outcome is not None
    assert outcome.message == text


@pytest.mark.parametrize(
    ("http", "status"),
    [
        (400, Status.INTERNAL),
        (401, Status.UNAUTHENTICATED),
        (403, Status.PERMISSION_DENIED),
        (404, Status.UNIMPLEMENTED),
        (429, Status.UNAVAILABLE),
        (500, Status.UNKNOWN),
        (502, Status.UNAVAILABLE),
        (503, Status.UNAVAILABLE),
        (504, Status.UNAVAILABLE),
        (200, Status.UNKNOWN),
        (302, Status.UNKNOWN),
        (0, Status.UNKNOWN),
    ],
)
def test_the_status_of_an_http_answer(http: int, status: Status) -> None:
    outcome = from_http(http, "text/plain", b" body \xff\n", [("x", "y")])
    assert outcome == Outcome(
        status, f"HTTP {http} (text/plain) instead of a gRPC answer: body \ufffd", {"x": "y"}, local=True
    )


def test_an_http_answer_without_anything() -> None:
    assert from_http(500, "", b"", []).message == "HTTP 500 (no content type) instead of a gRPC answer"
    assert from_http(200, "application/grpc+proto", b"", []).message == "the answer ended without a grpc-status"


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        (0, Status.INTERNAL, "NO_ERROR"),
        (1, Status.INTERNAL, "PROTOCOL_ERROR"),
        (2, Status.INTERNAL, "INTERNAL_ERROR"),
        (7, Status.UNAVAILABLE, "REFUSED_STREAM"),
        (8, Status.CANCELLED, "CANCEL"),
        (11, Status.RESOURCE_EXHAUSTED, "ENHANCE_YOUR_CALM"),
        (12, Status.PERMISSION_DENIED, "INADEQUATE_SECURITY"),
        (4711, Status.INTERNAL, "error 4711"),
    ],
)
def test_the_status_of_a_reset(code: int, status: Status, name: str) -> None:
    outcome = from_reset(code)
    assert outcome == Outcome(status, f"the peer reset the call with {name}", local=True, refused=code == 7)
