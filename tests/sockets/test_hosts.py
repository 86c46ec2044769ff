"""The process of a node on TCP ports of this machine: killed, stopped, woken, started again."""

from __future__ import annotations

import contextlib
import errno
import socket

import pytest
import trio

from tests.support.clock import PATIENCE
from tests.support.processes import loopbacks
from trio_esdb import CaughtUp, ESDBClient, NewEvent, StreamState, UnavailableError
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing import TCPHost


def event() -> NewEvent:
    return NewEvent(type="Happened", data=b"{}")


def uri_of(host: TCPHost) -> str:
    name, port = host.address
    return f"esdb://[{name}]:{port}?Tls=false" if ":" in name else f"esdb://{name}:{port}?Tls=false"


async def echo(stream: trio.abc.Stream) -> None:
    async for data in stream:
        await stream.send_all(data)


@pytest.mark.parametrize("name", [*loopbacks(), "localhost"])
async def test_a_process_that_is_killed_and_started_again(name: str) -> None:
    host = TCPHost(name)
    await host.reserve()
    assert host.address[1] > 0
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream(*host.address)
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            address = await nursery.start(host.serve, node)
            assert address == host.address
            async with ESDBClient(uri_of(host)) as client:
                await client.append_event("s", None, event())
                async with client.subscribe_stream_events("s", include_caught_up=True, resume=False) as events:
                    await events.receive()
                    assert await events.receive() == CaughtUp()
                    host.kill()
                    with pytest.raises(UnavailableError):
                        await events.receive()
                with pytest.raises(OSError, match="all attempts to connect"):
                    await trio.open_tcp_stream(*address)
                assert await nursery.start(host.serve, node) == address, "the port stays the same"
                assert await client.get_stream_position("s") == 0
            host.kill()
    host.close()


async def test_a_process_that_is_stopped_and_woken() -> None:
    host = TCPHost()
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            await nursery.start(host.serve, node)
            inside = ESDBClient("esdb://inside?Tls=false", connect=node.connect)
            async with inside, ESDBClient(uri_of(host)) as client:
                await client.append_event("s", None, event())
                async with client.subscribe_stream_events("s", from_end=True, include_caught_up=True) as events:
                    assert await events.receive() == CaughtUp()
                    host.freeze()
                    async with trio.open_nursery() as appending:
                        appending.start_soon(client.append_event, "s", 0, event())
                        stream = await trio.open_tcp_stream(*host.address)
                        await stream.send_all(b"GET /health/live HTTP/1.1\r\n\r\n")
                        with trio.move_on_after(0.2) as answered:
                            await stream.receive_some()
                        assert answered.cancelled_caught, "the connection is taken, and nothing is said"
                        assert await inside.get_stream_position("s") == 0
                        host.wake()
                        assert b"204" in await stream.receive_some()
                        await stream.aclose()
                    assert (await events.receive()).stream_position == 1
            host.freeze()
            host.kill()


async def test_a_stopped_process_can_be_killed() -> None:
    host = TCPHost()
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            await nursery.start(host.serve, node)
            async with ESDBClient(uri_of(host)) as client:
                await client.append_event("s", None, event())
                host.freeze()
                async with trio.open_nursery() as appending:

                    @appending.start_soon
                    async def append() -> None:
                        with pytest.raises(UnavailableError):
                            await client.append_event("s", StreamState.ANY, event(), retry=False)

                    stream = await trio.open_tcp_stream(*host.address)
                    host.kill()
                    with contextlib.suppress(trio.BrokenResourceError):
                        assert not await stream.receive_some()
                    await stream.aclose()
                await nursery.start(host.serve, node)
                assert await client.get_stream_position("s") == 0, "what it had not read, it has not done"
            host.kill()


async def test_what_was_sent_before_the_kill_still_arrives() -> None:
    sent = trio.Event()

    async def talk(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"x" * 50_000)
        sent.set()
        await stream.receive_some()

    host = TCPHost()
    async with trio.open_nursery() as nursery:
        await nursery.start(host.serve, talk)
        stream = await trio.open_tcp_stream(*host.address)
        await sent.wait()
        host.kill()
        size = 0
        while more := await stream.receive_some():
            size += len(more)
        assert size == 50_000
        await stream.aclose()


async def test_a_port_in_use() -> None:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(OSError, match="in use") as used:
            await TCPHost("127.0.0.1", port).reserve()
        assert used.value.errno == errno.EADDRINUSE
        with pytest.raises(OSError, match="in use"):
            await TCPHost("127.0.0.1", port).serve(echo)
        nursery.cancel_scope.cancel()


async def test_a_reserved_port_is_nobody_elses() -> None:
    host = TCPHost()
    await host.reserve()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(host.address)
    host.close()
    with socket.socket() as other:
        other.bind(host.address)


async def test_what_is_advertised() -> None:
    assert TCPHost("0.0.0.0", 7).address == ("127.0.0.1", 7)
    assert TCPHost("::", 7).address == ("::1", 7)
    assert TCPHost("", 7, advertise_host="node1.example").address == ("node1.example", 7)
    advertised = TCPHost("127.0.0.1", 7, advertise_host="node1.example", advertise_port=8)
    assert (advertised.address, advertised.name, advertised.port) == (("node1.example", 8), "127.0.0.1:7", 7)


async def until_it_ends(stream: trio.abc.Stream) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        async for _ in stream:
            pass
    await stream.aclose()


async def test_limits() -> None:
    host = TCPHost(max_connections=1, preface_timeout=0.05)
    async with EmbeddedNode() as node, trio.open_nursery() as nursery:
        await nursery.start(host.serve, node)
        await until_it_ends(await trio.open_tcp_stream(*host.address))  # it did not begin to speak in time
        client = ESDBClient(uri_of(host))
        async with client, client.subscribe_all_events(include_caught_up=True) as events:
            assert await events.receive() == CaughtUp()
            await until_it_ends(await trio.open_tcp_stream(*host.address))  # there is no place for it
            await client.append_event("s", None, event())
        host.kill()
