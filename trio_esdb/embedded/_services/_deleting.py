"""Delete and Tombstone."""

from __future__ import annotations

from collections.abc import Callable

from trio_esdb._transport._serving import Answer

from .._store import NeverAnswered, StreamDeleted, Written, WrongExpectation
from ._appending import NO_NAMES
from ._expectations import OutOfRange, read_write_options
from ._failures import delete_missed, handler_failed, never_answered, nothing_chosen, stream_deleted
from ._kernel import Kernel
from ._protobuf import LENGTH, Malformed, field, read_fields, varint
from ._unary import answered_by

Write = Callable[[str, int, int], Written | WrongExpectation]


def delete_method(kernel: Kernel) -> Answer:
    """Streams.Delete: the stream can be written again."""
    return _method(kernel, kernel.store.delete, "DeleteReq")


def tombstone_method(kernel: Kernel) -> Answer:
    """Streams.Tombstone: the stream is gone for ever."""
    return _method(kernel, kernel.store.tombstone, "TombstoneReq")


def _method(kernel: Kernel, write: Write, message: str) -> Answer:
    def respond(request: bytes) -> bytes:
        try:
            raw = None
            for number, wire, start, end in read_fields(request, 0, len(request)):
                if number == 1 and wire == LENGTH:
                    raw = (raw or b"") + request[start:end]
            if raw is None:
                raise handler_failed()
            options = read_write_options(raw, 0, len(raw))
            if not options.chosen:
                raise nothing_chosen(f"{message}+Types+Options+ExpectedStreamRevisionOneofCase")
            expected = options.expected()
        except (Malformed, OutOfRange):
            raise handler_failed() from None
        stream = options.stream
        if stream is None or stream in NO_NAMES:
            raise handler_failed()
        try:
            outcome = write(stream, expected, kernel.now())
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
