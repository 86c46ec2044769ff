"""Catch-up subscriptions: what was recorded, then what is being recorded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, overload

from trio_esdb._convert import read_all_request, read_stream_request
from trio_esdb._model import (
    DEFAULT_EXCLUDE_FILTER,
    CaughtUp,
    Checkpoint,
    FellBehind,
    RecordedEvent,
    make_filter,
)
from trio_esdb._rpc import Method, Operation, Repeat

from ._area import Area
from ._arguments import (
    check_commit_position,
    check_count,
    check_start,
    check_stream_name,
    check_stream_position,
    check_timeout,
    has_own_patterns,
)
from ._channel import EventChannel
from ._feed import SubscriptionMessage


class SubscribingArea(Area):
    """Calls that read and go on with what comes."""

    @overload
    def subscribe_all_events(
        self,
        commit_position: int | Checkpoint | None = None,
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
    ) -> AbstractAsyncContextManager[EventChannel[RecordedEvent]]: ...

    @overload
    def subscribe_all_events(
        self,
        commit_position: int | Checkpoint | None = None,
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
    ) -> AbstractAsyncContextManager[EventChannel[SubscriptionMessage]]: ...

    def subscribe_all_events(
        self,
        commit_position: int | Checkpoint | None = None,
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
    ) -> AbstractAsyncContextManager[EventChannel[Any]]:
        """Subscribe to the events of all streams: ``async with client.subscribe_all_events() as events``.

        Gives every event after ``commit_position`` (the event at it is *not* included; a Checkpoint may be given as
        well), from the first one if it is None, or only what is recorded from now on with ``from_end``. The filter is
        that of ``read_all_events``.

        What else can come, each only if it is asked for: ``include_checkpoints`` a ``Checkpoint`` now and then in a
        filtered subscription, roughly after each ``window_size`` times ``checkpoint_interval_multiplier`` records that
        the server looked at; ``include_caught_up`` a ``CaughtUp`` when what was recorded has been given (servers from
        23.10 on); ``include_fell_behind`` a ``FellBehind`` from servers that say so. ``timeout`` is a limit in seconds
        for the whole subscription.

        Entering the block waits for the server's confirmation; it raises InvalidPositionError for a position that is
        not the place of an event, AccessDeniedError and the other ServerErrors. Receiving raises them, too, and
        ConsumerTooSlowError from servers up to 23.10.
        """
        check_start("commit_position", commit_position, from_end)
        position = check_commit_position(commit_position)
        request = read_all_request(
            position=position,
            from_end=bool(from_end),
            resolve_links=bool(resolve_links),
            limit=None,
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
            [request],
            "subscribing to all events",
            Repeat.ALWAYS,
            timeout=check_timeout(timeout),
            endless=True,
            from_position=position is not None,
            own_patterns=has_own_patterns(filter_exclude, filter_include, filter_by_prefix),
        )
        return self._open(operation, wanted=_wanted(include_checkpoints, include_caught_up, include_fell_behind))

    @overload
    def subscribe_stream_events(
        self,
        stream_name: str,
        stream_position: int | None = None,
        timeout: float | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        include_caught_up: Literal[False] = False,
        include_fell_behind: Literal[False] = False,
    ) -> AbstractAsyncContextManager[EventChannel[RecordedEvent]]: ...

    @overload
    def subscribe_stream_events(
        self,
        stream_name: str,
        stream_position: int | None = None,
        timeout: float | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        include_caught_up: bool = False,
        include_fell_behind: bool = False,
    ) -> AbstractAsyncContextManager[EventChannel[RecordedEvent | CaughtUp | FellBehind]]: ...

    def subscribe_stream_events(
        self,
        stream_name: str,
        stream_position: int | None = None,
        timeout: float | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        include_caught_up: bool = False,
        include_fell_behind: bool = False,
    ) -> AbstractAsyncContextManager[EventChannel[Any]]:
        """Subscribe to the events of one stream, which need not exist yet.

        Gives every event after ``stream_position`` (the event at it is *not* included), from the first one if it is
        None, or only what is recorded from now on with ``from_end``. The other arguments are those of
        ``subscribe_all_events``.

        A stream that is tombstoned ends its subscriptions with StreamDeletedError, after the event that says so; a
        subscription to it is refused with the same error.
        """
        check_stream_name(stream_name)
        check_start("stream_position", stream_position, from_end)
        request = read_stream_request(
            stream_name,
            position=check_stream_position(stream_position),
            from_end=bool(from_end),
            resolve_links=bool(resolve_links),
            limit=None,
        )
        operation = Operation(
            Method.READ,
            [request],
            f"subscribing to stream {stream_name!r}",
            Repeat.ALWAYS,
            stream_name,
            timeout=check_timeout(timeout),
            endless=True,
        )
        return self._open(operation, wanted=_wanted(False, include_caught_up, include_fell_behind))


def _wanted(checkpoints: bool, caught_up: bool, fell_behind: bool) -> frozenset[type]:
    asked = ((Checkpoint, checkpoints), (CaughtUp, caught_up), (FellBehind, fell_behind))
    return frozenset(kind for kind, wanted in asked if wanted)
