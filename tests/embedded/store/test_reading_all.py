"""Pages of the whole log."""

from __future__ import annotations

import pytest

from tests.support.stores import NOW, event, events, everything, many, names, store_with
from trio_esdb.embedded._store import ANY, BeyondEnd, InvalidPosition, Record, Store, is_hidden_from_all


def mixed() -> Store:
    """a0 b0 a1 (no event) b1 a2."""
    store = Store()
    for stream, key in (("a", 0), ("b", 1), ("a", 2), ("a", None), ("b", 3), ("a", 4)):
        store.append(stream, ANY, [] if key is None else events(key), NOW)
    return store


def of_a(record: Record) -> bool:
    return record.stream == "a"


def test_the_order_is_that_of_the_log() -> None:
    store = mixed()
    assert names(store.read_all(0, 0, None, 100)) == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)]
    assert names(store.read_all_backwards(store.end, store.end, None, 100)) == [
        ("a", 2), ("b", 1), ("a", 1), ("b", 0), ("a", 0),
    ]  # fmt: skip
    assert names(store.read_all_backwards(0, 0, None, 100)) == []


def test_forwards_is_inclusive_and_backwards_exclusive() -> None:
    store = mixed()
    second = list(everything(store))[1]
    for prepare in (second.position, 0, second.position - 1):
        assert names(store.read_all(second.position, prepare, None, 2)) == [("b", 0), ("a", 1)]
        assert names(store.read_all_backwards(second.position, prepare, None, 2)) == [("a", 0)]
    assert names(store.read_all(second.position, second.position + 1, None, 1)) == [("a", 1)]
    assert names(store.read_all_backwards(second.position, second.position + 1, None, 1)) == [("a", 0)]


def test_the_next_page_begins_just_after_the_last_event_considered() -> None:
    store = mixed()
    position = {(record.stream, record.number): record.position for record in everything(store)}
    gap = store.read_all(position["a", 1], 0, None, 1)
    assert (gap.next_commit, gap.next_prepare) != (position["b", 1], 0)  # there is a record in between
    assert names(store.read_all(gap.next_commit, gap.next_prepare, None, 1)) == [("b", 1)]
    page = store.read_all(0, 0, None, 2)
    assert (page.next_commit, page.next_prepare, page.considered, page.is_end) == (position["a", 1], 0, 2, False)
    page = store.read_all(0, 0, None, 5)
    assert (page.next_commit, page.next_prepare, page.is_end) == (store.end, 0, False)  # nobody looked further
    page = store.read_all(0, 0, None, 6)
    assert (page.next_commit, page.next_prepare, page.is_end) == (store.end, 0, True)
    page = store.read_all_backwards(store.end, store.end, None, 2)
    assert (page.next_commit, page.next_prepare, page.is_end) == (position["b", 1], position["b", 1], False)
    page = store.read_all_backwards(store.end, store.end, None, 6)
    assert (page.next_commit, page.next_prepare, page.is_end) == (position["a", 0], position["a", 0], True)


# count, window -> the numbers of a's events that were found, how many were considered, is it the end?
FILTERED = [
    (1, None, [0], 1, False),
    (2, None, [0, 1], 3, False),
    (9, None, [0, 1, 2], 5, True),
    (9, 1, [0], 1, False),
    (9, 2, [0], 2, False),
    (9, 4, [0, 1], 4, False),
    (9, 5, [0, 1, 2], 5, False),
    (9, 6, [0, 1, 2], 5, True),
    (3, 6, [0, 1, 2], 5, False),
]


@pytest.mark.parametrize(("count", "window", "found", "considered", "is_end"), FILTERED)
def test_a_page_ends_with_so_many_matches_or_so_many_considered(
    count: int, window: int | None, found: list[int], considered: int, is_end: bool
) -> None:
    page = mixed().read_all(0, 0, of_a, count, window)
    assert ([record.number for record in page.records], page.considered, page.is_end) == (found, considered, is_end)
    store = mixed()
    page = store.read_all_backwards(store.end, store.end, of_a, count, window)
    if is_end:
        assert ([record.number for record in page.records], page.considered) == (found[::-1], considered)


def test_pages_put_together_are_the_whole() -> None:
    store = mixed()
    for window in (1, 2, 3, None):
        for matches in (None, of_a):
            found, position, is_end = [], (0, 0), False
            while not is_end:
                page = store.read_all(*position, matches, 2, window)
                found += names(page)
                position, is_end = (page.next_commit, page.next_prepare), page.is_end
            assert found == names(store.read_all(0, 0, matches, 100))
            found, position, is_end = [], (store.end, store.end), False
            while not is_end:
                page = store.read_all_backwards(*position, matches, 2, window)
                found += names(page)
                position, is_end = (page.next_commit, page.next_prepare), page.is_end
            assert found == names(store.read_all(0, 0, matches, 100))[::-1]


def test_positions_where_no_record_begins() -> None:
    store = mixed()
    records = list(everything(store))
    inside = records[1].position + 1
    for read in (store.read_all, store.read_all_backwards):
        with pytest.raises(InvalidPosition) as caught:
            read(inside, inside, None, 1)
        assert not isinstance(caught.value, BeyondEnd)
        with pytest.raises(InvalidPosition):
            read(-5, -5, None, 1)
    with pytest.raises(InvalidPosition):
        store.read_all_backwards(records[-1].position + 1, 0, None, 1)


def test_beyond_the_last_record() -> None:
    store = mixed()
    last = list(everything(store))[-1].position
    for position in (last + 1, store.end, store.end + 1, 1 << 40):  # inside the last record nobody looks
        page = store.read_all(position, position, None, 5)
        assert (page.records, page.next_commit, page.next_prepare, page.considered, page.is_end) == (
            [], position, position, 0, True,
        )  # fmt: skip
    with pytest.raises(BeyondEnd):
        store.read_all_backwards(store.end + 1, store.end + 1, None, 5)


def test_an_empty_log() -> None:
    store = Store()
    page = store.read_all(0, 0, None, 5)
    assert (page.records, page.considered, page.is_end) == ([], 0, True)
    page = store.read_all_backwards(store.end, store.end, None, 5)
    assert (page.records, page.considered, page.is_end) == ([], 0, True)


def test_the_end_stays_where_a_page_of_nothing_found_it() -> None:
    store = mixed()
    page = store.read_all(0, 0, None, 100)
    again = store.read_all(page.next_commit, page.next_prepare, None, 100)
    assert (again.records, again.next_commit, again.next_prepare, again.is_end) == ([], store.end, 0, True)
    store.append("c", ANY, many(2, 50), NOW)
    assert names(store.read_all(again.next_commit, again.next_prepare, None, 100)) == [("c", 0), ("c", 1)]
    store.append("c", ANY, [], NOW)
    page = store.read_all(store.last_position, 0, None, 1)  # what begins there is no event
    assert (page.records, page.next_commit, page.is_end) == ([], store.last_position, True)


HIDDEN = {
    "$epoch-information": True,
    "$$$epoch-information": False,
    "epoch-information": False,
    "$persistentsubscription-$all::group-checkpoint": True,
    "$persistentsubscription-$all::group-parked": True,
    "$persistentsubscription-$all::-parked": True,
    "$persistentsubscription-$all::group": False,
    "$persistentsubscription-$all::group-parked-2": False,
    "$persistentsubscription-stream::group-parked": False,
    "$persistentsubscription-$all:-parked": False,
    "$$$persistentsubscription-$all::group-parked": False,
    "$anything": False,
}


def test_some_streams_are_hidden_but_considered() -> None:
    store = Store()
    for key, name in enumerate(HIDDEN):
        assert is_hidden_from_all(name) is HIDDEN[name], name
        store.append(name, ANY, [event(key)], NOW)
    shown = [name for name, is_hidden in HIDDEN.items() if not is_hidden]
    asked = []

    def matches(record: Record) -> bool:
        asked.append(record.stream)
        return True

    page = store.read_all(0, 0, matches, 100)
    assert [record.stream for record in page.records] == shown == asked
    assert page.considered == len(HIDDEN)
    page = store.read_all_backwards(store.end, store.end, None, 100)
    assert [record.stream for record in page.records] == shown[::-1]
    assert page.considered == len(HIDDEN)
    assert store.read_stream("$epoch-information", 0, 1, NOW).records  # as a stream it can be read


def test_tombstones_and_metadata_are_events_of_the_log() -> None:
    store = store_with("s", 1)
    store.delete("s", ANY, NOW)
    store.tombstone("s", ANY, NOW)
    assert [record.type for record in store.read_all(0, 0, None, 9).records] == [
        "Happened", "$metadata", "$streamDeleted",
    ]  # fmt: skip
