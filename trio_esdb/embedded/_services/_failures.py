"""How a node refuses calls: status, text and trailers, byte for byte."""

from __future__ import annotations

from trio_esdb._transport._handlers import Failure
from trio_esdb._wire import Status

from .._store import WrongExpectation

_DOTNET = "EventStore.Client.Streams."

NOBODY_LISTENS = "A real node never answers this request: "
"""The beginning of the texts for requests to which a real node never sends an answer."""

METADATA_REFUSED = "The embedded node refuses this metadata: "
"""How the texts begin that stand for a real node's trouble with metadata that it takes."""


def handler_failed() -> Failure:
    """The method raised an exception. In practice, the request is malformed."""
    return Failure(Status.UNKNOWN, "Exception was thrown by handler.")


def pattern_refused(reason: str) -> Failure:
    """The embedded node cannot use a pattern that a real node may accept. The status is that of a bad pattern."""
    return Failure(Status.UNKNOWN, f"Exception was thrown by handler. The embedded node {reason}.")


def unauthenticated() -> Failure:
    """There is no such user, or another password, or the user is disabled."""
    return Failure(Status.UNAUTHENTICATED, "Unauthenticated")


def broken_account() -> Failure:
    """The stream of a user holds another user."""
    return Failure(Status.UNKNOWN, "Internal server error")


def access_denied() -> Failure:
    """The caller may not do this."""
    return Failure(Status.PERMISSION_DENIED, "Access Denied", {"exception": "access-denied"})


def not_leader(host: str, port: int) -> Failure:
    """Another node answers this: the leader, which clients reach by this host and port."""
    return Failure(
        Status.NOT_FOUND,
        "Leader info available",
        {"exception": "not-leader", "leader-endpoint-host": host, "leader-endpoint-port": str(port)},
    )


def user_not_found(name: str) -> Failure:
    """There is no such user."""
    return Failure(
        Status.NOT_FOUND, f"User '{name}' is not found.", {"exception": "user-not-found", "login-name": name}
    )


def user_conflict(name: str) -> Failure:
    """There is a user of this name, with another password."""
    return Failure(Status.FAILED_PRECONDITION, "Conflict.", {"exception": "user-conflict", "login-name": name})


def try_again(name: str) -> Failure:
    """It is not known what becomes of a change of this user."""
    return Failure(Status.DEADLINE_EXCEEDED, "Try again.", {"exception": "user-conflict", "login-name": name})


def incomplete_message() -> Failure:
    """The client half-closed a call without a request that needs one."""
    return Failure(Status.INTERNAL, "Incomplete message.")


def additional_data() -> Failure:
    """The client sent a second request in a call that takes one."""
    return Failure(Status.INTERNAL, "Additional data after the message received.")


def message_too_large() -> Failure:
    """The request exceeds the size limit of the service."""
    return Failure(Status.RESOURCE_EXHAUSTED, "Received message exceeds the maximum configured message size.")


def never_answered(reason: str) -> Failure:
    """A real node never answers such a request. The embedded node refuses it instead of letting the client wait."""
    return Failure(Status.INVALID_ARGUMENT, NOBODY_LISTENS + reason)


def metadata_refused(reason: str) -> Failure:
    """Metadata that would do harm on a real node."""
    return Failure(Status.INVALID_ARGUMENT, METADATA_REFUSED + reason)


def stream_deleted(stream: str) -> Failure:
    """The stream is tombstoned; or it is soft deleted, and the writer expected it to exist."""
    return Failure(
        Status.FAILED_PRECONDITION,
        f"Event stream '{stream}' is deleted.",
        {"exception": "stream-deleted", "stream-name": stream},
    )


def delete_missed(stream: str, missed: WrongExpectation) -> Failure:
    """The stream has another revision than a delete or tombstone expected."""
    return Failure(
        Status.FAILED_PRECONDITION,
        f"Delete failed due to WrongExpectedVersion. Stream: {stream}, "
        f"Expected version: {missed.expected}, Actual version: {missed.actual}",
        {
            "exception": "wrong-expected-version",
            "stream-name": stream,
            "expected-version": str(missed.expected),
            "actual-version": str(missed.actual),
        },
    )


def not_ready() -> Failure:
    """The node does not lead, and knows no leader. Nothing was written."""
    return Failure(Status.UNAVAILABLE, "Server Is Not Ready")


def commit_timeout() -> Failure:
    """The write is in the leader's log, and not confirmed yet."""
    return Failure(Status.ABORTED, "Operation timed out: Commit phase timeout.")


def canceled_by_server() -> Failure:
    """The write was not confirmed when the node stopped leading."""
    return Failure(Status.ABORTED, "Operation timed out: Request canceled by server")


def forwarding_timeout() -> Failure:
    """The leader has not answered a write that was forwarded to it."""
    return Failure(Status.ABORTED, "Operation timed out: Forwarding timeout")


def append_too_large(limit: int) -> Failure:
    """The events of an append exceed the limit on their total size."""
    return Failure(
        Status.INVALID_ARGUMENT,
        f"Maximum Append Size of {limit} Exceeded.",
        {"exception": "maximum-append-size-exceeded", "maximum-append-size": str(limit)},
    )


def metadata_missing(key: str) -> Failure:
    """A proposed event lacks one of the two required keys of its metadata."""
    return Failure(
        Status.INVALID_ARGUMENT,
        f"Required Metadata Property '{key}' is missing",
        {
            "exception": "missing-required-metadata-property",
            "required-metadata-properties": "type,content-type",
        },
    )


def nothing_chosen(oneof: str) -> Failure:
    """No member of a oneof is set that needs one. ``oneof`` is its name in .NET."""
    return not_valid("None", oneof)


def not_valid(value: str, kind: str) -> Failure:
    """A value is not valid for its type. ``kind`` is the name of the type in .NET."""
    return Failure(Status.INVALID_ARGUMENT, f"'{value}' is not a valid {_DOTNET}{kind}")


def uuid_option_missing() -> Failure:
    """A read does not say in which form it wants ids. The text of a real node begins with a blank, too."""
    kind = f"{_DOTNET}ReadReq+Types+Options+Types+UUIDOption"
    return Failure(Status.INVALID_ARGUMENT, f" `uuidOption` is a required argument of type {kind}")


def invalid_combination(*words: str) -> Failure:
    """Source, count, direction and filter of a read cannot be combined."""
    return Failure(Status.INVALID_ARGUMENT, f"The combination of ({', '.join(words)}) is invalid.")


def unexpected_result(kind: str, value: str) -> Failure:
    """A read failed for a reason that has no status of its own."""
    return Failure(Status.UNKNOWN, f"Unexpected {kind}: {value}")


def invalid_start() -> Failure:
    """A subscription to all streams starts at a position where no record begins."""
    return Failure(Status.INVALID_ARGUMENT, "Trying to read from an invalid position.")


def scavenge_not_found() -> Failure:
    """There is no scavenge of this id."""
    return Failure(Status.NOT_FOUND, "Scavenge id was invalid.", {"exception": "scavenge-not-found"})


def no_users() -> Failure:
    """A node without authentication has no users."""
    return never_answered("the node runs without authentication and has no users.")


def unimplemented(what: str) -> Failure:
    """The node has no such method, or no such service."""
    return Failure(Status.UNIMPLEMENTED, f"{what} is unimplemented.")


def group_exists(stream: str, group: str) -> Failure:
    """There is a group of this name already."""
    return _of_group(Status.ALREADY_EXISTS, "exists", stream, group, f"{_group_text(stream, group)} exists.")


def group_missing(stream: str, group: str) -> Failure:
    """There is no such group."""
    text = f"{_group_text(stream, group)} does not exist."
    return _of_group(Status.NOT_FOUND, "does-not-exist", stream, group, text)


def group_failed(stream: str, group: str, reason: str) -> Failure:
    """What was asked of the group cannot be done."""
    text = f"{_group_text(stream, group)} failed: '{reason}'"
    return _of_group(Status.INTERNAL, "failed", stream, group, text, reason=reason)


def group_dropped(stream: str, group: str) -> Failure:
    """The consumer must connect again: the group was changed or deleted, or this node does not lead any more."""
    return _of_group(Status.CANCELLED, "dropped", stream, group, f"{_group_text(stream, group)} was dropped.")


def group_full(stream: str, group: str) -> Failure:
    """The group has as many consumers as it may have."""
    return Failure(
        Status.FAILED_PRECONDITION,
        f"Maximum subscriptions reached for subscription group {group} on stream {stream}.",
        _with_values(
            {"exception": "maximum-subscribers-reached", "stream-name": stream, "group-name": group},
        ),
    )


def wrong_envelope(call: str) -> Failure:
    """A call for a group of a stream named `$all`."""
    kind = f"{call}PersistentSubscription"
    return Failure(
        Status.UNKNOWN,
        f"Envelope callback expected either {kind}ToAllCompleted or NotHandled, "
        f"received {kind}ToStreamCompleted instead",
    )


def no_group_option(kind: str) -> Failure:
    """No member of a oneof is set in a request of PersistentSubscriptions."""
    return Failure(Status.INVALID_ARGUMENT, f"'None' is not a valid EventStore.Client.PersistentSubscriptions.{kind}")


def _group_text(stream: str, group: str) -> str:
    return f"Subscription group {group} on stream {stream}"


def _of_group(status: Status, what: str, stream: str, group: str, text: str, *, reason: str = "") -> Failure:
    trailers = {"exception": f"persistent-subscription-{what}", "stream-name": stream, "group-name": group}
    return Failure(status, text, _with_values({**trailers, "reason": reason}))


def _with_values(trailers: dict[str, str]) -> dict[str, str]:
    """Empty trailers are never sent."""
    return {name: value for name, value in trailers.items() if value}
