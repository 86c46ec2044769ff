"""Delete and Tombstone: a deleted stream can be written again, a tombstoned one is gone for ever."""

from __future__ import annotations

from functools import partial

from trio_esdb._protobuf import LENGTH, FieldReader, Malformed, field, varint
from trio_esdb._transport._handlers import Failure, Later, ServerCall, SyncHandler

from .._store import Delete, Right, StreamDeleted, Tombstone, Written, WrongExpectation, is_valid_stream
from ._access import require
from ._context import NodeContext
from ._expectations import OutOfRange, read_write_options
from ._failures import delete_missed, handler_failed, never_answered, nothing_chosen, stream_deleted
from ._leadership import refuse_write
from ._unary import answered_by
from ._writes import Outcome, Refused


def delete_method(context: NodeContext) -> SyncHandler:
    """Streams.Delete."""
    return _method(context, Delete, "DeleteReq")


def tombstone_method(context: NodeContext) -> SyncHandler:
    """Streams.Tombstone."""
    return _method(context, Tombstone, "TombstoneReq")


def _method(context: NodeContext, kind: type[Delete | Tombstone], message: str) -> SyncHandler:
    def respond(request: bytes, call: ServerCall) -> bytes | Later:
        stream, expected = _read(request, message)
        require(context, call.caller, Right.DELETE, stream)
        if not is_valid_stream(stream):
            raise handler_failed()
        refuse_write(context.membership, call)
        write = kind(stream, expected)
        if context.writes.must_wait():
            return Later(partial(_delete_later, write, context.writes.begin(write)))
        try:
            return _response(write, context.store.run(write, context.now()))
        except Refused as exc:
            raise _refused(stream, exc) from None

    return answered_by(respond, limit=None)


async def _delete_later(write: Delete | Tombstone, written: Outcome) -> bytes:
    try:
        return _response(write, await written())
    except Refused as exc:
        raise _refused(write.stream, exc) from None


def _read(request: bytes, message: str) -> tuple[str, int]:
    """The stream that is to be deleted, and the expected revision."""
    try:
        reader = FieldReader(request)
        fields = reader.fields(0, len(request))
        parts = [(start, end) for number, wire, start, end in fields if number == 1 and wire == LENGTH]
        if not parts:
            raise handler_failed()
        raw = reader.merged(parts)
        options = read_write_options(raw, 0, len(raw))
        if not options.chosen:
            raise nothing_chosen(f"{message}+Types+Options+ExpectedStreamRevisionOneofCase")
        expected = options.expected()
    except (Malformed, OutOfRange):
        raise handler_failed() from None
    if not options.stream:
        raise handler_failed()
    return options.stream, expected


def _refused(stream: str, exc: Exception) -> Failure:
    """The failure for one of the store's exceptions."""
    return stream_deleted(stream) if isinstance(exc, StreamDeleted) else never_answered(str(exc))


def _response(write: Delete | Tombstone, outcome: Written | WrongExpectation) -> bytes:
    if isinstance(outcome, WrongExpectation):
        raise delete_missed(write.stream, outcome)
    assert outcome.position is not None  # only a repeated write can lack one, and each deletion has a new id
    place = varint(outcome.position)
    return field(0x0A, b"\x08" + place + b"\x10" + place)
