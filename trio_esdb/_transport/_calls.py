"""A client's calls as their owners see them.

Both kinds are the ``owner`` of their stream: the link tells them of messages and of the end, in its reader task. A call
and its stream know each other, so each forgets the other when the call is over: together they would be left to the
garbage collector.

A unary call is a task that waits. Nothing is between the two, so the response and the end of the call cost one wake-up.

A streaming call hands its messages on to a ``Sink`` as they come and keeps none. The sink gives the credit back with
``take``, which is what makes a consumer that stops stop the server. A call never outlives its connection; a sink may:
it can take the messages of one call after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import trio

from trio_esdb._wire import PREFIX_SIZE, Outcome, Status, Stream

from ._client_link import ClientLink, Headers
from ._overdue import OVERDUE, OverdueCalls

_MESSAGES_PER_TURN = 10_000
"""Request messages that are framed in one go; other tasks have their turn before the next ones."""
_HIGH_WATER = 64 * 1024
"""Bytes of a call that may wait for the server's window before ``send`` waits."""


@trio.lowlevel.enable_ki_protection
async def unary_call(
    link: ClientLink,
    headers: Headers,
    messages: Sequence[bytes],
    *,
    authorization: str | None = None,
    largest_reply: int | None = None,
    overdue: OverdueCalls | None = None,
    due: float = math.inf,
) -> tuple[bytes, Outcome]:
    """One call from beginning to end.

    The caller's cancel scope is the deadline: it is sent to the server, and when it passes the call is reset.

    Args:
        link: The connection, which must have room for a call.
        headers: The request headers, without a deadline.
        messages: The request messages.
        authorization: The value of the header of that name, which is sent without being remembered.
        largest_reply: The size in bytes of the largest response that is taken; None is the connection's limit.
        overdue: Gives the call up when it is due, which ends it with the outcome ``OVERDUE``.
        due: When that is, in seconds of trio's clock. The server is not told.

    Returns:
        The response, and how the call ended.

    Raises:
        HeadersTooLarge: The server would not take the headers; nothing was sent.
    """
    await trio.lowlevel.checkpoint_if_cancelled()  # what is cancelled already must not reach the server
    call = UnaryCall(link)
    deadline = trio.current_effective_deadline()
    whole = len(messages) <= _MESSAGES_PER_TURN
    stream = link.start(
        headers,
        messages if whole else messages[:_MESSAGES_PER_TURN],
        call,
        deadline,
        end=whole,
        authorization=authorization,
        receive_message=largest_reply,
    )
    if whole:
        return await call.run(stream, overdue, due)
    try:
        for at in range(_MESSAGES_PER_TURN, len(messages), _MESSAGES_PER_TURN):
            await trio.lowlevel.checkpoint()
            if call.outcome is not None and call.outcome.lost:  # the end of the request was never queued
                return b"", replace(call.outcome, unsent=True)
            following = at + _MESSAGES_PER_TURN
            link.send(stream, messages[at:following], end=following >= len(messages))
    except BaseException:
        link.reset(stream)
        raise
    return await call.run(stream, overdue, due)


class UnaryCall:
    """A call with one response: its owner waits for the end, and has both."""

    __slots__ = ("_link", "_replies", "_stream", "_waiter", "outcome", "reply")

    def __init__(self, link: ClientLink) -> None:
        self._link = link
        self._stream: Stream | None = None
        self._waiter: trio.lowlevel.Task | None = None
        self._replies = 0
        self.reply = b""
        self.outcome: Outcome | None = None

    @trio.lowlevel.enable_ki_protection
    async def run(
        self, stream: Stream, overdue: OverdueCalls | None = None, due: float = math.inf
    ) -> tuple[bytes, Outcome]:
        """Wait for the end of the call; cancelled, it is reset at once."""
        if self.outcome is None:
            self._stream = stream
            self._waiter = trio.lowlevel.current_task()
            if overdue is None:
                await trio.lowlevel.wait_task_rescheduled(self._abort)
            elif due < overdue.latest:  # it began before one that was sent sooner
                with trio.CancelScope(deadline=due):
                    await trio.lowlevel.wait_task_rescheduled(self._abort)
                if self.outcome is None:
                    self.outcome = OVERDUE
            else:
                overdue.latest = due
                overdue.calls[self] = due
                if not overdue.watching:
                    overdue.watch()
                try:
                    await trio.lowlevel.wait_task_rescheduled(self._abort)
                finally:
                    overdue.calls.pop(self, None)
        assert self.outcome is not None
        if self.outcome.ok and self._replies != 1:
            text = f"{self._replies} responses came to a call that has one"
            return b"", Outcome(Status.INTERNAL, text, self.outcome.trailers, local=True)
        return self.reply, self.outcome

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._waiter = None
        assert self._stream is not None
        self._link.reset(self._stream)
        self._stream = None
        return trio.lowlevel.Abort.SUCCEEDED

    @trio.lowlevel.enable_ki_protection
    def give_up(self, outcome: Outcome) -> None:
        """Reset the call, and let it end with this outcome."""
        if self._stream is not None:
            self._link.reset(self._stream)
            self.on_end(outcome)

    def on_messages(self, stream: Stream, messages: list[bytes]) -> None:
        """Responses came."""
        self._replies += len(messages)
        self.reply = messages[0]
        self._link.core.take(stream, sum(map(len, messages)) + PREFIX_SIZE * len(messages))

    def on_drained(self) -> None:
        """Never asked for: the requests are queued whole."""

    def on_draining(self) -> None:
        """The answer is to come before the connection is closed."""

    @trio.lowlevel.enable_ki_protection
    def on_end(self, outcome: Outcome) -> None:
        """The call is over."""
        self.outcome = outcome
        self._stream = None
        if self._waiter is not None:
            task, self._waiter = self._waiter, None
            trio.lowlevel.reschedule(task)


class Sink(Protocol):
    """Who receives what comes of streaming calls. The methods must neither wait nor raise."""

    @property
    def endless(self) -> bool:
        """Whether this is the call of a subscription."""

    def on_messages(self, messages: list[bytes]) -> None:
        """Responses came, all that one read of the connection brought."""

    def on_draining(self) -> None:
        """The server is about to close the connection of the call, which goes on until then.

        A call that never ends by itself is best replaced now by one on another connection. A node that shuts down
        serves its calls for about 5 s more, then it breaks the connection. Comes once at most, and before ``on_end``.
        The call may be closed in here.
        """

    def on_leader_moved(self) -> None:
        """The node of the call is not the leader any more. The call may be closed in here."""

    def on_end(self, outcome: Outcome) -> None:
        """The call is over; nothing more comes of it. Not called for a call that was closed here."""


class StreamingCall:
    """A call with any number of responses, which go to a sink, and any number of requests.

    Args:
        link: The connection, which must have room for a call.
        headers: The request headers, without a deadline.
        messages: The first request messages.
        sink: Who receives the responses.
        deadline: When the call's time is over, in seconds of trio's clock; it is sent to the server.
        end: Whether these are all requests. If not, there are ``send`` and ``half_close``.
        authorization: The value of the header of that name, which is sent without being remembered.

    Raises:
        HeadersTooLarge: The server would not take the headers; nothing was sent.
    """

    __slots__ = ("_half_closed", "_link", "_room", "_sink", "_stream", "address", "outcome")

    def __init__(
        self,
        link: ClientLink,
        headers: Headers,
        messages: Sequence[bytes],
        sink: Sink,
        *,
        deadline: float,
        end: bool = True,
        authorization: str | None = None,
    ) -> None:
        self.address = link.address
        """The address of the node that serves the call."""
        self.outcome: Outcome | None = None
        """How the call ended; None as long as it is open, and if it was closed here."""
        self._link = link
        self._sink: Sink | None = sink
        self._room: trio.Event | None = None
        self._half_closed = end
        self._stream: Stream | None = link.start(
            headers, messages, self, deadline, end=end, authorization=authorization
        )

    @property
    def endless(self) -> bool:
        """Whether this is the call of a subscription."""
        return self._sink is not None and self._sink.endless

    @property
    def answered(self) -> bool:
        """Whether the server answers: the headers of a large message come long before the message is whole.

        False once the call is over.
        """
        return self._stream is not None and self._stream.headers is not None

    @trio.lowlevel.enable_ki_protection
    def take(self, size: int) -> None:
        """The consumer took messages; the server may send as much again.

        Args:
            size: Bytes that the messages filled, with ``PREFIX_SIZE`` for each.
        """
        if self._stream is not None:
            core = self._link.core
            core.take(self._stream, size)
            if core.has_output:
                self._link.wake()

    @trio.lowlevel.enable_ki_protection
    async def send(self, *messages: bytes) -> None:
        """Send requests, and wait while more than a little of this call still waits for the server's window.

        The messages are queued before anything is waited for, so they are sent even if this is cancelled.

        Raises:
            trio.BrokenResourceError: The call has ended; ``outcome`` says how.
            trio.ClosedResourceError: The call was closed or half-closed here.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        stream = self._check_open()
        self._link.send(stream, messages)
        if stream.unsent <= _HIGH_WATER:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        stream.drain_wanted = True
        if self._room is None:
            self._room = trio.Event()
        await self._room.wait()
        if self._stream is None:
            raise self._ended()

    @trio.lowlevel.enable_ki_protection
    def post(self, *messages: bytes) -> None:
        """Queue requests without waiting, however many wait for the server's window. Not for an ended call."""
        if self._stream is not None:
            self._link.send(self._stream, messages)

    @trio.lowlevel.enable_ki_protection
    def before_sending(self, queue: Callable[[], None]) -> None:
        """Call this once when the connection is about to send: it may ``post`` what was gathered until then."""
        if self._stream is not None:
            self._link.before_sending(queue)

    @trio.lowlevel.enable_ki_protection
    def half_close(self) -> None:
        """Say that there are no more requests; responses go on. Never waits."""
        if not self._half_closed:
            stream = self._check_open()
            self._half_closed = True
            self._link.send(stream, (), end=True)

    def _check_open(self) -> Stream:
        if self._stream is None:
            raise self._ended()
        if self._half_closed:
            raise trio.ClosedResourceError("the call was half-closed: it takes no more requests")
        return self._stream

    def _ended(self) -> Exception:
        if self.outcome is None:
            return trio.ClosedResourceError("the call was closed")
        return trio.BrokenResourceError("the call has ended")

    @trio.lowlevel.enable_ki_protection
    def close(self) -> None:
        """End the call at once; if it is still open it is reset. Never waits."""
        self._sink = None
        if self._stream is not None:
            stream, self._stream = self._stream, None
            self._link.reset(stream)
            self.on_drained()

    def on_messages(self, stream: Stream, messages: list[bytes]) -> None:
        """Responses came."""
        if self._sink is not None:  # else they had been on their way
            self._sink.on_messages(messages)

    @trio.lowlevel.enable_ki_protection
    def on_drained(self) -> None:
        """There is room for more requests, or nobody needs to wait for it any more."""
        if self._room is not None:
            self._room.set()
            self._room = None

    def on_draining(self) -> None:
        """The connection is about to be closed."""
        if self._sink is not None:
            self._sink.on_draining()

    def leader_moved(self) -> None:
        """The node is not the leader any more."""
        if self._sink is not None:
            self._sink.on_leader_moved()

    def on_end(self, outcome: Outcome) -> None:
        """The call is over."""
        sink, self._sink = self._sink, None
        self.outcome = outcome
        self._stream = None
        self.on_drained()
        if sink is not None:
            sink.on_end(outcome)
