"""Events: those to append, and those that were recorded."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NoReturn, final

from .._errors import InvalidArgumentError, InvalidTypeError

ContentType = Literal["application/json", "application/octet-stream"]
"""The content types of an event: JSON, or anything else."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICKS_PER_MICROSECOND = 10
_MICROSECOND = timedelta(microseconds=1)
_new = object.__new__
_UUID = uuid.UUID
_set_uuid_int = uuid.UUID.__dict__["int"].__set__
_set_uuid_safety = uuid.UUID.__dict__["is_safe"].__set__
_UNKNOWN_SAFETY = uuid.SafeUUID.unknown


@final
@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append.

    Args:
        type: The event type, a non-empty string.
        data: The content of the event.
        metadata: The metadata of the event, by convention JSON.
        content_type: ``"application/json"`` if ``data`` is JSON, else ``"application/octet-stream"``. The server does
            not check that ``data`` is valid JSON.
        id: The id of the event, a random UUID by default. When an append is repeated, the server recognises the event
            by its id and does not write it again.

    Raises:
        InvalidTypeError: An argument has the wrong type.
        InvalidArgumentError: The type is empty or not valid Unicode, the content type is unknown, or the id is zero.
    """

    type: str
    data: bytes
    metadata: bytes = b""
    content_type: ContentType = "application/json"
    id: uuid.UUID = field(default_factory=uuid.uuid4)

    def __post_init__(self) -> None:
        if type(self.type) is not str:
            if not isinstance(self.type, str):
                raise InvalidTypeError(f"an event's type must be a str, not {_kind(self.type)}")
            object.__setattr__(self, "type", str.__str__(self.type))  # a member of a StrEnum becomes a plain str
        if not self.type:
            raise InvalidArgumentError("an event's type must not be empty")
        try:
            self.type.encode()
        except UnicodeEncodeError:
            raise InvalidArgumentError(f"an event's type must be encodable as UTF-8: {self.type!r}") from None
        if type(self.data) is not bytes:
            raise InvalidTypeError(f"an event's data must be bytes, not {_kind(self.data)}; encode it first")
        if type(self.metadata) is not bytes:
            raise InvalidTypeError(f"an event's metadata must be bytes, not {_kind(self.metadata)}; encode it first")
        if self.content_type != "application/json" and self.content_type != "application/octet-stream":
            raise InvalidArgumentError(
                "an event's content_type must be 'application/json' or 'application/octet-stream', "
                f"not {self.content_type!r}"
            )
        if not isinstance(self.id, uuid.UUID):
            raise InvalidTypeError(f"an event's id must be a uuid.UUID, not {_kind(self.id)}")
        if not self.id.int:
            raise InvalidArgumentError("an event's id must not be the nil UUID; servers refuse it")


class EventDraft:
    """The fields of a RecordedEvent, still writable.

    Setting a field of an immutable object takes one function call. The decoder therefore fills an EventDraft by plain
    assignments and then changes its class to RecordedEvent, which halves the time that reading an event takes.
    """

    __slots__ = (
        "_id",
        "_ticks",
        "commit_position",
        "content_type",
        "data",
        "link",
        "metadata",
        "prepare_position",
        "stream_name",
        "stream_position",
        "type",
    )

    _id: int
    _ticks: int
    type: str
    data: bytes
    metadata: bytes
    content_type: str
    stream_name: str
    stream_position: int
    commit_position: int | None
    prepare_position: int | None
    link: RecordedEvent | None


class RecordedEvent(EventDraft):
    """An event as the server recorded it.

    Recorded events are immutable. Two of them are equal if all their fields are equal. ``replace()`` makes a changed
    copy.

    With ``resolve_links=True`` a link is replaced by the event that it points to. Then this object describes the
    target, and ``link`` describes the link. A link whose target does not exist any more is delivered unresolved:
    ``is_link_event`` is true and ``link`` is None.

    Attributes:
        type (str): The event type.
        data (bytes): The content of the event.
        metadata (bytes): The metadata of the event.
        content_type (str): The content type that the writer gave.
        stream_name (str): The name of the stream that holds the event.
        stream_position (int): The position of the event in its stream. The first event has position 0.
        commit_position (int | None): The position of the event in the log of all streams. None if the server does not
            send it: servers of version 21.10 do not send it when a single stream is read or subscribed to.
        prepare_position (int | None): The second half of the position in the log. It equals ``commit_position`` unless
            the event was written in an explicit transaction of the old TCP protocol.
        link (RecordedEvent | None): The link through which this event was read, or None.
    """

    __slots__ = ()

    def __init__(
        self,
        type: str,
        data: bytes,
        metadata: bytes,
        content_type: str,
        id: uuid.UUID,
        stream_name: str,
        stream_position: int,
        commit_position: int | None,
        prepare_position: int | None = None,
        recorded_at: datetime | None = None,
        link: RecordedEvent | None = None,
    ) -> None:
        """Make a recorded event, for example in the tests of an application.

        Args:
            type: The event type.
            data: The content of the event.
            metadata: The metadata of the event.
            content_type: The content type.
            id: The id of the event.
            stream_name: The name of the stream.
            stream_position: The position in the stream, at least 0.
            commit_position: The position in the log of all streams, at least 0, or None.
            prepare_position: The second half of that position. None means the same as ``commit_position``.
            recorded_at: When the event was recorded, with a time zone. None means 1970-01-01.
            link: The link that was resolved to this event.

        Raises:
            InvalidTypeError: An argument has the wrong type.
            InvalidArgumentError: A position is negative, or ``recorded_at`` has no time zone.
        """
        moment = _EPOCH if recorded_at is None else recorded_at
        for name, value, kind in (
            ("type", type, str),
            ("data", data, bytes),
            ("metadata", metadata, bytes),
            ("content_type", content_type, str),
            ("id", id, uuid.UUID),
            ("stream_name", stream_name, str),
            ("recorded_at", moment, datetime),
        ):
            if not isinstance(value, kind):
                raise InvalidTypeError(f"a recorded event's {name} must be {kind.__name__}, not {_kind(value)}")
        _check_number("stream_position", stream_position)
        for name, number in (("commit_position", commit_position), ("prepare_position", prepare_position)):
            if number is not None:
                _check_number(name, number)
        if link is not None and not isinstance(link, RecordedEvent):
            raise InvalidTypeError(f"a recorded event's link must be a RecordedEvent or None, not {_kind(link)}")
        put = object.__setattr__
        put(self, "type", type)
        put(self, "data", data)
        put(self, "metadata", metadata)
        put(self, "content_type", content_type)
        put(self, "_id", id.int)
        put(self, "stream_name", stream_name)
        put(self, "stream_position", stream_position)
        put(self, "commit_position", commit_position)
        put(self, "prepare_position", commit_position if prepare_position is None else prepare_position)
        put(self, "_ticks", ticks_of(moment))
        put(self, "link", link)

    @property
    def id(self) -> uuid.UUID:
        """The id of the event, chosen by its writer."""
        # uuid.UUID() checks six arguments, which takes longer than everything else here.
        made = _new(_UUID)
        _set_uuid_int(made, self._id)
        _set_uuid_safety(made, _UNKNOWN_SAFETY)
        return made

    @property
    def recorded_at(self) -> datetime:
        """When the server recorded the event, in UTC, rounded down to a microsecond."""
        return _EPOCH + _MICROSECOND * (self._ticks // _TICKS_PER_MICROSECOND)

    @property
    def created_ticks(self) -> int:
        """When the server recorded the event, in units of 100 nanoseconds since 1970-01-01 UTC, exactly as sent."""
        return self._ticks

    @property
    def revision(self) -> int:
        """The same as ``stream_position``. Other clients call it the revision of an event."""
        return self.stream_position

    @property
    def original(self) -> RecordedEvent:
        """The event that was read from the stream, which is the link if there is one, else the event itself.

        Its positions are those to continue reading or to subscribe again: ``resume_stream_position`` and
        ``resume_commit_position``.
        """
        return self.link or self

    @property
    def resume_stream_position(self) -> int:
        """The position in its stream after which a read or subscription of that stream goes on.

        For an event that a link led to, it is the position of the link.
        """
        return self.original.stream_position

    @property
    def resume_commit_position(self) -> int | None:
        """The position in the log of all events after which a read or subscription of all events goes on.

        For an event that a link led to, it is the position of the link. None if the server did not tell it.
        """
        return self.original.commit_position

    @property
    def is_system_event(self) -> bool:
        """Whether this is an event of the server itself, whose type begins with ``$``."""
        return self.type.startswith("$")

    @property
    def is_link_event(self) -> bool:
        """Whether this is an unresolved link."""
        return self.type == "$>"

    @property
    def is_resolved_event(self) -> bool:
        """Whether this event was read through a link."""
        return self.link is not None

    def asdict(self) -> dict[str, Any]:
        """Return the fields of the event as a dict.

        Returns:
            The arguments of ``RecordedEvent`` that make an equal event, by name. A link becomes a dict as well.
            ``recorded_at`` is rounded down to a microsecond.
        """
        fields = self._arguments()
        if self.link is not None:
            fields["link"] = self.link.asdict()
        return fields

    def replace(self, **changes: Any) -> RecordedEvent:
        """Return a copy of the event with some fields changed; ``copy.replace()`` of Python 3.13 does the same.

        Args:
            **changes: New values of fields, with the names that ``RecordedEvent`` takes.

        Returns:
            The changed copy. Fields without a new value are the same, ``created_ticks`` included.

        Raises:
            InvalidTypeError: A value has the wrong type.
            InvalidArgumentError: A position is negative, or ``recorded_at`` has no time zone.
            TypeError: There is no field of this name.
        """
        copy = RecordedEvent(**{**self._arguments(), **changes})
        if "recorded_at" not in changes:
            object.__setattr__(copy, "_ticks", self._ticks)
        return copy

    __replace__ = replace

    def _arguments(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "data": self.data,
            "metadata": self.metadata,
            "content_type": self.content_type,
            "id": self.id,
            "stream_name": self.stream_name,
            "stream_position": self.stream_position,
            "commit_position": self.commit_position,
            "prepare_position": self.prepare_position,
            "recorded_at": self.recorded_at,
            "link": self.link,
        }

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a RecordedEvent cannot be changed (setting {name!r})")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a RecordedEvent cannot be changed (deleting {name!r})")

    def _key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in EventDraft.__slots__)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RecordedEvent):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self._id, self.stream_name, self.stream_position))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._key()

    def __repr__(self) -> str:
        link = f", link={self.link!r}" if self.link is not None else ""
        return (
            f"{type(self).__name__}(type={self.type!r}, stream_name={self.stream_name!r}, "
            f"stream_position={self.stream_position}, commit_position={self.commit_position}, id={self.id!s}, "
            f"data={_short(self.data)}, metadata={_short(self.metadata)}{link})"
        )


class GroupEventDraft(EventDraft):
    """An event of a group that is being decoded."""

    __slots__ = ("_ack_id", "_call", "retry_count")

    retry_count: int
    _ack_id: bytes | None
    _call: Any


class GroupEvent(RecordedEvent, GroupEventDraft):
    """An event that a consumer of a group has got, and is to ack or refuse.

    A link that leads to no event any more is delivered itself, as ``is_link_event`` says.

    Attributes:
        retry_count (int): How often the event was delivered before and not acked.
    """

    __slots__ = ()


settle = GroupEventDraft.__dict__["_ack_id"].__set__
"""Set the id by which a GroupEvent is to be acked: to None when it was acked or refused."""


def ticks_of(moment: datetime) -> int:
    """Convert a time to units of 100 nanoseconds since 1970-01-01T00:00:00Z."""
    if moment.tzinfo is None:
        raise InvalidArgumentError("a recorded event's recorded_at must have a time zone")
    return (moment - _EPOCH) // _MICROSECOND * _TICKS_PER_MICROSECOND


def _rebuild(*values: Any) -> RecordedEvent:
    event = RecordedEvent.__new__(RecordedEvent)
    for name, value in zip(EventDraft.__slots__, values, strict=True):
        object.__setattr__(event, name, value)
    return event


def _check_number(name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidTypeError(f"a recorded event's {name} must be an int, not {_kind(value)}")
    if value < 0:
        raise InvalidArgumentError(f"a recorded event's {name} must not be negative, it is {value}")


def _kind(value: object) -> str:
    return type(value).__name__


def _short(data: bytes) -> str:
    return repr(data) if len(data) <= 40 else f"{data[:40]!r}... ({len(data)} bytes)"
