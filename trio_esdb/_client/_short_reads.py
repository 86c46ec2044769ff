"""Short reads that a subscription makes for itself, each in one attempt: where to begin, and whether it can go on.

A subscription that begins at the end must know that place. Otherwise, if it was interrupted before its first event, it
could only begin at the end again, and events between the two ends would be lost.

A subscription that goes on at a place which the database does not hold would be told no error: it would wait until the
log or the stream has grown past that place, and miss all events until then. That happens where a database was replaced
or restored from an older backup. Reading backwards from there tells: servers refuse positions beyond the end of the
log, and positions where no record begins. The numbers of a stream are compared with that of its last event. A stream
that was deleted has no events, but its numbers go on later, and its metadata says that it is deleted.

A node of a cluster may be some moments behind another one. What it does not hold is asked for at the leader. If that
holds it, the subscription goes on at the node: it gives what comes after that place, as soon as it has it.
"""

from __future__ import annotations

import math

import trio

from trio_esdb._cluster import Sent, Session
from trio_esdb._convert import LastStreamPosition, ReadResponse, StreamNotFound
from trio_esdb._errors import (
    AccessDeniedError,
    InvalidPositionError,
    PositionLostError,
    ProtocolError,
    ServerError,
)
from trio_esdb._model import RecordedEvent
from trio_esdb._rpc import Operation, Trouble, error_from, trouble_of
from trio_esdb._wire import Outcome, Status

from ._position import Place, ReadOptions


class CallFailed(Exception):
    """An attempt failed: with the error that its caller would get, and what kind of trouble it was."""

    def __init__(
        self, error: ServerError, trouble: Trouble, sent: Sent | None = None, outcome: Outcome | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.trouble = trouble
        self.sent = sent
        """Where the attempt was made, if there was a connection."""
        self.outcome = outcome
        """How it ended, if a server or the connection ended it."""


async def last_place(session: Session, operation: Operation, options: ReadOptions, patience: float) -> Place | None:
    """The place of the last event of a stream, or of the log; None if there is none.

    Args:
        session: Where to read.
        operation: The subscription, for which this is read.
        options: Its options.
        patience: Seconds in which the answer must come.

    Raises:
        CallFailed: It was not read.
        ServerError: There was no connection.
        trio.ClosedResourceError: The client was closed.
    """
    return (await _last_place(session, operation, options, patience))[0]


async def _last_place(
    session: Session, operation: Operation, options: ReadOptions, patience: float
) -> tuple[Place | None, Sent]:
    """The same, and who told it."""
    end = ReadOptions(
        stream_name=options.stream_name, backwards=True, limit=1, tell_last_position=bool(options.stream_name)
    )
    place: Place | None = None
    responses, sent = await _read(session, operation, end, patience)
    for response in responses:
        match response:
            case RecordedEvent():
                place = end.place_of(response)
            case LastStreamPosition(stream_position=position) if options.stream_name:
                place = position, 0  # told even if metadata hides the event
    return place, sent


async def check_position(
    session: Session, operation: Operation, options: ReadOptions, place: Place, patience: float
) -> None:
    """Find out whether the database holds a place; the arguments are those of ``last_place``, and the place.

    Raises:
        CallFailed: It does not (PositionLostError), or it was not found out.
        ServerError: There was no connection.
        trio.ClosedResourceError: The client was closed.
    """
    try:
        await _check_position(session, operation, options, place, patience)
    except CallFailed as failure:
        if not isinstance(failure.error, PositionLostError) or not session.nodes.may_lag:
            raise
        await _check_position(session, operation._replace(leader=True), options, place, patience)


async def _check_position(
    session: Session, operation: Operation, options: ReadOptions, place: Place, patience: float
) -> None:
    """The same at one node."""
    if not options.stream_name:
        try:
            before = ReadOptions(position=place, backwards=True, limit=1)
            await _read(session, operation._replace(from_position=True), before, patience)
        except CallFailed as failure:
            if isinstance(failure.error, InvalidPositionError):
                raise _lost(operation, options, place, failure, failure.sent) from failure
            raise
        return
    last, sent = await _last_place(session, operation, options, patience)
    if last is None:
        try:
            metadata = options._replace(stream_name="$$" + options.stream_name)
            last = place if await last_place(session, operation, metadata, patience) is not None else None
        except CallFailed as failure:
            if not isinstance(failure.error, AccessDeniedError):
                raise
            last = place
    if last is None or last < place:
        raise _lost(operation, options, place, None, sent)


def _lost(
    operation: Operation, options: ReadOptions, place: Place, failure: CallFailed | None, sent: Sent | None
) -> CallFailed:
    cause = None if failure is None else failure.error
    what = f"position {place[0]}" if options.stream_name else f"position {place[0]}, {place[1]}"
    error = operation.error(
        PositionLostError,
        f"the database does not hold {what} any more, after which this would go on. It was replaced or restored from "
        "a backup; subscribe from a position that it holds, or from the start",
        sent.link.address if sent is not None else "",
        status="OK" if cause is None else cause.status,
        position=options.public(place),
    )
    error.__cause__ = cause
    return CallFailed(error, Trouble.FINAL, sent)


async def _read(
    session: Session, operation: Operation, options: ReadOptions, patience: float
) -> tuple[list[ReadResponse], Sent]:
    """The responses to a read, and where it was made."""
    answer = _Answer()
    call, sent = await session.open(operation._replace(requests=[options.request()]), answer, math.inf)
    try:
        with trio.move_on_after(patience):
            await answer.over.wait()
        if call.answered:  # a large event on a slow line
            await answer.over.wait()
    finally:
        call.close()
    outcome = answer.outcome
    if outcome is None:
        raise unanswered(operation, patience, sent)
    if not outcome.ok:
        error = error_from(operation, outcome, call.address)
        raise CallFailed(error, trouble_of(outcome, error), sent, outcome)
    responses: list[ReadResponse] = []
    for response in session.decoder.read_responses(answer.messages):
        if isinstance(response, ProtocolError):
            error = operation.error(ProtocolError, str(response), call.address, status=response.status)
            raise CallFailed(error, Trouble.FINAL, sent)
        if not isinstance(response, StreamNotFound):
            responses.append(response)
    return responses, sent


def unanswered(operation: Operation, patience: float, sent: Sent | None) -> CallFailed:
    """The failure of a call whose first answer has not come in time.

    The connection may be dead without anybody having said so. Other calls may be open on it, so it stays, but new ones
    go elsewhere.
    """
    address = ""
    if sent is not None:
        address = sent.link.address
        sent.link.retire()
    outcome = Outcome(Status.UNAVAILABLE, f"no answer within {patience:g} seconds", local=True)
    return CallFailed(error_from(operation, outcome, address), Trouble.NO_FIRST_ANSWER, sent)


class _Answer:
    """The sink of a short read."""

    endless = False

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.outcome: Outcome | None = None
        self.over = trio.Event()

    def on_messages(self, messages: list[bytes]) -> None:
        """Responses came."""
        self.messages += messages

    def on_draining(self) -> None:
        """The node will soon end the call."""

    def on_leader_moved(self) -> None:
        """The node is not the leader any more. It knows what it knows."""

    def on_end(self, outcome: Outcome) -> None:
        """The call is over."""
        self.outcome = outcome
        self.over.set()
