"""The log: all records in the order in which they were written, each at a position of its own."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter

from ._values import BeyondEnd, InvalidPosition, Record

# A position is an offset in bytes, as if the log were a file. A record takes the bytes of its strings, data and
# metadata, and this many for its lengths, ids, flags and times.
_position = attrgetter("position")
_FIXED_SIZE = 88
_EPOCH_SIZE = 231
FIRST_END = _EPOCH_SIZE
"""The position after the record with which every log begins."""


def string_size(text: str) -> int:
    """The bytes that a string takes in a record: its UTF-8 and the length in front of it, seven bits a byte."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size + (1 if size < 0x80 else 2 if size < 0x4000 else 3 if size < 0x200000 else 4)


def record_size(content: int) -> int:
    """The bytes that a record takes, of which its strings, data and metadata are `content`."""
    return _FIXED_SIZE + content


class NewRecords:
    """Events that are to be added to the log, in their order."""

    __slots__ = ("end", "positions", "records")

    def __init__(self, end: int) -> None:
        self.records: list[Record] = []
        self.positions: list[int] = []
        self.end = end
        """The position after the last of them; while there is none, the end of the log."""


class Log:
    """Records by position. A log begins with a record that is no event, so no event is at position 0."""

    __slots__ = ("end", "entries", "last_position", "positions")

    def __init__(self) -> None:
        self.positions: list[int] = [0]
        """The positions of all records, ascending."""
        self.entries: list[Record | None] = [None]
        """For each position the event there; None for a record that is no event."""
        self.end = FIRST_END
        """The position after the last record."""
        self.last_position = -1
        """The position of the last event; -1 while there is none."""

    def add(self, new: NewRecords) -> None:
        """Append these events."""
        self.positions += new.positions
        self.entries += new.records
        self.last_position = new.positions[-1]
        self.end = new.end

    def add_nothing(self, content: int) -> int:
        """Append a record that is no event; its position."""
        position = self.end
        self.positions.append(position)
        self.entries.append(None)
        self.end += record_size(content)
        return position

    def add_epoch(self) -> None:
        """Append the record of an epoch, which is no event."""
        self.positions.append(self.end)
        self.entries.append(None)
        self.end += _EPOCH_SIZE

    def add_copied(self, start: int, records: Sequence[Record], end: int) -> None:
        """Append these records of another log, which begin and end at these positions.

        If the first of them begins later, or if there is none, a record that is no event comes before them.
        """
        if not records or records[0].position != start:
            self.positions.append(start)
            self.entries.append(None)
        if records:
            self.positions += map(_position, records)
            self.entries += records
            self.last_position = records[-1].position
        self.end = end

    def cut(self, shorter: Log) -> None:
        """Remove what this log has and a shorter one, which is its beginning, has not."""
        del self.positions[len(shorter.positions) :]
        del self.entries[len(shorter.entries) :]
        self.end = shorter.end
        self.last_position = shorter.last_position

    def index(self, position: int) -> int:
        """The place in `entries` of the record at this position; their number for the end of the log.

        Raises:
            BeyondEnd: The position is after the end.
            InvalidPosition: No record begins there.
        """
        if position == self.end:
            return len(self.entries)
        if position > self.end:
            raise BeyondEnd(position)
        index = bisect_left(self.positions, position)
        if index == len(self.positions) or self.positions[index] != position:
            raise InvalidPosition(position)
        return index

    def position_after(self, position: int) -> int:
        """The position of the first record after this one; the end of the log if there is none."""
        index = bisect_right(self.positions, position)
        return self.positions[index] if index < len(self.positions) else self.end

    def position_before(self, position: int) -> int:
        """The position of the last record before this one, -1 if there is none."""
        index = bisect_left(self.positions, position)
        return self.positions[index - 1] if index else -1
