"""Every exception that trio_esdb raises on purpose.

All are ``ESDBError``. Those that a server's answer caused are ``ServerError`` and keep what the server said: status,
details, trailers and the node's address. Bad arguments are refused before anything is sent, by ``InvalidArgumentError``
(also a ``ValueError``) and ``InvalidTypeError`` (also a ``TypeError``). What trio itself raises stays as it is:
``trio.Cancelled`` when the caller's scope is cancelled, ``trio.ClosedResourceError`` after closing,
``trio.EndOfChannel`` at the end of a read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio


class ESDBError(Exception):
    """Base of all errors of this library. They can be copied and pickled, as test runners do with them."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class InvalidArgumentError(ESDBError, ValueError):
    """An argument cannot be used; nothing was sent. The message names the argument and what is wrong with it."""


class InvalidTypeError(InvalidArgumentError, TypeError):
    """An argument has the wrong type; nothing was sent."""


class InvalidMetadataError(ESDBError):
    """The metadata of a stream is not a JSON object; ``data`` holds the bytes that are there instead."""

    def __init__(self, message: str, *, data: bytes) -> None:
        super().__init__(message)
        self.data = data


class TooLargeError(ESDBError):
    """Events are too large to be appended; nothing was written.

    ``limit`` is the size in bytes that was exceeded and ``size`` what was too large, where they are known. Raised
    before anything is sent for what cannot fit one message, and for a server's own limit on an append or an event
    (then it is a ``ServerTooLargeError``, which also keeps what the server said).
    """

    def __init__(self, message: str, *, limit: int | None = None, size: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.size = size


class ServerError(ESDBError):
    """A call failed.

    ``status`` is the gRPC status code's name (``"FAILED_PRECONDITION"``), ``details`` the server's text, ``trailers``
    the metadata that came with it (text, or bytes for keys that end in ``-bin``), ``address`` the node's address.
    You get this class itself for a status that no class below stands for.
    """

    def __init__(
        self,
        message: str,
        *,
        status: str = "UNKNOWN",
        details: str = "",
        trailers: Mapping[str, str | bytes] | None = None,
        address: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.details = details
        self.trailers: Mapping[str, str | bytes] = dict(trailers or {})
        self.address = address


class ExpectedPositionError(ServerError):
    """The stream is not where ``expected_position`` said; nothing was written or deleted.

    ``stream_name``; ``expected`` as it was given (``None``, a number or a ``StreamState``); ``actual`` is the number of
    the stream's last event, None if the stream has none.
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
    ) -> None:
        super().__init__(message, status=status, details=details, trailers=trailers, address=address)
        self.stream_name = stream_name
        self.expected = expected
        self.actual = actual


class StreamNotFoundError(ServerError):
    """There is no such stream: never written, or deleted and not written since. ``stream_name`` names it."""

    stream_name: str = ""


class StreamDeletedError(ServerError):
    """The stream was tombstoned; it can never be read or written again. ``stream_name`` names it.

    A server also says this to ``StreamState.EXISTS`` on a stream that is deleted but not tombstoned.
    """

    stream_name: str = ""


class ServerTooLargeError(ServerError, TooLargeError):
    """An append is larger than the server takes; nothing was written. ``limit`` is the server's, in bytes."""

    limit: int | None = None
    size: int | None = None


class InvalidPositionError(ServerError):
    """A commit position that is not the place of an event, or lies beyond the end of the log."""


class InvalidRequestError(ServerError):
    """The server refused the request itself (INVALID_ARGUMENT, or it failed on it)."""


class AccessDeniedError(ServerError):
    """The credentials do not give the right to do this."""


class UnauthenticatedError(ServerError):
    """The credentials are not valid."""


class NotLeaderError(ServerError):
    """The node is not the leader, and the call needs it.

    ``leader`` is the leader's ``(host, port)``, None where the node does not know it.
    """

    leader: tuple[str, int] | None = None


class UnavailableError(ServerError):
    """The node cannot be reached, the connection broke, or the node is not ready.

    If the connection broke during a call that writes, it is not known whether the server did it; an append can be
    repeated with the same events (same ids) without writing them twice.
    """


class DeadlineExceededError(ServerError, trio.TooSlowError):
    """The ``timeout`` of the call passed, or the server says that its deadline did. Also a ``trio.TooSlowError``.

    You do *not* get this when your own cancel scope's deadline passes: that scope cancels the call as it would any
    other, and ``trio.fail_after`` raises its own ``trio.TooSlowError``.
    """


class ResourceExhaustedError(ServerError):
    """A limit was reached: a message larger than this client takes (``max_message_size``), or a server's patience."""


class AbortedError(ServerError):
    """The server gave the call up, as for a write that its cluster did not confirm in time."""


class ConsumerTooSlowError(AbortedError):
    """A server of 23.10 or older ended a subscription whose consumer did not keep up; subscribe again from the last
    position that you handled. Newer servers catch up by themselves.
    """


class UnimplementedError(ServerError):
    """The server does not have this call: it is too old, too new, or the feature is switched off."""


class ProtocolError(ServerError):
    """The peer does not speak gRPC over HTTP/2 as it should, or sent a message that cannot be understood."""


def _rebuild(kind: type[ESDBError], args: tuple[Any, ...], state: dict[str, Any]) -> ESDBError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
