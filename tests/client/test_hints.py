"""A client of one node follows what nodes say that are not the leader."""

from __future__ import annotations

from random import Random

import pytest
import trio

from tests.support.scripted import (
    ScriptedNodes,
    Seen,
    appended,
    confirmed,
    event,
    last_position,
    not_leader,
    says,
)
from trio_esdb import ConnectionClosed, DeadlineExceededError, ESDBClient, NewEvent, NotLeaderError, StreamState

EVENT = NewEvent("Happened", b"{}")
DONE = says(appended(0, 4))
ANY = StreamState.ANY


class Middle(Random):
    """Chance that is always in the middle, so that there is no jitter."""

    def random(self) -> float:
        return 0.5


@pytest.fixture
async def nodes(nursery: trio.Nursery) -> ScriptedNodes:
    return ScriptedNodes(nursery, "a", "b", "c")


def client_of(nodes: ScriptedNodes, options: str = "") -> ESDBClient:
    return ESDBClient(f"esdb://a:2113?tls=false{options}", connect=nodes.connect, random=Middle())


async def test_the_named_leader_gets_the_call_and_all_that_come_later(nodes: ScriptedNodes) -> None:
    nodes["a"].append, nodes["b"].append = not_leader("b"), DONE
    nodes["b"].read = says(event(0))
    async with client_of(nodes) as client:
        events = client.connection_events()
        assert await client.append_event("s", ANY, EVENT) == 4
        assert trio.current_time() == 0
        assert await client.append_event("s", ANY, EVENT) == 4
        assert len(await client.get_stream_events("s")) == 1
        assert [each.address for each in client.statistics().connections] == ["b:2113"]
    assert nodes.asked == ["a", "b"]
    (seen,) = nodes["a"].seen
    assert [each.method for each in nodes["b"].seen] == ["Append", "Append", "Read"]
    assert seen.call.metadata["requires-leader"] == nodes["b"].seen[0].call.metadata["requires-leader"] == "true"
    closed = [each async for each in events if isinstance(each, ConnectionClosed)]
    assert [(each.address, each.reason) for each in closed] == [
        ("a:2113", "another node is used"),
        ("b:2113", "the client was closed"),
    ]


async def test_two_hops(nodes: ScriptedNodes) -> None:
    nodes["a"].append, nodes["b"].append, nodes["c"].append = not_leader("b"), not_leader("c"), DONE
    async with client_of(nodes) as client:
        assert await client.append_event("s", ANY, EVENT) == 4
    assert (nodes.asked, trio.current_time()) == (["a", "b", "c"], 0)


async def test_nodes_that_name_each_other(nodes: ScriptedNodes) -> None:
    """There is a pause after two hops, and the error says that no node leads."""
    nodes["a"].append, nodes["b"].append = not_leader("b"), not_leader("a")
    async with client_of(nodes) as client:
        with pytest.raises(NotLeaderError, match="tried") as caught:
            await client.append_event("s", ANY, EVENT, timeout=3)
        assert caught.value.applied is False
        assert trio.current_time() == pytest.approx(1.5, abs=0.2)
        assert len(nodes["a"].seen) + len(nodes["b"].seen) == 15
        nodes["a"].append = DONE
        assert await client.append_event("s", ANY, EVENT) == 4


async def test_an_election_that_ends(nodes: ScriptedNodes) -> None:
    """The node names the old leader, which is gone, until it knows the new one."""
    nodes.down.add("b")
    nodes["c"].append = DONE

    async def run(seen: object) -> object:
        return await not_leader("b" if trio.current_time() < 2 else "c")(seen)  # type: ignore[arg-type]

    nodes["a"].append = run
    async with client_of(nodes) as client:
        assert await client.append_event("s", ANY, EVENT) == 4
        assert 2 <= trio.current_time() < 4.5


@pytest.mark.parametrize("port", [0, 65536, "x", -1, "9" * 20])
async def test_an_address_where_nothing_can_be(nodes: ScriptedNodes, port: int | str) -> None:
    nodes["a"].append = not_leader("b", port)
    async with client_of(nodes) as client:
        with pytest.raises(NotLeaderError, match="tried"):
            await client.append_event("s", ANY, EVENT, timeout=2)
    assert set(nodes.asked) == {"a"}


@pytest.mark.parametrize("host", ["b c", "b" * 300, "a"])
async def test_a_name_that_is_none_or_its_own(nodes: ScriptedNodes, host: str) -> None:
    nodes["a"].append = not_leader(host)
    async with client_of(nodes) as client:
        with pytest.raises(NotLeaderError, match="tried"):
            await client.append_event("s", ANY, EVENT, timeout=2)
    assert set(nodes.asked) == {"a"}


async def test_a_leader_that_cannot_be_reached(nodes: ScriptedNodes) -> None:
    nodes["a"].append = not_leader("nowhere")
    async with client_of(nodes) as client:
        with pytest.raises((NotLeaderError, DeadlineExceededError), match="tried") as caught:
            await client.append_event("s", ANY, EVENT, timeout=2)
        assert caught.value.applied is False
        assert trio.current_time() <= 2
        nodes["a"].append = DONE
        assert await client.append_event("s", ANY, EVENT) == 4


async def test_a_leader_that_says_nothing(nodes: ScriptedNodes) -> None:
    nodes["a"].append = not_leader("b")
    nodes.frozen.add("b")
    async with client_of(nodes) as client:
        with pytest.raises(DeadlineExceededError, match=r"the last failure: .*the leader is b:2113") as caught:
            await client.append_event("s", ANY, EVENT)
        assert (caught.value.applied, trio.current_time()) == (False, 10)


async def test_after_the_leader_is_gone_the_node_of_the_connection_string_is_asked(nodes: ScriptedNodes) -> None:
    nodes["a"].append, nodes["b"].append = not_leader("b"), DONE
    async with client_of(nodes) as client:
        assert await client.append_event("s", ANY, EVENT) == 4
        nodes["a"].append = not_leader("c")
        nodes["c"].append = DONE
        nodes.down.add("b")
        await trio.aclose_forcefully(nodes["b"].streams[0])
        await trio.testing.wait_all_tasks_blocked()
        assert await client.append_event("s", ANY, EVENT) == 4
    assert nodes.asked == ["a", "b", "a", "c"]


async def test_without_retry_the_error_is_raised(nodes: ScriptedNodes) -> None:
    """But the next call goes where the leader is."""
    nodes["a"].append, nodes["b"].append = not_leader("b"), DONE
    async with client_of(nodes) as client:
        with pytest.raises(NotLeaderError) as caught:
            await client.append_event("s", ANY, EVENT, retry=False)
        assert (caught.value.leader, caught.value.address) == (("b", 2113), "a:2113")
        assert await client.append_event("s", ANY, EVENT, retry=False) == 4


# -- another preference than the leader --------------------------------------------------------------------------------


async def test_the_only_node_need_not_lead(nodes: ScriptedNodes) -> None:
    """So it passes on what is written, as followers do."""
    nodes["a"].append, nodes["a"].read = DONE, says(event(0))
    async with client_of(nodes, "&nodePreference=follower") as client:
        assert await client.append_event("s", ANY, EVENT) == 4
        assert len(await client.get_stream_events("s")) == 1
    assert {seen.call.metadata["requires-leader"] for seen in nodes["a"].seen} == {"false"}


async def test_a_replica_names_the_leader_for_writes(nodes: ScriptedNodes) -> None:
    nodes["a"].append, nodes["a"].read = not_leader("b"), says(event(0))
    nodes["b"].append = DONE
    async with client_of(nodes, "&nodePreference=readOnlyReplica") as client:
        for _ in range(2):
            assert await client.append_event("s", ANY, EVENT) == 4
            assert len(await client.get_stream_events("s")) == 1
        assert [each.address for each in client.statistics().connections] == ["a:2113", "b:2113"]
    assert [seen.method for seen in nodes["a"].seen] == ["Append", "Read", "Read"]
    assert [seen.call.metadata["requires-leader"] for seen in nodes["b"].seen] == ["true", "true"]


# -- subscriptions -----------------------------------------------------------------------------------------------------


async def test_subscriptions_follow(nodes: ScriptedNodes) -> None:
    nodes["a"].append, nodes["b"].append = not_leader("b"), DONE
    nodes["a"].read = subscribed
    nodes["b"].read = subscribed
    async with client_of(nodes) as client, client.subscribe_stream_events("s") as events:
        assert (await events.receive()).stream_position == 0
        assert await client.append_event("s", ANY, EVENT) == 4
        assert (await events.receive()).stream_position == 1
        await trio.testing.wait_all_tasks_blocked()
        assert [each.address for each in client.statistics().connections] == ["b:2113"]


async def test_subscriptions_stay_if_the_leader_cannot_be_reached(nodes: ScriptedNodes) -> None:
    """The node may name an address that only other nodes know."""
    nodes["a"].append, nodes["a"].read = not_leader("nowhere"), subscribed
    async with client_of(nodes) as client, client.subscribe_stream_events("s") as events:
        assert (await events.receive()).stream_position == 0
        with pytest.raises((NotLeaderError, DeadlineExceededError)):
            await client.append_event("s", ANY, EVENT, timeout=2)
        with trio.move_on_after(1) as scope:
            await events.receive()
        assert scope.cancelled_caught
        assert events.resumptions == 0


async def subscribed(seen: Seen) -> None:
    """One event, or what comes after it."""
    options = seen.read
    if options.read_direction:
        await seen.send(last_position(1), event(1))
        return
    assert options.stream is not None
    await seen.give(confirmed(), event(0 if options.stream.revision is None else 1))
