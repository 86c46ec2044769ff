"""Which member of a cluster is taken."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_esdb import ClusterMember, NodeState
from trio_esdb._cluster import NodePreference, _preference
from trio_esdb._cluster._preference import ORDER, choose, endpoint_of, fits

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEADER, FOLLOWER, REPLICA, RANDOM = NodePreference
STATES = {state.value: state for state in NodeState}
TAKEN = {"Leader", "Follower", "ReadOnlyReplica", "PreReadOnlyReplica", "ReadOnlyLeaderless"}


def member(state: str, address: str = "", port: int = 2113, *, alive: bool = True) -> ClusterMember:
    return ClusterMember(address or state.lower(), port, STATES[state], alive, UUID(int=0), NOW)


def chosen(wanted: NodePreference, *members: ClusterMember, without: str = "", seed: int = 0) -> str | None:
    """The state of the one that is taken."""
    found = choose(wanted, members, Random(seed), frozenset([without]))
    return None if found is None else str(found[0].state)


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        (LEADER, ["Leader"]),
        (FOLLOWER, ["Follower", "Leader", "ReadOnlyReplica", "PreReadOnlyReplica ReadOnlyLeaderless"]),
        (REPLICA, ["ReadOnlyReplica", "Follower", "Leader", "PreReadOnlyReplica ReadOnlyLeaderless"]),
        (RANDOM, ["Leader Follower ReadOnlyReplica", "PreReadOnlyReplica ReadOnlyLeaderless"]),
    ],
)
def test_the_order(wanted: NodePreference, order: list[str]) -> None:
    left = set(STATES)
    for states in order:
        equal = set(states.split())
        assert {chosen(wanted, *map(member, sorted(left)), seed=seed) for seed in range(60)} == equal
        left -= equal
    assert chosen(wanted, *map(member, left)) is None


def test_the_order_is_told() -> None:
    """The table at the head of the module has the order."""
    rows = re.findall(r"^\| (\w+) \| (.+) \|$", _preference.__doc__ or "", re.MULTILINE)
    told = {name: [set(re.findall("[A-Z][A-Za-z]+", group)) for group in text.split(";")] for name, text in rows[1:]}
    assert told == {
        wanted.value: [{state.value for state in states} for states in groups] for wanted, groups in ORDER.items()
    }


@pytest.mark.parametrize("wanted", NodePreference)
def test_the_dead_are_never_taken(wanted: NodePreference) -> None:
    assert chosen(wanted, *(member(state, alive=False) for state in STATES)) is None


@pytest.mark.parametrize(
    ("address", "port"),
    [("", 2113), ("a", 0), ("a", 65536), ("a", 2**32 - 1), ("a b", 1), ("a\nb", 1), ("x" * 254, 1), ("a\x00", 1)],
)
def test_members_that_tell_no_address(address: str, port: int) -> None:
    lost = member("Leader")._replace(address=address, port=port)
    assert endpoint_of(lost) is None
    assert chosen(LEADER, lost) is None
    assert chosen(FOLLOWER, lost, member("ReadOnlyReplica")) == "ReadOnlyReplica"


def test_addresses() -> None:
    assert endpoint_of(member("Leader", "node1", 1)) == ("node1", 1, "node1:1", "")
    assert endpoint_of(member("Leader", "fe80::1", 65535)) == ("fe80::1", 65535, "[fe80::1]:65535", "")


def test_a_node_that_is_left_out() -> None:
    two = member("Leader", "a"), member("Leader", "b")
    assert {found[1].host for seed in range(20) if (found := choose(LEADER, two, Random(seed)))} == {"a", "b"}
    for seed in range(20):
        found = choose(LEADER, two, Random(seed), frozenset(["a:2113"]))
        assert found is not None
        assert found[1].host == "b"
    assert chosen(LEADER, two[0], without="a:2113") is None
    assert chosen(FOLLOWER, member("Follower", "a"), member("Leader", "b"), without="a:2113") == "Leader"


MEMBERS = st.lists(
    st.builds(
        ClusterMember,
        st.sampled_from(["a", "b", "c", "d", ""]),
        st.sampled_from([0, 1, 2113, 70000]),
        st.sampled_from(NodeState),
        st.booleans(),
        st.just(UUID(int=0)),
        st.just(NOW),
    ),
    max_size=8,
)


@given(st.sampled_from(NodePreference), MEMBERS, st.sets(st.sampled_from(["a:2113", "b:1", "c:2113"])), st.randoms())
def test_the_best_is_taken(
    wanted: NodePreference, members: list[ClusterMember], without: set[str], random: Random
) -> None:
    found = choose(wanted, members, random, frozenset(without))
    places = {state: place for place, states in enumerate(ORDER[wanted]) for state in states}
    usable = [
        each
        for each in members
        if fits(wanted, each) and (endpoint := endpoint_of(each)) is not None and endpoint.address not in without
    ]
    if found is None:
        assert usable == []
        return
    taken, endpoint = found
    assert taken in usable
    assert endpoint == endpoint_of(taken)
    assert places[taken.state] == min(places[each.state] for each in usable)
    assert choose(wanted, members, Random(3), frozenset(without)) == choose(
        wanted, members, Random(3), frozenset(without)
    )


def test_what_fits() -> None:
    assert {state for state in STATES if fits(LEADER, member(state))} == {"Leader"}
    for wanted in (FOLLOWER, REPLICA, RANDOM):
        assert {state for state in STATES if fits(wanted, member(state))} == TAKEN
        assert not any(fits(wanted, member(state, alive=False)) for state in STATES)
