"""Which member of a cluster is taken."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_esdb import ClusterMember, NodeState
from trio_esdb._cluster import NodePreference, _preference
from trio_esdb._cluster._preference import ORDER, best, endpoint_of, fits

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEADER, FOLLOWER, REPLICA, RANDOM = NodePreference
STATES = {state.value: state for state in NodeState}
TAKEN = {"Leader", "Follower", "ReadOnlyReplica", "PreReadOnlyReplica", "ReadOnlyLeaderless"}


def member(state: str, address: str = "", port: int = 2113, *, alive: bool = True) -> ClusterMember:
    return ClusterMember(address or state.lower(), port, STATES[state], alive, UUID(int=0), NOW)


def states(wanted: NodePreference, *members: ClusterMember, without: str = "") -> set[str]:
    """The states of those that may be taken."""
    return {str(found.state) for found, _ in best(wanted, members, frozenset([without]))}


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
    for group in order:
        equal = set(group.split())
        assert states(wanted, *map(member, left)) == equal
        left -= equal
    assert states(wanted, *map(member, left)) == set()


def test_the_order_is_told() -> None:
    """The table at the head of the module has the order."""
    rows = re.findall(r"^\| (\w+) \| (.+) \|$", _preference.__doc__ or "", re.MULTILINE)
    told = {name: [set(re.findall("[A-Z][A-Za-z]+", group)) for group in text.split(";")] for name, text in rows[1:]}
    assert told == {
        wanted.value: [{state.value for state in group} for group in groups] for wanted, groups in ORDER.items()
    }


@pytest.mark.parametrize("wanted", NodePreference)
def test_the_dead_are_never_taken(wanted: NodePreference) -> None:
    assert states(wanted, *(member(state, alive=False) for state in STATES)) == set()


@pytest.mark.parametrize(
    ("address", "port"),
    [("", 2113), ("a", 0), ("a", 65536), ("a", 2**32 - 1), ("a b", 1), ("a\nb", 1), ("x" * 254, 1), ("a\x00", 1)],
)
def test_members_that_tell_no_address(address: str, port: int) -> None:
    lost = member("Leader")._replace(address=address, port=port)
    assert endpoint_of(lost) is None
    assert states(LEADER, lost) == set()
    assert states(FOLLOWER, lost, member("ReadOnlyReplica")) == {"ReadOnlyReplica"}


def test_addresses() -> None:
    assert endpoint_of(member("Leader", "node1", 1)) == ("node1", 1, "node1:1", "")
    assert endpoint_of(member("Leader", "fe80::1", 65535)) == ("fe80::1", 65535, "[fe80::1]:65535", "")


def test_a_node_that_is_left_out() -> None:
    two = member("Leader", "a"), member("Leader", "b")
    assert [endpoint.host for _, endpoint in best(LEADER, two)] == ["a", "b"]
    assert [endpoint.host for _, endpoint in best(LEADER, two, frozenset(["a:2113"]))] == ["b"]
    assert states(LEADER, two[0], without="a:2113") == set()
    assert states(FOLLOWER, member("Follower", "a"), member("Leader", "b"), without="a:2113") == {"Leader"}


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


@given(st.sampled_from(NodePreference), MEMBERS, st.frozensets(st.sampled_from(["a:2113", "b:1", "c:2113"])))
def test_the_best_are_taken(wanted: NodePreference, members: list[ClusterMember], without: frozenset[str]) -> None:
    places = {state: place for place, group in enumerate(ORDER[wanted]) for state in group}
    usable = [
        (each, endpoint)
        for each in members
        if fits(wanted, each) and (endpoint := endpoint_of(each)) is not None and endpoint.address not in without
    ]
    least = min((places[each.state] for each, _ in usable), default=0)
    assert best(wanted, members, without) == [found for found in usable if places[found[0].state] == least]


def test_what_fits() -> None:
    assert {state for state in STATES if fits(LEADER, member(state))} == {"Leader"}
    for wanted in (FOLLOWER, REPLICA, RANDOM):
        assert {state for state in STATES if fits(wanted, member(state))} == TAKEN
        assert not any(fits(wanted, member(state, alive=False)) for state in STATES)
