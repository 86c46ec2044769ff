"""One consumer of a group, whichever calls it is made by: what it gets, what it says, and how it ends.

Acks and refusals are gathered, and written when the connection is about to send anyway. So many acks cost one message,
and none waits longer than the tasks that run now.

Proof. A server never answers an ack. What comes last is lost if the call is reset with it, and neither a pause nor a
PING proves that the server has read it. GetInfo does: for each consumer, which has a connection name of its own, the
server counts the events that it has sent and those that are still in flight. The difference is the number of events
that were settled, and it tells of acks that came before the question. ``flush`` asks until that number has reached what
was settled here. Events that time out are settled too, so the number of a consumer that is too slow is too high.

Another call. If the server ends the call, the next task that wants an event opens another one, as the policy for
trouble says. Events of the old call that were not settled come again, with a higher ``retry_count``; those that wait
here are dropped. An ack of an event of the old call is sent on the new one: the server takes it if the event is in
flight.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
from collections.abc import Sequence
from typing import NoReturn

import trio

from trio_esdb._cluster import Sent, Session
from trio_esdb._convert import Confirmation
from trio_esdb._convert._deliveries import ack_requests, nack_requests, read_deliveries
from trio_esdb._errors import (
    AccessDeniedError,
    ESDBError,
    InvalidArgumentError,
    ProtocolError,
    ServerError,
    UnavailableError,
)
from trio_esdb._model import CallResumed, GroupEvent, NackAction
from trio_esdb._model._events import settle
from trio_esdb._rpc import Attempts, CallKind, Method, Operation, Trouble, error_from, trouble_of
from trio_esdb._transport import StreamingCall
from trio_esdb._wire import PREFIX_SIZE, Outcome

_log = logging.getLogger("trio_esdb")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 1.0
"""Seconds between questions for proof: the first pause, which doubles up to the longest."""
_MOST_GATHERED = 500
"""Acks that are gathered before they are written in any case."""


class Delivering:
    """A call of a consumer, as the sink of its messages."""

    def __init__(self, consumer: Consumer, name: str) -> None:
        self.name = name
        """The connection name by which the server tells of it."""
        self.call: StreamingCall | None = None
        self.sent: Sent | None = None
        self.settled = 0
        """How many of its events were acked or refused."""
        self.proved = 0
        """How many of these the server has certainly taken."""
        self.confirmed = False
        self.failure: ServerError | None = None
        """What is wrong with the call, if that was found here."""
        self.trouble = Trouble.FINAL
        """What kind of trouble it is."""
        self.outcome: Outcome | None = None
        self.draining = False
        self.changed = trio.Event()
        """Set when the first message has come, or the call is over."""
        self.owner = consumer
        self._consumer: Consumer | None = consumer

    @property
    def is_open(self) -> bool:
        """Whether the server can be told something."""
        return self.confirmed and self.outcome is None and self.failure is None

    def on_messages(self, messages: list[bytes]) -> None:
        """Responses came."""
        if self._consumer is not None:
            self._consumer.receive(self, messages)

    @property
    def endless(self) -> bool:
        """The call never ends by itself."""
        return True

    def on_leader_moved(self) -> None:
        """Another node leads now, and has the group. What this one has been told may be lost."""
        if self.failure is None and self.outcome is None:
            text = "another node leads now"
            operation = self.owner.operation
            self.failure = operation.error(UnavailableError, text, call_address(self), status="UNAVAILABLE")
            self.trouble = Trouble.DROPPED
            self.owner.call_somebody()

    def on_draining(self) -> None:
        """The node will soon end the call."""
        if self._consumer is not None and self._consumer.moves:
            self.draining = True
            self._consumer.call_somebody()

    def on_end(self, outcome: Outcome) -> None:
        """The call is over."""
        self.outcome = outcome
        self.changed.set()
        if self._consumer is not None:
            self._consumer.ready.clear()
            self._consumer.call_somebody()

    def close(self) -> None:
        """Reset the call if it is open; nothing more comes of it."""
        self._consumer = None
        if self.call is not None:
            self.call.close()


Batch = tuple[Delivering | None, list[bytes]]
"""Messages and the call that brought them. Without a call it only wakes a task."""
_open_channel = trio.open_memory_channel[Batch]


class Consumer:
    """A consumer of a group.

    Args:
        session: Where its calls are opened.
        operation: The call.
        info: The question for the state of the group, encoded.
        name: What its connection names begin with.
        reconnect: Whether another call is opened when the server has ended one.
        grace: Seconds that leaving may take, and that acks are given where the server proves nothing.
    """

    def __init__(
        self, session: Session, operation: Operation, info: bytes, name: str, *, reconnect: bool, grace: float
    ) -> None:
        self.operation = operation
        self.ready: list[GroupEvent | ProtocolError] = []
        """Events that were drawn, in reverse order."""
        self.over = False
        self.stopping = False
        """Whether no further event is handed out."""
        self.reconnections = 0
        self.grace = grace
        self.incoming: trio.MemorySendChannel[Batch]
        self.batches: trio.MemoryReceiveChannel[Batch]
        self.incoming, self.batches = _open_channel(math.inf)
        self.current: Delivering | None = None
        self.end: Exception | None = None
        self.ended_event = trio.Event()
        """Set when no further event is handed out."""
        self._session = session
        self._info = info
        self._name = name
        self._calls = 0
        self._reconnect = reconnect
        self.moves = reconnect and session.repeats(operation)
        """Whether it leaves a node that shuts down before that has ended the call."""
        self._attempts: Attempts | None = None
        self._not_before = -math.inf
        self._cause: ServerError | None = None
        self._lock = trio.Lock()
        self._acks: list[bytes] = []
        self._refusals: dict[tuple[NackAction, str], list[bytes]] = {}
        self._told = False
        """Whether the connection calls ``_write`` before it sends."""
        self._proof_denied = False

    # -- events ------------------------------------------------------------------------------------------------------

    def receive(self, call: Delivering, messages: list[bytes]) -> None:
        """Messages came. Each waiting task gets a single one, so that several waiting tasks share what comes."""
        call.changed.set()
        if not call.confirmed:
            messages = self._confirm(call, messages)
        if not self._takes:
            return
        put = self.incoming.send_nowait
        hungry = min(len(messages), self.incoming.statistics().tasks_waiting_receive) if len(messages) > 1 else 0
        for message in messages[:hungry]:
            put((call, [message]))
        if len(messages) > hungry:
            put((call, messages[hungry:]))

    @property
    def _takes(self) -> bool:
        return not self.over and self.end is None

    def draw(self, item: Batch) -> None:
        """Make the events of a batch ready."""
        call, messages = item
        if call is None or not call.is_open:
            return  # what a call has brought that is over will come again
        if call.call is not None:
            call.call.take(sum(map(len, messages)) + PREFIX_SIZE * len(messages))
        for found in reversed(read_deliveries(self._session.decoder, messages, call)):
            if isinstance(found, GroupEvent | ProtocolError):
                self.ready.append(found)
        self._tell_events()

    def _tell_events(self) -> None:
        instruments, call = self._session.instruments, self.operation.call
        if call is not None and instruments.wants_events:
            for event in reversed(self.ready):
                if isinstance(event, GroupEvent):
                    instruments.tell("event_received", call, event)

    def call_somebody(self) -> None:
        """Wake a task that waits, or the next one that will: the call needs to be looked after."""
        if self._takes:
            self.incoming.send_nowait((None, []))

    @property
    def unsettled(self) -> bool:
        """Whether somebody must look after the call before events can be waited for."""
        call = self.current
        return call is None or not call.is_open or call.draining

    # -- settling ----------------------------------------------------------------------------------------------------

    def ack(self, events: Sequence[GroupEvent]) -> None:
        """See ``GroupChannel.ack``."""
        self._check(events)
        for event in events:
            id, call = event._ack_id, event._call
            assert id is not None
            settle(event, None)
            call.settled += 1
            self._acks.append(id)
        self._gathered()

    def ack_one(self, event: GroupEvent) -> None:
        """The same for one event: this is done for each, so it is as short as it can be."""
        id, call = event._ack_id, event._call
        if id is None or self.over or call.owner is not self:
            self._check((event,))
            raise AssertionError("an event that can be acked was not acked")  # pragma: no cover
        settle(event, None)
        call.settled += 1
        acks = self._acks
        acks.append(id)
        if not self._told or len(acks) >= _MOST_GATHERED:
            self._gathered()

    def nack(self, events: Sequence[GroupEvent], action: NackAction, reason: str) -> None:
        """See ``GroupChannel.nack``."""
        self._check(events)
        refused = self._refusals.setdefault((action, reason), [])
        for event in events:
            id, call = event._ack_id, event._call
            assert id is not None
            settle(event, None)
            call.settled += 1
            refused.append(id)
        self._gathered()

    def _check(self, events: Sequence[GroupEvent]) -> None:
        if self.over:
            raise self.ended()
        seen: set[int] = set()
        for event in events:
            if event._call is None or event._call.owner is not self:
                raise InvalidArgumentError("this event came from another consumer, which has to ack or refuse it")
            if event._ack_id is None or id(event) in seen:
                raise InvalidArgumentError(
                    f"event {event.id} was acked or refused before; that can be done once for each delivery"
                )
            seen.add(id(event))

    def _gathered(self) -> None:
        if len(self._acks) >= _MOST_GATHERED:
            self.write()
        elif not self._told and self.current is not None and self.current.call is not None:
            self._told = True
            self.current.call.before_sending(self._write_late)

    def _write_late(self) -> None:
        self._told = False
        self.write()

    def write(self) -> None:
        """Queue what was gathered, if there is a call for it."""
        call = self.current
        if call is None or not call.is_open or call.call is None:
            return
        if self._acks:
            acks, self._acks = self._acks, []
            call.call.post(*ack_requests(acks))
        if self._refusals:
            refusals, self._refusals = self._refusals, {}
            for (action, reason), ids in refusals.items():
                call.call.post(*nack_requests(ids, action, reason))

    # -- proof -------------------------------------------------------------------------------------------------------

    @property
    def unproved(self) -> int:
        """How many events of the present call were settled without proof that the server knows it."""
        return 0 if self.current is None else self.current.settled - self.current.proved

    async def flush(self) -> None:
        """See ``GroupChannel.flush``."""
        self.write()
        call = self.current
        if call is None or not self.unproved:
            await trio.lowlevel.checkpoint()
            return
        target, pause = call.settled, _FIRST_PAUSE
        while call.proved < target:
            if not call.is_open:
                await trio.lowlevel.checkpoint()
                raise self._lost(call)
            if self._proof_denied:
                await self._give_time(call)
                call.proved = target
            elif await self._ask(call) >= target:
                call.proved = target
            elif not self._proof_denied:
                await self._session.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _give_time(self, call: Delivering) -> None:
        """Where the server proves nothing: a PING behind the acks, and ``grace``. Whatever comes answers the PING."""
        assert call.sent is not None
        link, began = call.sent.link, trio.current_time()
        link.core.ask_for_life()
        link.wake()
        await self._session.wait(self.grace)
        if not call.is_open or link.core.heard_at < began:
            raise self._lost(call)

    async def _ask(self, call: Delivering) -> int:
        """How many events of this call the server counts as settled."""
        from trio_esdb._convert._groups import INFO_LIMIT, info_response  # only who leaves or flushes needs it

        where = self.operation.stream_name
        question = Operation(
            Method.GROUP_INFO,
            [self._info],
            f"flushing ({self.operation.doing})",
            CallKind.UNARY_READ,
            where,
            retry=self.operation.retry,
            credentials=self.operation.credentials,
            leader=True,
            largest_reply=INFO_LIMIT,
        )
        try:
            info = question.understood(info_response, await self._session.run(question))
        except AccessDeniedError:
            self._proof_denied = True
            return -1
        for consumer in info.consumers:
            if consumer.connection_name == call.name:
                return consumer.total_items - consumer.in_flight_messages
        if call.outcome is None and call.failure is None:
            call.failure = self.operation.error(
                UnavailableError, "the server does not know this consumer any more", call_address(call), status="OK"
            )
            call.trouble = Trouble.LOST
            self.call_somebody()
        return -1

    def _lost(self, call: Delivering) -> ServerError:
        lost = call.settled - call.proved
        text = (
            f"the connection of the consumer was lost, and {lost} acks and refusals are not proved; "
            "events whose ack the server has not taken come again"
        )
        return self.operation.error(UnavailableError, text, call_address(call), status="UNAVAILABLE")

    async def begin(self, timeout: float | None) -> None:
        """Connect for the first time.

        Args:
            timeout: Seconds in which that must be done; None is the client's default deadline.

        Raises:
            DeadlineExceededError: It was not done in time.
            ServerError: As for ``go_on``.
        """
        limit = self._session.options.default_deadline if timeout is None else timeout
        with trio.CancelScope(deadline=trio.current_time() + limit):
            await self.go_on()
            return
        raise (self._attempts or self.operation).overdue(self._session.nodes.address)

    # -- calls -------------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def go_on(self) -> None:
        """Return when there is a call that delivers. Only one task does something for that.

        Raises:
            ServerError: There is none, and there will be none.
            trio.ClosedResourceError: The consumer or the client was closed.
        """
        try:
            async with self._lock:
                while self.unsettled and self.end is None and not self.over:
                    await self._next_call()
        except BaseException:
            if self.unsettled and self.incoming.statistics().tasks_waiting_receive:
                self.call_somebody()
            raise
        if self.over or self.end is not None:
            self.raise_end()

    async def _next_call(self) -> None:
        """Look after the end of the call, then make one attempt to open the next one."""
        call = self.current
        if call is not None and (call.failure is not None or call.outcome is not None):
            self._judge(call)
            return
        if call is not None and call.draining:
            await self._leave_node(call)
            return
        left = self._not_before - trio.current_time()
        if left > 0:
            await self._session.wait(left)
        if self._session.closed:
            await trio.lowlevel.checkpoint()
            raise trio.ClosedResourceError("the client was closed")
        try:
            await self._open()
        except ServerError as exc:
            trouble = trouble_of(None, exc) if isinstance(exc, UnavailableError) else Trouble.FINAL
            self._failed(exc, trouble, None, None)

    async def _open(self) -> None:
        self._calls += 1
        call = Delivering(self, f"{self._name}-{self._calls}")
        operation = self.operation._replace(consumer_name=call.name)
        call.call, call.sent = await self._session.open(operation, call, math.inf)
        self.current = call
        self._told = False
        patience = self._session.options.timeouts.first_answer
        try:
            with trio.move_on_after(patience):
                await call.changed.wait()
        except BaseException:
            self._drop(call)
            raise
        if not call.changed.is_set():
            text = f"the server did not confirm the consumer within {patience:g} seconds (timeouts.first_answer)"
            error = self.operation.error(UnavailableError, text, call_address(call), status="UNAVAILABLE")
            self._drop(call)
            self._failed(error, Trouble.NO_FIRST_ANSWER, call.sent, None)
        elif call.confirmed:
            self._begun(call)

    def _confirm(self, call: Delivering, messages: list[bytes]) -> list[bytes]:
        """Look at the first message of a call. Returns the others."""
        (first,) = read_deliveries(self._session.decoder, messages[:1], call)
        if isinstance(first, Confirmation):
            call.confirmed = True
            return messages[1:]
        text = str(first) if isinstance(first, ProtocolError) else "the server did not confirm the consumer first"
        call.failure = self.operation.error(ProtocolError, text, call_address(call), status="INTERNAL")
        return []

    def _begun(self, call: Delivering) -> None:
        if self._attempts is not None:
            self._attempts.confirmed()
        cause, self._cause = self._cause, None
        if cause is not None:
            self.reconnections += 1
            self._session.options.observer.emit(
                CallResumed(
                    address=call_address(call),
                    method=self.operation.method.value,
                    doing=self.operation.doing,
                    cause=str(cause),
                )
            )
        self.write()

    def _drop(self, call: Delivering) -> None:
        """Let a call go, with the events that wait; they come again."""
        call.close()
        if self.current is call:
            self.current = None
        self.ready.clear()

    async def _leave_node(self, call: Delivering) -> None:
        """The node is about to end: tell it all that was said, then connect to another one."""
        text = "the node is about to close the connection"
        self._cause = self.operation.error(UnavailableError, text, call_address(call), status="UNAVAILABLE")
        with trio.move_on_after(self.grace), contextlib.suppress(ServerError):
            await self.flush()
        self._drop(call)
        self._attempt_made().progress()

    def _judge(self, call: Delivering) -> None:
        """Decide what the end of a call means."""
        outcome, error = call.outcome, call.failure
        if error is None:
            assert outcome is not None
            if outcome.ok:
                error = self.operation.error(
                    UnavailableError, "the server ended the subscription", call_address(call), status="OK"
                )
            else:
                error = error_from(self.operation, outcome, call_address(call))
        trouble = call.trouble if outcome is None else trouble_of(outcome, error)
        delivered = call.settled > 0
        self._drop(call)
        self._failed(error, trouble, call.sent, outcome, progress=delivered, begun=call.confirmed)

    def _failed(
        self,
        error: ServerError,
        trouble: Trouble,
        sent: Sent | None,
        outcome: Outcome | None,
        *,
        progress: bool = False,
        begun: bool = False,
    ) -> None:
        """Decide whether there is another call, and when."""
        if self._session.closed:
            self.finish(trio.ClosedResourceError("the client was closed"))
            return
        if begun and not self._reconnect:
            self.finish(error)
            return
        attempts = self._attempt_made()
        if progress:
            attempts.progress()
        attempts.sent = sent
        try:
            delay = attempts.failed(error, trouble, outcome)
        except ServerError as exc:
            self.finish(exc)
            return
        self._not_before = trio.current_time() + delay
        if begun:
            self._cause = error

    def _attempt_made(self) -> Attempts:
        if self._attempts is None:
            self._attempts = self._session.attempts(self.operation)
        return self._attempts

    # -- ends --------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Hand out no more events."""
        if not self.stopping:
            self.stopping = True
            self.ready.clear()
            self.finish(trio.EndOfChannel())

    def finish(self, error: Exception) -> None:
        """Give nothing more but this error."""
        if self.end is None:
            self.end = error
        self.incoming.close()
        self.ended_event.set()

    async def leave(self) -> None:
        """Tell the server what was said, see that it has taken it, and end the call. Bounded by ``grace``."""
        self.stop()
        try:
            if self.unproved and self.current is not None and self.current.is_open:
                with trio.CancelScope(deadline=trio.current_time() + self.grace, shield=True) as scope:
                    try:
                        await self.flush()
                    except (ESDBError, trio.ClosedResourceError) as exc:
                        self._tell_unproved(str(exc))
                if scope.cancelled_caught:
                    self._tell_unproved(f"the server did not tell within {self.grace:g} seconds (grace)")
        finally:
            self.close()

    def _tell_unproved(self, why: str) -> None:
        _log.warning("%s: %d acks and refusals are not proved: %s", self.operation.doing, self.unproved, why)

    def close(self) -> None:
        """Reset the call at once."""
        self.over = True
        self.ended_event.set()
        self.ready.clear()
        self.incoming.close()
        if self.current is not None:
            self.current.close()
            self.current = None

    def ended(self) -> Exception:
        """The exception that a receiver gets after the last event. Each gets one of its own."""
        end = self.end
        if end is None or (self.over and type(end) is trio.EndOfChannel):
            return trio.ClosedResourceError(
                "the client was closed" if self._session.closed else "this consumer was closed"
            )
        if type(end) is trio.EndOfChannel:
            return trio.EndOfChannel()
        again = copy.copy(end)
        again.__cause__ = end.__cause__
        return again

    def raise_end(self) -> NoReturn:
        """Raise what a receiver gets after the last event."""
        end = self.ended()
        try:
            raise end from end.__cause__
        finally:
            del end  # the error knows this frame


def call_address(call: Delivering) -> str:
    """The address of the node that serves a call."""
    return "" if call.call is None else call.call.address
