"""A group: which events its consumers have, which they had, and which come next.

A group takes events from its *source* (a stream, or all streams) in their order, and gives each to one consumer. It has
no task, clock or store: the service tells it of new events and of time, and does what it asks for (``Outlet``).

The way of an event:

1. It is read from the source in pages (``page_read``) while the group is *behind*, or comes as it is written
   (``written``) while the group is *live*. Either way it waits in the *buffer*, which has room for
   `history_buffer_size` events. A live group whose buffer is full is behind again. The events written last are also in
   the *ring*, so that a group that reads up to them is live without a gap.
2. It is pushed to a consumer that has room, and is *in flight* until it is acked, refused or timed out, or until its
   consumer leaves. Events that are to be *retried* are pushed before those of the buffer, in their order.
3. The *checkpoint* is the place before the first event that is not done: that is in flight, to be retried, passed by
   others because its consumer has no room, or not yet written to the parked stream. It is written by the rules of
   `_checkpoint`, and a group that is made anew begins after it.

Replayed events come from the parked stream. They are retried after all others, and checkpoints do not know them.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Protocol

from ._consumers import Consumer, consumers_for
from ._statistics import OBSERVED, Deliveries
from ._values import Candidate, GroupSettings, Item, Place, Settlement, Skipped

_LARGEST_PAGE = 100
_USUAL_PAGE = 20
"""What a page has if the settings say 0."""


class Outlet(Protocol):
    """What a group asks for. The methods must not wait."""

    def want_page(self, after: Place, size: int) -> None:
        """Read so many events of the source after this place; ``page_read`` takes them."""

    def park(self, item: Item, reason: str) -> bool:
        """Write this event to the parked stream. Whether that is done; if not, ``parked`` is called later."""

    def write_checkpoint(self, place: Place) -> None:
        """Remember that all events up to this place are done."""


class Group:
    """The state of a group.

    Args:
        settings: Its settings.
        after: Events after this place of the source are wanted; None for those that are written from now on.
        outlet: Does what the group asks for.
    """

    def __init__(self, settings: GroupSettings, after: Place | None, outlet: Outlet) -> None:
        self.settings = settings
        self.live = after is None
        self.reading = False
        """Whether a page is being read."""
        self.replaying = False
        """Whether parked events are being replayed."""
        self.known: Place | None = None
        """The place of the last event of the source that the group knows of."""
        self.checkpoint: Place | None = None
        """The place of the checkpoint written last."""
        self.consumers = consumers_for(settings.strategy)
        self.buffer: deque[Candidate | Item | Skipped] = deque()
        """Events to be pushed for the first time, and how many the filter left out between them.

        Items were passed by others, and are first.
        """
        self.buffered = 0
        """How many events are in the buffer."""
        self.ring: deque[Candidate] = deque(maxlen=max(settings.live_buffer_size, 1))
        self.retries: list[Item] = []
        self.outstanding: dict[int, tuple[Item, float]] = {}
        """What is in flight by its id, and when it was pushed, in milliseconds."""
        self.deliveries = Deliveries(0.0)
        """The events that were pushed, each time counted."""
        self.parking: list[Item] = []
        """What is being written to the parked stream."""
        self._outlet = outlet
        self._read_to: Place = -1 if after is None else after
        self._pushed_to: Place | None = None
        self._sequence = -1
        self._checkpointed = -1
        """The sequence number of the checkpoint."""
        self._checkpoint_time: float | None = None

    # -- events of the source ----------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """The group is ready: read the first page, unless it wants new events only."""
        self.deliveries = Deliveries(now)
        self._advance(now)

    def written(self, candidates: Iterable[Candidate | Skipped], now: float) -> None:
        """New events of the source, in the step in which they are written.

        Args:
            candidates: The events that the filter lets pass, in their order, and what it left out between them.
            now: The time in milliseconds.
        """
        for candidate in candidates:
            if isinstance(candidate, Skipped):
                if self.live:
                    self._skip(candidate)
                continue
            self.known = candidate.place
            if self.live:
                if self.buffered < self.settings.history_buffer_size:
                    self._keep(candidate)
                else:
                    self.live = False
            self.ring.append(candidate)
        self._advance(now)

    def page_read(self, candidates: Sequence[Candidate], skipped: Skipped | None, is_end: bool, now: float) -> None:
        """The page that the group asked for.

        Args:
            candidates: The events of the page that the filter lets pass, in their order.
            skipped: How many events it left out, and the place of the last one that was looked at.
            is_end: Whether the source has no more events.
            now: The time in milliseconds.
        """
        self.reading = False
        for candidate in candidates:
            if candidate.place > self._read_to:
                self.known = candidate.place if self.known is None else max(self.known, candidate.place)
                self._keep(candidate)
        if skipped is not None:
            self._skip(skipped)
        if is_end or (self.ring and self.ring[0].place <= self._read_to):
            newer = [candidate for candidate in self.ring if candidate.place > self._read_to]
            if self.buffered + len(newer) <= self.settings.history_buffer_size:
                for candidate in newer:
                    self._keep(candidate)
                self.live = True
        self._advance(now)

    def _keep(self, candidate: Candidate) -> None:
        self.buffer.append(candidate)
        self.buffered += 1
        self._read_to = candidate.place

    def _skip(self, skipped: Skipped) -> None:
        if skipped.place > self._read_to:
            self.buffer.append(skipped)
            self._read_to = skipped.place

    # -- consumers ---------------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether it takes no more consumers."""
        most = self.settings.max_subscriber_count
        return 0 < most <= len(self.consumers.connected)

    def connect(self, consumer: Consumer, now: float) -> None:
        """A consumer has come."""
        self.consumers.add(consumer)
        consumer.deliveries = Deliveries(now)
        if self.settings.extra_statistics:
            consumer.times = deque(maxlen=OBSERVED)
        self._advance(now)

    def disconnect(self, consumer: Consumer, now: float) -> None:
        """A consumer has gone. What it had comes again, however often it has come."""
        self.consumers.remove(consumer)
        for id, item in consumer.in_flight.items():
            if self.outstanding.pop(id, None) is not None:
                self._retry(item)
        consumer.in_flight.clear()
        self._advance(now)

    def ack(self, ids: Iterable[int], now: float) -> None:
        """A consumer has handled these events; any consumer may say so, and unknown ids are ignored."""
        for id in ids:
            self._take(id, now)
        self._checkpoint(now)
        self._advance(now)

    def nack(self, ids: Iterable[int], settlement: Settlement, reason: str, now: float) -> None:
        """A consumer has refused these events."""
        for id in ids:
            item = self._take(id)
            if item is None:
                continue
            if settlement == "retry":
                self._retry_or_park(item)
            elif settlement == "park":
                self._park(item, f"Client explicitly NAK'ed message.\n{reason}")
        self._checkpoint(now)
        self._advance(now)

    def tick(self, now: float) -> None:
        """A second has passed: events time out, and it may be time for a checkpoint."""
        limit = now - self.settings.message_timeout
        for id in [id for id, (_, pushed) in self.outstanding.items() if pushed <= limit]:
            item = self._take(id)
            assert item is not None
            self._retry_or_park(item)
        self._checkpoint(now, ticking=True)
        self._advance(now)

    def parked(self, item: Item, now: float) -> None:
        """An event is in the parked stream, or cannot be written to it."""
        self.parking.remove(item)
        self._checkpoint(now)

    def replay(self, candidates: Iterable[Candidate], now: float) -> None:
        """Events of the parked stream, to be delivered again."""
        for candidate in candidates:
            self._keep_retry(Item(candidate, None, None))
        self._advance(now)

    @property
    def needs_ticks(self) -> bool:
        """Whether a tick may change anything."""
        settings = self.settings
        if self.outstanding or not settings.max_checkpoint_count:
            return True
        return settings.checkpoint_after > 0 and self._sequence > self._checkpointed

    @property
    def status(self) -> str:
        """What the group does, in a node's words."""
        flags = [] if self.live else ["Behind"]
        if self.reading:
            flags.append("OutstandingPageRequest")
        if self.replaying:
            flags.append("ReplayingParkedMessages")
        return ", ".join([*flags, "Live"] if self.live else flags)

    # -- in flight ---------------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Push what can be pushed, then read more if there is room for it."""
        self._push(now)
        size = min(self.settings.read_batch_size or _USUAL_PAGE, _LARGEST_PAGE)
        if not self.live and not self.reading and self.settings.history_buffer_size - self.buffered > size:
            self.reading = True
            self._outlet.want_page(self._read_to, size)

    def _push(self, now: float) -> None:
        kept: list[Item] = []
        for index, item in enumerate(self.retries):
            if self.consumers.full:
                kept += self.retries[index:]
                break
            if not self._push_one(item, now):
                kept.append(item)
        self.retries = kept
        passed: list[Item] = []
        while self.buffer:
            first = self.buffer[0]
            if isinstance(first, Skipped):
                self._sequence += first.number
                self._pushed_to = first.place
            elif self.consumers.full:
                break
            else:
                item = first if isinstance(first, Item) else self._next(first)
                if self._push_one(item, now):
                    self.buffered -= 1
                else:
                    passed.append(item)  # its consumer has no room; events for others may pass it
            self.buffer.popleft()
        self.buffer.extendleft(reversed(passed))

    def _next(self, candidate: Candidate) -> Item:
        self._sequence += 1
        item = Item(candidate, self._sequence, self._pushed_to)
        self._pushed_to = candidate.place
        return item

    def _push_one(self, item: Item, now: float) -> bool:
        consumer = self.consumers.choose(item.candidate)
        if consumer is None:
            return False
        self.outstanding.setdefault(item.id, (item, now))  # of two events with one id, the first one counts
        self.deliveries.add(now)
        consumer.push(item, now)
        return True

    def _take(self, id: int, acked: float | None = None) -> Item | None:
        """An event that is not in flight any more, and when it was acked; None if it was not."""
        found = self.outstanding.pop(id, None)
        if found is None:
            return None
        for consumer in self.consumers.connected:
            if consumer.in_flight.pop(id, None) is not None and consumer.times is not None and acked is not None:
                consumer.times.append(acked - found[1])
        return found[0]

    def _retry_or_park(self, item: Item) -> None:
        if item.retries < self.settings.max_retry_count:
            self._retry(item)
        else:
            self._park(item, f"Reached retry count of {self.settings.max_retry_count}")

    def _park(self, item: Item, reason: str) -> None:
        if not self._outlet.park(item, reason):
            self.parking.append(item)

    def _retry(self, item: Item) -> None:
        item.retries += 1
        self._keep_retry(item)

    def _keep_retry(self, item: Item) -> None:
        insort(self.retries, item, key=lambda each: (each.is_replayed, each.candidate.place))

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _checkpoint(self, now: float, *, ticking: bool = False) -> None:
        """Write a checkpoint if it is time.

        Its place is before the first event that is not done. It is written when `max_checkpoint_count` events were done
        since the last one; or at a tick, if `checkpoint_after` has passed and at least `min_checkpoint_count` were.
        """
        settings = self.settings
        waiting = [item for item, _ in self.outstanding.values()] + self.retries + self.parking
        waiting += takewhile(lambda each: isinstance(each, Item), self.buffer)  # type: ignore[arg-type]
        first = min((item for item in waiting if item.sequence is not None), key=_sequence_of, default=None)
        if first is None:
            place, sequence = self._pushed_to, self._sequence
        else:
            place, sequence = first.before, _sequence_of(first) - 1
        if place is None:
            return
        done = sequence - self._checkpointed
        since = None if self._checkpoint_time is None else now - self._checkpoint_time
        by_time = settings.checkpoint_after > 0 and (since is None or since >= settings.checkpoint_after)
        if done >= settings.max_checkpoint_count or (ticking and by_time and done >= settings.min_checkpoint_count):
            self.checkpoint, self._checkpointed, self._checkpoint_time = place, sequence, now
            self._outlet.write_checkpoint(place)


def _sequence_of(item: Item) -> int:
    assert item.sequence is not None
    return item.sequence
