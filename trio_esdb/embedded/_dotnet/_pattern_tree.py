"""The parts of a regular expression, after parsing.

The `size` of a part is an upper bound of the steps in its program (see `_automata`). A pattern that is too large is
refused before a program is built. `consumes` tells whether a part can match a character: to repeat one that cannot
would be pointless.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from ._charsets import CharSet


class Place(IntEnum):
    """A place of the text at which an anchor matches."""

    START = 0
    END = 1
    LAST_LINE_FEED = 2
    """In front of a line feed that ends the text."""


@dataclass(slots=True, eq=False)
class Chars:
    """One character of a set."""

    accepts: CharSet
    size: int = 1
    consumes: bool = True


@dataclass(slots=True, eq=False)
class Anchor:
    """Matches no character, at one place of the text."""

    place: Place
    size: int = 1
    consumes: bool = False


@dataclass(slots=True, eq=False)
class Series:
    """One part after the other. An empty series matches everywhere."""

    parts: tuple[Node, ...]
    size: int
    consumes: bool


@dataclass(slots=True, eq=False)
class Choice:
    """Any one of the parts."""

    parts: tuple[Node, ...]
    size: int
    consumes: bool


@dataclass(slots=True, eq=False)
class Repeat:
    """A part, so many times; `most` is None where there is no bound."""

    part: Node
    least: int
    most: int | None
    size: int
    consumes: bool


@dataclass(slots=True, eq=False)
class Look:
    """Matches no character, where the part matches what follows (or, with `behind`, what precedes)."""

    part: Node
    behind: bool
    negated: bool
    size: int
    consumes: bool = False


Node: TypeAlias = Chars | Anchor | Series | Choice | Repeat | Look


def series(parts: list[Node]) -> Node:
    """One part after the other."""
    if len(parts) == 1:
        return parts[0]
    return Series(tuple(parts), sum(part.size for part in parts), any(part.consumes for part in parts))


def choice(parts: list[Node]) -> Node:
    """Any one of the parts."""
    if len(parts) == 1:
        return parts[0]
    return Choice(tuple(parts), 1 + sum(part.size for part in parts), any(part.consumes for part in parts))


def repeat(part: Node, least: int, most: int | None) -> Node:
    """A part, so many times."""
    if not part.consumes:
        return part if least else NOTHING
    if most == 0:
        return NOTHING
    copies = max(least, 1) if most is None else most
    return Repeat(part, least, most, copies * (part.size + 1), True)


def look(part: Node, *, behind: bool, negated: bool) -> Node:
    """What follows, or precedes, without consuming it."""
    return Look(part, behind, negated, part.size + 1)


NOTHING = series([])
"""Matches everywhere, and no character."""
