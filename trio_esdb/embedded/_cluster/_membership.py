"""What the services of a node in a cluster ask: who it is, who leads, and the leader to make a write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import trio

from .._services._membership import Member, Membership
from .._store import Write, Written, WrongExpectation
from ._peer import Peer


class Forward(NamedTuple):
    """A node asks the leader to make a write."""

    sender: int
    request: int
    write: Write


class Forwarded(NamedTuple):
    """The leader's answer: the outcome, or what was raised."""

    request: int
    outcome: Written | WrongExpectation | Exception


class ClusterMembership(Membership):
    """The membership of a node in a cluster.

    Args:
        peer: The node's process.
        address: The host and port that clients are told.
        now: The node's clock, in ticks since the Unix epoch.
        addresses: Host and port of each node.
    """

    is_single = False

    def __init__(
        self,
        peer: Peer,
        address: tuple[str, int],
        now: Callable[[], int],
        addresses: dict[int, tuple[str, int]],
    ) -> None:
        super().__init__(peer.instance, address, now)
        self.state = peer.state
        self._peer = peer
        self._addresses = addresses
        self._requests = 0
        self._answers: dict[int, trio.Event | Forwarded] = {}

    @property
    def leader(self) -> tuple[str, int] | None:
        """See ``Membership``."""
        leader = self._peer.leader
        return None if leader is None else self._addresses[leader]

    def members(self) -> Sequence[Member]:
        """See ``Membership``."""
        return self._peer.members()

    def resign(self) -> None:
        """See ``Membership``."""
        self._peer.resign()

    def set_priority(self, value: int) -> None:
        """See ``Membership``."""
        self._peer.priority = value

    @trio.lowlevel.enable_ki_protection
    async def forward(self, write: Write) -> Written | WrongExpectation:
        """See ``Membership``."""
        leader = self._peer.leader
        if leader is None:
            await trio.sleep_forever()
            raise AssertionError
        self._requests += 1
        request = self._requests
        self._answers[request] = answered = trio.Event()
        try:
            self._peer.send(leader, Forward(self._peer.number, request, write))
            await answered.wait()
            answer = self._answers[request]
        finally:
            del self._answers[request]
        assert isinstance(answer, Forwarded)
        if isinstance(answer.outcome, Exception):
            raise answer.outcome
        return answer.outcome

    def answered(self, answer: Forwarded) -> None:
        """The leader has answered a write that was forwarded to it."""
        waiting = self._answers.get(answer.request)
        if isinstance(waiting, trio.Event):
            self._answers[answer.request] = answer
            waiting.set()
