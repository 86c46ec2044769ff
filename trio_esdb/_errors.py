"""Every exception that trio_esdb raises on purpose.

The base class is ``ESDBError``. A call that failed raises a ``ServerError``, which keeps what the server sent: status,
details, trailers and the address of the node. Invalid arguments raise ``InvalidArgumentError`` (also a ``ValueError``)
or ``InvalidTypeError`` (also a ``TypeError``) before anything is sent. The exceptions of trio are not wrapped:
``trio.Cancelled`` when the caller's cancel scope is cancelled, ``trio.ClosedResourceError`` after closing,
``trio.EndOfChannel`` at the end of a read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

import trio


class ESDBError(Exception):
    """The base class of all errors of this library. They can be copied and pickled.

    Attributes:
        applied (bool | None): For a call that writes: False if the server has certainly not written anything, None if
            it may have.
    """

    applied: bool | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class InvalidArgumentError(ESDBError, ValueError):
    """The value of an argument is not valid. Nothing was sent. The message names the argument and the reason."""

    applied: bool | None = False


class InvalidTypeError(InvalidArgumentError, TypeError):
    """The type of an argument is not valid. Nothing was sent."""


class InvalidMetadataError(ESDBError):
    """The metadata of a stream was read, and it is not a JSON object.

    Attributes:
        data (bytes): The metadata as it is stored.
    """

    def __init__(self, message: str, *, data: bytes) -> None:
        super().__init__(message)
        self.data = data


class TooLargeError(ESDBError):
    """The events of an append are too large. Nothing was written.

    This class itself means that an event is larger than a message can be, and that nothing was sent. If a limit of the
    server was exceeded, you get the subclass ``ServerTooLargeError``.

    Attributes:
        limit (int | None): The limit in bytes, or None if it is not known.
        size (int | None): The size in bytes that exceeded the limit, or None if it is not known.
    """

    applied: bool | None = False

    def __init__(self, message: str, *, limit: int | None = None, size: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.size = size


class ServerError(ESDBError):
    """A call failed.

    You get this class itself for a status that has no class of its own.

    Attributes:
        status (str): The name of the gRPC status, such as ``"FAILED_PRECONDITION"``.
        details (str): The text that the server sent. It is empty if the error was found by the client.
        trailers (Mapping[str, str | bytes]): The metadata that the server sent with the status. Values are bytes for
            keys that end in ``-bin``, else strings.
        address (str): The address of the node, as ``host:port``.
    """

    def __init__(
        self,
        message: str,
        *,
        status: str = "UNKNOWN",
        details: str = "",
        trailers: Mapping[str, str | bytes] | None = None,
        address: str = "",
        applied: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.details = details
        self.trailers: Mapping[str, str | bytes] = dict(trailers or {})
        self.address = address
        self.applied = applied


class _ServerErrorArguments(TypedDict, total=False):
    """The keyword arguments of ServerError, for the classes that have more of them."""

    status: str
    details: str
    trailers: Mapping[str, str | bytes] | None
    address: str
    applied: bool | None


class ExpectedPositionError(ServerError):
    """The last event of the stream is not at ``expected_position``. Nothing was written or deleted.

    Attributes:
        stream_name (str): The name of the stream.
        expected (int | StreamState | None): The ``expected_position`` of the call.
        actual (int | None): The stream position of the last event, or None if the stream has no events.
    """

    def __init__(
        self,
        message: str,
        *,
        stream_name: str,
        expected: object,
        actual: int | None,
        status: str = "OK",
        details: str = "",
        trailers: Mapping[str, str | bytes] | None = None,
        address: str = "",
        applied: bool | None = False,
    ) -> None:
        super().__init__(message, status=status, details=details, trailers=trailers, address=address, applied=applied)
        self.stream_name = stream_name
        self.expected = expected
        self.actual = actual


class StreamNotFoundError(ServerError):
    """The stream has no events: it was never written, or it was deleted and not written again since.

    Attributes:
        stream_name (str): The name of the stream.
    """

    def __init__(self, message: str, *, stream_name: str = "", **arguments: Unpack[_ServerErrorArguments]) -> None:
        super().__init__(message, **arguments)
        self.stream_name = stream_name


class StreamDeletedError(ServerError):
    """The stream was tombstoned. It can never be read or written again.

    An append with ``StreamState.EXISTS`` to a stream that was deleted, but not tombstoned, gets the same error from the
    server.

    Attributes:
        stream_name (str): The name of the stream.
    """

    def __init__(self, message: str, *, stream_name: str = "", **arguments: Unpack[_ServerErrorArguments]) -> None:
        super().__init__(message, **arguments)
        self.stream_name = stream_name


class ServerTooLargeError(ServerError, TooLargeError):
    """An append exceeds a limit of the server. Nothing was written.

    Attributes:
        limit (int | None): The limit of the server in bytes, or None if the server did not tell it.
        size (int | None): The size in bytes that exceeded the limit, or None if the server did not tell it.
    """

    def __init__(
        self,
        message: str,
        *,
        limit: int | None = None,
        size: int | None = None,
        **arguments: Unpack[_ServerErrorArguments],
    ) -> None:
        ServerError.__init__(self, message, **arguments)
        self.limit = limit
        self.size = size


class InvalidPositionError(ServerError):
    """The commit position of a read or subscription is not the position of an event."""


class InvalidRequestError(ServerError):
    """The server could not handle the request, for example because of a regular expression that it cannot parse."""


class AccessDeniedError(ServerError):
    """The user has no right to do this."""


class UnauthenticatedError(ServerError):
    """The user name or password is not valid."""


class NotLeaderError(ServerError):
    """The call needs the leader of the cluster, and this node is not the leader.

    Attributes:
        leader (tuple[str, int] | None): Host and port of the leader, or None if the node does not know them.
    """

    def __init__(
        self, message: str, *, leader: tuple[str, int] | None = None, **arguments: Unpack[_ServerErrorArguments]
    ) -> None:
        super().__init__(message, **arguments)
        self.leader = leader


class UnavailableError(ServerError):
    """The node cannot be reached, the connection was lost, or the node is not ready.

    If the connection was lost during a call that writes, the server may or may not have written. ``applied`` is False
    if it certainly has not. It is safe to repeat an append with the same events and the same exact expected position,
    because the server recognises the ids of the events.

    Attributes:
        final (bool): True if there is no connection, and another attempt would fail in the same way: a certificate or
            a setting is wrong, or the port belongs to something else.
    """

    final: bool = False


class DeadlineExceededError(ServerError, trio.TooSlowError):
    """The ``timeout`` of the call expired, or the server reports that a deadline expired. Also a ``trio.TooSlowError``.

    You do *not* get this error when the deadline of your own cancel scope expires. In that case the scope cancels the
    call, as it would cancel anything else, and ``trio.fail_after`` raises its own ``trio.TooSlowError``.
    """


class ResourceExhaustedError(ServerError):
    """A limit was exceeded: a message is larger than ``max_message_size``, or the server refuses more calls."""


class AbortedError(ServerError):
    """The server gave up the call, for example because its cluster did not confirm a write in time.

    A write that failed with this error may still have been done.
    """


class ConsumerTooSlowError(AbortedError):
    """The server ended a subscription because its consumer was too slow.

    Subscribe again from the last position that you handled. Only servers before version 24.2 do this; newer ones wait
    for the consumer.
    """


class UnimplementedError(ServerError):
    """The server does not know this call: its version does not have it, or the feature is switched off."""


class ProtocolError(ServerError):
    """The peer violated HTTP/2 or gRPC, or it sent a message that cannot be decoded."""


class PositionLostError(ServerError):
    """The database does not hold the position any more after which a subscription was to be resumed.

    The database was replaced, or restored from a backup that is older. What it holds now is not what the subscription
    has given so far. Subscribe again from a position that it holds, or from the start.

    Attributes:
        position (int | Checkpoint | None): The position: a stream position, or a place in the log of all streams.
    """

    def __init__(self, message: str, *, position: object = None, **arguments: Unpack[_ServerErrorArguments]) -> None:
        super().__init__(message, **arguments)
        self.position: Any = position


class DiscoveryError(UnavailableError):
    """No node of the cluster could be found that does what is wanted. Nothing was sent to any, so nothing was written.

    The message lists each address that was asked, with its own reason. The client can be used afterwards: the next call
    searches again.

    Attributes:
        candidates (Mapping[str, str]): Each address that was asked in the last attempt, and what came of it.
    """

    def __init__(
        self,
        message: str,
        *,
        candidates: Mapping[str, str] | None = None,
        status: str = "UNAVAILABLE",
        details: str = "",
        trailers: Mapping[str, str | bytes] | None = None,
        address: str = "",
        applied: bool | None = False,
    ) -> None:
        super().__init__(message, status=status, details=details, trailers=trailers, address=address, applied=applied)
        self.candidates: Mapping[str, str] = dict(candidates or {})


class GroupError(ServerError):
    """A call that is about a persistent subscription failed. The subclasses say why.

    Attributes:
        group_name (str): The name of the group.
        stream_name (str | None): The stream that the group reads; None for all streams.
    """

    def __init__(
        self,
        message: str,
        *,
        group_name: str = "",
        stream_name: str | None = None,
        **arguments: Unpack[_ServerErrorArguments],
    ) -> None:
        super().__init__(message, **arguments)
        self.group_name = group_name
        self.stream_name = stream_name


class SubscriptionExistsError(GroupError):
    """There is a persistent subscription of this name already."""


class SubscriptionNotFoundError(GroupError):
    """There is no persistent subscription of this name."""


class MaximumSubscribersError(GroupError):
    """The group has as many consumers as its ``max_subscriber_count`` allows."""


class SubscriptionDroppedError(GroupError):
    """The server ended the call of a consumer: the group was changed or deleted, or another node leads now."""


class SubscriptionFailedError(GroupError):
    """The server cannot do this with the group.

    Attributes:
        reason (str): Why, in the server's words.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        group_name: str = "",
        stream_name: str | None = None,
        **arguments: Unpack[_ServerErrorArguments],
    ) -> None:
        super().__init__(message, group_name=group_name, stream_name=stream_name, **arguments)
        self.reason = reason


def _rebuild(kind: type[ESDBError], args: tuple[Any, ...], state: dict[str, Any]) -> ESDBError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
