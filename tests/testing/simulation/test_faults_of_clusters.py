"""What each fault does to a cluster, how faults that overlap are undone, and that everything is healed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from trio_esdb import ESDBError, NewEvent, StreamState
from trio_esdb.testing import (
    Fault,
    Freeze,
    Hold,
    Kill,
    Partition,
    Resign,
    SetPriority,
    Terminate,
    Wipe,
    World,
    simulate,
)


def look(schedule: list[Fault], see: Callable[[World], object], times: list[float]) -> list[object]:
    """Run a cluster with these faults, and see something at each of these times; at the end the cluster is whole."""
    seen: list[object] = []

    @simulate(schedule=schedule, duration=60)
    async def test(world: World) -> None:
        for time in times:
            await trio.sleep(time - world.now)
            seen.append(see(world))
        await world.healed()
        assert world.cluster.leader is not None
        assert all(node.is_running and not node.is_frozen for node in world.cluster.nodes)
        async with world.client() as client:
            await client.append_event("s", StreamState.ANY, NewEvent("T", b""))

    test()
    return seen


def running(world: World) -> str:
    return "".join(str(node.number) for node in world.cluster.nodes if node.is_running)


def test_a_node_that_several_faults_keep_down_is_started_with_the_end_of_the_last() -> None:
    schedule = [
        Kill(at=1, node=2, lasts=3),
        Kill(at=2, node=2, lasts=4),
        Terminate(at=3, node=2, lasts=1),
        Kill(node=3),
    ]
    assert look(schedule, running, [0.5, 1.5, 5, 6.5, 20]) == ["12", "1", "1", "12", "12"]


def test_a_node_that_ends_slowly_is_started_once_it_has_ended() -> None:
    assert look([Terminate(at=1, node=2, lasts=0.1)], running, [1.05, 1.5, 30]) == ["123", "123", "123"]
    assert look([Terminate(at=1, node=2)], running, [1.05, 30]) == ["123", "13"]


def test_frozen_nodes() -> None:
    def frozen(world: World) -> list[int]:
        return [node.number for node in world.cluster.nodes if node.is_frozen]

    schedule = [Freeze(at=1, node=1, lasts=3), Freeze(at=2, node=1, lasts=3), Freeze(at=1, node=2), Kill(at=6, node=2)]
    assert look(schedule, frozen, [1.5, 4.5, 5.5, 6.5]) == [[1, 2], [1, 2], [2], []]


def test_partitions_end_one_by_one() -> None:
    def parted(world: World) -> list[str]:
        names = [node.host for node in world.cluster.nodes]
        pairs = ((a, b) for a in names for b in names if a != b)
        return [f"{a[4]}{b[4]}" for a, b in pairs if not world.network.passes(a, b)]

    schedule = [Partition(at=1, nodes=(1,), lasts=3), Partition(at=2, nodes=(2,), one_way=True)]
    first, both = ["12", "13", "21", "31"], ["12", "13", "21", "23", "31"]
    assert look(schedule, parted, [0.5, 1.5, 2.5, 4.5]) == [[], first, both, ["21", "23"]]


def test_what_makes_no_sense_for_a_node_does_nothing() -> None:
    faults = [Resign(2, node) for node in (1, 2, 3)]
    schedule = [Kill(at=1, node=3), Kill(at=2, node=3), Freeze(at=2, node=3, lasts=1), SetPriority(2, 3, 7), *faults]
    assert look(schedule, running, [3]) == ["12"]


def test_a_node_that_was_wiped_has_everything_again() -> None:
    @simulate(schedule=[Wipe(at=1, node=2, lasts=1)])
    async def test(world: World) -> None:
        async with world.client() as client:
            await client.append_event("s", StreamState.ANY, NewEvent("T", b""))
            await trio.sleep(3)
            await world.healed()
        node = world.cluster.node(2)
        async with world.client(uri=f"esdb://{node.address}?tls=false&nodePreference=follower") as client:
            assert len(await client.get_stream_events("s")) == 1

    test()


def test_a_priority_is_set() -> None:
    def priorities(world: World) -> list[int]:
        return [node._process.peer.priority for node in world.cluster.nodes if node._process is not None]

    assert look([SetPriority(1, 2, 7)], priorities, [0.5, 1.5]) == [[0, 0, 0], [0, 7, 0]]


def test_clients_of_a_secure_cluster_need_nothing_else() -> None:
    @simulate(seeds=1, tls=True, users={"ann": "pw"}, schedule=[Hold(at=1, lasts=1)])
    async def test(world: World) -> None:
        async with world.client() as client:
            await client.append_event("s", StreamState.ANY, NewEvent("T", b""))
        async with world.client(root_certificates=world.cluster.root_certificates) as client:
            await client.append_event("s", StreamState.ANY, NewEvent("T", b""))

    test()


def test_a_test_that_gives_up_fails_with_what_it_raised() -> None:
    """The cluster and its faults end with it."""

    @simulate(schedule=[Kill(node=1), Kill(node=2)])
    async def test(world: World) -> None:
        await trio.sleep(1)
        async with world.client() as client:
            await client.append_event("s", StreamState.ANY, NewEvent("T", b""), timeout=5)

    with pytest.raises(ESDBError) as caught:
        test()
    assert "[Kill(at=0.0, node=1), Kill(at=0.0, node=2)]" in caught.value.__notes__[0]
