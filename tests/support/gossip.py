"""Nodes that tell of their cluster what a test says, for the search without connections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

import trio

from trio_esdb import ClusterMember, NodeState, UnavailableError
from trio_esdb._cluster import ClientOptions, Endpoint, NodePreference, endpoint
from trio_esdb._cluster._discovery import Discovery, Found

LEADER, FOLLOWER, REPLICA, RANDOM = NodePreference
NOW = datetime(2026, 1, 1, tzinfo=UTC)
A, B, C = (endpoint(name, 2113) for name in "abc")


def member(
    name: str, state: NodeState | str = "Follower", *, alive: bool = True, number: int = 0, port: int = 2113
) -> ClusterMember:
    """A member; its id is made of its name, and of a number that stands for its process."""
    id = UUID(int=int.from_bytes(name.encode()[:8], "big") << 8 | number)
    return ClusterMember(name, port, NodeState(state), alive, id, NOW)


def members(**states: str) -> tuple[ClusterMember, ...]:
    """The members with these names. A state that ends in ``!`` is that of a dead one."""
    return tuple(member(name, state.rstrip("!"), alive=not state.endswith("!")) for name, state in states.items())


SOUND = members(c="Follower", b="Leader", a="Follower")
LEADERLESS = members(c="Unknown", b="Leader!", a="Unknown")

Answer = tuple[ClusterMember, ...] | Exception | None


def refused() -> UnavailableError:
    return UnavailableError("cannot connect", details="connection refused")


def final() -> UnavailableError:
    """The failure of a node whose certificate is wrong."""
    error = UnavailableError("cannot connect", details="the certificate is not for this name")
    error.final = True
    return error


class Cluster:
    """A search among nodes that answer as they are told: with members, with an error, or not at all (None).

    A node that is not told anything refuses.
    """

    def __init__(self, nursery: trio.Nursery, *seeds: Endpoint, resolves: bool = False, **options: Any) -> None:
        self.answers: dict[str, Answer] = {}
        """By what is dialled."""
        self.delays: dict[str, float] = {}
        """The seconds until an answer, or an error, comes."""
        self.asked: list[tuple[float, Endpoint]] = []
        self.cancelled: list[str] = []
        self.names: dict[str, Sequence[str] | Exception | None] = {}
        """The addresses of names; None where nothing answers."""
        self.looked_up: list[str] = []
        seeds = seeds or (A, B, C)
        settings: dict[str, Any] = {"node": seeds[0], "seeds": seeds, "cluster": True, "random": Random(7)}
        self.options = ClientOptions(**settings | options)
        self.began = trio.current_time()
        self.discovery = Discovery(nursery, self.options, self._ask, self._resolve if resolves else None)

    async def _ask(self, candidate: Endpoint) -> tuple[ClusterMember, ...]:
        self.asked.append((self.seconds, candidate))
        answer = self.answers.get(candidate.host, refused())
        try:
            await trio.sleep(math.inf if answer is None else self.delays.get(candidate.host, 0.001))
        except trio.Cancelled:
            self.cancelled.append(candidate.host)
            raise
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer

    async def _resolve(self, host: str) -> Sequence[str]:
        self.looked_up.append(host)
        found = self.names[host]
        await trio.sleep(math.inf if found is None else 0.001)
        if isinstance(found, Exception):
            raise found
        return found or ()

    @property
    def seconds(self) -> float:
        """How long the test has lasted, to the millisecond."""
        return round(trio.current_time() - self.began, 3)

    @property
    def hosts(self) -> list[str]:
        """Who was asked, in this order."""
        return [candidate.host for _, candidate in self.asked]

    @property
    def rounds(self) -> list[float]:
        """When an attempt began, where each asks every seed."""
        number = len(self.options.seeds)
        return [time for time, _ in self.asked[::number]]

    async def find(self, wanted: NodePreference = LEADER, *without: str) -> Found:
        return await self.discovery.find(wanted, without=frozenset(without))
