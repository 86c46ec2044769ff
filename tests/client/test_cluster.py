"""A client of a cluster: which node its calls go to, and what it does when nodes have trouble."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
import trio
import trio.testing

from tests.support import http2
from tests.support.scripted import (
    Script,
    ScriptedNodes,
    Seen,
    appended,
    cluster,
    confirmed,
    event,
    fails,
    last_position,
    not_leader,
    says,
    silence,
)
from trio_esdb import (
    CallRepeated,
    DeadlineExceededError,
    Discovered,
    DiscoveryError,
    ESDBClient,
    LeaderChanged,
    NewEvent,
    NodeState,
    PositionLostError,
    StreamState,
    UnavailableError,
)
from trio_esdb._wire import Status

EVENT = NewEvent("Happened", b"{}")
DONE = says(appended(0, 4))
ANY = StreamState.ANY
NOT_READY = fails(Status.UNAVAILABLE, "Server Is Not Ready")


class Middle(Random):
    """Chance that is always in the middle, so that there is no jitter."""

    def random(self) -> float:
        return 0.5


@pytest.fixture
async def nodes(nursery: trio.Nursery) -> ScriptedNodes:
    """A cluster of a, b and c that a leads; each does what it is asked, and has a stream of the events 0 to 2."""
    nodes = ScriptedNodes(nursery, "a", "b", "c")
    nodes.cluster("a")
    for node in nodes.nodes.values():
        node.append = node.delete = node.tombstone = DONE
        node.read = reads
    return nodes


async def reads(seen: Seen) -> None:
    """Answer a read or subscription of a stream of three events."""
    options = seen.read
    if options.read_direction:
        await seen.send(last_position(2), event(2))
        return
    stream = options.stream
    assert stream is not None
    first = 0 if stream.revision is None else stream.revision
    if options.subscription is None:
        await seen.send(*(event(number) for number in range(first, 3)))
        return
    first += stream.revision is not None  # a subscription begins after it
    await seen.give(confirmed(), *(event(number) for number in range(first, 3)))


def client_of(nodes: ScriptedNodes, options: str = "", **more: Any) -> ESDBClient:
    return ESDBClient(nodes.uri + options, connect=nodes.connect, random=Middle(), **more)


def addresses(client: ESDBClient) -> list[str]:
    return sorted(each.address for each in client.statistics().connections)


def leads(nodes: ScriptedNodes, name: str) -> None:
    """The cluster has another leader; the others say so to calls that need the leader."""
    nodes.cluster(name)
    for other, node in nodes.nodes.items():
        node.append = DONE if other == name else not_leader(name)


# -- which node --------------------------------------------------------------------------------------------------------


async def test_everything_goes_to_the_leader(nodes: ScriptedNodes) -> None:
    async with client_of(nodes) as client:
        assert await client.append_event("s", ANY, EVENT) == 4
        assert len(await client.get_stream_events("s")) == 3
        async with client.subscribe_stream_events("s") as events:
            await events.receive()
        assert addresses(client) == ["a:2113"]
        (connection,) = client.statistics().connections
        assert connection.role is NodeState.LEADER
    assert {each.call.metadata["requires-leader"] for each in nodes["a"].calls} == {"true"}
    assert nodes["b"].calls == nodes["c"].calls == []


@pytest.mark.parametrize("preference", ["follower", "readOnlyReplica", "random"])
async def test_a_preference_for_others_and_writes_at_the_leader(nodes: ScriptedNodes, preference: str) -> None:
    async with client_of(nodes, f"&nodePreference={preference}") as client:
        assert len(addresses(client)) == 1, "the connection to the leader is opened when it is needed"
        assert len(await client.get_stream_events("s")) == 3
        assert await client.get_stream_position("s") == 2
        assert await client.append_event("s", ANY, EVENT) == 4
        await client.set_stream_metadata("s", {})
        async with client.subscribe_stream_events("s") as events:
            await events.receive()
        connections = {each.address: each.role for each in client.statistics().connections}
    assert [each.method for each in nodes["a"].calls if each.method != "Read"] == ["Append", "Append"]
    reading = [each for node in nodes.nodes.values() for each in node.calls if each.method == "Read"]
    assert {each.call.metadata["requires-leader"] for each in reading} == {"false"}
    assert {each.call.metadata["requires-leader"] for each in nodes["a"].calls if each.method != "Read"} == {"true"}
    assert connections["a:2113"] is NodeState.LEADER
    if preference != "random":
        assert len(connections) == 2
        assert not [each for each in nodes["a"].calls if each.method == "Read"]
        assert NodeState.FOLLOWER in connections.values()


async def test_one_connection_that_asked_is_the_one_that_is_used(nodes: ScriptedNodes) -> None:
    """And those that asked others are closed."""
    async with client_of(nodes) as client:
        await trio.testing.wait_all_tasks_blocked()
        assert nodes.asked.count("a") == 1
        assert addresses(client) == ["a:2113"]


async def test_a_single_node_keeps_the_address_that_was_used(nursery: trio.Nursery) -> None:
    nodes = ScriptedNodes(nursery, "outside")
    nodes["outside"].gossip = says(cluster(("inside", 2113, "Leader")))
    nodes["outside"].append = DONE
    async with ESDBClient("esdb+discover://outside:2113?tls=false", connect=nodes.connect) as client:
        assert await client.append_event("s", ANY, EVENT) == 4
        assert addresses(client) == ["outside:2113"]
    assert set(nodes.asked) == {"outside"}


# -- opening -----------------------------------------------------------------------------------------------------------


async def test_entering_fails_if_no_node_answers(nodes: ScriptedNodes) -> None:
    nodes.down |= {"a", "b", "c"}
    client = client_of(nodes, "&maxDiscoverAttempts=2")
    with pytest.raises(DiscoveryError) as caught:
        async with client:
            pytest.fail("it is open")
    assert set(caught.value.candidates) == {"a:2113", "b:2113", "c:2113"}
    assert trio.current_time() == pytest.approx(0.1)


async def test_entering_waits_for_a_leader(nodes: ScriptedNodes, nursery: trio.Nursery) -> None:
    nodes.cluster(None)

    async def elect() -> None:
        await trio.sleep(3)
        nodes.cluster("b")

    nursery.start_soon(elect)
    async with client_of(nodes) as client:
        assert 3 <= trio.current_time() < 5
        await trio.testing.wait_all_tasks_blocked()
        assert addresses(client) == ["b:2113"]


async def test_entering_goes_on_while_the_leader_refuses(nodes: ScriptedNodes, nursery: trio.Nursery) -> None:
    """As a leader does that shuts down: for seconds, the others call it alive."""
    listed = nodes.down
    nodes.down = set()
    nodes.cluster("a")
    refusing = {"a"}
    whole = nodes.connect

    async def connect(host: str, port: int) -> trio.abc.Stream:
        if host in refusing:
            raise ConnectionRefusedError(111, "Connection refused")
        return await whole(host, port)

    async def elect() -> None:
        await trio.sleep(6)
        nodes.cluster("c")

    assert listed == set()
    nursery.start_soon(elect)
    async with ESDBClient(nodes.uri, connect=connect, random=Middle()) as client:
        assert 6 <= trio.current_time() < 9
        await trio.testing.wait_all_tasks_blocked()
        assert addresses(client) == ["c:2113"]


async def test_a_client_can_be_used_after_a_search_that_failed(nodes: ScriptedNodes) -> None:
    async with client_of(nodes, "&maxDiscoverAttempts=3") as client:
        nodes.cluster(None)
        nodes.down.add("a")
        await trio.aclose_forcefully(nodes["a"].streams[-1])
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            with pytest.raises(DiscoveryError, match="no leader") as caught:
                await client.append_event("s", ANY, EVENT)
            assert caught.value.applied is False
            assert set(caught.value.candidates) == {"a:2113", "b:2113", "c:2113"}
        nodes.cluster("b")
        assert await client.append_event("s", ANY, EVENT) == 4


async def test_a_deadline_that_passes_during_the_search_tells_why(nodes: ScriptedNodes) -> None:
    async with client_of(nodes) as client:
        nodes.cluster(None)
        nodes.down.add("a")
        await trio.aclose_forcefully(nodes["a"].streams[-1])
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        with pytest.raises(DeadlineExceededError, match="it knows no leader") as caught:
            await client.append_event("s", ANY, EVENT, timeout=3)
        assert (caught.value.applied, trio.current_time() - began) == (False, 3)


async def test_a_waiter_that_is_cancelled_does_not_stop_the_search(nodes: ScriptedNodes, nursery: trio.Nursery) -> None:
    async with client_of(nodes) as client:
        nodes.cluster(None)
        nodes.down.add("a")
        await trio.aclose_forcefully(nodes["a"].streams[-1])
        await trio.testing.wait_all_tasks_blocked()
        done = trio.Event()

        async def append() -> None:
            await client.append_event("s", ANY, EVENT)
            done.set()

        with trio.CancelScope() as scope:
            nursery.start_soon(append)
            scope.deadline = trio.current_time() + 1
            await client.append_event("s", ANY, EVENT)
        nodes.cluster("b")
        await done.wait()


# -- trouble -----------------------------------------------------------------------------------------------------------


async def test_the_leader_is_gone(nodes: ScriptedNodes) -> None:
    async with client_of(nodes) as client:
        changes = client.connection_events()
        assert await client.append_event("s", ANY, EVENT) == 4
        leads(nodes, "b")
        nodes.down.add("a")
        for stream in nodes["a"].streams:
            await trio.aclose_forcefully(stream)
        await trio.testing.wait_all_tasks_blocked()
        assert await client.append_event("s", ANY, EVENT) == 4
        assert addresses(client) == ["b:2113"]
    found = [each async for each in changes]
    assert LeaderChanged(address="b:2113", before="a:2113") in found
    (told,) = (each for each in found if isinstance(each, Discovered))
    assert told.address in ("b:2113", "c:2113")
    assert [member.is_alive for member in told.members] == [False, True, True]


async def test_another_node_leads(nodes: ScriptedNodes) -> None:
    async with client_of(nodes) as client:
        assert await client.append_event("s", ANY, EVENT) == 4
        leads(nodes, "c")
        asked = sum(node.gossips for node in nodes.nodes.values())
        assert await client.append_event("s", ANY, EVENT) == 4
        assert sum(node.gossips for node in nodes.nodes.values()) == asked, "the node has named the leader"
        assert addresses(client) == ["c:2113"]
        assert client.statistics().calls_repeated == 1


async def test_a_node_that_names_the_leader_that_is_gone(nodes: ScriptedNodes, nursery: trio.Nursery) -> None:
    """As a follower does during an election."""
    async with client_of(nodes) as client:
        nodes.cluster("b")
        nodes["b"].append = nodes["c"].append = not_leader("a")
        nodes.down.add("a")
        for stream in nodes["a"].streams:
            await trio.aclose_forcefully(stream)

        async def elect() -> None:
            await trio.sleep(2)
            leads(nodes, "c")

        nursery.start_soon(elect)
        began = trio.current_time()
        assert await client.append_event("s", ANY, EVENT) == 4
        assert 2 <= trio.current_time() - began < 5
        assert addresses(client) == ["c:2113"]


async def test_two_leaders_at_once(nodes: ScriptedNodes, nursery: trio.Nursery) -> None:
    """The old one wakes up, calls itself the leader, and is believed by one node; then it gives in."""
    async with client_of(nodes) as client:
        nodes.cluster("b", a="a", c="a")
        nodes["a"].append = NOT_READY

        async def settle() -> None:
            await trio.sleep(2.4)
            leads(nodes, "b")

        nursery.start_soon(settle)
        assert await client.append_event("s", ANY, EVENT) == 4
        assert trio.current_time() < 5


@pytest.mark.parametrize("trouble", [NOT_READY, fails(Status.UNAVAILABLE, "no upstream"), fails(Status.CANCELLED)])
async def test_a_node_with_trouble_is_left(nodes: ScriptedNodes, trouble: Script) -> None:
    async with client_of(nodes, "&nodePreference=follower") as client:
        (serving,) = (each.address[0] for each in client.statistics().connections)
        nodes[serving].read = trouble
        assert await client.get_stream_position("s") == 2
        (other,) = {"b", "c"} - {serving}
        assert addresses(client) == [f"{other}:2113"]


async def test_the_only_node_that_fits_is_tried_again(nodes: ScriptedNodes) -> None:
    """The leader has reset a call, which says nothing of the node."""
    times = 0

    async def once(seen: Seen) -> object:
        nonlocal times
        times += 1
        return await (fails(Status.UNAVAILABLE, "a hiccup") if times == 1 else DONE)(seen)

    nodes["a"].append = once
    async with client_of(nodes) as client:
        assert await client.append_event("s", None, EVENT) == 4
        assert addresses(client) == ["a:2113"]
        assert client.statistics().connections_opened - client.statistics().connections_failed <= 6
    assert times == 2
    assert trio.current_time() < 0.5


async def test_a_write_that_may_have_been_done_is_not_repeated_elsewhere(nodes: ScriptedNodes) -> None:
    nodes["a"].append = fails(Status.UNAVAILABLE, "a hiccup")
    async with client_of(nodes) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.append_event("s", ANY, EVENT)
        assert (caught.value.applied, caught.value.address) == (None, "a:2113")


async def test_a_frozen_leader(nodes: ScriptedNodes, nursery: trio.Nursery) -> None:
    """A read gets no first answer; the others call the old leader alive for a while."""
    async with client_of(nodes) as client:
        nodes["a"].read = silence
        nodes["a"].gossip = silence
        nodes.frozen.add("a")

        async def elect() -> None:
            await trio.sleep(6.5)
            leads(nodes, "b")
            nodes["a"].gossip = silence

        nursery.start_soon(elect)
        assert len(await client.get_stream_events("s")) == 3
        assert 6.5 <= trio.current_time() < 10


async def test_a_frozen_leader_and_writes(nodes: ScriptedNodes, nursery: trio.Nursery) -> None:
    """Nobody can know what became of the first one; but the next one goes to the new leader."""
    async with client_of(nodes) as client:
        nodes["a"].append = nodes["a"].gossip = silence
        nodes["b"].gossip = nodes["c"].gossip = says(
            cluster(("a", 2113, "Leader"), ("b", 2113, "Leader"), ("c", 2113, "Follower"), dead={"a"})
        )
        with pytest.raises(DeadlineExceededError) as caught:
            await client.append_event("s", ANY, EVENT)
        assert (caught.value.applied, trio.current_time()) == (None, 10)
        await trio.sleep(0.1)
        assert await client.append_event("s", ANY, EVENT, timeout=1) == 4
        nodes["b"].append = silence
        nodes.cluster("c")
        with pytest.raises(DeadlineExceededError):
            await client.append_event("s", ANY, EVENT, timeout=1)
        await trio.sleep(0.1)
        assert await client.append_event("s", ANY, EVENT, timeout=1) == 4
        assert nodes["c"].calls


async def test_a_frozen_leader_and_scopes(nodes: ScriptedNodes) -> None:
    """Who gives up by a cancel scope finds another leader the next time."""
    async with client_of(nodes) as client:
        nodes["a"].append = nodes["a"].gossip = silence
        nodes["b"].gossip = nodes["c"].gossip = says(
            cluster(("a", 2113, "Leader"), ("b", 2113, "Leader"), ("c", 2113, "Follower"), dead={"a"})
        )
        await trio.sleep(1)
        for _ in range(2):
            with trio.move_on_after(2):
                if await client.append_event("s", ANY, EVENT) == 4:
                    break
        assert trio.current_time() == 3
        assert addresses(client) == ["b:2113"]


async def test_a_slow_leader_stays(nodes: ScriptedNodes) -> None:
    """It answers the question for the members, so it is there."""
    async with client_of(nodes) as client, client.subscribe_stream_events("s") as events:
        nodes["a"].append = silence
        with pytest.raises(DeadlineExceededError):
            await client.append_event("s", ANY, EVENT, timeout=3)
        await trio.testing.wait_all_tasks_blocked()
        assert addresses(client) == ["a:2113"]
        assert client.statistics().connections[0].open_calls == 1
        assert events.resumptions == 0
        nodes["a"].append = DONE
        assert await client.append_event("s", ANY, EVENT) == 4
        assert len([seen for seen in nodes["a"].calls if seen.method == "Read"]) == 1


async def test_what_it_is_called(nodes: ScriptedNodes) -> None:
    client = client_of(nodes)
    assert repr(client) == "<trio_esdb.ESDBClient: a:2113, b:2113, c:2113, not open>"
    async with client:
        assert repr(client) == "<trio_esdb.ESDBClient: a:2113, b:2113, c:2113, open, at a:2113>"
    assert repr(client) == "<trio_esdb.ESDBClient: a:2113, b:2113, c:2113, closed>"


async def test_closing_ends_the_search(nodes: ScriptedNodes, nursery: trio.Nursery) -> None:
    nodes.cluster(None)
    client = client_of(nodes)

    async def close() -> None:
        await trio.sleep(1)
        await client.aclose()

    nursery.start_soon(close)
    with pytest.raises(trio.ClosedResourceError):
        async with client:
            pytest.fail("it is open")
    assert trio.current_time() == 1


async def test_the_error_names_the_node_that_failed(nodes: ScriptedNodes) -> None:
    nodes["a"].append = fails(Status.INTERNAL, "broken")
    async with client_of(nodes, "&nodePreference=follower") as client:
        with pytest.raises(Exception, match=r"\[INTERNAL, a:2113\]"):
            await client.append_event("s", ANY, EVENT)
        events = client.connection_events()
        nodes["a"].append = NOT_READY
        with pytest.raises(DeadlineExceededError, match="a:2113"):
            await client.append_event("s", ANY, EVENT, timeout=1)
    assert {each.address async for each in events if isinstance(each, CallRepeated)} == {"a:2113"}


# -- draining ----------------------------------------------------------------------------------------------------------


async def drain(nodes: ScriptedNodes, name: str) -> None:
    for link in nodes[name].links:
        if not link.core.ended:
            await link._stream.send_all(http2.goaway(2**31 - 1))
    await trio.testing.wait_all_tasks_blocked()


async def test_a_node_that_says_goodbye_is_left_before_it_dies(nodes: ScriptedNodes) -> None:
    async with client_of(nodes) as client, client.subscribe_stream_events("s", include_resumed=True) as events:
        assert [(await events.receive()).stream_position for _ in range(3)] == [0, 1, 2]  # type: ignore[union-attr]
        leads(nodes, "b")
        nodes["b"].read = more_events
        await drain(nodes, "a")
        assert await client.append_event("s", ANY, EVENT) == 4
        assert [each.method for each in nodes["a"].calls] == ["Read"]
        found = [await events.receive() for _ in range(2)]
        assert found[1].stream_position == 3  # type: ignore[union-attr]
        assert trio.current_time() < 1
        await trio.testing.wait_all_tasks_blocked()
        assert addresses(client) == ["b:2113"]


async def test_events_are_not_kept_waiting_while_the_next_leader_is_looked_for(
    nodes: ScriptedNodes, nursery: trio.Nursery
) -> None:
    """A leader with open calls that shuts down serves them for 5 s, and is called alive all that time."""
    send, receive = trio.open_memory_channel[bytes](10)

    async def live(seen: Seen) -> None:
        if seen.read.read_direction:
            await reads(seen)
            return
        await seen.send(confirmed())
        async for message in receive:
            await seen.send(message)

    nodes["a"].read = live
    times = []
    async with client_of(nodes) as client, client.subscribe_stream_events("s") as events:
        nodes.down.add("a")
        nodes.cluster("a")
        for node in nodes.nodes.values():
            node.gossip = says(cluster(("a", 2113, "Leader"), ("b", 2113, "Follower"), ("c", 2113, "Follower")))
        await drain(nodes, "a")

        async def go_on() -> None:
            for number in range(5):
                await send.send(event(number))
                await trio.sleep(1)
            for stream in nodes["a"].streams:
                await trio.aclose_forcefully(stream)
            await trio.sleep(1)
            leads(nodes, "c")
            nodes["c"].read = lambda seen: later(seen, 6)

        nursery.start_soon(go_on)
        for number in range(6):
            assert (await events.receive()).stream_position == number
            times.append(trio.current_time())
        assert events.resumptions == 1
    assert times[:5] == pytest.approx([0, 1, 2, 3, 4], abs=0.3)
    assert 6 <= times[5] < 9


async def test_a_move_that_fails_is_tried_again_before_the_node_dies(
    nodes: ScriptedNodes, nursery: trio.Nursery
) -> None:
    async with client_of(nodes) as client, client.subscribe_stream_events("s") as events:
        for _ in range(3):
            await events.receive()
        nodes.cluster("b")
        nodes["b"].read = fails(Status.UNAVAILABLE, "Server Is Not Ready")
        await drain(nodes, "a")

        async def ready() -> None:
            await trio.sleep(3)
            nodes["b"].read = lambda seen: later(seen, 4)

        nursery.start_soon(ready)
        assert (await events.receive()).stream_position == 3
        assert 3 <= trio.current_time() < 4
        assert events.resumptions == 1
        await trio.testing.wait_all_tasks_blocked()
        assert addresses(client) == ["b:2113"]


async def later(seen: Seen, count: int) -> None:
    """The stream has so many events by now."""
    if seen.read.read_direction:
        await seen.send(last_position(count - 1), event(count - 1))
        return
    stream = seen.read.stream
    assert stream is not None
    first = 0 if stream.revision is None else stream.revision + 1
    await seen.give(confirmed(), *(event(number) for number in range(first, count)))


async def more_events(seen: Seen) -> None:
    """The stream has got a fourth event."""
    await later(seen, 4)


# -- the leader moves --------------------------------------------------------------------------------------------------

Move = Callable[[ScriptedNodes, ESDBClient], Awaitable[object]]


async def by_another_call(nodes: ScriptedNodes, client: ESDBClient) -> None:
    assert await client.append_event("s", ANY, EVENT) == 4


async def by_gossip(nodes: ScriptedNodes, client: ESDBClient) -> None:
    await trio.sleep(30)


@pytest.mark.parametrize("move", [by_another_call, by_gossip])
async def test_subscriptions_follow_the_leader(nodes: ScriptedNodes, move: Move) -> None:
    async with client_of(nodes) as client, client.subscribe_stream_events("s") as events:
        assert [(await events.receive()).stream_position for _ in range(3)] == [0, 1, 2]
        leads(nodes, "c")
        nodes["c"].read = more_events
        await move(nodes, client)
        with trio.fail_after(1):
            assert (await events.receive()).stream_position == 3
        assert events.resumptions == 1
        await trio.testing.wait_all_tasks_blocked()
        assert addresses(client) == ["c:2113"]
        assert nodes["a"].open_calls == 0


@pytest.mark.parametrize("more", [{"retry": False}, {"resume": False}])
async def test_subscriptions_that_do_not_resume_stay(nodes: ScriptedNodes, more: dict[str, Any]) -> None:
    async with client_of(nodes) as client, client.subscribe_stream_events("s", **more) as events:
        for _ in range(3):
            await events.receive()
        leads(nodes, "c")
        await client.append_event("s", ANY, EVENT)
        await trio.sleep(100)
        assert addresses(client) == ["a:2113", "c:2113"]
        with trio.move_on_after(1) as scope:
            await events.receive()
        assert scope.cancelled_caught


async def test_subscriptions_at_a_follower_stay_and_move_when_it_dies(nodes: ScriptedNodes) -> None:
    async with (
        client_of(nodes, "&nodePreference=follower") as client,
        client.subscribe_stream_events("s") as events,
    ):
        (serving,) = (each.address[0] for each in client.statistics().connections)
        for _ in range(3):
            await events.receive()
        leads(nodes, serving)
        await client.append_event("s", ANY, EVENT)
        await trio.sleep(100)
        assert events.resumptions == 0
        for node in nodes.nodes.values():
            node.read = more_events
        nodes.down.add(serving)
        for stream in nodes[serving].streams:
            await trio.aclose_forcefully(stream)
        assert (await events.receive()).stream_position == 3
        assert events.resumptions == 1


@pytest.mark.parametrize("kind", ["stream", "all"])
async def test_a_node_that_is_behind(nodes: ScriptedNodes, kind: str) -> None:
    """The leader knows that the position is there; the subscription goes on at the node, which will have it soon."""
    behind = lambda seen: later(seen, 2)  # noqa: E731
    for node in nodes.nodes.values():
        node.read = more_events if kind == "stream" else all_events
    async with client_of(nodes, "&nodePreference=follower") as client:
        (serving,) = (each.address[0] for each in client.statistics().connections)
        (other,) = {"b", "c"} - {serving}
        subscription = client.subscribe_stream_events("s") if kind == "stream" else client.subscribe_all_events()
        async with subscription as events:
            for _ in range(4):
                await events.receive()
            nodes[other].read = behind if kind == "stream" else all_events_behind
            nodes.down.add(serving)
            for stream in nodes[serving].streams:
                await trio.aclose_forcefully(stream)
            with trio.move_on_after(1):
                await events.receive()
            assert events.resumptions == 1
            assert f"{other}:2113" in addresses(client)


async def test_a_position_that_the_leader_does_not_hold_either(nodes: ScriptedNodes) -> None:
    for node in nodes.nodes.values():
        node.read = more_events
    async with (
        client_of(nodes, "&nodePreference=follower") as client,
        client.subscribe_stream_events("s") as events,
    ):
        for _ in range(4):
            await events.receive()
        (serving,) = (each.address[0] for each in client.statistics().connections)
        for node in nodes.nodes.values():
            node.read = lambda seen: later(seen, 2)
        for stream in nodes[serving].streams:
            await trio.aclose_forcefully(stream)
        with pytest.raises(PositionLostError):
            await events.receive()


async def all_events(seen: Seen) -> None:
    """The log has four events; a node that is behind has two of them."""
    if seen.read.read_direction:
        await seen.send(event(3))
        return
    assert seen.read.all is not None
    first = 0 if seen.read.all.position is None else 4
    await seen.give(confirmed(), *(event(number) for number in range(first, 4)))


async def all_events_behind(seen: Seen) -> None:
    if seen.read.read_direction:
        await fails(Status.INVALID_ARGUMENT, "Unexpected ReadAllResult: InvalidPosition")(seen)
    await seen.give(confirmed())


async def test_the_cluster_is_asked_only_while_there_are_subscriptions(nodes: ScriptedNodes) -> None:
    def asked() -> int:
        return sum(node.gossips for node in nodes.nodes.values())

    async with client_of(nodes, leader_check=10) as client:
        before = asked()
        await trio.sleep(1000)
        assert asked() == before
        async with client.subscribe_stream_events("s"):
            await trio.sleep(105)
            assert asked() == before + 10
        await trio.sleep(1000)
        assert asked() <= before + 10


@pytest.mark.parametrize(("options", "check"), [("", None), ("&nodePreference=follower", 30.0)])
async def test_the_cluster_is_not_asked(nodes: ScriptedNodes, options: str, check: float | None) -> None:
    async with client_of(nodes, options, leader_check=check) as client, client.subscribe_stream_events("s"):
        before = sum(node.gossips for node in nodes.nodes.values())
        await trio.sleep(1000)
        assert sum(node.gossips for node in nodes.nodes.values()) == before
