"""nginx between our client and a node: what a proxy does to connections and calls, the client heals.

nginx takes so many calls on a connection (``keepalive_requests``), then it says GOAWAY, which refuses calls that came
since. It resets a call in which its server is silent (``grpc_read_timeout``). It closes connections without calls
(``keepalive_timeout``). When its configuration is loaded again, it says GOAWAY on all connections, and breaks them a
while later (``worker_shutdown_timeout``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from tests.support import http2
from tests.support.clock import PATIENCE
from tests.support.nginx import MISSING, NGINX, Nginx
from trio_esdb import (
    CaughtUp,
    ConnectionClosed,
    ConnectionLost,
    ESDBClient,
    ExpectedPosition,
    NewEvent,
    StreamState,
    UnavailableError,
)
from trio_esdb.embedded import EmbeddedNode

if NGINX is None:
    pytest.skip(MISSING, allow_module_level=True)

APPENDS = 300


@pytest.fixture
async def node(nursery: trio.Nursery) -> str:
    """Host and port of a node, with the limits of an open port."""
    node = await nursery.start(serve)
    return f"127.0.0.1:{node.address[1]}"


async def serve(task_status: trio.TaskStatus[EmbeddedNode]) -> None:
    async with EmbeddedNode() as node, trio.open_nursery() as nursery:
        await nursery.start(node.serve_tcp)
        task_status.started(node)


def uri(proxy: Nginx) -> str:
    return f"esdb://127.0.0.1:{proxy.port}?Tls=false"


def event(number: int = 0, size: int = 0) -> NewEvent:
    return NewEvent(type="Happened", data=b'{"n":%d}' % number + b" " * size)


async def live_a_life(client: ESDBClient, name: str) -> None:
    async with client.subscribe_stream_events(name, include_caught_up=True) as events:
        assert await events.receive() == CaughtUp()
        await client.append_events(name, None, [event(n, 30_000) for n in range(20)])
        await client.append_event(name, 19, event(20, 900_000))
        assert [(await events.receive()).stream_position for _ in range(21)] == list(range(21))
    assert len(await client.get_stream_events(name)) == 21
    await client.delete_stream(name, 20)
    assert await client.get_stream_position(name) is None


async def test_a_life_of_a_stream(node: str, tmp_path: Path) -> None:
    async with Nginx.running(node, tmp_path) as proxy:
        with trio.fail_after(PATIENCE):
            async with ESDBClient(uri(proxy)) as client:
                await live_a_life(client, "life")


async def test_a_life_of_a_stream_over_tls(node: str, tmp_path: Path) -> None:
    """The proxy has the certificate; behind it there is none."""
    authority = trustme.CA()
    shown = authority.issue_cert("localhost")
    chain = b"".join(blob.bytes() for blob in shown.cert_chain_pems)
    async with Nginx.running(node, tmp_path, certificate=(chain, shown.private_key_pem.bytes())) as proxy:
        with trio.fail_after(PATIENCE):
            async with ESDBClient(f"esdb://localhost:{proxy.port}", authority.cert_pem.bytes()) as client:
                await live_a_life(client, "life over TLS")


async def append_all(
    client: ESDBClient, prefix: str, state: ExpectedPosition = None, *, begun: trio.Event | None = None
) -> None:
    """All at once, each to a stream of its own. ``begun`` is set when the first ones are done."""
    done = 0

    async def append(number: int) -> None:
        nonlocal done
        await client.append_event(f"{prefix}-{number}", state, event(number))
        done += 1
        if done == 20 and begun is not None:
            begun.set()

    async with trio.open_nursery() as nursery:
        for number in range(APPENDS):
            nursery.start_soon(append, number)


async def check_all(node: str, prefix: str) -> None:
    """Each stream has its event, once."""
    async with ESDBClient(f"esdb://{node}?Tls=false") as client:
        for number in range(APPENDS):
            (only,) = await client.get_stream_events(f"{prefix}-{number}")
            assert only.data.strip() == b'{"n":%d}' % number


@pytest.mark.parametrize("state", [None, StreamState.ANY])
async def test_connections_that_are_recycled(node: str, tmp_path: Path, state: ExpectedPosition) -> None:
    """What GOAWAY refuses may be sent again, whatever kind of call it is."""
    prefix = f"recycled-{state}"
    async with Nginx.running(node, tmp_path, "keepalive_requests 20;") as proxy:
        with trio.fail_after(PATIENCE):
            async with ESDBClient(uri(proxy)) as client:
                await append_all(client, prefix, state)
            await check_all(node, prefix)


async def test_a_proxy_that_is_loaded_again_under_way(node: str, tmp_path: Path) -> None:
    async with Nginx.running(node, tmp_path) as proxy:
        with trio.fail_after(PATIENCE):
            async with ESDBClient(uri(proxy)) as client:
                async with trio.open_nursery() as nursery:
                    begun = trio.Event()
                    nursery.start_soon(partial(append_all, client, "loaded", begun=begun))
                    await begun.wait()
                    proxy.reload()
            await check_all(node, "loaded")


async def test_a_proxy_that_is_stopped_and_started_under_way(node: str, tmp_path: Path) -> None:
    """It breaks all connections at once. What was on its way may be done or not; the expected position tells."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            async with Nginx.running(node, tmp_path) as proxy:
                client = await nursery.start(ESDBClient(uri(proxy)).run)
                begun = trio.Event()
                appended = await nursery.start(in_the_background, partial(append_all, client, "started", begun=begun))
                await begun.wait()
            async with Nginx.running(node, tmp_path, port=proxy.port):
                await appended.wait()
                await client.aclose()
        await check_all(node, "started")


async def in_the_background(
    work: Callable[[], Awaitable[None]], *, task_status: trio.TaskStatus[trio.Event] = trio.TASK_STATUS_IGNORED
) -> None:
    """Gives an event that is set when the work is done."""
    done = trio.Event()
    task_status.started(done)
    await work()
    done.set()


async def test_connections_that_are_closed_for_their_silence(node: str, tmp_path: Path) -> None:
    async with Nginx.running(node, tmp_path, "keepalive_timeout 50ms;") as proxy:
        with trio.fail_after(PATIENCE):
            async with ESDBClient(uri(proxy)) as client, client.connection_events() as happened:
                for number in range(5):
                    await client.append_event("silent", number - 1 if number else None, event(number))
                    while not isinstance(await happened.receive(), ConnectionLost | ConnectionClosed):
                        pass
                assert len(await client.get_stream_events("silent")) == 5


Trouble = Callable[[Nginx, int], Awaitable[None]]


async def silence(proxy: Nginx, turn: int) -> None:
    """nginx gives up a call in which nothing comes for a second."""
    await proxy.logged("upstream timed out", turn + 1)


async def load_again(proxy: Nginx, turn: int) -> None:
    """nginx says GOAWAY, and breaks the connection a second later."""
    proxy.reload()
    await proxy.logged("gracefully shutting down", turn + 1)


@pytest.mark.parametrize("trouble", [silence, load_again])
async def test_a_subscription_goes_on(node: str, tmp_path: Path, trouble: Trouble) -> None:
    """Every event arrives once, in order."""
    stream = f"goes-on-{trouble.__name__}"
    async with Nginx.running(node, tmp_path, "grpc_read_timeout 1s;") as proxy:
        with trio.fail_after(PATIENCE):
            async with ESDBClient(uri(proxy)) as client, client.subscribe_stream_events(stream) as events:
                for turn in range(3):
                    for number in range(10 * turn, 10 * turn + 10):
                        await client.append_event(stream, number - 1 if number else None, event(number))
                    got = [(await events.receive()).stream_position for _ in range(10)]
                    assert got == list(range(10 * turn, 10 * turn + 10))
                    await trouble(proxy, turn)


async def test_a_subscription_moves_before_its_connection_breaks(node: str, tmp_path: Path) -> None:
    """nginx says GOAWAY and would break the connection a second later; by then nobody uses it any more."""
    async with Nginx.running(node, tmp_path) as proxy:
        with trio.fail_after(PATIENCE):
            async with (
                ESDBClient(uri(proxy)) as client,
                client.connection_events() as happened,
                client.subscribe_stream_events("moves") as events,
                trio.open_nursery() as nursery,
            ):
                received = trio.Event()

                async def receive() -> None:
                    assert (await events.receive()).stream_position == 0
                    received.set()

                nursery.start_soon(receive)
                proxy.reload()
                ends = ConnectionClosed | ConnectionLost
                while not isinstance(end := await happened.receive(), ends):
                    pass
                assert type(end) is ConnectionClosed
                assert end.connection == 1
                await client.append_event("moves", None, event())
                await received.wait()


async def test_a_proxy_without_a_node(node: str, tmp_path: Path) -> None:
    """What a call gets that is not repeated: HTTP's 502 does not tell whether the node has seen it."""
    nobody = "127.0.0.1:1"
    async with Nginx.running(nobody, tmp_path, log="emerg") as proxy:
        with trio.fail_after(PATIENCE):
            async with ESDBClient(uri(proxy), retry=False) as client:
                with pytest.raises(UnavailableError, match="HTTP 502") as failed:
                    await client.append_event("s", None, event())
                assert failed.value.applied is None
                with pytest.raises(UnavailableError, match="HTTP 502"):
                    await client.get_stream_events("s")


class Sending(trio.abc.SendStream):
    """The sending half of a stream, with a ``send_all`` of the test's."""

    def __init__(self, stream: trio.SocketStream, send_all: Callable[[bytes], Awaitable[None]]) -> None:
        self._stream = stream
        self._send_all = send_all

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._send_all(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def test_keepalive_through_a_proxy(node: str, tmp_path: Path) -> None:
    """nginx answers PINGs itself, and does not mind many."""
    asked = trio.Event()
    pings = 0

    async def send_all(stream: trio.SocketStream, data: bytes) -> None:
        nonlocal pings
        pings += data == http2.frame(http2.PING, 0, 0, bytes(8))  # each is a write of its own
        if pings == 100:
            asked.set()
        await stream.send_all(data)

    async def connect(host: str, port: int) -> trio.abc.Stream:
        stream = await trio.open_tcp_stream(host, port)
        return trio.StapledStream(Sending(stream, partial(send_all, stream)), stream)

    async with Nginx.running(node, tmp_path) as proxy:
        with trio.fail_after(PATIENCE):
            async with (
                ESDBClient(uri(proxy), connect=connect, keep_alive_interval=0.01, keep_alive_timeout=10) as client,
                client.subscribe_stream_events("kept", include_caught_up=True, resume=False) as events,
            ):
                assert await events.receive() == CaughtUp()
                await asked.wait()
                await client.append_event("kept", None, event())
                assert (await events.receive()).stream_position == 0
