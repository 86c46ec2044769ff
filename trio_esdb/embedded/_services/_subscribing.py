"""The three kinds of subscriptions: to a stream, to all streams, to what a filter selects from all streams.

A filtered subscription sends checkpoints between the events: while it catches up after pages, live after a number of
events. Their positions are those of a 24.10 node, its mistake included: a subscription that reaches the end before an
event matched and before a checkpoint was due sends the checkpoint (2^64-1, 2^64-1), and then no further one, since all
others are smaller.

A subscription from a position after the end of the log is no error. It is live at once, and sends nothing until events
are written after that position; those written below it are never sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from trio_esdb._transport._handlers import Caller

from .._store import (
    DELETED_TYPE,
    LAST_NUMBER,
    AllPage,
    InvalidPosition,
    Record,
    StreamDeleted,
    TooMuchWork,
    Turns,
    is_hidden_from_all,
)
from ._context import NodeContext
from ._events import EventEncoder, checkpoint
from ._expectations import END
from ._failures import handler_failed, invalid_start, stream_deleted, unexpected_result
from ._read_requests import PAGE, AllSource, ReadPlan, StreamSource, Wanted
from ._response_writer import ResponseWriter
from ._subscription import START, Place, Subscription
from ._turns import in_turns


async def subscribe(
    context: NodeContext, caller: Caller | None, plan: ReadPlan, encoder: EventEncoder, writer: ResponseWriter
) -> None:
    """Serve a subscription until its client cancels it, loses the right to read, or the stream is deleted."""
    subscription: Subscription
    if isinstance(plan.source, StreamSource):
        subscription = _ToStream(context, caller, plan.source, encoder, writer)
    elif plan.source.wanted is None:
        subscription = _ToAll(context, caller, plan.source, encoder, writer)
    else:
        subscription = _Filtered(context, caller, plan.source, plan.source.wanted, encoder, writer)
    await subscription.run()


_LIVE_WORK = 25_000
"""What matching may cost in the writer's own step (see `Filter.work`). The rest is left to catching up."""


class _ToStream(Subscription):
    """All events of a stream. A place is an event number, twice."""

    __slots__ = ("_source",)

    def __init__(
        self,
        context: NodeContext,
        caller: Caller | None,
        source: StreamSource,
        encoder: EventEncoder,
        writer: ResponseWriter,
    ) -> None:
        super().__init__(context, caller, encoder, writer)
        self._source = source

    @property
    def followed(self) -> str:
        return self._source.name

    def last_place(self) -> Place:
        last = self.context.store.last_number(self._source.name)
        if last == LAST_NUMBER:
            raise stream_deleted(self._source.name)
        return last, last

    def first_place(self, last: Place) -> Place:
        number = self._source.number
        if number is None:
            return START
        return last if number < 0 else (number, number)

    def place_of(self, record: Record) -> Place:
        return record.number, record.number

    async def catch_up(self) -> None:
        name = self._source.name
        start = self.place[0] + 1
        while True:
            try:
                page = self.context.store.read_stream(name, start, PAGE, self.context.now())
            except StreamDeleted:
                raise stream_deleted(name) from None
            for record in page.records:
                self.send_event(record, live=False)
                self.place = self.place_of(record)
                if self.writer.full:
                    await self.writer.flush()
            if page.outcome == "no_stream" or page.is_end:
                return
            start = page.next_number
            await self.writer.page_done()

    def send_event(self, record: Record, *, live: bool) -> None:
        super().send_event(record, live=live)
        if record.type == DELETED_TYPE:
            raise stream_deleted(self._source.name)


class _ToAll(Subscription):
    """All events of all streams. A place is a position: commit, prepare."""

    __slots__ = ("_source",)
    kind = "ReadAllResult"

    def __init__(
        self,
        context: NodeContext,
        caller: Caller | None,
        source: AllSource,
        encoder: EventEncoder,
        writer: ResponseWriter,
    ) -> None:
        super().__init__(context, caller, encoder, writer)
        self._source = source

    def last_place(self) -> Place:
        last = max(self.context.store.last_position, 0)
        return last, last

    def first_place(self, last: Place) -> Place:
        position = self._source.position
        if position is None:
            return START
        return last if position == (-1, -1) else position

    def place_of(self, record: Record) -> Place:
        return record.position, record.position

    def written(self, records: Sequence[Record]) -> None:
        for record in records:
            if not is_hidden_from_all(record.stream):
                self.put(record, is_event=True)
        self.writer.post()

    async def catch_up(self) -> None:
        start = (0, 0) if self.place == START else self.place
        while True:
            page = await self._look(start)
            for record in page.records:
                at = self.place_of(record)
                if at > self.place:
                    self.send_event(record, live=False)
                    self.place = at
                    if self.writer.full:
                        await self.writer.flush()
            self.page_read(page, start)
            if page.is_end:
                return
            start = (page.next_commit, page.next_prepare)
            await self.writer.page_done()

    async def _look(self, start: Place) -> AllPage:
        if start[0] < 0:
            raise unexpected_result(self.kind, "Error")
        try:
            return await in_turns(self.look(start))
        except InvalidPosition:
            raise invalid_start() from None

    def look(self, start: Place) -> Turns[AllPage]:
        """The page that starts here."""
        return self.context.store.read_all(*start, None, PAGE, None)

    def page_read(self, page: AllPage, start: Place) -> None:
        """Called when the events of a page have been sent."""
        return


class _Filtered(_ToAll):
    """The events of all streams that match a filter, and checkpoints."""

    __slots__ = ("_considered", "_considered_live", "_last_checkpoint", "_wanted")
    kind = "FilteredReadAllResult"

    def __init__(
        self,
        context: NodeContext,
        caller: Caller | None,
        source: AllSource,
        wanted: Wanted,
        encoder: EventEncoder,
        writer: ResponseWriter,
    ) -> None:
        super().__init__(context, caller, source, encoder, writer)
        self._wanted = wanted
        self._considered = 0
        self._considered_live = 0
        self._last_checkpoint: Place | None = None

    def written(self, records: Sequence[Record]) -> None:
        filter, interval = self._wanted.filter, self._wanted.interval
        filter.work = 0
        for record in records:
            if not is_hidden_from_all(record.stream):
                try:
                    if filter.matches(record):
                        self.put(record, is_event=True)
                except TooMuchWork:
                    # Catching up will raise it again, in the subscriber's own task.
                    self.skip(record)
                    break
                if filter.work > _LIVE_WORK:
                    self.skip(record)
                    break
            self._considered_live += 1
            if self._considered_live >= interval:
                self._considered_live = 0
                self.put(record, is_event=False)
        self.writer.post()

    async def catch_up(self) -> None:
        if not self._wanted.interval:
            raise handler_failed()  # a node divides by the interval
        self._considered = 0
        await super().catch_up()

    def look(self, start: Place) -> Turns[AllPage]:
        return self.context.store.read_all(*start, self._wanted.filter, PAGE, self._wanted.window)

    def page_read(self, page: AllPage, start: Place) -> None:
        self._considered += page.considered
        if page.is_end:
            self.send_checkpoint(self.place)
        elif self._considered >= self._wanted.interval:
            self._considered %= self._wanted.interval
            self.place = max(self.place, start)
            self.send_checkpoint(self.place)

    def send_checkpoint(self, place: Place) -> None:
        commit, prepare = place[0] & END, place[1] & END
        if self._last_checkpoint is None or (commit, prepare) > self._last_checkpoint:
            self._last_checkpoint = (commit, prepare)
            self.writer.add(checkpoint(commit, prepare))
