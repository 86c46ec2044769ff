"""Filters of $all: prefixes and .NET's regular expressions."""

from __future__ import annotations

import pytest

from tests.support.stores import NOW
from trio_esdb.embedded._store import Record, prefix_filter, regex_filter
from trio_esdb.embedded._store._filters import _REMEMBERED, _SHORT, Filter


def record(stream: str = "s", type: str = "T") -> Record:
    return Record(stream, 0, 1, 1, type, b"", b"", True, NOW)


def test_what_a_filter_looks_at() -> None:
    one = record("order-1", "Created")
    assert prefix_filter("stream", ["order-"]).matches(one)
    assert not prefix_filter("type", ["order-"]).matches(one)
    assert regex_filter("type", "^Cr").matches(one)
    assert not regex_filter("stream", "^Cr").matches(one)


PREFIXES: list[tuple[list[str], str, bool]] = [
    (["a", "b"], "bc", True),
    (["a", "b"], "cb", False),
    (["ab"], "a", False),
    (["A"], "ab", False),
    ([""], "", True),
    ([""], "x", True),
    ([], "x", False),
]


@pytest.mark.parametrize(("prefixes", "name", "is_wanted"), PREFIXES)
def test_prefixes(prefixes: list[str], name: str, is_wanted: bool) -> None:
    assert prefix_filter("type", prefixes).matches(record(type=name)) is is_wanted


def test_a_filter_remembers_only_so_much() -> None:
    asked: list[str] = []

    def accepts(name: str) -> bool:
        asked.append(name)
        return True

    one = Filter("stream", accepts)
    for _ in range(2):
        assert one.matches(record("a"))
    for number in range(_REMEMBERED):
        one.matches(record(str(number)))
    one.matches(record("a"))
    assert asked.count("a") == 2
    assert len(one._known) <= _REMEMBERED


def test_a_filter_remembers_short_names_only() -> None:
    asked: list[str] = []
    one = Filter("type", lambda name: asked.append(name) is None)
    short, long = "a" * _SHORT, "a" * (_SHORT + 1)
    for name in (short, short, long, long):
        assert one.matches(record(type=name))
    assert asked == [short, long, long]
    assert list(one._known) == [short]


def test_what_matching_costs() -> None:
    one = regex_filter("type", "a.*b")
    assert one.work == 0
    one.matches(record(type="xaxb"))
    assert 0 < one.work < 300
    one.work = 0
    one.matches(record(type="xaxb"))
    assert one.work == 0
    with_prefixes = prefix_filter("type", ["a"])
    assert with_prefixes.matches(record(type="a"))
    assert with_prefixes.work == 0
