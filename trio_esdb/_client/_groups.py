"""Persistent subscriptions: making, changing and looking at groups of consumers.

All of it is done by the leader of a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from trio_esdb._errors import InvalidArgumentError, SubscriptionNotFoundError
from trio_esdb._model import (
    DEFAULT_EXCLUDE_FILTER,
    Checkpoint,
    ConsumerStrategy,
    Credentials,
    Filter,
    RecordedEvent,
    RetryPolicy,
    SubscriptionInfo,
    SubscriptionSettings,
    make_filter,
)
from trio_esdb._rpc import CallKind, Method, Operation

from ._area import Area
from ._arguments import (
    check_commit_position,
    check_how,
    check_start,
    check_stream_name,
    check_stream_position,
    check_timeout,
    has_own_patterns,
)
from ._group_arguments import (
    changed,
    check_each_setting,
    check_group_filter,
    check_group_name,
    check_settings,
    check_source_name,
    check_stop_at,
    least_checkpoint,
)

T = TypeVar("T")


class GroupsArea(Area):
    """Calls about groups, apart from those of consumers."""

    async def create_subscription(
        self,
        group_name: str,
        from_end: bool = False,
        commit_position: int | Checkpoint | RecordedEvent | None = None,
        filter_exclude: Sequence[str] = DEFAULT_EXCLUDE_FILTER,
        filter_include: Sequence[str] = (),
        timeout: float | None = None,
        *,
        filter_by_stream_name: bool = False,
        filter_by_prefix: bool = False,
        resolve_links: bool = False,
        message_timeout: float = 30.0,
        max_retry_count: int = 10,
        checkpoint_after: float = 2.0,
        min_checkpoint_count: int | None = None,
        max_checkpoint_count: int = 1000,
        max_subscriber_count: int = 0,
        live_buffer_size: int = 500,
        history_buffer_size: int = 500,
        read_batch_size: int = 20,
        consumer_strategy: ConsumerStrategy = "DispatchToSingle",
        extra_statistics: bool = False,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """Create a group of consumers for the events of all streams.

        Args:
            group_name: The name of the group.
            from_end: Whether it begins with the next event that is written. The server does not remember that place: as
                long as there is no checkpoint, a new leader begins at the end that it finds.
            commit_position: The place of the first event, which is delivered too. None is the start of the log.
            filter_exclude: As for ``subscribe_all_events``. The filter of a group cannot be changed.
            filter_include: As for ``subscribe_all_events``.
            timeout: The limit for the call in seconds, instead of the client's default.
            filter_by_stream_name: As for ``subscribe_all_events``.
            filter_by_prefix: As for ``subscribe_all_events``. A prefix must have no comma.
            resolve_links: Whether consumers get the events that links point to.
            message_timeout: Seconds in which a consumer must ack or refuse an event, or it is delivered again. Servers
                look once a second.
            max_retry_count: How often an event is delivered again before it is parked.
            checkpoint_after: Seconds after which a checkpoint may be written; 0 is never because of time.
            min_checkpoint_count: How many events must be done for a checkpoint that is written because of time. None is
                10, or ``max_checkpoint_count`` if that is less.
            max_checkpoint_count: How many events may be done before a checkpoint is written whatever the time. 1 writes
                one for each event.
            max_subscriber_count: How many consumers may be connected; 0 is no limit.
            live_buffer_size: How many of the newest events the server keeps at hand.
            history_buffer_size: How many events the server keeps ready for consumers.
            read_batch_size: How many events the server reads at once; less than ``history_buffer_size``.
            consumer_strategy: ``"DispatchToSingle"`` gives all events to one consumer as long as it has room,
                ``"RoundRobin"`` to each in turn, ``"Pinned"`` those of a stream to the same one, and
                ``"PinnedByCorrelation"`` those with the same ``$correlationId``.
            extra_statistics: Whether the server measures how long consumers take.
            retry: As for ``append_events``.
            credentials: Who the call is made for, if not for the user of the client.

        Raises:
            SubscriptionExistsError: There is a group of this name.
            SubscriptionFailedError: The server cannot make it; for example, the position is beyond the end.
            InvalidArgumentError: An argument cannot be used. Nothing was sent.
            ESDBError: As for ``append_events``.
        """
        check_start("commit_position", commit_position, from_end)
        filter = make_filter(
            exclude=filter_exclude,
            include=filter_include,
            by_stream_name=filter_by_stream_name,
            by_prefix=filter_by_prefix,
        )
        await self._create(
            group_name,
            None,
            check_commit_position(commit_position),
            SubscriptionSettings(
                resolve_links=resolve_links,
                message_timeout=message_timeout,
                max_retry_count=max_retry_count,
                checkpoint_after=checkpoint_after,
                min_checkpoint_count=least_checkpoint(min_checkpoint_count, max_checkpoint_count),
                max_checkpoint_count=max_checkpoint_count,
                max_subscriber_count=max_subscriber_count,
                live_buffer_size=live_buffer_size,
                history_buffer_size=history_buffer_size,
                read_batch_size=read_batch_size,
                consumer_strategy=consumer_strategy,
                extra_statistics=extra_statistics,
            ),
            from_end=from_end,
            filter=check_group_filter(filter),
            own_patterns=has_own_patterns(filter_exclude, filter_include, filter_by_prefix),
            timeout=timeout,
            retry=retry,
            credentials=credentials,
        )

    async def create_stream_subscription(
        self,
        group_name: str,
        stream_name: str,
        from_end: bool = False,
        stream_position: int | RecordedEvent | None = None,
        timeout: float | None = None,
        *,
        resolve_links: bool = False,
        message_timeout: float = 30.0,
        max_retry_count: int = 10,
        checkpoint_after: float = 2.0,
        min_checkpoint_count: int | None = None,
        max_checkpoint_count: int = 1000,
        max_subscriber_count: int = 0,
        live_buffer_size: int = 500,
        history_buffer_size: int = 500,
        read_batch_size: int = 20,
        consumer_strategy: ConsumerStrategy = "DispatchToSingle",
        extra_statistics: bool = False,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """Create a group of consumers for the events of a stream, which need not exist.

        Args:
            group_name: The name of the group.
            stream_name: The name of the stream.
            from_end: As for ``create_subscription``.
            stream_position: The position of the first event, which is delivered too. None is the start of the stream.
            timeout: The limit for the call in seconds, instead of the client's default.
            resolve_links: Whether consumers get the events that links point to.
            message_timeout: Seconds in which a consumer must ack or refuse an event, or it is delivered again. Servers
                look once a second.
            max_retry_count: How often an event is delivered again before it is parked.
            checkpoint_after: Seconds after which a checkpoint may be written; 0 is never because of time.
            min_checkpoint_count: How many events must be done for a checkpoint that is written because of time. None is
                10, or ``max_checkpoint_count`` if that is less.
            max_checkpoint_count: How many events may be done before a checkpoint is written whatever the time. 1 writes
                one for each event.
            max_subscriber_count: How many consumers may be connected; 0 is no limit.
            live_buffer_size: How many of the newest events the server keeps at hand.
            history_buffer_size: How many events the server keeps ready for consumers.
            read_batch_size: How many events the server reads at once; less than ``history_buffer_size``.
            consumer_strategy: ``"DispatchToSingle"`` gives all events to one consumer as long as it has room,
                ``"RoundRobin"`` to each in turn, ``"Pinned"`` those of a stream to the same one, and
                ``"PinnedByCorrelation"`` those with the same ``$correlationId``.
            extra_statistics: Whether the server measures how long consumers take.
            retry: As for ``append_events``.
            credentials: Who the call is made for, if not for the user of the client.

        Raises:
            ESDBError: As for ``create_subscription``.
        """
        check_source_name(stream_name, "create_subscription")
        check_start("stream_position", stream_position, from_end)
        await self._create(
            group_name,
            stream_name,
            check_stream_position(stream_position, stream_name),
            SubscriptionSettings(
                resolve_links=resolve_links,
                message_timeout=message_timeout,
                max_retry_count=max_retry_count,
                checkpoint_after=checkpoint_after,
                min_checkpoint_count=least_checkpoint(min_checkpoint_count, max_checkpoint_count),
                max_checkpoint_count=max_checkpoint_count,
                max_subscriber_count=max_subscriber_count,
                live_buffer_size=live_buffer_size,
                history_buffer_size=history_buffer_size,
                read_batch_size=read_batch_size,
                consumer_strategy=consumer_strategy,
                extra_statistics=extra_statistics,
            ),
            from_end=from_end,
            timeout=timeout,
            retry=retry,
            credentials=credentials,
        )

    async def update_subscription(
        self,
        group_name: str,
        from_end: bool | None = None,
        commit_position: int | Checkpoint | RecordedEvent | None = None,
        timeout: float | None = None,
        *,
        resolve_links: bool | None = None,
        message_timeout: float | None = None,
        max_retry_count: int | None = None,
        checkpoint_after: float | None = None,
        min_checkpoint_count: int | None = None,
        max_checkpoint_count: int | None = None,
        max_subscriber_count: int | None = None,
        live_buffer_size: int | None = None,
        history_buffer_size: int | None = None,
        read_batch_size: int | None = None,
        consumer_strategy: ConsumerStrategy | None = None,
        extra_statistics: bool | None = None,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """Change the settings of a group of all streams. Its consumers are dropped, and connect again.

        What is None stays as it is. For that, the settings are read first: a change that somebody else makes at the
        same time can be lost. A new start counts only as long as there is no checkpoint. The filter stays.

        Args:
            group_name: The name of the group.
            from_end: True: begin with the next event that is written. False: begin at the start of the log.
            commit_position: The place of the first event.
            timeout: The limit for the call in seconds, instead of the client's default.
            resolve_links: Whether consumers get the events that links point to.
            message_timeout: Seconds in which a consumer must ack or refuse an event, or it is delivered again. Servers
                look once a second.
            max_retry_count: How often an event is delivered again before it is parked.
            checkpoint_after: Seconds after which a checkpoint may be written; 0 is never because of time.
            min_checkpoint_count: How many events must be done for a checkpoint that is written because of time.
            max_checkpoint_count: How many events may be done before a checkpoint is written whatever the time. 1 writes
                one for each event.
            max_subscriber_count: How many consumers may be connected; 0 is no limit.
            live_buffer_size: How many of the newest events the server keeps at hand.
            history_buffer_size: How many events the server keeps ready for consumers.
            read_batch_size: How many events the server reads at once; less than ``history_buffer_size``.
            consumer_strategy: ``"DispatchToSingle"`` gives all events to one consumer as long as it has room,
                ``"RoundRobin"`` to each in turn, ``"Pinned"`` those of a stream to the same one, and
                ``"PinnedByCorrelation"`` those with the same ``$correlationId``.
            extra_statistics: Whether the server measures how long consumers take.
            retry: As for ``append_events``.
            credentials: Who the call is made for, if not for the user of the client.

        Raises:
            SubscriptionNotFoundError: There is no such group.
            InvalidArgumentError: An argument cannot be used, or the group has the strategy PinnedByCorrelation. Servers
                cannot be told to keep that one, so another must be chosen, or the group be made anew.
            ESDBError: As for ``create_subscription``.
        """
        check_start("commit_position", commit_position, bool(from_end))
        await self._update(
            group_name,
            None,
            from_end,
            check_commit_position(commit_position),
            {
                "resolve_links": resolve_links,
                "message_timeout": message_timeout,
                "max_retry_count": max_retry_count,
                "checkpoint_after": checkpoint_after,
                "min_checkpoint_count": min_checkpoint_count,
                "max_checkpoint_count": max_checkpoint_count,
                "max_subscriber_count": max_subscriber_count,
                "live_buffer_size": live_buffer_size,
                "history_buffer_size": history_buffer_size,
                "read_batch_size": read_batch_size,
                "consumer_strategy": consumer_strategy,
                "extra_statistics": extra_statistics,
            },
            timeout=timeout,
            retry=retry,
            credentials=credentials,
        )

    async def update_stream_subscription(
        self,
        group_name: str,
        stream_name: str,
        from_end: bool | None = None,
        stream_position: int | RecordedEvent | None = None,
        timeout: float | None = None,
        *,
        resolve_links: bool | None = None,
        message_timeout: float | None = None,
        max_retry_count: int | None = None,
        checkpoint_after: float | None = None,
        min_checkpoint_count: int | None = None,
        max_checkpoint_count: int | None = None,
        max_subscriber_count: int | None = None,
        live_buffer_size: int | None = None,
        history_buffer_size: int | None = None,
        read_batch_size: int | None = None,
        consumer_strategy: ConsumerStrategy | None = None,
        extra_statistics: bool | None = None,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """Change the settings of a group of a stream. See ``update_subscription``.

        Args:
            group_name: The name of the group.
            stream_name: The name of the stream.
            from_end: True: begin with the next event that is written. False: begin at the start of the stream.
            stream_position: The position of the first event.
            timeout: The limit for the call in seconds, instead of the client's default.
            resolve_links: Whether consumers get the events that links point to.
            message_timeout: Seconds in which a consumer must ack or refuse an event, or it is delivered again. Servers
                look once a second.
            max_retry_count: How often an event is delivered again before it is parked.
            checkpoint_after: Seconds after which a checkpoint may be written; 0 is never because of time.
            min_checkpoint_count: How many events must be done for a checkpoint that is written because of time.
            max_checkpoint_count: How many events may be done before a checkpoint is written whatever the time. 1 writes
                one for each event.
            max_subscriber_count: How many consumers may be connected; 0 is no limit.
            live_buffer_size: How many of the newest events the server keeps at hand.
            history_buffer_size: How many events the server keeps ready for consumers.
            read_batch_size: How many events the server reads at once; less than ``history_buffer_size``.
            consumer_strategy: ``"DispatchToSingle"`` gives all events to one consumer as long as it has room,
                ``"RoundRobin"`` to each in turn, ``"Pinned"`` those of a stream to the same one, and
                ``"PinnedByCorrelation"`` those with the same ``$correlationId``.
            extra_statistics: Whether the server measures how long consumers take.
            retry: As for ``append_events``.
            credentials: Who the call is made for, if not for the user of the client.

        Raises:
            ESDBError: As for ``update_subscription``.
        """
        check_source_name(stream_name, "update_subscription")
        check_start("stream_position", stream_position, bool(from_end))
        await self._update(
            group_name,
            stream_name,
            from_end,
            check_stream_position(stream_position, stream_name),
            {
                "resolve_links": resolve_links,
                "message_timeout": message_timeout,
                "max_retry_count": max_retry_count,
                "checkpoint_after": checkpoint_after,
                "min_checkpoint_count": min_checkpoint_count,
                "max_checkpoint_count": max_checkpoint_count,
                "max_subscriber_count": max_subscriber_count,
                "live_buffer_size": live_buffer_size,
                "history_buffer_size": history_buffer_size,
                "read_batch_size": read_batch_size,
                "consumer_strategy": consumer_strategy,
                "extra_statistics": extra_statistics,
            },
            timeout=timeout,
            retry=retry,
            credentials=credentials,
        )

    async def delete_subscription(
        self,
        group_name: str,
        stream_name: str | None = None,
        timeout: float | None = None,
        *,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """Delete a group, with its checkpoint and its parked events. Its consumers are dropped.

        Args:
            group_name: The name of the group.
            stream_name: The stream that it reads; None for a group of all streams.
            timeout: The limit for the call in seconds, instead of the client's default.
            retry: As for ``append_events``.
            credentials: Who the call is made for, if not for the user of the client.

        Raises:
            SubscriptionNotFoundError: There is no such group.
            ESDBError: As for ``append_events``.
        """
        from trio_esdb._convert._groups import delete_group_request, empty_response

        operation = self._about(
            Method.DELETE_GROUP, "deleting", group_name, stream_name, CallKind.OTHER_WRITE, timeout, retry, credentials
        )
        await self._ask(operation, delete_group_request(group_name, stream_name), empty_response)

    async def get_subscription_info(
        self,
        group_name: str,
        stream_name: str | None = None,
        timeout: float | None = None,
        *,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> SubscriptionInfo:
        """Get the state of a group: its settings, how far it is, and who is connected.

        Args:
            group_name: The name of the group.
            stream_name: The stream that it reads; None for a group of all streams.
            timeout: The limit for the call in seconds, instead of the client's default.
            retry: As for ``append_events``.
            credentials: Who the call is made for, if not for the user of the client.

        Raises:
            SubscriptionNotFoundError: There is no such group.
            ESDBError: As for ``append_events``.
        """
        from trio_esdb._convert._groups import INFO_LIMIT, info_request, info_response

        operation = self._about(
            Method.GROUP_INFO, "looking at", group_name, stream_name, CallKind.UNARY_READ, timeout, retry, credentials
        )._replace(largest_reply=INFO_LIMIT)
        return await self._ask(operation, info_request(group_name, stream_name), info_response)

    async def list_subscriptions(
        self,
        stream_name: str | None = None,
        timeout: float | None = None,
        *,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> tuple[SubscriptionInfo, ...]:
        """Get the states of groups.

        Args:
            stream_name: The stream whose groups are wanted; ``"$all"`` for those of all streams; None for every group.
            timeout: The limit for the call in seconds, instead of the client's default.
            retry: As for ``append_events``.
            credentials: Who the call is made for, if not for the user of the client.

        Returns:
            The groups. None of them is not an error, even where the stream never had one.

        Raises:
            ESDBError: As for ``append_events``.
        """
        from trio_esdb._convert._groups import INFO_LIMIT, list_request, list_response

        check_how(retry, credentials)
        if stream_name is not None:
            check_stream_name(stream_name)
        operation = Operation(
            Method.LIST_GROUPS,
            [list_request(stream_name)],
            "listing persistent subscriptions",
            CallKind.UNARY_READ,
            timeout=check_timeout(timeout),
            retry=retry,
            credentials=credentials,
            leader=True,
            largest_reply=INFO_LIMIT,
        )
        try:
            reply = await self._run(operation)
        except SubscriptionNotFoundError:
            return ()
        return operation.understood(list_response, reply)

    async def replay_parked_events(
        self,
        group_name: str,
        stream_name: str | None = None,
        timeout: float | None = None,
        *,
        stop_at: int | None = None,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """Let the parked events of a group be delivered again. They leave the parked stream, whatever becomes of them.

        Args:
            group_name: The name of the group.
            stream_name: The stream that it reads; None for a group of all streams.
            timeout: The limit for the call in seconds, instead of the client's default.
            stop_at: The number of the first event of the parked stream that is not to be replayed. It is a position,
                and not a number of events. None replays all.
            retry: As for ``append_events``.
            credentials: Who the call is made for, if not for the user of the client.

        Raises:
            SubscriptionNotFoundError: There is no such group.
            ESDBError: As for ``append_events``.
        """
        from trio_esdb._convert._groups import empty_response, replay_request

        check_stop_at(stop_at)
        operation = self._about(
            Method.REPLAY_PARKED,
            "replaying parked events of",
            group_name,
            stream_name,
            CallKind.OTHER_WRITE,
            timeout,
            retry,
            credentials,
        )
        await self._ask(operation, replay_request(group_name, stream_name, stop_at), empty_response)

    async def restart_persistent_subscriptions(
        self,
        timeout: float | None = None,
        *,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """Let the leader begin anew with all groups, at their checkpoints. All consumers are dropped.

        Args:
            timeout: The limit for the call in seconds, instead of the client's default.
            retry: As for ``append_events``.
            credentials: Who the call is made for, if not for the user of the client.

        Raises:
            SubscriptionFailedError: The groups do not run on the server.
            ESDBError: As for ``append_events``.
        """
        from trio_esdb._convert._groups import empty_response

        check_how(retry, credentials)
        operation = Operation(
            Method.RESTART_GROUPS,
            [b""],
            "restarting persistent subscriptions",
            CallKind.OTHER_WRITE,
            timeout=check_timeout(timeout),
            retry=retry,
            credentials=credentials,
            leader=True,
        )
        operation.understood(empty_response, await self._run(operation))

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _create(
        self,
        group_name: str,
        stream_name: str | None,
        start: tuple[int, int] | None,
        settings: SubscriptionSettings,
        *,
        from_end: bool,
        filter: Filter | None = None,
        own_patterns: bool = False,
        timeout: float | None,
        retry: RetryPolicy | bool | None,
        credentials: Credentials | None,
    ) -> None:
        from trio_esdb._convert._groups import create_request, empty_response

        check_settings(settings)
        operation = self._about(
            Method.CREATE_GROUP, "creating", group_name, stream_name, CallKind.OTHER_WRITE, timeout, retry, credentials
        )._replace(own_patterns=own_patterns, from_position=stream_name is None and start is not None)
        request = create_request(group_name, stream_name, start, settings, from_end=from_end, filter=filter)
        await self._ask(operation, request, empty_response)

    async def _update(
        self,
        group_name: str,
        stream_name: str | None,
        from_end: bool | None,
        start: tuple[int, int] | None,
        changes: dict[str, Any],
        *,
        timeout: float | None,
        retry: RetryPolicy | bool | None,
        credentials: Credentials | None,
    ) -> None:
        from trio_esdb._convert._groups import empty_response, update_request

        operation = self._about(
            Method.UPDATE_GROUP, "updating", group_name, stream_name, CallKind.OTHER_WRITE, timeout, retry, credentials
        )
        check_each_setting(changed(SubscriptionSettings(), changes))
        info = await self.get_subscription_info(group_name, stream_name, timeout, retry=retry, credentials=credentials)
        settings = changed(info.settings, changes)
        if settings.consumer_strategy == "PinnedByCorrelation":
            raise InvalidArgumentError(
                "consumer_strategy: a group cannot be updated with PinnedByCorrelation, because servers would change "
                "it to DispatchToSingle; choose another strategy, or delete the group and create it again"
            )
        check_settings(settings)
        if from_end is None and start is None:
            from_end = info.from_end
            at = info.start_position
            start = None if at is None else (at, 0 if stream_name is not None else at)
        request = update_request(group_name, stream_name, start, settings, from_end=bool(from_end))
        await self._ask(operation, request, empty_response)

    def _about(
        self,
        method: Method,
        doing: str,
        group_name: str,
        stream_name: str | None,
        kind: CallKind,
        timeout: float | None,
        retry: RetryPolicy | bool | None,
        credentials: Credentials | None,
    ) -> Operation:
        """A call about one group, without its request."""
        check_group_name(group_name)
        if stream_name is not None:
            check_source_name(stream_name, "no stream_name")
        check_how(retry, credentials)
        where = "all streams" if stream_name is None else f"stream {stream_name!r}"
        return Operation(
            method,
            [],
            f"{doing} group {group_name!r} of {where}",
            kind,
            stream_name or "",
            timeout=check_timeout(timeout),
            retry=retry,
            credentials=credentials,
            leader=True,
        )

    async def _ask(self, operation: Operation, request: bytes, understand: Callable[[bytes], T]) -> T:
        operation = operation._replace(requests=[request])
        return operation.understood(understand, await self._run(operation))
