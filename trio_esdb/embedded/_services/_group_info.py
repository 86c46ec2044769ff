"""What GetInfo and List tell of a group."""

from __future__ import annotations

from trio_esdb_proto.event_store.client.persistent_subscriptions import (
    SubscriptionInfo,
    SubscriptionInfoConnectionInfo,
)

from .._groups import Consumer
from .._store import ALL_STREAMS
from ._running_group import RunningGroup

_NEVER = 2**31 - 1
"""How `checkpoint_after` is told that means "never by time"."""


def info_of(running: RunningGroup) -> SubscriptionInfo:
    """The state of a group."""
    request, group = running.request, running.group
    settings = request.settings
    consumers = group.consumers.connected
    commit, prepare = request.start
    return SubscriptionInfo(
        event_source=request.stream,
        group_name=request.group,
        status=group.status,
        connections=[_connection(consumer) for consumer in consumers],
        total_items=group.delivered,
        count_since_last_measurement=0,
        last_checkpointed_event_position=running.text_of(group.checkpoint),
        last_known_event_position=running.text_of(group.known),
        resolve_link_tos=settings.resolve_links,
        start_from=f"C:{commit}/P:{prepare}" if request.stream == ALL_STREAMS else str(commit),
        message_timeout_milliseconds=settings.message_timeout,
        extra_statistics=settings.extra_statistics,
        max_retry_count=settings.max_retry_count,
        live_buffer_size=settings.live_buffer_size,
        buffer_size=settings.history_buffer_size,
        read_batch_size=settings.read_batch_size,
        check_point_after_milliseconds=settings.checkpoint_after or _NEVER,
        min_check_point_count=settings.min_checkpoint_count,
        max_check_point_count=settings.max_checkpoint_count,
        read_buffer_count=group.buffered,
        live_buffer_count=len(group.ring),
        retry_buffer_count=len(group.retries),
        total_in_flight_messages=sum(len(consumer.in_flight) for consumer in consumers),
        outstanding_messages_count=len(group.outstanding),
        named_consumer_strategy=settings.strategy,
        max_subscriber_count=settings.max_subscriber_count,
        parked_message_count=running.parked_count,
    )


def _connection(consumer: Consumer) -> SubscriptionInfoConnectionInfo:
    return SubscriptionInfoConnectionInfo(
        username=consumer.user,
        total_items=consumer.delivered,
        available_slots=consumer.free,
        in_flight_messages=len(consumer.in_flight),
        connection_name=consumer.name,
    )
