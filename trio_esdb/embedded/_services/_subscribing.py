"""Subscriptions: catch up page by page, then live, and back to catching up when the client cannot follow.

A subscription knows the *place* that it has told its client about last: an event number or a position, as a pair. It
is confirmed, catches up from that place until a page says that nothing follows, says that it has caught up, and then
sends what its live buffer holds.

The live buffer listens from the beginning. Each item in it has the next number in a row. While the client keeps up the
buffer takes what comes; while a portion waits for the client, and while catching up, it holds ``PAGE`` items and drops
the oldest. A gap in the row, in front of an item that the client does not know yet, sends the subscription back to
catching up, which ends in caught_up again.

Filtered subscriptions put checkpoints between the events: in catching up after pages, live after every so many
records. Their places are those of a real 24.10 node, its slip included: a subscription from the start that reaches the
end before anything matched and before a checkpoint was due says (2^64-1, 2^64-1), and nothing smaller is said after
that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

import trio

from .._store import LAST_NUMBER, AllPage, InvalidPosition, Record, StreamDeleted
from .._store._names import is_hidden_from_all
from ._events import CAUGHT_UP, DELETED_TYPE, EventEncoder, checkpoint, confirmation
from ._expectations import END
from ._failures import handler_failed, invalid_start, stream_deleted, unexpected_result
from ._kernel import Kernel
from ._outlet import Outlet
from ._read_requests import PAGE, AllSource, ReadPlan, StreamSource, Wanted

Place = tuple[int, int]
_START: Place = (-1, -1)


async def subscribe(kernel: Kernel, plan: ReadPlan, encoder: EventEncoder, outlet: Outlet) -> None:
    """Hold a subscription until its client gives it up or it has to end."""
    subscription: _Subscription
    if isinstance(plan.source, StreamSource):
        subscription = _ToStream(kernel, plan.source, encoder, outlet)
    elif plan.source.wanted is None:
        subscription = _ToAll(kernel, plan.source, encoder, outlet)
    else:
        subscription = _Filtered(kernel, plan.source, plan.source.wanted, encoder, outlet)
    await subscription.run()


class _LiveBuffer:
    """What was written since the subscription began and has not been sent yet."""

    def __init__(self, outlet: Outlet) -> None:
        self.bounded = True
        """Set while catching up: then the buffer holds ``PAGE`` items, however fast the client is."""
        self._outlet = outlet
        self._items: deque[tuple[int, Record, bool]] = deque()
        self._number = 0
        self._came: trio.Event | None = None

    def put(self, record: Record, *, is_event: bool) -> None:
        """An event, or the checkpoint at a record."""
        self._number += 1
        self._items.append((self._number, record, is_event))
        if len(self._items) > PAGE and (self.bounded or self._outlet.waiting):
            self._items.popleft()
        if self._came is not None:
            self._came.set()

    def take(self) -> tuple[int, Record, bool] | None:
        """The oldest item: its number, its record, whether it is an event. None if there is none."""
        return self._items.popleft() if self._items else None

    async def wait(self) -> None:
        """Until there is an item."""
        if not self._items:
            self._came = trio.Event()
            await self._came.wait()
            self._came = None


class _Subscription(ABC):
    """What all three kinds share: the order of things."""

    def __init__(self, kernel: Kernel, encoder: EventEncoder, outlet: Outlet) -> None:
        self.kernel = kernel
        self.encoder = encoder
        self.outlet = outlet
        self.live = _LiveBuffer(outlet)
        self._taken = 0

    @abstractmethod
    def last_place(self) -> Place:
        """Where the newest event is."""

    @abstractmethod
    def first_place(self, last: Place) -> Place:
        """The place that the client named; events after it are his."""

    @abstractmethod
    def place_of(self, record: Record) -> Place:
        """Where an event is."""

    @abstractmethod
    async def catch_up(self, place: Place) -> Place:
        """Send what is after this place until nothing follows; the place reached."""

    @property
    def followed(self) -> str | None:
        """The stream whose records are wanted; None for those of all."""
        return None

    async def run(self) -> None:
        """Confirm, catch up, go live, for ever."""
        last = self.last_place()
        stop = self.kernel.feed.follow(self.followed, self.written)
        try:
            self.outlet.add(confirmation(str(self.kernel.new_id())))
            place = self.first_place(last)
            if place >= last:
                place = await self._go_live(place)
            while True:
                self.live.bounded = True
                place = await self.catch_up(place)
                place = await self._go_live(place)
        finally:
            stop()

    def written(self, records: Sequence[Record]) -> None:
        """New records, in their writer's own step."""
        for record in records:
            self.live.put(record, is_event=True)

    def send_checkpoint(self, place: Place) -> None:
        """Tell the client how far the subscription is; only filtered ones do."""
        return

    def send_event(self, record: Record, *, live: bool) -> None:
        """Tell the client of an event."""
        self.outlet.add(self.encoder.message(record, live=live))

    async def _go_live(self, place: Place) -> Place:
        self.live.bounded = False
        self.outlet.add(CAUGHT_UP)
        while True:
            item = self.live.take()
            if item is None:
                await self.outlet.flush()
                await self.live.wait()
                continue
            number, record, is_event = item
            follows = number == self._taken + 1
            self._taken = number
            at = self.place_of(record)
            if at < place or (is_event and at == place):
                continue
            if not follows:
                self.send_checkpoint(place)
                return place
            if is_event:
                self.send_event(record, live=True)
            else:
                self.send_checkpoint(at)
            place = at
            if self.outlet.full:
                await self.outlet.flush()


class _ToStream(_Subscription):
    """Places are event numbers, twice."""

    def __init__(self, kernel: Kernel, source: StreamSource, encoder: EventEncoder, outlet: Outlet) -> None:
        super().__init__(kernel, encoder, outlet)
        self._source = source

    @property
    def followed(self) -> str:
        return self._source.name

    def last_place(self) -> Place:
        last = self.kernel.store.last_number(self._source.name)
        if last == LAST_NUMBER:
            raise stream_deleted(self._source.name)
        return last, last

    def first_place(self, last: Place) -> Place:
        number = self._source.number
        if number is None:
            return _START
        return last if number < 0 else (number, number)

    def place_of(self, record: Record) -> Place:
        return record.number, record.number

    async def catch_up(self, place: Place) -> Place:
        name = self._source.name
        start = place[0] + 1
        while True:
            try:
                page = self.kernel.store.read_stream(name, start, PAGE, self.kernel.now())
            except StreamDeleted:
                raise stream_deleted(name) from None
            for record in page.records:
                self.send_event(record, live=False)
                place = self.place_of(record)
                if self.outlet.full:
                    await self.outlet.flush()
            if page.outcome == "no_stream" or page.is_end:
                return place
            start = page.next_number
            await self.outlet.page_done()

    def send_event(self, record: Record, *, live: bool) -> None:
        super().send_event(record, live=live)
        if record.type == DELETED_TYPE:
            raise stream_deleted(self._source.name)


class _ToAll(_Subscription):
    """Places are positions in the log."""

    kind = "ReadAllResult"

    def __init__(self, kernel: Kernel, source: AllSource, encoder: EventEncoder, outlet: Outlet) -> None:
        super().__init__(kernel, encoder, outlet)
        self._source = source

    def last_place(self) -> Place:
        last = max(self.kernel.store.last_position, 0)
        return last, last

    def first_place(self, last: Place) -> Place:
        position = self._source.position
        if position is None:
            return _START
        return last if position == (-1, -1) else position

    def place_of(self, record: Record) -> Place:
        return record.position, record.position

    def written(self, records: Sequence[Record]) -> None:
        for record in records:
            if not is_hidden_from_all(record.stream):
                self.live.put(record, is_event=True)

    async def catch_up(self, place: Place) -> Place:
        start = (0, 0) if place == _START else place
        while True:
            page = self._look(start)
            for record in page.records:
                at = self.place_of(record)
                if at > place:
                    self.send_event(record, live=False)
                    place = at
                    if self.outlet.full:
                        await self.outlet.flush()
            place = self.page_read(page, start, place)
            if page.is_end:
                return place
            start = (page.next_commit, page.next_prepare)
            await self.outlet.page_done()

    def _look(self, start: Place) -> AllPage:
        if start[0] < 0:
            raise unexpected_result(self.kind, "Error")
        try:
            return self.look(start)
        except InvalidPosition:
            raise invalid_start() from None

    def look(self, start: Place) -> AllPage:
        """The page that begins here."""
        return self.kernel.store.read_all(*start, None, PAGE, None)

    def page_read(self, page: AllPage, start: Place, place: Place) -> Place:
        """A page's events are sent; the place reached with that."""
        return place


class _Filtered(_ToAll):
    """Only what matches, and checkpoints for the rest."""

    kind = "FilteredReadAllResult"

    def __init__(
        self, kernel: Kernel, source: AllSource, wanted: Wanted, encoder: EventEncoder, outlet: Outlet
    ) -> None:
        super().__init__(kernel, source, encoder, outlet)
        self._wanted = wanted
        self._considered = 0
        self._considered_live = 0
        self._said: Place | None = None

    def written(self, records: Sequence[Record]) -> None:
        matches, interval = self._wanted.filter.matches, self._wanted.interval
        for record in records:
            if not is_hidden_from_all(record.stream) and matches(record):
                self.live.put(record, is_event=True)
            self._considered_live += 1
            if self._considered_live >= interval:
                self._considered_live = 0
                self.live.put(record, is_event=False)

    async def catch_up(self, place: Place) -> Place:
        if not self._wanted.interval:
            raise handler_failed()  # it divides by the interval
        self._considered = 0
        return await super().catch_up(place)

    def look(self, start: Place) -> AllPage:
        return self.kernel.store.read_all(*start, self._wanted.filter.matches, PAGE, self._wanted.window)

    def page_read(self, page: AllPage, start: Place, place: Place) -> Place:
        self._considered += page.considered
        if page.is_end:
            self.send_checkpoint(place)
        elif self._considered >= self._wanted.interval:
            self._considered %= self._wanted.interval
            place = max(place, start)
            self.send_checkpoint(place)
        return place

    def send_checkpoint(self, place: Place) -> None:
        commit, prepare = place[0] & END, place[1] & END
        if self._said is None or (commit, prepare) > self._said:
            self._said = (commit, prepare)
            self.outlet.add(checkpoint(commit, prepare))
