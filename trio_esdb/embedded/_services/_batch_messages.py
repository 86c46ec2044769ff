"""Decodes the requests of batch appends, and makes the parts of their responses."""

from __future__ import annotations

from dataclasses import dataclass, field

from trio_esdb._protobuf import LENGTH, VARINT, FieldReader, read_varint
from trio_esdb_proto.event_store.client import (
    AccessDenied,
    BadRequest,
    MaximumAppendSizeExceeded,
    Status,
    StreamDeleted,
    StreamIdentifier,
    Timeout,
    Uuid,
    UuidStructured,
    WrongExpectedVersion,
)
from trio_esdb_proto.google.protobuf import Any, Empty
from trio_esdb_proto.google.rpc import Code

from .._store import ANY, NO_STREAM, STREAM_EXISTS, WrongExpectation
from ._drafts import WireId, read_id
from ._expectations import WriteOptions, read_write_options

_TYPES = "type.googleapis.com/event_store.client."
_EVENT = 3 << 3 | LENGTH
_SMALLEST_EVENT = 50
"""An event that a node accepts takes more bytes than this: it has an id, a type and a content type."""


@dataclass(slots=True)
class BatchPart:
    """One request of a batch append. What is None or empty was not sent."""

    correlation: WireId | None = None
    options: WriteOptions | None = None
    events: list[tuple[int, int]] = field(default_factory=list)
    """Begin and end of each proposed event in the request."""
    final: bool = False
    """Whether this is the last request of its batch."""


def read_batch_part(request: bytes) -> BatchPart:
    """Decode a request of a batch append.

    Raises:
        Malformed: It is not a protobuf message, or has too many fields.
    """
    reader = FieldReader(request)
    part = BatchPart()
    at, stop = 0, len(request)
    correlation: list[tuple[int, int]] = []
    options: list[tuple[int, int]] = []
    while at < stop:
        for number, wire, start, end in reader.fields(at, stop):
            if wire == LENGTH and number == 3:
                part.events.append((start, end))
                at = _read_more_events(request, end, part.events)
                break
            if wire == LENGTH and number == 1:
                correlation.append((start, end))
            elif wire == LENGTH and number == 2:
                options.append((start, end))
            elif wire == VARINT and number == 4:
                part.final = bool(start)
        else:
            break
    if correlation:
        part.correlation = read_id(reader.merged(correlation))
    if options:
        merged = reader.merged(options)
        part.options = read_write_options(merged, 0, len(merged))
    return part


def _read_more_events(request: bytes, at: int, events: list[tuple[int, int]]) -> int:
    """Read the events at ``at`` that follow each other, which is how large requests have them.

    Returns where the first other field begins. An event that is too small to be accepted counts as such a field: the
    ``FieldReader`` limits their number.
    """
    stop = len(request) - 1
    while at < stop and request[at] == _EVENT:
        size, start = request[at + 1], at + 2
        if size > 127:
            size, start = read_varint(request, at + 1, min(stop, at + 6))
        end = start + size
        if size < _SMALLEST_EVENT or end > stop + 1:
            break
        events.append((start, end))
        at = end
    return at


def id_message(wire: WireId | None) -> Uuid | None:
    """An id in the form in which it was sent."""
    if wire is None:
        return None
    if wire.halves is None:
        return Uuid(string=wire.text)
    most, least = (half - (half >> 63 << 64) for half in wire.halves)
    return Uuid(structured=UuidStructured(most_significant_bits=most, least_significant_bits=least))


def identifier_of(options: WriteOptions) -> StreamIdentifier | None:
    """The stream that a request names."""
    return None if options.stream is None else StreamIdentifier(stream_name=options.stream.encode())


def _status(code: Code, message: str, detail: bytes) -> Status:
    return Status(code=code, message=message, details=Any(type_url=_TYPES + message, value=detail))


def timed_out() -> Status:
    """The deadline of the batch has passed."""
    return _status(Code.DEADLINE_EXCEEDED, "Timeout", bytes(Timeout()))


def not_ready() -> Status:
    """There is no leader, as far as the node knows. The call stays open."""
    return Status(message="Server Is Not Ready", details=Any(type_url="type.googleapis.com/google.protobuf.Empty"))


def bad_request(text: str) -> Status:
    """A request of the batch is not valid."""
    return _status(Code.INVALID_ARGUMENT, "BadRequest", bytes(BadRequest(message=text)))


def denied() -> Status:
    """The caller may not write to the stream."""
    return _status(Code.PERMISSION_DENIED, "AccessDenied", bytes(AccessDenied()))


def too_large(limit: int) -> Status:
    """The events of the batch exceed the limit on their total size."""
    detail = MaximumAppendSizeExceeded(max_append_size=limit)
    return _status(Code.INVALID_ARGUMENT, "MaximumAppendSizeExceeded", bytes(detail))


def deleted(identifier: StreamIdentifier | None) -> Status:
    """The stream is tombstoned; or it is soft deleted, and the writer expected it to exist."""
    return _status(Code.NOT_FOUND, "StreamDeleted", bytes(StreamDeleted(stream_identifier=identifier)))


def wrong_expectation(missed: WrongExpectation) -> Status:
    """The stream has another revision than the batch expected."""
    said = WrongExpectedVersion()
    if missed.expected == ANY:
        said.expected_any = Empty()
    elif missed.expected == STREAM_EXISTS:
        said.expected_stream_exists = Empty()
    elif missed.expected == NO_STREAM:
        said.expected_no_stream = Empty()
    else:
        said.expected_stream_position = missed.expected
    if missed.actual < 0:
        said.current_no_stream = Empty()
    else:
        said.current_stream_revision = missed.actual
    return _status(Code.ALREADY_EXISTS, "WrongExpectedVersion", bytes(said))
