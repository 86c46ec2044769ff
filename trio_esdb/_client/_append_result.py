"""What a server's answer to an append means; events and metadata are appended alike."""

from __future__ import annotations

from trio_esdb._convert import ANY, EXISTS, WrongRevision, append_response
from trio_esdb._errors import ExpectedPositionError
from trio_esdb._model import AppendResult
from trio_esdb._rpc import CallKind, Operation, Reply, settles


def append_kind(expected: int) -> CallKind:
    """What kind of write an append is: a server looks for the ids of the events where an exact position says."""
    return CallKind.OTHER_WRITE if expected in (ANY, EXISTS) else CallKind.EXACT_WRITE


def append_result(operation: Operation, reply: Reply, nothing: str, actual: str) -> AppendResult:
    """The result of an append that was done.

    Args:
        operation: The append.
        reply: The server's answer.
        nothing: For the error: there are no events.
        actual: For the error: where the stream is; ``{}`` stands for the position of its last event.

    Raises:
        ExpectedPositionError: The stream is elsewhere, and nothing was appended.
        ProtocolError: The answer has no meaning.
    """
    result = operation.understood(append_response, reply)
    if isinstance(result, WrongRevision):
        found = nothing if result.actual is None else actual.format(result.actual)
        error = operation.error(
            ExpectedPositionError,
            operation.unexpected(found),
            reply.address,
            status="OK",
            stream_name=operation.stream_name,
            expected=operation.expected,
            actual=result.actual,
        )
        if reply.unsure and not settles(error):
            error.applied = None
        raise error
    return result
