"""What a node knows of its cluster: its own state, who leads, and the members that gossip names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from trio_esdb_proto.event_store.client.gossip import MemberInfoVNodeState as State

from .._store import Write, Written, WrongExpectation

__all__ = ["Member", "Membership", "State"]


class Member(NamedTuple):
    """A member of the cluster, as a node sees it. Clients reach it by the host and port."""

    instance: int
    """The id of the process; 0 for a seed that has not been heard of yet."""
    time_stamp: int
    """When the member last told of itself, in ticks since the Unix epoch."""
    state: State
    is_alive: bool
    host: str
    port: int


class Membership:
    """The membership of a single node, which leads itself. A node of a cluster has a subclass of it.

    Args:
        instance: The id of the node; a new one for each process.
        address: The host and port that clients are told.
        now: The node's clock, in ticks since the Unix epoch.
    """

    state: State = State.Leader
    """The state of this node. An attribute, so that each append may look at it."""
    is_single: bool = True
    """Whether this node is no member of a cluster. Some calls that get no answer in a cluster are refused here."""

    def __init__(self, instance: int, address: tuple[str, int], now: Callable[[], int]) -> None:
        self.instance = instance
        self.address = address
        self.now = now

    @property
    def leader(self) -> tuple[str, int] | None:
        """The host and port by which clients reach the leader that this node knows; it may have been deposed."""
        return self.address

    def members(self) -> Sequence[Member]:
        """The members, this node among them, by descending host and port."""
        return [Member(self.instance, self.now(), self.state, True, *self.address)]

    def resign(self) -> None:
        """Stop leading, if this node leads and another one can take over."""

    def set_priority(self, value: int) -> None:
        """Make this node a better or worse candidate in the next election: the higher value wins."""

    async def forward(self, write: Write) -> Written | WrongExpectation:
        """Have the leader make a write; what it says. Without an answer this goes on until it is cancelled.

        Only nodes of a cluster do this. What the leader's ``Writes.run`` raises is raised here.
        """
        raise NotImplementedError
