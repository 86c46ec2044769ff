"""Whole JSON values, read and written as Json.NET does.

Plain JSON is parsed by the standard library, which is fast enough for a megabyte. Whatever it refuses is read from
tokens, by Json.NET's rules. An object is kept as the pairs of its names and values, since a name may come twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from ._json import MAX_DEPTH, MAX_DIGITS, BadJson, Kind, Token, as_date, join_surrogates, tokens
from ._texts import WHITE_SPACE, format_double


@dataclass(frozen=True, slots=True)
class Undefined:
    """The value that JavaScript calls undefined: a value left out."""


UNDEFINED: Final = Undefined()

Value: TypeAlias = "Undefined | str | int | float | bool | list[Value] | Members | None"
Members: TypeAlias = "tuple[tuple[str, Value], ...]"
"""What an object holds, in order; a name may come twice."""

MAX_CONTAINERS = 20_000
"""Objects and arrays of a text, which take some 40 ms. Json.NET has no such limit."""
MAX_COMMAS = 50_000
"""Commas of a text, those in strings included. Json.NET has no such limit."""
MAX_WRITTEN = 20_000
"""Values that are written at most; moments are the slowest."""
_SEPARATORS = (("\x85", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))
"""The line separators that Json.NET escapes besides those of ASCII."""
_LONG_INTEGER = re.compile(rf"(?<![0-9])[0-9]{{{MAX_DIGITS + 1}}}")
_PLAIN_JSON = json.JSONDecoder(object_pairs_hook=tuple)


def read_members(text: str, known: frozenset[str]) -> Iterator[tuple[str, Value]]:
    """The members of the object that a text begins with, for a reader of some names. Raises BadJson.

    What follows the object is not looked at. To this reader comments are mistakes, except inside a value whose name it
    does not know.
    """
    plain = _plain_object(text)
    if plain is not None:
        yield from plain[0]
        return
    source = tokens(text)
    if _next(source)[0] is not Kind.OPEN_OBJECT:
        raise BadJson("not an object")
    while (token := _next(source))[0] is not Kind.CLOSE_OBJECT:
        if token[0] is not Kind.NAME:
            raise BadJson("something else where a name should be")
        name = str(token[1])
        first = _next(source)
        yield name, _load(source if name in known else _without_comments(source), first)


def read_object(text: str) -> dict[str, Value]:
    """A whole text that is one object, comments aside. A name given twice keeps its first place and its last value."""
    plain = _plain_object(text)
    if plain is not None and not text[plain[1] :].strip(WHITE_SPACE):
        return dict(plain[0])
    source = _without_comments(tokens(text))
    first = next(source, None)
    if first is None or first[0] is not Kind.OPEN_OBJECT:
        raise BadJson("not an object")
    found = _load(source, first)
    next(source, None)  # raises if anything follows
    assert isinstance(found, tuple)
    return dict(found)


def _plain_object(text: str) -> tuple[Members, int] | None:
    """The object that a text begins with, and where it ends, if the standard library and Json.NET agree about it."""
    start = len(text) - len(text.lstrip(WHITE_SPACE))
    containers = text.count("{") + text.count("[")
    if text[start : start + 1] != "{" or containers > MAX_CONTAINERS or text.count(",") > MAX_COMMAS:
        return None
    if _LONG_INTEGER.search(text):
        return None
    try:
        members, end = _PLAIN_JSON.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return None if containers > MAX_DEPTH and _is_too_deep(members) else (members, end)


def _is_too_deep(members: Members) -> bool:
    level: list[list[Value] | Members] = [members]
    for _ in range(MAX_DEPTH):
        level = [item for container in level for item in _items(container) if isinstance(item, (list, tuple))]
    return bool(level)


def _items(container: list[Value] | Members) -> list[Value]:
    return container if isinstance(container, list) else [value for _, value in container]


def _load(source: Iterator[Token], first: Token) -> Value:
    """The value that begins with this token; the rest of it is taken from the source."""
    kind, scalar = first
    if kind is Kind.OPEN_OBJECT:
        members: list[tuple[str, Value]] = []
        while (token := _next(source))[0] is not Kind.CLOSE_OBJECT:
            if token[0] is not Kind.NAME:
                raise BadJson("a comment where a name should be")
            members.append((str(token[1]), _load(source, _next(source))))
        return tuple(members)
    if kind is Kind.OPEN_ARRAY:
        items: list[Value] = []
        while (token := _next(source))[0] is not Kind.CLOSE_ARRAY:
            items.append(_load(source, token))
        return items
    if kind is Kind.COMMENT:
        raise BadJson("a comment where a value should be")
    return UNDEFINED if kind is Kind.UNDEFINED else scalar


def _next(source: Iterator[Token]) -> Token:
    token = next(source, None)
    if token is None:
        raise BadJson("the text ends too early")
    return token


def _without_comments(source: Iterator[Token]) -> Iterator[Token]:
    return (token for token in source if token[0] is not Kind.COMMENT)


# -- writing


def write_object(members: dict[str, Value]) -> str:
    """The shortest text, as Json.NET writes it. Raises BadJson for an object with too many values."""
    if _number_of_values(members) > MAX_WRITTEN:
        raise BadJson("too many values")
    return _write_members(tuple(members.items()))


def _number_of_values(members: dict[str, Value]) -> int:
    number = 0
    waiting: list[Value] = [*members.values()]
    while waiting and number <= MAX_WRITTEN:
        value = waiting.pop()
        number += 1
        if isinstance(value, (list, tuple)):
            waiting += _items(value)
    return number


def _write_members(members: Members) -> str:
    unique = dict(members)
    return "{" + ",".join([f"{_quote(name)}:{_write(item)}" for name, item in unique.items()]) + "}"


def _write(value: Value) -> str:
    if isinstance(value, str):
        return _quote(as_date(value) or value)
    if isinstance(value, tuple):
        return _write_members(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
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


def write_indented(members: dict[str, Value]) -> str:
    """The text with line breaks, as Json.NET writes it, of an object that holds texts, booleans, and lists of them."""
    return _escaped(json.dumps(members, ensure_ascii=False, indent=2))


def _quote(text: str) -> str:
    return _escaped(json.dumps(join_surrogates(text), ensure_ascii=False))


def _escaped(text: str) -> str:
    if not text.isascii():
        for separator, escape in _SEPARATORS:
            text = text.replace(separator, escape)
    return text
