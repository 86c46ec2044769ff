"""Pages of a stream."""

from __future__ import annotations

import pytest

from tests.support.stores import (
    NOW,
    SECOND,
    event,
    events,
    many,
    numbers,
    read_all,
    read_whole,
    set_metadata,
    store_with,
    visible,
    written,
)
from trio_esdb.embedded._store import ANY, LAST_NUMBER, Store

# Six events, pages of three. start -> numbers, next number, is it the end?
FORWARDS = [
    (0, [0, 1, 2], 3, False),
    (2, [2, 3, 4], 5, False),
    (3, [3, 4, 5], 6, True),
    (5, [5], 6, True),
    (6, [], 6, True),
    (60, [], 6, True),
    (LAST_NUMBER, [], 6, True),
]
BACKWARDS = [
    (-1, [5, 4, 3], 2, False),
    (5, [5, 4, 3], 2, False),
    (3, [3, 2, 1], 0, False),
    (2, [2, 1, 0], -1, True),
    (0, [0], -1, True),
    (6, [5, 4], 3, False),
    (60, [], 5, False),  # nothing is here, but something is below
    (LAST_NUMBER, [], 5, False),
]


@pytest.mark.parametrize(("start", "found", "next_number", "is_end"), FORWARDS)
def test_forwards(start: int, found: list[int], next_number: int, is_end: bool) -> None:
    page = store_with("s", 6).read_stream("s", start, 3, NOW)
    assert (page.outcome, numbers(page), page.next_number, page.last_number, page.is_end) == (
        "success", found, next_number, 5, is_end,
    )  # fmt: skip


@pytest.mark.parametrize(("start", "found", "next_number", "is_end"), BACKWARDS)
def test_backwards(start: int, found: list[int], next_number: int, is_end: bool) -> None:
    page = store_with("s", 6).read_stream_backwards("s", start, 3, NOW)
    assert (page.outcome, numbers(page), page.next_number, page.last_number, page.is_end) == (
        "success", found, next_number, 5, is_end,
    )  # fmt: skip


def test_streams_that_are_not_there() -> None:
    store = store_with("s", 3)
    set_metadata(store, "m", b"{}")
    store.append("empty", ANY, [], NOW)
    for name in ("none", "$$none", "m", "empty", "$$s"):
        for page in (store.read_stream(name, 7, 1, NOW), store.read_stream_backwards(name, -1, 1, NOW)):
            assert (page.outcome, page.records, page.last_number, page.is_end) == ("no_stream", [], -1, True)
        assert store.last_number(name) == -1
        assert store.read_event(name, 0, NOW) is None
    store.delete("s", ANY, NOW)
    page = store.read_stream("s", 0, 1, NOW)
    assert (page.outcome, page.last_number) == ("no_stream", 2)
    assert store.read_event("s", 2, NOW) is None


def test_a_truncated_stream_begins_at_its_first_visible_event() -> None:
    store = store_with("s", 40)
    set_metadata(store, "s", b'{"$tb":38}')
    page = store.read_stream("s", 10, 32, NOW)  # the page reaches what is visible
    assert (numbers(page), page.next_number, page.is_end) == ([38, 39], 40, True)
    page = store.read_stream("s", 0, 32, NOW)  # the page lies below it
    assert (numbers(page), page.next_number, page.is_end) == ([], 38, False)
    page = store.read_stream_backwards("s", 37, 32, NOW)
    assert (numbers(page), page.next_number, page.is_end) == ([], -1, True)
    page = store.read_stream_backwards("s", -1, 32, NOW)
    assert (numbers(page), page.next_number, page.is_end) == ([39, 38], -1, True)


def test_a_stream_truncated_beyond_its_end() -> None:
    store = store_with("s", 40)
    set_metadata(store, "s", b'{"$tb":60}')
    pages = read_whole(store, "s")
    assert [(numbers(page), page.next_number, page.is_end) for page in pages] == [([], 60, False), ([], 40, True)]
    page = store.read_stream_backwards("s", -1, 32, NOW)
    assert (page.outcome, numbers(page), page.is_end, page.last_number) == ("success", [], True, 39)
    store.append("s", ANY, many(30, 100), NOW)
    assert visible(store, "s") == list(range(60, 70))


def test_the_highest_lower_bound_counts() -> None:
    store = store_with("s", 10)
    set_metadata(store, "s", b'{"$tb":3,"$maxCount":5}')
    assert visible(store, "s") == [5, 6, 7, 8, 9]
    set_metadata(store, "s", b'{"$tb":7,"$maxCount":5}')
    assert visible(store, "s") == [7, 8, 9]
    set_metadata(store, "s", b'{"$maxCount":50}')
    assert visible(store, "s") == list(range(10))


def test_a_metastream_shows_its_last_event_alone() -> None:
    store = Store()
    for number in range(40):
        store.append("$$s", ANY, [event(number, type="$metadata")], NOW)
    pages = read_whole(store, "$$s")
    assert [(numbers(page), page.next_number) for page in pages] == [([], 39), ([39], 40)]
    page = store.read_stream_backwards("$$s", -1, 5, NOW)
    assert (numbers(page), page.is_end) == ([39], True)


def aging() -> Store:
    """Ten events, a second apart, which live for three seconds."""
    store = Store()
    for number in range(10):
        written(store.append("s", ANY, events(number), NOW + number * SECOND))
    set_metadata(store, "s", b'{"$maxAge":3}')
    return store


def test_old_events_disappear() -> None:
    store = aging()
    last = NOW + 9 * SECOND
    assert visible(store, "s", now=last) == [6, 7, 8, 9]  # exactly as old as allowed is young enough
    assert visible(store, "s", now=last + 1) == [7, 8, 9]
    assert visible(store, "s", now=last + 3 * SECOND + 1) == []
    assert store.read_event("s", 6, last) is not None
    assert store.read_event("s", 5, last) is None
    assert len(read_all(store, 0, 0, None, 100).records) == 11  # only streams forget


AGING_FORWARDS = [
    # start, count, seconds after the last event -> numbers, next number, is it the end?
    (0, 32, 0, [6, 7, 8, 9], 10, True),
    (0, 8, 0, [6, 7], 8, False),
    (0, 3, 0, [], 6, False),  # the young ones begin further on
    (7, 2, 0, [7, 8], 9, False),
    (0, 32, 100, [], 10, True),
    (0, 3, 100, [], 10, True),
    (10, 3, 0, [], 10, True),
]


@pytest.mark.parametrize(("start", "count", "later", "found", "next_number", "is_end"), AGING_FORWARDS)
def test_forwards_over_old_events(
    start: int, count: int, later: int, found: list[int], next_number: int, is_end: bool
) -> None:
    page = aging().read_stream("s", start, count, NOW + (9 + later) * SECOND)
    assert (numbers(page), page.next_number, page.is_end) == (found, next_number, is_end)


AGING_BACKWARDS = [
    (-1, 2, 0, [9, 8], 7, False),
    (-1, 4, 0, [9, 8, 7, 6], 5, False),
    (5, 4, 0, [], -1, True),
    (7, 5, 0, [7, 6], -1, True),
    (-1, 32, 100, [], -1, True),
    (60, 3, 0, [], 9, False),
]


@pytest.mark.parametrize(("start", "count", "later", "found", "next_number", "is_end"), AGING_BACKWARDS)
def test_backwards_over_old_events(
    start: int, count: int, later: int, found: list[int], next_number: int, is_end: bool
) -> None:
    page = aging().read_stream_backwards("s", start, count, NOW + (9 + later) * SECOND)
    assert (numbers(page), page.next_number, page.is_end) == (found, next_number, is_end)


def test_age_and_number_bounds_together() -> None:
    store = aging()
    set_metadata(store, "s", b'{"$maxAge":3,"$maxCount":2}')
    assert visible(store, "s", now=NOW + 9 * SECOND) == [8, 9]
    assert visible(store, "s", now=NOW + 12 * SECOND) == [9]


def test_one_event() -> None:
    store = store_with("s", 5)
    set_metadata(store, "s", b'{"$tb":2}')
    found = [store.read_event("s", number, NOW) for number in (1, 2, 4, 5, -1)]
    assert [None if record is None else record.number for record in found] == [None, 2, 4, None, 4]
    assert store.read_event("s", -2, NOW) is None


def test_pages_do_not_change_afterwards() -> None:
    store = store_with("s", 2)
    page = store.read_stream("s", 0, 32, NOW)
    all_page = read_all(store, 0, 0, None, 32)
    store.append("s", ANY, events(9), NOW)
    assert numbers(page) == [0, 1]
    assert len(all_page.records) == 2
