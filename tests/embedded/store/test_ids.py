"""Which ids a node remembers."""

from __future__ import annotations

from tests.support.stores import NOW, event, events, many, written
from trio_esdb.embedded._store import ANY, Record, Store
from trio_esdb.embedded._store._ids import RecentIds, id_size

LIMIT = 8 * 2**20


def remembered(count: int, stream: str) -> tuple[RecentIds, list[int]]:
    """The memory after so many ids of a stream, and which of them it knows."""
    ids = RecentIds()
    records = [Record(stream, n, n, n, "T", b"", b"", True, NOW) for n in range(count)]
    for record in records:
        ids.add(record, id_size(stream))
    return ids, [n for n, record in enumerate(records) if ids.get(n) is record]


def test_the_size_of_an_id() -> None:
    # 28, and the name in whole words of 8 bytes: 21 and two for each UTF-16 unit
    assert [id_size("x" * n) - 28 for n in range(7)] == [24, 24, 32, 32, 32, 32, 40]
    assert id_size("ä" * 3) == id_size("xxx")
    assert id_size("\U0001f600" * 3) == id_size("x" * 6)
    assert id_size("\ud800") == id_size("x")


def test_the_oldest_ids_are_forgotten() -> None:
    size = id_size("s" * 20)
    assert size == 92
    room = LIMIT // size + 1  # room is made before an id is added, so one more than fits
    assert room == 91_181
    assert remembered(room, "s" * 20)[1] == list(range(room))
    assert remembered(room + 7, "s" * 20)[1] == list(range(7, room + 7))


def test_a_few_ids_of_a_very_long_name() -> None:
    size = id_size("s" * 50_000)
    ids, known = remembered(100, "s" * 50_000)
    room = LIMIT // size + 1
    assert known == list(range(100 - room, 100))
    record = Record("t", 0, 0, 0, "T", b"", b"", True, NOW)
    ids.add(record, id_size("t"))  # forgotten, so it is new again
    assert ids.get(0) is record


def test_one_id_larger_than_the_memory() -> None:
    ids, known = remembered(3, "s" * LIMIT)
    assert known == [2]
    assert ids.get(0) is None


def test_an_id_that_is_written_again_takes_room_again() -> None:
    ids = RecentIds()
    record = Record("s" * 50_000, 0, 0, 0, "T", b"", b"", True, NOW)
    other = Record("s" * 50_000, 1, 1, 1, "T", b"", b"", True, NOW)
    size = id_size(record.stream)
    ids.add(record, size)
    ids.add(other, size)
    for _ in range(LIMIT // size - 1):
        assert ids.get(0) is record
        ids.add(other, size)
    assert ids.get(0) is record
    ids.add(other, size)
    assert ids.get(0) is None
    ids.add(other, size)
    assert ids.get(1) is other  # forgotten, and added again
    for _ in range(LIMIT // size):
        ids.add(record, size)
    assert ids.get(0) is record
    assert ids.get(1) is None


def test_a_repeated_write_is_taken_for_new_once_its_ids_are_forgotten() -> None:
    store = Store()
    name = "x" * 2**20
    assert written(store.append(name, ANY, events(0), NOW)).number == 0
    assert written(store.append(name, ANY, events(0), NOW)).number == 0
    for n in range(1, 6):
        store.append(name, ANY, [event(n)], NOW)
    assert written(store.append(name, ANY, events(0), NOW)).number == 6
    assert written(store.append(name, 0, many(5, 1), NOW)).number == 5  # a revision is compared with the stream itself
