"""The values that go into and come out of a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from .._store import Record

ROUND_ROBIN, DISPATCH_TO_SINGLE, PINNED, PINNED_BY_CORRELATION = STRATEGIES = (
    "RoundRobin",
    "DispatchToSingle",
    "Pinned",
    "PinnedByCorrelation",
)
Place = int
"""Where an event is in the source of a group: its number in a stream, or its position in the log."""
Settlement = Literal["retry", "park", "skip"]
"""What is done with an event that a consumer refuses. A node treats `Stop` as `Skip`, and `Unknown` as `Retry`."""


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """The settings of a group. Times are in milliseconds."""

    resolve_links: bool = False
    extra_statistics: bool = False
    message_timeout: int = 0
    max_retry_count: int = 0
    checkpoint_after: int = 0
    """0 is never by time."""
    min_checkpoint_count: int = 0
    max_checkpoint_count: int = 0
    max_subscriber_count: int = 0
    """0 is no limit."""
    live_buffer_size: int = 0
    read_batch_size: int = 0
    history_buffer_size: int = 0
    strategy: str = DISPATCH_TO_SINGLE


class Candidate(NamedTuple):
    """An event of the source, as the group reads it or is told of it."""

    place: Place
    record: Record
    """The event, or the link where there is one."""
    target: Record | None
    """What consumers get as the event: the record itself, what the link points to, or None if that is gone."""
    linked: bool = False
    """Whether the record is a link that was resolved, or could not be."""


class Skipped(NamedTuple):
    """Events of the source that the filter leaves out."""

    place: Place
    """The place of the last one."""
    number: int


@dataclass(slots=True, eq=False)
class Item:
    """An event on its way through a group."""

    candidate: Candidate
    sequence: int | None
    """How many events came before it, which is what checkpoints are counted by. None for a replayed event."""
    before: Place | None
    """The place of the event before it in the source; None if it is the first that this group has seen."""
    retries: int = 0

    @property
    def id(self) -> int:
        """What consumers acknowledge."""
        return self.candidate.record.id

    @property
    def is_replayed(self) -> bool:
        """Whether it comes from the parked stream."""
        return self.sequence is None
