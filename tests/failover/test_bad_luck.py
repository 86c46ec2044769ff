"""Clusters in which no node can be used: each time one clear error, in time, and the client can be used afterwards."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio

from trio_esdb import DiscoveryError, ESDBClient, ESDBError, NewEvent, NodeState, StreamState, UnavailableError
from trio_esdb.embedded import Certificates
from trio_esdb.testing import EmbeddedCluster, MemoryHost, MemoryNetwork

EVENT = NewEvent(type="Happened", data=b"{}")
SEARCH = 15.0
"""Seconds that a search takes at most in which nobody answers: ten attempts, with pauses up to two seconds."""
DEADLINE = 10.0
"""Seconds in which a call with one answer ends."""


async def append(client: ESDBClient) -> None:
    await client.append_event("s", StreamState.ANY, EVENT)


async def count(client: ESDBClient) -> int:
    async with client.read_all_events() as events:
        return len([event async for event in events])


async def fails(call: Callable[[], Awaitable[object]], kind: type[ESDBError], within: float) -> ESDBError:
    """The error of a call, which must come in time."""
    began = trio.current_time()
    with pytest.raises(kind) as failure:
        await call()
    assert trio.current_time() - began <= within + 0.001
    return failure.value


def entering(client: ESDBClient) -> Callable[[], Awaitable[object]]:
    async def enter() -> None:
        async with client:
            pass

    return enter


async def until_usable(client: ESDBClient) -> None:
    """The same client again: it needs no new one, and no help."""
    with trio.fail_after(30):
        while True:
            try:
                await append(client)
            except UnavailableError:
                await trio.sleep(0.5)
            else:
                return


# -- no candidate ----------------------------------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    uri = "esdb://node1.example:2113,node2.example:2113,node3.example:2113?tls=false"
    error = await fails(entering(ESDBClient(uri, connect=MemoryNetwork().connect)), DiscoveryError, SEARCH)
    assert isinstance(error, DiscoveryError)
    assert set(error.candidates) == {f"node{number}.example:2113" for number in (1, 2, 3)}
    assert all("Name or service not known" in cause for cause in error.candidates.values())
    assert error.applied is False


async def test_all_nodes_are_lost_and_come_back() -> None:
    async with EmbeddedCluster() as cluster, ESDBClient(cluster.uri, connect=cluster.network.connect) as client:
        await append(client)
        for node in cluster.nodes:
            node.kill()
        await trio.sleep(1)
        error = await fails(lambda: append(client), ESDBError, DEADLINE)
        assert error.applied is False
        for node in cluster.nodes:
            assert node.address in str(error)
        for node in cluster.nodes:
            node.restart()
        await cluster.settled()
        await until_usable(client)


# -- certificates ----------------------------------------------------------------------------------------------------


async def test_the_certificate_of_one_node_has_wrong_names() -> None:
    """The node is left out, and if it is the leader the error says what is wrong with it."""
    good = Certificates.self_made("node1.example", "node2.example", "node3.example")
    bad = Certificates.self_made("elsewhere.example")
    roots = good.root_certificates + bad.root_certificates
    async with EmbeddedCluster(tls=[good, good, bad]) as cluster:
        third = cluster.nodes[2]
        await lead(cluster, third.number)
        client = ESDBClient(cluster.uri, root_certificates=roots, connect=cluster.network.connect)
        error = await fails(entering(client), UnavailableError, SEARCH)
        assert third.address in str(error)
        assert "elsewhere.example" in str(error) or "certificate" in str(error)
        await lead(cluster, 1, 2)
        async with ESDBClient(cluster.uri, root_certificates=roots, connect=cluster.network.connect) as again:
            await append(again)
            await lead(cluster, third.number)
            await fails(lambda: append(again), ESDBError, DEADLINE)
            await lead(cluster, 1, 2)
            await until_usable(again)


# -- another cluster -------------------------------------------------------------------------------------------------


async def test_gossip_of_another_cluster() -> None:
    """Its nodes are not used, even if all of our own are lost."""
    network = MemoryNetwork()
    async with EmbeddedCluster(network=network) as ours, other_cluster(network) as theirs:
        uri = ours.uri.replace("?", f",{theirs.nodes[0].address}?")
        async with ESDBClient(uri, connect=network.connect) as client:
            members = {member.address for member in await client.read_gossip()}
            mine, other = (ours, theirs) if ours.nodes[0].host in members else (theirs, ours)
            await append(client)
            for node in mine.nodes:
                node.kill()
            await fails(lambda: append(client), ESDBError, DEADLINE)
            for node in mine.nodes:
                node.restart()
            await mine.settled()
            await until_usable(client)
            async with ESDBClient(other.uri, connect=network.connect) as there:
                assert await count(there) == 0


@asynccontextmanager
async def other_cluster(network: MemoryNetwork) -> AsyncIterator[EmbeddedCluster]:
    hosts = [MemoryHost(network, f"other{number}.example", 2113) for number in (1, 2, 3)]
    async with EmbeddedCluster(network=network, hosts=hosts, random=Random(1)) as cluster:
        yield cluster


# -- addresses -------------------------------------------------------------------------------------------------------


async def test_members_with_addresses_that_cannot_be_reached() -> None:
    """The seed answers, and the leader has a name that nobody here knows, as in a container."""
    async with EmbeddedCluster() as cluster:
        await lead(cluster, 2, 3)
        seed = cluster.nodes[0]
        reachable = {seed.host}

        async def connect(host: str, port: int) -> trio.abc.Stream:
            if host not in reachable:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return await cluster.network.connect(host, port)

        uri = f"esdb+discover://{seed.address}?tls=false"
        error = await fails(entering(ESDBClient(uri, connect=connect)), UnavailableError, SEARCH)
        assert cluster.leader is not None
        assert cluster.leader.address in str(error)
        assert "Name or service not known" in str(error)

        reachable |= {node.host for node in cluster.nodes}
        async with ESDBClient(uri, connect=connect) as client:
            await append(client)


# -- preferences -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preference", ["follower", "readOnlyReplica", "random"])
async def test_a_soft_preference_that_no_node_fits(preference: str) -> None:
    """Another node is used, and writes go to the leader."""
    async with EmbeddedCluster() as cluster:
        for node in cluster.followers[:1]:
            node.kill()
        uri = f"{cluster.uri}&nodePreference={preference}"
        async with ESDBClient(uri, connect=cluster.network.connect) as client:
            await append(client)
            with trio.fail_after(5):
                while not await count(client):
                    await trio.sleep(0.1)


# -- no leader -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preference", ["leader", "follower"])
async def test_a_cluster_that_never_gets_a_leader(preference: str) -> None:
    async with EmbeddedCluster() as cluster:
        uri = f"{cluster.uri}&nodePreference={preference}"
        async with ESDBClient(uri, connect=cluster.network.connect) as client:
            await append(client)
            lost = cluster.followers
            for node in lost:
                node.kill()
            await trio.sleep(5)
            assert cluster.leader is None
            error = await fails(lambda: append(client), ESDBError, DEADLINE)
            assert error.applied is False
            (alone,) = (node for node in cluster.nodes if node.is_running)
            assert alone.state == NodeState.UNKNOWN
            assert alone.address in str(error)
            new = ESDBClient(uri, connect=cluster.network.connect)
            at_entry = await fails(entering(new), DiscoveryError, SEARCH)
            assert f"{alone.address}" in str(at_entry)
            for node in lost:
                node.restart()
            await cluster.settled()
            await until_usable(client)


async def lead(cluster: EmbeddedCluster, *numbers: int) -> None:
    """Let one of these nodes lead."""
    with trio.fail_after(120):
        while cluster.leader is None or cluster.leader.number not in numbers:
            if cluster.leader is not None:
                for node in cluster.nodes:
                    node.set_priority(10 if node.number in numbers else -10)
                cluster.leader.resign()
            await trio.sleep(1)
            await cluster.settled()
