"""The messages that a read or subscription has received, and how far they have been drawn.

Batches go through a memory channel, so trio decides which of several waiting tasks gets the next one. A batch is in one
of three places:

- in the memory channel's buffer: nobody has it yet;
- given to a task that waited, which has not run since: that task will draw it;
- drawn: its messages are decoded and are in ``ready``, from which all channels of the feed take.

A task that was given a batch runs only later, and another task may draw the following batch before it. Therefore each
batch has a number. ``place`` is that of the message that has been drawn with the highest number, of those that have a
place: a batch that tells none, such as CaughtUp alone, says nothing of the batches before it. When a call is replaced,
the new call begins after ``place``. Batches of the old call with a higher number are then dropped wherever they are,
because the new call brings their messages again. Those with a lower number are kept.

Credit is given back to the server when a batch is drawn. A batch came with one read of the connection, so what the
consumer has not seen when the server sends more is no larger than that.
"""

from __future__ import annotations

import contextlib
import math

import trio

from trio_esdb._cluster import Session
from trio_esdb._convert import NO_LIMIT, ReadResponse
from trio_esdb._errors import ProtocolError
from trio_esdb._model import RecordedEvent, Resumed
from trio_esdb._observing import CallInfo
from trio_esdb._wire import Outcome

from ._position import Place, ReadOptions
from ._source import Source

_BATCH_SIZE = 64
"""The largest number of messages in a batch."""

Batch = tuple[Source | None, int, list[bytes]]
"""A batch in the memory channel: its call, its number, its messages. One without a call only wakes a task."""

_TIME_TO_MOVE = 0.25
"""Seconds that a message waits while a call is being moved. To find another node can take longer than that."""

_open_channel = trio.open_memory_channel[Batch]


class Batches:
    """What was received, from the calls of one read or subscription.

    Args:
        session: Who decodes.
        options: What is read.
        call: The call as instruments know it; None if there are none.
        deadline: When the timeout passes, in seconds of trio's clock.
    """

    # One for each subscription, and there can be many: an instance with so many attributes and a dict is six times
    # as large.
    __slots__ = (
        "_call",
        "_incoming",
        "_last_drawn",
        "_limit",
        "_options",
        "_received",
        "_session",
        "batches",
        "deadline",
        "given",
        "moving",
        "place",
        "ready",
        "wait_until",
        "waiting",
    )

    def __init__(self, session: Session, options: ReadOptions, call: CallInfo | None, deadline: float) -> None:
        self.deadline = deadline
        """When the timeout passes, in seconds of trio's clock."""
        self.wait_until = deadline
        """When a task that waits must look what is the matter: the deadline, or earlier if a first answer is due."""
        self.place: Place | None = options.position if options.limit is None else None
        """The place of the event or checkpoint that was drawn last: a new call goes on after it."""
        self.given = 0
        """How many events were drawn; counted only if there is a limit."""
        self.ready: list[ReadResponse | ProtocolError | Resumed] = []
        """Messages that were drawn and are to be given to the next receiver, in reverse order."""
        self.waiting = 0
        """How many messages were received and not drawn."""
        self._incoming: trio.MemorySendChannel[Batch]
        self.batches: trio.MemoryReceiveChannel[Batch]
        self._incoming, self.batches = _open_channel(math.inf)
        self.moving: trio.CancelScope | None = None
        """The attempt to open another call while this one goes on. It makes way for what comes meanwhile."""
        self._session = session
        self._options = options
        self._call = call
        self._limit = options.limit if options.limit != NO_LIMIT else None
        self._received = 0
        self._last_drawn = 0

    def receive(self, source: Source, messages: list[bytes]) -> None:
        """Messages came. Each waiting task gets a single one, so that several waiting tasks share what comes."""
        put, number = self._incoming.send_nowait, self._received
        hungry = 0
        if len(messages) > 1:
            hungry = min(len(messages), self._incoming.statistics().tasks_waiting_receive)
        for message in messages[:hungry]:
            number += 1
            put((source, number, [message]))
        for at in range(hungry, len(messages), _BATCH_SIZE):
            number += 1
            put((source, number, messages[at : at + _BATCH_SIZE]))
        self._received = number
        self.waiting += len(messages)
        if self.wait_until != self.deadline:
            self._expect_no_answer()
        if self.moving is not None:
            self.moving.deadline = min(self.moving.deadline, trio.current_time() + _TIME_TO_MOVE)

    def _expect_answer(self, seconds: float) -> None:
        """The first answer is due then, or a task that waits must look what is the matter."""
        due = trio.current_time() + seconds
        if due < self.deadline:
            self.wait_until = due
            expected = self._session.first_answers
            expected.calls[self] = due
            if not expected.watching:
                expected.watch()

    def _expect_no_answer(self) -> None:
        """The first answer has come, or will not."""
        if self.wait_until != self.deadline:
            self.wait_until = self.deadline
            self._session.first_answers.calls.pop(self, None)

    def give_up(self, outcome: Outcome) -> None:
        """The first answer has not come in time: wake a task that waits, or the next one finds out."""
        if self._incoming.statistics().tasks_waiting_receive:
            self._incoming.send_nowait((None, 0, []))

    def draw(self, item: Batch) -> None:
        """Make a batch from the memory channel ready.

        What is ready already came later: the batch was a single message, given to a task that had waited.
        """
        source, number, batch = item
        if source is None:
            return
        self.waiting -= len(batch)
        if number > source.kept:
            return
        source.take(batch)
        responses = self._session.decoder.read_responses(batch)
        if source.floor is not None:
            responses = self._options.later(source.floor, responses)
        if self._limit is not None:
            self._count(responses)
        if number > self._last_drawn:
            place = self._options.last_place(responses)
            if place is not None:
                self._last_drawn = number
                if self.place is None or place > self.place or self._options.backwards:
                    self.place = place
        if self._call is not None:
            self._tell_events(self._call, responses)
        responses.reverse()
        self.ready += responses

    def _tell_events(self, call: CallInfo, responses: list[ReadResponse | ProtocolError]) -> None:
        instruments = self._session.instruments
        if instruments.wants_events:
            for response in responses:
                if isinstance(response, RecordedEvent):
                    instruments.tell("event_received", call, response)

    def _count(self, responses: list[ReadResponse | ProtocolError]) -> None:
        """Count events, and drop those beyond the limit.

        A read that goes on asks for one more event than are left, because the first one is given again.
        """
        assert self._limit is not None
        for at, response in enumerate(responses):
            if type(response) is RecordedEvent:
                if self.given == self._limit:
                    del responses[at:]
                    return
                self.given += 1

    def _drop_waiting(self) -> None:
        """Empty the memory channel's buffer."""
        with contextlib.suppress(trio.EndOfChannel, trio.WouldBlock):
            while True:
                _, _, batch = self.batches.receive_nowait()
                self.waiting -= len(batch)
