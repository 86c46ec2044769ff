"""BatchAppend: many appends in one call, each in any number of parts.

A batch begins with a part that brings its options. Its id is the correlation id, under which more parts may come. The
final part submits it: all its events are appended in one write. A batch whose final part does not come in time is
dropped, with a Timeout as its reply. That time is two seconds, or less if the batch brings a deadline: a duration, or a
point in time, which may have passed already.

How a call ends is as a real node does it. A client that half-closes after the last reply hears nothing more. One that
half-closes while replies are outstanding gets one of them, and then the end. Here replies are outstanding while
requests that have already come are still to be read, and while batches wait to be confirmed by a cluster.

Batches of a single node are written by the task of the call. A node of a cluster answers them when enough nodes have
them: they are written in the order in which they come, each by a task of its own. A node that is not ready says so in
its reply; one that names the leader ends the call with that.
"""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass, field
from heapq import heappop, heappush

import trio

from trio_esdb._protobuf import Malformed
from trio_esdb._protobuf import field as encoded_field
from trio_esdb._transport._handlers import AsyncHandler, Failure, ServerCall
from trio_esdb._wire import Status as GrpcStatus
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
    Written,
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
    not_ready,
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
from ._leadership import LEADER, refuse_write
from ._writes import Refused

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
    number: int
    """How many batches had been submitted. Replies that are there at the same time are sent in this order."""


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
        self._submitted = 0
        self._writing = 0
        """Batches that are being written by tasks of their own."""
        self._last_begun = trio.Event()
        """Set when the write of the last of them has begun: they are made in the order in which they came."""
        self._last_begun.set()
        self._waiting: trio.CancelScope | None = None
        """Not None while the call waits for a request, which a reply interrupts."""

    async def run(self) -> None:
        """Serve the call to its end, if it has one."""
        failure: Failure | None = None
        async with trio.open_nursery() as self._nursery:
            try:
                await self._serve()
            except Failure as exc:
                failure = exc
            self._nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _serve(self) -> None:
        while True:
            try:
                request = await self._receive()
            except trio.EndOfChannel:
                break
            self._expire()
            if request is not None:
                await self._take(request)
                if len(self._replies) < _READ_AHEAD and self._writing < _READ_AHEAD:
                    continue
                while self._writing >= _READ_AHEAD:
                    await self._wait()
            await self._send_all()
        await self._close()

    async def _receive(self) -> bytes | None:
        """The next request. None if replies are to be sent and no request is there, or if a batch's time is over."""
        with trio.CancelScope(deadline=self._next_deadline()) as self._waiting:
            if self._replies:
                # This takes effect when the task waits. A deadline in the past would take effect before that.
                trio.lowlevel.current_trio_token().run_sync_soon(self._waiting.cancel)
            try:
                return await self._call.receive()
            finally:
                self._waiting = None
        return None

    async def _wait(self, deadline: float = math.inf) -> None:
        """Wait for a reply to a batch that is being written, or until this time."""
        with trio.CancelScope(deadline=deadline) as self._waiting:
            try:
                await trio.sleep_forever()
            finally:
                self._waiting = None

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
        while self._writing and not any(reply.submitted for reply in self._replies):
            await self._wait()
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
            await self._submit(batch, response)

    async def _submit(self, batch: _Batch, response: BatchAppendResp) -> None:
        context = self._context
        if context.membership.state is not LEADER:
            try:
                refuse_write(context.membership, self._call)
            except Failure as failure:
                if failure.status is not GrpcStatus.UNAVAILABLE:
                    await self._send_all()
                    raise
                self._replies.append(_Reply(_failed(response, failure), True, self._submitted))
                return
        if self._writing or context.writes.must_wait(len(batch.events)):
            self._writing += 1
            begun = trio.Event()
            self._submitted += 1
            self._nursery.start_soon(self._write_later, self._submitted, batch, response, self._last_begun, begun)
            self._last_begun = begun
        else:
            try:
                outcome = context.store.append(batch.stream, batch.expected, batch.events, context.now())
            except Refused as exc:
                reply = _failed(response, exc)
            else:
                reply = _written(response, outcome)
            self._replies.append(_Reply(reply, True, self._submitted))

    async def _write_later(
        self, number: int, batch: _Batch, response: BatchAppendResp, before: trio.Event, begun: trio.Event
    ) -> None:
        await before.wait()
        begun.set()  # whoever waits for it goes on when this task waits next; by then the write has its place
        try:
            outcome = await self._context.writes.run(Append(batch.stream, batch.expected, batch.events))
        except (*Refused, Failure) as exc:
            reply = _failed(response, exc)
        else:
            reply = _written(response, outcome)
        insort(self._replies, _Reply(reply, True, number), key=_number)
        self._writing -= 1
        if self._waiting is not None:
            self._waiting.cancel()

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

    def _refuse(self, correlation: Uuid | None, identifier: StreamIdentifier | None, error: Status) -> None:
        response = BatchAppendResp(correlation_id=correlation, stream_identifier=identifier, error=error)
        self._replies.append(_Reply(bytes(response), False, self._submitted))


def _number(reply: _Reply) -> int:
    return reply.number


def _written(response: BatchAppendResp, outcome: Written | WrongExpectation) -> bytes:
    """The reply to a batch that the store has judged."""
    if isinstance(outcome, WrongExpectation):
        response.error = wrong_expectation(outcome)
        return bytes(response)
    return bytes(response) + encoded_field(0x1A, success(outcome))


def _failed(response: BatchAppendResp, exc: Exception) -> bytes:
    """The reply to a batch that was refused, or of which it is not known what becomes of it."""
    if isinstance(exc, StreamDeleted):
        response.error = deleted(response.stream_identifier)
    elif isinstance(exc, NeverAnswered):
        response.error = bad_request(NOBODY_LISTENS + str(exc))
    elif isinstance(exc, HarmfulMetadata):
        response.error = bad_request(METADATA_REFUSED + str(exc))
    elif isinstance(exc, Failure) and exc.status is GrpcStatus.UNAVAILABLE:
        response.error = not_ready()
    else:
        response.error = timed_out()
    return bytes(response)
