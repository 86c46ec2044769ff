"""The members of the cluster, as the node tells them that the client uses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.scripted import URI, Scripted, cluster, fails, says, silence
from trio_esdb import (
    BasicCredentials,
    DeadlineExceededError,
    ESDBClient,
    InvalidTypeError,
    NodeState,
    ProtocolError,
    UnavailableError,
)
from trio_esdb._wire import Status


async def test_the_members(server: Scripted) -> None:
    nodes = ("node3", 2113, "Follower"), ("node2", 2114, "Leader"), ("node1", 2115, "ReadOnlyReplica")
    server.gossip = says(cluster(*nodes, dead={"node1"}))
    async with ESDBClient(URI, connect=server.connect) as client:
        members = await client.read_gossip()
    assert [(member.address, member.port, member.state) for member in members] == list(nodes)
    assert [member.is_alive for member in members] == [True, True, False]
    assert members[1].state is NodeState.LEADER
    assert len({member.instance_id for member in members}) == 3
    assert {member.time_stamp for member in members} == {datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=17e8)}


async def test_a_node_inside_the_process() -> None:
    async with ESDBClient("esdb://embedded") as client:
        (member,) = await client.read_gossip()
        assert (member.state, member.is_alive) == (NodeState.LEADER, True)
        assert member.instance_id.int != 0
        assert await client.read_gossip() == (member._replace(time_stamp=(await client.read_gossip())[0].time_stamp),)


async def test_it_is_asked_again_after_trouble(server: Scripted) -> None:
    answers = [fails(Status.UNAVAILABLE, "Server Is Not Ready"), says(cluster(("a", 1, "Unknown")))]
    server.gossip = lambda seen: answers.pop(0)(seen)
    async with ESDBClient(URI, connect=server.connect) as client:
        assert [member.state for member in await client.read_gossip()] == ["Unknown"]
        answers.append(fails(Status.UNAVAILABLE, "Server Is Not Ready"))
        with pytest.raises(UnavailableError, match=r"asking for the members of the cluster.*Not Ready") as caught:
            await client.read_gossip(retry=False)
        assert caught.value.address == "node-1:2113"


async def test_what_cannot_be_understood(server: Scripted) -> None:
    server.gossip = says(b"\x0a\x7f")
    async with ESDBClient(URI, connect=server.connect) as client:
        with pytest.raises(ProtocolError, match="asking for the members of the cluster"):
            await client.read_gossip()


async def test_a_large_cluster(server: Scripted) -> None:
    server.gossip = says(cluster(*((f"node{number}.example", 2113, "Follower") for number in range(3000))))
    async with ESDBClient(URI, connect=server.connect) as client:
        assert len(await client.read_gossip()) == 3000


async def test_its_timeout(server: Scripted) -> None:
    server.gossip = silence
    async with ESDBClient(URI, connect=server.connect) as client:
        with pytest.raises(DeadlineExceededError):
            await client.read_gossip(2)
    assert server.seen[0].over.is_set()


async def test_whom_it_is_asked_for(server: Scripted) -> None:
    server.gossip = says(b"")
    user = BasicCredentials("ann", "s3cret")
    async with ESDBClient(URI, connect=server.connect, plain_text_credentials=True) as client:
        assert await client.read_gossip(credentials=user) == ()
        assert await client.read_gossip() == ()
    headers = [dict(seen.call.metadata) for seen in server.seen]
    assert [found.get("authorization") for found in headers] == [user.authorization(), None]


async def test_arguments(client: ESDBClient) -> None:
    with pytest.raises(InvalidTypeError, match="credentials must be"):
        await client.read_gossip(credentials="ann")  # type: ignore[arg-type]
    with pytest.raises(InvalidTypeError, match="retry must be"):
        await client.read_gossip(retry=1)  # type: ignore[arg-type]
