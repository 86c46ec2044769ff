"""Pages of the whole log."""

from __future__ import annotations

import pytest

from tests.support.stores import (
    NOW,
    at_once,
    event,
    events,
    everything,
    many,
    names,
    read_all,
    read_all_backwards,
    store_with,
    written,
)
from trio_esdb.embedded._store import (
    ANY,
    TURN,
    BeyondEnd,
    Filter,
    InvalidPosition,
    Store,
    is_hidden_from_all,
    prefix_filter,
    regex_filter,
)


def mixed() -> Store:
    """a0 b0 a1 (no event) b1 a2."""
    store = Store()
    for stream, key in (("a", 0), ("b", 1), ("a", 2), ("a", None), ("b", 3), ("a", 4)):
        store.append(stream, ANY, [] if key is None else events(key), NOW)
    return store


def of_a() -> Filter:
    return Filter("stream", lambda name: name == "a")


def test_the_order_is_that_of_the_log() -> None:
    store = mixed()
    assert names(read_all(store, 0, 0, None, 100)) == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)]
    assert names(read_all_backwards(store, store.end, store.end, None, 100)) == [
        ("a", 2), ("b", 1), ("a", 1), ("b", 0), ("a", 0),
    ]  # fmt: skip
    assert names(read_all_backwards(store, 0, 0, None, 100)) == []


def test_forwards_is_inclusive_and_backwards_exclusive() -> None:
    store = mixed()
    second = list(everything(store))[1]
    for prepare in (second.position, 0, second.position - 1):
        assert names(read_all(store, second.position, prepare, None, 2)) == [("b", 0), ("a", 1)]
    assert names(read_all_backwards(store, second.position, second.position, None, 2)) == [("a", 0)]
    assert names(read_all(store, second.position, second.position + 1, None, 1)) == [("a", 1)]
    assert names(read_all_backwards(store, second.position, second.position + 1, None, 1)) == [("a", 0)]


def test_backwards_a_smaller_prepare_position_leaves_out_the_event_that_ends_there() -> None:
    store = mixed()
    a0, b0, a1, b1, a2 = list(everything(store))
    for prepare in (0, a1.position, a1.position - 1):
        assert names(read_all_backwards(store, a1.position, prepare, None, 9)) == (
            [("b", 0), ("a", 0)] if prepare == a1.position else [("a", 0)]
        )
        assert names(read_all_backwards(store, b1.position, min(prepare, b1.position - 1), None, 1)) == [("a", 1)]
    assert names(read_all_backwards(store, a0.position, 0, None, 9)) == []
    assert names(read_all_backwards(store, store.end, a2.position, None, 2)) == [("b", 1), ("a", 1)]
    assert b0.position < a1.position


def test_backwards_from_inside_the_first_bytes_there_is_nothing() -> None:
    store = mixed()
    for commit in range(8):
        page = read_all_backwards(store, commit, commit, None, 9)
        assert (page.records, page.considered, page.is_end) == ([], 0, True)
    with pytest.raises(InvalidPosition):
        read_all_backwards(store, 8, 8, None, 9)


def test_a_page_that_looks_at_many_events_is_read_in_turns() -> None:
    store = store_with("s", 3 * TURN)
    page = store.read_all(0, 0, of_a(), 9)
    assert len([None for _ in page]) == 3
    assert len([None for _ in store.read_all_backwards(store.end, store.end, of_a(), 9)]) == 3
    assert len([None for _ in store.read_all(0, 0, None, 32)]) == 0
    for _ in range(TURN):
        store.append("s", ANY, [], NOW)  # what is no event takes its part of a turn too
    store.append("a", ANY, events(10**5), NOW)
    assert len([None for _ in store.read_all(0, 0, of_a(), 1)]) == 4
    assert len([None for _ in store.read_all_backwards(store.end, store.end, of_a(), 9)]) == 4


def test_a_filter_s_work_takes_its_part_of_a_turn() -> None:
    store = Store()
    for key in range(10):
        store.append("ab" * 10_000, ANY, events(key), NOW)
    for filter in (regex_filter("stream", "(a|b)+c"), prefix_filter("stream", [f"{n:x}" for n in range(100_000)])):
        assert len([None for _ in store.read_all(0, 0, filter, 9)]) >= 5


def test_events_written_between_the_turns_of_a_page_are_read_too() -> None:
    store = store_with("s", TURN + 1)
    page = store.read_all(0, 0, of_a(), 9)
    next(page)
    store.append("a", ANY, events(10**5), NOW)
    assert names(at_once(page)) == [("a", 0)]


def test_the_next_page_begins_just_after_the_last_event_considered() -> None:
    store = mixed()
    position = {(record.stream, record.number): record.position for record in everything(store)}
    gap = read_all(store, position["a", 1], 0, None, 1)
    assert (gap.next_commit, gap.next_prepare) != (position["b", 1], 0)  # there is a record in between
    assert names(read_all(store, gap.next_commit, gap.next_prepare, None, 1)) == [("b", 1)]
    page = read_all(store, 0, 0, None, 2)
    assert (page.next_commit, page.next_prepare, page.considered, page.is_end) == (position["a", 1], 0, 2, False)
    page = read_all(store, 0, 0, None, 5)
    assert (page.next_commit, page.next_prepare, page.is_end) == (store.end, 0, False)  # nobody looked further
    page = read_all(store, 0, 0, None, 6)
    assert (page.next_commit, page.next_prepare, page.is_end) == (store.end, 0, True)
    page = read_all_backwards(store, store.end, store.end, None, 2)
    assert (page.next_commit, page.next_prepare, page.is_end) == (position["b", 1], position["b", 1], False)
    page = read_all_backwards(store, store.end, store.end, None, 6)
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
    page = read_all(mixed(), 0, 0, of_a(), count, window)
    assert ([record.number for record in page.records], page.considered, page.is_end) == (found, considered, is_end)
    store = mixed()
    page = read_all_backwards(store, store.end, store.end, of_a(), count, window)
    if is_end:
        assert ([record.number for record in page.records], page.considered) == (found[::-1], considered)


def test_pages_put_together_are_the_whole() -> None:
    store = mixed()
    for window in (1, 2, 3, None):
        for filter in (None, of_a()):
            found, position, is_end = [], (0, 0), False
            while not is_end:
                page = read_all(store, *position, filter, 2, window)
                found += names(page)
                position, is_end = (page.next_commit, page.next_prepare), page.is_end
            assert found == names(read_all(store, 0, 0, filter, 100))
            found, position, is_end = [], (store.end, store.end), False
            while not is_end:
                page = read_all_backwards(store, *position, filter, 2, window)
                found += names(page)
                position, is_end = (page.next_commit, page.next_prepare), page.is_end
            assert found == names(read_all(store, 0, 0, filter, 100))[::-1]


def test_positions_where_no_record_begins() -> None:
    store = mixed()
    records = list(everything(store))
    inside = records[1].position + 1
    for read in (read_all, read_all_backwards):
        with pytest.raises(InvalidPosition) as caught:
            read(store, inside, inside, None, 1)
        assert not isinstance(caught.value, BeyondEnd)
        with pytest.raises(InvalidPosition):
            read(store, -5, -5, None, 1)
    with pytest.raises(InvalidPosition):
        read_all_backwards(store, records[-1].position + 1, 0, None, 1)


def test_beyond_the_last_record() -> None:
    store = mixed()
    last = list(everything(store))[-1].position
    for position in (last + 1, store.end, store.end + 1, 1 << 40):  # inside the last record nobody looks
        page = read_all(store, position, position, None, 5)
        assert (page.records, page.next_commit, page.next_prepare, page.considered, page.is_end) == (
            [], position, position, 0, True,
        )  # fmt: skip
    with pytest.raises(BeyondEnd):
        read_all_backwards(store, store.end + 1, store.end + 1, None, 5)


def test_an_empty_log() -> None:
    store = Store()
    page = read_all(store, 0, 0, None, 5)
    assert (page.records, page.considered, page.is_end) == ([], 0, True)
    page = read_all_backwards(store, store.end, store.end, None, 5)
    assert (page.records, page.considered, page.is_end) == ([], 0, True)


def test_the_end_stays_where_a_page_of_nothing_found_it() -> None:
    store = mixed()
    page = read_all(store, 0, 0, None, 100)
    again = read_all(store, page.next_commit, page.next_prepare, None, 100)
    assert (again.records, again.next_commit, again.next_prepare, again.is_end) == ([], store.end, 0, True)
    store.append("c", ANY, many(2, 50), NOW)
    assert names(read_all(store, again.next_commit, again.next_prepare, None, 100)) == [("c", 0), ("c", 1)]
    position = written(store.append("c", ANY, [], NOW)).position
    assert position is not None
    page = read_all(store, position, 0, None, 1)  # what begins there is no event
    assert (page.records, page.next_commit, page.is_end) == ([], position, True)


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

    def accepts(name: str) -> bool:
        asked.append(name)
        return True

    page = read_all(store, 0, 0, Filter("stream", accepts), 100)
    assert [record.stream for record in page.records] == shown == asked
    assert page.considered == len(HIDDEN)
    page = read_all_backwards(store, store.end, store.end, None, 100)
    assert [record.stream for record in page.records] == shown[::-1]
    assert page.considered == len(HIDDEN)
    assert store.read_stream("$epoch-information", 0, 1, NOW).records  # as a stream it can be read


def test_tombstones_and_metadata_are_events_of_the_log() -> None:
    store = store_with("s", 1)
    store.delete("s", ANY, NOW)
    store.tombstone("s", ANY, NOW)
    assert [record.type for record in read_all(store, 0, 0, None, 9).records] == [
        "Happened", "$metadata", "$streamDeleted",
    ]  # fmt: skip
