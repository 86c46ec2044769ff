"""Real TCP: our client and our node over loopback, and ports where something else is, or nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from tests.support import http2
from tests.support.clock import PATIENCE
from tests.support.processes import loopbacks
from trio_esdb import CaughtUp, ESDBClient, NewEvent, StreamState, UnavailableError
from trio_esdb.embedded import EmbeddedNode

Serving = Callable[[trio.SocketStream], Awaitable[None]]


def uri_of(host: str, port: int) -> str:
    return f"esdb://[{host}]:{port}?Tls=false" if ":" in host else f"esdb://{host}:{port}?Tls=false"


def event(number: int = 0, size: int = 0) -> NewEvent:
    return NewEvent(type="Happened", data=b'{"n":%d}' % number + b" " * size)


@asynccontextmanager
async def listening(serve: Serving) -> Any:
    """Something that listens on a port; gives the address for a client."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            yield uri_of("127.0.0.1", listener.socket.getsockname()[1])
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("host", loopbacks())
async def test_a_node_and_a_client_over_loopback(host: str) -> None:
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            port = await nursery.start(node.serve_tcp, host, 0)
            assert node.address == (host, port)
            async with ESDBClient(uri_of(host, port)) as client, ESDBClient(uri_of(host, port)) as another:
                async with client.subscribe_stream_events("s", include_caught_up=True) as events:
                    assert await events.receive() == CaughtUp()
                    await another.append_events("s", None, [event(n, 10_000) for n in range(50)])
                    assert [(await events.receive()).stream_position for _ in range(50)] == list(range(50))
                assert len(await another.get_stream_events("s")) == 50
                assert await client.get_stream_position("s") == 49
            nursery.cancel_scope.cancel()


async def test_a_name_that_stands_for_several_addresses() -> None:
    """The client finds the one where the node is."""
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            port = await nursery.start(node.serve_tcp, "127.0.0.1", 0)
            async with ESDBClient(f"esdb://localhost:{port}?Tls=false") as client:
                assert await client.append_event("s", None, event()) >= 0
            nursery.cancel_scope.cancel()


async def test_every_address_of_a_machine() -> None:
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            port = await nursery.start(node.serve_tcp, "0.0.0.0", 0)
            assert node.address == ("127.0.0.1", port), "what clients are told must be of use to them"
            async with ESDBClient(uri_of("127.0.0.1", port)) as client:
                assert await client.get_stream_position("s") is None
            nursery.cancel_scope.cancel()


async def test_much_at_once() -> None:
    """Several tasks write and read large events over a few connections; all arrive, none twice."""
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            port = await nursery.start(node.serve_tcp)
            uri = uri_of("127.0.0.1", port)
            seen: dict[int, list[bytes]] = {}
            async with ESDBClient(uri) as writing, ESDBClient(uri) as reading:

                async def write(writer: int) -> None:
                    for number in range(10):
                        await writing.append_event("s", StreamState.ANY, event(10 * writer + number, 50_000))

                async def read(reader: int, started: trio.Event) -> None:
                    async with reading.subscribe_stream_events("s") as events:
                        started.set()
                        seen[reader] = [(await events.receive()).data.strip() for _ in range(50)]

                async with trio.open_nursery() as tasks:
                    for reader in range(3):
                        started = trio.Event()
                        tasks.start_soon(read, reader, started)
                        await started.wait()
                    for writer in range(5):
                        tasks.start_soon(write, writer)
            assert seen[0] == seen[1] == seen[2]
            assert sorted(seen[0]) == sorted(b'{"n":%d}' % number for number in range(50))
            nursery.cancel_scope.cancel()


async def test_a_port_where_nothing_listens() -> None:
    with trio.fail_after(PATIENCE), socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # held, so that nobody else gets it, but not listening
        port = reserved.getsockname()[1]
        with pytest.raises(UnavailableError, match="refused") as failed:
            async with ESDBClient(uri_of("127.0.0.1", port)):
                pass
        assert failed.value.address == f"127.0.0.1:{port}"
        assert failed.value.status == "UNAVAILABLE"


async def test_a_port_that_speaks_an_older_http() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async with listening(serve) as uri:
        with pytest.raises(UnavailableError, match="HTTP/1"):
            async with ESDBClient(uri):
                pass


async def test_a_port_that_wants_tls() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"\x15\x03\x01\x00\x02\x02\x46")  # an alert: this is no version of the protocol

    async with listening(serve) as uri:
        with pytest.raises(UnavailableError, match="TLS"):
            async with ESDBClient(uri):
                pass


@pytest.mark.parametrize("greeting", [b"", b"\x00" * 9, b"+OK ready\r\n", b"\x00\x00\x05\x04\x00\x00\x00\x00\x00hello"])
async def test_a_port_where_something_else_is(greeting: bytes) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            if greeting:
                await stream.send_all(greeting)

    async with listening(serve) as uri:
        with pytest.raises(UnavailableError) as failed:
            async with ESDBClient(uri):
                pass
        assert failed.value.details


async def test_a_node_is_no_place_for_other_protocols() -> None:
    """It ends such a connection, and goes on."""
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            port = await nursery.start(node.serve_tcp)
            for said in (
                b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 90,
            ):
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    await stream.send_all(said)
                    async for _ in stream:  # until it is closed
                        pass
            async with ESDBClient(uri_of("127.0.0.1", port)) as client:
                assert await client.get_stream_position("s") is None
            nursery.cancel_scope.cancel()


async def test_a_connection_that_is_cut_while_much_is_under_way() -> None:
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            port = await nursery.start(node.serve_tcp)
            streams: list[trio.SocketStream] = []

            async def connect(host: str, port: int) -> trio.SocketStream:
                streams.append(await trio.open_tcp_stream(host, port))
                return streams[-1]

            async with ESDBClient(uri_of("127.0.0.1", port), connect=connect) as client:
                await client.append_events("s", None, [event(n, 50_000) for n in range(20)])
                async with client.subscribe_stream_events("s") as events:
                    assert (await events.receive()).stream_position == 0
                    streams[0].socket.shutdown(socket.SHUT_RDWR)
                    assert [(await events.receive()).stream_position for _ in range(19)] == list(range(1, 20))
                assert await client.get_stream_position("s") == 19
                assert len(streams) == 2
            nursery.cancel_scope.cancel()


async def test_a_host_with_several_addresses_has_one_port() -> None:
    class Resolver(trio.abc.HostnameResolver):
        async def getaddrinfo(
            self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
        ) -> Any:
            return [
                (
                    socket.AF_INET6 if ":" in each else socket.AF_INET,
                    socket.SOCK_STREAM,
                    socket.IPPROTO_TCP,
                    "",
                    (each, int(port)),
                )
                for each in loopbacks()
            ]

        async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
            raise AssertionError("nobody asks that")

    trio.socket.set_custom_hostname_resolver(Resolver())
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            port = await nursery.start(node.serve_tcp, "here.test", 0)
            for host in loopbacks():
                async with ESDBClient(uri_of(host, port)) as client:
                    assert await client.get_stream_position("s") is None
            nursery.cancel_scope.cancel()


async def test_a_client_that_is_frozen_does_not_keep_its_subscription() -> None:
    """It has asked for events and answers no PING, as a process that was stopped: its kernel keeps the connection."""
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            serve = partial(node.serve_tcp, keep_alive_interval=0.1, keep_alive_timeout=0.1)
            port = await nursery.start(serve)
            async with (
                ESDBClient(uri_of("127.0.0.1", port)) as client,
                await trio.open_tcp_stream("127.0.0.1", port) as frozen,
            ):
                subscribe = http2.frame(
                    http2.HEADERS,
                    http2.END_HEADERS,
                    1,
                    http2.without_table().encode(
                        [
                            (name, "/event_store.client.streams.Streams/Read" if name == ":path" else value)
                            for name, value in http2.REQUEST
                        ]
                    ),
                )
                await frozen.send_all(http2.PREFACE + http2.settings() + subscribe)
                received = b""
                with contextlib.suppress(trio.BrokenResourceError):  # with a call open, the node resets the connection
                    while portion := await frozen.receive_some():
                        received += portion
                assert http2.frame(http2.PING, 0, 0, bytes(8)) in received
                assert await client.append_event("s", None, event()) >= 0, "who answers stays"
            nursery.cancel_scope.cancel()
