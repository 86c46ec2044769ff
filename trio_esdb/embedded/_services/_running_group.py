"""A group at work: it reads the store, writes checkpoints and parked events, and serves consumers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import trio

from trio_esdb._transport._handlers import Failure

from .._groups import Candidate, Consumer, Group, Item, Place, Settlement
from .._store import (
    ANY,
    LAST_NUMBER,
    LINK_TYPE,
    METADATA_TYPE,
    Append,
    InvalidPosition,
    MalformedLink,
    Proposal,
    Record,
    StreamDeleted,
    TooMuchWork,
    metastream_of,
)
from ._context import NodeContext
from ._failures import group_dropped
from ._group_requests import GroupRequest
from ._group_sources import source_of
from ._turns import in_turns
from ._writes import Refused

Spawn = Callable[..., object]
_CHECKPOINT_TYPE = "$SubscriptionCheckpoint"
_PAGE = 100
_PARKING_ATTEMPTS = 5
"""How often an event is written to the parked stream, as a node of a cluster may fail to."""
_ADMINS_ONLY = dict.fromkeys(("$r", "$w", "$d", "$mr", "$mw"), "$admins")


class ConsumerCall(Protocol):
    """The call of a consumer."""

    consumer: Consumer

    def post(self) -> None:
        """Send what the group has delivered."""

    def drop(self, failure: Failure) -> None:
        """End the call."""


class RunningGroup:
    """A group of a node.

    Args:
        context: The node.
        request: What the group is.
        spawn: Starts a task that reads a page, or one that waits to write.
        want_ticks: Is called when the group must be told of time.
    """

    def __init__(
        self, context: NodeContext, request: GroupRequest, spawn: Spawn, want_ticks: Callable[[], None]
    ) -> None:
        self.request = request
        self._context = context
        self._spawn = spawn
        self._want_ticks = want_ticks
        self._source = source_of(context.store, request)
        self._calls: dict[Consumer, ConsumerCall] = {}
        self._faulted = False
        self._running = True
        self._unwritten: Place | None = None
        """The checkpoint to be written next."""
        self._writes_checkpoint = False
        saved = self._saved_checkpoint()
        after = self._source.after(request.start) if saved is None else saved
        self.group = Group(request.settings, after, self)
        if saved is not None:
            self.group.checkpoint = saved
        self._stop = context.feed.follow(self._source.followed, self._written)
        self.group.begin(_now())

    # -- the life of the group ---------------------------------------------------------------------------------------

    def drop(self) -> None:
        """End the group, and the calls of all consumers."""
        self._running = False
        self._stop()
        self._drop_consumers()

    def _drop_consumers(self) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.drop(group_dropped(self.request.stream, self.request.group))

    def _fault(self) -> None:
        """The source cannot be read: consumers are dropped, and later ones as well."""
        self._faulted = True
        self._drop_consumers()

    def _written(self, records: Iterable[Record]) -> None:
        now = self._context.now()
        self._do(lambda group, at: group.written(self._source.written(list(records), now), at))

    def tick(self) -> None:
        """A second has passed."""
        self._do(Group.tick)

    def _do(self, change: Callable[[Group, float], None]) -> None:
        if self._running:
            change(self.group, _now())
            for call in self._calls.values():
                call.post()
            if self.group.needs_ticks:
                self._want_ticks()

    # -- consumers ---------------------------------------------------------------------------------------------------

    def connect(self, call: ConsumerCall) -> None:
        """A consumer has come."""
        self._calls[call.consumer] = call
        self._do(lambda group, now: group.connect(call.consumer, now))
        if self._faulted:
            self._drop_consumers()

    def disconnect(self, call: ConsumerCall) -> None:
        """A consumer has gone."""
        if self._calls.pop(call.consumer, None) is not None:
            self._do(lambda group, now: group.disconnect(call.consumer, now))

    def ack(self, ids: Iterable[int]) -> None:
        """A consumer has handled these events."""
        self._do(lambda group, now: group.ack(ids, now))

    def nack(self, ids: Iterable[int], settlement: Settlement, reason: str) -> None:
        """A consumer has refused these events."""
        self._do(lambda group, now: group.nack(ids, settlement, reason, now))

    # -- what the group asks for -------------------------------------------------------------------------------------

    def want_page(self, after: Place, size: int) -> None:
        """Read a page, in a task of its own."""
        self._spawn(self._read_page, after, size)

    async def _read_page(self, after: Place, size: int) -> None:
        try:
            found, skipped, is_end = await in_turns(self._source.page(after, size, self._context.now()))
        except (StreamDeleted, InvalidPosition, TooMuchWork):
            self._fault()
            return
        self._do(lambda group, now: group.page_read(found, skipped, is_end, now))

    def write_checkpoint(self, place: Place) -> None:
        """Write the checkpoint, a text in JSON."""
        if self._writes_checkpoint or not self._write_now(self._checkpoint_write(place)):
            self._unwritten = place
            if not self._writes_checkpoint:
                self._writes_checkpoint = True
                self._spawn(self._write_checkpoints)

    async def _write_checkpoints(self) -> None:
        """Write one checkpoint after the other, so that none goes back behind the one before."""
        while (place := self._unwritten) is not None:
            self._unwritten = None
            await self._write_later(self._checkpoint_write(place))
        self._writes_checkpoint = False

    def _checkpoint_write(self, place: Place) -> Append:
        text = json.dumps(self._source.text(place)).encode()
        return self._append(self._checkpoint_stream, _CHECKPOINT_TYPE, text, is_json=True)

    def _saved_checkpoint(self) -> Place | None:
        try:
            record = self._context.store.read_event(self._checkpoint_stream, -1, self._context.now())
            return None if record is None else self._source.place(json.loads(record.data))
        except (StreamDeleted, ValueError, AttributeError, TypeError):
            return None  # somebody else has deleted the stream, or written to it

    @property
    def _checkpoint_stream(self) -> str:
        return f"$persistentsubscription-{self.request.key}-checkpoint"

    def text_of(self, place: Place | None) -> str:
        """A place as clients are told it."""
        return "" if place is None else self._source.text(place)

    # -- parked events -----------------------------------------------------------------------------------------------

    @property
    def _parked_stream(self) -> str:
        return f"$persistentsubscription-{self.request.key}-parked"

    @property
    def parked_count(self) -> int:
        """How many events are parked."""
        store = self._context.store
        last = store.last_number(self._parked_stream)
        first = store.metadata(self._parked_stream).truncate_before or 0
        return 0 if last == LAST_NUMBER else max(last + 1 - first, 0)

    def park(self, item: Item, reason: str) -> bool:
        """Write a link to the event to the parked stream. What is parked is the event, and not a link to it."""
        record, target = item.candidate.record, item.candidate.target
        data = record.data if target is None else f"{target.number}@{target.stream}".encode()
        added = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=self._context.now() // 10)
        entry: dict[str, object] = {"added": f"{added:%Y-%m-%dT%H:%M:%S.%f}0+00:00", "reason": reason}
        if record.number:
            entry["subscriptionEventNumber"] = record.number
        metadata = json.dumps(entry, indent=2).encode()
        write = self._append(self._parked_stream, LINK_TYPE, data, metadata)
        if self._write_now(write):
            return True
        self._spawn(self._park_later, write, item)
        return False

    async def _park_later(self, write: Append, item: Item) -> None:
        for _ in range(_PARKING_ATTEMPTS):
            if not self._running or await self._write_later(write):
                break
        self._do(lambda group, now: group.parked(item, now))

    def replay(self, stop_at: int | None) -> None:
        """Deliver the parked events again, up to this number of the parked stream, which is left out."""
        if not self.group.replaying and self.parked_count:
            self.group.replaying = True
            self._spawn(self._replay, stop_at)

    async def _replay(self, stop_at: int | None) -> None:
        store, now = self._context.store, self._context.now()
        end = store.last_number(self._parked_stream) + 1
        stop = end if stop_at is None else min(stop_at, end)
        start = store.metadata(self._parked_stream).truncate_before or 0
        if stop == 0:
            return  # a node's flag that it replays stays set
        found: list[Candidate] = []
        while start < stop:
            try:
                page = store.read_stream(self._parked_stream, start, min(_PAGE, stop - start), now)
            except StreamDeleted:
                break  # somebody has deleted it for ever
            found += [candidate for record in page.records if (candidate := self._unparked(record)) is not None]
            if page.is_end or page.outcome == "no_stream":
                break
            start = page.next_number
            await trio.lowlevel.checkpoint()
        self._do(lambda group, at: group.replay(found, at))
        kept = json.dumps({"$tb": stop, "$acl": _ADMINS_ONLY}, separators=(",", ":")).encode()
        write = self._append(metastream_of(self._parked_stream), METADATA_TYPE, kept, is_json=True)
        if not self._write_now(write):
            await self._write_later(write)
        self.group.replaying = False

    def _unparked(self, link: Record) -> Candidate | None:
        try:
            target = self._context.store.resolve(link, self._context.now())
        except (MalformedLink, StreamDeleted):
            return None
        return None if target is None else Candidate(link.number, link, target, linked=True)

    # -- writing -----------------------------------------------------------------------------------------------------

    def _append(self, stream: str, type: str, data: bytes, metadata: bytes = b"", *, is_json: bool = False) -> Append:
        return Append(stream, ANY, [Proposal(self._context.new_id(), type, data, metadata, is_json)])

    def _write_now(self, write: Append) -> bool:
        """Make this write unless it must wait. Whether nothing is left to be done."""
        context = self._context
        if context.writes.must_wait():
            return False
        with contextlib.suppress(*Refused):
            context.store.run(write, context.now())
        return True

    async def _write_later(self, write: Append) -> bool:
        """Make this write when it is its turn. Whether there is an answer for good."""
        try:
            # The list of events is emptied by a write, which may have to be repeated.
            await self._context.writes.run(replace(write, events=list(write.events)))
        except Failure:
            return False
        except Refused:
            pass  # somebody has deleted the stream for ever
        return True


def _now() -> float:
    """Milliseconds of trio's clock."""
    return trio.current_time() * 1000
