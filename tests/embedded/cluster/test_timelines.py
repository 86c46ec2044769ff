"""What becomes of the processes and of what they show, and how long that takes: within what was recorded of real nodes.

The ranges are written at each assertion, in seconds. Each test runs with some seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tests.support.peers import Peers
from trio_esdb.embedded._cluster._election import Elected
from trio_esdb.embedded._cluster._presence import Gossip
from trio_esdb.embedded._cluster._timings import EXIT_SEEN
from trio_esdb.embedded._services._membership import State

_SEEDS = range(12)
pytestmark = pytest.mark.parametrize("seed", _SEEDS)


def settled(seed: int, read_only: int = 0) -> tuple[Peers, int, int, int]:
    """Peers that have run for a while: they, the leader, and the two followers."""
    peers = Peers(3, read_only, seed=seed)
    peers.run(20)
    (leader,) = peers.leading
    one, other = (number for number in (1, 2, 3) if number != leader)
    return peers, leader, one, other


def test_three_nodes_start(seed: int) -> None:
    peers = Peers(3, seed=seed)
    assert peers.until(lambda: bool(peers.leading)) < 5.3
    (leader,) = peers.leading
    for number in (1, 2, 3):
        assert 1.4 < peers.entered(number, State.DiscoverLeader) < 1.71
        assert peers.view(number)[leader] == "Leader alive"
    assert 4.0 < min(peers.entered(number, State.Unknown) for number in (1, 2, 3)) < 5.0
    whole = {number: "Leader alive" if number == leader else "Follower alive" for number in (1, 2, 3)}
    peers.until(lambda: all(peers.view(number) == whole for number in (1, 2, 3)))
    assert peers.now < 9.6


def test_seeds_that_do_not_answer_are_no_members_yet(seed: int) -> None:
    peers = Peers(3, seed=seed)
    for number in (2, 3):
        peers.kill(number)
    peers.until(lambda: peers.entered(1, State.DiscoverLeader) < math.inf)
    assert peers.running[1].sees()[2][0] is State.Manager
    members = {member.host: member for member in peers.running[1].members()}
    assert members["node2.example"].instance == 0
    peers.run(0.2)
    assert peers.view(1)[2] == "Manager dead"


def test_a_killed_leader(seed: int) -> None:
    peers, leader, one, other = settled(seed)
    killed = peers.now
    peers.kill(leader)
    for viewer in (one, other):
        assert peers.view(viewer)[leader] == "Leader alive"
    for viewer in (one, other):
        while peers.view(viewer)[leader] == "Leader alive":
            peers.run(0.005)
            assert peers.now < killed + 0.25
    assert 0.02 < peers.now - killed < 0.2
    peers.until(lambda: bool(peers.leading))
    assert 0.1 < peers.now - killed < 1.65
    (new,) = peers.leading
    rest = one if new == other else other
    assert peers.view(rest)[new] == "Leader alive"
    for viewer in (new, rest):
        assert peers.view(viewer)[leader] == "Unknown dead"
    waited = peers.entered(rest, State.PreReplica, killed) - killed
    elected = peers.entered(new, State.PreLeader, killed) - killed
    assert waited == pytest.approx(elected, abs=0.01) or 0.44 < waited < 0.75
    peers.run(60)
    assert peers.view(new) == {leader: "Unknown dead", new: "Leader alive", rest: "Follower alive"}
    peers.run(1800)
    members = peers.running[new].members()
    assert f"node{leader}.example" not in {member.host for member in members}


def test_a_leader_that_ends_in_order(seed: int) -> None:
    peers, leader, one, _ = settled(seed)
    ended = peers.now
    peers.running[leader].fall_silent()
    peers.run(0.4)
    assert peers.view(one)[leader] == "Leader alive"
    peers.kill(leader, EXIT_SEEN)
    assert 0.01 < peers.until(peers.shows(one, leader, "Leader dead")) < 0.09
    peers.until(lambda: bool(peers.leading))
    assert peers.now - ended < 0.4 + 1.7


def test_a_frozen_leader_with_records_that_the_others_lack_ends_itself(seed: int) -> None:
    peers, leader, one, other = settled(seed)
    first = peers.write(leader)
    peers.run(0.1)
    frozen = peers.now
    lost = peers.write(leader)
    peers.freeze(leader)
    peers.until(lambda: any(peers.view(viewer)[leader] != "Leader alive" for viewer in (one, other)))
    assert 5.4 < peers.now - frozen < 5.6
    peers.until(lambda: len(peers.leading) == 2)  # the frozen one believes that it leads
    assert 6.4 < peers.now - frozen < 7.7
    new = next(number for number in peers.leading if number != leader)
    kept = peers.write(new)
    peers.run(frozen + 8 - peers.now)
    peers.wake(leader)
    woken = peers.now
    assert 0.02 < peers.until(peers.shows(new, leader, "Leader alive")) < 0.11
    peers.until(lambda: not peers.running[leader].is_leading)
    assert 0.3 < peers.now - woken < 0.46
    peers.until(lambda: leader not in peers.running)
    assert 0.1 <= peers.now - peers.entered(leader, State.ShuttingDown) + 0.01 < 0.13
    assert peers.now - woken < 0.75
    assert peers.view(new)[leader] == "Leader alive"
    peers.until(peers.shows(new, leader, "Leader dead"))
    assert 0.3 < peers.now - woken < 2.5
    peers.start(leader)
    peers.run(5)
    assert peers.ids(leader) == [first, kept]
    assert lost not in peers.ids(leader, confirmed=False)


def test_a_frozen_leader_without_such_records_follows(seed: int) -> None:
    peers, leader, _, _ = settled(seed)
    peers.freeze(leader)
    peers.run(8)
    peers.wake(leader)
    peers.run(10)
    assert peers.running[leader].state is State.Follower
    assert all(peers.view(number) == peers.view(1) for number in (2, 3))


def test_a_leader_that_is_frozen_for_a_moment_goes_on_leading(seed: int) -> None:
    peers, leader, _, _ = settled(seed)
    peers.freeze(leader)
    peers.run(5)
    peers.wake(leader)
    peers.run(5)
    assert peers.leading == [leader]
    peers.write(leader)
    peers.run(0.1)
    assert all(peers.ids(number) for number in (1, 2, 3))


def test_a_frozen_follower_is_shown_dead_and_catches_up(seed: int) -> None:
    peers, leader, one, other = settled(seed)
    peers.freeze(one)
    assert 5.4 < peers.until(peers.shows(other, one, "Follower dead")) < 5.6
    written = peers.write(leader)
    peers.run(1)
    assert peers.ids(other) == [written]
    assert peers.ids(one) == []
    peers.wake(one)
    peers.run(1)
    assert peers.ids(one) == [written]
    assert peers.view(other)[one] == "Follower alive"


def test_a_leader_resigns(seed: int) -> None:
    peers, leader, one, other = settled(seed)
    resigned = peers.now
    peers.running[leader].resign()
    assert peers.running[leader].state is State.ResigningLeader
    peers.until(lambda: bool(peers.leading))
    assert 0.3 < peers.now - resigned < 0.87
    (new,) = peers.leading
    again = new == leader
    assert peers.entered(new, State.PreLeader, resigned) - resigned < 0.81
    peers.run(0.02)
    for viewer in {1, 2, 3} - {new}:
        assert (peers.view(viewer)[new] == "Leader alive") or again
    peers.run(5)
    whole = {number: "Leader alive" if number == new else "Follower alive" for number in (1, 2, 3)}
    assert [peers.view(number) for number in (leader, one, other)] == [whole] * 3


def test_a_leader_with_a_low_priority_does_not_win_again(seed: int) -> None:
    peers, leader, _, _ = settled(seed)
    peers.running[leader].priority = -5
    peers.run(5)
    assert peers.leading == [leader]
    peers.running[leader].resign()
    peers.run(3)
    assert peers.leading != [leader]


def test_of_equal_logs_the_highest_priority_wins(seed: int) -> None:
    peers, leader, one, other = settled(seed)
    peers.running[one].priority = 7
    peers.kill(leader)
    peers.run(3)
    assert peers.leading == [one]
    assert peers.running[other].state in (State.Follower, State.Clone)


@pytest.mark.parametrize("cut", ["kill", "part"])
def test_a_leader_without_a_quorum(seed: int, cut: str) -> None:
    peers, leader, one, other = settled(seed)
    if cut == "kill":
        peers.kill(one)
        peers.kill(other)
    else:
        peers.part({leader})
    pending = peers.write(leader)
    peers.run(2.9)
    assert peers.leading == [leader]
    assert 0.1 <= peers.until(lambda: not peers.leading) < 0.6
    assert peers.running[leader].state is State.Unknown
    if cut == "part":
        return
    peers.run(3)
    assert peers.view(leader) == {leader: "Unknown alive", one: "Follower dead", other: "Follower dead"}
    assert peers.ids(leader) == []
    began = peers.now
    peers.start(one)
    peers.start(other)
    peers.until(lambda: bool(peers.leading))
    assert peers.leading == [leader]  # its log is the longest
    assert 2.5 < peers.now - min(peers.entered(number, State.DiscoverLeader, began) for number in (one, other)) < 3.6
    peers.run(began + 7.6 - peers.now)
    assert sorted(peers.states().values()) == ["Follower", "Follower", "Leader"]
    assert [peers.ids(number) for number in (1, 2, 3)] == [[pending]] * 3


def test_a_node_rejoins(seed: int) -> None:
    peers, leader, one, _ = settled(seed)
    peers.kill(one)
    peers.run(3)
    began = peers.now
    peers.start(one)
    peers.until(lambda: peers.running[one].state is State.Follower)
    assert 1.85 < peers.now - began < 2.65
    states = [state for at, number, state in peers.history if number == one and at >= began]
    assert states == [State.DiscoverLeader, State.PreReplica, State.CatchingUp, State.Clone, State.Follower]
    assert peers.until(peers.shows(leader, one, "Follower alive")) < 0.3


def test_a_read_only_replica_joins(seed: int) -> None:
    peers, leader, _, _ = settled(seed, read_only=1)
    peers.kill(4)
    peers.run(3)
    began = peers.now
    peers.start(4)
    peers.until(lambda: peers.running[4].state is State.ReadOnlyReplica)
    assert 1.2 < peers.now - began < 2.5
    states = [state for at, number, state in peers.history if number == 4 and at >= began]
    assert states == [State.ReadOnlyLeaderless, State.PreReadOnlyReplica, State.ReadOnlyReplica]
    peers.until(peers.shows(leader, 4, "ReadOnlyReplica alive"))
    assert peers.now - began < 2.7
    for number in (1, 2, 3):
        peers.kill(number)
    peers.run(1)
    assert peers.running[4].state is State.ReadOnlyLeaderless


def test_a_survivor_without_a_quorum_knows_no_leader(seed: int) -> None:
    peers, leader, one, other = settled(seed)
    peers.kill(leader)
    peers.kill(other)
    peers.run(0.7)
    assert peers.running[one].state is State.PreReplica
    peers.run(4)
    assert peers.running[one].state is State.Unknown
    peers.start(leader)
    peers.run(10)
    assert len(peers.leading) == 1


def test_partitions(seed: int) -> None:
    peers, leader, one, other = settled(seed)
    peers.part({one})
    peers.run(20)
    assert peers.view(other) == {leader: "Leader alive", one: "Follower dead", other: "Follower alive"}
    assert peers.running[one].state is State.Unknown
    assert peers.view(one)[leader] == "Leader dead"
    written = peers.write(leader)
    peers.run(1)
    assert peers.ids(other) == [written]
    peers.heal()
    peers.run(5)
    assert peers.leading == [leader]  # the node that was alone does not disturb it
    assert peers.running[one].state is State.Follower
    assert peers.ids(one) == [written]


def test_a_deposed_leader_that_was_parted_ends_itself_or_follows(seed: int) -> None:
    peers, leader, one, other = settled(seed)
    peers.part({leader})
    lost = peers.write(leader) if seed % 2 else 0
    peers.run(8)
    assert peers.leading != [leader]
    kept = peers.write(peers.leading[0])
    peers.heal()
    peers.run(5)
    if lost:
        assert leader not in peers.running
        peers.start(leader)
        peers.run(5)
    assert peers.running[leader].state is State.Follower
    assert [peers.ids(number) for number in (leader, one, other)] == [[kept]] * 3


def test_a_node_that_has_promised_not_to_follow_the_leader_gets_a_new_election(seed: int) -> None:
    """As one that was in a round of an election which had no result, because the network was parted meanwhile."""
    peers, leader, one, other = settled(seed)
    peers.part({one})
    peers.run(20)
    peers.disks[one].ballot.view = 50
    peers.heal()
    peers.run(20)
    assert sorted(peers.states().values()) == ["Follower", "Follower", "Leader"]
    assert peers.running[one].epoch > 50
    written = peers.write(peers.leading[0])
    peers.run(1)
    assert [peers.ids(number) for number in (leader, one, other)] == [[written]] * 3


def test_a_node_that_was_elected_and_could_not_know_does_not_lead(seed: int) -> None:
    peers, leader, one, other = settled(seed)
    for hears, tells in ((one, other), (other, one)):
        instance = peers.running[tells].instance
        peers.mesh.send(tells, hears, Gossip(tells, instance, State.Follower, Elected(9, one), False))
    peers.run(0.01)
    peers.kill(leader)
    peers.run(10)
    assert len(peers.leading) == 1
    assert peers.running[peers.leading[0]].epoch > 9


def test_a_record_under_way_survives_its_leader(seed: int) -> None:
    """As the recorded append that was in flight when the leader was killed."""
    peers, leader, one, other = settled(seed)
    written = peers.write(leader)
    peers.run(0.0)
    peers.kill(leader)
    peers.run(5)
    assert [peers.ids(number) for number in (one, other)] == [[written]] * 2


def test_records_are_confirmed_within_milliseconds(seed: int) -> None:
    peers, leader, one, other = settled(seed)
    written = peers.write(leader)
    assert 0.0008 < _exactly(peers, lambda: peers.ids(leader) == [written]) < 0.004
    assert _exactly(peers, lambda: peers.ids(one) == peers.ids(other) == [written]) < 0.004


def _exactly(peers: Peers, condition: Callable[[], bool]) -> float:
    began = peers.now
    while not condition():
        peers.run(0.0001)
        assert peers.now < began + 1
    return peers.now - began
