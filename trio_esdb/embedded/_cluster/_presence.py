"""A process of a cluster as the others see it, and they as it sees them: gossip, and who is alive.

A process tells the others of each change of its state. It takes a while until they hear of it, and they hear only of
what is true then; so they may never see a state that lasts for a moment. What a process tells is about itself alone.

Nothing here waits. What happens later is a timer of the schedule, and what other processes are to know is a message on
the mesh. A process that stands still does what became due when it goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import NamedTuple, TypeAlias

from .._services._membership import Member, State
from . import _timings as timings
from ._election import Elected
from ._member import View
from ._mesh import Mesh
from ._schedule import Schedule, Timer
from ._timings import Mixture, Range

Delay: TypeAlias = Range | Mixture


class Gossip(NamedTuple):
    """A process tells of itself."""

    sender: int
    instance: int
    state: State
    elected: Elected | None
    """The leader that it follows, or that it is."""
    wants_answer: bool


@dataclass(frozen=True)
class Shape:
    """What all nodes of a cluster are configured with."""

    voters: tuple[int, ...]
    addresses: dict[int, tuple[str, int]]
    """Where clients reach each node."""
    hosts: dict[int, str]
    """The host of each node, as the mesh knows it."""

    @property
    def quorum(self) -> int:
        """How many voters are a majority."""
        return len(self.voters) // 2 + 1


class Presence(ABC):
    """A process among the others of its cluster.

    Args:
        number: The number of the node.
        shape: The cluster.
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
        instance: int,
        *,
        mesh: Mesh,
        schedule: Schedule,
        random: Random,
        ticks: Callable[[], int],
    ) -> None:
        self.number = number
        self.shape = shape
        self.instance = instance
        self.is_read_only = number not in shape.voters
        self.state = State.Initializing
        self.on_state: Callable[[], None] = lambda: None
        """Called after the state has changed."""
        self.is_over = False
        """Whether the process has ended, or does nothing any more."""
        self.random = random
        self.ticks = ticks
        self._mesh = mesh
        self._schedule = schedule
        self._has_ended = False
        self._stands_still = False
        self._postponed: list[Timer] = []
        self._started_at = schedule.now()
        self._view = View((voter for voter in shape.voters if voter != number), self._started_at, random)
        self._unseen: dict[int, Timer] = {}
        """For each process that is gone: when that will be noticed."""

    # -- what there is to see

    def members(self) -> list[Member]:
        """The members as this process sees them, by descending host and port."""
        now, ticks = self._schedule.now(), self.ticks()
        if self._live_leader() is not None:
            self._view.forget_dead(now)
        found = self._view.members(now, ticks, self.shape.addresses)
        found.append(Member(self.instance, ticks, self.state, True, *self.shape.addresses[self.number]))
        return sorted(found, key=lambda member: (member.host, member.port), reverse=True)

    def sees(self) -> dict[int, tuple[State, bool]]:
        """For each node that this process knows its state, and whether it is alive."""
        return {**self._view.states(), self.number: (self.state, True)}

    def reached_voters(self) -> int:
        """How many voters this process reaches, itself among them if it is one."""
        return sum(number == self.number or self.is_linked(number) for number in self.shape.voters)

    def is_linked(self, other: int) -> bool:
        """Whether this process reaches another one."""
        return self._mesh.is_linked(self.number, other)

    @property
    def is_young(self) -> bool:
        """Whether the process has started just now, and so gossips fast."""
        return self._schedule.now() - self._started_at < timings.YOUNG

    # -- what the process does

    @abstractmethod
    def receive(self, message: object) -> None:
        """See ``Station``."""

    @abstractmethod
    def _live_leader(self) -> Elected | None:
        """The leader that this process follows, or that it is."""

    @abstractmethod
    def _heard_from(self, message: Gossip) -> None:
        """Another process has told of itself."""

    @abstractmethod
    def _found(self, other: int) -> None:
        """Another process can be reached, for the first time or again."""

    @abstractmethod
    def _lost(self, other: int) -> None:
        """Another process cannot be reached any more. Some time later it is found dead."""

    @abstractmethod
    def _found_dead(self, other: int, seen: Range) -> None:
        """It was noticed that another process is gone, in one of these ways."""

    # -- its life

    def stand_still(self, still: bool) -> None:
        """Stop the process, or let it go on."""
        self._stands_still = still
        self._mesh.stand_still(self.number, still)
        if not still:
            for other in self._view.states():
                if not self._mesh.is_linked(self.number, other) and other not in self._unseen:
                    self._lose(other, timings.CLOSED_SEEN)
                    self._lost(other)
            postponed, self._postponed = self._postponed, []
            for timer in postponed:
                if timer.callback is not None:
                    timer.callback()

    def fall_silent(self) -> None:
        """The process is about to end: it does nothing any more, and nobody knows yet."""
        if not self.is_over:
            self.is_over = True
            self._mesh.stand_still(self.number, True)

    def end(self, seen: Range = timings.CLOSED_SEEN) -> None:
        """The process is gone, which others can notice after a time of this range."""
        if self._has_ended:
            return
        self._has_ended = self.is_over = True
        self._mesh.leave(self.number, seen)

    def _appear(self) -> None:
        """The process begins to gossip."""
        self._started_at = self._schedule.now()
        self.later(timings.FIRST_CONTACT_FAILS, self._miss_seeds)
        self._mesh.join(self.number, self.shape.hosts[self.number], self)

    def _miss_seeds(self) -> None:
        for voter in self.shape.voters:
            if voter != self.number and not self._view.knows(voter):
                self._view.found_dead(voter, self._schedule.now())

    # -- the other processes

    def lost(self, other: int, seen: Range) -> None:
        """See ``Station``."""
        if not self.is_over and not self._stands_still:
            self._lose(other, seen)
            self._lost(other)

    def _lose(self, other: int, seen: Range) -> None:
        if other in self._unseen:
            self._unseen[other].cancel()
        self._unseen[other] = self.later(seen, partial(self._notice, other, seen))

    def _notice(self, other: int, seen: Range) -> None:
        self._unseen.pop(other, None)
        self._view.found_dead(other, self._schedule.now())
        self._found_dead(other, seen)

    def found(self, other: int) -> None:
        """See ``Station``."""
        if self.is_over:
            return
        if other in self._unseen:
            self._unseen.pop(other).cancel()
        self._tell(other, timings.WAKES, wants_answer=True)
        self._found(other)

    def _heard(self, message: Gossip) -> None:
        if not self.is_linked(message.sender):
            return  # it is gone since
        self._view.heard(message.sender, message.instance, message.state, self._schedule.now())
        if message.wants_answer:
            self._tell(message.sender, timings.MESSAGE)
        self._heard_from(message)

    def _show_elected(self, leader: int | None) -> None:
        """Forget what the others have told of themselves, as there was an election; they will tell it again."""
        self._view.elected(leader, self.shape.voters)
        for other in self._mesh.linked(self.number):
            self._tell(other, timings.GOSSIP, wants_answer=True)

    def _become(self, state: State) -> None:
        if state == self.state or self.is_over:
            return
        self.state = state
        for other in self._mesh.linked(self.number):
            self._tell(other, self._until_heard(other))
        self.on_state()

    def _until_heard(self, other: int) -> Range:
        if self.state == State.ResigningLeader:
            return timings.GOSSIP_OF_RESIGNATION
        fast = self.is_young or self._view.age(other, self._schedule.now()) < timings.YOUNG
        return timings.GOSSIP_OF_YOUNG if fast else timings.GOSSIP

    def _tell(self, other: int, delay: Range, *, wants_answer: bool = False) -> None:
        """Tell another process of this one: what is true when the delay is over."""
        self.later(delay, partial(self._gossip, other, wants_answer))

    def _gossip(self, other: int, wants_answer: bool) -> None:
        elected = self._live_leader()
        if self.state == State.ShuttingDown or (self.state == State.Unknown and elected is not None):
            return  # a deposed leader says nothing before it knows whether it must end; if it must, others find it dead
        self.send(other, Gossip(self.number, self.instance, self.state, elected, wants_answer))

    # -- inside

    def send(self, other: int, message: object) -> None:
        """Send a message, which may be lost, to another process."""
        if not self.is_over:
            self._mesh.send(self.number, other, message)

    def send_to_all(self, message: object) -> None:
        """Send a message to all processes that can be reached."""
        for other in self._mesh.linked(self.number):
            self.send(other, message)

    def later(self, delay: Delay, callback: Callable[[], None]) -> Timer:
        """Call something after a delay of this kind. See `after`."""
        return self.after(delay.draw(self.random), callback)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call something later, if the process still runs then; if it stands still, when it goes on."""

        def due() -> None:
            if self.is_over:
                return
            if self._stands_still:
                timer.callback = callback
                self._postponed.append(timer)
            else:
                callback()

        timer = self._schedule.after(seconds, due)
        return timer
