"""What every API area shares: the session, checked arguments, one call from beginning to end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

import trio

from trio_esdb._cluster import Session
from trio_esdb._convert import ANY, EXISTS, NO_LIMIT, NO_STREAM, WrongRevision, append_response
from trio_esdb._errors import (
    DeadlineExceededError,
    ESDBError,
    ExpectedPositionError,
    InvalidArgumentError,
    InvalidTypeError,
    ProtocolError,
    ResourceExhaustedError,
)
from trio_esdb._model import AppendResult, StreamState
from trio_esdb._rpc import Method, error_from
from trio_esdb._transport import ClientLink, RequestHeaders, StreamingCall
from trio_esdb._wire import HeadersTooLarge, Outcome, Status

T = TypeVar("T")
ExpectedPosition = int | StreamState | None

_MAX_NUMBER = 2**63 - 1
_SOON = 1.0
"""A server that says the deadline has passed is believed up to this many seconds before it has passed here."""


class Area:
    """Base of the API areas. They know the session and nothing of each other."""

    _open_session: Session | None

    @property
    def _session(self) -> Session:
        if self._open_session is None:
            raise ESDBError("the client is not open: use it in `async with ESDBClient(...) as client:`")
        return self._open_session

    async def _unary(
        self, method: Method, messages: Sequence[bytes], *, timeout: float | None, doing: str, stream_name: str
    ) -> bytes:
        """The response of a call; DeadlineExceededError after ``timeout`` seconds, else what the server's end means."""
        if timeout is None:
            return await self._call(method, messages, doing, stream_name)
        with trio.move_on_after(timeout):
            return await self._call(method, messages, doing, stream_name)
        raise overdue(doing, self._session.address)

    async def _call(self, method: Method, messages: Sequence[bytes], doing: str, stream_name: str) -> bytes:
        session = self._session
        link = await session.link()
        try:
            reply, outcome = await link.unary(request_headers(method, session.address), messages)
        except HeadersTooLarge as exc:
            raise headers_refused(exc, doing, session.address) from None
        if outcome.status is Status.OK:
            return reply
        if session.closed:
            raise trio.ClosedResourceError("the client was closed during the call")
        await let_the_scope_speak(outcome)
        raise error_from(outcome, address=link.address, doing=doing, stream_name=stream_name)

    async def _append(
        self,
        messages: Sequence[bytes],
        expected_position: ExpectedPosition,
        *,
        timeout: float | None,
        doing: str,
        stream_name: str,
        standing: Callable[[int | None], str],
    ) -> AppendResult:
        """What an append did; in ExpectedPositionError ``standing`` tells where the stream is, by its last number."""
        reply = await self._unary(Method.APPEND, messages, timeout=timeout, doing=doing, stream_name=stream_name)
        result = self._understood(append_response, reply, doing)
        if isinstance(result, WrongRevision):
            address = self._session.address
            raise ExpectedPositionError(
                f"{doing}: {standing(result.actual)}, not as expected_position={expected_position!r} says [{address}]",
                stream_name=stream_name,
                expected=expected_position,
                actual=result.actual,
                address=address,
            )
        return result

    async def _stream(
        self, method: Method, message: bytes, deadline: float, doing: str, *, endless: bool
    ) -> StreamingCall:
        """Open a call with many responses.

        The server is told of the caller's scope, too, unless the call is endless: a scope that is there only to bound
        how long opening takes must not end a subscription that outlives it.
        """
        session = self._session
        await trio.lowlevel.checkpoint()
        link = await (session.link() if deadline == math.inf else self._link_before(deadline, doing))
        if not endless:
            deadline = min(deadline, trio.current_effective_deadline())
        try:
            return link.stream(request_headers(method, session.address), [message], deadline=deadline)
        except HeadersTooLarge as exc:
            raise headers_refused(exc, doing, session.address) from None

    async def _link_before(self, deadline: float, doing: str) -> ClientLink:
        with trio.CancelScope(deadline=deadline):
            await trio.lowlevel.checkpoint_if_cancelled()
            return await self._session.link()
        raise overdue(doing, self._session.address)

    def _understood(self, convert: Callable[[bytes], T], reply: bytes, doing: str) -> T:
        """What a response means; ProtocolError says where a response came from that has no meaning."""
        try:
            return convert(reply)
        except ProtocolError as exc:
            address = self._session.address
            raise ProtocolError(f"{doing}: {exc} [{address}]", status=exc.status, address=address) from exc.__cause__


def overdue(doing: str, address: str) -> DeadlineExceededError:
    """The error for a call whose own timeout has passed."""
    return DeadlineExceededError(
        f"{doing}: the timeout passed [{address}]", status="DEADLINE_EXCEEDED", address=address
    )


def headers_refused(exc: HeadersTooLarge, doing: str, address: str) -> ResourceExhaustedError:
    """The error for request headers that the server would not take; nothing was sent."""
    return ResourceExhaustedError(f"{doing}: {exc} [{address}]", status="RESOURCE_EXHAUSTED", address=address)


async def let_the_scope_speak(outcome: Outcome) -> None:
    """A server found the deadline passed just before the caller's own scope does: then that scope is to say so."""
    if outcome.status is Status.DEADLINE_EXCEEDED:
        deadline = trio.current_effective_deadline()
        if deadline - trio.current_time() <= _SOON:
            await trio.sleep_until(deadline)


@lru_cache(maxsize=256)
def request_headers(method: Method, authority: str) -> RequestHeaders:
    """The headers of a call: the same object for the same kind of call, which is what makes them cheap to send."""
    return (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method.value),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "trio-esdb"),
        ("requires-leader", "true"),
    )


def check_stream_name(stream_name: str) -> str:
    """A usable stream name."""
    if not isinstance(stream_name, str):
        raise InvalidTypeError(f"stream_name must be a str, not {type(stream_name).__name__}")
    if not stream_name:
        raise InvalidArgumentError("stream_name must not be empty")
    try:
        stream_name.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"stream_name must be encodable as UTF-8: {stream_name!r}") from None
    return stream_name


def check_expected(expected_position: ExpectedPosition) -> int:
    """An expected position as servers count them inside: a number, or one of three negative ones."""
    if expected_position is None or expected_position is StreamState.NO_STREAM:
        return NO_STREAM
    if expected_position is StreamState.ANY:
        return ANY
    if expected_position is StreamState.EXISTS:
        return EXISTS
    if isinstance(expected_position, AppendResult):
        raise InvalidTypeError(
            "expected_position must be a position in the stream, not the result of an append, which is a commit "
            f"position; give its stream_position, {expected_position.stream_position}"
        )
    if not isinstance(expected_position, int) or isinstance(expected_position, bool):
        raise InvalidTypeError(
            f"expected_position must be None, an int or a StreamState, not {type(expected_position).__name__}"
        )
    if expected_position > _MAX_NUMBER:
        raise InvalidArgumentError(f"expected_position must be at most {_MAX_NUMBER}, not {expected_position}")
    return ANY if expected_position < 0 else int(expected_position)


def check_limit(limit: int | None) -> int:
    """A usable limit, as the count that is sent; None is no limit."""
    if limit is None:
        return NO_LIMIT
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise InvalidTypeError(f"limit must be an int, not {type(limit).__name__}")
    if limit < 1:
        raise InvalidArgumentError(f"limit must be at least 1, not {limit}")
    return min(limit, NO_LIMIT)


def check_position(name: str, position: int | None) -> int | None:
    """A usable position to read from."""
    if position is None:
        return None
    if not isinstance(position, int) or isinstance(position, bool):
        raise InvalidTypeError(f"{name} must be an int or None, not {type(position).__name__}")
    if not 0 <= position <= _MAX_NUMBER:
        raise InvalidArgumentError(f"{name} must be from 0 to {_MAX_NUMBER}, not {position}")
    return int(position)


def check_timeout(timeout: float | None) -> float:
    """A usable timeout in seconds; None is infinite."""
    if timeout is None:
        return math.inf
    if not isinstance(timeout, int | float) or isinstance(timeout, bool):
        raise InvalidTypeError(f"timeout must be a number of seconds, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise InvalidArgumentError(f"timeout must not be negative, it is {timeout}")
    return timeout
