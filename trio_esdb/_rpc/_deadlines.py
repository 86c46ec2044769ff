"""Who says that a deadline has passed: the server is told of it, and its clock may be a little ahead of ours."""

from __future__ import annotations

import trio

from trio_esdb._wire import Outcome, Status

_TOLERANCE = 1.0
"""Seconds. A call that a server ends this close to our own deadline was ended because of that deadline."""


def ended_at(deadline: float, outcome: Outcome) -> bool:
    """Whether a call's end means that this deadline has passed, in seconds of trio's clock.

    Servers say it with the status DEADLINE_EXCEEDED, or end the call as cancelled: by that status or by a reset.
    """
    if outcome.status is not Status.DEADLINE_EXCEEDED and outcome.status is not Status.CANCELLED:
        return False
    return deadline - trio.current_time() <= _TOLERANCE


async def wait_for_own_deadline(outcome: Outcome) -> None:
    """If a server ended the call because of the caller's scope, wait for that scope to be cancelled."""
    deadline = trio.current_effective_deadline()
    if ended_at(deadline, outcome):
        await trio.sleep_until(deadline)
