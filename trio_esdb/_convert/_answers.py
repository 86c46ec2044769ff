"""Values for the messages of a server that are neither events nor given to users as they are."""

from __future__ import annotations

from typing import NamedTuple

from trio_esdb._model import CaughtUp, Checkpoint, FellBehind, RecordedEvent

UNKNOWN_POSITION = 2**64 - 1
"""The number that servers write for a position they do not know."""

FIELD_LIMIT = 256
"""The number of fields that a response may have. An event with its link has about 40."""


class Confirmation(NamedTuple):
    """The server has begun a subscription and has given it this id."""

    subscription_id: str


class StreamNotFound(NamedTuple):
    """The stream that was to be read does not exist."""

    stream_name: str


class LastStreamPosition(NamedTuple):
    """The position of a stream's last event. It comes at the end of a read that asked for it."""

    stream_position: int


class WrongRevision(NamedTuple):
    """An append was refused, since the stream is not where the request expected it to be.

    ``actual`` is the position of the stream's last event, None if the stream has no events.
    """

    actual: int | None


ReadResponse = (
    RecordedEvent | Checkpoint | CaughtUp | FellBehind | Confirmation | StreamNotFound | LastStreamPosition | None
)
"""The value of one message of a read. None stands for a message without use, or of a kind that is not known yet."""
