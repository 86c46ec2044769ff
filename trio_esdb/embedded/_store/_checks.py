"""Whether a write is accepted: what its writer expects of the stream, and whether it was written before."""

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
    """The rules, applied to the streams and the recent ids of a store."""

    __slots__ = ("_ids", "_streams")

    def __init__(self, streams: Streams, ids: RecentIds) -> None:
        self._streams = streams
        self._ids = ids

    def check(self, name: str, expected: int, ids: Sequence[int], now: int) -> int | Written | WrongExpectation:
        """Check a write of events with these ids.

        Returns:
            The number of the stream's last event, if the write is accepted; otherwise what its writer is told: that it
            was written before, or that the expectation is wrong.

        Raises:
            StreamDeleted: The stream is tombstoned; or soft deleted, and expected to exist.
            NeverAnswered: A real node fails on this write.
        """
        last = self._streams.last_for_writer(name)
        if last == LAST_NUMBER:
            raise StreamDeleted(name)
        if expected == STREAM_EXISTS:
            if self._streams.is_deleted_for_writer(name):
                raise StreamDeleted(name)
            if last < 0 and self._streams.last_for_writer(metastream_of(name)) < 0:
                return WrongExpectation(expected, last)
        if expected in (ANY, STREAM_EXISTS):
            return self._check_recent_ids(name, expected, ids, last, now)
        if expected < last:
            return self._check_stored_ids(name, expected, ids, last, now)
        return last if expected == last else WrongExpectation(expected, last)

    def _check_recent_ids(
        self, name: str, expected: int, ids: Sequence[int], last: int, now: int
    ) -> int | Written | WrongExpectation:
        """Without an expected revision only the recent ids can show that a write is repeated."""
        first_number = number = -1
        for place, id in enumerate(ids):
            record = self._ids.get(id)
            if record is None or record.stream != name:
                # Events of which the first ones are known and others are not are neither new nor repeated.
                return WrongExpectation(expected, last) if place else last
            number = record.number
            if not place:
                first_number = number
        if not ids:
            return last
        if number < first_number - 1:
            raise NeverAnswered(f"the events of this write are known in another order: {number} after {first_number}")
        return self._repeated(name, number, now)

    def _check_stored_ids(
        self, name: str, expected: int, ids: Sequence[int], last: int, now: int
    ) -> int | Written | WrongExpectation:
        """The stream has events after the expected one: they are these events, or the expectation is wrong."""
        stream = self._streams.get(name)
        assert stream is not None
        for place, id in enumerate(ids):
            number = expected + 1 + place
            if number <= last and stream.records[number].id == id:
                continue
            if not place and expected == NO_STREAM and self._streams.is_deleted_for_writer(name):
                return last
            return WrongExpectation(expected, last)
        return self._repeated(name, expected + len(ids), now) if ids else WrongExpectation(expected, last)

    def _repeated(self, name: str, number: int, now: int) -> Written:
        record = read_event(self._streams, name, number, now)
        return Written(number, None if record is None else record.position)
