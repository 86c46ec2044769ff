"""A client's calls as their owners see them."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import trio

from trio_esdb._wire import PREFIX_SIZE, Outcome, Status, Stream

if TYPE_CHECKING:
    from ._client import ClientLink

_BATCH_SIZE = 64
"""Messages in a batch, at most: so many are handed over in one go."""


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

    async def run(self, stream: Stream) -> tuple[bytes, Outcome]:
        """Wait for the end of the call; cancelled, it is reset at once."""
        if self.outcome is None:
            self._stream = stream
            self._waiter = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
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

    def on_messages(self, stream: Stream, messages: list[bytes]) -> None:
        """Responses came."""
        self._replies += len(messages)
        self.reply = messages[0]
        self._link.core.take(stream, sum(map(len, messages)) + PREFIX_SIZE * len(messages))

    def on_end(self, outcome: Outcome) -> None:
        """The call is over."""
        self.outcome = outcome
        self._stream = None  # which knows its owner: together they would be left to the garbage collector
        if self._waiter is not None:
            task, self._waiter = self._waiter, None
            trio.lowlevel.reschedule(task)


class StreamingCall:
    """A call with any number of responses, in a memory channel of batches, which are lists of messages.

    The channel itself has no limit, but no more gets into it than the call's receive window admits, and that opens
    only as batches are drawn: tell each with ``drawn``. Whoever waits for a batch is given a single message, so that
    several who wait share what comes.
    """

    __slots__ = ("_incoming", "_link", "_stream", "batches", "outcome", "waiting")

    def __init__(self, link: ClientLink) -> None:
        self._incoming, self.batches = trio.open_memory_channel[list[bytes]](math.inf)
        self._link = link
        self._stream: Stream | None = None
        self.waiting = 0
        """How many messages are in the channel."""
        self.outcome: Outcome | None = None
        """How the call ended; None while it goes on."""

    @property
    def address(self) -> str:
        """The address of the node that serves the call."""
        return self._link.address

    def started(self, stream: Stream) -> None:
        """The call has its place on the connection."""
        self._stream = stream

    def drawn(self, batch: list[bytes]) -> None:
        """The consumer takes this batch now; the server may send as much again.

        A batch came with one read of the connection. So what its consumer has not seen when the server sends more is
        no larger than that: a message that came in parts is the first of its batch.
        """
        self.waiting -= len(batch)
        if self._stream is not None:
            core = self._link.core
            core.take(self._stream, sum(map(len, batch)) + PREFIX_SIZE * len(batch))
            if core.has_output:
                self._link.wake()

    def close(self) -> None:
        """End the call at once and drop what came; a call that is still open is reset. Never waits."""
        self._incoming.close()
        with contextlib.suppress(trio.EndOfChannel):
            while True:
                self.batches.receive_nowait()
        self.waiting = 0
        if self._stream is not None:
            self._link.reset(self._stream)
            self._stream = None

    def on_messages(self, stream: Stream, messages: list[bytes]) -> None:
        """Responses came."""
        put = self._incoming.send_nowait
        hungry = 0
        if len(messages) > 1:
            hungry = min(len(messages), self._incoming.statistics().tasks_waiting_receive)
        try:
            for message in messages[:hungry]:
                put([message])
            for at in range(hungry, len(messages), _BATCH_SIZE):
                put(messages[at : at + _BATCH_SIZE])
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return  # closed, and these had been on their way
        self.waiting += len(messages)

    def on_end(self, outcome: Outcome) -> None:
        """The call is over: after the messages that came, the channel ends."""
        self.outcome = outcome
        self._stream = None  # as above
        self._incoming.close()
