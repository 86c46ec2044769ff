"""Subscriptions: catch up page by page, then live, and back to catching up when the client cannot follow.

A *place* is how far a subscription is: an event number, or a position in the log, as a pair. A subscription keeps the
place of the last event or checkpoint that it sent. It goes through these steps:

1. Listen to new events, and send the confirmation.
2. Catch up: read pages from the place on, until a page is the last one. A subscription that starts at the end, or after
   it, leaves this step out.
3. Send caught-up, then the events of the *live buffer*.
4. When events are missing from the buffer, go back to step 2, and send caught-up again after it.

The live buffer takes new events from step 1 on and numbers them. While the client follows, a new event is sent by
whoever writes it, without waking the subscription's task; the buffer takes what is more than a portion. While the
subscription catches up, and while its task waits for the client, the buffer holds ``PAGE`` events and drops the oldest.
Step 4 sees that events are missing by a gap in the numbers, before an event that the client does not know yet.

A caller without all rights is checked again when the metadata of the stream is written, or the default access lists. A
caller who may read no more gets the events that were in the buffer by then, and the call ends.

The kinds of subscriptions are in ``_subscribing``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

import trio

from trio_esdb._transport._handlers import Caller

from .._dotnet._guids import guid_text
from .._store import ALL_STREAMS, DELETED_TYPE, SETTINGS_STREAM, Record, Right, metastream_of
from ._access import is_admin, may
from ._context import NodeContext
from ._events import CAUGHT_UP, EventEncoder, confirmation
from ._failures import access_denied
from ._read_requests import PAGE
from ._response_writer import ResponseWriter

Place = tuple[int, int]
START: Place = (-1, -1)
"""The place before all events."""


class Subscription(ABC):
    """The steps, which are the same for all kinds."""

    __slots__ = (
        "_came",
        "_catching_up",
        "_denied_after",
        "_items",
        "_parked",
        "_taken",
        "caller",
        "context",
        "encoder",
        "place",
        "writer",
    )

    def __init__(
        self, context: NodeContext, caller: Caller | None, encoder: EventEncoder, writer: ResponseWriter
    ) -> None:
        self.context = context
        self.caller = caller
        self.encoder = encoder
        self.writer = writer
        self.place = START
        """The place of the last event or checkpoint that was sent."""
        self._items: deque[tuple[int, Record, bool]] = deque()
        self._came = 0
        self._taken = 0
        self._catching_up = True
        self._parked: trio.Event | None = None
        """Not None while the task waits with an empty buffer; then new events are sent without the task."""
        self._denied_after: int | None = None
        """The number of the last event that came before the caller lost the right to read."""

    @abstractmethod
    def last_place(self) -> Place:
        """The place of the last event that there is. Raises Failure if there cannot be a subscription."""

    @abstractmethod
    def first_place(self, last: Place) -> Place:
        """The place after which the client wants events; `last` if it wants only new ones."""

    @abstractmethod
    def place_of(self, record: Record) -> Place:
        """The place of an event."""

    @abstractmethod
    async def catch_up(self) -> None:
        """Send the events after the place until there are no more."""

    @property
    def followed(self) -> str | None:
        """The stream to listen to; None for all streams."""
        return None

    async def run(self) -> None:
        """Go through the steps until the task is cancelled or a Failure ends the call."""
        last = self.last_place()
        follow = self.context.feed.follow
        stops = [follow(self.followed, self.written)]
        if self.caller is not None and not is_admin(self.caller):
            stops += [follow(stream, self._rights_written) for stream in (metastream_of(self._read), SETTINGS_STREAM)]
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
            for stop in stops:
                stop()

    @property
    def _read(self) -> str:
        """The stream that the caller needs the right to read."""
        return ALL_STREAMS if self.followed is None else self.followed

    def _rights_written(self, records: Sequence[Record]) -> None:
        """Rights may have changed: called in the step of whoever writes them."""
        if self._denied_after is None and not may(self.context, self.caller, Right.READ, self._read):
            self._denied_after = self._came
            self._wake()

    def written(self, records: Sequence[Record]) -> None:
        """New events: called in the step of whoever writes them."""
        for record in records:
            self.put(record, is_event=True)
        self.writer.post()

    def put(self, record: Record, *, is_event: bool) -> None:
        """Send an event, or the checkpoint at it, or keep it in the live buffer. The caller posts what is sent."""
        self._came += 1
        if self._parked is None or self.writer.full or self.writer.behind or record.type == DELETED_TYPE:
            self._keep(record, is_event)
        else:
            self._taken = self._came
            self._send_item(record, is_event)

    def skip(self, record: Record) -> None:
        """Leave this event and those after it to catching up: leave a gap in the numbers, and an item that shows it."""
        self._came += 2
        self._keep(record, False)

    def _keep(self, record: Record, is_event: bool) -> None:
        """Add an item to the live buffer, and wake the task."""
        self._wake()
        self._items.append((self._came, record, is_event))
        if len(self._items) > PAGE and (self._catching_up or self.writer.waiting):
            self._items.popleft()

    def _wake(self) -> None:
        if self._parked is not None:
            self._parked.set()
            self._parked = None

    def send_checkpoint(self, place: Place) -> None:
        """Send a checkpoint, if this kind of subscription has checkpoints."""
        return

    def send_event(self, record: Record, *, live: bool) -> None:
        """Send an event."""
        self.writer.add(self.encoder.message(record, live=live))

    async def _go_live(self) -> None:
        """Send the events of the live buffer, until one is missing."""
        self._catching_up = False
        self.writer.add(CAUGHT_UP)
        while True:
            if not self._items:
                await self.writer.flush()
                if not self._items:
                    if self._denied_after is not None:
                        raise access_denied()
                    self._parked = trio.Event()
                    await self._parked.wait()
                continue
            number, record, is_event = self._items.popleft()
            if self._denied_after is not None and number > self._denied_after:
                raise access_denied()
            follows = number == self._taken + 1
            self._taken = number
            if not follows and not self._is_known(record, is_event):
                self.send_checkpoint(self.place)
                return
            self._send_item(record, is_event)
            if self.writer.full:
                await self.writer.flush()

    def _is_known(self, record: Record, is_event: bool) -> bool:
        at = self.place_of(record)
        return at < self.place or (is_event and at == self.place)

    def _send_item(self, record: Record, is_event: bool) -> None:
        """Send an item of the live buffer, unless the client knows it."""
        if self._is_known(record, is_event):
            return
        self.place = self.place_of(record)
        if is_event:
            self.send_event(record, live=True)
        else:
            self.send_checkpoint(self.place)
