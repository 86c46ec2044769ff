"""Ids as a node reads them: every form that ``Guid.Parse`` of .NET takes, or two signed halves.

Inside the node an id is a number of 128 bits. A UUID would be one more object for each event.
"""

from __future__ import annotations

import re

NONE = 0
"""The id of nothing: all bits are zero."""

_HYPHENS = re.compile("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}").fullmatch
_DIGITS = re.compile("[0-9a-fA-F]{32}").fullmatch
_PARTS = re.compile(
    r"\{0x([0-9a-f]{1,8}),0x([0-9a-f]{1,4}),0x([0-9a-f]{1,4}),\{" + ",".join([r"0x([0-9a-f]{1,2})"] * 8) + r"\}\}"
).fullmatch
_PART_SIZES = (8, 4, 4) + (2,) * 8

_WRONG_LENGTH = "Guid should contain 32 digits with 4 dashes (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx)."
_WRONG_DASHES = "Dashes are in the wrong position for GUID parsing."
_WRONG_CHARACTER = "Guid string should only contain hexadecimal characters."
_UNRECOGNISED = "Unrecognized Guid format."


class BadGuid(ValueError):
    """A text that is not an id. The message is that of .NET."""


def parse_guid(text: str) -> int:
    """The id that a text stands for: digits with hyphens or without, in braces or parentheses, or hexadecimal parts."""
    if _HYPHENS(text):
        return int(text.replace("-", ""), 16)
    text = text.strip()
    if not text:
        raise BadGuid(_UNRECOGNISED)
    if text[0] == "{" and "-" not in text:
        return _parse_parts(text)
    if text[0] in "{(":
        if len(text) != 38 or text[-1] != ("}" if text[0] == "{" else ")"):
            raise BadGuid(_WRONG_LENGTH)
        text = text[1:-1]
    if "-" not in text:
        if len(text) != 32:
            raise BadGuid(_WRONG_LENGTH)
        if not _DIGITS(text):
            raise BadGuid(_WRONG_CHARACTER)
    elif len(text) != 36:
        raise BadGuid(_WRONG_LENGTH)
    elif not _HYPHENS(text):
        raise BadGuid(_WRONG_DASHES if {text[at] for at in (8, 13, 18, 23)} != {"-"} else _WRONG_CHARACTER)
    return int(text.replace("-", ""), 16)


def _parse_parts(text: str) -> int:
    found = _PARTS("".join(text.split()).lower())
    if found is None:
        raise BadGuid(_UNRECOGNISED)
    digits = "".join(part.zfill(size) for part, size in zip(found.groups(), _PART_SIZES, strict=True))
    return int(digits, 16)


def from_halves(most: int, least: int) -> int:
    """The id of two halves, signed or not."""
    return (most & 0xFFFF_FFFF_FFFF_FFFF) << 64 | least & 0xFFFF_FFFF_FFFF_FFFF


def to_halves(value: int) -> tuple[int, int]:
    """The two signed halves of an id, most significant first."""
    most, least = value >> 64, value & 0xFFFF_FFFF_FFFF_FFFF
    return most - (most >> 63 << 64), least - (least >> 63 << 64)


def guid_text(value: int) -> bytes:
    """An id as 32 digits in lower case, with hyphens."""
    digits = b"%032x" % value
    return b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
