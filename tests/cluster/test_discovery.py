"""The search for a node of a cluster: who is asked, when, which answer counts, and what is told if there is none."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

import pytest
import trio
import trio.testing

from trio_esdb import ClusterMember, DiscoveryError, NodeState, UnavailableError
from trio_esdb._cluster import ClientOptions, Endpoint, NodePreference, endpoint
from trio_esdb._cluster._discovery import Discovery, Found

LEADER, FOLLOWER, REPLICA, RANDOM = NodePreference
A, B, C = (endpoint(name, 2113) for name in "abc")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def member(name: str, state: NodeState | str = "Follower", *, alive: bool = True, number: int = 0) -> ClusterMember:
    """A member; its id is made of its name, and of a number that stands for its process."""
    id = UUID(int=sum(byte << 8 * place for place, byte in enumerate(name.encode()[:8], 1)) + number)
    return ClusterMember(name, 2113, NodeState(state), alive, id, NOW)


def members(**states: str) -> tuple[ClusterMember, ...]:
    """The members with these names. A state that ends in ``!`` is that of a dead one."""
    return tuple(member(name, state.rstrip("!"), alive=not state.endswith("!")) for name, state in states.items())


SOUND = members(c="Follower", b="Leader", a="Follower")

Answer = tuple[ClusterMember, ...] | Exception | None


class World:
    """Nodes that answer as they are told: with members, with an error, or not at all (None)."""

    def __init__(self, nursery: trio.Nursery, *seeds: Endpoint, **options: Any) -> None:
        self.answers: dict[str, Answer] = {}
        """By what is dialled."""
        self.delays: dict[str, float] = {}
        """The seconds until an answer, or an error, comes."""
        self.asked: list[tuple[float, Endpoint]] = []
        self.cancelled: list[str] = []
        self.names: dict[str, Sequence[str] | Exception | None] = {}
        """The addresses of names; None for a server of names that does not answer."""
        self.looked_up: list[str] = []
        seeds = seeds or (A, B, C)
        settings: dict[str, Any] = {"node": seeds[0], "seeds": seeds, "cluster": True, "random": Random(7)}
        self.options = ClientOptions(**settings | options)
        self.began = trio.current_time()
        self.discovery = Discovery(nursery, self.options, self.ask, None)

    def resolving(self, nursery: trio.Nursery) -> World:
        """Let the names of seeds be looked up."""
        self.discovery = Discovery(nursery, self.options, self.ask, self.resolve)
        return self

    async def ask(self, candidate: Endpoint) -> tuple[ClusterMember, ...]:
        self.asked.append((round(trio.current_time() - self.began, 3), candidate))
        answer = self.answers.get(candidate.host, UnavailableError("refused", details="connection refused"))
        try:
            await trio.sleep(math.inf if answer is None else self.delays.get(candidate.host, 0.001))
        except trio.Cancelled:
            self.cancelled.append(candidate.host)
            raise
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer

    async def resolve(self, host: str) -> Sequence[str]:
        self.looked_up.append(host)
        found = self.names[host]
        await trio.sleep(math.inf if found is None else 0.001)
        if isinstance(found, Exception):
            raise found
        return found or ()

    @property
    def hosts(self) -> list[str]:
        """Who was asked, in this order."""
        return [candidate.host for _, candidate in self.asked]

    async def find(self, wanted: NodePreference = LEADER, *without: str) -> Found:
        return await self.discovery.find(wanted, without=frozenset(without))


Use = Callable[[World], Awaitable[None]]


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    return World(nursery)


async def test_the_first_answer_counts(world: World) -> None:
    world.answers = dict.fromkeys("abc", SOUND)
    found = await world.find()
    assert found == (B, NodeState.LEADER, SOUND)
    assert len(world.asked) == 1


async def test_seeds_are_asked_in_any_order(nursery: trio.Nursery) -> None:
    orders = set()
    for seed in range(30):
        world = World(nursery, random=Random(seed))
        world.answers = {"a": SOUND, "b": SOUND, "c": SOUND}
        await world.find()
        orders.add(world.hosts[0])
    assert orders == {"a", "b", "c"}


async def test_the_next_candidate_is_asked_after_a_failure_at_once(world: World) -> None:
    world.answers = dict.fromkeys("abc", UnavailableError("x", details="connection refused"))
    world.options.max_discover_attempts = 1
    with pytest.raises(DiscoveryError) as caught:
        await world.find()
    assert [time for time, _ in world.asked] == [0, 0.001, 0.002]
    assert dict(caught.value.candidates) == dict.fromkeys([A.address, B.address, C.address], "connection refused")
    for host in "abc":
        assert f"{host}:2113: connection refused" in str(caught.value)
    assert caught.value.applied is False


async def test_silent_candidates_overlap(world: World) -> None:
    world.answers = dict.fromkeys("abc")
    world.options.max_discover_attempts = 1
    with pytest.raises(DiscoveryError, match="no answer within 5 seconds"):
        await world.find()
    assert [time for time, _ in world.asked] == [0, 0.25, 0.5]
    assert trio.current_time() - world.began == pytest.approx(5.5)


async def test_one_listed_member_keeps_the_address_that_was_used(nursery: trio.Nursery) -> None:
    world = World(nursery, A)
    only = (member("inside", "Leader"),)
    world.answers = {"a": only}
    assert await world.find() == (A, NodeState.LEADER, only)


async def test_a_waiter_that_gives_up_does_not_stop_the_others(world: World) -> None:
    world.answers = dict.fromkeys("abc", SOUND)
    world.delays = dict.fromkeys("abc", 1)
    found: list[Found] = []

    async def patient() -> None:
        found.append(await world.find())

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0.1):
            nursery.start_soon(patient)
            await world.find()
    assert [endpoint for endpoint, _, _ in found] == [B]


async def test_closing_ends_it(world: World) -> None:
    world.answers = dict.fromkeys("abc")
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await world.find()

        await trio.sleep(1)
        world.discovery.close()
    assert trio.current_time() - world.began == 1
    assert sorted(world.cancelled) == ["a", "b", "c"]
