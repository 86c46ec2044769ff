"""Small words for talking to a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count as counted
from typing import TypeVar

from trio_esdb.embedded._store import (
    ANY,
    NO_STREAM,
    AllPage,
    Filter,
    Proposal,
    Record,
    Store,
    StreamPage,
    Turns,
    Written,
    WrongExpectation,
)

T = TypeVar("T")

NOW = 17_000_000_000_000_000
"""A moment, in ticks."""
SECOND = 10_000_000


def at_once(work: Turns[T]) -> T:
    """Do all of the store's work without a pause; the result."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result


def event(key: int = 0, *, type: str = "Happened", data: bytes = b"{}", is_json: bool = True) -> Proposal:
    """An event; the same key makes the same id."""
    return Proposal(10**12 + key, type, data, b"", is_json)


def events(*keys: int) -> list[Proposal]:
    return [event(key) for key in keys]


def many(count: int, first: int = 0) -> list[Proposal]:
    return events(*range(first, first + count))


def store_with(stream: str = "s", count: int = 3, now: int = NOW) -> Store:
    """A store that holds this many events (keys 0, 1, ...) in one stream."""
    store = Store()
    written(store.append(stream, NO_STREAM, many(count), now))
    return store


def written(outcome: Written | WrongExpectation) -> Written:
    assert isinstance(outcome, Written), outcome
    return outcome


_fresh = counted(10**6)


def set_metadata(store: Store, stream: str, text: bytes, *, is_json: bool = True, now: int = NOW) -> Written:
    """Write metadata, each time with a new id."""
    proposal = event(next(_fresh), type="$metadata", data=text, is_json=is_json)
    return written(store.append("$$" + stream, ANY, [proposal], now))


def read_all(
    store: Store, commit: int, prepare: int, filter: Filter | None, count: int, window: int | None = None
) -> AllPage:
    """A page of the log."""
    return at_once(store.read_all(commit, prepare, filter, count, window))


def read_all_backwards(
    store: Store, commit: int, prepare: int, filter: Filter | None, count: int, window: int | None = None
) -> AllPage:
    """A page of the log, backwards."""
    return at_once(store.read_all_backwards(commit, prepare, filter, count, window))


def numbers(page: StreamPage | Sequence[Record]) -> list[int]:
    records = page.records if isinstance(page, StreamPage) else page
    return [record.number for record in records]


def names(page: AllPage) -> list[tuple[str, int]]:
    return [(record.stream, record.number) for record in page.records]


def read_whole(store: Store, stream: str, start: int = 0, *, now: int = NOW, size: int = 32) -> list[StreamPage]:
    """All pages forwards."""
    pages = [store.read_stream(stream, start, size, now)]
    while not pages[-1].is_end:
        pages.append(store.read_stream(stream, pages[-1].next_number, size, now))
    return pages


def visible(store: Store, stream: str, *, now: int = NOW) -> list[int]:
    """The numbers that a reader sees."""
    return [number for page in read_whole(store, stream, now=now) for number in numbers(page)]


def metadata_texts(store: Store, stream: str) -> list[bytes]:
    """All metadata ever written for this stream, in order; those hidden too."""
    return [record.data for record in everything(store) if record.stream == "$$" + stream]


def everything(store: Store) -> Iterable[Record]:
    return read_all(store, 0, 0, None, 10**6).records


# -- the states of a stream called s

DELETED = "deleted"


def never() -> Store:
    return Store()


def only_metadata() -> Store:
    store = Store()
    set_metadata(store, "s", b'{"a":1}')
    return store


def living() -> Store:
    return store_with("s", 3)


def soft_deleted() -> Store:
    store = living()
    store.delete("s", ANY, NOW)
    return store


def tombstoned() -> Store:
    store = living()
    store.tombstone("s", ANY, NOW)
    return store
