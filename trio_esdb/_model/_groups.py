"""Persistent subscriptions: their settings, and what a server tells of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ._events import GroupEvent

ConsumerStrategy = Literal["DispatchToSingle", "RoundRobin", "Pinned", "PinnedByCorrelation"]
"""How a group shares its events among its consumers."""
CONSUMER_STRATEGIES: tuple[ConsumerStrategy, ...] = (
    "DispatchToSingle",
    "RoundRobin",
    "Pinned",
    "PinnedByCorrelation",
)
NackAction = Literal["retry", "park", "skip", "stop"]
"""What the group is to do with an event that was refused."""
NACK_ACTIONS: tuple[NackAction, ...] = ("retry", "park", "skip", "stop")


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionSettings:
    """The settings of a group. Times are in seconds.

    Attributes:
        resolve_links (bool): Whether consumers get the events that links point to.
        message_timeout (float): Seconds in which a consumer must ack or refuse an event, or it is retried.
        max_retry_count (int): How often an event is retried before it is parked.
        checkpoint_after (float): Seconds after which a checkpoint may be written; 0 is never because of time.
        min_checkpoint_count (int): How many events must be done for a checkpoint that is written because of time.
        max_checkpoint_count (int): How many events may be done before a checkpoint is written whatever the time.
        max_subscriber_count (int): How many consumers may be connected; 0 is no limit.
        live_buffer_size (int): How many of the newest events the server keeps at hand.
        history_buffer_size (int): How many events the server keeps ready for consumers.
        read_batch_size (int): How many events the server reads at once; less than ``history_buffer_size``.
        consumer_strategy (str): How events are shared among consumers.
        extra_statistics (bool): Whether the server measures how long consumers take.
    """

    resolve_links: bool = False
    message_timeout: float = 30.0
    max_retry_count: int = 10
    checkpoint_after: float = 2.0
    min_checkpoint_count: int = 10
    max_checkpoint_count: int = 1000
    max_subscriber_count: int = 0
    live_buffer_size: int = 500
    history_buffer_size: int = 500
    read_batch_size: int = 20
    consumer_strategy: ConsumerStrategy = "DispatchToSingle"
    extra_statistics: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsumerInfo:
    """A consumer that is connected to a group.

    Attributes:
        connection_name (str): The name of its connection. This client gives each consumer a name of its own, which
            begins with the name of the client.
        username (str): Who it is.
        average_items_per_second (int): How many events it got in a second, since somebody last asked.
        total_items (int): How many events it got since it connected, each time counted.
        count_since_last_measurement (int): How many it got since somebody last asked.
        available_slots (int): How many more events it takes now.
        in_flight_messages (int): How many events it has and has not acked or refused.
        measurements (dict[str, int]): Milliseconds until events were acked, if the group has ``extra_statistics``.
    """

    connection_name: str
    username: str
    average_items_per_second: int
    total_items: int
    count_since_last_measurement: int
    available_slots: int
    in_flight_messages: int
    measurements: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionInfo:
    """The state of a group.

    Positions are positions in the stream, or commit positions for a group of all streams.

    Attributes:
        group_name (str): The name of the group.
        stream_name (str | None): The stream that it reads; None for all streams.
        status (str): What the group does, in the server's words: ``"Live"``, ``"Behind"`` and others.
        settings (SubscriptionSettings): Its settings.
        from_end (bool): Whether it began at the end.
        start_position (int | None): The position of its first event; None if it began at the end.
        last_checkpoint (int | None): All events up to this position are done, as far as the server has written it down.
        last_known_position (int | None): The position of the last event that the group has seen.
        consumers (tuple[ConsumerInfo, ...]): Who is connected.
        average_per_second (int): How many events were delivered in a second, since somebody last asked.
        total_items (int): How many events were delivered, each time counted.
        count_since_last_measurement (int): How many were delivered since somebody last asked.
        read_buffer_count (int): How many events wait to be delivered for the first time.
        live_buffer_count (int): How many of the newest events are at hand.
        retry_buffer_count (int): How many events wait to be delivered again.
        total_in_flight_messages (int): How many events consumers have and have not acked or refused.
        outstanding_messages_count (int): The same as the group counts it: each event once.
        parked_message_count (int): How many events are parked.
    """

    group_name: str
    stream_name: str | None
    status: str
    settings: SubscriptionSettings
    from_end: bool
    start_position: int | None
    last_checkpoint: int | None
    last_known_position: int | None
    consumers: tuple[ConsumerInfo, ...]
    average_per_second: int
    total_items: int
    count_since_last_measurement: int
    read_buffer_count: int
    live_buffer_count: int
    retry_buffer_count: int
    total_in_flight_messages: int
    outstanding_messages_count: int
    parked_message_count: int


@dataclass(frozen=True, slots=True)
class Retry:
    """What to do with an event whose handler raised: wait, then let it come again, for so many times.

    Attributes:
        delay (float): Seconds to wait before the event is refused. They must be fewer than the group's
            ``message_timeout``. Servers themselves deliver it again at once.
        times (int | None): How often it may come again; None is as the group's ``max_retry_count`` says.
        then (str): What to do after that: ``"park"`` or ``"skip"``.
    """

    delay: float = 0.0
    times: int | None = None
    then: Literal["park", "skip"] = "park"


OnError = NackAction | Retry | Callable[[GroupEvent, Exception], NackAction | Retry]
"""What is done with an event whose handler raised."""
