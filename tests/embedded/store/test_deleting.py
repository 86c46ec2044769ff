"""Soft deletion, tombstones, and how a deleted stream comes back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.stores import (
    DELETED,
    NOW,
    event,
    events,
    everything,
    living,
    many,
    metadata_texts,
    never,
    only_metadata,
    set_metadata,
    soft_deleted,
    store_with,
    tombstoned,
    visible,
    written,
)
from trio_esdb.embedded._store import (
    ANY,
    LAST_NUMBER,
    NO_STREAM,
    STREAM_EXISTS,
    NeverAnswered,
    Store,
    StreamDeleted,
    WrongExpectation,
    is_metastream,
    is_valid_stream,
)

DELETING = b'{"$tb":9223372036854775807}'

# For each state and expectation: what Delete and what Tombstone is told.
OK = "ok"
OUTCOMES: list[tuple[Callable[[], Store], int, str | int, str | int]] = [
    (never, ANY, -1, OK),
    (never, NO_STREAM, -1, OK),
    (never, STREAM_EXISTS, -1, -1),
    (never, 3, -1, -1),
    (only_metadata, ANY, OK, OK),
    (only_metadata, NO_STREAM, OK, OK),
    (only_metadata, STREAM_EXISTS, OK, OK),
    (only_metadata, 0, -1, -1),
    (living, ANY, OK, OK),
    (living, NO_STREAM, 2, 2),
    (living, STREAM_EXISTS, OK, OK),
    (living, 0, 2, 2),
    (living, 2, OK, OK),
    (living, 7, 2, 2),
    (soft_deleted, ANY, OK, OK),
    (soft_deleted, NO_STREAM, OK, OK),
    (soft_deleted, STREAM_EXISTS, DELETED, DELETED),
    (soft_deleted, 0, 2, 2),
    (soft_deleted, 2, OK, OK),
    (soft_deleted, 5, 2, 2),
    (tombstoned, ANY, DELETED, DELETED),
    (tombstoned, NO_STREAM, DELETED, DELETED),
    (tombstoned, STREAM_EXISTS, DELETED, DELETED),
    (tombstoned, 2, DELETED, DELETED),
]


@pytest.mark.parametrize("is_hard", [False, True])
@pytest.mark.parametrize(("state", "expected", "soft", "hard"), OUTCOMES)
def test_every_expectation_in_every_state(
    state: Callable[[], Store], expected: int, soft: str | int, hard: str | int, is_hard: bool
) -> None:
    store = state()
    before = store.end
    act, outcome = (store.tombstone, hard) if is_hard else (store.delete, soft)
    if outcome == DELETED:
        with pytest.raises(StreamDeleted):
            act("s", expected, NOW)
        assert store.end == before
    elif outcome != OK:
        assert act("s", expected, NOW) == WrongExpectation(expected, int(outcome))
        assert store.end == before
    else:
        assert written(act("s", expected, NOW)).position == before
        last = list(everything(store))[-1]
        if is_hard:
            assert (last.stream, last.number, last.type, last.data) == ("s", LAST_NUMBER, "$streamDeleted", b"")
            assert not last.is_json
            with pytest.raises(StreamDeleted):
                store.read_stream("s", 0, 1, NOW)
            assert store.last_number("s") == LAST_NUMBER
        else:
            assert (last.stream, last.type, last.data) == ("$$s", "$metadata", DELETING)
            assert last.is_json
            assert store.read_stream("s", 0, 1, NOW).outcome == "no_stream"


def test_a_deletion_loses_all_other_metadata() -> None:
    store = living()
    set_metadata(store, "s", b'{"owner":"x","$maxCount":2}')
    store.delete("s", ANY, NOW)
    store.append("s", ANY, events(9), NOW)
    assert metadata_texts(store, "s") == [b'{"owner":"x","$maxCount":2}', DELETING, b'{"$tb":3}']
    assert visible(store, "s") == [3]


def test_a_stream_comes_back_after_its_last_number() -> None:
    store = soft_deleted()
    answer = written(store.append("s", NO_STREAM, many(2, 10), NOW))
    records = list(everything(store))
    assert [(record.stream, record.number) for record in records[-3:]] == [("s", 3), ("s", 4), ("$$s", 1)]
    assert answer.position == records[-2].position  # the metadata stands behind it
    assert records[-1].data == b'{"$tb":3}'
    assert records[-1].type == "$metadata"
    assert visible(store, "s") == [3, 4]
    assert written(store.append("s", STREAM_EXISTS, many(1, 20), NOW)).number == 5


def test_a_stream_without_events_comes_back_at_0() -> None:
    store = only_metadata()
    store.delete("s", ANY, NOW)
    assert store.read_stream("s", 0, 1, NOW).outcome == "no_stream"
    assert written(store.append("s", ANY, events(1), NOW)).number == 0
    assert metadata_texts(store, "s")[-1] == b'{"$tb":0}'
    assert visible(store, "s") == [0]


HAND_WRITTEN = [
    (b'{"x":1}', b'{"x":1,"$tb":3}'),
    (b'{"$tb":2, "$maxCount":9}', b'{"$tb":3,"$maxCount":9}'),
    (DELETING, b'{"$tb":3}'),
    (b'{"$tb":9223372036854775807,"owner":"y", "list":[1, 2.50]}', b'{"$tb":3,"owner":"y","list":[1,2.5]}'),
]


@pytest.mark.parametrize(("text", "again"), HAND_WRITTEN)
def test_metadata_written_by_hand_brings_a_deleted_stream_back(text: bytes, again: bytes) -> None:
    store = soft_deleted()
    answer = set_metadata(store, "s", text)
    assert metadata_texts(store, "s")[-2:] == [text, again]
    assert answer.number == 1
    page = store.read_stream("s", 0, 32, NOW)
    assert (page.outcome, page.records, store.last_number("$$s")) == ("success", [], 2)
    store.append("s", 2, events(50), NOW)
    assert visible(store, "s") == [3]
    assert len(metadata_texts(store, "s")) == 3  # it was alive already


def test_a_write_without_events_to_the_metadata_brings_a_deleted_stream_back() -> None:
    store = soft_deleted()
    store.append("$$s", ANY, [], NOW)
    assert metadata_texts(store, "s") == [DELETING, b'{"$tb":3}']


def test_text_that_is_no_json_brings_all_of_a_deleted_stream_back() -> None:
    store = soft_deleted()
    set_metadata(store, "s", b"what?")
    assert metadata_texts(store, "s") == [DELETING, b"what?"]
    assert visible(store, "s") == [0, 1, 2]


def test_a_stream_deleted_by_a_text_that_cannot_be_changed_stays_deleted() -> None:
    store = living()
    set_metadata(store, "s", DELETING + b"}")
    assert store.read_stream("s", 0, 1, NOW).outcome == "no_stream"
    assert written(store.append("s", ANY, events(9), NOW)).number == 3
    assert store.read_stream("s", 0, 1, NOW).outcome == "no_stream"
    assert metadata_texts(store, "s") == [DELETING + b"}"]


def test_a_metastream_goes_with_its_stream() -> None:
    store = living()
    store.tombstone("s", ANY, NOW)
    for name in ("$$s", "$$$$s"):
        with pytest.raises(StreamDeleted) as caught:
            store.read_stream(name, 0, 1, NOW)
        assert caught.value.stream == name
        with pytest.raises(StreamDeleted):
            store.read_stream_backwards(name, -1, 1, NOW)
        with pytest.raises(StreamDeleted):
            store.append(name, ANY, events(9), NOW)
        assert store.last_number(name) == LAST_NUMBER


def test_a_metastream_once_written_to_outlives_its_stream_for_writers() -> None:
    store = only_metadata()
    store.append("s", ANY, events(1), NOW)
    store.tombstone("s", ANY, NOW)
    assert store.append("$$s", NO_STREAM, events(2), NOW) == WrongExpectation(NO_STREAM, 0)
    assert written(store.append("$$s", 0, events(2), NOW)).number == 1
    again = written(store.append("$$s", 0, events(2), NOW))
    assert (again.number, again.position) == (1, None)
    with pytest.raises(StreamDeleted):
        store.read_stream("$$s", 0, 1, NOW)
    assert store.read_event("$$s", 1, NOW) is None


def test_deleting_a_metastream_hides_nothing() -> None:
    store = living()
    set_metadata(store, "s", b'{"$maxCount":1}')
    answer = written(store.delete("$$s", ANY, NOW))
    assert answer.number == 0
    assert metadata_texts(store, "$$s") == [DELETING]
    assert visible(store, "$$s") == [0]
    assert visible(store, "s") == [2]


def test_the_next_write_to_a_deleted_metastream_restores_it() -> None:
    store = only_metadata()
    store.delete("$$s", ANY, NOW)
    with pytest.raises(StreamDeleted):
        store.append("$$s", STREAM_EXISTS, events(8), NOW)
    store.delete("$$s", ANY, NOW)
    assert written(store.append("$$s", NO_STREAM, events(9), NOW)).number == 1
    assert metadata_texts(store, "$$s") == [DELETING, DELETING, b'{"$tb":1}']
    assert visible(store, "$$s") == [1]
    # after another write a node no longer knows that it is deleted
    store.delete("$$s", ANY, NOW)
    store.append("t", ANY, events(10), NOW)
    assert store.append("$$s", NO_STREAM, events(11), NOW) == WrongExpectation(NO_STREAM, 1)
    assert written(store.append("$$s", STREAM_EXISTS, events(12), NOW)).number == 2
    assert metadata_texts(store, "$$s")[3:] == [DELETING]


def test_metadata_of_another_content_type_deletes_for_the_next_write() -> None:
    store = living()
    set_metadata(store, "s", DELETING, is_json=False)
    assert visible(store, "s") == [0, 1, 2]
    assert written(store.append("s", NO_STREAM, events(9), NOW)).number == 3
    assert metadata_texts(store, "s") == [DELETING, b'{"$tb":3}']
    assert visible(store, "s") == [3]


def test_metadata_of_another_content_type_says_nothing_after_another_write() -> None:
    store = living()
    set_metadata(store, "s", DELETING, is_json=False)
    store.append("t", 8, events(10), NOW)  # refused, but it counts
    assert store.append("s", NO_STREAM, events(9), NOW) == WrongExpectation(NO_STREAM, 2)
    assert written(store.append("s", 2, events(11), NOW)).number == 3
    assert visible(store, "s") == [0, 1, 2, 3]


def test_metadata_after_a_soft_delete_and_a_tombstone() -> None:
    store = soft_deleted()
    store.tombstone("s", ANY, NOW)
    assert set_metadata(store, "s", b'{"a":1}').number == 1
    assert metadata_texts(store, "s") == [DELETING, b'{"a":1}', b'{"a":1,"$tb":-9223372036854775808}']
    assert set_metadata(store, "s", b"{}").number == 3
    assert len(metadata_texts(store, "s")) == 4


def test_the_name_of_a_stream_takes_time_in_proportion_to_its_length() -> None:
    store = Store()
    deep = "$" * 300_001  # a metastream of a metastream and so on, 150,000 times
    assert written(store.append(deep, ANY, events(1), NOW)).number == 0
    assert visible(store, deep) == [0]
    assert store.last_number("$$" + deep) == -1
    store.tombstone("$$$", ANY, NOW)
    store.tombstone("$", ANY, NOW)
    assert store.last_number("$$" + deep) == LAST_NUMBER
    for name in (deep, "$$" + deep, "$$$"):
        with pytest.raises(StreamDeleted):
            store.read_stream(name, 0, 1, NOW)


def test_a_tombstoned_metastream_says_nothing_any_more() -> None:
    store = living()
    set_metadata(store, "s", b'{"$maxCount":1}')
    store.tombstone("$$s", ANY, NOW)
    assert visible(store, "s") == [0, 1, 2]
    with pytest.raises(StreamDeleted):
        store.append("$$s", ANY, events(9), NOW)
    before = store.end
    with pytest.raises(NeverAnswered, match="shuts down"):
        store.delete("s", ANY, NOW)
    assert store.end == before


def test_ids_of_what_the_node_writes() -> None:
    store = store_with("s", 1)
    store.delete("s", ANY, NOW)
    store.append("s", ANY, events(5), NOW)
    own = [record.id for record in everything(store) if record.stream == "$$s"]
    assert own == [1, 2]
    given = iter([77, 78])
    store = Store(make_id=given.__next__)
    store.append("s", ANY, [event(1)], NOW)
    store.delete("s", ANY, NOW)
    store.tombstone("s", ANY, NOW)
    assert [record.id for record in everything(store)][1:] == [77, 78]


def test_names_of_streams() -> None:
    names = ["", "$$", "s", "$$s", "$", "$$$", "$$$$", "$$$$s", "$all"]
    assert [is_valid_stream(name) for name in names] == [False, False] + [True] * 7
    store = Store()
    for key, name in enumerate(names[2:]):
        assert written(store.append(name, NO_STREAM, events(key), NOW)).number == 0
        assert is_metastream(name) == name.startswith("$$")
    deep = "$" * 5001
    store.append(deep, ANY, events(50), NOW)
    store.tombstone("$", ANY, NOW)
    with pytest.raises(StreamDeleted):
        store.read_stream(deep, 0, 1, NOW)
    with pytest.raises(StreamDeleted):
        store.read_stream("$$" + deep, 0, 1, NOW)
