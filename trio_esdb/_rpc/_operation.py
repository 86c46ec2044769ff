"""One call as a value: what is sent, how long it may take, and what its errors say.

An operation is made once, from checked arguments, and goes down whole: the session sends its requests, and whoever
finds that it failed asks it for the error. So every error of a call is worded in this file or in ``_error_table``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from trio_esdb._errors import DeadlineExceededError, ProtocolError, ResourceExhaustedError, ServerError
from trio_esdb._model import Credentials, RetryPolicy, ServerVersion
from trio_esdb._observing import CallInfo

from ._methods import Method
from ._policy import CallKind

T = TypeVar("T")
E = TypeVar("E", bound=ServerError)


class Reply(NamedTuple):
    """The response of a call that has one, and the node that sent it."""

    message: bytes
    address: str
    unsure: bool = False
    """Whether an earlier attempt of a write may have been done."""


class Requirement(NamedTuple):
    """What a server must be to do a call, and what it needs to be that for."""

    version: ServerVersion
    feature: str


class Operation(NamedTuple):
    """One call. It can be sent any number of times, and is the same each time."""

    method: Method
    requests: Sequence[bytes]
    """The request messages, encoded."""
    doing: str
    """What the call is for, as errors say it: ``"appending to stream 's'"``."""
    kind: CallKind
    """What the policy for trouble must know of it."""
    stream_name: str = ""
    expected: object = None
    """The expected position as the caller gave it."""
    timeout: float | None = None
    """The caller's own limit in seconds. None if there is none, so the client's default counts if the kind has one."""
    retry: RetryPolicy | bool | None = None
    """Whether and how it is repeated. None is as the client was told."""
    credentials: Credentials | None = None
    """Who it is made for, if not for whom the client's calls are made."""
    from_position: bool = False
    """The caller named a position in the log of all events."""
    own_patterns: bool = False
    """The caller gave regular expressions."""
    requires: Requirement | None = None
    """What the server must be. It is asked for its version only if this is given."""
    leader: bool = False
    """Only the leader of a cluster can do it, so it goes there whatever node is preferred for other calls."""
    largest_reply: int | None = None
    """Bytes that the answer may have, if that is not the usual. Only for calls with one answer."""
    consumer_name: str = ""
    """For a consumer of a group: the ``connection-name`` of its call, by which the server tells of it."""
    call: CallInfo | None = None
    """The call as instruments know it; None if there are none."""

    @property
    def endless(self) -> bool:
        """True for a subscription: the caller's cancel scope limits only how long opening it takes."""
        return self.kind is CallKind.SUBSCRIPTION or self.kind is CallKind.GROUP

    def error(self, kind: type[E], text: str, address: str, *, status: str, where: str = "", **facts: Any) -> E:
        """An error of this class. ``where`` is what stands before the address in the brackets."""
        return kind(f"{self.doing}: {text} [{where}{address}]", status=status, address=address, **facts)

    def overdue(self, address: str, tried: str = "", *, applied: bool | None = None) -> DeadlineExceededError:
        """The error for a call whose timeout has passed. ``tried`` tells of attempts that failed before."""
        text = f"the timeout passed{tried}"
        return self.error(DeadlineExceededError, text, address, status="DEADLINE_EXCEEDED", applied=applied)

    def unexpected(self, found: str) -> str:
        """The text for an expected position that is not the actual one."""
        return f"{found}, but expected_position={self.expected!r}"

    def headers_refused(self, reason: Exception, address: str) -> ResourceExhaustedError:
        """The error for request headers that the server would not take; nothing was sent."""
        return self.error(ResourceExhaustedError, str(reason), address, status="RESOURCE_EXHAUSTED", applied=False)

    def understood(self, convert: Callable[[bytes], T], reply: Reply) -> T:
        """What a response means; ProtocolError if it has no meaning."""
        try:
            return convert(reply.message)
        except ProtocolError as exc:
            raise self.error(ProtocolError, str(exc), reply.address, status=exc.status) from exc.__cause__
