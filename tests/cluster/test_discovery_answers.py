"""The search for a node of a cluster: what an answer is worth, and the addresses of names."""

from __future__ import annotations

import socket
from random import Random

import pytest
import trio
import trio.testing

from tests.support.gossip import FOLLOWER, LEADER, LEADERLESS, RANDOM, REPLICA, SOUND, A, B, C, Cluster, member, members
from trio_esdb import DiscoveryError, NodeState
from trio_esdb._cluster import Endpoint, NodePreference, endpoint

NAMED = endpoint("cluster.example", 2113)


def at(address: str) -> Endpoint:
    """One of the addresses of the name."""
    return Endpoint(address, 2113, "cluster.example:2113", "cluster.example")


@pytest.fixture
async def cluster(nursery: trio.Nursery) -> Cluster:
    return Cluster(nursery)


# -- what an answer is worth -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "states", "found"),
    [
        (LEADER, {"a": "Follower", "b": "Leader", "c": "Follower"}, "b"),
        (FOLLOWER, {"a": "Leader", "b": "Follower!", "c": "Follower"}, "c"),
        (FOLLOWER, {"a": "Leader", "b": "Unknown", "c": "Follower!"}, "a"),
        (REPLICA, {"a": "Leader", "b": "ReadOnlyReplica", "c": "Follower"}, "b"),
        (REPLICA, {"a": "Leader", "b": "ReadOnlyReplica!", "c": "Clone"}, "a"),
        (RANDOM, {"a": "Unknown", "b": "Manager", "c": "ReadOnlyLeaderless"}, "c"),
    ],
)
async def test_the_preference(cluster: Cluster, wanted: NodePreference, states: dict[str, str], found: str) -> None:
    cluster.answers = dict.fromkeys("abc", members(**states))
    assert (await cluster.find(wanted)).endpoint.host == found


@pytest.mark.parametrize("wanted", NodePreference)
async def test_a_preference_that_no_node_fits(cluster: Cluster, wanted: NodePreference) -> None:
    cluster.answers = dict.fromkeys("abc", members(a="Manager", b="Leader!", c="CatchingUp", d="ResigningLeader"))
    lack = "it knows no leader" if wanted is LEADER else "it knows no node that takes calls"
    with pytest.raises(DiscoveryError, match=f"10 attempts.*{lack}; it lists a:2113 Manager, b:2113 Leader .dead"):
        await cluster.find(wanted)
    assert 8 < cluster.seconds < 14


async def test_other_candidates_may_know_more(cluster: Cluster) -> None:
    cluster.answers = {"a": LEADERLESS, "b": LEADERLESS, "c": members(c="Leader", b="Follower", a="Unknown")}
    assert (await cluster.find()).endpoint == C
    assert cluster.seconds < 0.01


async def test_several_leaders(nursery: trio.Nursery) -> None:
    """A frozen leader that wakes calls itself so for some seconds. Any of them may be taken: a wrong one says so."""
    found = set()
    for seed in range(20):
        cluster = Cluster(nursery, random=Random(seed))
        cluster.answers = dict.fromkeys("abc", members(a="Leader", b="Leader", c="Follower"))
        found.add((await cluster.find()).endpoint.host)
        assert (await cluster.find(LEADER, "a:2113")).endpoint == B
    assert found == {"a", "b"}


async def test_one_listed_member_keeps_the_address_that_was_used(nursery: trio.Nursery) -> None:
    """A container tells a name that only other containers know."""
    for listed in (member("inside", "Leader"), member("", "Leader"), member("inside", "Leader", port=0)):
        cluster = Cluster(nursery, A)
        cluster.answers = {"a": (listed,)}
        for wanted in NodePreference:
            assert await cluster.find(wanted) == (A, NodeState.LEADER, (listed,))


async def test_one_listed_member_that_is_not_ready(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, A, max_discover_attempts=1)
    for listed in (member("a", "Unknown"), member("a", "Leader", alive=False)):
        cluster.answers = {"a": (listed,)}
        with pytest.raises(DiscoveryError, match="it knows no leader; it lists a:2113"):
            await cluster.find()


async def test_a_leader_that_tells_no_address(cluster: Cluster) -> None:
    cluster.options.max_discover_attempts = 1
    cluster.answers = dict.fromkeys("abc", (member("", "Leader"), member("b", "Follower")))
    with pytest.raises(DiscoveryError, match="the node to use tells no address; it lists :2113 Leader, b:2113 Follow"):
        await cluster.find()
    assert (await cluster.find(FOLLOWER)).endpoint == B


async def test_an_answer_without_members(cluster: Cluster) -> None:
    cluster.options.max_discover_attempts = 1
    cluster.answers = {"a": (), "b": (), "c": ()}
    with pytest.raises(DiscoveryError, match="a:2113: it lists no members"):
        await cluster.find()
    cluster.answers["b"] = SOUND
    assert (await cluster.find()).endpoint == B


async def test_long_lists_and_odd_addresses_are_shortened(cluster: Cluster) -> None:
    cluster.options.max_discover_attempts = 1
    odd = member("x\n" + "y" * 500, "Unknown")
    cluster.answers = dict.fromkeys("abc", (odd, *(member(f"m{number}", "Unknown") for number in range(2000))))
    with pytest.raises(DiscoveryError) as caught:
        await cluster.find()
    assert len(str(caught.value)) < 2000
    assert "and 1993 more" in str(caught.value)
    assert "\n" not in str(caught.value)


# -- a node that just failed -----------------------------------------------------------------------------------------


async def test_a_node_that_failed_is_left_out_while_others_call_it_the_leader(cluster: Cluster) -> None:
    """Survivors of a leader do so for a while."""
    cluster.answers = dict.fromkeys("abc", SOUND)
    await cluster.find()
    cluster.asked.clear()
    del cluster.answers["b"]

    async def elect() -> None:
        await trio.sleep(1)
        cluster.answers = dict.fromkeys("ac", members(c="Follower", b="Leader!", a="Leader"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(elect)
        assert (await cluster.find(LEADER, B.address)).endpoint == A
    assert all(sorted(cluster.hosts[at : at + 3])[:2] != ["b", "b"] for at in range(0, len(cluster.hosts), 3))
    assert cluster.hosts[2] == "b", "it is asked last"


async def test_a_node_that_failed_comes_back_by_its_own_answer(cluster: Cluster) -> None:
    """Only its connection had broken."""
    cluster.answers = dict.fromkeys("abc", SOUND)
    await cluster.find()
    cluster.asked.clear()
    before = cluster.seconds
    assert (await cluster.find(LEADER, B.address)).endpoint == B
    assert cluster.hosts[2] == "b"
    assert cluster.seconds - before < 0.01


async def test_a_frozen_node_is_not_waited_for_when_others_have_answered(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", SOUND)
    await cluster.find()
    cluster.asked.clear()
    before = cluster.seconds
    cluster.answers["b"] = None
    cluster.options.max_discover_attempts = 1
    with pytest.raises(DiscoveryError) as caught:
        await cluster.find(LEADER, B.address)
    assert cluster.seconds - before == pytest.approx(0.502)
    assert caught.value.candidates["a:2113"].startswith("it names only a node that just failed or refused; it lists")
    assert caught.value.candidates["b:2113"] == "no answer after 0.5 seconds, when others had answered"


async def test_on_a_slow_network_the_last_candidate_is_waited_for_longer(cluster: Cluster) -> None:
    cluster.delays = dict.fromkeys("abc", 0.8)
    cluster.answers = dict.fromkeys("abc", SOUND)
    await cluster.find()
    cluster.delays["b"] = 1.5
    assert (await cluster.find(LEADER, B.address)).endpoint == B


async def test_another_node_is_taken_instead_of_one_that_failed(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", SOUND)
    await cluster.find()
    assert (await cluster.find(FOLLOWER, A.address)).endpoint == C
    assert (await cluster.find(FOLLOWER, A.address, C.address)).endpoint == B


async def test_a_single_node_that_failed_is_asked_all_the_same(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, A)
    cluster.answers = {"a": (member("inside", "Leader"),)}
    await cluster.find()
    assert (await cluster.find(LEADER, A.address)).endpoint == A


# -- another cluster -------------------------------------------------------------------------------------------------

OTHER = members(x="Leader", y="Follower", z="Follower")


async def test_an_answer_of_another_cluster_is_refused(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", SOUND)
    await cluster.find()
    cluster.answers = {"a": OTHER, "b": OTHER, "c": OTHER}
    cluster.options.max_discover_attempts = 3
    with pytest.raises(DiscoveryError) as caught:
        await cluster.find()
    assert caught.value.candidates["a:2113"] == (
        "it belongs to another cluster, since none of its members is known here: "
        "x:2113 Leader, y:2113 Follower, z:2113 Follower"
    )
    assert "x:2113" not in caught.value.candidates, "its members are not asked"


async def test_the_own_cluster_is_found_beside_another_one(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", SOUND)
    await cluster.find()
    for _ in range(10):
        cluster.answers = {"a": OTHER, "b": OTHER, "c": SOUND}
        assert (await cluster.find()).endpoint == B


async def test_a_search_after_one_that_failed_takes_the_seeds_at_their_word(cluster: Cluster) -> None:
    """The cluster was really replaced."""
    cluster.answers = dict.fromkeys("abc", SOUND)
    await cluster.find()
    cluster.answers = dict.fromkeys("abc", OTHER)
    with pytest.raises(DiscoveryError):
        await cluster.find()
    assert (await cluster.find()).endpoint.host == "x"


async def test_a_check_forgets_nothing(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", SOUND)
    await cluster.find()
    cluster.answers = dict.fromkeys("abc", OTHER)
    with pytest.raises(DiscoveryError, match="another cluster"):
        await cluster.discovery.check()
    cluster.options.max_discover_attempts = 1
    with pytest.raises(DiscoveryError, match="another cluster"):
        await cluster.find()


async def test_nodes_that_were_started_anew_or_joined_are_known(cluster: Cluster) -> None:
    cluster.answers = dict.fromkeys("abc", SOUND)
    await cluster.find()
    new = tuple(each._replace(instance_id=member(each.address, number=1).instance_id) for each in SOUND)
    cluster.answers = dict.fromkeys("abc", new)
    assert (await cluster.find()).endpoint == B, "other processes at the same addresses"
    changed = members(x="Leader", y="Follower", a="Follower")
    cluster.answers = dict.fromkeys("abc", changed)
    assert (await cluster.find()).endpoint.host == "x", "two nodes were replaced"
    cluster.answers = dict.fromkeys("abcx", OTHER)
    assert (await cluster.find()).endpoint.host == "x", "and then the third"


async def test_addresses_that_are_none_are_not_known(cluster: Cluster) -> None:
    seen = (*SOUND[:2], member("", "Manager"))
    cluster.answers = dict.fromkeys("abc", seen)
    await cluster.find()
    cluster.answers = dict.fromkeys("abc", (*OTHER, member("", "Manager")))
    cluster.options.max_discover_attempts = 1
    with pytest.raises(DiscoveryError, match="another cluster"):
        await cluster.find()


async def test_a_single_node_may_change_its_name_and_id(nursery: trio.Nursery) -> None:
    """A container that is made anew."""
    cluster = Cluster(nursery, A)
    for name in ("first", "second"):
        cluster.answers = {"a": (member(name, "Leader"),)}
        assert (await cluster.find()).endpoint == A


# -- names -----------------------------------------------------------------------------------------------------------


async def test_every_address_of_a_name_is_a_candidate(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, NAMED, resolves=True, max_discover_attempts=1)
    cluster.names["cluster.example"] = ["10.0.0.1", "10.0.0.2", "2001:db8::3"]
    with pytest.raises(DiscoveryError) as caught:
        await cluster.find()
    assert {candidate for _, candidate in cluster.asked} == {at("10.0.0.1"), at("10.0.0.2"), at("2001:db8::3")}
    assert dict(caught.value.candidates) == {
        "cluster.example:2113 (10.0.0.1)": "connection refused",
        "cluster.example:2113 (10.0.0.2)": "connection refused",
        "cluster.example:2113 (2001:db8::3)": "connection refused",
    }


async def test_addresses_are_asked_in_any_order(nursery: trio.Nursery) -> None:
    orders = set()
    for seed in range(20):
        cluster = Cluster(nursery, NAMED, resolves=True, max_discover_attempts=1, random=Random(seed))
        cluster.names["cluster.example"] = ["10.0.0.1", "10.0.0.2"]
        with pytest.raises(DiscoveryError):
            await cluster.find()
        orders.add(tuple(cluster.hosts))
    assert len(orders) == 2


async def test_names_are_looked_up_in_each_attempt(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, NAMED, resolves=True)
    cluster.names["cluster.example"] = ["10.0.0.1"]
    cluster.answers["10.0.0.2"] = SOUND

    async def move() -> None:
        await trio.sleep(0.25)
        cluster.names["cluster.example"] = ["10.0.0.2"]

    async with trio.open_nursery() as inner:
        inner.start_soon(move)
        assert (await cluster.find()).endpoint == B
    assert cluster.looked_up == ["cluster.example"] * 3


async def test_one_frozen_address_among_several(nursery: trio.Nursery) -> None:
    for seed in range(6):
        cluster = Cluster(nursery, NAMED, resolves=True, random=Random(seed))
        cluster.names["cluster.example"] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
        cluster.answers = {"10.0.0.1": None, "10.0.0.2": None, "10.0.0.3": SOUND}
        assert (await cluster.find()).endpoint == B
        assert cluster.seconds < 0.51


async def test_one_member_behind_a_name_keeps_the_name_and_the_address(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, NAMED, resolves=True)
    cluster.names["cluster.example"] = ["10.0.0.1", "10.0.0.2"]
    cluster.answers["10.0.0.2"] = (member("inside", "Leader"),)
    assert (await cluster.find()).endpoint == at("10.0.0.2")


async def test_a_name_that_is_not_known(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, NAMED, B, resolves=True, max_discover_attempts=1)
    cluster.names = {"cluster.example": socket.gaierror(-2, "Name or service not known"), "b": []}
    with pytest.raises(DiscoveryError) as caught:
        await cluster.find()
    assert dict(caught.value.candidates) == {
        "cluster.example:2113": "the name cannot be looked up: [Errno -2] Name or service not known",
        "b:2113": "the name has no addresses",
    }
    assert not caught.value.final
    cluster.names["b"] = ["10.0.0.1"]
    cluster.answers["10.0.0.1"] = SOUND
    assert (await cluster.find()).endpoint == B


async def test_a_server_of_names_that_does_not_answer(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, NAMED, B, resolves=True, max_discover_attempts=1, gossip_timeout=2.0)
    cluster.names = {"cluster.example": None, "b": ["10.0.0.1"]}
    with pytest.raises(DiscoveryError, match=r"example:2113: the name was not found within 2 seconds \(gossipTimeout"):
        await cluster.find()
    assert cluster.seconds < 2.3
    cluster.answers["10.0.0.1"] = SOUND
    before = cluster.seconds
    assert (await cluster.find()).endpoint == B
    assert cluster.seconds - before < 0.3


async def test_addresses_are_not_looked_up(nursery: trio.Nursery) -> None:
    seeds = [endpoint("10.0.0.1", 2113), endpoint("2001:db8::1", 2113)]
    cluster = Cluster(nursery, *seeds, resolves=True, max_discover_attempts=1)
    with pytest.raises(DiscoveryError):
        await cluster.find()
    assert cluster.looked_up == []
    assert {candidate for _, candidate in cluster.asked} == set(seeds)


async def test_a_name_that_stands_for_itself(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, A, resolves=True)
    cluster.names["a"] = ["a"]
    cluster.answers["a"] = (member("inside", "Leader"),)
    assert (await cluster.find()).endpoint == A
    assert cluster.looked_up == ["a"]


async def test_a_name_with_very_many_addresses(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, NAMED, resolves=True, max_discover_attempts=1)
    cluster.names["cluster.example"] = [f"10.0.{number // 250}.{number % 250}" for number in range(5000)]
    with pytest.raises(DiscoveryError):
        await cluster.find()
    assert len(cluster.asked) == 64


async def test_several_names_with_many_addresses(nursery: trio.Nursery) -> None:
    cluster = Cluster(nursery, A, B, resolves=True, max_discover_attempts=1)
    cluster.names = {"a": [f"10.0.0.{number}" for number in range(60)], "b": ["10.0.1.1", "10.0.1.1"] * 30}
    with pytest.raises(DiscoveryError):
        await cluster.find()
    assert len(cluster.asked) == 61, "an address that is told twice is asked once"
    cluster.names["b"] = [f"10.0.1.{number}" for number in range(60)]
    cluster.asked.clear()
    with pytest.raises(DiscoveryError):
        await cluster.find()
    assert len(cluster.asked) == 64
