"""JSON as Json.NET reads it, which is more than JSON.

A node reads a stream's metadata with Json.NET, so these all pass: single quotes, names without quotes, comments,
a comma too many, a value left out, hexadecimal and octal numbers, NaN, line ends inside strings. A reader may stop
early: what follows is never looked at.

A token takes 1 to 2 us here, so a text may have only so many. What is plain JSON does not come here:
`_json_values` leaves it to the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import Enum, auto

from ._texts import INT64_MAX, WHITE_SPACE, wrap_int64

MAX_DEPTH = 64
MAX_DIGITS = 380
"""Digits of an integer, for Json.NET as well."""
MAX_TOKENS = 20_000
"""Tokens of a text, and backslashes in it. Json.NET has no such limit."""

_SKIPPED = WHITE_SPACE + "\0"
_BLANKS = re.compile(f"[{_SKIPPED}]*")
_COMMENTS = re.compile(rf"(?:[{_SKIPPED}]|//[^\r\n]*|/\*(?s:.*?)\*/)++")
"""Comments and the blanks between them. Possessive, so that many of them are matched without being remembered."""
_IDENTIFIER = re.compile(r"[\w$]*")
_NUMBER = re.compile(r"[0-9a-fA-FxX.+-]+")
_PLAIN = {quote: re.compile(rf"[^{quote}\\]*") for quote in ("'", '"')}
"""What stands in a string up to its end or an escape."""
_AFTER_NUMBER = frozenset(WHITE_SPACE + ",}])/")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "\\": "\\", '"': '"', "'": "'", "/": "/"}
_CODE_UNIT = re.compile("[0-9a-fA-F]{4}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?(Z|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)


class BadJson(Exception):
    """Text that Json.NET does not read."""


class Kind(Enum):
    """What a token is."""

    OPEN_OBJECT = auto()
    CLOSE_OBJECT = auto()
    OPEN_ARRAY = auto()
    CLOSE_ARRAY = auto()
    NAME = auto()
    STRING = auto()
    DATE = auto()
    INTEGER = auto()
    FLOAT = auto()
    BOOLEAN = auto()
    NULL = auto()
    UNDEFINED = auto()
    COMMENT = auto()


Token = tuple[Kind, "str | int | float | bool | None"]

_WORDS: tuple[tuple[str, Token], ...] = (
    ("true", (Kind.BOOLEAN, True)),
    ("false", (Kind.BOOLEAN, False)),
    ("null", (Kind.NULL, None)),
    ("undefined", (Kind.UNDEFINED, None)),
    ("NaN", (Kind.FLOAT, float("nan"))),
    ("Infinity", (Kind.FLOAT, float("inf"))),
    ("-Infinity", (Kind.FLOAT, float("-inf"))),
)


class _Expect(Enum):
    VALUE = auto()
    NAME = auto()
    AFTER_VALUE = auto()
    NOTHING = auto()


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text; comments that follow each other are one. Raises BadJson at the first mistake.

    Where a text ends too early the tokens just end.
    """
    if text.count("\\") > MAX_TOKENS:
        raise BadJson("too many escapes")
    at = 0
    left = MAX_TOKENS
    open_: list[Kind] = []
    expect = _Expect.VALUE

    def after_value() -> _Expect:
        return _Expect.AFTER_VALUE if open_ else _Expect.NOTHING

    def closing(char: str) -> Token:
        kind = Kind.OPEN_OBJECT if char == "}" else Kind.OPEN_ARRAY
        if not open_ or open_.pop() is not kind:
            raise BadJson(f"{char!r} closes nothing")
        return (Kind.CLOSE_OBJECT if char == "}" else Kind.CLOSE_ARRAY, None)

    while (at := _skip(text, at)) < len(text):
        left -= 1
        if left < 0:
            raise BadJson("too many tokens")
        char = text[at]
        if char == "/":
            at = _after_comments(text, at)
            yield (Kind.COMMENT, None)
        elif expect is _Expect.NOTHING:
            raise BadJson("text after the end")
        elif expect is _Expect.NAME and char != "}":
            name, at = _name(text, at)
            yield (Kind.NAME, name)
            expect = _Expect.VALUE
        elif char in "}]" and not (expect is _Expect.VALUE and char == "}"):
            token = closing(char)
            at += 1
            expect = after_value()
            yield token
        elif expect is _Expect.AFTER_VALUE:
            if char != ",":
                raise BadJson(f"{char!r} after a value")
            at += 1
            expect = _Expect.NAME if open_[-1] is Kind.OPEN_OBJECT else _Expect.VALUE
        elif char in "{[":
            open_.append(Kind.OPEN_OBJECT if char == "{" else Kind.OPEN_ARRAY)
            if len(open_) > MAX_DEPTH:
                raise BadJson("too deep")
            at += 1
            expect = _Expect.NAME if char == "{" else _Expect.VALUE
            yield (open_[-1], None)
        elif char == ",":
            # A value left out; the comma itself is read next.
            expect = after_value()
            yield (Kind.UNDEFINED, None)
        else:
            token, at = _scalar(text, at)
            expect = after_value()
            yield token


def _skip(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    assert found is not None
    return found.end()


def _after_comments(text: str, at: int) -> int:
    found = _COMMENTS.match(text, at)
    if found is None:
        raise BadJson("a single slash, or a comment without an end")
    return found.end()


def _name(text: str, at: int) -> tuple[str, int]:
    """A property's name, and the place after the colon that follows."""
    if text[at] in "\"'":
        name, at = _string(text, at)
    else:
        found = _IDENTIFIER.match(text, at)
        assert found is not None
        name, at = found[0], found.end()
        is_identifier = name.isascii() or all(map(_is_identifier, name))
        if not name or not is_identifier or (at < len(text) and text[at] not in WHITE_SPACE + ":"):
            raise BadJson("not a name")
    at = _skip(text, at)
    if at >= len(text) or text[at] != ":":
        raise BadJson("no colon after a name")
    return name, at + 1


def _is_identifier(char: str) -> bool:
    return char in "_$" or (char <= "\uffff" and (char.isalpha() or char.isdecimal()))


def _scalar(text: str, at: int) -> tuple[Token, int]:
    char = text[at]
    if char in "\"'":
        string, at = _string(text, at)
        date = as_date(string)
        return ((Kind.STRING, string) if date is None else (Kind.DATE, date)), at
    for word, token in _WORDS:
        if text.startswith(word, at):
            at += len(word)
            if at < len(text) and not _separates(text, at):
                raise BadJson("a word too long")
            return token, at
    if char in "0123456789-.":
        return _number(text, at)
    raise BadJson(f"no value begins with {char!r}")


def _separates(text: str, at: int) -> bool:
    return text[at] in _SKIPPED + ",}]" or text.startswith(("//", "/*"), at)


def _string(text: str, at: int) -> tuple[str, int]:
    quote = text[at]
    pieces = []
    at += 1
    while True:
        plain = _PLAIN[quote].match(text, at)
        assert plain is not None
        pieces.append(plain[0])
        at = plain.end()
        if at < len(text) and text[at] == quote:
            return join_surrogates("".join(pieces)), at + 1
        if at + 1 >= len(text):
            raise BadJson("a string without an end")
        char = text[at + 1]
        at += 2
        if char == "u":
            digits = _CODE_UNIT.match(text, at)
            if digits is None:
                raise BadJson("a bad escape")
            pieces.append(chr(int(digits[0], 16)))
            at += 4
        elif char in _ESCAPES:
            pieces.append(_ESCAPES[char])
        else:
            raise BadJson("a bad escape")


def join_surrogates(text: str) -> str:
    """The text with its pairs of surrogates made one character, and those without a partner replaced."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _number(text: str, at: int) -> tuple[Token, int]:
    found = _NUMBER.match(text, at)
    assert found is not None
    digits, at = found[0], found.end()
    if at < len(text) and text[at] not in _AFTER_NUMBER:
        raise BadJson("a bad number")
    try:
        if len(digits) > 1 and digits[0] == "0" and digits[1] not in ".eE":
            return (Kind.INTEGER, _other_base(digits)), at
        if _INTEGER.fullmatch(digits):
            if len(digits) > MAX_DIGITS:
                raise BadJson("too many digits")
            return (Kind.INTEGER, int(digits)), at
        return (Kind.FLOAT, float(digits)), at
    except ValueError:
        raise BadJson("a bad number") from None


def _other_base(digits: str) -> int:
    """A number that begins with 0x is hexadecimal, with another 0 octal: 64 bits, the first of them the sign."""
    if not digits.isalnum():
        raise ValueError(digits)
    number = int(digits, 16) if digits[1] in "xX" else int(digits, 8)
    if number > 2 * INT64_MAX + 1:
        raise ValueError(digits)
    return wrap_int64(number)


def as_date(text: str) -> str | None:
    """The moment that a string looks like, in the form in which it is written again; None for other strings.

    Zeros at the end of the seconds are dropped. A moment with an offset becomes one in UTC, the node's own time.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    part, zone = (found[2] or "").rstrip("0"), found[3] or ""
    try:
        moment = datetime.fromisoformat(found[1])
        if zone not in ("", "Z"):
            hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or "0")
            offset = timedelta(hours=hours, minutes=minutes)
            moment = moment - offset if zone[0] == "+" else moment + offset
            zone = "+00:00"
    except (ValueError, OverflowError):
        return None
    return f"{moment.isoformat()}{'.' + part if part else ''}{zone}"
