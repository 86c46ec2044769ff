"""Sets of characters as .NET's regular expressions know them: ranges of UTF-16 code units."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

from ._texts import WHITE_SPACE

Ranges = Sequence[tuple[int, int]]

LAST_UNIT = 0xFFFF
_SETS_OF_CATEGORIES = {
    "C": "Cc Cf Cn Co Cs",
    "L": "Ll Lm Lo Lt Lu",
    "M": "Mc Me Mn",
    "N": "Nd Nl No",
    "P": "Pc Pd Pe Pf Pi Po Ps",
    "S": "Sc Sk Sm So",
    "Z": "Zl Zp Zs",
}
_CASED = ("Ll", "Lt", "Lu")
_BLOCKS = {
    "IsBasicLatin": (0x0000, 0x007F),
    "IsLatin-1Supplement": (0x0080, 0x00FF),
    "IsLatinExtended-A": (0x0100, 0x017F),
    "IsLatinExtended-B": (0x0180, 0x024F),
    "IsGreek": (0x0370, 0x03FF),
    "IsGreekandCoptic": (0x0370, 0x03FF),
    "IsCyrillic": (0x0400, 0x04FF),
    "IsHebrew": (0x0590, 0x05FF),
    "IsArabic": (0x0600, 0x06FF),
    "IsGeneralPunctuation": (0x2000, 0x206F),
    "IsHiragana": (0x3040, 0x309F),
    "IsKatakana": (0x30A0, 0x30FF),
    "IsCJKUnifiedIdeographs": (0x4E00, 0x9FFF),
    "IsHangulSyllables": (0xAC00, 0xD7AF),
}


@cache
def _categories() -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for unit in range(LAST_UNIT + 1):
        ranges = found.setdefault(unicodedata.category(chr(unit)), [])
        if ranges and ranges[-1][1] == unit - 1:
            ranges[-1] = (ranges[-1][0], unit)
        else:
            ranges.append((unit, unit))
    return found


@cache
def property_set(name: str, ignore_case: bool) -> Ranges | None:
    r"""What `\p{name}` stands for: a category of characters or a block; None if there is none of this name."""
    if name in _BLOCKS:
        return [_BLOCKS[name]]
    if ignore_case and name in _CASED:
        return union(_categories()[one] for one in _CASED)
    if name in _SETS_OF_CATEGORIES:
        return union(_categories()[one] for one in _SETS_OF_CATEGORIES[name].split())
    return _categories().get(name)


@cache
def word_set() -> Ranges:
    r"""What `\w` stands for: letters, marks without a width, decimal digits, connectors."""
    return union(_categories()[one] for one in ("Ll", "Lm", "Lo", "Lt", "Lu", "Mn", "Nd", "Pc"))


@cache
def boundary_set() -> Ranges:
    r"""What `\b` takes for a word's characters: the two joiners as well."""
    return union([word_set(), [(0x200C, 0x200D)]])


@cache
def digit_set() -> Ranges:
    r"""What `\d` stands for."""
    return _categories()["Nd"]


@cache
def space_set() -> Ranges:
    r"""What `\s` stands for."""
    return union([[(ord(char), ord(char))] for char in WHITE_SPACE])


def is_name_char(char: str) -> bool:
    """Whether a group's name may hold this character; escaped, it must mean something."""
    return char == "_" or char in "\u200c\u200d" or unicodedata.category(char) in (
        "Ll", "Lm", "Lo", "Lt", "Lu", "Mn", "Nd", "Pc",
    )  # fmt: skip


def union(several: Iterable[Ranges]) -> Ranges:
    """All of them, in order, none touching the next."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pair for ranges in several for pair in ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def complement(ranges: Ranges) -> Ranges:
    """Every other code unit."""
    gaps = []
    start = 0
    for low, high in union([ranges]):
        if low > start:
            gaps.append((start, low - 1))
        start = high + 1
    if start <= LAST_UNIT:
        gaps.append((start, LAST_UNIT))
    return gaps


@cache
def _case_variants() -> dict[str, list[str]]:
    """Characters that are the same in lower case, for each such lower case."""
    found: dict[str, list[str]] = {}
    for unit in range(LAST_UNIT + 1):
        char = chr(unit)
        if len(lower := char.lower()) == 1:
            found.setdefault(lower, []).append(char)
    return {lower: chars for lower, chars in found.items() if len(chars) > 1}


def with_case_variants(ranges: Ranges) -> Ranges:
    """These and whatever differs from them in case alone."""
    variants = _case_variants()
    added = [
        [(ord(other), ord(other))]
        for low, high in ranges
        for unit in range(low, high + 1)
        for other in variants.get(chr(unit).lower(), ())
    ]
    return union([ranges, *added])


def as_class(ranges: Ranges) -> str:
    """The set as Python's regular expressions write it."""
    if not ranges:
        return "(?!)"
    return "[" + "".join(_unit(low) + (f"-{_unit(high)}" if high > low else "") for low, high in ranges) + "]"


def _unit(unit: int) -> str:
    return f"\\u{unit:04x}"
