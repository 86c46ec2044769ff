"""The values that go into and come out of the store, and its exceptions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ANY = -2
"""Expected revision: anything."""
NO_STREAM = -1
"""Expected revision: the stream has no event."""
STREAM_EXISTS = -4
"""Expected revision: the stream, or its metadata, has been written."""
LAST_NUMBER = 2**63 - 1
"""The number of a tombstone. As `$tb` it says that a stream is soft deleted."""
TICKS = 10_000_000
"""Ticks in a second. Each time in the store is a count of ticks since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An event to be written."""

    id: int
    """A number of 128 bits."""
    type: str
    data: bytes
    metadata: bytes
    is_json: bool


@dataclass(slots=True, eq=False)
class Record:
    """An event of the log. Records are equal only to themselves."""

    stream: str
    number: int
    position: int
    """The place in the log, both commit and prepare position."""
    id: int
    type: str
    data: bytes
    metadata: bytes
    is_json: bool
    created: int
    """Ticks since the Unix epoch."""
    encoded: bytes | None = field(default=None, repr=False)
    """A cache for whoever encodes records; the store does not use it."""


@dataclass(frozen=True, slots=True)
class Append:
    """A write of events, all or none. See `Store.append`."""

    stream: str
    expected: int
    events: list[Proposal]


@dataclass(frozen=True, slots=True)
class Delete:
    """A write that soft deletes a stream. See `Store.delete`."""

    stream: str
    expected: int


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A write that deletes a stream for ever. See `Store.tombstone`."""

    stream: str
    expected: int


Write = Append | Delete | Tombstone
"""What can be asked of a store, and be sent to the node that does it."""


@dataclass(frozen=True, slots=True)
class Written:
    """An accepted write, or the repetition of one."""

    number: int | None
    """The number of the last event written; for an append without events, of the stream's last event. None where there
    is no event."""
    position: int | None
    """The position of the last record written. None for a repeated write whose event can no longer be read."""


@dataclass(frozen=True, slots=True)
class WrongExpectation:
    """A write that was refused because the stream is not as expected. Nothing was written."""

    expected: int
    """The expected revision as given: a number, or one of ANY, NO_STREAM, STREAM_EXISTS."""
    actual: int
    """The number of the stream's last event, -1 if it has none."""


@dataclass(slots=True)
class StreamPage:
    """A page of a stream."""

    outcome: Literal["success", "no_stream"]
    records: list[Record]
    """The events, in the direction of reading."""
    next_number: int
    """The start of the next page; -1 after the last page backwards."""
    last_number: int
    """The number of the stream's last event, -1 if it has none."""
    is_end: bool
    """Whether this is the last page."""


@dataclass(slots=True)
class AllPage:
    """A page of the whole log."""

    records: list[Record]
    """The events that matched, in the direction of reading."""
    next_commit: int
    """The commit position at which the next page starts: forwards just after the last event considered."""
    next_prepare: int
    """The prepare position at which the next page starts: forwards 0."""
    considered: int
    """How many events were looked at, whether they matched or not."""
    is_end: bool
    """Whether the log has no more records in this direction."""


class StreamDeleted(Exception):
    """The stream is tombstoned; or soft deleted, and a writer expects it to exist."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.stream = stream


class NeverAnswered(Exception):
    """A request on which a real node fails so that its caller never gets an answer. Nothing was written."""


class HarmfulMetadata(Exception):
    """Metadata that a real node takes, and that makes it fail later. Nothing was written."""


class InvalidPosition(Exception):
    """A position at which no record of the log begins."""


class BeyondEnd(InvalidPosition):
    """A position after the end of the log, at which only reading forwards may start."""


class MalformedLink(Exception):
    """The data of a link event does not begin with `N@`."""
