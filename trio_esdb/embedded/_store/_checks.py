"""Whether a write is let through: what its writer expects of the stream, and whether it was written before."""

from __future__ import annotations

from collections.abc import Sequence

from ._ids import RecentIds
from ._names import metastream_of
from ._reading import read_event
from ._streams import Streams
from ._values import (
    ANY,
    LAST_NUMBER,
    NO_STREAM,
    STREAM_EXISTS,
    NeverAnswered,
    StreamDeleted,
    Written,
    WrongExpectation,
)


class Checks:
    """The rules, over the streams and the recent ids."""

    __slots__ = ("_ids", "_streams")

    def __init__(self, streams: Streams, ids: RecentIds) -> None:
        self._streams = streams
        self._ids = ids

    def check(self, name: str, expected: int, ids: Sequence[int], now: int) -> int | Written | WrongExpectation:
        """The number of the stream's last event, if these events may follow it.

        Else what the writer is told: that it had been written before, or that the expectation is wrong.
        Raises StreamDeleted and NeverAnswered.
        """
        last = self._streams.last_for_writer(name)
        if last == LAST_NUMBER:
            raise StreamDeleted(name)
        if expected == STREAM_EXISTS:
            if self._is_soft_deleted(name):
                raise StreamDeleted(name)
            if last < 0 and self._streams.last_for_writer(metastream_of(name)) < 0:
                return WrongExpectation(expected, last)
        if expected in (ANY, STREAM_EXISTS):
            return self._weakly(name, expected, ids, last, now)
        if expected < last:
            return self._strongly(name, expected, ids, last, now)
        return last if expected == last else WrongExpectation(expected, last)

    def _weakly(
        self, name: str, expected: int, ids: Sequence[int], last: int, now: int
    ) -> int | Written | WrongExpectation:
        """The stream's state is no matter, so only the ids written lately can tell a repeated write."""
        first_number = number = -1
        for place, id in enumerate(ids):
            record = self._ids.get(id)
            if record is None or record.stream != name:
                # Half of it known is neither new nor the same.
                return WrongExpectation(expected, last) if place else last
            number = record.number
            if not place:
                first_number = number
        if not ids:
            return last
        if number < first_number - 1:
            raise NeverAnswered(f"the events of this write are known in another order: {number} after {first_number}")
        return self._known(name, number, now)

    def _strongly(
        self, name: str, expected: int, ids: Sequence[int], last: int, now: int
    ) -> int | Written | WrongExpectation:
        """The writer is behind the stream: either it says again what stands there, or it is wrong."""
        stream = self._streams.get(name)
        assert stream is not None
        for place, id in enumerate(ids):
            number = expected + 1 + place
            if number <= last and stream.records[number].id == id:
                continue
            if not place and expected == NO_STREAM and self._is_soft_deleted(name):
                return last
            return WrongExpectation(expected, last)
        return self._known(name, expected + len(ids), now) if ids else WrongExpectation(expected, last)

    def _known(self, name: str, number: int, now: int) -> Written:
        record = read_event(self._streams, name, number, now)
        return Written(number, None if record is None else record.position)

    def _is_soft_deleted(self, name: str) -> bool:
        stream = self._streams.get(name)
        return stream is not None and stream.metadata.is_deleted
