"""The streams: their events by number, and their metadata.

The metadata of a stream `s` is the last event of the stream `$$s`, its *metastream*. A metastream is a stream like
others and can have a metastream itself; but of its events readers always see the last one alone. A tombstone ends the
stream, its metastream, the metastream of that, and so on. A name can consist of thousands of dollar signs, so nothing
here goes from stream to stream. The *level* of a name is the number of pairs of dollar signs in front of it, its *base*
is the rest, and for each base it is enough to know the lowest level that is tombstoned.

Readers and writers look at metadata in two ways. Readers take it from the metastream, and only if its content type is
JSON. A real node's writer does the same, except for metadata that the write before brought: that it has at hand, and
takes it whatever its content type says, for metastreams as well. So the write after a soft delete of a metastream, or
after metadata of the wrong content type that says "deleted", finds the stream deleted, and later writes do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ._ids import id_size
from ._log import string_size
from ._metadata import METASTREAM_METADATA, NO_METADATA, StreamMetadata, parse_metadata
from ._names import is_metastream, original_of
from ._values import LAST_NUMBER, Record


class EventStream:
    """One stream. Event n is at index n of its records; a tombstone is not among them."""

    __slots__ = ("_metadata", "id_size", "last", "meta_record", "name", "original", "records", "size")

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = string_size(name)
        """The bytes that the name takes in a record."""
        self.id_size = id_size(name)
        """The bytes that the id of an event takes in the memory of ids."""
        self.original: EventStream | None = None
        """Of a metastream with events: the stream that it describes."""
        self.records: list[Record] = []
        self.last = -1
        """The number of the last event: -1 if there is none, LAST_NUMBER after a tombstone."""
        self.meta_record: Record | None = None
        """The metadata in force: the last event of this stream's metastream."""
        self._metadata: StreamMetadata | None = None

    @property
    def metadata(self) -> StreamMetadata:
        """The metadata in force, as readers see it."""
        if is_metastream(self.name):
            return METASTREAM_METADATA
        if self.meta_record is None:
            return NO_METADATA
        if self._metadata is None:
            record = self.meta_record
            self._metadata = parse_metadata(record.data) if record.is_json else NO_METADATA
        return self._metadata

    def add(self, records: Sequence[Record]) -> None:
        """Append these events, or this tombstone."""
        last = records[-1]
        self.last = last.number
        is_tombstone = last.number == LAST_NUMBER
        if not is_tombstone:
            self.records += records
        if self.original is not None:
            self.original.meta_record = None if is_tombstone else last
            self.original._metadata = None

    def first_visible(self) -> int:
        """The lowest number that readers may see, the age of events aside. It can be greater than the last number."""
        metadata = self.metadata
        lowest = metadata.truncate_before or 0
        if metadata.max_count is not None:
            lowest = max(lowest, self.last - metadata.max_count + 1)
        return lowest


class Streams:
    """All streams by name. A stream is here once it, or its metastream, has been written to."""

    __slots__ = ("_by_name", "_tombstones", "fresh_metadata")

    def __init__(self) -> None:
        self._by_name: dict[str, EventStream] = {}
        self.fresh_metadata: Mapping[str, bytes] = {}
        """The metadata that the last write brought, by the streams that have it."""
        self._tombstones: dict[str, int] = {}

    def get(self, name: str) -> EventStream | None:
        """The stream of this name, if it is here."""
        return self._by_name.get(name)

    def make(self, name: str) -> EventStream:
        """The stream of this name, to be written to: new if need be, and of a metastream with its original."""
        stream = self._make(name)
        if stream.original is None and is_metastream(name):
            stream.original = self._make(original_of(name))
        return stream

    def _make(self, name: str) -> EventStream:
        stream = self._by_name.get(name)
        if stream is None:
            stream = self._by_name[name] = EventStream(name)
        return stream

    def add_tombstone(self, name: str) -> None:
        """Mark this stream as gone, and with it all its metastreams."""
        base, level = _base_and_level(name)
        self._tombstones[base] = min(level, self._tombstones.get(base, level))

    def is_gone(self, name: str) -> bool:
        """Whether readers of this stream are told that it is deleted."""
        if not self._tombstones:
            return False
        base, level = _base_and_level(name)
        tombstoned = self._tombstones.get(base)
        return tombstoned is not None and tombstoned <= level

    def last_for_reader(self, name: str) -> int:
        """The number of the last event as readers see it: a tombstone ends the metastream too."""
        if self.is_gone(name):
            return LAST_NUMBER
        stream = self._by_name.get(name)
        return -1 if stream is None else stream.last

    def last_for_writer(self, name: str) -> int:
        """The number of the last event as writers see it: a metastream with events outlives its stream."""
        stream = self._by_name.get(name)
        if stream is not None and stream.last >= 0:
            return stream.last
        return self.last_for_reader(name)

    def is_deleted_for_writer(self, name: str) -> bool:
        """Whether a writer finds this stream soft deleted."""
        if self.fresh_metadata and name in self.fresh_metadata:
            return parse_metadata(self.fresh_metadata[name]).is_deleted
        stream = self._by_name.get(name)
        return stream is not None and stream.meta_record is not None and stream.metadata.is_deleted

    def keep_fresh_metadata(self, records: Sequence[Record]) -> None:
        """Keep the metadata that a write has just brought, for the next write; forget that of the write before."""
        if records or self.fresh_metadata:
            self.fresh_metadata = {original_of(record.stream): record.data for record in records}

    def cut(self, names: Iterable[str], shorter: Streams) -> None:
        """Take back what these streams have got since the others were as these are.

        Streams that were made meanwhile stay, without events, which is as if they were not here.
        """
        for name in names:
            stream, before = self._by_name[name], shorter._by_name.get(name) or EventStream(name)
            del stream.records[len(before.records) :]
            stream.last = before.last
            if stream.original is not None:
                original = shorter._by_name.get(stream.original.name)
                stream.original.meta_record = None if original is None else original.meta_record
                stream.original._metadata = None
        self._tombstones = dict(shorter._tombstones)
        self.fresh_metadata = shorter.fresh_metadata


def _base_and_level(name: str) -> tuple[str, int]:
    """See the head of this module."""
    level = (len(name) - len(name.lstrip("$"))) // 2
    return name[2 * level :], level
