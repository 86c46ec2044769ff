"""Reading what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from trio_esdb._errors import StreamNotFoundError
from trio_esdb._model import DEFAULT_EXCLUDE_FILTER, Checkpoint, Credentials, RecordedEvent, RetryPolicy, make_filter
from trio_esdb._rpc import CallKind, Method, Operation

from ._area import Area
from ._arguments import (
    check_commit_position,
    check_how,
    check_limit,
    check_stream_name,
    check_stream_position,
    check_timeout,
    has_own_patterns,
)
from ._channel import EventChannel, all_of
from ._position import ReadOptions


class ReadingArea(Area):
    """Calls that read and come to an end."""

    def read_stream_events(
        self,
        stream_name: str,
        stream_position: int | RecordedEvent | None = None,
        backwards: bool = False,
        limit: int | None = None,
        timeout: float | None = None,
        *,
        resolve_links: bool = False,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AbstractAsyncContextManager[EventChannel[RecordedEvent]]:
        """Read the events of a stream: ``async with client.read_stream_events("order-1") as events``.

        The read is not a snapshot. Events that are appended while it runs may be part of it. A position after the last
        event gives no events. If the connection is lost, the read goes on after the last event that was received, over
        a new connection.

        Args:
            stream_name: The name of the stream.
            stream_position: The position of the first event to read, which is included: an int, or an event that was
                read from this stream. None means the first event of the stream, or the last one if ``backwards`` is
                true.
            backwards: Whether to read from later to earlier events.
            limit: The greatest number of events, at least 1. None means no limit.
            timeout: The limit for the whole read in seconds, including the time that the consumer takes.
            resolve_links: Whether a link is replaced by the event that it points to.
            retry: Whether the read goes on by a new call if it was interrupted. A ``RetryPolicy`` also says how long to
                wait between attempts. False raises the error instead, so that all events come from one call and one
                node. None means as the client was told.
            credentials: Who the call is made for. None means as the client was told.

        Returns:
            An async context manager that gives an ``EventChannel``. Entering it starts the read, and leaving it ends
            the read at once.

        Raises:
            InvalidArgumentError: An argument is not valid.
            StreamNotFoundError: The stream has no events (raised by the channel).
            StreamDeletedError: The stream was tombstoned (raised by the channel).
            DeadlineExceededError: The timeout expired (raised by the channel).
            UnavailableError: The node cannot be reached (when the block is entered), or the connection was lost (raised
                by the channel).
            ServerError: The read failed for another reason (raised by the channel).
        """
        check_stream_name(stream_name)
        check_how(retry, credentials)
        position = check_stream_position(stream_position, stream_name)
        options = ReadOptions(stream_name, position, bool(backwards), bool(resolve_links), check_limit(limit))
        operation = Operation(
            Method.READ,
            [options.request()],
            f"reading stream {stream_name!r}",
            CallKind.READ,
            stream_name,
            timeout=check_timeout(timeout),
            retry=retry,
            credentials=credentials,
        )
        return self._open(operation, options)

    async def get_stream_events(
        self,
        stream_name: str,
        stream_position: int | RecordedEvent | None = None,
        backwards: bool = False,
        limit: int | None = None,
        timeout: float | None = None,
        *,
        resolve_links: bool = False,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> tuple[RecordedEvent, ...]:
        """Read the events of a stream and return all of them at once.

        Args:
            stream_name: The name of the stream.
            stream_position: As for ``read_stream_events``.
            backwards: Whether to read from later to earlier events.
            limit: The greatest number of events, at least 1. None means no limit.
            timeout: The limit for the call in seconds.
            resolve_links: Whether a link is replaced by the event that it points to.
            retry: As for ``read_stream_events``.
            credentials: As for ``read_stream_events``.

        Returns:
            The events, in the order in which they were read.

        Raises:
            ESDBError: As for ``read_stream_events``.
        """
        async with self.read_stream_events(
            stream_name,
            stream_position,
            backwards,
            limit,
            timeout,
            resolve_links=resolve_links,
            retry=retry,
            credentials=credentials,
        ) as events:
            return tuple(await all_of(events))

    def read_all_events(
        self,
        commit_position: int | Checkpoint | RecordedEvent | None = None,
        backwards: bool = False,
        filter_exclude: Sequence[str] = DEFAULT_EXCLUDE_FILTER,
        filter_include: Sequence[str] = (),
        limit: int | None = None,
        timeout: float | None = None,
        *,
        resolve_links: bool = False,
        filter_by_stream_name: bool = False,
        filter_by_prefix: bool = False,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AbstractAsyncContextManager[EventChannel[RecordedEvent]]:
        """Read the events of all streams, in the order in which they were recorded.

        Without arguments it gives all events but those of the server itself, whose types begin with ``$``. The server
        filters: if ``filter_include`` has patterns, it gives the events that match at least one of them, else the
        events that match none of ``filter_exclude``. A pattern is a regular expression of .NET that must match the
        whole type.

        Args:
            commit_position: The position to read from: an int, a ``Checkpoint``, or an event. An int must be the
                position of an event or checkpoint, or the result of an append. Forwards, the event at this position is
                included; backwards, it is not. None means the first event, or the last one if ``backwards`` is true.
                From a position beyond the end of the log, reading forwards gives no events.
            backwards: Whether to read from later to earlier events.
            filter_exclude: Patterns of the events to leave out. ``()`` leaves out none.
            filter_include: Patterns of the events to give. If it is not empty, ``filter_exclude`` is ignored.
            limit: The greatest number of events that pass the filter, at least 1. None means no limit.
            timeout: The limit for the whole read in seconds, including the time that the consumer takes.
            resolve_links: Whether a link is replaced by the event that it points to.
            filter_by_stream_name: Whether the patterns are for stream names instead of event types.
            filter_by_prefix: Whether the patterns are plain prefixes instead of regular expressions.
            retry: As for ``read_stream_events``.
            credentials: As for ``read_stream_events``.

        Returns:
            An async context manager that gives an ``EventChannel``, as for ``read_stream_events``.

        Raises:
            InvalidArgumentError: An argument is not valid.
            InvalidPositionError: ``commit_position`` is not the position of an event, or it lies beyond the end of the
                log and the read is backwards (raised by the channel).
            InvalidRequestError: The server cannot parse a regular expression (raised by the channel).
            ESDBError: As for ``read_stream_events``.
        """
        position = check_commit_position(commit_position)
        check_how(retry, credentials)
        options = ReadOptions(
            position=position,
            backwards=bool(backwards),
            resolve_links=bool(resolve_links),
            limit=check_limit(limit),
            filter=make_filter(
                exclude=filter_exclude,
                include=filter_include,
                by_stream_name=bool(filter_by_stream_name),
                by_prefix=bool(filter_by_prefix),
            ),
        )
        operation = Operation(
            Method.READ,
            [options.request()],
            "reading all events",
            CallKind.READ,
            timeout=check_timeout(timeout),
            retry=retry,
            credentials=credentials,
            from_position=position is not None,
            own_patterns=has_own_patterns(filter_exclude, filter_include, filter_by_prefix),
        )
        return self._open(operation, options)

    async def get_stream_position(
        self,
        stream_name: str,
        timeout: float | None = None,
        *,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> int | None:
        """Return the stream position of the last event of a stream: the ``expected_position`` of the next append.

        Args:
            stream_name: The name of the stream.
            timeout: The limit for the call in seconds, including all attempts. None means the ``default_deadline`` of
                the client, ``math.inf`` means no limit but that of the cancel scope.
            retry: As for ``read_stream_events``.
            credentials: As for ``read_stream_events``.

        Returns:
            The position, or None if the stream has no events.

        Raises:
            StreamDeletedError: The stream was tombstoned.
            ESDBError: As for ``read_stream_events``.
        """
        check_stream_name(stream_name)
        check_how(retry, credentials)
        options = ReadOptions(stream_name=stream_name, backwards=True, limit=1, tell_last_position=True)
        operation = Operation(
            Method.READ,
            [options.request()],
            f"reading the position of stream {stream_name!r}",
            CallKind.UNARY_READ,
            stream_name,
            timeout=check_timeout(timeout),
            retry=retry,
            credentials=credentials,
        )
        async with self._open(operation, options) as events:
            try:
                found = await all_of(events)
            except StreamNotFoundError:
                return None
            # The number is told even if the stream's metadata hides its last event.
            last = events.last_stream_position
            return found[-1].stream_position if last is None and found else last

    async def get_commit_position(
        self,
        timeout: float | None = None,
        filter_exclude: Sequence[str] = DEFAULT_EXCLUDE_FILTER,
        filter_include: Sequence[str] = (),
        filter_by_stream_name: bool = False,
        *,
        filter_by_prefix: bool = False,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> int:
        """Return the commit position of the last event that passes a filter.

        A subscription with the same filter has caught up when it has come to this position. The filter works as in
        ``read_all_events``.

        Args:
            timeout: As for ``get_stream_position``. With a filter that few events pass, the server may have to look at
                many events, so give it enough time.
            filter_exclude: Patterns of the events to leave out. ``()`` leaves out none.
            filter_include: Patterns of the events to give. If it is not empty, ``filter_exclude`` is ignored.
            filter_by_stream_name: Whether the patterns are for stream names instead of event types.
            filter_by_prefix: Whether the patterns are plain prefixes instead of regular expressions.
            retry: As for ``read_stream_events``.
            credentials: As for ``read_stream_events``.

        Returns:
            The position, or 0 if no event passes the filter.

        Raises:
            ESDBError: As for ``read_all_events``.
        """
        check_how(retry, credentials)
        options = ReadOptions(
            backwards=True,
            limit=1,
            filter=make_filter(
                exclude=filter_exclude,
                include=filter_include,
                by_stream_name=bool(filter_by_stream_name),
                by_prefix=bool(filter_by_prefix),
            ),
        )
        operation = Operation(
            Method.READ,
            [options.request()],
            "reading all events",
            CallKind.UNARY_READ,
            timeout=check_timeout(timeout),
            retry=retry,
            credentials=credentials,
            own_patterns=has_own_patterns(filter_exclude, filter_include, filter_by_prefix),
        )
        async with self._open(operation, options) as events:
            found = await all_of(events)
            return found[0].original.commit_position or 0 if found else 0
