"""The values that go into and come out of the store, and what it raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ANY = -2
"""Expected revision: whatever the stream holds."""
NO_STREAM = -1
"""Expected revision: the stream holds no event."""
STREAM_EXISTS = -4
"""Expected revision: the stream has been written to."""
LAST_NUMBER = 2**63 - 1
"""The number of a tombstone, and `$tb` of a stream that is soft deleted."""
TICKS = 10_000_000
"""Ticks in a second. Every time in the store is a count of ticks since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An event that somebody wants to write."""

    id: int
    """A number of 128 bits."""
    type: str
    data: bytes
    metadata: bytes
    is_json: bool


@dataclass(slots=True, eq=False)
class Record:
    """An event as the log holds it. Compared by identity: the log holds each place once."""

    stream: str
    number: int
    position: int
    """Where it stands in the log; commit and prepare position in one."""
    id: int
    type: str
    data: bytes
    metadata: bytes
    is_json: bool
    created: int
    """Ticks since the Unix epoch."""
    encoded: bytes | None = field(default=None, repr=False)
    """Room for whoever encodes the record and wants to do so once; the store never looks at it."""


@dataclass(frozen=True, slots=True)
class Written:
    """A write that was accepted, or had been accepted before."""

    number: int | None
    """Number of the last event written (of an empty append: the stream's last one); None where there is no event."""
    position: int | None
    """Position of the last record written; None where an idempotent write's event can no longer be read."""


@dataclass(frozen=True, slots=True)
class WrongExpectation:
    """A write that was refused because the stream is not as its writer expected; nothing changed."""

    expected: int
    """As asked for: a revision, or one of ANY, NO_STREAM, STREAM_EXISTS."""
    actual: int
    """Number of the stream's last event, -1 if it has none."""


@dataclass(slots=True)
class StreamPage:
    """What one look at a stream found."""

    outcome: Literal["success", "no_stream"]
    records: list[Record]
    """In the order of reading."""
    next_number: int
    """Where the following page starts; -1 after the last page backwards."""
    last_number: int
    """Number of the stream's last event, -1 if it has none."""
    is_end: bool
    """No page follows."""


@dataclass(slots=True)
class AllPage:
    """What one look at the whole log found."""

    records: list[Record]
    """Those that matched, in the order of reading."""
    next_commit: int
    next_prepare: int
    """Where the following page starts: forwards (X, 0), just after the last record considered."""
    considered: int
    """How many events were looked at, whether they matched or not."""
    is_end: bool
    """The log has nothing further in this direction."""


class StreamDeleted(Exception):
    """The stream is tombstoned; or soft deleted, and the writer wanted it to exist."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.stream = stream


class NeverAnswered(Exception):
    """A request that makes a real node fail inside, so that its caller never hears of it. Nothing changed."""


class InvalidPosition(Exception):
    """A position of the log where no record begins."""


class BeyondEnd(InvalidPosition):
    """A position after the end of the log, where only reading forwards may start."""


class MalformedLink(Exception):
    """A link record whose data is not `N@stream`."""
