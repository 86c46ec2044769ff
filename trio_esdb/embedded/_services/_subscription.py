"""Subscriptions: catch up page by page, then live, and back to catching up when the client cannot follow.

A subscription knows the *place* that it has told its client about last: an event number or a position, as a pair. It
is confirmed, catches up from that place until a page says that nothing follows, says that it has caught up, and then
sends what its live buffer holds.

The live buffer listens from the beginning. Each item has the next number in a row. While the client keeps up, items
are handed over in their writer's own step, without waking the subscription's task, and the buffer takes what is more
than a portion. While the task waits for the client, and while catching up, it holds ``PAGE`` items and drops the
oldest. A gap in the row, in front of an item that the client does not know yet, sends the subscription back to catching
up, which ends in caught_up again.

What kinds of subscriptions there are is ``_subscribing``'s.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

import trio

from .._dotnet._guids import guid_text
from .._store import Record
from ._context import NodeContext
from ._events import CAUGHT_UP, DELETED_TYPE, EventEncoder, confirmation
from ._read_requests import PAGE
from ._response_writer import ResponseWriter

Place = tuple[int, int]
START: Place = (-1, -1)
"""Before all that there is."""


class Subscription(ABC):
    """What all three kinds share: the order of things."""

    __slots__ = ("_came", "_catching_up", "_items", "_parked", "_taken", "context", "encoder", "place", "writer")

    def __init__(self, context: NodeContext, encoder: EventEncoder, writer: ResponseWriter) -> None:
        self.context = context
        self.encoder = encoder
        self.writer = writer
        self.place = START
        """What the client was told about last."""
        self._items: deque[tuple[int, Record, bool]] = deque()
        self._came = 0
        self._taken = 0
        self._catching_up = True
        self._parked: trio.Event | None = None
        """Set where the task waits with an empty buffer; then an item needs no task."""

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
    async def catch_up(self) -> None:
        """Send what is after the place until nothing follows, and move the place on."""

    @property
    def followed(self) -> str | None:
        """The stream whose records are wanted; None for those of all."""
        return None

    async def run(self) -> None:
        """Confirm, catch up, go live, for ever."""
        last = self.last_place()
        stop = self.context.feed.follow(self.followed, self.written)
        try:
            self.writer.add(confirmation(guid_text(self.context.new_id()).decode()))
            self.place = self.first_place(last)
            if self.place >= last:
                await self._go_live()
            while True:
                self._catching_up = True
                await self.catch_up()
                await self._go_live()
        finally:
            stop()

    def written(self, records: Sequence[Record]) -> None:
        """New records, in their writer's own step."""
        for record in records:
            self.put(record, is_event=True)
        self.writer.post()

    def put(self, record: Record, *, is_event: bool) -> None:
        """An event, or the checkpoint at a record, for the client who is live; ``post`` what there is afterwards."""
        self._came += 1
        if self._parked is not None:
            if not (self.writer.full or self.writer.behind or record.type == DELETED_TYPE):
                self._taken = self._came
                self._tell(record, is_event)
                return
            self._parked.set()
            self._parked = None
        self._items.append((self._came, record, is_event))
        if len(self._items) > PAGE and (self._catching_up or self.writer.waiting):
            self._items.popleft()

    def skip(self, record: Record) -> None:
        """Leave this record and those after it to catching up: leave a gap in the row, and an item that shows it."""
        if self._parked is not None:
            self._parked.set()
            self._parked = None
        self._came += 2
        self._items.append((self._came, record, False))

    def send_checkpoint(self, place: Place) -> None:
        """Tell the client how far the subscription is; only filtered ones do."""
        return

    def send_event(self, record: Record, *, live: bool) -> None:
        """Tell the client of an event."""
        self.writer.add(self.encoder.message(record, live=live))

    async def _go_live(self) -> None:
        """Send what comes, until something is missing."""
        self._catching_up = False
        self.writer.add(CAUGHT_UP)
        while True:
            if not self._items:
                await self.writer.flush()
                if not self._items:
                    self._parked = trio.Event()
                    await self._parked.wait()
                continue
            number, record, is_event = self._items.popleft()
            follows = number == self._taken + 1
            self._taken = number
            if not follows and not self._is_known(record, is_event):
                self.send_checkpoint(self.place)
                return
            self._tell(record, is_event)
            if self.writer.full:
                await self.writer.flush()

    def _is_known(self, record: Record, is_event: bool) -> bool:
        at = self.place_of(record)
        return at < self.place or (is_event and at == self.place)

    def _tell(self, record: Record, is_event: bool) -> None:
        """Tell the client of an item that he does not know yet."""
        if self._is_known(record, is_event):
            return
        self.place = self.place_of(record)
        if is_event:
            self.send_event(record, live=True)
        else:
            self.send_checkpoint(self.place)
