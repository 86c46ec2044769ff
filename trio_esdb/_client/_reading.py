"""Reading what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import trio

from trio_esdb._convert import read_all_request, read_stream_request
from trio_esdb._errors import ServerError, StreamNotFoundError
from trio_esdb._model import DEFAULT_EXCLUDE_FILTER, Checkpoint, RecordedEvent, make_filter
from trio_esdb._rpc import Method, Operation, Repeat

from ._area import Area
from ._arguments import (
    check_commit_position,
    check_limit,
    check_stream_name,
    check_stream_position,
    check_timeout,
    has_own_patterns,
)
from ._channel import EventChannel

_EVENTS_PER_TURN = 512


class ReadingArea(Area):
    """Calls that read and come to an end."""

    def read_stream_events(
        self,
        stream_name: str,
        stream_position: int | None = None,
        backwards: bool = False,
        limit: int | None = None,
        timeout: float | None = None,
        *,
        resolve_links: bool = False,
    ) -> AbstractAsyncContextManager[EventChannel[RecordedEvent]]:
        """Read the events of a stream: ``async with client.read_stream_events("order-1") as events``.

        Reads forwards from ``stream_position`` (from the first event, if it is None), or backwards from it (from the
        last event); the event at that position is included. ``limit`` is the greatest number of events, at least 1.
        With ``resolve_links`` a link is replaced by the event that it points to. ``timeout`` is a limit in seconds for
        the whole read, the time that its consumer takes included.

        Receiving raises StreamNotFoundError if there is no stream or it was deleted, StreamDeletedError if it was
        tombstoned. A position after the last event gives no events. The read is not a snapshot: events that are
        appended while it goes on may be part of it.
        """
        check_stream_name(stream_name)
        request = read_stream_request(
            stream_name,
            position=check_stream_position(stream_position),
            backwards=bool(backwards),
            resolve_links=bool(resolve_links),
            limit=check_limit(limit),
        )
        return self._open(
            Operation(
                Method.READ,
                [request],
                f"reading stream {stream_name!r}",
                Repeat.ALWAYS,
                stream_name,
                timeout=check_timeout(timeout),
            )
        )

    async def get_stream_events(
        self,
        stream_name: str,
        stream_position: int | None = None,
        backwards: bool = False,
        limit: int | None = None,
        timeout: float | None = None,
        *,
        resolve_links: bool = False,
    ) -> tuple[RecordedEvent, ...]:
        """The events of a stream, all at once; the arguments and errors are those of ``read_stream_events``."""
        async with self.read_stream_events(
            stream_name, stream_position, backwards, limit, timeout, resolve_links=resolve_links
        ) as events:
            return tuple(await _all_of(events))

    def read_all_events(
        self,
        commit_position: int | Checkpoint | None = None,
        backwards: bool = False,
        filter_exclude: Sequence[str] = DEFAULT_EXCLUDE_FILTER,
        filter_include: Sequence[str] = (),
        limit: int | None = None,
        timeout: float | None = None,
        *,
        resolve_links: bool = False,
        filter_by_stream_name: bool = False,
        filter_by_prefix: bool = False,
    ) -> AbstractAsyncContextManager[EventChannel[RecordedEvent]]:
        """Read the events of all streams, in the order in which they were recorded.

        ``commit_position`` must be the position of an event (from an event or an append), else receiving raises
        InvalidPositionError. Forwards the event at that position is included, backwards it is not.

        The server filters: only events whose type matches one of ``filter_include``, or if that is empty, none of
        ``filter_exclude``. Each is a regular expression for the whole type; with ``filter_by_stream_name`` for the name
        of the stream; with ``filter_by_prefix`` a mere beginning. System events are excluded unless you say otherwise;
        give ``filter_exclude=()`` to see all. ``limit`` counts the events that pass.
        """
        position = check_commit_position(commit_position)
        request = read_all_request(
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
        return self._open(
            Operation(
                Method.READ,
                [request],
                "reading all events",
                Repeat.ALWAYS,
                timeout=check_timeout(timeout),
                from_position=position is not None,
                own_patterns=has_own_patterns(filter_exclude, filter_include, filter_by_prefix),
            )
        )

    async def get_stream_position(self, stream_name: str, timeout: float | None = None) -> int | None:
        """The stream position of a stream's last event; None if there is no stream or it was deleted.

        It is what ``expected_position`` must be to append next. Raises StreamDeletedError if it was tombstoned.
        """
        check_stream_name(stream_name)
        request = read_stream_request(stream_name, position=None, backwards=True, limit=1, tell_last_position=True)
        operation = Operation(
            Method.READ,
            [request],
            f"reading the position of stream {stream_name!r}",
            Repeat.ALWAYS,
            stream_name,
            timeout=check_timeout(timeout),
        )
        async with self._open(operation) as events:
            try:
                found = await _all_of(events)
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
    ) -> int:
        """The commit position of the last event that the filter lets pass; 0 if there is none.

        The filter is that of ``read_all_events``: a subscription with the same filter has caught up when it has come to
        this position.
        """
        async with self.read_all_events(
            backwards=True,
            filter_exclude=filter_exclude,
            filter_include=filter_include,
            filter_by_stream_name=filter_by_stream_name,
            filter_by_prefix=filter_by_prefix,
            limit=1,
            timeout=timeout,
        ) as events:
            found = await _all_of(events)
            return found[0].original.commit_position or 0 if found else 0


async def _all_of(events: EventChannel[RecordedEvent]) -> list[RecordedEvent]:
    """Everything up to the end, waiting only when nothing is there."""
    found: list[RecordedEvent] = []
    take, put = events.receive_nowait, found.append
    try:
        while True:
            put(await events.receive())
            try:
                for _ in range(_EVENTS_PER_TURN):
                    put(take())
            except (trio.WouldBlock, ServerError):
                pass  # receive() waits, or raises the error unless the caller's own scope is cancelled
    except trio.EndOfChannel:
        return found
