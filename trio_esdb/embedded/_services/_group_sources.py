"""What a group reads: a stream, or all streams through a filter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from .._groups import Candidate, Place, Skipped
from .._store import (
    ALL_STREAMS,
    LINK_TYPE,
    MalformedLink,
    Record,
    Store,
    TooMuchWork,
    Turns,
    is_hidden_from_all,
)
from ._group_requests import GroupRequest

Page = tuple[list[Candidate], Skipped | None, bool]
"""The events of a page, what was left out, and whether the source has no more."""


class GroupSource(ABC):
    """The source of a group.

    Args:
        store: The store that it is read from.
        request: What the group is.
    """

    followed: str | None
    """The stream whose new events are wanted; None for those of all streams."""

    def __init__(self, store: Store, request: GroupRequest) -> None:
        self._store = store
        self._resolve = request.settings.resolve_links

    @abstractmethod
    def after(self, start: tuple[int, int]) -> Place | None:
        """The place after which events are wanted if they are wanted from this start on; None for new events only."""

    @abstractmethod
    def page(self, after: Place, size: int, now: int) -> Turns[Page]:
        """Read a page. Raises StreamDeleted, InvalidPosition or TooMuchWork."""

    @abstractmethod
    def text(self, place: Place) -> str:
        """A place as checkpoints and GetInfo say it."""

    @abstractmethod
    def place(self, text: str) -> Place:
        """The place that such a text says."""

    @abstractmethod
    def written(self, records: Sequence[Record], now: int) -> list[Candidate | Skipped]:
        """New events as the group is told of them."""

    def candidate(self, record: Record, place: Place, now: int, *, live: bool = False) -> Candidate:
        """An event of the source, its link resolved if the group wants that."""
        if not self._resolve or record.type != LINK_TYPE:
            return Candidate(place, record, record)
        try:
            return Candidate(place, record, self._store.resolve(record, now), linked=True)
        except MalformedLink:
            return Candidate(place, record, None, linked=True) if live else Candidate(place, record, record)


class _OfStream(GroupSource):
    def __init__(self, store: Store, request: GroupRequest) -> None:
        super().__init__(store, request)
        self.followed = self._name = request.stream

    def after(self, start: tuple[int, int]) -> Place | None:
        return None if start[0] < 0 else start[0] - 1

    def page(self, after: Place, size: int, now: int) -> Turns[Page]:
        page = self._store.read_stream(self._name, after + 1, size, now)
        yield
        found = [self.candidate(record, record.number, now) for record in page.records]
        skipped = None if page.is_end or page.outcome == "no_stream" else Skipped(page.next_number - 1, 0)
        return found, skipped, page.is_end or page.outcome == "no_stream"

    def text(self, place: Place) -> str:
        return str(place)

    def place(self, text: str) -> Place:
        return int(text)

    def written(self, records: Sequence[Record], now: int) -> list[Candidate | Skipped]:
        return [self.candidate(record, record.number, now, live=True) for record in records]


class _OfAll(GroupSource):
    followed = None

    def __init__(self, store: Store, request: GroupRequest) -> None:
        super().__init__(store, request)
        self._filter = None if request.filter is None else request.filter.compiled()
        self._window = max(request.settings.read_batch_size, request.settings.max_checkpoint_count, 1)

    def after(self, start: tuple[int, int]) -> Place | None:
        return None if start[0] < 0 else start[0] - 1

    def page(self, after: Place, size: int, now: int) -> Turns[Page]:
        start = self._store.position_after(after)
        page = yield from self._store.read_all(start, start, self._filter, size, max(self._window, size))
        found = [self.candidate(record, record.position, now) for record in page.records if not _is_own(record.stream)]
        left_out = page.considered - len(found)
        skipped = Skipped(self._store.position_before(page.next_commit), left_out) if left_out else None
        return found, skipped, page.is_end

    def text(self, place: Place) -> str:
        return f"C:{place}/P:{place}"

    def place(self, text: str) -> Place:
        return int(text.partition("/")[0].removeprefix("C:"))

    def written(self, records: Sequence[Record], now: int) -> list[Candidate | Skipped]:
        return [self._written(record, now) for record in records]

    def _written(self, record: Record, now: int) -> Candidate | Skipped:
        place = record.position
        if is_hidden_from_all(record.stream) or _is_own(record.stream):
            return Skipped(place, 1)
        candidate = self.candidate(record, place, now, live=True)
        judged = candidate.record if candidate.target is None else candidate.target
        try:
            wanted = self._filter is None or self._filter.matches(judged)
        except TooMuchWork:
            wanted = False
        return candidate if wanted else Skipped(place, 1)


def source_of(store: Store, request: GroupRequest) -> GroupSource:
    """The source of a group."""
    return _OfAll(store, request) if request.stream == ALL_STREAMS else _OfStream(store, request)


def _is_own(stream: str) -> bool:
    """Whether it is a stream that a group of all streams writes to."""
    return stream.startswith(f"$persistentsubscription-{ALL_STREAMS}::") and stream.endswith(("-checkpoint", "-parked"))
