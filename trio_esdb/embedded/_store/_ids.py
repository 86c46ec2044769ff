"""Which ids were written lately, and where: all that tells a repeated write with `any` from a new one."""

from __future__ import annotations

from collections import deque

from ._values import Record

_LIMIT = 8 * 2**20
_FIXED_SIZE = 28


class RecentIds:
    """The first place of each id, of as many records as fit; the oldest are forgotten first.

    The limit is a node's own: eight megabytes, to which an id adds 28 bytes, and two for each character of its
    stream's name.
    """

    __slots__ = ("_order", "_places", "_size")

    def __init__(self) -> None:
        self._places: dict[int, Record] = {}
        self._order: deque[Record] = deque()
        self._size = 0

    def get(self, id: int) -> Record | None:
        """The record that first had this id, unless that was too long ago."""
        return self._places.get(id)

    def add(self, record: Record) -> None:
        """Remember a record just written. An id that is known keeps its first place."""
        key = record.id
        if key in self._places:
            return
        self._places[key] = record
        self._order.append(record)
        self._size += _FIXED_SIZE + 2 * len(record.stream)
        while self._size > _LIMIT:
            oldest = self._order.popleft()
            del self._places[oldest.id]
            self._size -= _FIXED_SIZE + 2 * len(oldest.stream)

    def clear(self) -> None:
        """Forget all of them, as a node does when it restarts."""
        self._places.clear()
        self._order.clear()
        self._size = 0
