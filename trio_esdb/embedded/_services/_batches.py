"""BatchAppend: many appends in one call, each in any number of parts.

A batch begins with a part that brings its options. Its id is the correlation id, under which more parts may come. The
final part submits it: all its events are appended in one write. A batch whose final part does not come in time is
dropped, with a Timeout as its reply. That time is two seconds, or less if the batch brings a deadline: a duration, or a
point in time, which may have passed already.

How a call ends is as a real node does it. A client that half-closes after the last reply hears nothing more. One that
half-closes while replies are outstanding gets one of them, and then the end. Here replies are outstanding while
requests that have already come are still to be read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from heapq import heappop, heappush

import trio

from trio_esdb._protobuf import Malformed
from trio_esdb._protobuf import field as encoded_field
from trio_esdb._transport._handlers import AsyncHandler, ServerCall
from trio_esdb_proto.event_store.client import Status, StreamIdentifier, Uuid, UuidStructured
from trio_esdb_proto.event_store.client.streams import BatchAppendResp

from .._dotnet._guids import BadGuid, to_halves
from .._store import (
    TURN,
    Append,
    HarmfulMetadata,
    NeverAnswered,
    Proposal,
    Right,
    StreamDeleted,
    WrongExpectation,
    is_valid_stream,
)
from ._access import may
from ._appending import MAX_APPEND_SIZE, success
from ._batch_messages import (
    BatchPart,
    bad_request,
    deleted,
    denied,
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
"""The longest time in seconds from the first part of a batch to its final one."""

_NONE_CHOSEN = (
    'Status(StatusCode="InvalidArgument", Detail="\'None\' is not a valid EventStore.Client.Streams.'
    'BatchAppendReq+Types+Options+ExpectedStreamPositionOneofCase")'
)
_NO_NAME = "Specified argument was out of the range of valid values. (Parameter 'eventStreamId')"
_READ_AHEAD = 64
"""Replies that are collected while more requests are there."""


@dataclass(slots=True)
class _Batch:
    stream: str
    expected: int
    deadline: float
    """A time of trio's clock."""
    events: list[Proposal] = field(default_factory=list)
    size: int = 0
    """The part of the largest append that the events take."""
    waits: bool = False
    """Whether the batch is among those that wait for parts."""


@dataclass(slots=True)
class _Reply:
    message: bytes
    submitted: bool
    """Whether the batch was submitted: only such replies are counted."""


class _BadRequest(ValueError):
    """A part that a node refuses. The message is the node's."""


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
        self._deadlines: list[tuple[float, int, int, _Batch]] = []
        """A heap of the batches that wait for parts: deadline, number, id, batch. Some of them may be over."""
        self._begun = 0
        self._replies: list[_Reply] = []
        self._pending = 0
        """Batches submitted minus replies sent. A node ends a half-closed call by this number."""

    async def run(self) -> None:
        """Serve the call to its end, if it has one."""
        while True:
            try:
                request = await self._receive()
            except trio.EndOfChannel:
                break
            self._expire()
            if request is not None:
                await self._take(request)
                if len(self._replies) < _READ_AHEAD:
                    continue
            await self._send_all()
        await self._close()

    async def _receive(self) -> bytes | None:
        """The next request. None if replies are to be sent and no request is there, or if a batch's time is over."""
        with trio.CancelScope(deadline=self._next_deadline()) as scope:
            if self._replies:
                # This takes effect when the task waits. A deadline in the past would take effect before that.
                trio.lowlevel.current_trio_token().run_sync_soon(scope.cancel)
            return await self._call.receive()
        return None

    def _next_deadline(self) -> float:
        """When the time of the next batch is over; infinite if none waits."""
        while self._deadlines:
            deadline, _, identity, batch = self._deadlines[0]
            if self._batches.get(identity) is batch:
                return deadline
            heappop(self._deadlines)
        return math.inf

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
            await trio.sleep_until(self._next_deadline())
            self._expire()
            await self._send_all()
        await trio.sleep_forever()

    def _expire(self) -> None:
        """Drop the batches whose time is over."""
        while self._next_deadline() <= trio.current_time():
            _, _, identity, batch = heappop(self._deadlines)
            del self._batches[identity]
            if batch.stream:
                most, least = to_halves(identity)
                halves = UuidStructured(most_significant_bits=most, least_significant_bits=least)
                self._refuse(Uuid(structured=halves), StreamIdentifier(stream_name=batch.stream.encode()), timed_out())

    async def _take(self, request: bytes) -> None:
        """Process a request. The checks are in the order of a node."""
        try:
            part = read_batch_part(request)
        except Malformed:
            raise handler_failed() from None
        correlation = id_message(part.correlation)
        try:
            await self._take_part(part, correlation, request)
        except (_BadRequest, BadGuid, BadTime, OutOfRange) as exc:
            if part.options is None:
                raise handler_failed() from None  # a node fails again, on the name of the stream
            self._refuse(correlation, identifier_of(part.options), bad_request(str(exc)))

    async def _take_part(self, part: BatchPart, correlation: Uuid | None, request: bytes) -> None:
        identity = id_of(part.correlation)
        batch = self._batches.get(identity)
        options = part.options
        if options is not None:
            seconds = min(requested_seconds(options, self._context.now()), WRITE_TIMEOUT)
            if options.stream is None:
                raise _BadRequest("Object reference not set to an instance of an object.")
            if not may(self._context, self._call.caller, Right.WRITE, options.stream):
                self._refuse(correlation, identifier_of(options), denied())
                return
            if seconds <= 0:
                self._refuse(correlation, identifier_of(options), timed_out())
                return
            if batch is None:
                if not options.chosen:
                    raise _BadRequest(_NONE_CHOSEN)
                deadline = trio.current_time() + seconds
                batch = self._batches[identity] = _Batch(options.stream, options.expected(), deadline)
        if batch is None:
            return
        try:
            await self._take_events(batch, identity, part, correlation, request)
        finally:
            if not batch.waits and self._batches.get(identity) is batch:
                batch.waits = True
                self._begun += 1
                heappush(self._deadlines, (batch.deadline, self._begun, identity, batch))

    async def _take_events(
        self, batch: _Batch, identity: int, part: BatchPart, correlation: Uuid | None, request: bytes
    ) -> None:
        for count, (start, stop) in enumerate(part.events, 1):
            self._add(batch, request, start, stop)
            if count % TURN == 0:
                await trio.lowlevel.checkpoint()
        named = StreamIdentifier(stream_name=batch.stream.encode())
        if batch.size > MAX_APPEND_SIZE:
            del self._batches[identity]
            self._refuse(correlation, named, too_large(MAX_APPEND_SIZE))
        elif part.final:
            del self._batches[identity]
            self._pending += 1
            if not is_valid_stream(batch.stream):
                raise _BadRequest(_NO_NAME)
            response = BatchAppendResp(correlation_id=correlation, stream_identifier=named)
            self._replies.append(_Reply(await self._write(batch, response), submitted=True))

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

    async def _write(self, batch: _Batch, response: BatchAppendResp) -> bytes:
        """Write a batch; the reply."""
        writes, store = self._context.writes, self._context.store
        try:
            if writes.must_wait(len(batch.events)):
                outcome = await writes.run(Append(batch.stream, batch.expected, batch.events))
            else:
                outcome = store.append(batch.stream, batch.expected, batch.events, self._context.now())
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
