"""The time in which a process leads: it gives its log to the replicas, and watches whether it reaches a quorum."""

from __future__ import annotations

from collections.abc import Callable

from .._store._replica import Replica
from . import _timings as timings
from ._presence import Presence
from ._replication import Acknowledged, Leading, Subscribe
from ._schedule import Timer


class Leadership:
    """The leadership of a process, for one epoch.

    Args:
        process: The process.
        epoch: The number of the epoch.
        log: Its log, in which it begins the epoch.
        give_up: Is called when there has been no quorum for too long.
    """

    def __init__(self, process: Presence, epoch: int, log: Replica, give_up: Callable[[], None]) -> None:
        self.epoch = epoch
        self._process = process
        self._give_up = give_up
        self._flushing = False
        self._is_over = False
        self._quorum_lost: Timer | None = None
        log.begin_epoch(process.instance, process.ticks(), epoch)
        shape = process.shape
        self._leading = Leading(process.number, epoch, shape.quorum, shape.voters, log)

    def end(self) -> None:
        """The process leads no more."""
        self._is_over = True
        if self._quorum_lost is not None:
            self._quorum_lost.cancel()

    # -- replicas

    def subscribe(self, request: Subscribe) -> None:
        """A replica subscribes."""
        self._process.send(request.sender, self._leading.subscribe(request))
        self.flush_soon()

    def forget(self, replica: int) -> None:
        """A replica is gone."""
        self._leading.forget(replica)

    def acknowledged(self, message: Acknowledged) -> None:
        """A replica has more of the log."""
        if self._leading.acknowledged(message):
            self.flush_soon()

    def written(self) -> None:
        """The log has grown."""
        self._leading.written()
        self.flush_soon()

    def flush_soon(self) -> None:
        """Send what is new; all that is written in the same moment goes together."""
        if not self._flushing:
            self._flushing = True
            self._process.after(0.0, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._is_over:
            return
        messages = self._leading.messages()
        for replica, message in messages:
            self._process.send(replica, message)
        if messages:
            self.flush_soon()

    # -- the quorum

    def check_quorum(self) -> None:
        """See whether the process still reaches a quorum, or again."""
        if self._process.reached_voters() < self._process.shape.quorum:
            if self._quorum_lost is None:
                self._quorum_lost = self._process.later(timings.QUORUM_LOST, self._give_up)
        elif self._quorum_lost is not None:
            self._quorum_lost.cancel()
            self._quorum_lost = None
