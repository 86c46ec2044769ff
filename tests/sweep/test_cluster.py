"""A client of a cluster, cancelled at each step: while it looks for a node, and while it leaves one."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.support.scripted import ScriptedNodes, Seen, appended, confirmed, event, last_position, not_leader, says
from tests.support.world import Moment, every_moment, sweep
from trio_esdb import ESDBClient, NewEvent, StreamState

EVENT = NewEvent("Happened", b"{}")
DONE = says(appended(0, 4))


async def reads(seen: Seen) -> None:
    options = seen.read
    if options.read_direction:
        await seen.send(last_position(0), event(0))
    elif options.subscription is None:
        await seen.send(event(0))
    elif options.stream is not None and options.stream.revision is None:
        await seen.give(confirmed(), event(0))
    else:
        await seen.give(confirmed(), event(1))


@pytest.fixture
async def nodes(nursery: trio.Nursery) -> ScriptedNodes:
    nodes = ScriptedNodes(nursery, "a", "b", "c")
    leads(nodes, "a")
    return nodes


def leads(nodes: ScriptedNodes, name: str) -> None:
    nodes.cluster(name)
    for other, node in nodes.nodes.items():
        node.append = DONE if other == name else not_leader(name)
        node.read = reads


async def settled(nodes: ScriptedNodes, tasks: int) -> None:
    """All that the client had is gone: at once, but for goodbyes, and what is not waited for."""
    await trio.testing.wait_all_tasks_blocked()
    served = sum(not link.closed.is_set() for node in nodes.nodes.values() for link in node.links)
    assert served == 0
    assert trio.lowlevel.current_statistics().tasks_living == tasks


@every_moment
@pytest.mark.parametrize("preference", ["leader", "follower"])
async def test_opening_and_using(nodes: ScriptedNodes, preference: str, moment: Moment) -> None:
    tasks = trio.lowlevel.current_statistics().tasks_living

    async def use() -> None:
        uri = f"{nodes.uri}&nodePreference={preference}"
        async with ESDBClient(uri, connect=nodes.connect) as client:
            await client.append_event("s", StreamState.ANY, EVENT)
            async with client.subscribe_stream_events("s") as events:
                await events.receive()

    assert await sweep(use, lambda: settled(nodes, tasks), moment) > 1


@every_moment
async def test_a_leader_that_moves(nodes: ScriptedNodes, moment: Moment) -> None:
    tasks = trio.lowlevel.current_statistics().tasks_living

    async def use() -> None:
        leads(nodes, "a")
        async with ESDBClient(nodes.uri, connect=nodes.connect) as client:
            async with client.subscribe_stream_events("s") as events:
                assert (await events.receive()).stream_position == 0
                leads(nodes, "b")
                await client.append_event("s", StreamState.ANY, EVENT)
                assert (await events.receive()).stream_position == 1
            await trio.aclose_forcefully(nodes["b"].streams[-1])
            leads(nodes, "c")
            await client.append_event("s", 0, EVENT)

    assert await sweep(use, lambda: settled(nodes, tasks), moment) > 1


@every_moment
async def test_a_call_that_has_to_look_for_a_node(nodes: ScriptedNodes, moment: Moment) -> None:
    """After whatever became of it the client works, and has one connection."""
    async with ESDBClient(nodes.uri, connect=nodes.connect) as client:

        async def use() -> None:
            await client.append_event("s", 0, EVENT)

        async def check() -> None:
            await client.append_event("s", 0, EVENT)
            await trio.testing.wait_all_tasks_blocked()
            (connection,) = client.statistics().connections
            assert (connection.address, connection.open_calls) == ("a:2113", 0)
            for stream in nodes["a"].streams:
                await trio.aclose_forcefully(stream)
            nodes["a"].streams.clear()
            await trio.testing.wait_all_tasks_blocked()
            assert client.statistics().connections == ()

        await check()
        assert await sweep(use, check, moment) > 1
