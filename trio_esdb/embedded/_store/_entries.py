"""The log as nodes of a cluster hand it to each other: one entry for each write.

An entry is confirmed, or cut off, as a whole, so readers see all events of an append or none. The nodes of a process
share entries and their records; nothing may change them.

Each leader begins with an entry that is its *epoch*: a record that is no event, and an event in the stream
``$epoch-information``. So two logs are the same up to the last epoch that both have, and through it up to where the
shorter of the two ends or the next epoch of either begins.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from ._log import FIRST_END, Log
from ._values import Record

_end = attrgetter("end")


@dataclass(frozen=True, slots=True)
class Epoch:
    """The time in which one node leads. Two leaders never have equal ones."""

    number: int
    """Greater than those of all epochs before it in the same log."""
    id: int
    """A number of 128 bits."""
    leader: int
    """The id of the node that leads."""
    start: int
    """The position at which its entry begins."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A write as the log has it. Entries are equal only to themselves."""

    start: int
    """The position at which it begins."""
    end: int
    """The position after it, at which the next one begins."""
    records: tuple[Record, ...]
    """Its events: those of one stream, then at most two that restore streams. If the first one begins later than the
    entry, or if there is none, the entry begins with a record that is no event."""
    fresh_metadata: Mapping[str, bytes]
    """The metadata that it brings, by the streams that have it."""
    epoch: Epoch | None = None
    """The epoch that begins with it."""


def entry_since(log: Log, index: int, fresh_metadata: Mapping[str, bytes], epoch: Epoch | None = None) -> Entry:
    """The entry of the records of the log from this place on."""
    found = log.entries[index:]
    start = log.positions[index]
    if found[0] is None:
        del found[0]
    # only the first record can be no event
    records: tuple[Record, ...] = tuple(found)  # type: ignore[arg-type]
    return Entry(start, log.end, records, fresh_metadata, epoch)


def index_after(entries: Sequence[Entry], position: int) -> int:
    """The place of the entry that begins at this position; their number for the end of the last one.

    Raises:
        ValueError: No entry begins or ends there.
    """
    if position == FIRST_END:
        return 0
    index = bisect_left(entries, position, key=_end)
    if index == len(entries) or entries[index].end != position:
        raise ValueError(f"no entry of the log ends at position {position}")
    return index + 1


def common_end(ours: Sequence[Epoch], our_end: int, theirs: Sequence[Epoch], their_end: int) -> int:
    """The position up to which two logs are the same, by their epochs and their ends."""
    common = 0
    while common < min(len(ours), len(theirs)) and ours[common] == theirs[common]:
        common += 1
    ends = [our_end, their_end]
    ends += [epochs[common].start for epochs in (ours, theirs) if common < len(epochs)]
    return min(ends)
