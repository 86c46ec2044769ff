"""The data of a node in a cluster: what is written, and what of it is confirmed.

The leader writes to its log at once, and its checks see the log as it is. Readers see a write only when it is
confirmed, which it is when enough nodes have it. Until then it can be lost: when another node becomes the leader
without having it, the tail of the log is cut off. So there are two stores. Writers use the one that has all entries;
readers, subscriptions and access lists use the one that has the confirmed ones. They share the records.

The nodes of a cluster hand each other entries: ``entries_after`` gives them, ``take`` adds them to the log of a node
that does not lead, ``confirm`` shows them to readers, ``cut`` removes those that are not confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count

from ._entries import Entry, Epoch, common_end, index_after
from ._first_events import epoch_event, scavenges_metadata
from ._log import FIRST_END
from ._replicated_store import ReplicatedStore
from ._turns import Turns
from ._values import Append, StreamDeleted, Write, Written, WrongExpectation

_TOLD = 100
"""Events that listeners are told of in one turn."""


class Interrupted(Exception):
    """The node may write no more, and stopped in the middle of a large append. Nothing of it was written."""


class Replica:
    """The log of a node of a cluster, with a commit point.

    Args:
        make_id: Makes the ids of the events that the node itself writes.
    """

    def __init__(self, make_id: Callable[[], int] | None = None) -> None:
        self._make_id = make_id or count(1).__next__
        self._interruptions = 0
        self._is_confirming = False
        self._empty()
        self.on_written: Callable[[], None] = _nothing
        """Called after this node has written to its log as the leader."""
        self.on_confirmed: Callable[[], None] = _nothing
        """Called after entries have been confirmed, and listeners been told."""
        self.go_on: Callable[[Turns[None]], None] = _do_at_once
        """Called with work of many turns, which it has to drive to its end."""

    def _empty(self) -> None:
        self._store = ReplicatedStore(self._make_id)
        self._confirmed_store = ReplicatedStore(self._make_id)
        self._entries: list[Entry] = []
        self._confirmed = 0
        """How many of the entries are confirmed."""
        self._wanted_end = 0
        """Up to where entries are to be confirmed."""
        self._epochs: list[Epoch] = []

    # -- what there is

    @property
    def confirmed(self) -> ReplicatedStore:
        """The store of readers: it holds what is confirmed. Nothing else may write to it."""
        return self._confirmed_store

    @property
    def end(self) -> int:
        """The position after the last entry."""
        return self._store.end

    @property
    def confirmed_end(self) -> int:
        """The commit point: the position after the last confirmed entry."""
        return self._confirmed_store.end

    @property
    def epochs(self) -> Sequence[Epoch]:
        """The epochs in the log, in their order."""
        return self._epochs

    def common_end(self, epochs: Sequence[Epoch], end: int) -> int:
        """The position up to which this log and another one, with these epochs and this end, are the same."""
        return common_end(self._epochs, self.end, epochs, end)

    # -- writing, as the leader

    def begin_epoch(self, leader: int, now: int, number: int | None = None) -> None:
        """Write what a node writes when it becomes the leader; on an empty log the first events of a fresh node too.

        Args:
            leader: The id of the node.
            now: Ticks since the Unix epoch.
            number: The number of the epoch, by default the next one.

        Raises:
            ValueError: The number is not greater than that of the last epoch.
        """
        last = self._epochs[-1] if self._epochs else None
        if number is None:
            number = 0 if last is None else last.number + 1
        elif last is not None and number <= last.number:
            raise ValueError(f"epoch {number} cannot follow epoch {last.number}")
        self.interrupt()
        length = self._store.length
        epoch = Epoch(number, self._make_id(), leader, self._store.end)
        previous = -1
        if last is not None:
            # the first epoch's record is the one with which every log begins
            previous = 0 if last.start == FIRST_END else last.start
            self._store.add_epoch()
        with suppress(StreamDeleted):  # somebody has tombstoned the epochs, so only the record is written
            self._store.run(epoch_event(epoch.id, previous, leader, self._make_id(), now), now)
        self._add(self._store.entry_since(length, epoch))
        if last is None:
            self.write(scavenges_metadata(self._make_id()), now)
        self.on_written()

    def write(self, write: Write, now: int) -> tuple[Written | WrongExpectation, int]:
        """Make a write, as ``Store.run`` does.

        Returns:
            The outcome, and where the commit point must be before the writer is told of it: after the write, or after
            the place where a repeated write was written first.
        """
        length = self._store.length
        outcome = self._store.run(write, now)
        return outcome, self._written(write, outcome, length)

    def append_in_turns(self, write: Append, now: int) -> Turns[tuple[Written | WrongExpectation, int]]:
        """The same in turns, as ``Store.append_in_turns`` does it: the list of events is emptied.

        No other write may be made meanwhile.

        Raises:
            Interrupted: The node stopped writing.
        """
        length, interruptions = self._store.length, self._interruptions
        work = self._store.append_in_turns(write.stream, write.expected, write.events, now)
        while True:
            try:
                next(work)
            except StopIteration as stop:
                return stop.value, self._written(write, stop.value, length)
            yield
            if interruptions != self._interruptions:
                work.close()
                raise Interrupted

    def interrupt(self) -> None:
        """Stop an append that is being written in turns: the node does not lead any more."""
        self._interruptions += 1
        self._store.forget_unwritten()

    # -- replication

    def entries_after(self, position: int, limit: int | None = None) -> Sequence[Entry]:
        """The entries from this position on.

        Args:
            position: Where the first of them begins.
            limit: Give no more when there are as many events; None for all entries.

        Raises:
            ValueError: No entry begins there.
        """
        start = index_after(self._entries, position)
        if limit is None:
            return self._entries[start:]
        stop = start
        while stop < len(self._entries) and limit > 0:
            limit -= len(self._entries[stop].records) or 1
            stop += 1
        return self._entries[start:stop]

    def take(self, entries: Sequence[Entry]) -> None:
        """Add entries of the leader to the end of the log.

        An event takes a microsecond or two, those of one large entry far less, so give TURN events at a time.

        Raises:
            ValueError: An entry does not begin at the end of this log.
        """
        self.interrupt()
        for entry in entries:
            if entry.start != self.end:
                raise ValueError(f"an entry at position {entry.start} cannot follow a log that ends at {self.end}")
            self._store.take(entry)
            self._add(entry)

    def confirm(self, end: int) -> None:
        """Move the commit point up to this position, or to the end of the last entry before it; it never moves back.

        Readers see the entries one after the other, and listeners are told of them. What takes more than a turn is
        left to ``go_on``; another call meanwhile only says that more is confirmed.
        """
        self._wanted_end = max(self._wanted_end, min(end, self.end))
        if not self._is_confirming:
            self._is_confirming = True
            work = self._confirm()
            with suppress(StopIteration):
                next(work)
                self.go_on(work)

    def _confirm(self) -> Turns[None]:
        steps = _TOLD
        try:
            while self._confirmed < len(self._entries) and self._entries[self._confirmed].end <= self._wanted_end:
                records = self._entries[self._confirmed].records
                self._confirmed_store.take(self._entries[self._confirmed])
                self._confirmed += 1
                for start in range(0, len(records), _TOLD):
                    if steps <= 0:
                        self.on_confirmed()
                        yield
                        steps = _TOLD
                    part = records[start : start + _TOLD]
                    self._confirmed_store.tell(part)
                    steps -= len(part)
            self.on_confirmed()
        finally:
            self._is_confirming = False

    def cut(self, end: int) -> None:
        """Remove the entries from this position on, as if they had never been written.

        Raises:
            ValueError: One of them is confirmed; or no entry begins there.
        """
        if end < self.confirmed_end:
            raise ValueError(f"the log cannot be cut at {end}, since it is confirmed up to {self.confirmed_end}")
        kept = index_after(self._entries, end)
        unconfirmed = self._entries[self._confirmed :]
        del self._entries[kept:]
        self._wanted_end = min(self._wanted_end, end)
        self._store.cut(self._confirmed_store, unconfirmed)
        for entry in self._entries[self._confirmed :]:
            self._store.take(entry)
        self.interrupt()
        while self._epochs and self._epochs[-1].start >= end:
            self._epochs.pop()

    def reopened(self, make_id: Callable[[], int] | None = None) -> Replica:
        """The same data in a new process, which has the log and no memory of ids.

        This replica is empty then: whatever the old process still does, it does to nothing.

        Args:
            make_id: Makes ids, as for a new replica.
        """
        self.interrupt()
        replica = Replica(make_id)
        replica._store = self._store.reopened(replica._make_id)
        replica._confirmed_store = self._confirmed_store.reopened(replica._make_id)
        replica._entries, replica._confirmed = self._entries, self._confirmed
        replica._epochs = self._epochs
        self._empty()
        return replica

    # -- inside

    def _written(self, write: Write, outcome: Written | WrongExpectation, length: int) -> int:
        """Make an entry of what was written since the log had this length; where its writer's wait ends."""
        if self._store.length > length:
            self._add(self._store.entry_since(length))
            self.on_written()
            return self.end
        if isinstance(outcome, WrongExpectation) or outcome.number is None:
            return 0
        return self._store.record(write.stream, outcome.number).position + 1

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        if entry.epoch is not None:
            self._epochs.append(entry.epoch)


def _nothing() -> None:
    """What is called where nobody asked to be."""


def _do_at_once(work: Turns[None]) -> None:
    for _ in work:
        pass
