"""The consumers of a group, and how events are shared among them."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable

from .._store import LINK_TYPE, MalformedLink, parse_link
from ._buckets import BUCKETS, bucket_of
from ._statistics import Deliveries
from ._values import PINNED, PINNED_BY_CORRELATION, ROUND_ROBIN, Candidate, Item

Deliver = Callable[[Item], None]


class Consumer:
    """A connected consumer.

    Args:
        size: How many events it may have in flight.
        deliver: Called with each event for it.
        name: The name of its connection.
        user: Who it is.
    """

    def __init__(self, size: int, deliver: Deliver, *, name: str = "", user: str = "") -> None:
        self.size = size
        self.name = name
        self.user = user
        self.deliver = deliver
        self.in_flight: dict[int, Item] = {}
        self.deliveries = Deliveries(0.0)
        """The events that were sent to it, each time counted."""
        self.times: deque[float] | None = None
        """The milliseconds until each of the latest events was acked, if that is measured."""

    @property
    def free(self) -> int:
        """How many more events it takes now."""
        return self.size - len(self.in_flight)

    def push(self, item: Item, now: float) -> None:
        """Send it an event."""
        self.in_flight[item.id] = item
        self.deliveries.add(now)
        self.deliver(item)


class Consumers:
    """Those of a group with the strategy DispatchToSingle: the first one, as long as it has room."""

    def __init__(self) -> None:
        self.all: deque[Consumer] = deque()
        self.connected: list[Consumer] = []
        """In the order in which they came."""

    def add(self, consumer: Consumer) -> None:
        """A consumer has connected."""
        self.all.append(consumer)
        self.connected.append(consumer)

    def remove(self, consumer: Consumer) -> None:
        """A consumer has gone."""
        self.all.remove(consumer)
        self.connected.remove(consumer)

    @property
    def full(self) -> bool:
        """Whether none of them takes an event now."""
        return not any(consumer.free > 0 for consumer in self.connected)

    def choose(self, candidate: Candidate) -> Consumer | None:
        """Who is to get this event; None for nobody now."""
        for _ in range(len(self.all)):
            if self.all[0].free > 0:
                chosen = self.all[0]
                self._chosen()
                return chosen
            self.all.rotate(-1)
        return None

    def _chosen(self) -> None:
        """The first one gets an event."""


class RoundRobin(Consumers):
    """Each gets an event in turn; one without room is passed over."""

    def _chosen(self) -> None:
        self.all.rotate(-1)


class Pinned(Consumers):
    """Events of the same stream, or of the same key, go to the same consumer."""

    def __init__(self, key: Callable[[Candidate], str]) -> None:
        super().__init__()
        self._key = key
        self._owners: dict[int, Consumer] = {}

    def choose(self, candidate: Candidate) -> Consumer | None:
        """Who has the bucket of this event; None if that consumer has no room."""
        if not self.connected:
            return None
        bucket = bucket_of(self._key(candidate))
        owner = self._owners.get(bucket)
        if owner is None:
            owner = self._owners[bucket] = min(self.connected, key=self._owned)
        return owner if owner.free > 0 else None

    def add(self, consumer: Consumer) -> None:
        """A new consumer takes over what is more than an equal share of the buckets."""
        super().add(consumer)
        share = BUCKETS // len(self.connected)
        for other in self.connected:
            surplus = self._owned(other) - max(share, 1) if other is not consumer else 0
            if surplus > 0:
                in_flight = Counter(bucket_of(self._key(item.candidate)) for item in other.in_flight.values())
                mine = [bucket for bucket, owner in self._owners.items() if owner is other]
                mine.sort(key=in_flight.__getitem__)
                for bucket in mine[:surplus]:
                    self._owners[bucket] = consumer

    def remove(self, consumer: Consumer) -> None:
        """Its buckets are given away when they are used next."""
        super().remove(consumer)
        self._owners = {bucket: owner for bucket, owner in self._owners.items() if owner is not consumer}

    def _owned(self, consumer: Consumer) -> int:
        return sum(owner is consumer for owner in self._owners.values())


def stream_of(candidate: Candidate) -> str:
    """The stream of the event itself; for a link, the one that it points to."""
    record = candidate.record if candidate.target is None else candidate.target
    if record.type == LINK_TYPE:
        try:
            target = parse_link(record.data)
        except MalformedLink:
            target = None
        if target is not None:
            return target[1]
    return record.stream


def correlation_of(candidate: Candidate) -> str:
    """The correlation id in the event's metadata; without one, its stream."""
    record = candidate.record if candidate.target is None else candidate.target
    try:
        found = json.loads(record.metadata).get("$correlationId")
    except (ValueError, AttributeError, RecursionError):
        found = None
    return str(found) if isinstance(found, str) else stream_of(candidate)


def consumers_for(strategy: str) -> Consumers:
    """The consumers of a group with this strategy."""
    if strategy == ROUND_ROBIN:
        return RoundRobin()
    if strategy == PINNED:
        return Pinned(stream_of)
    if strategy == PINNED_BY_CORRELATION:
        return Pinned(correlation_of)
    return Consumers()
