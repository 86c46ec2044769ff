"""Replication: how the log of the leader comes to the other nodes, and when a record is confirmed.

A log is divided into epochs. A leader begins one, whose number is that of the view in which it was elected, with a
record of its own, and then adds the records of its clients. An epoch has one leader, so two logs that have an epoch in
common agree in it as far as both go.

A replica subscribes to the leader with the epochs of its log and its end. The leader finds how far the two logs agree,
the replica cuts the rest, which cannot have been confirmed, and from there on it gets all records in their order. It
acknowledges them, and what a quorum has is confirmed. Records of earlier epochs are confirmed only together with the
record that began the leader's own epoch: before that, a later leader might still cut them.

Nothing here has a clock. A message that was lost leaves a gap, which the replica sees at the next one; it then
subscribes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

from .._store import TURN
from .._store._entries import Entry, Epoch


class Log(Protocol):
    """What replication needs of a log; see ``Replica``. Positions are offsets."""

    @property
    def end(self) -> int:
        """The position after the last entry."""

    @property
    def confirmed_end(self) -> int:
        """The position after the last confirmed entry."""

    @property
    def epochs(self) -> Sequence[Epoch]:
        """The epochs in the log."""

    def common_end(self, epochs: Sequence[Epoch], end: int) -> int:
        """The position up to which this log and another one, with these epochs and this end, are the same."""

    def entries_after(self, position: int, limit: int | None = None) -> Sequence[Entry]:
        """The entries from this position on, of about so many events at most."""

    def take(self, entries: Sequence[Entry]) -> None:
        """Add entries of the leader's log; they begin at the end of this one."""

    def confirm(self, end: int) -> None:
        """All entries up to this position are confirmed."""

    def cut(self, end: int) -> None:
        """Remove the entries from this position on, none of which is confirmed."""


class Subscribe(NamedTuple):
    """A replica asks the leader of an epoch for its log."""

    sender: int
    epoch: int
    epochs: tuple[Epoch, ...]
    end: int


class Subscribed(NamedTuple):
    """The leader's answer: up to where the logs agree."""

    sender: int
    epoch: int
    agreed: int


class Entries(NamedTuple):
    """Records of the leader's log, and up to where it is confirmed."""

    sender: int
    epoch: int
    start: int
    entries: Sequence[Entry]
    confirmed: int


class Acknowledged(NamedTuple):
    """A replica has the log up to this position."""

    sender: int
    epoch: int
    end: int


class Refused(NamedTuple):
    """A replica that has promised a later epoch tells the leader of an earlier one."""

    sender: int
    epoch: int
    promised: int


Addressed: TypeAlias = tuple[int, Entries]
"""The number of a node, and what is to be sent to it."""


class Leading:
    """The leader's part, for one epoch.

    Args:
        node: The number of this node.
        epoch: The epoch, as elected.
        quorum: How many voters must have a record, this node among them.
        voters: The numbers of the voters.
        log: The leader's log, in which it has begun its epoch.
    """

    def __init__(self, node: int, epoch: int, quorum: int, voters: Sequence[int], log: Log) -> None:
        self.epoch = epoch
        self._node = node
        self._quorum = quorum
        self._voters = tuple(voter for voter in voters if voter != node)
        self._log = log
        self._sent: dict[int, int] = {}
        self._told: dict[int, int] = {}
        self._has: dict[int, int] = {}
        self._begun = log.end
        """What a quorum must have before anything can be confirmed."""
        self._confirm()

    def subscribe(self, request: Subscribe) -> Subscribed:
        """A replica subscribes; `messages` then has the log for it, from where the two agree."""
        agreed = self._log.common_end(request.epochs, request.end)
        self._sent[request.sender] = agreed
        self._told[request.sender] = -1
        self._has.pop(request.sender, None)
        return Subscribed(self._node, self.epoch, agreed)

    def forget(self, replica: int) -> None:
        """A replica is gone."""
        self._sent.pop(replica, None)
        self._has.pop(replica, None)

    def acknowledged(self, message: Acknowledged) -> bool:
        """A replica has more of the log; whether that confirmed something."""
        if message.epoch != self.epoch or message.sender not in self._sent:
            return False
        self._has[message.sender] = max(message.end, self._has.get(message.sender, 0))
        return self._confirm()

    def messages(self) -> list[Addressed]:
        """What the replicas have not been sent yet, a turn of it for each. Call it again until there is nothing."""
        found: list[Addressed] = []
        end, confirmed = self._log.end, self._log.confirmed_end
        made: dict[int, Sequence[Entry]] = {}
        for replica in sorted(self._sent):
            start = self._sent[replica]
            if start == end and self._told[replica] == confirmed:
                continue
            if start not in made:
                made[start] = self._log.entries_after(start, TURN)
            entries = made[start]
            self._sent[replica] = entries[-1].end if entries else start
            self._told[replica] = confirmed
            found.append((replica, Entries(self._node, self.epoch, start, entries, confirmed)))
        return found

    def written(self) -> bool:
        """The log has grown; whether that confirmed something, as it does where a single node is a quorum."""
        return self._confirm()

    def _confirm(self) -> bool:
        ends = sorted([self._log.end, *(self._has.get(voter, 0) for voter in self._voters)], reverse=True)
        common = ends[self._quorum - 1]
        if common < self._begun or common <= self._log.confirmed_end:
            return False
        self._log.confirm(common)
        return True


class Following:
    """A replica's part, for one epoch of a leader.

    Args:
        node: The number of this node.
        leader: The number of the leader.
        epoch: The epoch.
        log: The log of this node.
    """

    def __init__(self, node: int, leader: int, epoch: int, log: Log) -> None:
        self.leader = leader
        self.epoch = epoch
        self._node = node
        self._log = log
        self.is_subscribed = False
        """Whether the leader has accepted this node, which now takes its records."""

    def request(self) -> Subscribe:
        """What is to be sent to the leader to get its log."""
        self.is_subscribed = False
        return Subscribe(self._node, self.epoch, tuple(self._log.epochs), self._log.end)

    def begin(self, agreed: int) -> Acknowledged:
        """Begin to take records, at the position up to which the logs agree; the rest of this log is cut."""
        if agreed < self._log.end:
            self._log.cut(agreed)
        self.is_subscribed = True
        return Acknowledged(self._node, self.epoch, agreed)

    def receive(self, message: Entries) -> Acknowledged | Subscribe | None:
        """Take what the leader sent; the answer to it. None: not from this leader, or nothing new."""
        if message.epoch != self.epoch or not self.is_subscribed:
            return None
        if message.start > self._log.end:
            return self.request()
        if message.entries:
            if message.start < self._log.end:
                return None  # it was sent before this node subscribed again
            self._log.take(message.entries)
        if message.confirmed > self._log.confirmed_end:
            self._log.confirm(min(message.confirmed, self._log.end))
        return Acknowledged(self._node, self.epoch, self._log.end) if message.entries else None
