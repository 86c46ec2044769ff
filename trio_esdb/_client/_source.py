"""One call of a feed, as the sink of that call.

The call of a read is the feed's from its beginning. That of a subscription has begun when the server has confirmed it.
Until then an ``Opening`` keeps what comes, so that the call before it may go on meanwhile, and so that nobody else
takes the confirmation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import trio

from trio_esdb._cluster import Sent
from trio_esdb._transport import StreamingCall
from trio_esdb._wire import PREFIX_SIZE, Outcome

from ._position import Place


class Receiver(Protocol):
    """Who takes what comes of a call. The methods must neither wait nor raise."""

    @property
    def endless(self) -> bool:
        """Whether it is the call of a subscription."""

    def receive(self, source: Source, messages: list[bytes]) -> None:
        """Responses came."""

    def call_is_draining(self) -> None:
        """The node will soon end the call."""

    def leader_moved(self) -> None:
        """The node of the call is not the leader any more."""

    def call_ended(self, outcome: Outcome) -> None:
        """The call is over."""


class Source:
    """One call of a feed.

    Args:
        receiver: Who takes what comes.
        start: The place of what had been drawn when the call was opened.
    """

    __slots__ = ("call", "floor", "kept", "receiver", "sent", "start")

    def __init__(self, receiver: Receiver, start: Place | None) -> None:
        self.receiver: Receiver | None = receiver
        self.call: StreamingCall | None = None
        self.sent: Sent | None = None
        """Where it was sent, and for whom."""
        self.kept: float = math.inf
        """The highest number of its batches that is not dropped."""
        self.start = start
        self.floor: Place | None = None
        """Messages up to this place are dropped; None if none can come."""

    @property
    def address(self) -> str:
        """The address of the node that serves the call."""
        return "" if self.call is None else self.call.address

    @property
    def endless(self) -> bool:
        """Whether it is the call of a subscription."""
        return self.receiver is not None and self.receiver.endless

    @property
    def answered(self) -> bool:
        """Whether an answer has begun. On a slow line it takes long until a large message is whole."""
        return self.call is not None and self.call.answered

    def on_messages(self, messages: list[bytes]) -> None:
        """Responses came."""
        if self.receiver is not None:
            self.receiver.receive(self, messages)

    def on_draining(self) -> None:
        """The node will soon end the call."""
        if self.receiver is not None:
            self.receiver.call_is_draining()

    def on_leader_moved(self) -> None:
        """The node of the call is not the leader any more."""
        if self.receiver is not None:
            self.receiver.leader_moved()

    def on_end(self, outcome: Outcome) -> None:
        """The call is over."""
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.call_ended(outcome)

    def take(self, batch: Sequence[bytes]) -> None:
        """Give the server credit for a batch."""
        if self.call is not None:
            self.call.take(sum(map(len, batch)) + PREFIX_SIZE * len(batch))

    def close(self) -> None:
        """Reset the call if it is still open; nothing more comes of it."""
        self.receiver = None
        if self.call is not None:
            self.call.close()


class Opening:
    """A call that has not begun: keeps what comes of it."""

    __slots__ = ("answered", "draining", "follower", "messages", "outcome")
    endless = True
    """Only subscriptions are confirmed."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.draining = False
        """Whether the node will soon end it."""
        self.follower = False
        """Whether the node is not the leader any more."""
        self.outcome: Outcome | None = None
        """How it ended, if it did."""
        self.answered = trio.Event()
        """Set when something has come, or the call is over."""

    def receive(self, source: Source, messages: list[bytes]) -> None:
        """Responses came."""
        self.messages += messages
        self.answered.set()

    def call_is_draining(self) -> None:
        """The node will soon end the call. That can be moved when it has begun."""
        self.draining = True

    def leader_moved(self) -> None:
        """The node is not the leader any more. It may be that it does not confirm the call; then that is enough."""
        self.follower = True

    def call_ended(self, outcome: Outcome) -> None:
        """The call is over."""
        self.outcome = outcome
        self.answered.set()
