"""Which stream a write is to, and how it expects to find it: the options that all writes share.

Append, BatchAppend, Delete and Tombstone each have an options message of their own, with the same fields at the same
numbers; a batch adds two forms of a deadline.
"""

from __future__ import annotations

from dataclasses import dataclass

from trio_esdb._protobuf import LENGTH, VARINT, FieldReader

from .._store import ANY, LAST_NUMBER, NO_STREAM, STREAM_EXISTS

END = 2**64 - 1
"""What revisions and positions call "none" or "the end" on the wire."""


class OutOfRange(ValueError):
    """A revision between the largest that there is and the one that means none; the message is .NET's."""

    def __init__(self) -> None:
        super().__init__("Specified argument was out of the range of valid values. (Parameter 'value')")


@dataclass(slots=True)
class WriteOptions:
    """The options of a write as they were sent; whatever is None was not."""

    stream: str | None = None
    """The name, empty where the identifier holds none; None where there is no identifier."""
    revision: int | None = None
    state: int | None = None
    """ANY, NO_STREAM or STREAM_EXISTS, where one of these was chosen instead of a revision."""
    timestamp: tuple[int, int] | None = None
    """A batch's deadline as seconds and nanoseconds since the Unix epoch."""
    duration: tuple[int, int] | None = None
    """A batch's deadline as seconds and nanoseconds from now."""

    @property
    def chosen(self) -> bool:
        """Whether there is an expectation at all."""
        return self.revision is not None or self.state is not None

    def expected(self) -> int:
        """The expectation as the store understands it. OutOfRange for a revision that cannot be."""
        if self.state is not None:
            return self.state
        assert self.revision is not None
        return revision_of(self.revision)


def revision_of(value: int) -> int:
    """A revision off the wire: -1 for "none" or "the end". OutOfRange for one that cannot be."""
    if value == END:
        return -1
    if value > LAST_NUMBER:
        raise OutOfRange
    return value


_STATES = {3: NO_STREAM, 4: ANY, 5: STREAM_EXISTS}


def read_write_options(data: bytes, at: int, stop: int) -> WriteOptions:
    """The options in this part of a message. Malformed where it is no protobuf."""
    reader = FieldReader(data)
    options = WriteOptions()
    identifier = []
    for number, wire, start, end in reader.fields(at, stop):
        if wire == LENGTH:
            if number == 1:
                identifier.append((start, end))
            elif number in _STATES:
                options.state, options.revision = _STATES[number], None
            elif number == 6:
                options.timestamp, options.duration = _read_time(reader, start, end, options.timestamp), None
            elif number == 7:
                options.duration, options.timestamp = _read_time(reader, start, end, options.duration), None
        elif wire == VARINT and number == 2:
            options.revision, options.state = start, None
    if identifier:
        options.stream = read_stream_name(reader.merged(identifier))
    return options


def read_stream_name(identifier: bytes) -> str:
    """The name in a StreamIdentifier."""
    name = b""
    for number, wire, start, end in FieldReader(identifier).fields(0, len(identifier)):
        if number == 3 and wire == LENGTH:
            name = identifier[start:end]
    return name.decode("utf-8", "replace")


def _read_time(reader: FieldReader, at: int, stop: int, before: tuple[int, int] | None) -> tuple[int, int]:
    seconds, nanos = before or (0, 0)
    for number, wire, value, _ in reader.fields(at, stop):
        if wire == VARINT and number == 1:
            seconds = value - (value >> 63 << 64)
        elif wire == VARINT and number == 2:
            value &= 0xFFFF_FFFF
            nanos = value - (value >> 31 << 32)
    return seconds, nanos
