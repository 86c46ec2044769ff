"""What a server says besides events and the messages that users see."""

from __future__ import annotations

from dataclasses import dataclass

from trio_esdb._model import CaughtUp, Checkpoint, FellBehind, RecordedEvent


@dataclass(slots=True)
class Confirmation:
    """A subscription is in place."""

    subscription_id: str


@dataclass(slots=True)
class StreamNotFound:
    """There is no stream to be read."""

    stream_name: str


@dataclass(slots=True)
class LastStreamPosition:
    """The number of a stream's last event, told after a read that asked for it."""

    stream_position: int


@dataclass(slots=True)
class Uninteresting:
    """A message that says nothing an application wants, or one of a kind that does not exist yet."""


@dataclass(slots=True)
class WrongRevision:
    """An append was refused; ``actual`` is the number of the stream's last event, None if it has none."""

    actual: int | None


ReadResponse = (
    RecordedEvent
    | Checkpoint
    | CaughtUp
    | FellBehind
    | Confirmation
    | StreamNotFound
    | LastStreamPosition
    | Uninteresting
)
