"""The smaller half of reading a .NET pattern: what stands for characters and sets of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ._charsets import (
    Ranges,
    as_class,
    complement,
    digit_set,
    is_name_char,
    property_set,
    space_set,
    union,
    with_case_variants,
    word_set,
)

INT_MAX = 2**31 - 1
DIGITS = frozenset("0123456789")
_CHAR_ESCAPES = {"a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SHORTHANDS = {"w": word_set, "d": digit_set, "s": space_set}
_PROPERTY = re.compile(r"\{([^{}\\]*)\}")
_OCTAL = re.compile("[0-7]{1,3}")
_HEX = {"x": re.compile("[0-9a-fA-F]{2}"), "u": re.compile("[0-9a-fA-F]{4}")}


class BadPattern(Exception):
    """A regular expression that .NET cannot parse, or that has no counterpart here."""


@dataclass(frozen=True, slots=True)
class Options:
    """The inline options, by their letters."""

    i: bool = False
    m: bool = False
    n: bool = False
    s: bool = False
    x: bool = False


class CharScanner:
    """A place in a pattern, and how to go on from it."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._options = Options()

    def _peek(self, ahead: int = 0) -> str:
        """The next character, or one further on; empty after the end."""
        return self._text[self._at + ahead : self._at + ahead + 1]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise BadPattern("it ends too early")
        self._at += 1
        return char

    def _takes(self, text: str) -> bool:
        """Whether this comes next; if so, it is taken."""
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _matches(self, pattern: re.Pattern[str], otherwise: str) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise BadPattern(otherwise)
        self._at = found.end()
        return found

    def _decimal(self) -> int:
        start = self._at
        while self._peek() in DIGITS:
            self._at += 1
        number = int(self._text[start : self._at] or "0")
        if number > INT_MAX:
            raise BadPattern("too large a number")
        return number

    def _name(self) -> str:
        start = self._at
        while self._peek() and is_name_char(self._peek()):
            self._at += 1
        return self._text[start : self._at]

    def _char(self, char: str) -> str:
        """The character itself, in either case if that does not matter."""
        ranges: Ranges = [(ord(char), ord(char))]
        if self._options.i:
            ranges = with_case_variants(ranges)
        return re.escape(char) if ranges == [(ord(char), ord(char))] else as_class(ranges)

    def _char_escape(self) -> str:
        """After a backslash: the one character that is meant."""
        char = self._take()
        if char in "01234567":
            self._at -= 1
            return chr(int(self._matches(_OCTAL, "no octal number")[0], 8) & 0xFF)
        if char in _HEX:
            return chr(int(self._matches(_HEX[char], "too few hexadecimal digits")[0], 16))
        if char == "c":
            control = self._take()
            code = ord(control.upper() if control.isascii() else control) - ord("@")
            if not 0 <= code < 32:
                raise BadPattern("no such control character")
            return chr(code)
        if char in _CHAR_ESCAPES:
            return _CHAR_ESCAPES[char]
        if is_name_char(char):
            raise BadPattern(f"\\{char} means nothing")
        return char

    def _shorthand(self) -> Ranges | None:
        """After a backslash: the set that a letter stands for, if the next one stands for a set."""
        char = self._peek()
        kind = char.lower()
        if kind in _SHORTHANDS:
            self._at += 1
            ranges = _SHORTHANDS[kind]()
        elif kind == "p":
            self._at += 1
            known = property_set(self._matches(_PROPERTY, "no kind of characters")[1], self._options.i)
            if known is None:
                raise BadPattern("no such kind of characters")
            ranges = known
        else:
            return None
        return complement(ranges) if char.isupper() else ranges

    def _char_class(self) -> Ranges:
        """After `[`: characters, ranges, shorthands; at the end perhaps `-[...]`, which are taken away."""
        is_negated = self._takes("^")
        explicit: list[tuple[int, int]] = []
        shorthands: list[Ranges] = []
        taken_away: Ranges = []
        is_first = True
        while is_first or self._peek() != "]":
            low = self._class_member()
            if not isinstance(low, str):
                shorthands.append(low)
            elif self._peek() == "-" and self._peek(1) not in ("", "]") and low != "\\-":
                self._at += 1
                if self._takes("["):
                    explicit.append((ord(low[-1]), ord(low[-1])))
                    taken_away = self._subtraction()
                else:
                    explicit.append((ord(low[-1]), self._range_end(low[-1])))
            elif low == "-" and not is_first and self._takes("["):
                taken_away = self._subtraction()
            else:
                explicit.append((ord(low[-1]), ord(low[-1])))
            is_first = False
        self._at += 1
        ranges = union([with_case_variants(explicit) if self._options.i else explicit, *shorthands])
        if is_negated:
            ranges = complement(ranges)
        return complement(union([complement(ranges), taken_away])) if taken_away else ranges

    def _class_member(self) -> str | Ranges:
        """A shorthand's set, or a character, after a backslash if it was escaped."""
        if self._peek() == "\\" and self._peek(1):
            self._at += 1
            if (shorthand := self._shorthand()) is not None:
                return shorthand
            return "\\" + (self._take() if self._peek() == "-" else self._char_escape())
        return self._take()

    def _range_end(self, low: str) -> int:
        high = self._class_member()
        if not isinstance(high, str):
            raise BadPattern("a shorthand in a range")
        if low > high[-1]:
            raise BadPattern("a range that is reversed")
        return ord(high[-1])

    def _subtraction(self) -> Ranges:
        ranges = self._char_class()
        if self._peek() not in ("", "]"):
            raise BadPattern("something after what is taken away")
        return ranges
