"""The store: one log and the streams in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from ._access import NO_SETTINGS, SETTINGS_STREAM, Right, Settings, parse_settings, roles_of
from ._checks import Checks
from ._filters import Filter
from ._ids import RecentIds
from ._links import parse_link
from ._log import Log, NewRecords, record_size, string_size
from ._metadata import DELETING, StreamMetadata, check_max_age, decode_text, undeleted
from ._names import DELETED_TYPE, METADATA_TYPE, is_metastream, metastream_of, original_of
from ._reading import read_event, read_stream, read_stream_backwards
from ._reading_all import read_all, read_all_backwards
from ._streams import EventStream, Streams
from ._turns import TURN, Turns
from ._values import (
    LAST_NUMBER,
    AllPage,
    Append,
    Delete,
    NeverAnswered,
    Proposal,
    Record,
    StreamDeleted,
    StreamPage,
    Write,
    Written,
    WrongExpectation,
)

Listener = Callable[[Sequence[Record]], None]

_TOLD = 100
"""Events that listeners are told of in one turn."""


class Store:
    """Everything that a node keeps, in memory.

    The store has no clock: every `now` is a time in ticks (100 ns) since the Unix epoch.

    Args:
        make_id: Makes the ids of the events that the node itself writes. They must differ from each other and from the
            ids of all other events. Without it the ids are numbered.
    """

    def __init__(self, make_id: Callable[[], int] | None = None) -> None:
        self._log = Log()
        self._streams = Streams()
        self._ids = RecentIds()
        self._checks = Checks(self._streams, self._ids)
        self._make_id = make_id or count(1).__next__
        self._listeners: list[Listener] = []
        self._settings: tuple[Record | None, Settings] = (None, NO_SETTINGS)
        """The event of `$settings` that was read last, and what it says."""

    # -- the state of the log and of streams

    @property
    def end(self) -> int:
        """The position after the last record."""
        return self._log.end

    @property
    def last_position(self) -> int:
        """The position of the last event, -1 while there is none."""
        return self._log.last_position

    def last_number(self, stream: str) -> int:
        """The number of the stream's last event: -1 if it has none, LAST_NUMBER if it is tombstoned."""
        return self._streams.last_for_reader(stream)

    def metadata(self, stream: str) -> StreamMetadata:
        """The metadata in force of this stream."""
        found = self._streams.get(stream)
        return StreamMetadata() if found is None else found.metadata

    def roles(self, right: Right, stream: str, now: int) -> tuple[str, ...]:
        """The users and groups that have this right to a stream; EVERYBODY among them stands for all users."""
        record = read_event(self._streams, SETTINGS_STREAM, -1, now)
        if record is not self._settings[0]:
            self._settings = (record, NO_SETTINGS if record is None else parse_settings(decode_text(record.data)))
        return roles_of(right, stream, self.metadata(stream).acl, self._settings[1])

    # -- writing

    def append(self, stream: str, expected: int, events: Sequence[Proposal], now: int) -> Written | WrongExpectation:
        """Write all events or none.

        An append without events is a write too: it takes a place in the log, and restores a soft deleted stream.

        Args:
            stream: The name of the stream.
            expected: The number of the stream's last event, or one of ANY, NO_STREAM, STREAM_EXISTS.
            events: The events, in their order.
            now: The time at which they are recorded.

        Raises:
            StreamDeleted: The stream is tombstoned; or soft deleted, and expected to exist.
            NeverAnswered: A real node fails on this write.
            HarmfulMetadata: A real node fails after this write.
        """
        restored = self._restored_by(stream)
        checked = self._check(stream, expected, [event.id for event in events], now)
        if not isinstance(checked, int):
            return checked
        if is_metastream(stream):
            _check_metadata(events, now)
        target = self._streams.make(stream)
        new = NewRecords(self._log.end)
        self._make_records(target, events, checked + 1, now, new)
        written = self._add(target, checked, new, restored, now)
        if new.records:
            self._tell(new.records)
        return written

    def run(self, write: Write, now: int) -> Written | WrongExpectation:
        """Do what this value says, in one step."""
        if isinstance(write, Append):
            return self.append(write.stream, write.expected, write.events, now)
        if isinstance(write, Delete):
            return self.delete(write.stream, write.expected, now)
        return self.tombstone(write.stream, write.expected, now)

    def append_in_turns(
        self, stream: str, expected: int, events: list[Proposal], now: int
    ) -> Turns[Written | WrongExpectation]:
        """The same in turns of TURN events.

        It must be driven to its end, and nothing else may be written meanwhile. Readers see none of the events before
        all of them are written; listeners are then told in turns as well, of fewer events, since each of them may have
        to do something for each event. The list of events is emptied, so that no event is held twice: the more objects
        there are, the longer the garbage collector holds up everything.
        """
        restored = self._restored_by(stream)
        checked = self._check(stream, expected, [event.id for event in events], now)
        if not isinstance(checked, int):
            return checked
        if is_metastream(stream):
            _check_metadata(events, now)
        target = self._streams.make(stream)
        new = NewRecords(self._log.end)
        events.reverse()
        while events:
            turn = events[: -TURN - 1 : -1]
            del events[-TURN:]
            self._make_records(target, turn, checked + 1 + len(new.records), now, new)
            yield
        written = self._add(target, checked, new, restored, now)
        yield from self._tell_in_turns(new.records)
        return written

    def delete(self, stream: str, expected: int, now: int) -> Written | WrongExpectation:
        """Soft delete: hide all events until an append restores the stream, which then goes on with the next number.

        Returns:
            Number and position of the metadata that was written for it; or that the expectation is wrong.

        Raises:
            StreamDeleted: The stream is tombstoned; or soft deleted, and expected to exist.
            NeverAnswered: The stream's metastream is tombstoned.
        """
        id = self._make_id()
        checked = self._check(stream, expected, [id], now)
        if not isinstance(checked, int):
            return checked
        last = self._streams.last_for_writer(metastream_of(stream))
        if checked < 0 and last < 0:
            return WrongExpectation(expected, -1)
        if last == LAST_NUMBER:
            raise NeverAnswered(
                f"it shuts down. The stream {metastream_of(stream)!r} is tombstoned, and a soft delete writes to it."
            )
        record = self._write_one(metastream_of(stream), last + 1, id, METADATA_TYPE, DELETING, True, now)
        self._streams.keep_fresh_metadata([record])
        self._tell([record])
        return Written(record.number, record.position)

    def tombstone(self, stream: str, expected: int, now: int) -> Written | WrongExpectation:
        """Delete for ever.

        Returns:
            Number and position of the tombstone; or that the expectation is wrong.

        Raises:
            StreamDeleted: The stream is tombstoned; or soft deleted, and expected to exist.
        """
        id = self._make_id()
        checked = self._check(stream, expected, [id], now)
        if not isinstance(checked, int):
            return checked
        record = self._write_one(stream, LAST_NUMBER, id, DELETED_TYPE, b"", False, now)
        self._streams.add_tombstone(stream)
        self._streams.keep_fresh_metadata([record] if is_metastream(stream) else [])
        self._tell([record])
        return Written(record.number, record.position)

    def listen(self, callback: Listener) -> Callable[[], None]:
        """Call this with the new records, in the order of the log, after each write; returns what ends that."""
        self._listeners.append(callback)

        def stop() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return stop

    # -- reading

    def read_stream(self, stream: str, start: int, count: int, now: int) -> StreamPage:
        """Look at the numbers start .. start + count - 1.

        A page may be empty although others follow: `next_number` says where. A soft deleted stream is `no_stream` like
        one that was never written to; only `last_number` differs.

        Args:
            stream: The name of the stream.
            start: The first number, not negative.
            count: How many numbers, at least one.
            now: The time from which the age of events is counted.

        Raises:
            StreamDeleted: The stream is tombstoned.
        """
        return read_stream(self._streams, stream, start, count, now)

    def read_stream_backwards(self, stream: str, start: int, count: int, now: int) -> StreamPage:
        """Look at the numbers start .. start - count + 1; start -1 is the last event. Otherwise as `read_stream`."""
        return read_stream_backwards(self._streams, stream, start, count, now)

    def read_all(
        self, commit: int, prepare: int, filter: Filter | None, count: int, window: int | None = None
    ) -> Turns[AllPage]:
        """A page of the log from this position on, inclusive.

        It ends when `count` events matched or `window` events were considered. Events of streams that are hidden from
        `$all` are considered and never match. A start beyond the last event finds nothing.

        Raises:
            InvalidPosition: No record begins at the commit position.
            TooMuchWork: The filter's pattern takes too long for a name.
        """
        return read_all(self._log, commit, prepare, filter, count, window)

    def read_all_backwards(
        self, commit: int, prepare: int, filter: Filter | None, count: int, window: int | None = None
    ) -> Turns[AllPage]:
        """A page of the log down from this position, exclusive. `end` twice starts with the last event.

        With a prepare position below the commit position the event that ends at the commit position is left out too.

        Raises:
            InvalidPosition: No record begins at the commit position.
            BeyondEnd: The commit position is after the end of the log.
            TooMuchWork: The filter's pattern takes too long for a name.
        """
        return read_all_backwards(self._log, commit, prepare, filter, count, window)

    def position_after(self, position: int) -> int:
        """The position of the first record after this one; the end of the log if there is none."""
        return self._log.position_after(position)

    def position_before(self, position: int) -> int:
        """The position of the last record before this one, -1 if there is none."""
        return self._log.position_before(position)

    def read_event(self, stream: str, number: int, now: int) -> Record | None:
        """One event, -1 for the last; None if readers cannot see it, whatever the reason."""
        return read_event(self._streams, stream, number, now)

    def resolve(self, link: Record, now: int) -> Record | None:
        """The event that a link points to; None if readers cannot see it. Raises MalformedLink."""
        target = parse_link(link.data)
        return None if target is None else read_event(self._streams, target[1], target[0], now)

    # -- inside

    def _make_records(
        self, target: EventStream, events: Sequence[Proposal], number: int, now: int, new: NewRecords
    ) -> None:
        """Make the records of these events, from this number on, and remember their ids."""
        name, size, id_size, remember = target.name, target.size, target.id_size, self._ids.add
        records, positions, position = new.records, new.positions, new.end
        for event in events:
            record = Record(
                name, number, position, event.id, event.type, event.data, event.metadata, event.is_json, now
            )
            records.append(record)
            positions.append(position)
            remember(record, id_size)
            number += 1
            position += record_size(size + string_size(event.type) + len(event.data) + len(event.metadata))
        new.end = position

    def _write_one(self, stream: str, number: int, id: int, type: str, data: bytes, is_json: bool, now: int) -> Record:
        """Write an event of the node's own."""
        target = self._streams.make(stream)
        new = NewRecords(self._log.end)
        self._make_records(target, [Proposal(id, type, data, b"", is_json)], number, now, new)
        self._log.add(new)
        target.add(new.records)
        return new.records[0]

    def _add(
        self, target: EventStream, last: int, new: NewRecords, restored: Sequence[tuple[str, int]], now: int
    ) -> Written:
        """Add new records to the log and to their stream, whose last number was `last`, and restore these streams.

        The metadata that is written for that joins the new records.
        """
        records = new.records
        if records:
            self._log.add(new)
            target.add(records)
            written = Written(records[-1].number, records[-1].position)
        else:
            written = Written(last if last >= 0 else None, self._log.add_nothing(target.size + string_size("")))
        metadata = records[-1:] if target.original is not None else []
        for name, first_visible in restored:
            record = self._restore(name, first_visible, now)
            if record is not None:
                metadata.append(record)
                records.append(record)
        self._streams.keep_fresh_metadata(metadata)
        return written

    def _check(self, stream: str, expected: int, ids: Sequence[int], now: int) -> int | Written | WrongExpectation:
        """See `Checks.check`. The next write after one that is not accepted finds no fresh metadata either."""
        try:
            checked = self._checks.check(stream, expected, ids, now)
        except (StreamDeleted, NeverAnswered):
            self._streams.keep_fresh_metadata(())
            raise
        if not isinstance(checked, int):
            self._streams.keep_fresh_metadata(())
        return checked

    def _restored_by(self, stream: str) -> Sequence[tuple[str, int]]:
        """The soft deleted streams that an append to this stream restores, and the first number visible after it.

        Metadata restores the stream that it describes, whatever it says.
        """
        if not is_metastream(stream):
            if not self._streams.is_deleted_for_writer(stream):
                return ()
            names = [stream]
        else:
            names = [name for name in (stream, original_of(stream)) if self._streams.is_deleted_for_writer(name)]
        restored = []
        for name in names:
            last = self._streams.last_for_writer(name)
            # The number after a tombstone does not fit into 64 bits, and a node does not mind.
            restored.append((name, last + 1 if last < LAST_NUMBER else -LAST_NUMBER - 1))
        return restored

    def _restore(self, stream: str, first_visible: int, now: int) -> Record | None:
        """Write the metadata of a soft deleted stream again, changed so that the stream begins at this number.

        Metadata that cannot be changed stays as it is.
        """
        metadata = self._streams.make(stream).meta_record
        assert metadata is not None
        data = undeleted(metadata.data, first_visible)
        if data is None:
            return None
        number = self._streams.last_for_writer(metastream_of(stream)) + 1
        return self._write_one(metastream_of(stream), number, self._make_id(), METADATA_TYPE, data, True, now)

    def _tell(self, records: Sequence[Record]) -> None:
        for listener in tuple(self._listeners):
            listener(records)

    def _tell_in_turns(self, records: Sequence[Record]) -> Turns[None]:
        if self._listeners:
            for start in range(0, len(records), _TOLD):
                self._tell(records[start : start + _TOLD])
                yield


def _check_metadata(events: Sequence[Proposal], now: int) -> None:
    """Refuse metadata on which a real node fails later."""
    if events and events[-1].is_json:
        check_max_age(events[-1].data, now)
