"""The options that all writes share: the stream, and the revision that the writer expects.

Append, BatchAppend, Delete and Tombstone have an options message each, with the same fields and field numbers. That of
BatchAppend has a deadline as well, in one of two forms.
"""

from __future__ import annotations

from dataclasses import dataclass

from trio_esdb._protobuf import LENGTH, VARINT, FieldReader

from .._store import ANY, LAST_NUMBER, NO_STREAM, STREAM_EXISTS

END = 2**64 - 1
"""The value of a revision or position that means "none" or "the end"."""


class OutOfRange(ValueError):
    """A revision above the largest one that is not the one that means "none". The message is .NET's."""

    def __init__(self) -> None:
        super().__init__("Specified argument was out of the range of valid values. (Parameter 'value')")


@dataclass(slots=True)
class WriteOptions:
    """The options of a write as they were sent. What was not sent is None."""

    stream: str | None = None
    """The name: empty if the identifier has none, None if there is no identifier."""
    revision: int | None = None
    state: int | None = None
    """ANY, NO_STREAM or STREAM_EXISTS, if one of these was sent and not a revision."""
    timestamp: tuple[int, int] | None = None
    """The deadline of a batch as a point in time: seconds and nanoseconds since the Unix epoch."""
    duration: tuple[int, int] | None = None
    """The deadline of a batch as a duration: seconds and nanoseconds from now."""

    @property
    def chosen(self) -> bool:
        """Whether an expectation was sent."""
        return self.revision is not None or self.state is not None

    def expected(self) -> int:
        """The expectation as the store takes it. Raises OutOfRange."""
        if self.state is not None:
            return self.state
        assert self.revision is not None
        return revision_of(self.revision)


def revision_of(value: int) -> int:
    """A revision as it was sent, -1 for "none" or "the end". Raises OutOfRange."""
    if value == END:
        return -1
    if value > LAST_NUMBER:
        raise OutOfRange
    return value


_STATES = {3: NO_STREAM, 4: ANY, 5: STREAM_EXISTS}


def read_write_options(data: bytes, at: int, stop: int) -> WriteOptions:
    """Decode the options in this part of a message. Raises Malformed."""
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
