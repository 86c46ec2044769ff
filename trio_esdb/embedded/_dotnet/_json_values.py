"""Whole JSON values: taken from tokens, and written as Json.NET writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ._json import BadJson, Kind, Token, tokens
from ._texts import format_double


@dataclass(frozen=True, slots=True)
class Undefined:
    """The value that JavaScript calls undefined: a value left out."""


UNDEFINED: Final = Undefined()

Value = Undefined | str | int | float | bool | None | list["Value"] | dict[str, "Value"]


def load_object(text: str) -> dict[str, Value]:
    """A whole text that is one object, comments aside. A name given twice keeps its first place and its last value."""
    source = (token for token in tokens(text) if token[0] is not Kind.COMMENT)
    first = next(source, None)
    if first is None or first[0] is not Kind.OPEN_OBJECT:
        raise BadJson("not an object")
    found = load_value(source, first)
    next(source, None)  # raises if anything follows
    assert isinstance(found, dict)
    return found


def load_value(source: Iterator[Token], first: Token) -> Value:
    """The value that begins with this token; the rest of it is taken from the source."""
    kind, scalar = first
    if kind is Kind.OPEN_OBJECT:
        members: dict[str, Value] = {}
        while (token := _next(source))[0] is not Kind.CLOSE_OBJECT:
            name = token[1]
            assert isinstance(name, str)
            members[name] = load_value(source, _next(source))
        return members
    if kind is Kind.OPEN_ARRAY:
        items: list[Value] = []
        while (token := _next(source))[0] is not Kind.CLOSE_ARRAY:
            items.append(load_value(source, token))
        return items
    return UNDEFINED if kind is Kind.UNDEFINED else scalar


def dump(value: Value) -> str:
    """The shortest text, as Json.NET writes it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quote(name)}:{dump(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(dump(item) for item in value) + "]"
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, Undefined):
        return "undefined"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if value != value or value in (float("inf"), float("-inf")):
        return '"NaN"' if value != value else '"Infinity"' if value > 0 else '"-Infinity"'
    text = format_double(value)
    return text if "." in text or "E" in text else text + ".0"


def _next(source: Iterator[Token]) -> Token:
    token = next(source, None)
    while token is not None and token[0] is Kind.COMMENT:
        token = next(source, None)
    if token is None:
        raise BadJson("the text ends too early")
    return token


def _quote(text: str) -> str:
    return '"' + re.sub('[\x00-\x1f"\\\\\x85\u2028\u2029]', _escape, text) + '"'


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    short = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\", '"': '\\"'}
    return short.get(char) or f"\\u{ord(char):04x}"
