"""Appending events, deleting streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import trio

from trio_esdb._convert import append_options, delete_request, delete_response, proposed_message
from trio_esdb._errors import (
    ExpectedPositionError,
    InvalidArgumentError,
    InvalidTypeError,
    StreamNotFoundError,
    TooLargeError,
)
from trio_esdb._model import AppendResult, Credentials, NewEvent, RetryPolicy
from trio_esdb._rpc import CallKind, Method, Operation

from ._append_result import append_kind, append_result
from ._area import Area
from ._arguments import (
    ExpectedPosition,
    check_expected,
    check_how,
    check_stream_name,
    check_timeout,
)

MESSAGE_LIMIT = 16_767_216
"""The largest message that the Streams service of a server takes, in bytes; an event is one message."""

_WORK_OF_AN_EVENT = 4096
"""Encoding an event takes about as long as copying this number of bytes."""
_WORK_OF_A_TURN = 8 * 1024 * 1024
"""Bytes. Other tasks run after each turn; a turn takes some milliseconds."""


class WritingArea(Area):
    """Calls that change streams."""

    async def append_events(
        self,
        stream_name: str,
        expected_position: ExpectedPosition,
        events: Iterable[NewEvent],
        timeout: float | None = None,
        *,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AppendResult:
        """Append events to a stream: all of them or none.

        If the connection is lost before the answer came, the client sends the append again where that is safe: the
        server recognises the ids of the events, writes nothing and returns the same result. This is certain if the
        expected position is None or an int. For ``StreamState.ANY`` and ``StreamState.EXISTS`` a server recognises only
        ids of recent appends, so these are sent again only if they were certainly not done. If the call is cancelled,
        the events may or may not have been written. To append them again yourself, use the same ``NewEvent`` objects
        and the same expected position.

        Args:
            stream_name: The name of the stream.
            expected_position: The stream position of the last event, as the caller knows it. None means that the stream
                has no events. ``StreamState.EXISTS`` means that it has some. ``StreamState.ANY``, or any negative int,
                makes no check.
            events: The events in the order in which they are written. They are taken from the iterable before anything
                is sent.
            timeout: The limit for the call in seconds, including all attempts. None means the ``default_deadline`` of
                the client, ``math.inf`` means no limit but that of the cancel scope.
            retry: Whether the call is sent again if it failed and that is safe. A ``RetryPolicy`` also says how long to
                wait; False leaves only calls that were never sent. None means as the client was told.
            credentials: Who the call is made for. None means as the client was told.

        Returns:
            The commit position of the last event, an int that also has the attribute ``stream_position``.

        Raises:
            ExpectedPositionError: The last event of the stream is at another position. Nothing was written.
            StreamDeletedError: The stream was tombstoned.
            TooLargeError: An event is larger than a message can be, or the append exceeds the limit of the server.
                Nothing was written.
            InvalidArgumentError: An argument is not valid. Nothing was sent.
            DeadlineExceededError: The timeout expired, or the default deadline of the client. The error tells the last
                failure. ``applied`` is False if the events were certainly not written.
            UnavailableError: The connection was lost, and the append must not be sent again because it may have been
                done: see ``applied``.
            UnauthenticatedError: The user name, password or token is not valid.
            AccessDeniedError: The user may not do this, or the call has no credentials.
            ServerError: The call failed for another reason.
        """
        check_stream_name(stream_name)
        if retry is not None or credentials is not None:  # a function call less for each append
            check_how(retry, credentials)
        seconds = check_timeout(timeout)
        expected = check_expected(expected_position)
        messages = [append_options(stream_name, expected), *await _encoded(events)]
        operation = Operation(
            Method.APPEND,
            messages,
            f"appending to stream {stream_name!r}",
            append_kind(expected),
            stream_name,
            expected_position,
            seconds,
            retry,
            credentials,
            leader=True,
        )
        reply = await self._run(operation)
        return append_result(operation, reply, "the stream has no events", "the stream is at {}")

    async def append_event(
        self,
        stream_name: str,
        expected_position: ExpectedPosition,
        event: NewEvent,
        timeout: float | None = None,
        *,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AppendResult:
        """Append one event to a stream.

        Args:
            stream_name: The name of the stream.
            expected_position: As for ``append_events``.
            event: The event.
            timeout: As for ``append_events``.
            retry: As for ``append_events``.
            credentials: As for ``append_events``.

        Returns:
            The commit position of the event, an int that also has the attribute ``stream_position``.

        Raises:
            ESDBError: As for ``append_events``.
        """
        if not isinstance(event, NewEvent):
            raise InvalidTypeError(f"event must be a NewEvent, not {type(event).__name__}")
        return await self.append_events(
            stream_name, expected_position, (event,), timeout, retry=retry, credentials=credentials
        )

    async def delete_stream(
        self,
        stream_name: str,
        expected_position: ExpectedPosition,
        timeout: float | None = None,
        *,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> int:
        """Delete a stream so that it can be written again.

        Its events become hidden. If the stream is written again, the next event gets the next stream position.

        Args:
            stream_name: The name of the stream.
            expected_position: As for ``append_events``.
            timeout: As for ``append_events``.
            retry: As for ``append_events``. A server does not recognise a deletion that it is sent twice, so one that
                may have been done is never sent again.
            credentials: As for ``append_events``.

        Returns:
            The commit position of the deletion, or -1 if the server does not tell it.

        Raises:
            StreamNotFoundError: The stream has no events, and ``expected_position`` is not a position.
            ExpectedPositionError: The last event of the stream is at another position. Nothing was deleted.
            StreamDeletedError: The stream was tombstoned.
            ESDBError: As for ``append_events``.
        """
        return await self._delete(
            Method.DELETE, "deleting", stream_name, expected_position, timeout, retry, credentials
        )

    async def tombstone_stream(
        self,
        stream_name: str,
        expected_position: ExpectedPosition,
        timeout: float | None = None,
        *,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> int:
        """Delete a stream for ever. It can never be read or written again.

        A stream that does not exist can be tombstoned too, with ``StreamState.ANY`` or None.

        Args:
            stream_name: The name of the stream. It must not begin with ``$$``: a server that is asked to delete a
                stream whose metadata stream was tombstoned shuts itself down.
            expected_position: As for ``append_events``.
            timeout: As for ``append_events``.
            retry: As for ``append_events``. A server does not recognise a deletion that it is sent twice, so one that
                may have been done is never sent again.
            credentials: As for ``append_events``.

        Returns:
            The commit position of the tombstone, or -1 if the server does not tell it.

        Raises:
            StreamNotFoundError: The stream has no events, and ``expected_position`` is ``StreamState.EXISTS``.
            ExpectedPositionError: The last event of the stream is at another position. Nothing was deleted.
            StreamDeletedError: The stream was tombstoned before.
            ESDBError: As for ``append_events``.
        """
        if isinstance(stream_name, str) and stream_name.startswith("$$"):
            raise InvalidArgumentError(
                f"stream_name must not begin with $$: {stream_name!r} is the metadata of a stream, and a server that "
                "has tombstoned it shuts itself down when the stream is deleted"
            )
        return await self._delete(
            Method.TOMBSTONE, "tombstoning", stream_name, expected_position, timeout, retry, credentials
        )

    async def _delete(
        self,
        method: Method,
        verb: str,
        stream_name: str,
        expected_position: ExpectedPosition,
        timeout: float | None,
        retry: RetryPolicy | bool | None,
        credentials: Credentials | None,
    ) -> int:
        check_stream_name(stream_name)
        check_how(retry, credentials)
        seconds = check_timeout(timeout)
        expected = check_expected(expected_position)
        operation = Operation(
            method,
            [delete_request(stream_name, expected)],
            f"{verb} stream {stream_name!r}",
            CallKind.OTHER_WRITE,
            stream_name,
            expected_position,
            seconds,
            retry,
            credentials,
            leader=True,
        )
        try:
            reply = await self._run(operation)
        except ExpectedPositionError as exc:
            if exc.actual is None and expected < 0:
                raise operation.error(
                    StreamNotFoundError,
                    "there is no such stream",
                    exc.address,
                    stream_name=stream_name,
                    status=exc.status,
                    details=exc.details,
                    trailers=exc.trailers,
                    applied=exc.applied,
                ) from None
            raise
        position = operation.understood(delete_response, reply)
        return -1 if position is None else position


async def _encoded(events: Iterable[NewEvent]) -> list[bytes]:
    """The message of each event. Other tasks run in between. Nothing is sent before all messages are encoded."""
    if type(events) is not tuple:
        if isinstance(events, NewEvent):
            raise InvalidTypeError("events must be an iterable of NewEvent; for a single one there is append_event()")
        if not isinstance(events, Iterable) or isinstance(events, str | bytes):
            raise InvalidTypeError(f"events must be an iterable of NewEvent, not {type(events).__name__}")
        if not isinstance(events, Iterator):
            events = list(events)  # which other tasks might change
    messages: list[bytes] = []
    work = 0
    for event in events:
        if not isinstance(event, NewEvent):
            raise InvalidTypeError(f"events must hold NewEvent, not {type(event).__name__}")
        message = proposed_message(event)
        size = len(message)
        if size > MESSAGE_LIMIT:
            raise TooLargeError(
                f"event {event.id} of type {event.type!r} takes {size} bytes, a message holds at most {MESSAGE_LIMIT}",
                limit=MESSAGE_LIMIT,
                size=size,
            )
        messages.append(message)
        work += _WORK_OF_AN_EVENT + size
        if work > _WORK_OF_A_TURN:
            work = 0
            await trio.lowlevel.checkpoint()
    return messages
