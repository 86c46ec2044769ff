"""The store: one log and the streams in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from ._checks import Checks
from ._ids import RecentIds
from ._links import parse_link
from ._log import Log, string_size
from ._metadata import DELETING, SYSTEM_ACL, USER_ACL, Acl, Settings, StreamMetadata, parse_settings, undeleted
from ._names import (
    DELETED_TYPE,
    METADATA_TYPE,
    SETTINGS_STREAM,
    is_system,
    metastream_of,
)
from ._reading import read_event, read_stream, read_stream_backwards
from ._reading_all import read_all, read_all_backwards
from ._streams import Stream, Streams
from ._values import (
    LAST_NUMBER,
    AllPage,
    NeverAnswered,
    Proposal,
    Record,
    StreamPage,
    Written,
    WrongExpectation,
)

Listener = Callable[[Sequence[Record]], None]


class Store:
    """Everything a node keeps, in memory. It has no clock: `now` is in ticks (100 ns) since the Unix epoch.

    `make_id` gives the ids of the events that the node itself writes; they must differ from each other and from the
    writers' ids. Without it they are numbered.
    """

    def __init__(self, make_id: Callable[[], int] | None = None) -> None:
        self._log = Log()
        self._streams = Streams()
        self._ids = RecentIds()
        self._checks = Checks(self._streams, self._ids)
        self._make_id = make_id or count(1).__next__
        self._listeners: list[Listener] = []
        self._settings: tuple[Record, Settings] | None = None

    # -- where the log and the streams stand

    @property
    def end(self) -> int:
        """The position just after the last record."""
        return self._log.end

    @property
    def last_position(self) -> int:
        """The position of the last write, -1 while nothing was written."""
        return self._log.last_position

    def last_number(self, stream: str) -> int:
        """Number of the stream's last event: -1 if it has none, LAST_NUMBER if it is tombstoned."""
        return self._streams.last_for_reader(stream)

    def metadata(self, stream: str) -> StreamMetadata:
        """The metadata in force of this stream."""
        found = self._streams.get(stream)
        return StreamMetadata() if found is None else found.metadata

    def acl(self, stream: str) -> Acl:
        """Who may do what with this stream, with nothing left open: the stream's own list, else the node's default."""
        settings = self._current_settings()
        default, fallback = (settings.system, SYSTEM_ACL) if is_system(stream) else (settings.user, USER_ACL)
        own = self.metadata(stream).acl or Acl()
        default = default or Acl()
        read, write, delete, meta_read, meta_write = (
            next(roles for acl in (own, default, fallback) if (roles := getattr(acl, right)) is not None)
            for right in ("read", "write", "delete", "meta_read", "meta_write")
        )
        return Acl(read, write, delete, meta_read, meta_write)

    # -- writing

    def append(self, stream: str, expected: int, events: Sequence[Proposal], now: int) -> Written | WrongExpectation:
        """Write all events or none. Raises StreamDeleted, NeverAnswered.

        No events at all is a write too: it takes a place in the log, and brings back a soft deleted stream.
        """
        checked = self._checks.check(stream, expected, [event.id for event in events], now)
        if not isinstance(checked, int):
            return checked
        target = self._streams.make(stream)
        # Metadata written by hand brings a deleted stream back as well, and must be judged before it is in force.
        revived = target.original or target
        is_deleted, first_visible = revived.metadata.is_deleted, revived.last + 1
        records = [
            self._write(target, number, event.id, event.type, event.data, event.metadata, event.is_json, now)
            for number, event in enumerate(events, checked + 1)
        ]
        if records:
            written = Written(records[-1].number, records[-1].position)
        else:
            position = self._log.add_nothing(target.size + string_size(""))
            written = Written(checked if checked >= 0 else None, position)
        if is_deleted:
            records += self._revive(revived, first_visible, now)
        self._tell(records)
        return written

    def delete(self, stream: str, expected: int, now: int) -> Written | WrongExpectation:
        """Soft delete: hide all events and let the next append bring the stream back. Raises StreamDeleted.

        What is written is metadata; number and position are those of that event.
        """
        id = self._make_id()
        checked = self._checks.check(stream, expected, [id], now)
        if not isinstance(checked, int):
            return checked
        last = self._streams.last_for_writer(metastream_of(stream))
        if checked < 0 and last < 0:
            return WrongExpectation(expected, -1)
        if last == LAST_NUMBER:
            raise NeverAnswered("the stream's metadata is tombstoned, so nothing can say that it is deleted")
        metastream = self._streams.make(metastream_of(stream))
        record = self._write(metastream, last + 1, id, METADATA_TYPE, DELETING, b"", True, now)
        self._tell([record])
        return Written(record.number, record.position)

    def tombstone(self, stream: str, expected: int, now: int) -> Written | WrongExpectation:
        """Delete for ever. Raises StreamDeleted."""
        id = self._make_id()
        checked = self._checks.check(stream, expected, [id], now)
        if not isinstance(checked, int):
            return checked
        target = self._streams.make(stream)
        record = self._write(target, LAST_NUMBER, id, DELETED_TYPE, b"", b"", False, now)
        self._tell([record])
        return Written(record.number, record.position)

    def forget_ids(self) -> None:
        """What a restart does: repeated writes with `any` are taken for new ones from now on."""
        self._ids.clear()

    def listen(self, callback: Listener) -> Callable[[], None]:
        """Call this after every write with the new records in log order; returns what ends that."""
        self._listeners.append(callback)

        def stop() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return stop

    # -- reading

    def read_stream(self, stream: str, start: int, count: int, now: int) -> StreamPage:
        """Look at the numbers start .. start + count - 1 (start >= 0, count >= 1). Raises StreamDeleted.

        A page may be empty although others follow: then `next_number` says where to go on. Soft deleted streams are
        `no_stream` like those never written to; `last_number` still tells them apart.
        """
        return read_stream(self._streams, stream, start, count, now)

    def read_stream_backwards(self, stream: str, start: int, count: int, now: int) -> StreamPage:
        """Look at the numbers start .. start - count + 1; start -1 is the last event. Raises StreamDeleted."""
        return read_stream_backwards(self._streams, stream, start, count, now)

    def read_all(
        self, commit: int, prepare: int, matches: Callable[[Record], bool] | None, count: int, window: int | None = None
    ) -> AllPage:
        """From this position on, inclusive: until `count` records matched or `window` events were considered.

        Raises InvalidPosition. A start beyond the last record finds nothing. Streams that are hidden from `$all` are
        considered, but never match.
        """
        return read_all(self._log, commit, prepare, matches, count, window)

    def read_all_backwards(
        self, commit: int, prepare: int, matches: Callable[[Record], bool] | None, count: int, window: int | None = None
    ) -> AllPage:
        """Down from this position, exclusive. Raises InvalidPosition, and BeyondEnd for a start after the end.

        `end` twice is the start that gives the last record first.
        """
        return read_all_backwards(self._log, commit, prepare, matches, count, window)

    def read_event(self, stream: str, number: int, now: int) -> Record | None:
        """One event, -1 for the last; None if a reader cannot see it, whatever the reason."""
        return read_event(self._streams, stream, number, now)

    def resolve(self, link: Record, now: int) -> Record | None:
        """The event a `$>` record points to; None if it cannot be read. Raises MalformedLink."""
        target = parse_link(link.data)
        return None if target is None else read_event(self._streams, target[1], target[0], now)

    # -- inside

    def _write(
        self, target: Stream, number: int, id: int, type: str, data: bytes, metadata: bytes, is_json: bool, now: int
    ) -> Record:
        record = Record(target.name, number, self._log.end, id, type, data, metadata, is_json, now)
        self._log.add(record, target.size + string_size(type) + len(data) + len(metadata))
        target.add(record)
        self._ids.add(record)
        return record

    def _revive(self, stream: Stream, first_visible: int, now: int) -> list[Record]:
        """Write the metadata of a soft deleted stream again, so that its next events are visible and the old ones not.

        Text that cannot be changed stays as it is.
        """
        assert stream.meta_record is not None
        data = undeleted(stream.meta_record.data, first_visible)
        if data is None:
            return []
        metastream = self._streams.make(metastream_of(stream.name))
        return [self._write(metastream, metastream.last + 1, self._make_id(), METADATA_TYPE, data, b"", True, now)]

    def _tell(self, records: Sequence[Record]) -> None:
        if records:
            for listener in tuple(self._listeners):
                listener(records)

    def _current_settings(self) -> Settings:
        stream = self._streams.get(SETTINGS_STREAM)
        if stream is None or not stream.records:
            return Settings()
        record = stream.records[-1]
        if self._settings is None or self._settings[0] is not record:
            self._settings = record, parse_settings(record.data)
        return self._settings[1]
