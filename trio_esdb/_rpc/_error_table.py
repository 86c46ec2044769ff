"""The error that a user gets for the end of a call. It is chosen here and nowhere else.

The choice depends on, in this order: the ``exception`` trailer of the server; whether the call was cut off; the gRPC
status; and for three statuses the server's text, because a server gives nothing better.
"""

from __future__ import annotations

import re
from typing import Any

from trio_esdb import _errors as errors
from trio_esdb._wire import Outcome, Status

from ._operation import Operation
from ._policy import NOT_READY_TEXTS

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
    "persistent-subscription-exists": errors.SubscriptionExistsError,
    "persistent-subscription-does-not-exist": errors.SubscriptionNotFoundError,
    "persistent-subscription-dropped": errors.SubscriptionDroppedError,
    "persistent-subscription-failed": errors.SubscriptionFailedError,
    "maximum-subscribers-reached": errors.MaximumSubscribersError,
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
"""English texts of servers from 21.10 to 26.1, for errors that they report in no other way."""

_ADVICE: dict[type[errors.ServerError], str] = {
    errors.AccessDeniedError: " (the user has no permission for this, or the call has no credentials)",
    errors.UnauthenticatedError: " (the user name, password or token is not valid)",
}
"""What is added to texts that do not tell what to do."""

_REFUSALS: frozenset[type[errors.ServerError]] = frozenset(
    {
        errors.AccessDeniedError,
        errors.ExpectedPositionError,
        errors.InvalidPositionError,
        errors.MaximumSubscribersError,
        errors.NotLeaderError,
        errors.ServerTooLargeError,
        errors.StreamDeletedError,
        errors.StreamNotFoundError,
        errors.SubscriptionExistsError,
        errors.SubscriptionFailedError,
        errors.SubscriptionNotFoundError,
        errors.UnauthenticatedError,
        errors.UnimplementedError,
    }
)
"""Errors of a server that has changed nothing."""

_INTEGER = "-?[0-9]{1,20}"
"""int() takes more: signs, underscores, blanks, the digits of other scripts."""


def error_from(operation: Operation, outcome: Outcome, address: str) -> errors.ServerError:
    """The error for the end of a call.

    Args:
        operation: The call.
        outcome: How it ended.
        address: The address of the node.
    """
    text = outcome.message or f"status {outcome.status.name}, without a text"
    trailers = outcome.trailers
    kind = _kind(operation, outcome)
    if outcome.message.removesuffix(".") == _UNMAPPED and not outcome.local:
        text += _hint(operation)
    text += _ADVICE.get(kind, "")
    facts: dict[str, Any] = {}
    if kind is errors.ExpectedPositionError:
        number = _number(trailers.get("actual-version"))
        actual = None if number is None or number < 0 else number
        facts = {"expected": operation.expected, "actual": actual}
        text = operation.unexpected("the stream has no events" if actual is None else f"the stream is at {actual}")
    if kind in (errors.ExpectedPositionError, errors.StreamDeletedError, errors.StreamNotFoundError):
        facts["stream_name"] = _text(trailers.get("stream-name")) or operation.stream_name
    elif kind is errors.ServerTooLargeError:
        facts["limit"] = _number(trailers.get("maximum-append-event-size") or trailers.get("maximum-append-size"))
        facts["size"] = _number(trailers.get("proposed-append-event-size"))
    elif kind is errors.NotLeaderError:
        host, port = _text(trailers.get("leader-endpoint-host")), _number(trailers.get("leader-endpoint-port"))
        facts["leader"] = leader = (host, port) if host and port is not None else None
        if leader is not None:
            text += f" (the leader is {host}:{port})"
    elif issubclass(kind, errors.GroupError):
        facts["group_name"] = _text(trailers.get("group-name"))
        name = _text(trailers.get("stream-name"))
        facts["stream_name"] = None if name == "$all" else name or operation.stream_name or None
        if kind is errors.SubscriptionFailedError:
            facts["reason"] = _text(trailers.get("reason"))
    return operation.error(
        kind,
        text,
        address,
        where=f"{outcome.status.name}, ",
        status=outcome.status.name,
        details=outcome.message,
        trailers=trailers,
        applied=_applied(kind, outcome),
        **facts,
    )


def _applied(kind: type[errors.ServerError], outcome: Outcome) -> bool | None:
    """False if the server has certainly not done what the call asks for; None if that is not known."""
    if outcome.refused or outcome.unsent:
        return False
    if outcome.local:
        return None
    if kind in _REFUSALS or outcome.status is Status.INVALID_ARGUMENT:
        return False
    if outcome.status is Status.UNAVAILABLE and outcome.message.startswith(NOT_READY_TEXTS):
        return False
    return None


def _kind(operation: Operation, outcome: Outcome) -> type[errors.ServerError]:
    named = _BY_EXCEPTION.get(_text(outcome.trailers.get("exception")))
    if named is not None:
        return named
    if outcome.lost:
        return errors.UnavailableError
    if outcome.local:
        if outcome.status is Status.INTERNAL:
            return errors.ProtocolError
    elif outcome.status in (Status.UNKNOWN, Status.INVALID_ARGUMENT, Status.ABORTED):
        for text, kind in _BY_TEXT:
            if text in outcome.message:
                if text is _UNMAPPED and operation.from_position and not operation.own_patterns:
                    return errors.InvalidPositionError
                return kind
    return _BY_STATUS.get(outcome.status, errors.ServerError)


def _hint(operation: Operation) -> str:
    """Possible causes, for a server that says only that its handler failed."""
    causes = []
    if operation.from_position:
        causes.append("a position that is not the position of an event (up to 23.10)")
    if operation.own_patterns:
        causes.append("a filter whose regular expression it cannot parse")
    return f" A server says no more than this about {' or about '.join(causes)}." if causes else ""


def _text(value: str | bytes | None) -> str:
    return value if isinstance(value, str) else ""


def _number(value: str | bytes | None) -> int | None:
    text = _text(value)
    return int(text) if re.fullmatch(_INTEGER, text) else None
