"""The process of a node on a host of a memory network: killed, stopped, woken, started again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import trio
import trio.testing

from tests.support.tls import certificate, roots, server_context
from trio_esdb import DeadlineExceededError, ESDBClient, InvalidArgumentError, NewEvent, StreamState, UnavailableError
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing import Host, MemoryHost, MemoryNetwork, TCPHost

URI = "esdb://node1.example:2113?Tls=false"


def event() -> NewEvent:
    return NewEvent(type="Happened", data=b"{}")


@pytest.fixture
def host(network: MemoryNetwork) -> MemoryHost:
    return MemoryHost(network, "NODE1.example", 2113)


async def echo(stream: trio.abc.Stream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def is_silent(stream: trio.abc.Stream) -> bool:
    with trio.move_on_after(1000) as scope:
        await stream.receive_some()
    return scope.cancelled_caught


async def test_a_node_on_a_host(network: MemoryNetwork, host: MemoryHost, nursery: trio.Nursery) -> None:
    assert isinstance(host, Host)
    assert host.name == "node1.example"
    async with EmbeddedNode() as node:
        assert await nursery.start(host.serve, node) == host.address == node.address == ("node1.example", 2113)
        async with ESDBClient(URI, connect=network.connect) as client:
            await client.append_event("s", None, event())


async def test_a_process_that_is_killed(network: MemoryNetwork, host: MemoryHost) -> None:
    async with EmbeddedNode() as node, trio.open_nursery() as nursery:
        await nursery.start(host.serve, node)
        async with ESDBClient(URI, connect=network.connect) as client:
            await client.append_event("s", None, event())
            async with client.subscribe_all_events(resume=False) as events:
                await events.receive()
                network.latency(1)
                start = trio.current_time()
                host.kill()
                (connection,) = network.connections
                assert not connection.open_at_server
                assert connection.open_at_client
                with pytest.raises(UnavailableError, match="closed the connection"):
                    _ = [each async for each in events]
                assert trio.current_time() == pytest.approx(start + 1), "the end travels as everything else does"
            with pytest.raises(ConnectionRefusedError):
                await network.connect("node1.example", 2113)
            network.latency(0)
            await nursery.start(host.serve, node)  # another process
            assert await client.get_stream_position("s") == 0
            host.kill()


async def test_what_was_sent_before_the_kill_still_arrives_and_nothing_after_it(
    network: MemoryNetwork, host: MemoryHost, nursery: trio.Nursery
) -> None:
    async def talk(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"before")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True), pytest.raises(trio.ClosedResourceError):
                await stream.send_all(b"after")
            with trio.CancelScope(shield=True), pytest.raises(trio.ClosedResourceError):
                await stream.receive_some()

    await nursery.start(host.serve, talk)
    stream = await network.connect("node1.example", 2113)
    await trio.testing.wait_all_tasks_blocked()
    host.kill()
    assert await stream.receive_some() == b"before"
    assert await stream.receive_some() == b""


async def test_nobody_hears_of_a_kill_across_a_partition(
    network: MemoryNetwork, host: MemoryHost, nursery: trio.Nursery
) -> None:
    await nursery.start(host.serve, echo)
    stream = await network.connect("node1.example", 2113)
    network.partition("client", "node1.example")
    host.kill()
    assert await is_silent(stream)
    network.heal()
    assert await stream.receive_some() == b""


async def test_the_next_process_may_start_at_once(
    network: MemoryNetwork, host: MemoryHost, nursery: trio.Nursery
) -> None:
    async def linger(stream: trio.abc.Stream) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1000)

    await nursery.start(host.serve, linger)
    await network.connect("node1.example", 2113)
    await trio.testing.wait_all_tasks_blocked()
    host.kill()
    await nursery.start(host.serve, echo)
    stream = await network.connect("node1.example", 2113)
    await trio.sleep(2000)
    await stream.send_all(b"x")
    assert await stream.receive_some() == b"x", "the end of the first process is none of the second"
    with pytest.raises(RuntimeError, match="a process runs on "):
        await host.serve(echo)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_process_that_is_stopped(network: MemoryNetwork, host: MemoryHost, tls: bool) -> None:
    context = server_context(certificate("node1.example")) if tls else None
    async with EmbeddedNode() as node, trio.open_nursery() as nursery:
        await nursery.start(partial(host.serve, node, tls=context))
        uri = f"esdb://node1.example:2113?tls={str(tls).lower()}"
        async with ESDBClient(uri, connect=network.connect, root_certificates=roots() if tls else None) as client:
            await client.append_event("s", None, event())
            async with client.subscribe_stream_events("s", from_end=True) as events:
                host.freeze()
                host.freeze()
                with pytest.raises(DeadlineExceededError):
                    await client.append_event("s", 0, event(), timeout=1)
                stream = await network.connect("node1.example", 2113)
                assert await is_silent(stream), "connections are taken, and nothing is said"
                network.to().heal()
                network.heal()
                assert await is_silent(stream), "the network has nothing to do with it"
                host.wake()
                host.wake()
                await client.append_event("s", StreamState.ANY, event())
                assert (await events.receive()).stream_position == 1
        host.kill()


async def test_bytes_wait_both_ways_while_a_process_is_stopped(
    network: MemoryNetwork, host: MemoryHost, nursery: trio.Nursery
) -> None:
    ends: list[trio.abc.Stream] = []
    done: list[str] = []

    async def keep(stream: trio.abc.Stream) -> None:
        ends.append(stream)
        await trio.sleep_forever()

    await nursery.start(host.serve, keep)
    client = await network.connect("node1.example", 2113)
    await trio.testing.wait_all_tasks_blocked()
    (server,) = ends
    host.freeze()
    await client.send_all(b"abcdef")
    with trio.move_on_after(10) as gone:
        await server.receive_some()
    assert gone.cancelled_caught

    async def send() -> None:
        await server.send_all(bytes(200_000))
        done.append("sent")

    async with trio.open_nursery() as sending:
        sending.start_soon(send)
        assert await is_silent(client)
        assert not done
        host.wake()
        size = 0
        while size < 200_000:
            size += len(await client.receive_some())
    received = [
        await server.receive_some(4),
        await server.receive_some(),
    ]
    assert received == [b"abcd", b"ef"], "an attempt that was given up has lost nothing"

    host.freeze()
    await client.aclose()
    with trio.move_on_after(10) as waiting:
        await server.receive_some()
    assert waiting.cancelled_caught, "it does not notice the end either"
    host.wake()
    assert await server.receive_some() == b""
    await server.aclose()


async def test_a_reset_is_noticed_on_waking(network: MemoryNetwork, host: MemoryHost, nursery: trio.Nursery) -> None:
    seen: list[float] = []

    async def watch(stream: trio.abc.Stream) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        seen.append(trio.current_time())

    await nursery.start(host.serve, watch)
    await network.connect("node1.example", 2113)
    await trio.testing.wait_all_tasks_blocked()
    host.freeze()
    network.connections[0].reset()
    await trio.sleep(50)
    assert not seen
    host.wake()
    await trio.testing.wait_all_tasks_blocked()
    assert seen == [trio.current_time()]


async def test_a_stopped_process_can_be_killed_and_does_nothing_any_more(
    network: MemoryNetwork, host: MemoryHost
) -> None:
    async with EmbeddedNode() as node, trio.open_nursery() as nursery:
        await nursery.start(host.serve, node)
        async with ESDBClient(URI, connect=network.connect) as client:
            await client.append_event("s", None, event())
            host.freeze()
            async with trio.open_nursery() as appending:

                @appending.start_soon
                async def append() -> None:
                    with pytest.raises(UnavailableError):
                        await client.append_event("s", StreamState.ANY, event(), retry=False)

                await trio.sleep(1)
                host.kill()
            await nursery.start(host.serve, node)
            assert await client.get_stream_position("s") == 0, "what it had not read, it has not done"
            host.kill()


async def test_a_stopped_process_does_not_hold_up_the_end(network: MemoryNetwork, host: MemoryHost) -> None:
    async with EmbeddedNode() as node:
        async with trio.open_nursery() as nursery:
            await nursery.start(host.serve, node)
            stream = await network.connect("node1.example", 2113)
            await trio.testing.wait_all_tasks_blocked()
            host.freeze()
            start = trio.current_time()
            nursery.cancel_scope.cancel()
        assert trio.current_time() == start
        assert await stream.receive_some() == b""


async def test_a_node_that_ends_by_itself(network: MemoryNetwork, host: MemoryHost) -> None:
    async with EmbeddedNode() as node, trio.open_nursery() as nursery:
        await nursery.start(host.serve, node)
        await node.shut_down(0)
    host.kill()  # there is nothing to kill, stop or wake
    host.freeze()
    host.wake()
    with pytest.raises(ConnectionRefusedError):
        await network.connect("node1.example", 2113)


async def test_a_port_of_its_own_stays_the_same(network: MemoryNetwork, nursery: trio.Nursery) -> None:
    host = MemoryHost(network, "node1.example", 0)
    assert repr(host) == "<trio_esdb.testing.MemoryHost: node1.example:0, nothing runs>"
    first = await nursery.start(host.serve, echo)
    assert first[1] > 0
    assert repr(host) == f"<trio_esdb.testing.MemoryHost: node1.example:{first[1]}, a process runs>"
    host.kill()
    assert await nursery.start(host.serve, echo) == first


async def test_an_address_in_use(network: MemoryNetwork, host: MemoryHost) -> None:
    async with network.listen(echo, "node1.example", 2113):
        with pytest.raises(OSError, match="in use"):
            await host.serve(echo)
    with trio.move_on_after(1) as served:
        await host.serve(echo)
    assert served.cancelled_caught


async def test_a_server_that_fails_is_not_silenced(network: MemoryNetwork, host: MemoryHost) -> None:
    async def fail(stream: trio.abc.Stream) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(host.serve, fail)
            await network.connect("node1.example", 2113)

    with pytest.raises(ExceptionGroup) as failed:
        await main()
    assert failed.group_contains(ZeroDivisionError)


@pytest.mark.parametrize(
    "make",
    [
        lambda network: MemoryHost(network, "", 1),
        lambda network: MemoryHost(network, "a", -1),
        lambda network: MemoryHost(network, "a", 65_536),
        lambda network: MemoryHost(network, "a", "1"),
        lambda network: TCPHost("127.0.0.1", 65_536),
        lambda network: TCPHost("127.0.0.1", True),
        lambda network: TCPHost("127.0.0.1", 1, advertise_port=0),
    ],
)
def test_what_is_no_address(network: MemoryNetwork, make: Callable[[MemoryNetwork], object]) -> None:
    with pytest.raises(InvalidArgumentError):
        make(network)
