"""The store against a model of it that remembers everything and looks at all of it each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.support.stores import NOW, events, numbers, read_all, read_all_backwards, read_whole
from trio_esdb.embedded._store import (
    ANY,
    LAST_NUMBER,
    NO_STREAM,
    STREAM_EXISTS,
    NeverAnswered,
    Record,
    Store,
    StreamDeleted,
    Written,
    WrongExpectation,
)

STREAMS = ("a", "b", "$c")
stream_names = st.sampled_from(STREAMS)
expectations = st.sampled_from([ANY, NO_STREAM, STREAM_EXISTS, 0, 1, 2, 3, 5])
keys = st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True)
positions = st.integers(0, 8)
sizes = st.integers(1, 4)


@dataclass
class Model:
    """One stream: the keys of its events, the first number that is visible, and how it was deleted."""

    keys: list[int] = field(default_factory=list)
    first: int = 0
    max_count: int | None = None
    has_metadata: bool = False
    state: Literal["alive", "soft", "gone"] = "alive"

    @property
    def last(self) -> int:
        return len(self.keys) - 1

    def visible(self) -> list[int]:
        lowest = max(self.first, 0 if self.max_count is None else len(self.keys) - self.max_count)
        return [] if self.state != "alive" else list(range(lowest, len(self.keys)))

    def expects(self, expected: int) -> bool:
        """Whether a fresh event may be written, or the stream be deleted."""
        if expected == STREAM_EXISTS:
            return self.last >= 0 or self.has_metadata
        return expected in (ANY, self.last) or (expected == NO_STREAM and self.state == "soft")

    def revive(self) -> None:
        if self.state == "soft":
            self.state, self.first = "alive", len(self.keys)
            self.max_count = None


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.models = {name: Model() for name in STREAMS}
        self.heard: list[Record] = []
        self.store.listen(self.heard.extend)
        self.fresh = 100

    def take_fresh(self, count: int) -> list[int]:
        self.fresh += count
        return list(range(self.fresh - count, self.fresh))

    @rule(name=stream_names, expected=expectations, count=st.integers(0, 3))
    def append_new(self, name: str, expected: int, count: int) -> None:
        """Write events whose ids nobody knows."""
        model, new = self.models[name], self.take_fresh(count)
        if model.state == "gone" or (model.state == "soft" and expected == STREAM_EXISTS):
            with pytest.raises(StreamDeleted):
                self.store.append(name, expected, events(*new), NOW)
            return
        answer = self.store.append(name, expected, events(*new), NOW)
        if not model.expects(expected) or (not new and expected == NO_STREAM and model.last >= 0):
            assert answer == WrongExpectation(expected, model.last)
            return
        model.revive()
        model.keys += new
        assert isinstance(answer, Written)
        assert answer.number == (model.last if model.keys else None)

    @rule(name=stream_names, known=keys, is_any=st.booleans())
    def append_known(self, name: str, known: list[int], is_any: bool) -> None:
        """Write events of few ids, so that many are known already, here or elsewhere."""
        model = self.models[name]
        if model.state != "alive":
            return
        expected = ANY if is_any else NO_STREAM
        places = [self.first_place(name, key) for key in known]
        first, last = places[0], places[-1]
        if is_any and None not in places and first is not None and last is not None and last < first - 1:
            with pytest.raises(NeverAnswered):
                self.store.append(name, expected, events(*known), NOW)
            return
        answer = self.store.append(name, expected, events(*known), NOW)
        if (is_any and places[0] is None) or (not is_any and model.last < 0):
            model.keys += known
            assert isinstance(answer, Written)
            assert answer.number == model.last
        elif (is_any and None not in places) or (not is_any and model.keys[: len(known)] == known):
            number = places[-1] if is_any else len(known) - 1
            assert isinstance(answer, Written)
            assert answer.number == number
            assert (answer.position is not None) == (number in model.visible())
        else:
            assert answer == WrongExpectation(expected, model.last)

    def first_place(self, name: str, key: int) -> int | None:
        """The number that a node knows for this id in this stream: where it was first written, if that was here."""
        for record in self.heard:
            if record.id == events(key)[0].id:
                return record.number if record.stream == name else None
        return None

    @rule(name=stream_names, expected=expectations, is_hard=st.booleans())
    def delete(self, name: str, expected: int, is_hard: bool) -> None:
        model = self.models[name]
        act = self.store.tombstone if is_hard else self.store.delete
        if model.state == "gone" or (model.state == "soft" and expected == STREAM_EXISTS):
            with pytest.raises(StreamDeleted):
                act(name, expected, NOW)
            return
        answer = act(name, expected, NOW)
        is_unknown = model.last < 0 and not model.has_metadata
        if not model.expects(expected) or (is_unknown and not is_hard):
            assert answer == WrongExpectation(expected, model.last)
            return
        assert isinstance(answer, Written)
        if is_hard:
            model.state = "gone"
        else:
            model.state, model.has_metadata, model.max_count = "soft", True, None

    @rule(name=stream_names, first=positions, max_count=st.none() | st.integers(1, 4))
    def set_metadata(self, name: str, first: int, max_count: int | None) -> None:
        model = self.models[name]
        if model.state == "gone":
            return
        count = "" if max_count is None else f',"$maxCount":{max_count}'
        key = self.take_fresh(1)
        proposal = events(*key)[0]
        text = f'{{"$tb":{first}{count}}}'.encode()
        self.store.append("$$" + name, ANY, [type(proposal)(proposal.id, "$metadata", text, b"", True)], NOW)
        was_soft = model.state == "soft"
        model.state, model.has_metadata = "alive", True
        model.first, model.max_count = len(model.keys) if was_soft else first, max_count

    @rule(name=stream_names, start=positions, size=sizes)
    def read_forwards(self, name: str, start: int, size: int) -> None:
        model = self.models[name]
        if model.state == "alive" and model.keys:
            pages = read_whole(self.store, name, start, size=size)
            found = [number for page in pages for number in numbers(page)]
            assert found == [number for number in model.visible() if number >= start]
            assert all(page.last_number == model.last for page in pages)

    @rule(name=stream_names, start=st.integers(-1, 8), size=sizes)
    def read_backwards(self, name: str, start: int, size: int) -> None:
        model = self.models[name]
        if model.state == "alive" and model.keys:
            found, at, is_end = [], start, False
            while not is_end:
                page = self.store.read_stream_backwards(name, at, size, NOW)
                found += numbers(page)
                at, is_end = page.next_number, page.is_end
            top = model.last if start < 0 else start
            assert found == [number for number in reversed(model.visible()) if number <= top]

    @invariant()
    def streams_are_as_the_model_says(self) -> None:
        for name, model in self.models.items():
            if model.state == "gone":
                assert self.store.last_number(name) == LAST_NUMBER
                continue
            assert self.store.last_number(name) == model.last
            page = self.store.read_stream(name, 0, 1, NOW)
            is_there = model.state == "alive" and model.last >= 0
            assert page.outcome == ("success" if is_there else "no_stream")

    @invariant()
    def the_log_is_what_was_heard(self) -> None:
        page = read_all(self.store, 0, 0, None, 10**6)
        assert page.records == self.heard
        backwards = read_all_backwards(self.store, self.store.end, self.store.end, None, 10**6)
        assert backwards.records == self.heard[::-1]
        places = [record.position for record in self.heard]
        assert places == sorted(set(places))


TestStore = Machine.TestCase
TestStore.settings = settings(max_examples=60, stateful_step_count=25)
