"""The streams: their events by number, and what their metadata makes of them."""

from __future__ import annotations

from ._log import string_size
from ._metadata import METASTREAM_METADATA, NO_METADATA, StreamMetadata, parse_metadata
from ._names import is_metastream, original_of
from ._values import LAST_NUMBER, Record


class Stream:
    """One stream. Event n stands at place n of its records; only a tombstone has a number of its own kind."""

    __slots__ = ("_metadata", "last", "meta_record", "name", "original", "records", "size")

    def __init__(self, name: str, original: Stream | None) -> None:
        self.name = name
        self.size = string_size(name)
        self.original = original
        """Of a metastream: the stream it describes."""
        self.records: list[Record] = []
        self.last = -1
        """Number of the last event: -1 if there is none, LAST_NUMBER after a tombstone."""
        self.meta_record: Record | None = None
        """The metadata in force: the last event of this stream's metastream."""
        self._metadata: StreamMetadata | None = None

    @property
    def is_gone(self) -> bool:
        """Whether this stream, or the one it describes, is tombstoned."""
        stream: Stream | None = self
        while stream is not None and stream.last != LAST_NUMBER:
            stream = stream.original
        return stream is not None

    @property
    def metadata(self) -> StreamMetadata:
        """The metadata in force, parsed when first asked for."""
        if self.original is not None:
            return METASTREAM_METADATA
        if self.meta_record is None or self.last == LAST_NUMBER:
            return NO_METADATA
        if self._metadata is None:
            record = self.meta_record
            self._metadata = parse_metadata(record.data) if record.is_json else NO_METADATA
        return self._metadata

    def add(self, record: Record) -> None:
        """Take in the event written last."""
        self.last = record.number
        if record.number != LAST_NUMBER:
            self.records.append(record)
        if self.original is not None:
            self.original.meta_record = record if record.number != LAST_NUMBER else None
            self.original._metadata = None

    def first_visible(self) -> int:
        """The lowest number that a reader may see, age aside. It can be greater than the last one."""
        metadata = self.metadata
        lowest = metadata.truncate_before or 0
        if metadata.max_count is not None:
            lowest = max(lowest, self.last - metadata.max_count + 1)
        return lowest


class Streams:
    """All streams by name. A stream is there once it, or its metadata, was written to."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, Stream] = {}

    def get(self, name: str) -> Stream | None:
        """The stream of this name, if it is there."""
        return self._by_name.get(name)

    def make(self, name: str) -> Stream:
        """The stream of this name, new if need be; of a metastream the original too."""
        stream = self._by_name.get(name)
        if stream is None:
            missing = [name]
            while is_metastream(missing[-1]) and (known := original_of(missing[-1])) not in self._by_name:
                missing.append(known)
            original = self._by_name[original_of(missing[-1])] if is_metastream(missing[-1]) else None
            for name in reversed(missing):
                original = stream = self._by_name[name] = Stream(name, original)
        assert stream is not None
        return stream

    def is_gone(self, name: str) -> bool:
        """Whether readers of this stream are told that it is deleted."""
        while name not in self._by_name and is_metastream(name):
            name = original_of(name)
        stream = self._by_name.get(name)
        return stream is not None and stream.is_gone

    def last_for_reader(self, name: str) -> int:
        """The number of the last event as readers see it: a metastream goes when its stream goes."""
        if self.is_gone(name):
            return LAST_NUMBER
        stream = self._by_name.get(name)
        return -1 if stream is None else stream.last

    def last_for_writer(self, name: str) -> int:
        """The number of the last event as writers see it: a metastream once written to outlives its stream."""
        stream = self._by_name.get(name)
        if stream is not None and stream.last >= 0:
            return stream.last
        return self.last_for_reader(name)
