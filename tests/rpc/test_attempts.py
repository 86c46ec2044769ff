"""When a call is sent again, how long it waits, and when it is given up."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest
import trio

from trio_esdb import (
    AbortedError,
    DeadlineExceededError,
    ExpectedPositionError,
    NotLeaderError,
    RetryPolicy,
    ServerError,
    StreamDeletedError,
    UnauthenticatedError,
    UnavailableError,
)
from trio_esdb._rpc import Attempts, CallKind, Method, Operation, Trouble
from trio_esdb._wire import Outcome, Status


class Middle(Random):
    """Chance that is always in the middle, so that there is no jitter."""

    def random(self) -> float:
        return 0.5


def attempts(
    kind: CallKind = CallKind.UNARY_READ, policy: RetryPolicy | None = None, random: Random | None = None, **more: Any
) -> Attempts:
    more = {"random": random or Middle(), "wait": trio.sleep} | more
    return Attempts(Operation(Method.READ, [b""], "doing this", kind), policy or RetryPolicy(), **more)


def lost(**more: Any) -> UnavailableError:
    return UnavailableError("it broke", **more)


async def waits(made: Attempts, trouble: Trouble, times: int, outcome: Outcome | None = None) -> list[float]:
    """The seconds before each of so many repeats."""
    found = []
    for _ in range(times):
        began = trio.current_time()
        await made.again(lost(), trouble, outcome)
        found.append(trio.current_time() - began)
    return found


async def again_and_again(made: Attempts, error: ServerError, trouble: Trouble) -> None:
    """Until it is given up."""
    while True:
        await made.again(error, trouble)


async def test_the_first_repeat_comes_at_once_and_the_waits_grow(autojump_clock: trio.testing.MockClock) -> None:
    found = await waits(attempts(), Trouble.LOST, 9)
    assert found == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 2, 2, 2])


@pytest.mark.parametrize("trouble", [Trouble.NOT_READY, Trouble.SERVER_TIMEOUT])
async def test_a_server_that_needs_time_gets_some(trouble: Trouble, autojump_clock: trio.testing.MockClock) -> None:
    found = await waits(attempts(), trouble, 4)
    assert found == pytest.approx([0.1, 0.2, 0.4, 0.8])


async def test_a_server_that_wants_less_gets_the_longest_wait(autojump_clock: trio.testing.MockClock) -> None:
    calm = Outcome(Status.RESOURCE_EXHAUSTED, local=True, calm=True)
    for trouble in (Trouble.CALM, Trouble.NEVER_SENT):
        assert await waits(attempts(), trouble, 3, calm) == pytest.approx([2, 2, 2])


async def test_the_policy_s_values(autojump_clock: trio.testing.MockClock) -> None:
    made = attempts(policy=RetryPolicy(first_delay=1, max_delay=3))
    assert await waits(made, Trouble.LOST, 5) == pytest.approx([0, 1, 2, 3, 3])
    found = await waits(attempts(policy=RetryPolicy(first_delay=0)), Trouble.LOST, 4)
    assert found == pytest.approx([0, 0.01, 0.01, 0.01])  # never a loop without a pause


async def test_waits_without_end(autojump_clock: trio.testing.MockClock) -> None:
    """The doubling does not overflow."""
    found = await waits(attempts(policy=RetryPolicy(0.01, 0.01)), Trouble.LOST, 3000)
    assert found[-1] == pytest.approx(0.01)


async def test_jitter(autojump_clock: trio.testing.MockClock) -> None:
    found = [(await waits(attempts(random=Random(seed)), Trouble.NOT_READY, 1))[0] for seed in range(300)]
    assert 0.08 <= min(found) < 0.085
    assert 0.115 < max(found) <= 0.12
    same = [await waits(attempts(random=Random(7)), Trouble.LOST, 5) for _ in range(2)]
    assert same[0] == pytest.approx(same[1])


async def test_progress_begins_anew(autojump_clock: trio.testing.MockClock) -> None:
    made = attempts(CallKind.READ, patience=10)
    await waits(made, Trouble.LOST, 5)
    assert made.tries == 6
    made.progress()
    assert made.tries == 1
    assert await waits(made, Trouble.LOST, 3) == pytest.approx([0, 0.1, 0.2])


async def test_seconds_of_life_are_progress(autojump_clock: trio.testing.MockClock) -> None:
    made = attempts(CallKind.SUBSCRIPTION)
    await waits(made, Trouble.LOST, 5)
    made.confirmed()
    await trio.sleep(4.9)
    assert await waits(made, Trouble.LOST, 1) == pytest.approx([1.6])
    made.confirmed()
    await trio.sleep(5)
    assert await waits(made, Trouble.LOST, 2) == pytest.approx([0, 0.1])


async def test_an_outage_of_a_read_has_an_end(autojump_clock: trio.testing.MockClock) -> None:
    made = attempts(CallKind.READ, patience=10)
    began = trio.current_time()
    error = lost()
    with pytest.raises(UnavailableError, match=r"^it broke \(tried 10 times\)$") as caught:
        await again_and_again(made, error, Trouble.LOST)
    assert caught.value is error
    assert trio.current_time() - began == pytest.approx(9.1)  # the next would have come after 11.1 s
    made = attempts(CallKind.READ, patience=10)
    for _ in range(5):
        await waits(made, Trouble.LOST, 8)
        made.progress()


async def test_a_subscription_that_has_begun_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    made = attempts(CallKind.SUBSCRIPTION, patience=10)
    with pytest.raises(UnavailableError):
        await waits(made, Trouble.NEVER_SENT, 20)
    made = attempts(CallKind.SUBSCRIPTION, patience=10)
    made.confirmed()
    await waits(made, Trouble.NEVER_SENT, 100)


async def test_the_deadline(autojump_clock: trio.testing.MockClock) -> None:
    made = attempts(deadline=trio.current_time() + 3)
    last = UnavailableError("it broke again", address="node:1", applied=False)
    await waits(made, Trouble.LOST, 4)  # [0, 0.1, 0.2, 0.4], the next wait would be 0.8
    await made.again(last, Trouble.LOST)
    with pytest.raises(DeadlineExceededError) as caught:
        await made.again(last, Trouble.LOST)
    assert trio.current_time() == made.deadline
    said = "doing this: the timeout passed; tried 6 times, the last failure: it broke again [node:1]"
    assert str(caught.value) == said
    assert caught.value.__cause__ is last


async def test_a_node_that_does_not_lead_is_named(autojump_clock: trio.testing.MockClock) -> None:
    made = attempts(deadline=trio.current_time() + 3)
    error = NotLeaderError("not the leader", leader=("node-2", 2113))
    with pytest.raises(NotLeaderError, match="tried 15 times") as caught:
        await again_and_again(made, error, Trouble.NOT_LEADER)
    assert caught.value is error


async def test_two_nodes_that_name_the_leader_are_believed_at_once(autojump_clock: trio.testing.MockClock) -> None:
    told: list[bool] = []
    made = attempts(learn=lambda sent, trouble, error, follow: told.append(follow))
    made.sent = "here"
    began = trio.current_time()
    error = NotLeaderError("not the leader", leader=("node-2", 2113))
    times = []
    for _ in range(7):
        await made.again(error, Trouble.NOT_LEADER)
        times.append(trio.current_time() - began)
    assert told == [True, True, False, True, True, False, True]
    assert times == pytest.approx([0, 0, 0.1, 0.1, 0.1, 0.3, 0.3])


async def test_a_node_that_knows_no_leader_is_not_followed(autojump_clock: trio.testing.MockClock) -> None:
    told: list[bool] = []
    made = attempts(learn=lambda sent, trouble, error, follow: told.append(follow))
    made.sent = "here"
    for _ in range(3):
        await made.again(NotLeaderError("nobody"), Trouble.NOT_LEADER)
    assert told == [False] * 3


@pytest.mark.parametrize("seconds", [0.0, 0.001, 1.5])
async def test_a_server_may_say_how_long_to_wait(seconds: float, autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    await attempts().again(lost(), Trouble.NOT_READY, Outcome(Status.UNAVAILABLE, pushback=seconds))
    assert trio.current_time() - began == pytest.approx(seconds)


async def test_a_server_may_want_no_repeat(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(UnavailableError):
        await attempts().again(lost(), Trouble.NOT_READY, Outcome(Status.UNAVAILABLE, pushback=math.inf))


@pytest.mark.parametrize("trouble", [Trouble.CLEAN_END, Trouble.DROPPED])
async def test_ends_without_any_progress(trouble: Trouble, autojump_clock: trio.testing.MockClock) -> None:
    made = attempts(CallKind.GROUP)
    made.confirmed()
    await waits(made, trouble, 4)
    with pytest.raises(UnavailableError, match="tried 5 times"):
        await made.again(lost(), trouble)
    made = attempts(CallKind.GROUP)
    for _ in range(10):
        await waits(made, trouble, 4)
        made.progress()


async def test_a_connection_that_cannot_be_used(autojump_clock: trio.testing.MockClock) -> None:
    """A program that starts learns of it; a subscription that runs waits until somebody has mended it."""
    made = attempts(CallKind.SUBSCRIPTION)
    with pytest.raises(UnavailableError):
        await made.again(lost(), Trouble.UNUSABLE)
    made.confirmed()
    await made.again(lost(), Trouble.UNUSABLE)


async def test_credentials_are_asked_for_once(autojump_clock: trio.testing.MockClock) -> None:
    asked = 0

    def renew(_: object) -> bool:
        nonlocal asked
        asked += 1
        return True

    made = attempts(renew=renew)
    await made.again(UnauthenticatedError("no"), Trouble.UNAUTHENTICATED)
    with pytest.raises(UnauthenticatedError):
        await made.again(UnauthenticatedError("no"), Trouble.UNAUTHENTICATED)
    assert asked == 2, "also the last ones are forgotten"
    with pytest.raises(UnauthenticatedError):
        await attempts().again(UnauthenticatedError("no"), Trouble.UNAUTHENTICATED)


async def test_switched_off(autojump_clock: trio.testing.MockClock) -> None:
    for trouble in set(Trouble) - {Trouble.DRAINING}:  # which ends no attempt
        made = attempts(CallKind.EXACT_WRITE, enabled=False)
        if trouble is Trouble.NEVER_SENT:
            await made.again(lost(applied=False), trouble)
        else:
            with pytest.raises(UnavailableError):
                await made.again(lost(), trouble)


@pytest.mark.parametrize(
    ("last", "applied"),
    [
        (UnavailableError("not ready", applied=False), None),
        (UnauthenticatedError("no", applied=False), None),
        (StreamDeletedError("gone", applied=False), None),  # perhaps after the first attempt had written
        (AbortedError("who knows"), None),
        (ExpectedPositionError("elsewhere", stream_name="s", expected=3, actual=5), False),
        (ExpectedPositionError("begun", stream_name="s", expected=None, actual=0), False),
        # perhaps a leader that was frozen, with fewer events than the one that took the first attempt
        (ExpectedPositionError("behind", stream_name="s", expected=3, actual=2), None),
        (ExpectedPositionError("empty", stream_name="s", expected=3, actual=None), None),
    ],
)
async def test_applied_speaks_of_all_attempts(
    last: ServerError, applied: bool | None, autojump_clock: trio.testing.MockClock
) -> None:
    made = attempts(CallKind.EXACT_WRITE)
    await made.again(lost(), Trouble.LOST)
    with pytest.raises(ServerError) as caught:
        await made.again(last, Trouble.FINAL)
    assert caught.value.applied is applied


async def test_what_was_never_sent_was_not_applied(autojump_clock: trio.testing.MockClock) -> None:
    for first, applied in ((lost(applied=False), False), (lost(), None)):
        made = attempts(CallKind.EXACT_WRITE, deadline=trio.current_time() + 1)
        await made.again(first, Trouble.NEVER_SENT)
        assert made.overdue("node:1").applied is applied
        assert made.overdue("node:1", sent=True).applied is None
        made = attempts(CallKind.EXACT_WRITE, deadline=trio.current_time() + 1)
        await made.again(first, Trouble.NEVER_SENT)
        with pytest.raises(UnavailableError) as caught:
            await made.again(UnavailableError("busy", applied=False), Trouble.FINAL)
        assert caught.value.applied is applied


async def test_repeats_are_reported(autojump_clock: trio.testing.MockClock) -> None:
    reported: list[tuple[ServerError, int, float]] = []
    made = attempts(report=lambda *what: reported.append(what))
    errors = [lost(), lost()]
    for error in errors:
        await made.again(error, Trouble.LOST)
    assert [error for error, _, _ in reported] == errors
    assert [attempt for _, attempt, _ in reported] == [2, 3]
    assert [delay for _, _, delay in reported] == pytest.approx([0, 0.1])


async def test_waiting_ends_with_the_client() -> None:
    async def closed(seconds: float) -> None:
        await trio.lowlevel.checkpoint()
        raise trio.ClosedResourceError("the client was closed")

    with pytest.raises(trio.ClosedResourceError):
        await attempts(deadline=math.inf, wait=closed).again(lost(), Trouble.LOST)
