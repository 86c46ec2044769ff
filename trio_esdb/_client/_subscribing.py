"""Catch-up subscriptions: what was recorded, then what is being recorded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import Any, Literal, overload

from trio_esdb._model import (
    DEFAULT_EXCLUDE_FILTER,
    CaughtUp,
    Checkpoint,
    Credentials,
    FellBehind,
    RecordedEvent,
    Resumed,
    RetryPolicy,
    ServerVersion,
    make_filter,
)
from trio_esdb._rpc import CallKind, Method, Operation, Requirement

from ._area import Area
from ._arguments import (
    check_commit_position,
    check_count,
    check_how,
    check_start,
    check_stream_name,
    check_stream_position,
    check_timeout,
    has_own_patterns,
)
from ._channel import EventChannel
from ._feed import SubscriptionMessage
from ._position import ReadOptions

_CAUGHT_UP = Requirement(ServerVersion(23, 10), "include_caught_up")


class SubscribingArea(Area):
    """Calls that read and go on with what comes."""

    @overload
    def subscribe_all_events(
        self,
        commit_position: int | Checkpoint | RecordedEvent | None = None,
        filter_exclude: Sequence[str] = DEFAULT_EXCLUDE_FILTER,
        filter_include: Sequence[str] = (),
        timeout: float | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        filter_by_stream_name: bool = False,
        filter_by_prefix: bool = False,
        include_checkpoints: Literal[False] = False,
        window_size: int = 32,
        checkpoint_interval_multiplier: int = 1,
        include_caught_up: Literal[False] = False,
        include_fell_behind: Literal[False] = False,
        include_resumed: Literal[False] = False,
        resume: bool = True,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AbstractAsyncContextManager[EventChannel[RecordedEvent]]: ...

    @overload
    def subscribe_all_events(
        self,
        commit_position: int | Checkpoint | RecordedEvent | None = None,
        filter_exclude: Sequence[str] = DEFAULT_EXCLUDE_FILTER,
        filter_include: Sequence[str] = (),
        timeout: float | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        filter_by_stream_name: bool = False,
        filter_by_prefix: bool = False,
        include_checkpoints: bool = False,
        window_size: int = 32,
        checkpoint_interval_multiplier: int = 1,
        include_caught_up: bool = False,
        include_fell_behind: bool = False,
        include_resumed: bool = False,
        resume: bool = True,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AbstractAsyncContextManager[EventChannel[SubscriptionMessage]]: ...

    def subscribe_all_events(
        self,
        commit_position: int | Checkpoint | RecordedEvent | None = None,
        filter_exclude: Sequence[str] = DEFAULT_EXCLUDE_FILTER,
        filter_include: Sequence[str] = (),
        timeout: float | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        filter_by_stream_name: bool = False,
        filter_by_prefix: bool = False,
        include_checkpoints: bool = False,
        window_size: int = 32,
        checkpoint_interval_multiplier: int = 1,
        include_caught_up: bool = False,
        include_fell_behind: bool = False,
        include_resumed: bool = False,
        resume: bool = True,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AbstractAsyncContextManager[EventChannel[Any]]:
        """Subscribe to the events of all streams: ``async with client.subscribe_all_events() as events``.

        The channel gives every event after the start position that passes the filter, first those that are recorded and
        then new ones as they are written. The filter works as in ``read_all_events``.

        Args:
            commit_position: The position to start after: an int, a ``Checkpoint``, or the last event that was handled.
                An int must be the position of an event or checkpoint, or the result of an append. The event at this
                position is not included. None means the start of the log. Beyond the end of the log there is no error:
                no events come until the log has grown past the position.
            filter_exclude: Patterns of the events to leave out. ``()`` leaves out none.
            filter_include: Patterns of the events to give. If it is not empty, ``filter_exclude`` is ignored.
            timeout: The limit for the whole subscription in seconds. The deadline of a cancel
                scope is not sent to the server: a scope around the opening limits only how long that takes.
            from_end: Whether to give only events that are written from now on.
            resolve_links: Whether a link is replaced by the event that it points to.
            filter_by_stream_name: Whether the patterns are for stream names instead of event types.
            filter_by_prefix: Whether the patterns are plain prefixes instead of regular expressions.
            include_checkpoints: Whether the channel also gives ``Checkpoint`` messages, if there is a filter.
            window_size: How many records the server reads before it considers a checkpoint.
            checkpoint_interval_multiplier: After how many windows the server sends a checkpoint.
            include_caught_up: Whether the channel also gives ``CaughtUp`` messages. Servers before 23.10 never send
                them, so there the subscription is refused.
            include_fell_behind: Whether the channel also gives ``FellBehind`` messages, which only some servers send.
            include_resumed: Whether the channel also gives a ``Resumed`` message when it goes on after an interruption.
            resume: Whether the subscription goes on by itself after the connection was lost, or the server has ended it
                for a reason that passes. It then goes on after the last event or checkpoint that was received, so no
                event is lost and none comes twice, for as long as it takes. False raises the error instead.
            retry: How long to wait between attempts, as a ``RetryPolicy``. False switches off ``resume`` too; only a
                call that was never sent is tried again. None means as the client was told.
            credentials: Who the call is made for. None means as the client was told.

        Returns:
            An async context manager that gives an ``EventChannel``. Entering it waits until the server has confirmed
            the subscription: every event that is written after that will be delivered. Leaving it ends the subscription
            at once.

        Raises:
            InvalidArgumentError: An argument is not valid.
            InvalidPositionError: ``commit_position`` is not the position of an event (when the block is entered or
                raised by the channel, depending on the version of the server).
            InvalidRequestError: The server cannot parse a regular expression (likewise).
            DeadlineExceededError: The timeout expired (likewise).
            UnavailableError: The node cannot be reached (when the block is entered). Without ``resume`` also: the
                connection was lost (raised by the channel).
            ConsumerTooSlowError: Without ``resume``: the server ended the subscription because its consumer was too
                slow (raised by the channel; only servers before 24.2).
            PositionLostError: The database was replaced or restored from a backup, and does not hold the position any
                more after which the subscription was to be resumed (raised by the channel).
            UnimplementedError: The server is too old for ``include_caught_up`` (when the block is entered).
            ServerError: The subscription failed for another reason.
        """
        check_start("commit_position", commit_position, from_end)
        position = check_commit_position(commit_position)
        check_how(retry, credentials)
        options = ReadOptions(
            position=position,
            from_end=bool(from_end),
            resolve_links=bool(resolve_links),
            filter=make_filter(
                exclude=filter_exclude,
                include=filter_include,
                by_stream_name=bool(filter_by_stream_name),
                by_prefix=bool(filter_by_prefix),
                window=check_count("window_size", window_size),
                interval=check_count("checkpoint_interval_multiplier", checkpoint_interval_multiplier),
            ),
        )
        operation = Operation(
            Method.READ,
            [options.request()],
            "subscribing to all events",
            CallKind.SUBSCRIPTION,
            timeout=check_timeout(timeout),
            retry=retry,
            credentials=credentials,
            from_position=position is not None,
            own_patterns=has_own_patterns(filter_exclude, filter_include, filter_by_prefix),
            requires=_CAUGHT_UP if include_caught_up else None,
        )
        wanted = _wanted(
            bool(include_checkpoints), bool(include_caught_up), bool(include_fell_behind), bool(include_resumed)
        )
        return self._open(operation, options, wanted=wanted, resume=bool(resume))

    @overload
    def subscribe_stream_events(
        self,
        stream_name: str,
        stream_position: int | RecordedEvent | None = None,
        timeout: float | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        include_caught_up: Literal[False] = False,
        include_fell_behind: Literal[False] = False,
        include_resumed: Literal[False] = False,
        resume: bool = True,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AbstractAsyncContextManager[EventChannel[RecordedEvent]]: ...

    @overload
    def subscribe_stream_events(
        self,
        stream_name: str,
        stream_position: int | RecordedEvent | None = None,
        timeout: float | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        include_caught_up: bool = False,
        include_fell_behind: bool = False,
        include_resumed: bool = False,
        resume: bool = True,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AbstractAsyncContextManager[EventChannel[RecordedEvent | CaughtUp | FellBehind | Resumed]]: ...

    def subscribe_stream_events(
        self,
        stream_name: str,
        stream_position: int | RecordedEvent | None = None,
        timeout: float | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        include_caught_up: bool = False,
        include_fell_behind: bool = False,
        include_resumed: bool = False,
        resume: bool = True,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AbstractAsyncContextManager[EventChannel[Any]]:
        """Subscribe to the events of one stream, which need not exist yet.

        The channel gives every event after the start position, first those that are recorded and then new ones as they
        are written. If the stream is tombstoned, the channel gives the event that records this and then raises
        ``StreamDeletedError``.

        Args:
            stream_name: The name of the stream.
            stream_position: The position to start after: an int, or the last event of this stream that was handled.
                The event at this position is not included. None means the start of the stream. Beyond the end of the
                stream there is no error: no events come until the stream has grown past the position.
            timeout: The limit for the whole subscription in seconds, as for ``subscribe_all_events``.
            from_end: Whether to give only events that are written from now on.
            resolve_links: Whether a link is replaced by the event that it points to.
            include_caught_up: Whether the channel also gives ``CaughtUp`` messages. Servers before 23.10 never send
                them, so there the subscription is refused.
            include_fell_behind: Whether the channel also gives ``FellBehind`` messages, which only some servers send.
            include_resumed: As for ``subscribe_all_events``.
            resume: As for ``subscribe_all_events``.
            retry: As for ``subscribe_all_events``.
            credentials: As for ``subscribe_all_events``.

        Returns:
            An async context manager that gives an ``EventChannel``, as for ``subscribe_all_events``.

        Raises:
            InvalidArgumentError: An argument is not valid.
            StreamDeletedError: The stream was tombstoned.
            ESDBError: As for ``subscribe_all_events``.
        """
        check_stream_name(stream_name)
        check_how(retry, credentials)
        check_start("stream_position", stream_position, from_end)
        options = ReadOptions(
            stream_name=stream_name,
            position=check_stream_position(stream_position, stream_name),
            from_end=bool(from_end),
            resolve_links=bool(resolve_links),
        )
        operation = Operation(
            Method.READ,
            [options.request()],
            f"subscribing to stream {stream_name!r}",
            CallKind.SUBSCRIPTION,
            stream_name,
            timeout=check_timeout(timeout),
            retry=retry,
            credentials=credentials,
            requires=_CAUGHT_UP if include_caught_up else None,
        )
        wanted = _wanted(False, bool(include_caught_up), bool(include_fell_behind), bool(include_resumed))
        return self._open(operation, options, wanted=wanted, resume=bool(resume))


@lru_cache(maxsize=16)
def _wanted(checkpoints: bool, caught_up: bool, fell_behind: bool, resumed: bool) -> frozenset[type]:
    asked = ((Checkpoint, checkpoints), (CaughtUp, caught_up), (FellBehind, fell_behind), (Resumed, resumed))
    return frozenset(kind for kind, wanted in asked if wanted)
