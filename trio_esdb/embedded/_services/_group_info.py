"""What GetInfo and List tell of a group."""

from __future__ import annotations

import trio

from trio_esdb_proto.event_store.client.persistent_subscriptions import (
    SubscriptionInfo,
    SubscriptionInfoConnectionInfo,
    SubscriptionInfoMeasurement,
)

from .._groups import Consumer, observed
from .._store import ALL_STREAMS
from ._running_group import RunningGroup

_NEVER = 2**31 - 1
"""How `checkpoint_after` is told that means "never by time"."""


def info_of(running: RunningGroup) -> SubscriptionInfo:
    """The state of a group. That it is told begins a new measurement."""
    now = trio.current_time() * 1000
    request, group = running.request, running.group
    settings = request.settings
    consumers = group.consumers.connected
    commit, prepare = request.start
    count, average = group.deliveries.read(now)
    return SubscriptionInfo(
        event_source=request.stream,
        group_name=request.group,
        status=group.status,
        connections=[_connection(consumer, now) for consumer in consumers],
        average_per_second=average,
        total_items=group.deliveries.total,
        count_since_last_measurement=count,
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


def _connection(consumer: Consumer, now: float) -> SubscriptionInfoConnectionInfo:
    count, average = consumer.deliveries.read(now)
    return SubscriptionInfoConnectionInfo(
        username=consumer.user,
        average_items_per_second=average,
        total_items=consumer.deliveries.total,
        count_since_last_measurement=count,
        observed_measurements=[
            SubscriptionInfoMeasurement(key=name, value=value) for name, value in observed(consumer.times or ())
        ],
        available_slots=consumer.free,
        in_flight_messages=len(consumer.in_flight),
        connection_name=consumer.name,
    )
