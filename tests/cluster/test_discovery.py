"""The search for a node of a cluster: who is asked, when, how long, and who waits for it."""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise
from random import Random

import pytest
import trio
import trio.testing

from tests.support.counting import counted_calls
from tests.support.gossip import (
    FOLLOWER,
    LEADER,
    LEADERLESS,
    RANDOM,
    SOUND,
    A,
    B,
    C,
    Cluster,
    final,
    member,
    members,
    refused,
)
from trio_esdb import AccessDeniedError, DiscoveryError, NodeState, UnavailableError
from trio_esdb._cluster._discovery import Found, View


@pytest.fixture
async def cluster(nursery: trio.Nursery) -> Cluster:
    return Cluster(nursery)


# -- candidates -----------------------------------------------------------------------------------------------------


async def test_the_first_answer_counts(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", SOUND)
    assert await cluster.find() == (B, NodeState.LEADER, SOUND)
    assert len(cluster.asked) == 1


async def test_seeds_are_asked_in_any_order(nursery: trio.Nursery) -> None:
    orders = set()
    for seed in range(40):
        cluster = Cluster(nursery, random=Random(seed), max_discover_attempts=1)
        with pytest.raises(DiscoveryError):
            await cluster.find()
        orders.add("".join(cluster.hosts))
    assert orders == {"abc", "acb", "bac", "bca", "cab", "cba"}


async def test_the_same_seed_gives_the_same_order(nursery: trio.Nursery) -> None:
    runs = []
    for _ in range(2):
        cluster = Cluster(nursery, random=Random(5), max_discover_attempts=4)
        with pytest.raises(DiscoveryError):
            await cluster.find()
        runs.append(cluster.asked)
    assert runs[0] == runs[1]
    assert len({tuple(cluster.hosts[at : at + 3]) for at in range(0, 12, 3)}) > 1


async def test_the_next_candidate_is_asked_after_a_failure_at_once(cluster: Cluster) -> None:
    cluster.options.max_discover_attempts = 1
    with pytest.raises(DiscoveryError):
        await cluster.find()
    assert [time for time, _ in cluster.asked] == [0, 0.001, 0.002]


async def test_silent_candidates_overlap(cluster: Cluster) -> None:
    """A frozen node takes the connection and says nothing."""
    cluster.answers = dict.fromkeys("abc")
    cluster.options.max_discover_attempts = 1
    cluster.options.gossip_timeout = 3
    with pytest.raises(DiscoveryError, match=r"no answer within 3 seconds \(gossipTimeout\)"):
        await cluster.find()
    assert [time for time, _ in cluster.asked] == [0, 0.25, 0.5]
    assert cluster.seconds == 3.5
    assert sorted(cluster.cancelled) == ["a", "b", "c"]


async def test_the_first_good_answer_ends_the_questions_to_the_others(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc")
    frozen = Cluster(cluster.discovery._tasks, random=Random(7))  # type: ignore[arg-type]
    with trio.move_on_after(1):
        await frozen.find()
    last = frozen.hosts[2]
    cluster.answers[last] = SOUND
    assert (await cluster.find()).endpoint == B
    assert cluster.seconds == 1.501
    await trio.testing.wait_all_tasks_blocked()
    assert len(cluster.cancelled) == 2


async def test_members_are_asked_first_and_seeds_too(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, A, max_discover_attempts=1)
    listed = members(x="Leader", y="Follower", z="Follower!")
    cluster.answers["a"] = listed
    assert (await cluster.find()).endpoint.host == "x"
    cluster.answers.clear()
    cluster.asked.clear()
    with pytest.raises(DiscoveryError):
        await cluster.find()
    assert set(cluster.hosts[:2]) == {"x", "y"}
    assert cluster.hosts[2:] == ["a", "z"], "what is said to be dead may be back, when nobody else is there"
    cluster.asked.clear()
    cluster.answers["z"] = members(x="Leader!", y="Follower!", z="Leader")
    assert (await cluster.find()).endpoint.host == "z"


async def test_a_huge_cluster_is_not_asked_whole(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, A, max_discover_attempts=1)
    cluster.answers["a"] = (member("leader", "Leader"), *(member(f"m{number}") for number in range(2000)))
    await cluster.find()
    cluster.answers.clear()
    cluster.asked.clear()
    with pytest.raises(DiscoveryError):
        await cluster.find()
    assert len(cluster.asked) == 17
    assert cluster.hosts[-1] == "a"


# -- attempts --------------------------------------------------------------------------------------------------------


async def test_pauses_double_up_to_20_times_the_first(cluster: Cluster) -> None:
    cluster.options.max_discover_attempts = 12
    with pytest.raises(DiscoveryError, match="12 attempts in 1"):
        await cluster.find()
    begins = cluster.rounds
    assert len(begins) == 12
    pauses = [after - before - 0.003 for before, after in pairwise(begins)]
    for pause, usual in zip(pauses, [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2, 2, 2, 2, 2], strict=True):
        assert 0.79 * usual < pause < 1.21 * usual
    assert len(set(pauses)) == len(pauses)


async def test_the_interval_is_that_of_the_options(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, discovery_interval=10.0, max_discover_attempts=3)
    with pytest.raises(DiscoveryError):
        await cluster.find()
    assert 24 < cluster.seconds < 36.1
    cluster = Cluster(nursery, discovery_interval=0.0, max_discover_attempts=3)
    with pytest.raises(DiscoveryError):
        await cluster.find()
    assert 0.02 <= cluster.seconds < 0.04


async def test_a_leader_that_is_elected_meanwhile(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", LEADERLESS)

    async def elect() -> None:
        await trio.sleep(1)
        cluster.answers = dict.fromkeys("abc", members(c="Leader", b="Unknown!", a="Follower"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(elect)
        assert (await cluster.find()).endpoint == C
    assert 1 < cluster.seconds < 2.5


async def test_a_cluster_that_never_gets_a_leader(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", LEADERLESS)
    with pytest.raises(DiscoveryError, match="no leader of the cluster was found") as caught:
        await cluster.find()
    assert 8 < cluster.seconds < 14
    for host in "abc":
        why = caught.value.candidates[f"{host}:2113"]
        assert why == "it knows no leader; it lists c:2113 Unknown, b:2113 Leader (dead), a:2113 Unknown"
        assert f"{host}:2113: {why}" in str(caught.value)
    cluster.answers = dict.fromkeys("abc", SOUND)
    assert (await cluster.find()).endpoint == B, "the client can be used afterwards"


async def test_the_error(cluster: Cluster) -> None:
    cluster.answers = {"a": ValueError("the tunnel is closed"), "b": None, "c": KeyError()}
    cluster.options.max_discover_attempts = 1
    with pytest.raises(DiscoveryError) as caught:
        await cluster.find()
    error = caught.value
    assert dict(error.candidates) == {
        A.address: "the tunnel is closed",
        B.address: "no answer within 5 seconds (gossipTimeout)",
        C.address: "KeyError",
    }
    assert isinstance(error, UnavailableError)
    assert (error.status, error.applied, error.final) == ("UNAVAILABLE", False, False)
    assert error.address == "a:2113, b:2113, c:2113"
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(other), other.candidates, other.address) == (str(error), error.candidates, error.address)


async def test_each_waiter_gets_an_error_of_its_own(cluster: Cluster) -> None:
    errors: list[DiscoveryError] = []

    async def wait() -> None:
        with pytest.raises(DiscoveryError) as caught:
            await cluster.find()
        errors.append(caught.value)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait)
    assert len(set(map(id, errors))) == 3
    assert len(cluster.asked) == 30


# -- what cannot get better ------------------------------------------------------------------------------------------


async def test_one_wrong_certificate_is_only_one_candidate(cluster: Cluster) -> None:
    cluster.answers = {"a": final(), "b": final(), "c": SOUND}
    assert (await cluster.find()).endpoint == B


async def test_wrong_certificates_of_all_end_the_search(cluster: Cluster) -> None:
    cluster.answers = {"a": final(), "b": final(), "c": AccessDeniedError("x", status="PERMISSION_DENIED")}
    with pytest.raises(DiscoveryError, match="1 attempt") as caught:
        await cluster.find()
    assert caught.value.final
    assert "a:2113: the certificate is not for this name" in str(caught.value)
    assert len(cluster.asked) == 3


async def test_another_failure_among_them_lets_it_go_on(cluster: Cluster) -> None:
    cluster.answers = {"a": final(), "b": final(), "c": refused()}
    with pytest.raises(DiscoveryError, match="10 attempts") as caught:
        await cluster.find()
    assert not caught.value.final


# -- who waits -------------------------------------------------------------------------------------------------------


async def test_all_share_one_search(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", SOUND)
    found: list[Found] = []

    async def wait(number: int) -> None:
        found.append(await cluster.find(FOLLOWER if number % 2 else LEADER))

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(wait, number)
    assert len(cluster.asked) == 1
    assert {endpoint for endpoint, *_ in found} == {A, B, C}


async def test_followers_are_drawn_for_each_who_wants_one(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", SOUND)
    found = [(await cluster.find(FOLLOWER)).endpoint.host for _ in range(30)]
    assert set(found) == {"a", "c"}


async def test_many_waiters_and_many_members(cluster: Cluster) -> None:
    """The time is that of the members and the waiters, not of one times the other."""
    answer = (*(member(f"m{number}") for number in range(2000)), member("b", "Leader"))
    cluster.answers = dict.fromkeys("abc", answer)
    with counted_calls() as calls:
        async with trio.open_nursery() as nursery:
            for _ in range(500):
                nursery.start_soon(cluster.find)
    assert calls.total < 5 * 2000 + 20 * 500, calls.worst(2000)


async def test_each_waits_only_for_what_it_wants(cluster: Cluster) -> None:
    """A reader that takes any node does not wait for a leader, also if it comes while others wait."""
    cluster.answers = dict.fromkeys("abc", members(c="Unknown", b="Follower", a="ReadOnlyReplica"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.find)
        await trio.sleep(0.05)
        asked, before = len(cluster.asked), cluster.seconds
        assert (await cluster.find(FOLLOWER)).endpoint == B
        assert (await cluster.find(RANDOM)).role in ("Follower", "ReadOnlyReplica")
        assert (len(cluster.asked), cluster.seconds) == (asked, before), "the last answer was just there"
        cluster.answers = dict.fromkeys("abc", SOUND)


async def test_each_counts_its_own_attempts(cluster: Cluster) -> None:
    times = []

    async def wait(delay: float) -> None:
        await trio.sleep(delay)
        with pytest.raises(DiscoveryError, match="10 attempts"):
            await cluster.find()
        times.append(cluster.seconds)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, 0)
        nursery.start_soon(wait, 5)
    assert times[1] > times[0] + 2


async def test_a_waiter_that_gives_up_does_not_stop_the_others(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", SOUND)
    cluster.delays = dict.fromkeys("abc", 1)
    found: list[Found] = []

    async def patient() -> None:
        found.append(await cluster.find())

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0.1):
            nursery.start_soon(patient)
            await cluster.find()
    assert [endpoint for endpoint, *_ in found] == [B]


async def test_the_search_ends_when_nobody_waits(cluster: Cluster, autojump_clock: trio.testing.MockClock) -> None:
    with trio.move_on_after(1):
        await cluster.find()
    asked = len(cluster.asked)
    await trio.sleep(100)
    assert len(cluster.asked) - asked <= 3
    assert cluster.discovery._scope is None


async def test_closing_ends_it(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc")
    closed = []

    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await cluster.find()
        closed.append(cluster.seconds)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.sleep(1)
        cluster.discovery.close()
    assert closed == [1, 1]
    assert sorted(cluster.cancelled) == ["a", "b", "c"]
    with pytest.raises(trio.ClosedResourceError):
        await cluster.find()
    with pytest.raises(trio.ClosedResourceError):
        await cluster.discovery.check()


async def test_the_end_of_its_nursery_ends_it() -> None:
    async with trio.open_nursery() as outer, trio.open_nursery() as nursery:
        cluster = Cluster(nursery)

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await cluster.find()

        outer.start_soon(wait)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert cluster.discovery.closed


# -- one look --------------------------------------------------------------------------------------------------------


async def test_a_check_takes_the_first_answer(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", LEADERLESS)
    assert await cluster.discovery.check() == LEADERLESS
    assert len(cluster.asked) == 1


async def test_a_check_asks_some_last(nursery: trio.Nursery) -> None:
    for seed in range(10):
        cluster = Cluster(nursery, random=Random(seed))
        cluster.answers = dict.fromkeys("abc", SOUND)
        await cluster.discovery.check(last=frozenset([B.address]))
        assert cluster.hosts[0] in ("a", "c")
        cluster.answers = {"b": SOUND}
        assert await cluster.discovery.check(last=frozenset([B.address])) == SOUND


async def test_a_check_makes_one_attempt(cluster: Cluster) -> None:
    with pytest.raises(DiscoveryError, match=r"no node of the cluster answers \(1 attempt"):
        await cluster.discovery.check()
    assert len(cluster.asked) == 3


async def test_who_is_told(cluster: Cluster) -> None:
    views: list[View] = []
    failures: list[DiscoveryError] = []
    cluster.discovery.on_view = views.append
    cluster.discovery.on_failure = failures.append
    cluster.options.max_discover_attempts = 2
    cluster.answers = dict.fromkeys("a", LEADERLESS)
    with pytest.raises(DiscoveryError) as caught:
        await cluster.find()
    assert [(view.members, view.source) for view in views] == [(LEADERLESS, A)] * 2
    assert cluster.discovery.view == views[-1]
    assert failures == [caught.value]
    assert "a:2113: it knows no leader" in cluster.discovery.failure
    cluster.answers["a"] = SOUND
    await cluster.find()
    assert cluster.discovery.failure == ""
