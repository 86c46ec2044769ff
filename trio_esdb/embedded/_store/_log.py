"""The log: everything ever written, one record after the other, each at a position of its own."""

from __future__ import annotations

from bisect import bisect_left

from ._values import BeyondEnd, InvalidPosition, Record

# A position is an offset in bytes, as if the log were a file: a record takes its strings, data and metadata, and this
# much for lengths, ids, flags, times. So positions rise with gaps, and nobody can guess the next one.
_FIXED_SIZE = 88
_EPOCH_SIZE = 231


def string_size(text: str) -> int:
    """The bytes that a string takes in a record: a length of seven bits a byte, and the text."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size + (1 if size < 0x80 else 2 if size < 0x4000 else 3 if size < 0x200000 else 4)


class Log:
    """Records by position. What begins the log is not an event, so no event is ever at position 0."""

    __slots__ = ("end", "entries", "positions")

    def __init__(self) -> None:
        self.positions: list[int] = [0]
        self.entries: list[Record | None] = [None]
        """For each position the event there; None for a record that is no event."""
        self.end = _EPOCH_SIZE
        """The position just after the last record."""

    @property
    def last_position(self) -> int:
        """Where the last write is; -1 while nothing was written."""
        return self.positions[-1] if len(self.positions) > 1 else -1

    def add(self, record: Record, size: int) -> None:
        """Put this event at the end; `size` is what its strings, data and metadata take."""
        self.positions.append(record.position)
        self.entries.append(record)
        self.end += _FIXED_SIZE + size

    def add_nothing(self, size: int) -> int:
        """Put a record at the end that is no event; gives its position."""
        position = self.end
        self.positions.append(position)
        self.entries.append(None)
        self.end += _FIXED_SIZE + size
        return position

    def index(self, position: int) -> int:
        """The place in `entries` of what begins at this position; their number, if it is the end."""
        if position == self.end:
            return len(self.entries)
        if position > self.end:
            raise BeyondEnd(position)
        index = bisect_left(self.positions, position)
        if index == len(self.positions) or self.positions[index] != position:
            raise InvalidPosition(position)
        return index
