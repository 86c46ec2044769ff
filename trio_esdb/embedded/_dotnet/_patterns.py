"""Regular expressions of .NET: whether one matches a text.

`_pattern_parser` reads a pattern by .NET's rules, `_automata` matches it in linear time.
"""

from __future__ import annotations

from ._automata import Automaton, Looks, TooMuchWork
from ._pattern_chars import BadPattern, UnsupportedPattern
from ._pattern_parser import parse
from ._pattern_tree import Anchor, Look, Node, Place, Series, series
from ._texts import utf16_units

__all__ = ["BadPattern", "Pattern", "TooMuchWork", "UnsupportedPattern"]

MAX_TEXT = 1024 * 1024
"""Characters of a text."""


class Pattern:
    """A regular expression, ready to be searched for. Raises BadPattern, of which UnsupportedPattern is a kind."""

    def __init__(self, pattern: str) -> None:
        self.work = 0
        """What all searches cost until now: 200 ns each, roughly. Whoever searches in turns may set it back to 0."""
        self._looks = Looks()
        node = parse(utf16_units(pattern))
        heads, rest = _split(node)
        self._heads = [(Automaton(head.part, self._looks, anchored=True), not head.negated) for head in heads]
        self._rest = Automaton(rest, self._looks, anchored=rest is not node)

    def search(self, text: str) -> bool:
        """Whether the text has a match. Raises TooMuchWork for a text that would take too long."""
        meter = self._looks.meter
        meter.work = 0
        try:
            if len(text) > MAX_TEXT:
                raise TooMuchWork
            symbols = self._looks.symbols(utf16_units(text))
            return all(head.finds(symbols) is wanted for head, wanted in self._heads) and self._rest.finds(symbols)
        except TooMuchWork:
            raise TooMuchWork(f"{len(text)} characters that begin with {text[:40]!r}") from None
        finally:
            self.work += meter.work


def _split(node: Node) -> tuple[list[Look], Node]:
    """The look-aheads at the start of the text, and what else must match there.

    Filters that exclude something begin with one, and at the start it is decided by the first few characters, without
    a scan of the text. A pattern that does not begin with `^` stays whole.
    """
    parts = node.parts if isinstance(node, Series) else (node,)
    heads: list[Look] = []
    if not parts or not isinstance(parts[0], Anchor) or parts[0].place is not Place.START:
        return heads, node
    for part in parts[1:]:
        if not isinstance(part, Look) or part.behind:
            break
        heads.append(part)
    return heads, series(list(parts[1 + len(heads) :]))
