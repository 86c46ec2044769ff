"""The store: one log and the streams in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ._values import AllPage, Proposal, Record, StreamPage, WrongExpectation, Written


class Store:
    """Everything a node keeps, in memory. It has no clock: `now` is in ticks (100 ns) since the Unix epoch."""

    @property
    def end(self) -> int:
        """The position just after the last record."""
        ...

    def append(self, stream: str, expected: int, events: Sequence[Proposal], now: int) -> Written | WrongExpectation:
        """Write all events or none. Raises StreamDeleted, NeverAnswered."""
        ...

    def delete(self, stream: str, expected: int, now: int) -> Written | WrongExpectation:
        """Soft delete: hide all events and let the next append bring the stream back. Raises StreamDeleted."""
        ...

    def tombstone(self, stream: str, expected: int, now: int) -> Written | WrongExpectation:
        """Delete for ever. Raises StreamDeleted."""
        ...

    def read_stream(self, stream: str, start: int, count: int, now: int) -> StreamPage:
        """Look at the numbers start .. start + count - 1 (count >= 1). Raises StreamDeleted."""
        ...

    def read_stream_backwards(self, stream: str, start: int, count: int, now: int) -> StreamPage:
        """Look at the numbers start .. start - count + 1; start -1 is the last event. Raises StreamDeleted."""
        ...

    def read_all(
        self, commit: int, prepare: int, matches: Callable[[Record], bool] | None, count: int, window: int | None = None
    ) -> AllPage:
        """From this position on, inclusive: until `count` records matched or `window` events were considered.

        Raises InvalidPosition. A start beyond the end finds nothing.
        """
        ...

    def read_all_backwards(
        self, commit: int, prepare: int, matches: Callable[[Record], bool] | None, count: int, window: int | None = None
    ) -> AllPage:
        """Down from this position, exclusive. Raises InvalidPosition, and BeyondEnd for a start after the end.

        `store.end` twice is the start that gives the last record first.
        """
        ...

    def resolve(self, link: Record, now: int) -> Record | None:
        """The event a `$>` record points to; None if it cannot be read. Raises MalformedLink."""
        ...

    def last_number(self, stream: str) -> int:
        """Number of the stream's last event: -1 if it has none, LAST_NUMBER if it is tombstoned."""
        ...

    def listen(self, callback: Callable[[Sequence[Record]], None]) -> Callable[[], None]:
        """Call this after every write with the new records in log order; returns what ends that."""
        ...
