"""The node's life: how it begins, what it is reached by, how it ends."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.peer import OPERATIONS, STREAMS, Peer, connected, read_request
from trio_esdb._transport import ClientLink, dial_tcp
from trio_esdb._wire import Status
from trio_esdb.embedded import EmbeddedNode


async def created(peer: Peer, stream: str = "s") -> list[int]:
    messages, _ = await peer.ask(STREAMS + "Read", read_request(stream))
    return [int(m["event"]["event"]["metadata"]["created"]) for m in messages]


async def test_in_a_nursery_of_its_user(nursery: trio.Nursery) -> None:
    node = EmbeddedNode()
    assert await nursery.start(node.run) is node
    async with connected(node) as peer:
        await peer.append("s", peer.event())
        assert await peer.numbers("s") == [0]


async def test_before_and_after_its_life() -> None:
    node = EmbeddedNode()
    for attempt in (node.connect, node.serve_tcp):
        with pytest.raises(RuntimeError, match="does not run yet"):
            await attempt()
    async with node:
        pass
    for attempt in (node.connect, node.serve_tcp):
        with pytest.raises(trio.ClosedResourceError):
            await attempt()
    with pytest.raises(RuntimeError, match="only once"):
        await node.run()
    with pytest.raises(RuntimeError, match="only once"):
        async with node:
            pytest.fail("it ran again")


async def test_a_second_entry_leaves_the_first_alone() -> None:
    async with EmbeddedNode() as node:
        with pytest.raises(RuntimeError, match="only once"):
            async with node:
                pytest.fail("it ran twice")
        async with connected(node) as peer:
            await peer.append("s", peer.event())
            assert await peer.numbers("s") == [0]


async def test_an_exception_comes_out_as_it_is() -> None:
    class Mine(Exception):
        pass

    with pytest.raises(Mine):
        async with EmbeddedNode() as node, connected_quietly(node):
            raise Mine


class connected_quietly:
    """A connection whose tasks belong to nobody else, so that no nursery wraps what happens."""

    def __init__(self, node: EmbeddedNode) -> None:
        self._node = node

    async def __aenter__(self) -> trio.abc.Stream:
        self._stream = await self._node.connect()
        return self._stream

    async def __aexit__(self, *_: object) -> None:
        return None


async def test_cancelled_it_ends_with_its_connections(node: EmbeddedNode) -> None:
    with trio.move_on_after(1) as scope:
        async with EmbeddedNode() as other:
            stream = await other.connect()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    while await stream.receive_some():
        pass


async def test_clients_see_the_node_end() -> None:
    node, life = EmbeddedNode(), trio.CancelScope()

    async def live(*, task_status: trio.TaskStatus[EmbeddedNode]) -> None:
        with life:
            await node.run(task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(live)
        link = ClientLink(await node.connect(), "node")
        nursery.start_soon(link.run)
        await link.ready()
        call = Peer(link).subscribe("s")
        await call.some(2)
        life.cancel()
        assert (await call.end()).status is Status.UNAVAILABLE


async def test_a_client_shuts_it_down(nursery: trio.Nursery) -> None:
    async with EmbeddedNode() as node:
        port = await nursery.start(node.serve_tcp)
        assert port
        async with connected(node) as peer, connected(node) as other:
            subscription = other.subscribe("s")
            await subscription.some(2)
            (answer,), outcome = await peer.ask(OPERATIONS + "Shutdown", {})
            assert (answer, outcome.ok) == ({}, True)
            assert (await subscription.end()).status is Status.UNAVAILABLE
        with pytest.raises(trio.ClosedResourceError):
            await node.connect()
        # The body goes on: the node is gone, not its user.
        await trio.sleep(1)


async def test_time_is_trio_s_from_a_fixed_day_on(peer: Peer) -> None:
    await peer.append("s", peer.event())
    await trio.sleep(1.25)
    await peer.append("s", peer.event())
    first = 17_672_256_000_000_000
    assert await created(peer) == [first, first + 12_500_000]


async def test_time_and_ids_of_the_caller_s_own() -> None:
    times = iter(datetime(2001, 2, 3, 4, 5, 6, n, tzinfo=timezone(timedelta(hours=1))) for n in range(100))
    ids = iter(uuid.UUID(int=n) for n in range(7, 100))
    async with EmbeddedNode(clock=times.__next__, new_id=ids.__next__, empty=True) as node, connected(node) as peer:
        await peer.append("s", peer.event())
        second = 981_169_506 * 10**7
        assert await created(peer) == [second]
        (gossip,), _ = await peer.ask("/event_store.client.gossip.Gossip/Read", {})
        assert gossip["members"][0]["instance_id"] == {"structured": {"least_significant_bits": 7}}
        confirmation = await peer.subscribe("s").receive()
        assert confirmation["confirmation"]["subscription_id"] == str(uuid.UUID(int=8))


async def test_max_age_is_measured_by_the_node_s_clock(peer: Peer) -> None:
    await peer.append("s", peer.event())
    await peer.append("$$s", peer.event(b'{"$maxAge": 3600}', type="$metadata"))
    assert await peer.numbers("s") == [0]
    await trio.sleep(3601)
    assert await peer.numbers("s") == []


async def conversation(seen: bytearray) -> None:
    async with EmbeddedNode() as node:
        recording = Recording(await node.connect(), seen)
        link = ClientLink(recording, "node")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            await link.ready()
            peer = Peer(link)
            calls = []
            for stream in ("s", None, "s"):
                calls.append(peer.subscribe(stream))
                await calls[-1].some(2)
            for _ in range(3):
                await peer.append("s", peer.event(), peer.event())
                await trio.sleep(0.125)
            await peer.remove("s")
            await peer.append("s", peer.event())
            for call, number in zip(calls, (7, 9, 7), strict=True):
                await call.some(number)
            await peer.ask(OPERATIONS + "StartScavenge", {"options": {}})
            link.close()


class Recording(trio.abc.Stream):
    """A stream that notes what comes."""

    def __init__(self, stream: trio.abc.Stream, seen: bytearray) -> None:
        self._stream, self._seen = stream, seen

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await self._stream.receive_some(max_bytes)
        self._seen += data
        return bytes(data)

    async def aclose(self) -> None:
        await self._stream.aclose()


def test_two_runs_give_the_same_bytes() -> None:
    traces = [bytearray(), bytearray()]
    for trace in traces:
        trio.run(conversation, trace, clock=trio.testing.MockClock(autojump_threshold=0))
    assert len(traces[0]) > 2000
    assert traces[0] == traces[1]


async def test_any_stream_can_be_served(node: EmbeddedNode) -> None:
    client, server = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.serve_stream, server)
        link = ClientLink(client, "node")
        nursery.start_soon(link.run)
        await link.ready()
        peer = Peer(link)
        await peer.append("s", peer.event())
        assert await peer.numbers("s") == [0]
        link.close()


async def test_a_served_stream_ends_with_the_node() -> None:
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        async with EmbeddedNode() as node:
            nursery.start_soon(node.serve_stream, server)
            await trio.testing.wait_all_tasks_blocked()
        while await client.receive_some():
            pass


async def test_each_connection_takes_a_hundred_calls(peer: Peer) -> None:
    calls = [peer.subscribe(f"s{n}") for n in range(100)]
    for call in calls:
        await call.some(2)
    assert peer.link.room == 0
    calls[0].cancel()
    assert peer.link.room == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_listening_on_tcp(host: str) -> None:
    async def main() -> None:
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            assert node.address == ("127.0.0.1", 2113)
            port = await nursery.start(node.serve_tcp, host)
            await nursery.start(node.serve_tcp, host)
            assert node.address == (host, port)
            link = ClientLink(await dial_tcp(host, port), "node")
            nursery.start_soon(link.run)
            await link.ready()
            peer = Peer(link)
            (gossip,), _ = await peer.ask("/event_store.client.gossip.Gossip/Read", {})
            assert gossip["members"][0]["http_end_point"] == {"address": host, "port": port}
            link.close()
            nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"max_connections": 0}, "at least 1 connection, not 0"),
        ({"preface_timeout": 0}, "more than 0 seconds, not 0"),
        ({"idle_timeout": -1}, "more than 0 seconds, not -1"),
        ({"write_timeout": float("nan")}, "more than 0 seconds, not nan"),
        ({"keep_alive_interval": 0}, "more than 0 seconds, not 0"),
        ({"keep_alive_timeout": -2}, "more than 0 seconds, not -2"),
        ({"advertise_port": 0}, "from 1 to 65535, not 0"),
        ({"advertise_port": 65_536}, "from 1 to 65535, not 65536"),
    ],
)
async def test_limits_that_make_no_sense(node: EmbeddedNode, wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        await node.serve_tcp(**wrong)


def test_an_address_that_cannot_be_listened_on() -> None:
    async def main() -> None:
        async with EmbeddedNode() as node:
            with pytest.raises(OSError, match=r".+"):
                await node.serve_tcp("192.0.2.1", 1)

    trio.run(main)
