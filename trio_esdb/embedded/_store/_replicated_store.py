"""A store that takes what another one wrote, and can take back what it has got."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ._checks import Checks
from ._entries import Entry, Epoch, entry_since
from ._store import Store
from ._values import LAST_NUMBER, Record

_RESTORING = 2
"""Events of a write that can be of other streams than the first one; they are its last."""


class ReplicatedStore(Store):
    """One of the two stores of a node in a cluster; see ``Replica``."""

    @property
    def length(self) -> int:
        """How many records the log has."""
        return len(self._log.entries)

    def entry_since(self, length: int, epoch: Epoch | None = None) -> Entry:
        """The write that was made when the log had this length."""
        return entry_since(self._log, length, self._streams.fresh_metadata, epoch)

    def record(self, stream: str, number: int) -> Record:
        """An event that is in the log, whether readers can see it or not."""
        found = self._streams.get(stream)
        assert found is not None
        return found.records[number]

    def add_epoch(self) -> None:
        """Write the record of an epoch, which is no event."""
        self._log.add_epoch()

    def take(self, entry: Entry) -> None:
        """Add an entry of a log that was the same so far. Listeners are not told, and no id is remembered."""
        records = entry.records
        self._log.add_copied(entry.start, records, entry.end)
        alike = max(len(records) - _RESTORING, 0)
        if alike:
            self._streams.make(records[0].stream).add(records[:alike])
        for record in records[alike:]:
            self._streams.make(record.stream).add((record,))
            if record.number == LAST_NUMBER:
                self._streams.add_tombstone(record.stream)
        self._streams.fresh_metadata = entry.fresh_metadata

    def tell(self, records: Sequence[Record]) -> None:
        """Tell listeners of events that were taken."""
        self._tell(records)

    def cut(self, shorter: ReplicatedStore, entries: Iterable[Entry]) -> None:
        """Become as another store is, which is as this one was before these entries."""
        touched = {record.stream: None for entry in entries for record in entry.records}
        self._log.cut(shorter._log)
        self._streams.cut(touched, shorter._streams)

    def forget_unwritten(self) -> None:
        """Forget the ids of events that are not, or no longer, in the log."""
        self._ids.forget_from(self._log.end)

    def reopened(self, make_id: Callable[[], int]) -> ReplicatedStore:
        """The same data in a new process: nobody listens, and no id is remembered. This store is not to be used again.

        Args:
            make_id: Makes ids, as for a new store.
        """
        store = ReplicatedStore(make_id)
        store._log = self._log
        store._streams = self._streams
        store._checks = Checks(store._streams, store._ids)
        return store
