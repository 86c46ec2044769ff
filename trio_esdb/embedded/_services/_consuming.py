"""Read of a group: a call in which a consumer gets events and says what became of them.

The first request says which group and how many events at once. The response to it is the confirmation; after that,
events and requests travel independently. Nothing that a consumer says is answered. A request that makes no sense is not
answered either: the node stops listening to this consumer, whose events then time out.

Acks that a client sends together with a reset of the call are lost, as on a real node: the task that would read them
is cancelled before it has read them. A half-close does not end the call.

In front of each consumer is a queue as long as the number of events that it may have. Events that find no room in it
are dropped: the group counts them as in flight until they time out.
"""

from __future__ import annotations

from collections import deque
from functools import partial

import trio

from trio_esdb._protobuf import LENGTH, VARINT, FieldReader, Malformed, field, varint
from trio_esdb._transport._handlers import AsyncHandler, Failure, ServerCall
from trio_esdb_proto.event_store.client.persistent_subscriptions import ReadReq, ReadReqOptions

from .._dotnet._guids import BadGuid
from .._groups import Consumer, Item, Settlement
from .._store import Right
from ._access import require, require_user
from ._context import NodeContext
from ._drafts import read_id
from ._events import confirmation, recorded_event_at
from ._failures import group_full, handler_failed
from ._group_requests import source_name
from ._groups import Groups
from ._leadership import is_answered
from ._running_group import RunningGroup
from ._unary import parse

_SETTLEMENTS: dict[int, Settlement] = {0: "retry", 1: "park", 2: "retry", 3: "skip", 4: "skip"}


def read_method(context: NodeContext, groups: Groups) -> AsyncHandler:
    """PersistentSubscriptions.Read."""

    async def run(call: ServerCall) -> None:
        try:
            first = await call.receive()
        except trio.EndOfChannel:
            return
        options = parse(ReadReq, first).options
        if options is None:
            raise handler_failed()
        stream = source_name(options.stream_identifier, options.all)
        require_user(call.caller)
        require(context, call.caller, Right.READ, stream)
        if options.buffer_size < 0 or options.uuid_option is None:
            raise handler_failed()
        if not is_answered(context.membership):
            await trio.sleep_forever()
        running = groups.get(stream, options.group_name)
        if running.group.is_full:
            raise group_full(stream, options.group_name)
        await _Consuming(call, running, options).run()

    return AsyncHandler(run)


class _Consuming:
    """The call of a consumer."""

    def __init__(self, call: ServerCall, running: RunningGroup, options: ReadReqOptions) -> None:
        assert options.uuid_option is not None
        self._call = call
        self._running = running
        self._encode = partial(recorded_event_at, text_id=options.uuid_option.string is not None)
        self._messages: deque[bytes] = deque()
        self._room = trio.Event()
        self._dropped = trio.Event()
        self._failure: Failure | None = None
        name = call.metadata.get("connection-name", "<unknown>")
        assert isinstance(name, str)
        caller = call.caller
        user = "system" if caller is None else caller.name or "anonymous"
        self.consumer = Consumer(options.buffer_size, self._deliver, name=name, user=user)

    async def run(self) -> None:
        """Serve the consumer until it leaves or is dropped."""
        self._call.post(confirmation(self._running.request.key))
        try:
            self._running.connect(self)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                nursery.start_soon(self._send_more)
                await self._dropped.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._running.disconnect(self)
        assert self._failure is not None
        raise self._failure

    def drop(self, failure: Failure) -> None:
        """End the call with this failure."""
        self._failure = failure
        self._dropped.set()

    # -- events ------------------------------------------------------------------------------------------------------

    def _deliver(self, item: Item) -> None:
        if len(self._messages) < self.consumer.size:
            self._messages.append(self._message(item))

    def post(self) -> None:
        """Send what there is, unless the consumer has still to take what was sent before."""
        if self._messages:
            if self._call.behind:
                self._room.set()
            else:
                self._call.post(*self._messages)
                self._messages.clear()

    async def _send_more(self) -> None:
        """Send what had to wait for the consumer."""
        while True:
            await self._room.wait()
            self._room = trio.Event()
            while self._messages:
                await self._call.send(self._messages.popleft())

    def _message(self, item: Item) -> bytes:
        record, target = item.candidate.record, item.candidate.target
        position = record.position
        content = b"" if target is None else field(0x0A, self._encode(target, position))
        if item.candidate.linked:
            content += field(0x12, self._encode(record, position))
        count = varint(item.retries)
        return field(0x0A, b"".join((content, b"\x18", varint(position), b"\x28", count)))

    # -- what the consumer says --------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        try:
            while True:
                self._heed(await self._call.receive())
        except trio.EndOfChannel:
            return
        except (Malformed, BadGuid, KeyError):
            return

    def _heed(self, request: bytes) -> None:
        ids: list[int] = []
        action, kind, reason = 0, 0, ""
        reader = FieldReader(request)
        for number, wire, start, end in reader.fields(0, len(request)):
            if wire != LENGTH or number not in (1, 2, 3):
                continue
            if number != kind:
                kind, ids, action, reason = number, [], 0, ""
            if number == 1:
                continue
            for part, form, at, stop in reader.fields(start, end):
                if part == 2 and form == LENGTH:
                    ids.append(read_id(request[at:stop]).value())
                elif part == 3 and form == VARINT:
                    action = at
                elif part == 4 and form == LENGTH:
                    reason = request[at:stop].decode("utf-8", "replace")
        if kind == 2:
            self._running.ack(ids)
        elif kind == 3:
            self._running.nack(ids, _SETTLEMENTS[action], reason)
        else:
            raise Malformed("neither an ack nor a nack")
