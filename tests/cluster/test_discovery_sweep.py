"""The search for a node, given up at each step, and with any behaviour of the nodes."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from tests.support.gossip import (
    FOLLOWER,
    LEADER,
    LEADERLESS,
    SOUND,
    A,
    Answer,
    B,
    Cluster,
    final,
    refused,
)
from tests.support.world import Moment, every_moment, sweep
from trio_esdb import DiscoveryError, NodeState
from trio_esdb._cluster import endpoint

NAMED = endpoint("cluster.example", 2113)


class Behaviour(NamedTuple):
    """What a node does."""

    answer: Answer
    delay: float


def with_everything(nursery: trio.Nursery, seed: int = 0) -> Cluster:
    """Names, a frozen node, one that refuses, and one that knows the leader but needs a second."""
    cluster = Cluster(nursery, NAMED, A, resolves=True, random=Random(seed))
    cluster.names = {"cluster.example": ["10.0.0.1", "10.0.0.2"], "a": ["a"]}
    cluster.answers = {"10.0.0.1": None, "a": SOUND}
    cluster.delays["a"] = 1
    return cluster


@every_moment
async def test_giving_up(nursery: trio.Nursery, moment: Moment) -> None:
    """Nothing is left of who gave up, and the next one finds the node."""
    cluster = with_everything(nursery)
    await cluster.find()
    await trio.testing.wait_all_tasks_blocked()
    tasks = trio.lowlevel.current_statistics().tasks_living

    async def check() -> None:
        assert not cluster.discovery._waiters
        assert (await cluster.find(FOLLOWER)).endpoint != B
        await trio.sleep(20)
        assert cluster.discovery._scope is None
        assert trio.lowlevel.current_statistics().tasks_living == tasks

    assert await sweep(cluster.find, check, moment) > 0


@every_moment
async def test_giving_up_while_others_wait(nursery: trio.Nursery, moment: Moment) -> None:
    """The others are not disturbed: they get the answer at the same time as without it."""
    cluster = with_everything(nursery)
    times: list[float] = []

    async def use() -> None:
        await cluster.find()

    async def run(step: int) -> None:
        began = cluster.seconds
        async with trio.open_nursery() as inner:

            @inner.start_soon
            async def patient() -> None:
                await cluster.find()
                times.append(round(cluster.seconds - began, 2))

            await use()

    await sweep(lambda: run(0), lambda: trio.sleep(20), moment)
    assert times
    assert max(times) < 1.8


@every_moment
async def test_a_search_without_a_result_given_up(nursery: trio.Nursery, moment: Moment) -> None:
    cluster = Cluster(nursery, max_discover_attempts=2)
    cluster.answers = dict.fromkeys("abc", LEADERLESS)

    async def use() -> None:
        with pytest.raises(DiscoveryError):
            await cluster.find()

    async def check() -> None:
        assert not cluster.discovery._waiters

    assert await sweep(use, check, moment) > 0


async def test_closing_at_each_step() -> None:
    """Who waits gets ClosedResourceError, or has the answer; no task is left."""
    for step in range(1, 200):
        async with trio.open_nursery() as nursery:
            cluster = with_everything(nursery, step)
            steps = 0

            class Closer(trio.abc.Instrument):
                def after_task_step(self, task: trio.lowlevel.Task) -> None:
                    nonlocal steps
                    steps += 1
                    if steps == step:  # noqa: B023
                        cluster.discovery.close()  # noqa: B023

            closer = Closer()
            trio.lowlevel.add_instrument(closer)
            try:
                with trio.fail_after(30):
                    await cluster.find()
            except trio.ClosedResourceError:
                assert cluster.discovery.closed
            finally:
                trio.lowlevel.remove_instrument(closer)
        if steps < step:
            break
    else:
        raise AssertionError("it never came to its end")
    assert step > 10


BEHAVIOURS = st.builds(
    Behaviour,
    st.sampled_from([SOUND, LEADERLESS, None, (), "refused", "final"]),
    st.sampled_from([0.0, 0.001, 0.1, 0.3, 1.0, 4.9, 5.1, 60.0]),
)


@given(st.lists(BEHAVIOURS, min_size=3, max_size=6), st.integers(1, 3), st.integers(0, 99))
def test_any_nodes(behaviours: list[Behaviour], attempts: int, seed: int) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            seeds = [endpoint(name, 2113) for name in "abcdef"[: len(behaviours)]]
            cluster = Cluster(nursery, *seeds, random=Random(seed), max_discover_attempts=attempts)
            for node, (answer, delay) in zip(seeds, behaviours, strict=True):
                failures = {"refused": refused(), "final": final()}
                cluster.answers[node.host] = failures[answer] if isinstance(answer, str) else answer
                cluster.delays[node.host] = delay
            error = None
            try:
                found = await cluster.find()
            except DiscoveryError as exc:
                error = exc
            else:
                assert (found.endpoint, found.role) == (B, NodeState.LEADER)
            check(cluster, behaviours, error)

    def check(cluster: Cluster, behaviours: list[Behaviour], error: DiscoveryError | None) -> None:
        number = len(behaviours)
        assert cluster.seconds <= attempts * (0.25 * number + 5) + 0.4
        first = cluster.asked[:number]
        assert len({candidate for _, candidate in first}) == len(first), "nobody is asked twice in an attempt"
        assert all(after - before <= 0.251 for (before, _), (after, _) in pairwise(first))
        good = [delay for answer, delay in behaviours if answer == SOUND and delay < 5]
        doubtful = [answer for answer, _ in behaviours if answer in (LEADERLESS, ())]
        if good and not doubtful:
            assert error is None
            assert cluster.seconds <= 0.25 * number + min(good)
        if error is not None:
            assert len(error.candidates) == number
            everything_final = all(answer == "final" and delay < 5 for answer, delay in behaviours)
            assert error.final is everything_final
            assert len(cluster.asked) == (number if everything_final else number * attempts)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_the_leader_is_found_by_whoever_asks(nursery: trio.Nursery) -> None:
    """Many waiters that come and go while the nodes change their minds."""
    random = Random(11)
    cluster = Cluster(nursery, random=random)
    found = 0

    async def wait() -> None:
        nonlocal found
        await trio.sleep(random.random() * 20)
        with trio.move_on_after(random.choice([0.01, 0.5, 100])):
            assert (await cluster.find(random.choice([LEADER, FOLLOWER]))).endpoint.host in "abc"
            found += 1

    async with trio.open_nursery() as inner:
        for _ in range(300):
            inner.start_soon(wait)
        for _ in range(60):
            for host in "abc":
                cluster.answers[host] = random.choice([SOUND, SOUND, LEADERLESS, None, refused()])
            await trio.sleep(0.4)
        cluster.answers = dict.fromkeys("abc", SOUND)
    assert found > 150
    assert not cluster.discovery._waiters
