"""Calls with exactly one request."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

import betterproto2
import trio

from trio_esdb._protobuf import Malformed
from trio_esdb._protobuf_messages import decode
from trio_esdb._transport._handlers import Later, Never, ServerCall, SyncHandler
from trio_esdb_proto.event_store.client import Empty

from ._access import Check, require_anybody
from ._failures import additional_data, handler_failed, incomplete_message, message_too_large

SMALL_MESSAGE = 4 * 1024 * 1024
"""The largest request of every service but Streams, whose limit is the connection's."""

M = TypeVar("M", bound=betterproto2.Message)


def answered_by(
    respond: Callable[[bytes, ServerCall], bytes | Later | Never], *, limit: int | None = SMALL_MESSAGE
) -> SyncHandler:
    """A handler with one request and one response.

    Args:
        respond: Makes the response from the request and its call. It may raise Failure.
        limit: The largest request in bytes; None for the limit of the connection.
    """

    def run(call: ServerCall) -> Generator[None, bytes | None, bytes | Later | Never]:
        request = yield
        if request is None:
            raise incomplete_message()
        if limit is not None and len(request) > limit:
            raise message_too_large()
        if (yield) is not None:
            raise additional_data()
        return respond(request, call)

    return SyncHandler(run)


def always_answered(respond: Callable[[], bytes], check: Check = require_anybody) -> SyncHandler:
    """A handler whose response does not depend on the request, which must be a protobuf message all the same.

    Args:
        respond: Makes the response. It may raise Failure.
        check: Raises Failure if the caller may not call the method.
    """

    def respond_to(request: bytes, call: ServerCall) -> bytes:
        check(call.caller)
        parse(Empty, request)
        return respond()

    return answered_by(respond_to)


def unanswered() -> SyncHandler:
    """A handler of calls that get no answer, whatever they ask for."""
    return answered_by(lambda request, call: Never())


async def only_request(call: ServerCall) -> bytes:
    """The request of a call that has one.

    Raises:
        Failure: The client sent no request, or more than one.
    """
    try:
        request = await call.receive()
    except trio.EndOfChannel:
        raise incomplete_message() from None
    try:
        await call.receive()
    except trio.EndOfChannel:
        return request
    raise additional_data()


FIELD_LIMIT = 10_000
"""The number of fields that a request of one message may have."""


def parse(message: type[M], data: bytes) -> M:
    """Decode a request.

    Raises:
        Failure: It cannot be decoded.
    """
    try:
        return decode(message, data, limit=FIELD_LIMIT)
    except Malformed:
        raise handler_failed() from None
