"""BatchAppend: many appends in one call, each in as many parts as its writer likes.

A batch is known by its correlation id from its first part (which brings the options) to its final one (which writes
it), or until its time is up. How the call ends is a real node's way, not a nice one: a client that half-closes after
the last reply hears nothing more, and one that half-closes while replies are outstanding gets the next of them and
then the end. Replies are outstanding here while requests that are already there have still to be read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import trio

from trio_esdb._protobuf import Malformed
from trio_esdb._protobuf import field as encoded_field
from trio_esdb._transport._handlers import AsyncHandler, ServerCall
from trio_esdb_proto.event_store.client import Status, StreamIdentifier, Uuid, UuidStructured
from trio_esdb_proto.event_store.client.streams import BatchAppendResp

from .._dotnet._guids import BadGuid, to_halves
from .._store import HarmfulMetadata, NeverAnswered, Proposal, StreamDeleted, WrongExpectation, is_valid_stream
from ._appending import MAX_APPEND_SIZE, success
from ._batch_messages import (
    BatchPart,
    bad_request,
    deleted,
    id_message,
    identifier_of,
    read_batch_part,
    timed_out,
    too_large,
    wrong_expectation,
)
from ._context import NodeContext
from ._deadlines import BadTime, requested_seconds
from ._drafts import id_of, read_draft
from ._expectations import OutOfRange
from ._failures import METADATA_REFUSED, NOBODY_LISTENS, handler_failed

WRITE_TIMEOUT = 2.0
"""Seconds that a batch may take from its first part to its final one, whatever deadline it brings."""

_NONE_CHOSEN = (
    'Status(StatusCode="InvalidArgument", Detail="\'None\' is not a valid EventStore.Client.Streams.'
    'BatchAppendReq+Types+Options+ExpectedStreamPositionOneofCase")'
)
_NO_NAME = "Specified argument was out of the range of valid values. (Parameter 'eventStreamId')"
_READ_AHEAD = 64
"""Replies that may be outstanding before they are sent, though more requests are there."""


@dataclass(slots=True)
class _Batch:
    stream: str
    expected: int
    deadline: float
    events: list[Proposal] = field(default_factory=list)
    size: int = 0


@dataclass(slots=True)
class _Reply:
    message: bytes
    submitted: bool
    """Whether it tells the outcome of a write, and not why there was none."""


class _BadRequest(ValueError):
    """A part that a node cannot make sense of; the message is what it says."""


def batch_append_method(context: NodeContext) -> AsyncHandler:
    """Streams.BatchAppend."""

    async def run(call: ServerCall) -> None:
        await _Batches(context, call).run()

    return AsyncHandler(run)


class _Batches:
    """One call."""

    def __init__(self, context: NodeContext, call: ServerCall) -> None:
        self._context = context
        self._call = call
        self._batches: dict[int, _Batch] = {}
        self._replies: list[_Reply] = []
        self._pending = 0
        """A node's own count, which knows when a half-closed call may end: writes submitted less replies sent."""

    async def run(self) -> None:
        """Hold the conversation, to its end if it has one."""
        while True:
            try:
                request = await self._receive()
            except trio.EndOfChannel:
                break
            self._expire()
            if request is not None:
                self._take(request)
                if len(self._replies) < _READ_AHEAD:
                    continue
            await self._send_all()
        await self._close()

    async def _receive(self) -> bytes | None:
        """The next request; None when something else is due: replies, if no request is there, or a batch's time."""
        with trio.CancelScope(deadline=self._next_moment()) as scope:
            if self._replies:
                # Takes effect once this task waits; a deadline that has passed would before.
                trio.lowlevel.current_trio_token().run_sync_soon(scope.cancel)
            return await self._call.receive()
        return None

    def _next_moment(self) -> float:
        """When the next batch's time is up."""
        return min((batch.deadline for batch in self._batches.values()), default=math.inf)

    async def _send_all(self) -> None:
        replies, self._replies = self._replies, []
        self._pending -= len(replies)
        if replies:
            await self._call.send(*(reply.message for reply in replies))

    async def _close(self) -> None:
        """The client has sent all it will send."""
        outcomes = [reply for reply in self._replies if reply.submitted]
        self._replies = [reply for reply in self._replies if not reply.submitted]
        await self._send_all()
        for reply in outcomes:
            await self._call.send(reply.message)
            self._pending -= 1
            if self._pending >= 0:
                return
        while self._batches:
            await trio.sleep_until(self._next_moment())
            self._expire()
            await self._send_all()
        await trio.sleep_forever()

    def _expire(self) -> None:
        now = trio.current_time()
        late = [(batch.deadline, identity) for identity, batch in self._batches.items() if batch.deadline <= now]
        for _, identity in sorted(late):
            batch = self._batches.pop(identity)
            if batch.stream:
                most, least = to_halves(identity)
                halves = UuidStructured(most_significant_bits=most, least_significant_bits=least)
                self._refuse(Uuid(structured=halves), StreamIdentifier(stream_name=batch.stream.encode()), timed_out())

    def _take(self, request: bytes) -> None:
        """Take one request in, as a node's handler does; what it refuses with is its own order of checks."""
        try:
            part = read_batch_part(request)
        except Malformed:
            raise handler_failed() from None
        correlation = id_message(part.correlation)
        try:
            self._take_part(part, correlation, request)
        except (_BadRequest, BadGuid, BadTime, OutOfRange) as exc:
            if part.options is None:
                raise handler_failed() from None  # a node fails once more, on the stream that it wants to name
            self._refuse(correlation, identifier_of(part.options), bad_request(str(exc)))

    def _take_part(self, part: BatchPart, correlation: Uuid | None, request: bytes) -> None:
        identity = id_of(part.correlation)
        options = part.options
        if options is not None:
            seconds = min(requested_seconds(options, self._context.now()), WRITE_TIMEOUT)
            if options.stream is None:
                raise _BadRequest("Object reference not set to an instance of an object.")
            if seconds <= 0:
                self._refuse(correlation, identifier_of(options), timed_out())
                return
            if identity not in self._batches:
                if not options.chosen:
                    raise _BadRequest(_NONE_CHOSEN)
                deadline = trio.current_time() + seconds
                self._batches[identity] = _Batch(options.stream, options.expected(), deadline)
        batch = self._batches.get(identity)
        if batch is None:
            return
        for start, stop in part.events:
            self._add(batch, request, start, stop)
        named = StreamIdentifier(stream_name=batch.stream.encode())
        if batch.size > MAX_APPEND_SIZE:
            del self._batches[identity]
            self._refuse(correlation, named, too_large(MAX_APPEND_SIZE))
        elif part.final:
            del self._batches[identity]
            self._pending += 1
            if not is_valid_stream(batch.stream):
                raise _BadRequest(_NO_NAME)
            message = self._written(batch, BatchAppendResp(correlation_id=correlation, stream_identifier=named))
            self._replies.append(_Reply(message, submitted=True))

    def _add(self, batch: _Batch, request: bytes, start: int, stop: int) -> None:
        try:
            draft = read_draft(request, start, stop)
        except Malformed:
            raise handler_failed() from None
        id_of(draft.id)
        if draft.type is None or draft.content_type is None:
            raise _BadRequest("The given key was not present in the dictionary.")
        batch.events.append(draft.accept())
        batch.size += draft.size

    def _written(self, batch: _Batch, response: BatchAppendResp) -> bytes:
        """Write a batch; the reply."""
        try:
            outcome = self._context.store.append(batch.stream, batch.expected, batch.events, self._context.now())
        except StreamDeleted:
            response.error = deleted(response.stream_identifier)
        except NeverAnswered as exc:
            response.error = bad_request(NOBODY_LISTENS + str(exc))
        except HarmfulMetadata as exc:
            response.error = bad_request(METADATA_REFUSED + str(exc))
        else:
            if not isinstance(outcome, WrongExpectation):
                return bytes(response) + encoded_field(0x1A, success(outcome))
            response.error = wrong_expectation(outcome)
        return bytes(response)

    def _refuse(self, correlation: Uuid | None, identifier: StreamIdentifier | None, error: Status) -> None:
        response = BatchAppendResp(correlation_id=correlation, stream_identifier=identifier, error=error)
        self._replies.append(_Reply(bytes(response), submitted=False))
