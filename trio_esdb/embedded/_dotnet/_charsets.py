"""Sets of characters as .NET's regular expressions define them.

A set is a function that says whether a character belongs to it. Nothing is tabulated: to list the characters of a
category takes longer than to compile a pattern, and a text has few different characters. A character is a UTF-16 code
unit.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

from ._texts import WHITE_SPACE

CharSet: TypeAlias = Callable[[str], bool]
Range: TypeAlias = tuple[str, str]
"""The first and the last character of a range."""

_GROUPS = {
    "C": ("Cc", "Cf", "Cn", "Co", "Cs"),
    "L": ("Ll", "Lm", "Lo", "Lt", "Lu"),
    "M": ("Mc", "Me", "Mn"),
    "N": ("Nd", "Nl", "No"),
    "P": ("Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps"),
    "S": ("Sc", "Sk", "Sm", "So"),
    "Z": ("Zl", "Zp", "Zs"),
}
_CATEGORIES = frozenset(category for group in _GROUPS.values() for category in group)
_CASED = ("Ll", "Lt", "Lu")
_WORD = frozenset(("Ll", "Lm", "Lo", "Lt", "Lu", "Mn", "Nd", "Pc"))
_JOINERS = "\u200c\u200d"

# Characters that `str.upper` and `str.title` do not lead to, by the lower case that they have in common with others.
_OTHER_UPPER_CASES = {"k": "\u212a", "\xe5": "\u212b", "\u03c9": "\u2126", "\u03b8": "\u03f4", "\xdf": "\u1e9e"}


def word(char: str) -> bool:
    r"""Whether `\w` matches: letters, marks without a width, decimal digits, connectors."""
    return unicodedata.category(char) in _WORD


def word_or_joiner(char: str) -> bool:
    r"""Whether `\b` takes the character for a part of a word; a group's name may hold the same characters."""
    return unicodedata.category(char) in _WORD or char in _JOINERS


def digit(char: str) -> bool:
    r"""Whether `\d` matches."""
    return unicodedata.category(char) == "Nd"


def white_space(char: str) -> bool:
    r"""Whether `\s` matches."""
    return char in WHITE_SPACE


def anything(char: str) -> bool:
    """Whether `.` matches when the option `s` is on."""
    return True


def no_line_feed(char: str) -> bool:
    """Whether `.` matches."""
    return char != "\n"


@lru_cache(128)
def in_category(name: str, *, ignore_case: bool) -> CharSet | None:
    r"""The set of `\p{name}`; None if Unicode has no category of this name."""
    categories: Collection[str]
    if ignore_case and name in _CASED:
        categories = _CASED
    elif name in _CATEGORIES:
        categories = (name,)
    elif name in _GROUPS:
        categories = _GROUPS[name]
    else:
        return None
    return lambda char: unicodedata.category(char) in categories


def complement(chars: CharSet) -> CharSet:
    """Every other character."""
    return lambda char: not chars(char)


def difference(chars: CharSet, removed: CharSet) -> CharSet:
    """The characters of the first set that are not in the second."""
    return lambda char: chars(char) and not removed(char)


def literal(char: str, *, ignore_case: bool) -> CharSet:
    """One character, in either case on demand."""
    return frozenset(case_variants(char) if ignore_case else char).__contains__


def char_class(ranges: Sequence[Range], sets: Iterable[CharSet], *, ignore_case: bool) -> CharSet:
    """All characters of these ranges and sets. Case can be ignored in the ranges alone, as in .NET."""
    firsts: list[str] = []
    lasts: list[str] = []
    for first, last in sorted(ranges):
        if lasts and first <= lasts[-1]:
            lasts[-1] = max(last, lasts[-1])
        else:
            firsts.append(first)
            lasts.append(last)

    def contains(char: str) -> bool:
        for variant in case_variants(char) if ignore_case else char:
            place = bisect_right(firsts, variant)
            if place and variant <= lasts[place - 1]:
                return True
        return any(chars(char) for chars in sets)

    return contains


@lru_cache(1024)
def case_variants(char: str) -> str:
    """The character, and those with the same lower case."""
    lower = char.lower()
    if len(lower) > 1:
        return char
    others = (lower.upper(), lower.title(), _OTHER_UPPER_CASES.get(lower, ""))
    variants = {char, lower, *(other for other in others if len(other) == 1 and other.lower() == lower)}
    return "".join(sorted(variants))
