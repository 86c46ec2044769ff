"""The ids of the events written last, by which a node recognises an append that is repeated without an expectation.

The memory has the size and the habits of a real node's: 8 MiB, to which each id adds 28 bytes and its stream's name as
.NET holds it. Room is made before an id is added, so the limit is exceeded by one id. An id that is written again takes
room again, which it never gives back.
"""

from __future__ import annotations

from collections import deque

from ._values import Record

_LIMIT = 8 * 2**20
_FIXED_SIZE = 28


def id_size(stream: str) -> int:
    """The bytes that the id of an event of this stream takes.

    A .NET string takes 20 bytes and one byte of rounding, two bytes for each UTF-16 unit, in all a multiple of 8.
    """
    units = len(stream) if stream.isascii() else len(stream.encode("utf-16-le", "surrogatepass")) // 2
    return _FIXED_SIZE + (21 + 2 * units + 7 & ~7)


class RecentIds:
    """For each id the record that had it first; the oldest ids are forgotten first."""

    __slots__ = ("_order", "_places", "_size")

    def __init__(self) -> None:
        self._places: dict[int, Record] = {}
        self._order: deque[Record] = deque()
        """The records in the order in which they were added."""
        self._size = 0

    def get(self, id: int) -> Record | None:
        """The record that had this id first; None for an id that is new or forgotten."""
        return self._places.get(id)

    def add(self, record: Record, size: int) -> None:
        """Remember the id of a record just written. A known id keeps its first record.

        Args:
            record: The record.
            size: The `id_size` of its stream.
        """
        while self._size > _LIMIT and self._order:
            forgotten = self._places.pop(self._order.popleft().id, None)
            if forgotten is not None:
                self._size -= id_size(forgotten.stream)
        self._size += size
        self._order.append(record)
        self._places.setdefault(record.id, record)

    def forget_from(self, position: int) -> None:
        """Forget the ids of the records from this position on. What had to make room for them stays forgotten."""
        while self._order and self._order[-1].position >= position:
            record = self._order.pop()
            self._size -= id_size(record.stream)
            if self._places.get(record.id) is record:
                del self._places[record.id]
