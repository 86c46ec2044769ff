"""Elections: how the nodes of a cluster agree on a leader.

Each election has a number, its *view*, and the leader that is elected leads the *epoch* of that number. A view has at
most one leader:

1. A node without a leader asks for a view (`ViewChange`). When a quorum asks for it, each of these nodes *installs* it:
   it promises to have no part in lower views, nor to acknowledge records to leaders of lower ones.
2. It tells all what it would be worth as the leader (`PrepareOk`).
3. Who has heard that of a quorum and has the lowest number in it votes for the best; the others vote for whom they
   first hear a vote for (`Accept`). A node votes once in a view.
4. A quorum of votes makes a leader. Who hears of them knows it, and gossip tells the others.

The best is who has the newest log. A record that was confirmed is in the logs of a quorum, a quorum told of its logs,
and any two quorums share a node: so the leader has all confirmed records.

Promises and votes must outlast a restart of the process, as they do in `Ballot`. Nothing here has a clock. A round
without a result is begun again by calling `ask` again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, TypeAlias

from ._timings import RESIGNED_STAYS


class Candidate(NamedTuple):
    """A node as a candidate. Of two the greater one is the better leader."""

    epoch: int
    """The epoch of the last record in its log."""
    writer: int
    """The end of its log."""
    stays: bool
    """False for a leader that has just resigned."""
    led: bool
    """Whether it led the last epoch."""
    priority: int
    instance: int
    node: int


class ViewChange(NamedTuple):
    """A node asks for an election."""

    sender: int
    view: int


class PrepareOk(NamedTuple):
    """A node promises to have no part in lower views, and says what it is worth."""

    sender: int
    view: int
    candidate: Candidate


class Accept(NamedTuple):
    """A node votes."""

    sender: int
    view: int
    leader: int


class Elected(NamedTuple):
    """A leader was elected."""

    view: int
    leader: int


Message: TypeAlias = ViewChange | PrepareOk | Accept


@dataclass(slots=True)
class Ballot:
    """What a node must not forget when its process ends."""

    view: int = 0
    """The highest view that the node has installed."""
    vote: int | None = None
    """Whom it voted for in this view."""


def best_of(candidates: Iterable[Candidate], random: Random) -> Candidate:
    """The best of these. A leader that resigned is not preferred; where all else is equal it may win nevertheless."""
    among = sorted(candidates, reverse=True)
    if len({candidate[:2] for candidate in among}) == len({candidate.priority for candidate in among}) == 1:
        resigned = [candidate for candidate in among if not candidate.stays]
        if resigned and random.random() < RESIGNED_STAYS:
            return resigned[0]
    return among[0]


class Election:
    """The part of one node in elections. All that it returns is to be sent to all other voters.

    Args:
        node: The number of the node.
        voters: The numbers of all nodes that vote, itself among them.
        ballot: What it has promised so far.
        random: Decides where equal candidates may win.
    """

    def __init__(self, node: int, voters: Iterable[int], ballot: Ballot, random: Random) -> None:
        self._node = node
        self._quorum = len(tuple(voters)) // 2 + 1
        self._ballot = ballot
        self._random = random
        self._wanted: int | None = None
        self._asked: dict[int, int] = {}
        """The highest view that each node has asked for."""
        self._prepared: defaultdict[int, dict[int, Candidate]] = defaultdict(dict)
        self._votes: defaultdict[int, dict[int, int]] = defaultdict(dict)
        self.elected = Elected(0, 0)
        """The newest leader that this node knows of; view 0 while it knows of none."""

    @property
    def promised(self) -> int:
        """This node acknowledges no records to leaders of lower epochs."""
        return self._ballot.view

    @property
    def is_open(self) -> bool:
        """Whether this node asks for a leader and has none yet."""
        return self._wanted is not None

    def ask(self, candidate: Candidate) -> list[Message]:
        """This node has no leader: ask for an election, or for the next one if the last round had no result."""
        lowest = max(self._ballot.view, self.elected.view, -1 if self._wanted is None else self._wanted) + 1
        return self._ask_for(max([lowest, *self._asked.values()]), candidate)

    def stop(self) -> None:
        """This node has a leader, and asks for no other one."""
        self._wanted = None

    def learn(self, elected: Elected) -> bool:
        """Another node told of a leader; whether that is news."""
        if elected.view <= self.elected.view:
            return False
        self.elected = elected
        if elected.view > self._ballot.view:
            self._ballot.view, self._ballot.vote = elected.view, None
        self._wanted = None
        for views in (self._prepared, self._votes):
            for view in [view for view in views if view <= elected.view]:
                del views[view]
        return True

    def receive(self, message: Message, candidate: Candidate) -> list[Message]:
        """A message of another node.

        Args:
            message: The message.
            candidate: What this node is worth now.
        """
        if message.view <= self.elected.view:
            return []
        if isinstance(message, ViewChange):
            return self._view_changed(message, candidate)
        if message.view < self._ballot.view:
            return []
        answers = []
        if message.view > self._ballot.view and self.is_open:
            answers += self._install(message.view, candidate)  # as a quorum must have asked for it
        if isinstance(message, PrepareOk):
            self._prepared[message.view][message.sender] = message.candidate
        else:
            self._votes[message.view][message.sender] = message.leader
            if message.view == self._ballot.view and self.is_open:
                answers += self._vote(message.leader)
        return answers + self._count(message.view)

    def _view_changed(self, message: ViewChange, candidate: Candidate) -> list[Message]:
        self._asked[message.sender] = max(message.view, self._asked.get(message.sender, 0))
        if self._wanted is None:
            return []
        if message.view > max(self._wanted, self._ballot.view):
            return self._ask_for(message.view, candidate)
        if message.view < self._wanted:
            return [ViewChange(self._node, self._wanted)]  # it is behind
        return self._install_if_wanted(candidate)

    def _ask_for(self, view: int, candidate: Candidate) -> list[Message]:
        self._wanted = self._asked[self._node] = view
        return [ViewChange(self._node, view), *self._install_if_wanted(candidate)]

    def _install_if_wanted(self, candidate: Candidate) -> list[Message]:
        view = self._wanted
        if view is None or view <= self._ballot.view or self._count_of(self._asked.values(), view) < self._quorum:
            return []
        return [*self._install(view, candidate), *self._count(view)]

    def _count_of(self, views: Iterable[int], view: int) -> int:
        return sum(asked == view for asked in views)

    def _install(self, view: int, candidate: Candidate) -> list[Message]:
        self._ballot.view, self._ballot.vote = view, None
        self._wanted = view
        self._prepared[view][self._node] = candidate
        return [PrepareOk(self._node, view, candidate)]

    def _count(self, view: int) -> list[Message]:
        """See whether there is enough to vote, and then whether somebody is elected."""
        answers: list[Message] = []
        prepared = self._prepared[view]
        proposes = len(prepared) >= self._quorum and min(prepared) == self._node
        if view == self._ballot.view and self.is_open and proposes:
            answers += self._vote(best_of(prepared.values(), self._random).node)
        votes = list(self._votes[view].values())
        for leader in sorted(set(votes)):
            if votes.count(leader) >= self._quorum:
                self.learn(Elected(view, leader))
        return answers

    def _vote(self, leader: int) -> list[Message]:
        if self._ballot.vote is not None:
            return []
        self._ballot.vote = leader
        self._votes[self._ballot.view][self._node] = leader
        return [Accept(self._node, self._ballot.view, leader)]
