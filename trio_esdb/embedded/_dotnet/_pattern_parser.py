"""Reading a .NET pattern, part two: groups, alternatives, repetitions, anchors.

The rules are those of `System.Text.RegularExpressions`. Captures make no difference to whether a pattern matches, and
neither does it matter whether a repetition is greedy, so neither is kept. What cannot be matched in a time that grows
with the text alone (back-references and what depends on the order of attempts) is refused.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ._charsets import anything, literal, no_line_feed, word_or_joiner
from ._pattern_chars import INT_MAX, BadPattern, CharReader, Options, UnsupportedPattern
from ._pattern_tree import Anchor, Chars, Node, Place, choice, look, repeat, series

MAX_LENGTH = 20_000
"""Characters of a pattern."""
MAX_SIZE = 20_000
"""Steps of the program for a pattern, with its repetitions written out."""
MAX_DEPTH = 100
"""Groups inside each other."""

_DIGITS = frozenset("0123456789")
_BLANKS = frozenset("\t\n\f\r ")
_PLAIN = re.compile(r"[^\\^$.|?*+()\[{]+(?![*+?{(])")
"""Characters that stand for themselves, up to one that may have a quantifier."""
_REPETITION = re.compile(r"\{([0-9]+)(,?)([0-9]*)\}")
_REFERENCE = re.compile(r"k|[1-9]|<\w+>|'\w+'")
_GROUP_NAME = re.compile(r"(-?)([^<>'()-]*)")


def parse(pattern: str) -> Node:
    """The parts of a pattern, which consists of UTF-16 code units. Raises BadPattern."""
    if len(pattern) > MAX_LENGTH:
        raise UnsupportedPattern(f"more than {MAX_LENGTH} characters")
    return _Parser(pattern).pattern()


class _Parser(CharReader):
    def __init__(self, pattern: str) -> None:
        super().__init__(pattern)
        self._depth = 0
        self._literals: dict[tuple[str, bool], Chars] = {}

    def pattern(self) -> Node:
        """The whole pattern."""
        node = self._alternatives()
        if self._peek():
            raise BadPattern("too many closing parentheses")
        return node

    def _alternatives(self) -> Node:
        """What stands up to the end or to a closing parenthesis."""
        parts = [self._sequence()]
        while self._takes("|"):
            parts.append(self._sequence())
        return _limited(choice(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while True:
            self._skip_blank()
            if not self._options.x and (plain := self._takes_match(_PLAIN)):
                parts += [self._literal(char) for char in plain[0]]
            char = self._peek()
            if char in ("", "|", ")"):
                return series(parts)
            if self._is_quantifier():
                raise BadPattern("a quantifier after nothing")
            part = self._part()
            if part is None:
                continue
            self._skip_blank()
            if self._is_quantifier():
                part = self._quantified(part)
            parts.append(part)

    def _skip_blank(self) -> None:
        """White space and comments that the options allow; comments in parentheses are always allowed."""
        while True:
            if self._options.x and self._peek() in _BLANKS:
                self._at += 1
            elif self._options.x and self._peek() == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif self._text.startswith("(?#", self._at):
                end = self._text.find(")", self._at)
                if end < 0:
                    raise BadPattern("a comment without an end")
                self._at = end + 1
            else:
                return

    def _is_quantifier(self) -> bool:
        char = self._peek()
        return char in ("*", "+", "?") or (char == "{" and _REPETITION.match(self._text, self._at) is not None)

    def _quantified(self, part: Node) -> Node:
        least, most = self._bounds()
        self._skip_blank()
        self._takes("?")
        self._skip_blank()
        if self._is_quantifier():
            raise BadPattern("a quantifier after a quantifier")
        return _limited(repeat(part, least, most))

    def _bounds(self) -> tuple[int, int | None]:
        found = self._takes_match(_REPETITION)
        if found is None:
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[self._take()]
        least = _number(found[1])
        most = least if not found[2] else _number(found[3]) if found[3] else None
        if most is not None and least > most:
            raise BadPattern("bounds of a repetition in reverse order")
        return least, most

    def _part(self) -> Node | None:
        """What a quantifier may follow; None for a construct that only sets options."""
        char = self._take()
        if char == "(":
            return self._nested_group()
        if char == "[":
            return Chars(self._char_class())
        if char == "\\":
            return self._escape()
        if char == "^":
            return _LINE_START if self._options.m else Anchor(Place.START)
        if char == "$":
            return _LINE_END if self._options.m else _TEXT_END
        if char == ".":
            return Chars(anything if self._options.s else no_line_feed)
        return self._literal(char)

    def _literal(self, char: str) -> Chars:
        key = char, self._options.i
        node = self._literals.get(key)
        if node is None:
            node = self._literals[key] = Chars(literal(char, ignore_case=self._options.i))
        return node

    # -- groups

    def _nested_group(self) -> Node | None:
        if self._depth >= MAX_DEPTH:
            raise UnsupportedPattern(f"more than {MAX_DEPTH} groups inside each other")
        options = self._options
        self._depth += 1
        node = self._group()
        self._depth -= 1
        if node is not None:
            self._options = options
        return node

    def _group(self) -> Node | None:
        """After `(`. None for `(?i)` and its like, which leave their options in force."""
        if self._peek() != "?" or self._peek(1) == ")":
            return self._rest()
        self._at += 1
        for opening, behind, negated in (("=", 0, 0), ("!", 0, 1), ("<=", 1, 0), ("<!", 1, 1)):
            if self._takes(opening):
                return look(self._rest(), behind=bool(behind), negated=bool(negated))
        char = self._take()
        if char == ":":
            return self._rest()
        if char == ">":
            raise UnsupportedPattern("atomic groups, (?>...)")
        if char == "(":
            raise UnsupportedPattern("conditions, (?(...)...)")
        if char in "<'":
            self._group_name(">" if char == "<" else "'")
            return self._rest()
        self._at -= 1
        self._options = self._changed_options()
        if self._takes(")"):
            return None
        if not self._takes(":"):
            raise BadPattern("an unknown kind of group")
        return self._rest()

    def _rest(self) -> Node:
        node = self._alternatives()
        if not self._takes(")"):
            raise BadPattern("too few closing parentheses")
        return node

    def _group_name(self, close: str) -> None:
        found = self._expect(_GROUP_NAME, "a bad name of a group")
        if found[1] or self._peek() == "-":
            raise UnsupportedPattern("groups that remove a capture, (?<-name>...)")
        name = found[2]
        is_number = name[:1] in _DIGITS
        if not name or not all(map(word_or_joiner, name)) or (is_number and not (name.isdecimal() and _number(name))):
            raise BadPattern("a bad name of a group")
        if not self._takes(close):
            raise BadPattern("a bad name of a group")

    def _changed_options(self) -> Options:
        options = self._options
        on = True
        while char := self._peek():
            if char in "+-":
                on = char == "+"
            elif char.lower() in "imnsx":
                options = replace(options, **{char.lower(): on})
            else:
                break
            self._at += 1
        return options

    # -- escapes

    def _escape(self) -> Node:
        char = self._peek()
        if char in _PLACES:
            self._at += 1
            return _PLACES[char]
        if (shorthand := self._shorthand()) is not None:
            return Chars(shorthand)
        if _REFERENCE.match(self._text, self._at):
            raise UnsupportedPattern("back-references, and octal escapes that do not begin with 0")
        return self._literal(self._char_escape())


def _number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    if len(digits) > 10 or int(digits) > INT_MAX:
        raise BadPattern("too large a number")
    return int(digits)


def _limited(node: Node) -> Node:
    if node.size > MAX_SIZE:
        raise UnsupportedPattern(f"more than {MAX_SIZE} steps, with repetitions written out")
    return node


def _not_beside(chars: Chars, *, behind: bool) -> Node:
    """Where the text begins or ends, and beside every character that is not in the set."""
    return look(chars, behind=behind, negated=True)


_TEXT_END = choice([Anchor(Place.END), Anchor(Place.LAST_LINE_FEED)])
_LINE_START = _not_beside(Chars(no_line_feed), behind=True)
_LINE_END = _not_beside(Chars(no_line_feed), behind=False)


def _boundary(*, is_inside: bool) -> Node:
    """Between a word and what is none; or, inside, between two characters of a word or two that are none."""
    word = Chars(word_or_joiner)
    before, not_before = (look(word, behind=True, negated=negated) for negated in (False, True))
    after, not_after = (look(word, behind=False, negated=negated) for negated in (False, True))
    if is_inside:
        return choice([series([before, after]), series([not_before, not_after])])
    return choice([series([before, not_after]), series([not_before, after])])


_PLACES = {
    "A": Anchor(Place.START),
    "G": Anchor(Place.START),
    "Z": _TEXT_END,
    "z": Anchor(Place.END),
    "b": _boundary(is_inside=False),
    "B": _boundary(is_inside=True),
}
