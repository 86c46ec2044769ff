"""What links point to."""

from __future__ import annotations

import pytest

from tests.support.stores import NOW, SECOND, event, everything, set_metadata, store_with
from trio_esdb.embedded._store import ANY, LAST_NUMBER, LINK_TYPE, MalformedLink, Record, Store


def link_to(store: Store, text: bytes) -> Record:
    store.append("links", ANY, [event(10**9 + store.end, type=LINK_TYPE, data=text, is_json=False)], NOW)
    return list(everything(store))[-1]


MALFORMED = "malformed"
LINKS: list[tuple[bytes, int | str | None]] = [
    (b"0@s", 0),
    (b"2@s", 2),
    (b"3@s", None),
    (b"0@none", None),
    (b"-1@s", 2),  # the last one
    (b"-2@s", None),
    (b" 1 @s", 1),
    (b"+1@s", 1),
    (b"001@s", 1),
    (b"-0@s", 0),
    (b"1\x00@s", 1),
    (b"1@", None),
    (b"1", None),  # a number alone lacks a stream
    (b"1@s@t", None),  # the first one splits
    (b"1@ s", None),  # blanks belong to the name
    (b"nonsense", MALFORMED),
    (b"", MALFORMED),
    (b"@s", MALFORMED),
    (b"x@s", MALFORMED),
    (b"1.0@s", MALFORMED),
    (b"1e0@s", MALFORMED),
    (b"1_0@s", MALFORMED),
    (b"- 1@s", MALFORMED),
    ("\u0661@s".encode(), MALFORMED),
    ("\u00a01@s".encode(), MALFORMED),
    (b"9223372036854775807@s", None),
    (b"9223372036854775808@s", MALFORMED),
    (b"-9223372036854775808@s", None),
    (b"-9223372036854775809@s", MALFORMED),
    (b"\xff@s", MALFORMED),
]


@pytest.mark.parametrize(("text", "outcome"), LINKS)
def test_what_stands_in_a_link(text: bytes, outcome: int | str | None) -> None:
    store = store_with("s", 3)
    link = link_to(store, text)
    if outcome == MALFORMED:
        with pytest.raises(MalformedLink):
            store.resolve(link, NOW)
        return
    target = store.resolve(link, NOW)
    assert (None if target is None else target.number) == outcome
    assert target is None or target.stream == "s"


def test_a_target_must_be_visible() -> None:
    store = store_with("s", 3)
    first, last = link_to(store, b"0@s"), link_to(store, b"2@s")

    def resolved(now: int = NOW) -> tuple[bool, bool]:
        return store.resolve(first, now) is not None, store.resolve(last, now) is not None

    assert resolved() == (True, True)
    set_metadata(store, "s", b'{"$maxCount":1}')
    assert resolved() == (False, True)
    set_metadata(store, "s", b'{"$tb":1}')
    assert resolved() == (False, True)
    set_metadata(store, "s", b'{"$maxAge":5}')
    assert resolved() == (True, True)
    assert resolved(NOW + 6 * SECOND) == (False, False)
    store.delete("s", ANY, NOW)
    assert resolved() == (False, False)
    assert store.resolve(link_to(store, b"-1@s"), NOW) is None
    assert store.resolve(link_to(store, b"0@$$s"), NOW) is None  # of metadata only the last is visible
    assert store.resolve(link_to(store, b"-1@$$s"), NOW) is not None
    store.tombstone("s", ANY, NOW)
    assert resolved() == (False, False)
    assert store.resolve(link_to(store, b"%d@s" % LAST_NUMBER), NOW) is None
    assert store.resolve(link_to(store, b"-1@$$s"), NOW) is None


def test_a_link_to_a_link_gives_the_link() -> None:
    store = store_with("s", 1)
    link_to(store, b"0@s")
    target = store.resolve(link_to(store, b"0@links"), NOW)
    assert target is not None
    assert (target.stream, target.type) == ("links", "$>")
