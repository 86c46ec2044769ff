"""From the end of a call to the error: every row of the table, in its order, with all that the server said."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import trio_esdb
from trio_esdb import ServerError, StreamDeletedError, StreamNotFoundError, TooLargeError
from trio_esdb._rpc import CallKind, Method, Operation, error_from
from trio_esdb._rpc._error_table import _BY_EXCEPTION, _BY_STATUS, _BY_TEXT
from trio_esdb._wire import Outcome, Status

some = settings(max_examples=300)


def error(
    status: Status,
    text: str = "",
    trailers: dict[str, str | bytes] | None = None,
    *,
    local: bool = False,
    stream_name: str = "order-1",
    expected: object = 3,
) -> Any:
    """The error for a call on order-1 that ended so."""
    outcome = Outcome(status, text, trailers or {}, local=local)
    operation = Operation(Method.APPEND, [b""], "doing this", CallKind.OTHER_WRITE, stream_name, expected)
    return error_from(operation, outcome, "node:2113")


# What a server says in the `exception` trailer: the class, and the attributes that come from other trailers.
EXCEPTIONS: list[tuple[str, Status, dict[str, str | bytes], type[ServerError], dict[str, object]]] = [
    ("access-denied", Status.PERMISSION_DENIED, {}, trio_esdb.AccessDeniedError, {}),
    (
        "stream-deleted",
        Status.FAILED_PRECONDITION,
        {"stream-name": "$$order-1"},
        StreamDeletedError,
        {"stream_name": "$$order-1"},
    ),
    ("stream-deleted", Status.FAILED_PRECONDITION, {}, StreamDeletedError, {"stream_name": "order-1"}),
    ("stream-deleted", Status.FAILED_PRECONDITION, {"stream-name": ""}, StreamDeletedError, {"stream_name": "order-1"}),
    ("stream-not-found", Status.NOT_FOUND, {"stream-name": "a"}, StreamNotFoundError, {"stream_name": "a"}),
    ("stream-not-found", Status.NOT_FOUND, {}, StreamNotFoundError, {"stream_name": "order-1"}),
    *(
        (f"persistent-subscription-{name}", status, {"stream-name": stream, "group-name": "g"}, kind, facts)
        for name, status, kind in (
            ("exists", Status.ALREADY_EXISTS, trio_esdb.SubscriptionExistsError),
            ("does-not-exist", Status.NOT_FOUND, trio_esdb.SubscriptionNotFoundError),
            ("dropped", Status.CANCELLED, trio_esdb.SubscriptionDroppedError),
            ("failed", Status.INTERNAL, trio_esdb.SubscriptionFailedError),
        )
        for stream, facts in (
            ("a", {"stream_name": "a", "group_name": "g"}),
            ("$all", {"stream_name": None, "group_name": "g"}),
            ("", {"stream_name": "order-1", "group_name": "g"}),
        )
    ),
    (
        "persistent-subscription-failed",
        Status.INTERNAL,
        {"reason": "no"},
        trio_esdb.SubscriptionFailedError,
        {"reason": "no", "group_name": ""},
    ),
    (
        "maximum-subscribers-reached",
        Status.FAILED_PRECONDITION,
        {"stream-name": "a", "group-name": "g"},
        trio_esdb.MaximumSubscribersError,
        {"stream_name": "a", "group_name": "g"},
    ),
    (
        "wrong-expected-version",
        Status.FAILED_PRECONDITION,
        {"stream-name": "a", "expected-version": "3", "actual-version": "5"},
        trio_esdb.ExpectedPositionError,
        {"stream_name": "a", "expected": 3, "actual": 5},
    ),
    (
        "wrong-expected-version",
        Status.FAILED_PRECONDITION,
        {"expected-version": "-4", "actual-version": "-1"},
        trio_esdb.ExpectedPositionError,
        {"stream_name": "order-1", "expected": 3, "actual": None},
    ),
    (
        "wrong-expected-version",
        Status.FAILED_PRECONDITION,
        {},
        trio_esdb.ExpectedPositionError,
        {"stream_name": "order-1", "expected": 3, "actual": None},
    ),
    (
        "maximum-append-size-exceeded",
        Status.INVALID_ARGUMENT,
        {"maximum-append-size": "1048576"},
        trio_esdb.ServerTooLargeError,
        {"limit": 1048576, "size": None},
    ),
    (
        "maximum-append-event-size-exceeded",
        Status.INVALID_ARGUMENT,
        {"maximum-append-event-size": "1000", "event-id": "x", "proposed-append-event-size": "2000"},
        trio_esdb.ServerTooLargeError,
        {"limit": 1000, "size": 2000},
    ),
    ("maximum-append-size-exceeded", Status.INVALID_ARGUMENT, {}, trio_esdb.ServerTooLargeError, {"limit": None}),
    (
        "missing-required-metadata-property",
        Status.INVALID_ARGUMENT,
        {"required-metadata-properties": "type,content-type"},
        trio_esdb.InvalidRequestError,
        {},
    ),
    ("invalid-transaction", Status.INVALID_ARGUMENT, {}, trio_esdb.InvalidRequestError, {}),
    (
        "not-leader",
        Status.NOT_FOUND,
        {"leader-endpoint-host": "node2", "leader-endpoint-port": "2114"},
        trio_esdb.NotLeaderError,
        {"leader": ("node2", 2114)},
    ),
    ("not-leader", Status.NOT_FOUND, {}, trio_esdb.NotLeaderError, {"leader": None}),
    ("not-leader", Status.NOT_FOUND, {"leader-endpoint-host": "node2"}, trio_esdb.NotLeaderError, {"leader": None}),
    ("not-leader", Status.NOT_FOUND, {"leader-endpoint-port": "2114"}, trio_esdb.NotLeaderError, {"leader": None}),
    (
        "not-leader",
        Status.NOT_FOUND,
        {"leader-endpoint-host": "node2", "leader-endpoint-port": "http"},
        trio_esdb.NotLeaderError,
        {"leader": None},
    ),
]


@pytest.mark.parametrize(("exception", "status", "more", "kind", "attributes"), EXCEPTIONS)
def test_exceptions(
    exception: str,
    status: Status,
    more: dict[str, str | bytes],
    kind: type[ServerError],
    attributes: dict[str, object],
) -> None:
    trailers = {"exception": exception, **more}
    found = error(status, "Said the server.", trailers)
    assert type(found) is kind
    assert found.status == status.name
    assert found.details == "Said the server."
    assert found.trailers == trailers
    assert found.address == "node:2113"
    said = "Said the server."
    if kind is trio_esdb.ExpectedPositionError:
        where = "the stream has no events" if found.actual is None else f"the stream is at {found.actual}"
        said = f"{where}, but expected_position=3"
    elif kind is trio_esdb.AccessDeniedError:
        said += " (the user has no permission for this, or the call has no credentials)"
    elif kind is trio_esdb.NotLeaderError and found.leader is not None:
        said += " (the leader is node2:2114)"
    assert str(found) == f"doing this: {said} [{status.name}, node:2113]"
    for name, value in attributes.items():
        assert getattr(found, name) == value


def test_every_exception_is_tried() -> None:
    assert {row[0] for row in EXCEPTIONS} == set(_BY_EXCEPTION)


def test_what_errors_are_besides() -> None:
    assert isinstance(error(Status.INVALID_ARGUMENT, "", {"exception": "maximum-append-size-exceeded"}), TooLargeError)
    assert isinstance(error(Status.DEADLINE_EXCEEDED), trio.TooSlowError)
    assert isinstance(error(Status.ABORTED, "Consumer too slow"), trio_esdb.AbortedError)


STATUSES = {
    Status.CANCELLED: ServerError,
    Status.UNKNOWN: ServerError,
    Status.INVALID_ARGUMENT: trio_esdb.InvalidRequestError,
    Status.DEADLINE_EXCEEDED: trio_esdb.DeadlineExceededError,
    Status.NOT_FOUND: ServerError,
    Status.ALREADY_EXISTS: ServerError,
    Status.PERMISSION_DENIED: trio_esdb.AccessDeniedError,
    Status.RESOURCE_EXHAUSTED: trio_esdb.ResourceExhaustedError,
    Status.FAILED_PRECONDITION: ServerError,
    Status.ABORTED: trio_esdb.AbortedError,
    Status.OUT_OF_RANGE: ServerError,
    Status.UNIMPLEMENTED: trio_esdb.UnimplementedError,
    Status.INTERNAL: ServerError,
    Status.UNAVAILABLE: trio_esdb.UnavailableError,
    Status.DATA_LOSS: ServerError,
    Status.UNAUTHENTICATED: trio_esdb.UnauthenticatedError,
}


ADVICE = {
    Status.PERMISSION_DENIED: " (the user has no permission for this, or the call has no credentials)",
    Status.UNAUTHENTICATED: " (the user name, password or token is not valid)",
}


@pytest.mark.parametrize("status", STATUSES)
def test_statuses(status: Status) -> None:
    found = error(status, "Said the server.", {"some": "trailer", "some-bin": b"\x00"})
    assert type(found) is STATUSES[status]
    assert (found.status, found.details, found.address) == (status.name, "Said the server.", "node:2113")
    assert found.trailers == {"some": "trailer", "some-bin": b"\x00"}
    said = f"status {status.name}, without a text{ADVICE.get(status, '')}"
    assert str(error(status)) == f"doing this: {said} [{status.name}, node:2113]"


def test_every_status_is_tried() -> None:
    assert set(STATUSES) == set(Status) - {Status.OK}
    assert set(_BY_STATUS) == {status for status, kind in STATUSES.items() if kind is not ServerError}


@pytest.mark.parametrize("status", STATUSES)
def test_what_was_found_on_this_side(status: Status) -> None:
    """A broken protocol has its own class; texts are not looked at, since they are ours."""
    for text, _ in (("", None), *_BY_TEXT):
        found = error(status, text, local=True)
        expected = trio_esdb.ProtocolError if status is Status.INTERNAL else STATUSES[status]
        assert type(found) is expected
        assert found.status == status.name


# What servers of 21.10 to 26.1 say in English only.
TEXTS: list[tuple[Status, str, type[ServerError]]] = [
    (
        Status.ABORTED,
        "Operation timed out: Consumer too slow to handle event while live.",
        trio_esdb.ConsumerTooSlowError,
    ),
    (Status.INVALID_ARGUMENT, "Trying to read from an invalid position.", trio_esdb.InvalidPositionError),
    (Status.UNKNOWN, "Unexpected ReadAllResult: Error", trio_esdb.InvalidPositionError),
    (Status.UNKNOWN, "Unexpected ReadAllResult: InvalidPosition", trio_esdb.InvalidPositionError),
    (Status.UNKNOWN, "Unexpected FilteredReadAllResult: InvalidPosition >> why", trio_esdb.InvalidPositionError),
    (Status.UNKNOWN, "Unexpected ReadStreamResult: Error", trio_esdb.InvalidRequestError),
    (Status.UNKNOWN, "Exception was thrown by handler.", trio_esdb.InvalidRequestError),
    (Status.UNKNOWN, "No leader info available in response", trio_esdb.NotLeaderError),
]


@pytest.mark.parametrize(("status", "text", "kind"), TEXTS)
def test_texts(status: Status, text: str, kind: type[ServerError]) -> None:
    found = error(status, text)
    assert type(found) is kind
    assert (found.status, found.details) == (status.name, text)


def test_every_text_is_tried() -> None:
    assert [pattern for pattern, _ in _BY_TEXT if not any(pattern in text for _, text, _ in TEXTS)] == []


def test_a_leader_that_is_not_known() -> None:
    found = error(Status.UNKNOWN, "No leader info available in response")
    assert found.leader is None


# The order: trailer, status, text.


@pytest.mark.parametrize("status", STATUSES)
def test_the_trailer_counts_most(status: Status) -> None:
    for text, _ in _BY_TEXT:
        for local in (False, True):
            found = error(status, text, {"exception": "stream-deleted"}, local=local)
            assert type(found) is StreamDeletedError


@pytest.mark.parametrize("exception", ["", "user-not-found", "Stream-Deleted", "stream-deleted ", b"stream-deleted"])
def test_a_trailer_that_is_not_known_does_not_count(exception: str | bytes) -> None:
    assert type(error(Status.UNAVAILABLE, "", {"exception": exception})) is trio_esdb.UnavailableError
    assert type(error(Status.UNKNOWN, "Unexpected ReadAllResult: Error", {"exception": exception})) is (
        trio_esdb.InvalidPositionError
    )


@pytest.mark.parametrize("status", STATUSES)
def test_the_status_counts_more_than_a_text(status: Status) -> None:
    if status not in (Status.UNKNOWN, Status.INVALID_ARGUMENT, Status.ABORTED):
        for text, _ in _BY_TEXT:
            assert type(error(status, text)) is STATUSES[status]


@pytest.mark.parametrize("number", ["1_0", "+5", " 5", "5.0", "٣", "", "0x5", "9" * 5000, b"5"])
def test_a_number_in_a_trailer_is_ascii_digits(number: str | bytes) -> None:
    exceeded = {"exception": "maximum-append-size-exceeded", "maximum-append-size": number}
    found = error(Status.INVALID_ARGUMENT, "", exceeded)
    assert isinstance(found, trio_esdb.ServerTooLargeError)
    assert found.limit is None


# Servers may say anything.

KEYS = st.sampled_from(
    [
        "exception",
        "stream-name",
        "expected-version",
        "actual-version",
        "maximum-append-size",
        "maximum-append-event-size",
        "proposed-append-event-size",
        "leader-endpoint-host",
        "leader-endpoint-port",
        "grpc-status-details-bin",
        "other",
    ]
)
VALUES = (
    st.sampled_from([*_BY_EXCEPTION, "", "-1", "99999999999999999999", "٣", " 5 ", "5.0", "1_0", "9" * 5000])
    | st.text(max_size=8)
    | st.binary(max_size=8)
)


@given(
    status=st.sampled_from(sorted(STATUSES, key=lambda status: status.value)),
    text=st.text(max_size=20) | st.sampled_from([text for _, text, _ in TEXTS]),
    trailers=st.dictionaries(KEYS, VALUES),
    exception=st.sampled_from(["", *_BY_EXCEPTION]),
    local=st.booleans(),
)
@some
def test_no_trailer_breaks_anything(
    status: Status, text: str, trailers: dict[str, str | bytes], exception: str, local: bool
) -> None:
    trailers = {"exception": exception, **trailers}
    found = error(status, text, trailers, local=local)
    assert isinstance(found, ServerError)
    assert found.trailers == trailers
    for name in ("limit", "size", "actual"):
        assert isinstance(getattr(found, name, None), int | None)
    assert isinstance(getattr(found, "stream_name", ""), str)


def test_methods() -> None:
    streams = {f"/event_store.client.streams.Streams/{name}" for name in ("Read", "Append", "Delete", "Tombstone")}
    features = "/event_store.client.server_features.ServerFeatures/GetSupportedMethods"
    gossip = "/event_store.client.gossip.Gossip/Read"
    about_groups = ("Create", "Update", "Delete", "Read", "GetInfo", "ReplayParked", "List", "RestartSubsystem")
    service = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/"
    groups = {service + name for name in about_groups}
    assert {method.value for method in Method} == streams | groups | {features, gossip}
