"""Events as users write and read them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Literal, NoReturn, final

from .._errors import InvalidArgumentError, InvalidTypeError

ContentType = Literal["application/json", "application/octet-stream"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICKS_PER_MICROSECOND = 10
_MICROSECOND = timedelta(microseconds=1)
_new = object.__new__
_UUID = uuid.UUID
_set_uuid_int = uuid.UUID.__dict__["int"].__set__
_set_uuid_safety = uuid.UUID.__dict__["is_safe"].__set__
_UNKNOWN_SAFETY = uuid.SafeUUID.unknown


class StreamState(Enum):
    """What ``expected_position`` may say of a stream besides a number."""

    ANY = "any"
    """Whatever the stream holds; no check is made."""
    NO_STREAM = "no_stream"
    """The stream has no events; the same as None."""
    EXISTS = "exists"
    """The stream has been written, whatever its last event is."""


@final
@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be appended.

    ``type`` is a non-empty text, ``data`` and ``metadata`` are bytes; ``content_type`` says whether ``data`` is JSON
    (the server does not look). ``id`` makes repeating an append safe: the server recognises the ids that it has already
    written to the stream.

    InvalidTypeError and InvalidArgumentError are raised here, where the event is made.
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
            object.__setattr__(self, "type", str.__str__(self.type))  # the text of a StrEnum's member
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
    """The fields of a RecordedEvent while it is being put together.

    To fill an object that cannot be changed takes a call for each field. Plain stores and one change of the finished
    draft's class take half the time that reading an event did.
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


@final
class RecordedEvent(EventDraft):
    """An event as the server recorded it. Immutable; equal if all of it is equal.

    ``stream_position`` counts the events of a stream from 0. ``commit_position`` and ``prepare_position`` are its place
    in the log of all events, None where the server does not tell (21.10 does not when reading a stream).

    If links are resolved, this is the event that a link points to, and ``link`` is the link, itself a RecordedEvent.
    A link whose target is gone is delivered as it is: then ``is_link_event`` is true.
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
        """Make one, as tests of an application do; ``recorded_at`` must know its time zone."""
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
        """The id that the writer gave the event."""
        # The constructor would look at six arguments, which takes longer than all else that reading an id does.
        made = _new(_UUID)
        _set_uuid_int(made, self._id)
        _set_uuid_safety(made, _UNKNOWN_SAFETY)
        return made

    @property
    def recorded_at(self) -> datetime:
        """When the server wrote the event, in UTC, to the microsecond; ``created_ticks`` is exact."""
        return _EPOCH + _MICROSECOND * (self._ticks // _TICKS_PER_MICROSECOND)

    @property
    def created_ticks(self) -> int:
        """When the server wrote the event, in units of 100 nanoseconds since 1970-01-01, as the server tells it."""
        return self._ticks

    @property
    def revision(self) -> int:
        """Another name of ``stream_position``, as other clients call it."""
        return self.stream_position

    @property
    def original(self) -> RecordedEvent:
        """The record that was read: the link if there is one, else the event itself. Its place is the one to go on
        from, and its id the one that a persistent subscription wants acknowledged.
        """
        return self.link or self

    @property
    def is_system_event(self) -> bool:
        """Whether the server wrote this event for itself: its type begins with ``$``."""
        return self.type.startswith("$")

    @property
    def is_link_event(self) -> bool:
        """Whether this is a link that was not resolved."""
        return self.type == "$>"

    @property
    def is_resolved_event(self) -> bool:
        """Whether a link led here."""
        return self.link is not None

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
            f"RecordedEvent(type={self.type!r}, stream_name={self.stream_name!r}, "
            f"stream_position={self.stream_position}, commit_position={self.commit_position}, id={self.id!s}, "
            f"data={_short(self.data)}, metadata={_short(self.metadata)}{link})"
        )


@final
@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A filtered subscription has come this far, whether anything matched or not; subscribe from here to go on."""

    commit_position: int
    prepare_position: int


@final
@dataclass(frozen=True, slots=True)
class CaughtUp:
    """All that was recorded has been given; what follows is new. A subscription may say it several times."""


@final
@dataclass(frozen=True, slots=True)
class FellBehind:
    """The subscription reads recorded events again before it goes on live; only some servers say so."""


@final
class AppendResult(int):
    """What an append did: an int, the commit position of its last event, that also knows the stream's new revision.

    Repeating an append that was already done gives the result of the first time. Where a server no longer knows the
    commit position the int is -1 and ``commit_position`` is None.
    """

    commit_position: int | None
    """The place of the last event in the log of all events."""
    stream_position: int | None
    """The number of the last event in its stream; None after an append of nothing to a stream that does not exist."""

    def __new__(cls, commit_position: int | None, stream_position: int | None) -> AppendResult:
        """Make one, as tests of an application do."""
        if type(commit_position) is not int or type(stream_position) is not int:
            for name, value in (("commit_position", commit_position), ("stream_position", stream_position)):
                if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
                    raise InvalidTypeError(f"{name} must be an int or None, not {_kind(value)}")
        self = int.__new__(cls, -1 if commit_position is None else commit_position)
        attributes = self.__dict__
        attributes["commit_position"] = commit_position
        attributes["stream_position"] = stream_position
        return self

    @property
    def revision(self) -> int | None:
        """Another name of ``stream_position``, as other clients call it."""
        return self.stream_position

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an AppendResult cannot be changed (setting {name!r})")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"an AppendResult cannot be changed (deleting {name!r})")

    def __reduce__(self) -> tuple[Any, ...]:
        return AppendResult, (self.commit_position, self.stream_position)

    def __str__(self) -> str:
        return int.__repr__(self)  # a position is printed and stored as the number that it is

    def __repr__(self) -> str:
        return f"AppendResult(commit_position={self.commit_position}, stream_position={self.stream_position})"


def ticks_of(moment: datetime) -> int:
    """A time as units of 100 nanoseconds since 1970-01-01T00:00:00Z."""
    if moment.tzinfo is None:
        raise InvalidArgumentError("recorded_at must know its time zone")
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
