"""What a server says besides events and the messages that users see."""

from __future__ import annotations

from typing import NamedTuple

from trio_esdb._model import CaughtUp, Checkpoint, FellBehind, RecordedEvent


class Confirmation(NamedTuple):
    """A subscription is in place."""

    subscription_id: str


class StreamNotFound(NamedTuple):
    """There is no stream to be read."""

    stream_name: str


class LastStreamPosition(NamedTuple):
    """The number of a stream's last event, told after a read that asked for it."""

    stream_position: int


class WrongRevision(NamedTuple):
    """An append was refused; ``actual`` is the number of the stream's last event, None if it has none."""

    actual: int | None


ReadResponse = (
    RecordedEvent | Checkpoint | CaughtUp | FellBehind | Confirmation | StreamNotFound | LastStreamPosition | None
)
"""None for a message that says nothing an application wants, or one of a kind that does not exist yet."""
