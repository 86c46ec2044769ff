"""Matching in linear time: sets of steps, and a table of the sets that were seen.

A matcher that backtracks tries one way through a pattern after another, and there can be exponentially many. This one
follows all ways at once (Thompson, 1968). The *program* of a pattern is a list of *steps*. A step consumes one
character of a set, or tests something about a position in the text, or only leads to other steps. A *state* is the set
of steps that can come next, after the text read so far. The state that follows on a character is computed once and put
into a table, so that most characters of a text cost two look-ups. RE2 and grep call this a lazy DFA.

Anchors and look-arounds consume no character. Whether they hold depends on the position alone, so this is found out
before the scan: each position has a mask with a bit for each anchor or look-around that holds there. A scan reads
*symbols*: a character where the mask is zero, else the pair of mask and character. The last symbol has an empty
character, since something may hold at the end of the text.

A look-around is a program of its own, and one scan of the text finds all positions at which it holds. For a look-behind
it goes forwards. For a look-ahead it goes backwards, and its program is built the other way round. Inner look-arounds
are scanned before outer ones, so n of them take n scans.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import TypeAlias

from ._charsets import CharSet
from ._pattern_tree import Anchor, Chars, Choice, Look, Node, Place, Repeat, Series

_MAX_WORK = 200_000
"""Steps that may be visited for one text. They take some 40 ms."""
_WORK_OF_A_STATE = 15
"""What it costs to add a state or a transition to the table, in steps that could be visited meanwhile."""
_WORK_OF_A_SET = 4
"""What it costs to ask whether a set has a character."""
_WORK_OF_A_SCAN = 15
"""What it costs to begin a scan."""
_CHARS_OF_A_STEP = 8
"""Characters that a scan finds in the table while it could visit one step."""
_MAX_KEPT = 30_000
"""Entries of all tables of a pattern together, some 3 MB."""

_START, _END, _LAST_LINE_FEED = (1 << place for place in Place)

Symbol: TypeAlias = str | tuple[int, str]


class TooMuchWork(Exception):
    """A text is too long for this pattern."""


class Meter:
    """What all programs of a pattern cost together: steps visited for a text, entries kept in tables."""

    __slots__ = ("_kept", "round", "work")

    def __init__(self) -> None:
        self.work = 0
        """Steps visited for the present text."""
        self.round = 0
        """Grows when too much was kept, and then every table starts afresh."""
        self._kept = 0

    def spend(self, steps: int) -> None:
        """Account for work. Raises TooMuchWork."""
        self.work += steps
        if self.work > _MAX_WORK:
            raise TooMuchWork

    def keep(self, entries: int) -> None:
        """Account for entries of a table."""
        self._kept += entries
        if self._kept > _MAX_KEPT:
            self._kept = 0
            self.round += 1


class Automaton:
    """The program of a pattern, or of a part of one, and the table of its states."""

    __slots__ = ("_anchored", "_matched", "_meter", "_numbers", "_round", "_rows", "_sets", "_start", "_steps")

    def __init__(self, node: Node, looks: Looks, *, anchored: bool = False, backwards: bool = False) -> None:
        self._anchored = anchored
        self._meter = looks.meter
        program = _Program(looks, backwards=backwards)
        self._start = program.build(node, program.match)
        self._steps = program.steps
        self._rows: list[dict[Symbol, int]] = []
        self._sets: list[frozenset[int]] = []
        self._matched: list[bool] = []
        """Whether a match ended in front of the symbol that led to the state."""
        self._numbers: dict[tuple[frozenset[int], bool], int] = {}
        self._forget()

    def finds(self, symbols: Iterable[Symbol]) -> bool:
        """Whether there is a match; if anchored, whether there is one from the beginning of the text on."""
        self._refresh()
        rows, matched = self._rows, self._matched
        state = 0
        symbol: Symbol = ""
        rest = iter(symbols)
        while True:
            try:
                for symbol in rest:
                    state = rows[state][symbol]
                return matched[state]
            except KeyError:
                # A state that decides has an empty row, so that the scan stops at the next symbol.
                if matched[state] or not self._sets[state]:
                    return matched[state]
                state = self._following(state, symbol)

    def holds(self, symbols: Iterable[Symbol]) -> list[bool]:
        """For each position, in the order of the scan, whether a match ends there."""
        self._refresh()
        rows, matched = self._rows, self._matched
        state = 0
        found = []
        for symbol in symbols:
            following = rows[state].get(symbol)
            state = self._following(state, symbol) if following is None else following
            found.append(matched[state])
        return found

    def _following(self, state: int, symbol: Symbol) -> int:
        """The state after this symbol, which the table does not have yet."""
        mask, char = symbol if isinstance(symbol, tuple) else (0, symbol)
        steps = self._steps
        waiting = list(self._sets[state])
        seen = set(waiting)
        reached: set[int] = set() if self._anchored else {self._start}
        verdicts: dict[CharSet, bool] = {}  # many steps may share a set
        matched = False
        for step in waiting:  # which grows in the loop
            accepts, tested, value, targets = steps[step]
            if accepts is not None:
                accepted = verdicts.get(accepts)
                if accepted is None:
                    accepted = verdicts[accepts] = char != "" and accepts(char)
                if accepted:
                    reached.update(targets)
            elif mask & tested == value:
                if not targets:
                    matched = True
                for target in targets:
                    if target not in seen:
                        seen.add(target)
                        waiting.append(target)
        self._meter.spend(len(waiting) + _WORK_OF_A_SET * len(verdicts) + _WORK_OF_A_STATE)
        row = self._rows[state]
        self._meter.keep(len(reached) + 6)
        self._refresh()
        key = frozenset(reached), matched
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._add(*key)
        row[symbol] = number
        return number

    def _add(self, steps: frozenset[int], matched: bool) -> int:
        self._rows.append({})
        self._sets.append(steps)
        self._matched.append(matched)
        return len(self._rows) - 1

    def _refresh(self) -> None:
        if self._round != self._meter.round:
            self._forget()

    def _forget(self) -> None:
        """Empty the table. The state 0 is that before the first symbol."""
        self._round = self._meter.round
        for table in (self._rows, self._sets, self._matched, self._numbers):
            table.clear()
        self._add(frozenset((self._start,)), False)


Step: TypeAlias = tuple[CharSet | None, int, int, tuple[int, ...]]
"""The set whose characters lead on; or None, the bits to test, and their right value. Then the steps that follow.

The step without followers is the match.
"""


class _Program:
    """Builds a program from its end."""

    def __init__(self, looks: Looks, *, backwards: bool) -> None:
        self.steps: list[Step] = []
        self._looks = looks
        self._backwards = backwards
        self.match = self._add(None, 0, 0)

    def build(self, node: Node, following: int) -> int:
        """Add the steps of a part, which lead to this one; the first of them."""
        match node:
            case Chars():
                return self._add(node.accepts, 0, 0, following)
            case Anchor():
                return self._add(None, 1 << node.place, 1 << node.place, following)
            case Look():
                bit = self._looks.bit(node)
                return self._add(None, bit, 0 if node.negated else bit, following)
            case Series():
                for part in node.parts if self._backwards else reversed(node.parts):
                    following = self.build(part, following)
                return following
            case Choice():
                return self._add(None, 0, 0, *(self.build(part, following) for part in node.parts))
        return self._repeat(node, following)

    def _repeat(self, node: Repeat, following: int) -> int:
        first = following
        least = node.least
        if node.most is None:
            loop = self._add(None, 0, 0)
            first = self.build(node.part, loop)
            self.steps[loop] = (None, 0, 0, (first, following))
            if not least:
                return loop
            least -= 1
        else:
            for _ in range(node.most - least):
                first = self._add(None, 0, 0, self.build(node.part, first), following)
        for _ in range(least):
            first = self.build(node.part, first)
        return first

    def _add(self, accepts: CharSet | None, tested: int, value: int, *targets: int) -> int:
        self.steps.append((accepts, tested, value, targets))
        return len(self.steps) - 1


class Looks:
    """The look-arounds of a pattern, inner ones before outer ones."""

    def __init__(self) -> None:
        self.meter = Meter()
        self._automata: list[tuple[int, bool, Automaton]] = []
        self._bits: dict[tuple[int, bool], int] = {}

    def bit(self, node: Look) -> int:
        """The bit in the masks that says where the part matches, for a look-around and for its opposite alike."""
        key = id(node.part), node.behind
        bit = self._bits.get(key)
        if bit is None:
            automaton = Automaton(node.part, self, backwards=not node.behind)
            bit = self._bits[key] = 1 << (len(Place) + len(self._automata))
            self._automata.append((bit, node.behind, automaton))
        return bit

    def symbols(self, text: str) -> list[Symbol]:
        """The symbols of a text."""
        self.meter.spend((2 * len(self._automata) + 1) * (_WORK_OF_A_SCAN + len(text) // _CHARS_OF_A_STEP))
        if text and not self._automata and text[-1] != "\n":
            return [(_START, text[0]), *text[1:], (_END, "")]  # the same as below, but faster
        masks: dict[int, int] = defaultdict(int)
        masks[0] |= _START
        masks[len(text)] |= _END
        if text.endswith("\n"):
            masks[len(text) - 1] |= _LAST_LINE_FEED
        for bit, behind, automaton in self._automata:
            if behind:
                holds = automaton.holds(_with_masks([*text, ""], masks))
            else:
                holds = automaton.holds(reversed(_with_masks(["", *text], masks)))
                holds.reverse()
            for place in compress(range(len(holds)), holds):
                masks[place] |= bit
        return _with_masks([*text, ""], masks)


def _with_masks(chars: Sequence[str], masks: dict[int, int]) -> list[Symbol]:
    symbols: list[Symbol] = list(chars)
    for place, mask in masks.items():
        symbols[place] = mask, chars[place]
    return symbols
