"""Whether a write was certainly not done: what ``applied`` says on its error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.support import http2
from tests.support.links import Hand
from tests.support.scripted import URI, Scripted, Seen, fails, silence, wrong_version
from trio_esdb import (
    DeadlineExceededError,
    ESDBClient,
    ESDBError,
    ExpectedPositionError,
    InvalidArgumentError,
    NewEvent,
    StreamState,
    TooLargeError,
    UnavailableError,
)
from trio_esdb._wire import Code, Status

EVENT = NewEvent("Happened", b"{}")
WRITES: dict[str, Callable[[ESDBClient], Awaitable[Any]]] = {
    "append": lambda client: client.append_event("s", StreamState.ANY, EVENT),
    "delete": lambda client: client.delete_stream("s", 3),
    "tombstone": lambda client: client.tombstone_stream("s", 3),
    "metadata": lambda client: client.set_stream_metadata("s", {}),
}
writes = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@asynccontextmanager
async def client_of_hand() -> AsyncIterator[tuple[ESDBClient, Hand]]:
    """A client of a server made by hand."""
    hand = Hand()
    hand.put(http2.settings((3, 100)))

    first = True

    async def connect(host: str, port: int) -> trio.abc.Stream:
        nonlocal first
        if not first:
            raise ConnectionRefusedError(111, "Connection refused")
        first = False
        return hand.stream

    async with ESDBClient(URI, connect=connect) as client:
        await hand.heard()
        yield client, hand


async def failure(call: Awaitable[Any]) -> ESDBError:
    with pytest.raises(ESDBError) as caught:
        await call
    return caught.value


@writes
@pytest.mark.parametrize(
    "frames",
    [
        http2.goaway(1) + http2.rst_stream(1, 8),
        http2.rst_stream(1, 8),
        http2.rst_stream(1, 2),
        http2.frame(6, 0, 0, b"short"),  # a PING that ends the connection
    ],
)
async def test_calls_that_the_server_gives_up(
    nursery: trio.Nursery, write: Callable[[ESDBClient], Awaitable[Any]], frames: bytes
) -> None:
    async with client_of_hand() as (client, hand):
        found: list[ESDBError] = []

        async def call() -> None:
            found.append(await failure(write(client)))

        nursery.start_soon(call)
        await hand.heard()
        hand.put(frames)
        await hand.heard()
        (error,) = found
        assert error.applied is None


@writes
@pytest.mark.parametrize(
    "frames",
    [
        http2.goaway(0),  # the call is above the last stream that the server takes
        http2.goaway(0, 13),
        http2.goaway(0, 11, b"too_many_pings"),
    ],
)
async def test_calls_that_a_server_refuses_when_it_goes(
    nursery: trio.Nursery, write: Callable[[ESDBClient], Awaitable[Any]], frames: bytes
) -> None:
    """They are sent again, and there is nobody."""
    async with client_of_hand() as (client, hand):

        async def call() -> None:
            error = await failure(write(client))
            assert isinstance(error, DeadlineExceededError)
            assert error.applied is False

        async with trio.open_nursery() as calls:
            calls.start_soon(call)
            await hand.heard()
            hand.put(frames)


@writes
async def test_calls_that_a_server_refuses_again_and_again(
    client: ESDBClient, server: Scripted, write: Callable[[ESDBClient], Awaitable[Any]]
) -> None:
    async def refuse(seen: Seen) -> None:
        seen.link.core.reset(seen.stream, Code.REFUSED_STREAM)
        seen.link.wake()
        await trio.sleep_forever()

    server.append = server.delete = server.tombstone = refuse
    error = await failure(write(client))
    assert isinstance(error, DeadlineExceededError)
    tried = len(server.seen)
    assert 9 <= tried <= 11  # as the jitter has it
    assert f"tried {tried} times, the last failure" in str(error)
    assert error.applied is False


@writes
async def test_a_lost_connection(nursery: trio.Nursery, write: Callable[[ESDBClient], Awaitable[Any]]) -> None:
    async with client_of_hand() as (client, hand):

        async def call() -> None:
            error = await failure(write(client))
            assert isinstance(error, UnavailableError)
            assert error.applied is None

        nursery.start_soon(call)
        await hand.heard()
        hand.hang_up()
        await hand.heard()


@writes
async def test_a_node_that_cannot_be_reached(write: Callable[[ESDBClient], Awaitable[Any]], server: Scripted) -> None:
    up = True

    async def connect(host: str, port: int) -> trio.abc.Stream:
        if up:
            return await server.connect(host, port)
        raise ConnectionRefusedError(111, "Connection refused")

    async with ESDBClient(URI, connect=connect) as client:
        up = False
        await trio.aclose_forcefully(server.streams[0])
        await trio.testing.wait_all_tasks_blocked()
        error = await failure(write(client))
    assert isinstance(error, DeadlineExceededError)
    assert error.applied is False


@writes
@pytest.mark.parametrize(
    ("status", "text", "trailers", "applied"),
    [
        (Status.UNAVAILABLE, "Server Is Not Ready", {}, False),
        (Status.UNAVAILABLE, "Server Is Too Busy", {}, False),
        (Status.UNAVAILABLE, "upstream connect error", {}, None),
        (Status.NOT_FOUND, "Leader info available", {"exception": "not-leader"}, False),
        (Status.UNKNOWN, "No leader info available in response", {}, False),
        (Status.PERMISSION_DENIED, "Access Denied", {"exception": "access-denied"}, False),
        (Status.UNAUTHENTICATED, "", {}, False),
        (Status.UNIMPLEMENTED, "", {}, False),
        (Status.INVALID_ARGUMENT, "", {}, False),
        (Status.INVALID_ARGUMENT, "", {"exception": "maximum-append-size-exceeded"}, False),
        (Status.FAILED_PRECONDITION, "", {"exception": "stream-deleted"}, False),
        (Status.FAILED_PRECONDITION, "", {"exception": "wrong-expected-version"}, False),
        (Status.ABORTED, "Operation timed out: Commit phase timeout.", {}, None),
        (Status.DEADLINE_EXCEEDED, "Deadline Exceeded", {}, None),
        (Status.UNKNOWN, "Exception was thrown by handler.", {}, None),
        (Status.INTERNAL, "", {}, None),
        (Status.RESOURCE_EXHAUSTED, "", {}, None),
        (Status.CANCELLED, "", {}, None),
    ],
)
async def test_what_the_server_answers(
    client: ESDBClient,
    server: Scripted,
    write: Callable[[ESDBClient], Awaitable[Any]],
    status: Status,
    text: str,
    trailers: dict[str, str],
    applied: bool | None,
) -> None:
    server.append = server.delete = server.tombstone = fails(status, text, **trailers)
    error = await failure(write(client))
    assert error.applied is applied


async def test_another_position_than_expected(client: ESDBClient, server: Scripted) -> None:
    async def answer(_: object) -> bytes:
        return wrong_version(5)

    server.append = answer
    error = await failure(client.append_event("s", 3, EVENT))
    assert isinstance(error, ExpectedPositionError)
    assert error.applied is False


async def test_timeouts(client: ESDBClient, server: Scripted) -> None:
    """Before anything was sent, and after."""
    server.append = silence
    assert (await failure(client.append_event("s", None, EVENT, timeout=0))).applied is False
    assert server.seen == []
    assert (await failure(client.append_event("s", None, EVENT, timeout=1))).applied is None


async def test_what_is_refused_before_it_is_sent(client: ESDBClient) -> None:
    for call, kind in (
        (client.append_event("", None, EVENT), InvalidArgumentError),
        (client.append_event("s", None, NewEvent("T", bytes(17 * 2**20))), TooLargeError),
        (client.tombstone_stream("$$s", StreamState.ANY), InvalidArgumentError),
    ):
        error = await failure(call)
        assert isinstance(error, kind)
        assert error.applied is False


class Stuck(trio.abc.HalfCloseableStream):
    """A stream that takes no more once it is stuck, until it breaks."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner
        self.stuck = False
        self.broken = trio.Event()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.stuck:
            await self.broken.wait()
            raise trio.BrokenResourceError("it broke")
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def test_what_never_left_was_not_done(nursery: trio.Nursery, server: Scripted) -> None:
    """The first append is with the network, the others wait behind it; the last one is larger than the windows."""
    stream: Stuck | None = None

    async def connect(host: str, port: int) -> trio.abc.Stream:
        nonlocal stream
        if stream is not None:
            raise ConnectionRefusedError(111, "Connection refused")
        stream = Stuck(await server.connect(host, port))
        return stream

    server.append = silence
    found: dict[str, bool | None] = {}

    async def append(name: str, size: int) -> None:
        error = await failure(client.append_event(name, StreamState.ANY, NewEvent("T", bytes(size))))
        assert isinstance(error, UnavailableError if error.applied is None else DeadlineExceededError)
        found[name] = error.applied

    async with ESDBClient(URI, connect=connect) as client:
        assert stream is not None
        nursery.start_soon(append, "sent", 10)
        await trio.testing.wait_all_tasks_blocked()
        stream.stuck = True
        for name, size in (("with the network", 10), ("queued", 10), ("beyond the windows", 3_000_000)):
            nursery.start_soon(append, name, size)
            await trio.testing.wait_all_tasks_blocked()
        stream.broken.set()
        await trio.aclose_forcefully(server.streams[0])
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(15)
    assert found == {"sent": None, "with the network": None, "queued": False, "beyond the windows": False}
