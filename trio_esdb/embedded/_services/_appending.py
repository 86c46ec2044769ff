"""Append: the options, then the events one by one. They are written together when the client has sent them all."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from trio_esdb._protobuf import LENGTH, FieldReader, Malformed, field, read_varint, varint
from trio_esdb._transport._handlers import Failure, Later, ServerCall, SyncHandler
from trio_esdb_proto.event_store.client import Empty
from trio_esdb_proto.event_store.client.streams import AppendResp, AppendRespWrongExpectedVersion

from .._dotnet._guids import BadGuid
from .._store import (
    ANY,
    STREAM_EXISTS,
    Append,
    NeverAnswered,
    Proposal,
    Right,
    StreamDeleted,
    Written,
    WrongExpectation,
    is_valid_stream,
)
from ._access import require
from ._context import NodeContext
from ._drafts import Draft, read_draft
from ._expectations import END, OutOfRange, WriteOptions, read_write_options
from ._failures import (
    append_too_large,
    handler_failed,
    metadata_missing,
    metadata_refused,
    never_answered,
    nothing_chosen,
    stream_deleted,
)
from ._leadership import LEADER, refuse_write
from ._writes import Outcome, Refused

MAX_APPEND_SIZE = 1024 * 1024

_OPTIONS, _EVENT = 1, 2


def append_method(context: NodeContext) -> SyncHandler:
    """Streams.Append."""

    def run(call: ServerCall) -> Generator[None, bytes | None, bytes | Later]:
        first = yield
        try:
            options = _read_options(first)
            stream, expected = options.stream, options.expected()
        except (Malformed, OutOfRange):
            raise handler_failed() from None
        if stream is None or (call.caller is not None and not stream):
            raise handler_failed()
        require(context, call.caller, Right.WRITE, stream)
        events: list[Proposal] = []
        size = 0
        while True:
            message = yield
            if message is None:
                break
            try:
                draft = _read_event(message)
                if draft.type is None:
                    raise metadata_missing("type")
                if draft.content_type is None:
                    raise metadata_missing("content-type")
                size += draft.size
                if size > MAX_APPEND_SIZE:
                    raise append_too_large(MAX_APPEND_SIZE)
                events.append(draft.accept())
            except (Malformed, BadGuid):
                raise handler_failed() from None
        if not is_valid_stream(stream):
            raise handler_failed()
        if context.membership.state is not LEADER:
            refuse_write(context.membership, call)
        if context.writes.must_wait(len(events)):
            written = context.writes.begin(Append(stream, expected, events))
            return Later(partial(_append_later, written, stream, options))
        try:
            outcome = context.store.append(stream, expected, events, context.now())
        except Refused as exc:
            raise _refused(stream, exc) from None
        return _response(options, outcome)

    return SyncHandler(run)


async def _append_later(written: Outcome, stream: str, options: WriteOptions) -> bytes:
    try:
        outcome = await written()
    except Refused as exc:
        raise _refused(stream, exc) from None
    return _response(options, outcome)


def _refused(stream: str, exc: Exception) -> Failure:
    """The failure for one of the store's exceptions."""
    if isinstance(exc, StreamDeleted):
        return stream_deleted(stream)
    return never_answered(str(exc)) if isinstance(exc, NeverAnswered) else metadata_refused(str(exc))


def _response(options: WriteOptions, outcome: Written | WrongExpectation) -> bytes:
    if isinstance(outcome, WrongExpectation):
        return bytes(AppendResp(wrong_expected_version=_missed(options, outcome)))
    return field(0x0A, success(outcome))


def _read_options(message: bytes | None) -> WriteOptions:
    if message is None:
        raise handler_failed()
    kind, content, start, stop = _content(message)
    if kind != _OPTIONS:
        raise handler_failed()
    options = read_write_options(content, start, stop)
    if not options.chosen:
        raise nothing_chosen("AppendReq+Types+Options+ExpectedStreamRevisionOneofCase")
    return options


def _read_event(message: bytes) -> Draft:
    kind, content, start, stop = _content(message)
    if kind != _EVENT:
        raise handler_failed()
    return read_draft(content, start, stop)


def _content(message: bytes) -> tuple[int, bytes, int, int]:
    """The content of a request: its field number (0: none), and where it is.

    A request has the options or an event. If it has more than one content, the last one counts. If that comes in
    several parts, they are merged.
    """
    if len(message) >= 2 and message[0] in (0x0A, 0x12):
        size, start = read_varint(message, 1, len(message))
        if start + size == len(message):
            return message[0] >> 3, message, start, len(message)
    reader = FieldReader(message)
    found = 0
    parts: list[tuple[int, int]] = []
    for number, wire, start, end in reader.fields(0, len(message)):
        if wire == LENGTH and number in (_OPTIONS, _EVENT):
            if number != found:
                found, parts = number, []
            parts.append((start, end))
    content = reader.merged(parts)
    return found, content, 0, len(content)


def success(written: Written) -> bytes:
    """The fields of an accepted write. They are the same in the responses of Append and BatchAppend."""
    number, position = written.number, written.position
    if position is None:
        place = b"\x22\x00"
    else:
        raw = varint(position)
        place = field(0x1A, b"\x08" + raw + b"\x10" + raw if position else b"")
    return (b"\x12\x00" if number is None else b"\x08" + varint(number)) + place


def _missed(options: WriteOptions, missed: WrongExpectation) -> AppendRespWrongExpectedVersion:
    """A wrong expected version. A node fills the old fields and the new ones."""
    response = AppendRespWrongExpectedVersion()
    if options.state == ANY:
        response.expected_any = Empty()
        response.any_20_6_0 = Empty()
    elif options.state == STREAM_EXISTS:
        response.expected_stream_exists = Empty()
        response.stream_exists_20_6_0 = Empty()
    elif options.state is not None:
        response.expected_no_stream = Empty()
        response.expected_revision_20_6_0 = END
    else:
        response.expected_revision = options.revision
        response.expected_revision_20_6_0 = options.revision
    if missed.actual < 0:
        response.current_no_stream = Empty()
        response.no_stream_20_6_0 = Empty()
    else:
        response.current_revision = missed.actual
        response.current_revision_20_6_0 = missed.actual
    return response
