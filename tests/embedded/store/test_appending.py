"""What a write is answered, for every state of a stream and every expectation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.support.stores import (
    DELETED,
    NOW,
    at_once,
    event,
    events,
    everything,
    living,
    many,
    metadata_texts,
    never,
    only_metadata,
    read_all,
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
    TURN,
    NeverAnswered,
    Proposal,
    Record,
    Store,
    StreamDeleted,
    WrongExpectation,
)

# For each state and expectation: the number of a new event, or the actual number of a wrong expectation, or DELETED.
OUTCOMES: list[tuple[Callable[[], Store], int, int | tuple[int] | str]] = [
    (never, ANY, 0),
    (never, NO_STREAM, 0),
    (never, STREAM_EXISTS, (-1,)),
    (never, 0, (-1,)),
    (only_metadata, ANY, 0),
    (only_metadata, NO_STREAM, 0),
    (only_metadata, STREAM_EXISTS, 0),
    (only_metadata, 0, (-1,)),
    (living, ANY, 3),
    (living, NO_STREAM, (2,)),
    (living, STREAM_EXISTS, 3),
    (living, 0, (2,)),
    (living, 1, (2,)),
    (living, 2, 3),
    (living, 3, (2,)),
    (living, LAST_NUMBER, (2,)),
    (soft_deleted, ANY, 3),
    (soft_deleted, NO_STREAM, 3),
    (soft_deleted, STREAM_EXISTS, DELETED),
    (soft_deleted, 1, (2,)),
    (soft_deleted, 2, 3),
    (soft_deleted, 3, (2,)),
    (tombstoned, ANY, DELETED),
    (tombstoned, NO_STREAM, DELETED),
    (tombstoned, STREAM_EXISTS, DELETED),
    (tombstoned, 2, DELETED),
]


@pytest.mark.parametrize(("state", "expected", "outcome"), OUTCOMES)
def test_every_expectation_in_every_state(
    state: Callable[[], Store], expected: int, outcome: int | tuple[int] | str
) -> None:
    store = state()
    before = store.end
    if outcome == DELETED:
        with pytest.raises(StreamDeleted) as caught:
            store.append("s", expected, events(77), NOW)
        assert caught.value.stream == "s"
        assert store.end == before
    elif isinstance(outcome, tuple):
        assert store.append("s", expected, events(77), NOW) == WrongExpectation(expected, outcome[0])
        assert store.end == before
    else:
        answer = written(store.append("s", expected, events(77), NOW))
        assert (answer.number, answer.position) == (outcome, before)
        assert store.last_number("s") == outcome
        assert visible(store, "s")[-1] == outcome


# The stream holds the keys 0 to 3 at the numbers 0 to 3. Then: what a second write is told.
NEW, NEVER = "new", "never"
WEAK: list[tuple[Sequence[int], int | str]] = [
    ((0, 1, 2, 3), 3),
    ((1,), 1),
    ((0, 2), 2),  # gaps are fine
    ((1, 0), 0),  # adjacent ones swapped
    ((3, 2), 2),
    ((2, 3, 2), 2),
    ((2, 3, 1), 1),
    ((3, 1), NEVER),
    ((2, 3, 0), NEVER),
    ((3, 0), NEVER),
    ((0, 8), "wrong"),
    ((0, 1, 8, 2), "wrong"),
    ((8, 0), NEW),
    ((8, 9), NEW),
]


@pytest.mark.parametrize("expected", [ANY, STREAM_EXISTS])
@pytest.mark.parametrize(("keys", "outcome"), WEAK)
def test_ids_that_are_known_when_the_state_is_no_matter(keys: Sequence[int], outcome: int | str, expected: int) -> None:
    store = store_with("s", 4)
    places = [record.position for record in everything(store)]
    if outcome == NEVER:
        with pytest.raises(NeverAnswered):
            store.append("s", expected, events(*keys), NOW)
    elif outcome == "wrong":
        assert store.append("s", expected, events(*keys), NOW) == WrongExpectation(expected, 3)
    elif outcome == NEW:
        assert written(store.append("s", expected, events(*keys), NOW)).number == 3 + len(keys)
        return
    else:
        assert isinstance(outcome, int)
        answer = written(store.append("s", expected, events(*keys), NOW))
        assert (answer.number, answer.position) == (outcome, places[outcome])
    assert store.last_number("s") == 3


STRONG: list[tuple[int, Sequence[int], int | str]] = [
    (NO_STREAM, (0,), 0),
    (NO_STREAM, (0, 1), 1),
    (NO_STREAM, (0, 1, 2, 3), 3),
    (NO_STREAM, (0, 1, 2, 3, 4), "wrong"),  # longer than what is there
    (NO_STREAM, (1,), "wrong"),
    (NO_STREAM, (0, 2), "wrong"),
    (0, (1, 2), 2),
    (0, (2,), "wrong"),
    (1, (2, 3), 3),
    (2, (3,), 3),
    (2, (3, 4), "wrong"),
    (3, (3,), NEW),  # where the expectation is right, nothing is compared
    (3, (0,), NEW),
]


@pytest.mark.parametrize(("expected", "keys", "outcome"), STRONG)
def test_ids_that_stand_where_the_writer_says(expected: int, keys: Sequence[int], outcome: int | str) -> None:
    store = store_with("s", 4)
    places = [record.position for record in everything(store)]
    answer = store.append("s", expected, events(*keys), NOW)
    if outcome == "wrong":
        assert answer == WrongExpectation(expected, 3)
    elif outcome == NEW:
        assert written(answer).number == 4
    else:
        assert isinstance(outcome, int)
        assert (written(answer).number, written(answer).position) == (outcome, places[outcome])


def test_an_id_keeps_its_first_place() -> None:
    store = store_with("s", 2)
    store.append("s", 1, events(0), NOW)
    store.append("t", NO_STREAM, events(0), NOW)
    assert written(store.append("s", ANY, events(0), NOW)).number == 0
    assert written(store.append("t", ANY, events(0), NOW)).number == 1  # in t it counts as unknown


def test_one_id_twice_in_a_write() -> None:
    store = Store()
    assert written(store.append("s", NO_STREAM, events(5, 5), NOW)).number == 1
    assert written(store.append("s", NO_STREAM, events(5, 5), NOW)).number == 1
    assert written(store.append("s", ANY, events(5), NOW)).number == 0
    assert written(store.append("s", ANY, events(5, 5, 5), NOW)).number == 0
    assert written(store.append("s", 0, events(5), NOW)).number == 1
    assert written(store.append("s", 1, events(5), NOW)).number == 2


def test_repeated_writes_to_a_soft_deleted_stream() -> None:
    store = soft_deleted()
    answer = written(store.append("s", ANY, many(3), NOW))
    assert (answer.number, answer.position) == (2, None)  # its event can no longer be read
    assert written(store.append("s", NO_STREAM, many(3), NOW)).position is None
    assert store.append("s", NO_STREAM, events(0, 8), NOW) == WrongExpectation(NO_STREAM, 2)
    assert store.read_stream("s", 0, 32, NOW).outcome == "no_stream"
    assert written(store.append("s", NO_STREAM, events(1), NOW)).number == 3


def test_a_repeated_write_of_a_hidden_event_has_no_position() -> None:
    store = store_with("s", 3)
    set_metadata(store, "s", b'{"$tb":2}')
    assert written(store.append("s", NO_STREAM, many(2), NOW)).position is None
    assert written(store.append("s", NO_STREAM, many(3), NOW)).position is not None


NOTHING: list[tuple[Callable[[], Store], int, int | tuple[int] | str | None]] = [
    (never, ANY, None),
    (never, NO_STREAM, None),
    (never, STREAM_EXISTS, (-1,)),
    (only_metadata, STREAM_EXISTS, None),
    (living, ANY, 2),
    (living, STREAM_EXISTS, 2),
    (living, 2, 2),
    (living, NO_STREAM, (2,)),
    (living, 1, (2,)),
    (living, 3, (2,)),
    (soft_deleted, ANY, 2),
    (soft_deleted, 2, 2),
    (soft_deleted, NO_STREAM, (2,)),
    (soft_deleted, 0, (2,)),
    (soft_deleted, STREAM_EXISTS, DELETED),
]


@pytest.mark.parametrize(("state", "expected", "outcome"), NOTHING)
def test_a_write_without_events(
    state: Callable[[], Store], expected: int, outcome: int | tuple[int] | str | None
) -> None:
    store = state()
    before, known, was_deleted = store.end, len(list(everything(store))), state is soft_deleted
    if outcome == DELETED:
        with pytest.raises(StreamDeleted):
            store.append("s", expected, [], NOW)
        return
    answer = store.append("s", expected, [], NOW)
    if isinstance(outcome, tuple):
        assert answer == WrongExpectation(expected, outcome[0])
        return
    assert (written(answer).number, written(answer).position) == (outcome, before)
    assert store.end > before
    if was_deleted:
        assert metadata_texts(store, "s")[-1] == b'{"$tb":3}'
        assert visible(store, "s") == []
    else:
        assert len(list(everything(store))) == known


def test_records_hold_what_was_written() -> None:
    store = Store()
    proposals = [
        Proposal(1, "Ü-✓", b"\x00\xff", b"meta", False),
        Proposal(2, "T", b"", b"", True),
    ]
    store.append("ströme", ANY, proposals, NOW + 5)
    first, second = everything(store)
    assert (first.stream, first.number, first.type, first.data, first.metadata, first.is_json, first.created) == (
        "ströme", 0, "Ü-✓", b"\x00\xff", b"meta", False, NOW + 5,
    )  # fmt: skip
    assert (second.id, second.number, second.is_json) == (2, 1, True)


def test_positions_are_those_of_a_file_of_records() -> None:
    store = Store()
    assert store.last_position == -1
    start = store.end
    assert start > 0
    store.append("abc", ANY, [Proposal(1, "Type", b"12345", b"12", True), event(2, type="é" * 100)], NOW)
    first, second = everything(store)
    assert first.position == start
    assert second.position == start + 88 + 1 + 3 + 1 + 4 + 5 + 2
    assert store.end == second.position + 88 + 1 + 3 + 2 + 200 + 2
    assert store.last_position == second.position


def test_listeners_hear_each_write_once_and_in_order() -> None:
    store = Store()
    heard: list[list[tuple[str, int]]] = []

    def listen(records: Sequence[Record]) -> None:
        heard.append([(record.stream, record.number) for record in records])

    stop = store.listen(listen)
    store.append("s", ANY, many(2), NOW)
    store.append("s", ANY, many(2), NOW)  # written before
    store.append("s", ANY, [], NOW)
    store.append("s", 7, many(1), NOW)
    store.delete("s", ANY, NOW)
    store.append("s", 1, many(2, 10), NOW)
    store.delete("s", ANY, NOW)
    store.append("s", ANY, [], NOW)
    store.tombstone("s", ANY, NOW)
    stop()
    stop()
    store.append("t", ANY, many(1, 20), NOW)
    assert heard == [
        [("s", 0), ("s", 1)],
        [("$$s", 0)],
        [("s", 2), ("s", 3), ("$$s", 1)],
        [("$$s", 2)],
        [("$$s", 3)],
        [("s", LAST_NUMBER)],
    ]


def test_a_listener_may_stop_listening_while_it_is_called() -> None:
    store = Store()
    heard: list[str] = []

    def listen(records: Sequence[Record]) -> None:
        heard.append("first")
        stop()

    stop = store.listen(listen)
    store.listen(lambda records: heard.append("second"))
    store.append("s", ANY, many(1), NOW)
    store.append("s", ANY, many(1, 1), NOW)
    assert heard == ["first", "second", "second"]


def test_the_last_position_is_that_of_the_last_event() -> None:
    store = store_with("s", 1)
    last = store.last_position
    store.append("s", ANY, [], NOW)
    assert store.last_position == last < store.end


def test_a_large_append_is_written_in_turns_and_seen_whole() -> None:
    store = store_with("s", 1)
    heard: list[Record] = []
    store.listen(heard.extend)
    end = store.end
    work = store.append_in_turns("s", 0, many(3 * TURN, 1), NOW)
    told = []
    for _ in work:
        last, told = store.last_number("s"), [*told, len(heard)]
        seen = len(read_all(store, 0, 0, None, 10**6).records)
        assert (last, seen) in ((0, 1), (3 * TURN, 3 * TURN + 1))
        assert (store.end == end) == (last == 0)
    assert told == [0, 0, 0, *range(100, 3 * TURN + 1, 100)]
    assert [record.number for record in heard] == list(range(1, 3 * TURN + 1))
    assert store.last_number("s") == 3 * TURN


def test_a_large_append_that_is_repeated_or_refused() -> None:
    store = Store()
    proposals = many(2 * TURN)
    answer = written(at_once(store.append_in_turns("s", NO_STREAM, list(proposals), NOW)))
    assert answer.position == store.last_position
    assert [record.id for record in everything(store)] == [proposal.id for proposal in proposals]
    assert at_once(store.append_in_turns("s", NO_STREAM, list(proposals), NOW)) == answer
    assert store.append("s", NO_STREAM, proposals, NOW) == answer
    assert store.append("s", ANY, proposals, NOW) == answer
    assert store.append("s", 5, many(2 * TURN, 10**6), NOW) == WrongExpectation(5, 2 * TURN - 1)
