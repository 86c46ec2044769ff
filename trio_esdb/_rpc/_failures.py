"""From the way a call ended to the error that a user catches. One table, nothing else decides.

In this order: the ``exception`` trailer, which a server sets on purpose; then the gRPC status; and within two statuses
the text, where a server gives nothing better.
"""

from __future__ import annotations

from trio_esdb import _errors as errors
from trio_esdb._wire import Outcome, Status

_BY_EXCEPTION: dict[str, type[errors.ServerError]] = {
    "access-denied": errors.AccessDeniedError,
    "stream-deleted": errors.StreamDeletedError,
    "stream-not-found": errors.StreamNotFoundError,
    "wrong-expected-version": errors.ExpectedPositionError,
    "maximum-append-size-exceeded": errors.ServerTooLargeError,
    "maximum-append-event-size-exceeded": errors.ServerTooLargeError,
    "missing-required-metadata-property": errors.InvalidRequestError,
    "invalid-transaction": errors.InvalidRequestError,
    "not-leader": errors.NotLeaderError,
}

_BY_STATUS: dict[Status, type[errors.ServerError]] = {
    Status.INVALID_ARGUMENT: errors.InvalidRequestError,
    Status.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    Status.PERMISSION_DENIED: errors.AccessDeniedError,
    Status.UNAUTHENTICATED: errors.UnauthenticatedError,
    Status.RESOURCE_EXHAUSTED: errors.ResourceExhaustedError,
    Status.ABORTED: errors.AbortedError,
    Status.UNIMPLEMENTED: errors.UnimplementedError,
    Status.UNAVAILABLE: errors.UnavailableError,
}

_UNMAPPED = "Exception was thrown by handler"

_BY_TEXT: tuple[tuple[str, type[errors.ServerError]], ...] = (
    ("Consumer too slow", errors.ConsumerTooSlowError),
    ("Trying to read from an invalid position", errors.InvalidPositionError),
    ("Unexpected ReadAllResult: ", errors.InvalidPositionError),
    ("Unexpected FilteredReadAllResult: ", errors.InvalidPositionError),
    (_UNMAPPED, errors.InvalidRequestError),
    ("Unexpected ReadStreamResult: ", errors.InvalidRequestError),
    ("No leader info available in response", errors.NotLeaderError),
)
"""English texts of servers from 21.10 to 26.1, for what they tell in no other way."""


def error_from(outcome: Outcome, *, address: str, doing: str, stream_name: str = "") -> errors.ServerError:
    """The error that a call's end stands for. ``doing`` says in the message what was being done."""
    text = outcome.message or f"status {outcome.status.name}, without a text"
    trailers = outcome.trailers
    kind = _kind(outcome)
    if kind is errors.InvalidRequestError and outcome.message.startswith(_UNMAPPED):
        text += " A server says no more than this of, say, a filter whose regular expression it cannot parse."
    message = f"{doing}: {text} [{outcome.status.name}, {address}]"
    if kind is errors.ExpectedPositionError:
        actual = _number(trailers.get("actual-version"))
        return errors.ExpectedPositionError(
            message,
            stream_name=_text(trailers.get("stream-name")) or stream_name,
            expected=_number(trailers.get("expected-version")),
            actual=None if actual is None or actual < 0 else actual,
            status=outcome.status.name,
            details=outcome.message,
            trailers=trailers,
            address=address,
        )
    error = kind(message, status=outcome.status.name, details=outcome.message, trailers=trailers, address=address)
    if isinstance(error, errors.StreamDeletedError | errors.StreamNotFoundError):
        error.stream_name = _text(trailers.get("stream-name")) or stream_name
    elif isinstance(error, errors.ServerTooLargeError):
        error.limit = _number(trailers.get("maximum-append-event-size") or trailers.get("maximum-append-size"))
        error.size = _number(trailers.get("proposed-append-event-size"))
    elif isinstance(error, errors.NotLeaderError):
        host, port = _text(trailers.get("leader-endpoint-host")), _number(trailers.get("leader-endpoint-port"))
        error.leader = (host, port) if host and port is not None else None
    return error


def _kind(outcome: Outcome) -> type[errors.ServerError]:
    named = _BY_EXCEPTION.get(_text(outcome.trailers.get("exception")))
    if named is not None:
        return named
    if outcome.local:
        if outcome.status is Status.INTERNAL:
            return errors.ProtocolError
    elif outcome.status in (Status.UNKNOWN, Status.INVALID_ARGUMENT, Status.ABORTED):
        for text, kind in _BY_TEXT:
            if text in outcome.message:
                return kind
    return _BY_STATUS.get(outcome.status, errors.ServerError)


def _text(value: str | bytes | None) -> str:
    return value if isinstance(value, str) else ""


def _number(value: str | bytes | None) -> int | None:
    try:
        return int(_text(value))
    except ValueError:
        return None
