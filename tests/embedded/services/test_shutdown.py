"""How a node ends: calls go on for a while, then everything is cut off."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.support.peer import OPERATIONS, connected
from trio_esdb._transport._admission import Admission
from trio_esdb._wire import Status
from trio_esdb.embedded import EmbeddedNode


async def test_open_calls_go_on_for_the_grace_period(nursery: trio.Nursery) -> None:
    async with EmbeddedNode() as node, connected(node) as peer, connected(node) as idle:
        subscription = peer.subscribe("s")
        await subscription.some(2)
        start = trio.current_time()
        nursery.start_soon(node.shut_down)
        await trio.sleep(4.9)
        assert idle.link.core.ended
        with pytest.raises(trio.ClosedResourceError):
            await node.connect()
        await peer.append("s", peer.event())
        await subscription.some(1)
        assert (await subscription.end()).status is Status.UNAVAILABLE
        await node.wait_stopped()
        assert trio.current_time() - start == pytest.approx(5)


async def test_without_calls_a_node_ends_at_once() -> None:
    async with EmbeddedNode() as node, connected(node) as peer:
        await peer.append("s", peer.event())
        start = trio.current_time()
        await node.shut_down(60)
        assert trio.current_time() == start


async def test_a_node_ends_with_its_last_call(nursery: trio.Nursery) -> None:
    async with EmbeddedNode() as node, connected(node) as peer:
        subscription = peer.subscribe("s")
        await subscription.some(2)
        nursery.start_soon(node.shut_down, 60)
        await trio.sleep(3)
        start = trio.current_time()
        subscription.cancel()
        await node.wait_stopped()
        assert trio.current_time() == start


async def test_the_grace_period_can_be_made_shorter(nursery: trio.Nursery) -> None:
    async with EmbeddedNode() as node, connected(node) as peer:
        subscription = peer.subscribe("s")
        await subscription.some(2)
        start = trio.current_time()
        nursery.start_soon(node.shut_down, 60)
        await trio.sleep(1)
        await node.shut_down(2)
        assert trio.current_time() - start == pytest.approx(3)
        await node.shut_down()
        assert (await subscription.end()).status is Status.UNAVAILABLE


async def test_a_client_shuts_a_node_down_for_everybody() -> None:
    async with EmbeddedNode() as node, connected(node) as peer, connected(node) as other:
        subscription = other.subscribe("s")
        await subscription.some(2)
        start = trio.current_time()
        (answer,), outcome = await peer.ask(OPERATIONS + "Shutdown", {})
        assert (answer, outcome.ok) == ({}, True)
        assert (await subscription.end()).status is Status.UNAVAILABLE
        assert trio.current_time() - start == pytest.approx(5)


async def test_a_killed_node_is_gone_at_once(nursery: trio.Nursery) -> None:
    client, server = trio.testing.memory_stream_pair()
    async with EmbeddedNode() as node, connected(node) as peer, connected(node) as idle:
        nursery.start_soon(node.serve_stream, server)
        subscription = peer.subscribe("s")
        await subscription.some(2)
        start = trio.current_time()
        node.kill()
        with pytest.raises(trio.ClosedResourceError):
            await node.connect()
        await node.wait_stopped()
        outcome = await subscription.end()
        assert outcome.status is Status.UNAVAILABLE
        assert "GOAWAY" not in outcome.message
        await trio.testing.wait_all_tasks_blocked()
        assert idle.link.core.ended
        assert idle.link.reason == "the peer closed the connection"
        assert await client.receive_some() == b""
        assert trio.current_time() == start
        node.kill()


async def test_a_node_is_killed_while_it_shuts_down(nursery: trio.Nursery) -> None:
    async with EmbeddedNode() as node, connected(node) as peer:
        await peer.subscribe("s").some(2)
        nursery.start_soon(node.shut_down)
        await trio.sleep(1)
        start = trio.current_time()
        node.kill()
        await node.wait_stopped()
        assert trio.current_time() == start


async def test_what_a_killed_node_held_is_left() -> None:
    async with EmbeddedNode(empty=True) as node, connected(node) as peer:
        await peer.append("s", peer.event())
        node.kill()
        await node.wait_stopped()
        assert node._context.store.last_number("s") == 0


async def test_a_node_that_does_not_run_cannot_be_shut_down() -> None:
    node = EmbeddedNode()
    with pytest.raises(RuntimeError, match="does not run yet"):
        await node.shut_down()
    with pytest.raises(RuntimeError, match="does not run yet"):
        node.kill()
    async with node:
        pass
    await node.shut_down()


async def test_a_connection_that_begins_while_the_node_ends(nursery: trio.Nursery) -> None:
    """It was accepted just before; it must not keep the node."""
    client, server = trio.testing.memory_stream_pair()
    async with EmbeddedNode() as node, connected(node) as peer:
        await peer.subscribe("s").some(2)
        nursery.start_soon(node.shut_down)
        await trio.testing.wait_all_tasks_blocked()
        await node._serve(server)
        assert await client.receive_some() == b""


async def test_every_connection_of_a_listener_has_a_place(nursery: trio.Nursery) -> None:
    async with EmbeddedNode() as node:
        admission = Admission(2)
        clients = []
        for _ in range(3):
            client, server = trio.testing.memory_stream_pair()
            nursery.start_soon(node._serve, server, None, admission)
            await trio.testing.wait_all_tasks_blocked()
            clients.append(client)
        assert await clients[0].receive_some() == b"", "the one that is connected longest and said nothing"
        for client in clients[1:]:
            with trio.move_on_after(1) as waited:
                await client.receive_some()
            assert waited.cancelled_caught


async def test_a_connection_is_refused_if_all_others_have_open_calls() -> None:
    class Busy:
        """A connection with a call."""

        def __init__(self) -> None:
            self.core = self
            self.streams = {1: None}

    client, server = trio.testing.memory_stream_pair()
    admission = Admission(1)
    assert admission.admit(Busy())  # type: ignore[arg-type]
    async with EmbeddedNode() as node:
        await node._serve(server, None, admission)
        assert await client.receive_some() == b""
