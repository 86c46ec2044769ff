"""What a read or subscription asks for, as a value, and where a further call goes on.

A further call begins after the *place* of the last event or checkpoint that was drawn. The place of an event is where
it was read: for an event that a link led to, that of the link. Servers begin a read of a stream at a position, and a
subscription after one. Of the log of all streams they give the event at a position again when it is read forwards, so
that one is dropped (``later``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trio_esdb._convert import NO_LIMIT, ReadResponse, read_all_request, read_stream_request
from trio_esdb._errors import ProtocolError
from trio_esdb._model import Checkpoint, Filter, RecordedEvent

Place = tuple[int, int]
"""A place in the log of all streams: commit and prepare position. A place in a stream: the stream position, and 0."""

TOMBSTONE = 2**63 - 1
"""The stream position of the event that records that its stream was tombstoned."""
_NOWHERE = 2**64 - 1
"""Servers of 24.2 to 24.10 may send a checkpoint with this position when they have looked at no event. A subscription
that went on from there would lose events."""


class ReadOptions(NamedTuple):
    """The options of a read or subscription.

    Args:
        stream_name: The stream. Empty for all streams.
        position: Where a read begins, or after which place a subscription begins. None is the start, or for a read
            backwards the end.
        backwards: Whether to read from later to earlier events.
        resolve_links: Whether the server gives the events that links point to.
        limit: How many events to read, NO_LIMIT for all. None makes a subscription.
        from_end: Whether a ``position`` of None is the end.
        filter: Which events of all streams to give; None for all.
        tell_last_position: Whether the server gives the position of the stream's last event after a read.
    """

    stream_name: str = ""
    position: Place | None = None
    backwards: bool = False
    resolve_links: bool = False
    limit: int | None = None
    from_end: bool = False
    filter: Filter | None = None
    tell_last_position: bool = False

    @property
    def endless(self) -> bool:
        """Whether this is a subscription."""
        return self.limit is None

    @property
    def limited(self) -> bool:
        """Whether only so many events are read."""
        return self.limit is not None and self.limit != NO_LIMIT

    @property
    def gives_again(self) -> bool:
        """Whether a call that goes on can give messages that are not later than its position."""
        return not self.backwards and (self.endless or not self.stream_name)

    def request(self) -> bytes:
        """The request message."""
        if self.stream_name:
            return read_stream_request(
                self.stream_name,
                position=None if self.position is None else self.position[0],
                backwards=self.backwards,
                resolve_links=self.resolve_links,
                limit=self.limit,
                from_end=self.from_end,
                tell_last_position=self.tell_last_position,
            )
        return read_all_request(
            position=self.position,
            backwards=self.backwards,
            resolve_links=self.resolve_links,
            limit=self.limit,
            from_end=self.from_end,
            filter=self.filter,
        )

    def after(self, place: Place | None, given: int) -> ReadOptions | None:
        """The options of a call that goes on; None if there is nothing left to read.

        Args:
            place: The place of what was drawn last; None if that was nothing.
            given: How many events were drawn, counted if there is a limit.
        """
        if place is None:
            return self
        if self.limit is None:
            return self._replace(position=place, from_end=False)
        limit = self.limit - given if self.limited else NO_LIMIT
        if not limit:
            return None
        if not self.stream_name:
            if not self.backwards:
                limit = min(limit + 1, NO_LIMIT)  # with the event at this place
            return self._replace(position=place, limit=limit)
        number = place[0] - 1 if self.backwards else place[0] + 1
        return None if number < 0 else self._replace(position=(number, 0), limit=limit)

    # -- places ------------------------------------------------------------------------------------------------------

    def place_of(self, message: RecordedEvent | Checkpoint) -> Place | None:
        """The place of an event or checkpoint; None if it does not tell one."""
        if type(message) is RecordedEvent:
            message = message.link or message
            if self.stream_name:
                return message.stream_position, 0
        commit, prepare = message.commit_position, message.prepare_position
        if commit is None or commit == _NOWHERE:
            return None
        return commit, commit if prepare is None else prepare

    def last_place(self, responses: Sequence[ReadResponse | ProtocolError]) -> Place | None:
        """The place of the last event, or of a checkpoint after it if that is later."""
        if responses and type(responses[-1]) is RecordedEvent:
            return self.place_of(responses[-1])
        found: Place | None = None
        for response in reversed(responses):
            kind = type(response)
            if kind is RecordedEvent or kind is Checkpoint:
                place = self.place_of(response)  # type: ignore[arg-type]
                if found is None or (place is not None and place > found):
                    found = place
                if kind is RecordedEvent:
                    break
        return found

    def later(self, place: Place, responses: list[ReadResponse | ProtocolError]) -> list[ReadResponse | ProtocolError]:
        """What remains without the events and checkpoints up to this place. They come in the order of their places."""
        found: list[ReadResponse | ProtocolError] = []
        for at, response in enumerate(responses):
            if isinstance(response, RecordedEvent | Checkpoint):
                where = self.place_of(response)
                if where is not None and where > place:
                    return found + responses[at:]
            else:
                found.append(response)
        return found

    def public(self, place: Place | None) -> int | Checkpoint | None:
        """A place in the form in which users give positions."""
        if place is None:
            return None
        return place[0] if self.stream_name else Checkpoint(*place)


def is_place(checkpoint: Checkpoint) -> bool:
    """Whether a subscription can go on from there."""
    return checkpoint.commit_position != _NOWHERE
