"""A process that follows a leader: the states through which it goes until it has all of the leader's log.

It subscribes to the log (PreReplica), gets what it lacks (CatchingUp, Clone), and is a follower. A read-only replica
has states of its own. A process that has led before, and finds that it has records which the new leader lacks, shuts
down: its log is cut when it starts again. Others cut theirs at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from .._services._membership import State
from .._store._replica import Replica
from . import _timings as timings
from ._election import Ballot
from ._mesh import Mesh
from ._presence import Presence, Shape
from ._replication import Entries, Following, Refused, Subscribe, Subscribed
from ._schedule import Schedule, Timer


@dataclass
class Disk:
    """What a node keeps when its process ends."""

    replica: Replica
    ballot: Ballot = field(default_factory=Ballot)


class Subscriber(Presence):
    """A process that can follow. See ``Presence`` for what is not said here.

    Args:
        disk: The node's data.
    """

    def __init__(
        self,
        number: int,
        shape: Shape,
        disk: Disk,
        instance: int,
        *,
        mesh: Mesh,
        schedule: Schedule,
        random: Random,
        ticks: Callable[[], int],
    ) -> None:
        super().__init__(number, shape, instance, mesh=mesh, schedule=schedule, random=random, ticks=ticks)
        self.on_shut_down: Callable[[], None] = lambda: None
        """Called when the process ends by itself; it is to be drained then."""
        self._log = disk.replica
        self._ballot = disk.ballot
        self._has_leader = False
        """Whether the leader is alive and leads, as far as is known."""
        self._has_led = False
        self._following: Following | None = None
        self._stage = Timer(0.0, lambda: None)
        """The next change of the state."""
        self._retry = self._stage

    def _follow_soon(self) -> None:
        """The leader was found while this process starts."""
        self._stage.cancel()
        found = timings.LEADERLESS if self.is_read_only else timings.LEADER_FOUND
        self._stage = self.later(found, self._subscribe_soon)

    def _subscribe_soon(self) -> None:
        if self.is_read_only:
            self._become(State.PreReadOnlyReplica)
            self._stage = self.later(timings.READ_ONLY_SUBSCRIBING, self._subscribe)
        else:
            self._become(State.PreReplica)
            self._stage = self.later(timings.SUBSCRIBING, self._subscribe)

    def _subscribe(self) -> None:
        following = self._following
        if following is None or not self._has_leader:
            return
        self._retry.cancel()
        self._retry = self.later(timings.ELECTION_ROUND, self._subscribe)
        self.send(following.leader, following.request())

    def _accepted(self, message: Subscribed) -> None:
        following = self._following
        if following is None or message.epoch != following.epoch or following.is_subscribed:
            return
        self._retry.cancel()
        if message.agreed < self._log.end and self._has_led:
            self._following = None
            self._become(State.ShuttingDown)
            self._stage = self.later(timings.SHUTTING_DOWN, self.on_shut_down)
            return
        self.send(following.leader, following.begin(message.agreed))
        if self.is_read_only:
            self._become(State.ReadOnlyReplica)
        elif self.state != State.Follower:
            self._stage.cancel()
            self._become(State.PreReplica)
            if self.is_young:
                self._become(State.CatchingUp)
                self._stage = self.later(timings.CATCHING_UP, self._be_clone)
            else:
                self._be_clone()

    def _be_clone(self) -> None:
        delay = timings.CLONE if self.is_young else timings.CLONE_AGAIN
        seconds = delay.draw(self.random)
        if not seconds:
            self._become(State.Follower)
            return
        self._become(State.Clone)
        self._stage = self.after(seconds, partial(self._become, State.Follower))

    def _replicated(self, message: Entries) -> None:
        if message.epoch < self._ballot.view:
            self.send(message.sender, Refused(self.number, message.epoch, self._ballot.view))
            return
        following = self._following
        if following is None:
            return
        answer = following.receive(message)
        if isinstance(answer, Subscribe):
            self._subscribe()
        elif answer is not None:
            self.send(message.sender, answer)
