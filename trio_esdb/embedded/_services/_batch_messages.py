"""What the parts of a batch say, and what batches are told."""

from __future__ import annotations

from dataclasses import dataclass, field

from trio_esdb_proto.event_store.client import (
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
from ._protobuf import LENGTH, VARINT, read_fields

_TYPES = "type.googleapis.com/event_store.client."


@dataclass(slots=True)
class BatchPart:
    """One request of the call."""

    correlation: WireId | None = None
    options: WriteOptions | None = None
    events: list[tuple[int, int]] = field(default_factory=list)
    """Where the proposed events are in the request."""
    final: bool = False


def read_batch_part(request: bytes) -> BatchPart:
    """A request of a batch append. Malformed where it is no protobuf."""
    part = BatchPart()
    correlation = options = None
    for number, wire, start, end in read_fields(request, 0, len(request)):
        if wire == LENGTH and number == 3:
            part.events.append((start, end))
        elif wire == LENGTH and number == 1:
            correlation = (correlation or b"") + request[start:end]
        elif wire == LENGTH and number == 2:
            options = (options or b"") + request[start:end]
        elif wire == VARINT and number == 4:
            part.final = bool(start)
    if correlation is not None:
        part.correlation = read_id(correlation, 0, len(correlation))
    if options is not None:
        part.options = read_write_options(options, 0, len(options))
    return part


def id_message(wire: WireId | None) -> Uuid | None:
    """An id in the form that it came in."""
    if wire is None:
        return None
    if wire.halves is None:
        return Uuid(string=wire.text)
    most, least = (half - (half >> 63 << 64) for half in wire.halves)
    return Uuid(structured=UuidStructured(most_significant_bits=most, least_significant_bits=least))


def identifier_of(options: WriteOptions) -> StreamIdentifier | None:
    """The stream that a part names."""
    return None if options.stream is None else StreamIdentifier(stream_name=options.stream.encode())


def _status(code: Code, message: str, detail: bytes) -> Status:
    return Status(code=code, message=message, details=Any(type_url=_TYPES + message, value=detail))


def timed_out() -> Status:
    """The batch's time is up, or there never was any."""
    return _status(Code.DEADLINE_EXCEEDED, "Timeout", bytes(Timeout()))


def bad_request(text: str) -> Status:
    """A part makes no sense."""
    return _status(Code.INVALID_ARGUMENT, "BadRequest", bytes(BadRequest(message=text)))


def too_large(limit: int) -> Status:
    """The batch's events are too large together."""
    detail = MaximumAppendSizeExceeded(max_append_size=limit)
    return _status(Code.INVALID_ARGUMENT, "MaximumAppendSizeExceeded", bytes(detail))


def deleted(identifier: StreamIdentifier | None) -> Status:
    """The stream is tombstoned, or its writer wanted it to exist and it is soft deleted."""
    return _status(Code.NOT_FOUND, "StreamDeleted", bytes(StreamDeleted(stream_identifier=identifier)))


def wrong_expectation(missed: WrongExpectation) -> Status:
    """The stream is not as the batch's writer expected."""
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
