"""Delete and Tombstone."""

from __future__ import annotations

from collections.abc import Callable

from trio_esdb._protobuf import LENGTH, FieldReader, Malformed, field, varint
from trio_esdb._transport._handlers import SyncHandler

from .._store import NeverAnswered, StreamDeleted, Written, WrongExpectation, is_valid_stream
from ._context import NodeContext
from ._expectations import OutOfRange, read_write_options
from ._failures import delete_missed, handler_failed, never_answered, nothing_chosen, stream_deleted
from ._unary import answered_by

Write = Callable[[str, int, int], Written | WrongExpectation]


def delete_method(context: NodeContext) -> SyncHandler:
    """Streams.Delete: the stream can be written again."""
    return _method(context, context.store.delete, "DeleteReq")


def tombstone_method(context: NodeContext) -> SyncHandler:
    """Streams.Tombstone: the stream is gone for ever."""
    return _method(context, context.store.tombstone, "TombstoneReq")


def _method(context: NodeContext, write: Write, message: str) -> SyncHandler:
    def respond(request: bytes) -> bytes:
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
        stream = options.stream
        if stream is None or not is_valid_stream(stream):
            raise handler_failed()
        try:
            outcome = write(stream, expected, context.now())
        except StreamDeleted:
            raise stream_deleted(stream) from None
        except NeverAnswered as exc:
            raise never_answered(str(exc)) from None
        if isinstance(outcome, WrongExpectation):
            raise delete_missed(stream, outcome)
        if outcome.position is None:
            return b"\x12\x00"
        place = varint(outcome.position)
        return field(0x0A, b"\x08" + place + b"\x10" + place if outcome.position else b"")

    return answered_by(respond, limit=None)
