"""The process of a node as a member of its cluster: through which states it goes, and what it does in each.

A process starts (Initializing), opens its port and looks for a leader (DiscoverLeader). If gossip names one it follows
it; else it asks for an election (Unknown). Who is elected is PreLeader for a moment, then Leader. The others subscribe
to its log (PreReplica), get what they lack (CatchingUp, Clone) and are followers. A leader that cannot reach a quorum
gives up; one that is told to resign has the others elect another one. One that finds out that it has been deposed, and
has records that the new leader lacks, shuts down, as its log must be cut: that is done when it starts again.

Nothing here waits. What happens later is a timer of the schedule, and what other processes are to know is a message on
the mesh. A process that stands still does what became due when it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import NamedTuple

from .._services._membership import State
from . import _timings as timings
from ._election import Accept, Candidate, Elected, Election, PrepareOk, ViewChange
from ._leadership import Leadership
from ._mesh import Mesh
from ._presence import Delay, Gossip, Shape
from ._replication import Acknowledged, Entries, Following, Refused, Subscribe, Subscribed
from ._schedule import Schedule
from ._subscriber import Disk, Subscriber
from ._timings import Range

_ROUNDS_WITH_HOPE = 2
"""After so many rounds of an election without a result a node is Unknown."""


class Resigned(NamedTuple):
    """The leader of this epoch has resigned."""

    sender: int
    epoch: int


class Peer(Subscriber):
    """The process of one node.

    Args:
        number: The number of the node.
        shape: The cluster.
        disk: The node's data.
        instance: The id of the process.
        mesh: Leads to the other processes.
        schedule: For what is to happen later.
        random: Draws how long everything takes.
        ticks: The time in ticks since the Unix epoch.
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
        super().__init__(number, shape, disk, instance, mesh=mesh, schedule=schedule, random=random, ticks=ticks)
        self.priority = 0
        self.on_deposed: Callable[[], None] = lambda: None
        """Called when the process leads no more."""
        self.on_open: Callable[[], None] = lambda: None
        """Called when the port is to be opened."""
        self.on_message: Callable[[object], None] = lambda message: None
        """Called with messages that are not the peer's own."""
        self._election = Election(number, shape.voters, disk.ballot, random)
        self._known = Elected(0, 0)
        """The leader whose epoch this process takes part in."""
        self._has_resigned = False
        self._is_deposed = False
        """Whether this leader will soon know that others have another one."""
        self._leadership: Leadership | None = None
        self._waiting: dict[int, Subscribe] = {}
        """Replicas that have subscribed before this leader is ready."""
        self._round = self._stage
        """When to ask for an election."""
        self._rounds = 0
        """Rounds of elections without a result."""
        self._pre_leader: Delay = timings.PRE_LEADER
        disk.replica.on_written = self._written

    # -- what there is to see

    @property
    def is_leading(self) -> bool:
        """Whether this process leads and takes writes."""
        return self.state == State.Leader

    @property
    def leader(self) -> int | None:
        """The number of the leader that this process knows, which may be deposed; None if it has known none."""
        return self._known.leader or None

    @property
    def epoch(self) -> int:
        """The epoch in which the leader was elected; 0 without one."""
        return self._known.view

    @property
    def log_end(self) -> int:
        """The end of the log."""
        return self._log.end

    @property
    def confirmed_end(self) -> int:
        """The position up to which the log is confirmed, as far as this process knows."""
        return self._log.confirmed_end

    # -- its life

    def start(self, delay: Range) -> None:
        """Begin. The port opens after a delay of this range."""
        until_open = delay.draw(self.random)
        initializing = timings.INITIALIZING.draw(self.random)
        self.after(until_open - initializing, self._appear)
        self.after(until_open, self._open)

    def resign(self) -> None:
        """Let the others elect a new leader, if this one leads."""
        if not self.is_leading:
            return
        self._become(State.ResigningLeader)
        self._stage = self.later(timings.RESIGNING, self._hand_over)

    # -- starting

    def _open(self) -> None:
        self._become(State.ReadOnlyLeaderless if self.is_read_only else State.DiscoverLeader)
        self.on_open()
        if self._has_leader:
            self._follow_soon()
        elif not self.is_read_only:
            self._round = self.later(timings.LEADER_DISCOVERY, self._ask)

    # -- elections

    def _candidate(self) -> Candidate:
        epochs = self._log.epochs
        last = epochs[-1] if epochs else None
        return Candidate(
            epoch=0 if last is None else last.number,
            writer=self._log.end,
            stays=not self._has_resigned,
            led=self._known.leader == self.number,
            priority=self.priority,
            instance=self.instance,
            node=self.number,
        )

    def _ask(self) -> None:
        """There is no leader: ask for an election, and again after each round without a result."""
        if self._has_leader or self.is_read_only:
            return
        self._rounds += 1
        if self._rounds > _ROUNDS_WITH_HOPE or self.state == State.DiscoverLeader:
            self._become(State.Unknown)
        self._round.cancel()
        self._round = self.later(timings.ELECTION_ROUND, self._ask)
        if self._has_promised:  # in a round without a result; if the leader is alive, it must be elected anew
            self.send(self._known.leader, Refused(self.number, self._known.view, self._election.promised))
        self._broadcast(self._election.ask(self._candidate()))
        self._learn_result()

    def _elect(self, message: ViewChange | PrepareOk | Accept) -> None:
        if self.is_read_only:
            return
        self._broadcast(self._election.receive(message, self._candidate()))
        if isinstance(message, ViewChange) and self._is_willing and not self._election.is_open:
            self._ask()
        self._learn_result()

    @property
    def _has_promised(self) -> bool:
        """Whether this process has promised not to follow the leader that it knows any more."""
        return self._election.promised > self._known.view

    @property
    def _is_willing(self) -> bool:
        """Whether this process wants an election as soon as another one does."""
        busy = (State.Initializing, State.DiscoverLeader, State.PreLeader)
        return not self._has_leader and self._leadership is None and self.state not in busy

    def _learn_result(self) -> None:
        elected = self._election.elected
        if elected.view > self._known.view:
            self._begin(elected, by_votes=True)

    def _will_be_deposed(self) -> None:
        """Others follow another leader than this one, or are about to."""
        if not self._is_deposed:
            self._is_deposed = True
            self.later(timings.DEPOSITION_SEEN, self._depose)

    def _depose(self) -> None:
        if self._leadership is None:
            return
        if self._election.elected.view > self._known.view:
            self._begin(self._election.elected, by_votes=False)
        else:
            self._give_up()

    def _leader_is_back(self) -> None:
        """The leader that was thought to be dead is not."""
        self._has_leader = True
        self._rounds = 0
        self._election.stop()
        self._round.cancel()
        self._stage.cancel()
        self._following = Following(self.number, self._known.leader, self._known.view, self._log)
        if self.state in (State.DiscoverLeader, State.ReadOnlyLeaderless):
            self._follow_soon()
        elif self.state != State.Initializing:
            self._become(State.PreReadOnlyReplica if self.is_read_only else State.PreReplica)
            self._subscribe()

    def _begin(self, elected: Elected, *, by_votes: bool) -> None:
        """There is a new leader."""
        if elected.view <= self._known.view:
            return
        before, self._known = self._known, elected
        was_leading = self._leadership is not None
        self._has_resigned = False
        self._round.cancel()
        self._stage.cancel()
        self._retry.cancel()
        self._rounds = 0
        self._following = None
        self._step_down()
        self._election.stop()
        if elected.leader == self.number:
            self._has_leader = False
            if by_votes:
                self._show_elected(None)
                self._become(State.PreLeader)
                self._stage = self.later(self._pre_leader, self._lead)
                self._pre_leader = timings.PRE_LEADER
            else:  # others have elected this node when it could not know; it does not lead without their votes
                self._leader_lost(timings.REFUSAL_SEEN)
            return
        self._has_leader = True
        if elected.leader != before.leader:
            self._show_elected(elected.leader)
        self._following = Following(self.number, elected.leader, elected.view, self._log)
        if not self.is_linked(elected.leader):
            self._lose(elected.leader, timings.CLOSED_SEEN)
        if self.state == State.Initializing:
            return
        if self.state == State.DiscoverLeader or (self.is_read_only and self.state == State.ReadOnlyLeaderless):
            self._follow_soon()
        elif was_leading:
            self._become(State.Unknown)
            self._stage = self.later(timings.TRUNCATION_SEEN, self._subscribe)
        else:
            if self.is_read_only:
                self._become(State.PreReadOnlyReplica)
            elif elected.leader != before.leader or self.state not in (State.Follower, State.Clone):
                self._become(State.PreReplica)
            self._subscribe()

    # -- leading

    def _lead(self) -> None:
        self._has_led = True
        self._leadership = Leadership(self, self._known.view, self._log, self._give_up)
        self._become(State.Leader)
        waiting, self._waiting = self._waiting, {}
        for request in waiting.values():
            self._subscribed(request)
        self._leadership.check_quorum()
        self._leadership.written()

    def _step_down(self) -> None:
        self._waiting.clear()
        self._is_deposed = False
        if self._leadership is not None:
            self._leadership.end()
            self._leadership = None
            self._log.interrupt()
            self.on_deposed()

    def _give_up(self) -> None:
        """This leader has had no quorum for too long, or others have promised not to follow it."""
        self._step_down()
        self._stage.cancel()
        self._become(State.Unknown)
        self._ask()

    def _hand_over(self) -> None:
        epoch = self._known.view
        self._step_down()
        self._has_resigned = True
        self._pre_leader = timings.PRE_LEADER_AFTER_RESIGNATION
        self.send_to_all(Resigned(self.number, epoch))
        self._round = self.later(timings.ELECTION_ROUND, self._ask)
        self._broadcast(self._election.ask(self._candidate()))
        self._learn_result()

    def _subscribed(self, request: Subscribe) -> None:
        if self._leadership is not None and request.epoch == self._leadership.epoch:
            self._leadership.subscribe(request)
        elif request.epoch > self._known.view or self.state == State.PreLeader:
            self._waiting[request.sender] = request
        else:
            self.send(request.sender, Refused(self.number, request.epoch, self._election.promised))

    def _written(self) -> None:
        if self._leadership is not None:
            self._leadership.written()

    def confirmed(self) -> None:
        """More of the log is confirmed, which may happen some time after a quorum has it."""
        if self._leadership is not None:
            self._leadership.flush_soon()

    # -- losing the leader

    def _was_refused(self, message: Refused) -> None:
        if self._leadership is not None and message.epoch == self._leadership.epoch < message.promised:
            self._will_be_deposed()
        elif self._following is not None and message.epoch == self._following.epoch and self._has_leader:
            self._leader_lost(timings.REFUSAL_SEEN)

    def _leader_lost(self, until_election: Delay) -> None:
        """The leader is dead, or leads no more."""
        self._has_leader = False
        self._retry.cancel()
        if self.state == State.Initializing:
            return
        self._stage.cancel()
        if self.is_read_only:
            self._stage = self.later(timings.WITHOUT_LEADER, partial(self._become, State.ReadOnlyLeaderless))
            return
        self._stage = self.later(timings.WITHOUT_LEADER, partial(self._become, State.PreReplica))
        self._round.cancel()
        self._round = self.later(until_election, self._ask)

    # -- the other processes

    def receive(self, message: object) -> None:
        """See ``Station``."""
        if self.is_over:
            return
        match message:
            case Gossip():
                self._heard(message)
            case ViewChange() | PrepareOk() | Accept():
                self._elect(message)
            case Subscribe():
                self._subscribed(message)
            case Subscribed():
                self._accepted(message)
            case Entries():
                self._replicated(message)
            case Acknowledged():
                if self._leadership is not None:
                    self._leadership.acknowledged(message)
            case Refused():
                self._was_refused(message)
            case Resigned():
                if message.epoch == self._known.view and self._has_leader:
                    self._has_leader = False
                    self._following = None
                    self._pre_leader = timings.PRE_LEADER_AFTER_RESIGNATION
                    self._ask()
            case _:
                self.on_message(message)

    def _live_leader(self) -> Elected | None:
        leads = self._leadership is not None or self.state == State.PreLeader
        return self._known if self._has_leader or leads else None

    def _heard_from(self, message: Gossip) -> None:
        is_leader = message.sender == self._known.leader
        if message.elected is None:
            if is_leader and self._has_leader:
                self._leader_lost(timings.REFUSAL_SEEN)
            return
        if self._election.learn(message.elected):
            if self._leadership is None:
                self._begin(message.elected, by_votes=False)
            else:
                self._will_be_deposed()
        elif message.elected == self._known and is_leader and not self._has_leader and not self._has_promised:
            self._leader_is_back()

    def _found(self, other: int) -> None:
        self._lost(other)
        following = self._following
        if following is not None and following.leader == other and following.is_subscribed:
            self._subscribe()  # what was sent meanwhile is lost

    def _lost(self, other: int) -> None:
        if self._leadership is not None:
            self._leadership.check_quorum()

    def _found_dead(self, other: int, seen: Range) -> None:
        if self._leadership is not None:
            self._leadership.forget(other)
        if self._has_leader and other == self._known.leader:
            silent = seen == timings.SILENCE_SEEN
            self._pre_leader = timings.PRE_LEADER_AFTER_SILENCE if silent else timings.PRE_LEADER
            self._leader_lost(timings.ELECTION_AFTER_SILENCE if silent else timings.ELECTION)

    def _broadcast(self, messages: Sequence[object]) -> None:
        for message in messages:
            for voter in self.shape.voters:
                if voter != self.number:
                    self.send(voter, message)
