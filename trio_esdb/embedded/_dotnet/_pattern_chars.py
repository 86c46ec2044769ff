"""Reading a .NET pattern, part one: single characters, escapes and classes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ._charsets import (
    CharSet,
    Range,
    char_class,
    complement,
    difference,
    digit,
    in_category,
    white_space,
    word,
    word_or_joiner,
)

INT_MAX = 2**31 - 1
_CHAR_ESCAPES = {"a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SHORTHANDS: dict[str, CharSet] = {"w": word, "d": digit, "s": white_space}
_CATEGORY = re.compile(r"\{([^{}\\]*)\}")
_OCTAL = re.compile("[0-7]{1,3}")
_HEX = {"x": re.compile("[0-9a-fA-F]{2}"), "u": re.compile("[0-9a-fA-F]{4}")}


class BadPattern(Exception):
    """A regular expression that .NET cannot parse either."""


class UnsupportedPattern(BadPattern):
    """A regular expression that .NET takes and the embedded node refuses. The text says what is not supported."""


@dataclass(frozen=True, slots=True)
class Options:
    """The inline options, by their letters."""

    i: bool = False
    m: bool = False
    n: bool = False
    s: bool = False
    x: bool = False


class CharReader:
    """A position in a pattern, and what is read from there."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._options = Options()

    def _peek(self, ahead: int = 0) -> str:
        """The next character, or one after it; empty after the end."""
        return self._text[self._at + ahead : self._at + ahead + 1]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise BadPattern("the pattern ends too early")
        self._at += 1
        return char

    def _takes(self, text: str) -> bool:
        """Whether this text comes next; if so, it is consumed."""
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _takes_match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What this pattern matches here, consumed; None if it does not match."""
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _expect(self, pattern: re.Pattern[str], otherwise: str) -> re.Match[str]:
        found = self._takes_match(pattern)
        if found is None:
            raise BadPattern(otherwise)
        return found

    def _char_escape(self) -> str:
        """After a backslash: the one character that is meant."""
        char = self._take()
        if char in "01234567":
            self._at -= 1
            return chr(int(self._expect(_OCTAL, "no octal number")[0], 8) & 0xFF)
        if char in _HEX:
            return chr(int(self._expect(_HEX[char], "too few hexadecimal digits")[0], 16))
        if char == "c":
            control = self._take()
            code = ord(control.upper() if control.isascii() else control) - ord("@")
            if not 0 <= code < 32:
                raise BadPattern("no such control character")
            return chr(code)
        if char in _CHAR_ESCAPES:
            return _CHAR_ESCAPES[char]
        if word_or_joiner(char):
            raise BadPattern(f"\\{char} is no escape")
        return char

    def _shorthand(self) -> CharSet | None:
        r"""After a backslash: the set of `w`, `d`, `s` or `p{...}`, or of their upper case; None for other escapes."""
        char = self._peek()
        kind = char.lower()
        if kind in _SHORTHANDS:
            self._at += 1
            chars = _SHORTHANDS[kind]
        elif kind == "p":
            self._at += 1
            chars = self._category()
        else:
            return None
        return complement(chars) if char.isupper() else chars

    def _category(self) -> CharSet:
        name = self._expect(_CATEGORY, "no name of a category")[1]
        if name.startswith("Is"):
            raise UnsupportedPattern(rf"named blocks of characters, \p{{{name[:40]}}}")
        chars = in_category(name, ignore_case=self._options.i)
        if chars is None:
            raise BadPattern("no such category of characters")
        return chars

    def _char_class(self, depth: int = 0) -> CharSet:
        """After `[`: characters, ranges and shorthands; at the end perhaps `-[...]`, which is subtracted."""
        is_negated = self._takes("^")
        ranges: list[Range] = []
        sets: dict[str, CharSet] = {}  # by their text, because a class may name one many times
        removed: CharSet | None = None
        is_first = True
        while is_first or self._peek() != "]":
            start = self._at
            low = self._class_member()
            if not isinstance(low, str):
                sets[self._text[start : self._at]] = low
            elif self._peek() == "-" and self._peek(1) not in ("", "]") and low != "\\-":
                self._at += 1
                if self._takes("["):
                    ranges.append((low[-1], low[-1]))
                    removed = self._subtrahend(depth)
                else:
                    ranges.append((low[-1], self._range_end(low[-1])))
            elif low == "-" and not is_first and self._takes("["):
                removed = self._subtrahend(depth)
            else:
                ranges.append((low[-1], low[-1]))
            is_first = False
        self._at += 1
        chars = char_class(ranges, sets.values(), ignore_case=self._options.i)
        if is_negated:
            chars = complement(chars)
        return chars if removed is None else difference(chars, removed)

    def _class_member(self) -> str | CharSet:
        """A shorthand's set, or a character, with a backslash before it if it was escaped."""
        if self._peek() == "\\" and self._peek(1):
            self._at += 1
            if (shorthand := self._shorthand()) is not None:
                return shorthand
            return "\\" + (self._take() if self._peek() == "-" else self._char_escape())
        return self._take()

    def _range_end(self, low: str) -> str:
        high = self._class_member()
        if not isinstance(high, str):
            raise BadPattern("a shorthand as the end of a range")
        if low > high[-1]:
            raise BadPattern("a range in reverse order")
        return high[-1]

    def _subtrahend(self, depth: int) -> CharSet:
        if depth >= 10:
            raise UnsupportedPattern("more than 10 character classes inside each other")
        chars = self._char_class(depth + 1)
        if self._peek() not in ("", "]"):
            raise BadPattern("something after a subtracted class")
        return chars
