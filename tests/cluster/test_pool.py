"""The connections of a client: opened when they are needed, shared, replaced, and closed for good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.links import Call
from trio_esdb import Timeouts, UnavailableError
from trio_esdb._cluster import ClientOptions, Endpoint
from trio_esdb._cluster._pool import Pool
from trio_esdb._transport import ClientLink
from trio_esdb._transport._dial import Connect, Dialer
from trio_esdb._transport._handlers import AsyncHandler, Failure
from trio_esdb._transport._serving import serve_stream
from trio_esdb._wire import Limits, Status

NODE = Endpoint("node", 2113, "node:2113")
HEADERS = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/service/Method"),
    (":authority", "node:2113"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)


class Node:
    """Something that can be connected to; ``answer`` is what it does with its end of a connection."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.attempts = 0
        self.streams: list[trio.StapledStream] = []
        """The node's ends of the connections."""
        self.clients: list[trio.StapledStream] = []
        """The clients' ends."""
        self.limits = Limits()
        self.answer: Callable[[trio.StapledStream], Awaitable[None]] = self.serve
        self.before: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        self._nursery = nursery
        self._open: list[trio.StapledStream] = []

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """The client's end of a new connection."""
        self.attempts += 1
        await self.before()
        client, server = trio.testing.memory_stream_pair()
        self.clients.append(client)
        self.streams.append(server)
        self._nursery.start_soon(self._run, server)
        return client

    async def _run(self, stream: trio.StapledStream) -> None:
        self._open.append(stream)
        await self.answer(stream)
        self._open.remove(stream)

    async def is_rid_of_them(self) -> bool:
        """Whether the client has closed all connections; it may take its time to say goodbye."""
        await trio.sleep(5)
        return not self._open

    async def serve(self, stream: trio.StapledStream) -> None:
        """Speak HTTP/2, and let calls wait."""
        methods = {"/service/Method": AsyncHandler(lambda call: trio.sleep_forever())}
        await serve_stream(stream, methods, lambda path: Failure(Status.UNIMPLEMENTED, path), self.limits)

    def says(self, data: bytes) -> Callable[[trio.StapledStream], Awaitable[None]]:
        """An answer to everything."""

        async def answer(stream: trio.StapledStream) -> None:
            await stream.send_all(data)
            await self.listen(stream)

        return answer

    async def listen(self, stream: trio.StapledStream) -> None:
        """Say nothing."""
        async for _ in stream:
            pass


@pytest.fixture
async def outside(nursery: trio.Nursery) -> trio.Nursery:
    """Where nodes live: beside the pool's own nursery."""
    return nursery


@pytest.fixture
async def node(outside: trio.Nursery) -> Node:
    return Node(outside)


@pytest.fixture
async def pool(node: Node, outside: trio.Nursery) -> Pool:
    """A pool whose tasks can be counted: its nursery has no others."""
    inner: trio.Nursery = await outside.start(own_nursery)
    return make(inner, node.connect)


def make(tasks: trio.Nursery, connect: Connect, **options: Any) -> Pool:
    told = ClientOptions(node=NODE, connection_name="orders", **options)
    return Pool(tasks, Dialer(connect, None, told.timeouts), told)


async def close(pool: Pool) -> None:
    """Close all connections, and wait until they are."""
    links = list(pool.links)
    pool.leave()
    for link in links:
        await link.closed.wait()


async def own_nursery(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    async with trio.open_nursery() as nursery:
        task_status.started(nursery)
        await trio.sleep_forever()


def tasks(pool: Pool) -> int:
    return len(pool._tasks.child_tasks)


def call(link: ClientLink) -> Call:
    """Open a call on it."""
    assert link.room > 0
    return Call(link, HEADERS, [b"request"])


async def all_quiet() -> None:
    await trio.testing.wait_all_tasks_blocked()


# One connection for all


async def test_the_first_call_connects_and_the_next_shares(pool: Pool, node: Node) -> None:
    link = await pool.link()
    assert node.attempts == 1
    assert link.address == "node:2113"
    assert link.room == 100
    assert await pool.link() is link
    assert (node.attempts, tasks(pool)) == (1, 1)


async def test_calls_at_once_share_one_attempt(pool: Pool, node: Node) -> None:
    node.before = lambda: trio.sleep(3)
    found: list[ClientLink] = []

    async def use() -> None:
        found.append(await pool.link())

    began = trio.current_time()
    async with trio.open_nursery() as users:
        for _ in range(50):
            users.start_soon(use)
    assert trio.current_time() - began == pytest.approx(3)
    assert node.attempts == 1
    assert found == [found[0]] * 50


async def test_the_101st_call_opens_another_connection(pool: Pool, node: Node) -> None:
    node.limits = Limits(concurrent_streams=100)
    first = await pool.link()
    calls = [call(first) for _ in range(100)]
    assert first.room == 0
    second = await pool.link()
    assert second is not first
    assert (node.attempts, second.room) == (2, 100)
    calls[0].close()
    assert await pool.link() is first
    for each in calls:
        each.close()


async def test_the_servers_own_limit_counts(pool: Pool, node: Node) -> None:
    node.limits = Limits(concurrent_streams=2)
    links = []
    for _ in range(6):
        link = await pool.link()
        links.append(link)
        call(link)
    assert node.attempts == 3
    assert [links.count(link) for link in dict.fromkeys(links)] == [2, 2, 2]


async def test_callers_that_wait_fill_what_one_of_them_opened(pool: Pool, node: Node) -> None:
    """Five callers and two places a connection: three connections, each opened by one of those who wait."""
    node.limits = Limits(concurrent_streams=2)
    node.before = lambda: trio.sleep(1)

    async def use() -> None:
        call(await pool.link())

    async with trio.open_nursery() as users:
        for _ in range(5):
            users.start_soon(use)
    assert node.attempts == 3


# Connections that are lost


async def test_a_lost_connection_is_replaced_by_the_next_call(pool: Pool, node: Node) -> None:
    first = await pool.link()
    await trio.aclose_forcefully(node.streams[0])
    await all_quiet()
    assert first.room == 0
    assert tasks(pool) == 0
    second = await pool.link()
    assert second is not first
    assert node.attempts == 2
    assert await pool.link() is second


async def test_a_connection_that_just_broke_is_not_handed_out(pool: Pool, node: Node) -> None:
    """Before any task has noticed."""
    first = await pool.link()
    first.core.connection_lost("it broke")
    assert await pool.link() is not first


async def test_nothing_is_reconnected_without_a_call(pool: Pool, node: Node) -> None:
    await pool.link()
    await trio.aclose_forcefully(node.streams[0])
    await trio.sleep(1000)
    assert node.attempts == 1


# Nodes that cannot be reached


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (TimeoutError("timed out"), "timed out"),
        (UnicodeError("label empty or too long"), "label empty or too long"),
        (trio.BrokenResourceError("it broke"), "it broke"),
        (trio.ClosedResourceError("it is closed"), "it is closed"),
    ],
)
async def test_unreachable(pool: Pool, node: Node, failure: Exception, reason: str) -> None:
    async def fail() -> None:
        raise failure

    node.before = fail
    with pytest.raises(UnavailableError, match=f"cannot connect to node:2113: .*{reason}") as caught:
        await pool.link()
    exc = caught.value
    assert (exc.status, exc.address) == ("UNAVAILABLE", "node:2113")
    assert reason in exc.details
    assert exc.__cause__ is failure
    assert tasks(pool) == 0
    node.before = trio.lowlevel.checkpoint
    assert (await pool.link()).room == 100


async def test_all_addresses_of_a_name_failed(pool: Pool, node: Node) -> None:
    """trio tells why only in the cause."""

    async def fail() -> None:
        raise OSError("all attempts to connect to node:2113 failed") from ExceptionGroup(
            "attempts",
            [ConnectionRefusedError(111, "refused by ::1"), ConnectionRefusedError(111, "refused by 127.0.0.1")],
        )

    node.before = fail
    with pytest.raises(UnavailableError, match=r"refused by ::1; .*refused by 127\.0\.0\.1"):
        await pool.link()


async def test_any_other_failure_is_the_programs_own(pool: Pool, node: Node) -> None:
    async def fail() -> None:
        raise KeyError("mine")

    node.before = fail
    with pytest.raises(KeyError, match="mine"):
        await pool.link()


async def test_those_who_wait_share_a_failure(pool: Pool, node: Node) -> None:
    failures = 0

    async def fail() -> None:
        await trio.sleep(1)
        raise ConnectionRefusedError(111, "Connection refused")

    async def use() -> None:
        nonlocal failures
        with pytest.raises(UnavailableError, match="Connection refused"):
            await pool.link()
        failures += 1

    node.before = fail
    began = trio.current_time()
    async with trio.open_nursery() as users:
        for _ in range(50):
            users.start_soon(use)
    assert (failures, node.attempts) == (50, 1)
    assert trio.current_time() - began == pytest.approx(1)
    with pytest.raises(UnavailableError):
        await pool.link()
    assert node.attempts == 2


async def test_a_server_that_says_nothing(pool: Pool, node: Node) -> None:
    node.answer = node.listen
    began = trio.current_time()
    with pytest.raises(UnavailableError, match="cannot connect to node:2113: the server sent nothing within 10 s"):
        await pool.link()
    assert trio.current_time() - began == pytest.approx(10)
    assert await node.is_rid_of_them()
    assert tasks(pool) == 0


@pytest.mark.parametrize("seconds", [0.5, 30])
async def test_each_step_has_its_own_time(outside: trio.Nursery, node: Node, seconds: float) -> None:
    """And the error names the one that was not enough."""
    pool = make(outside, node.connect, timeouts=Timeouts(connect=seconds, settings=2 * seconds))
    node.before = lambda: trio.sleep(0.9 * seconds)
    node.answer = node.listen
    began = trio.current_time()
    with pytest.raises(UnavailableError, match=rf"nothing within {2 * seconds:g} seconds \(timeouts\.settings\)"):
        await pool.link()
    assert trio.current_time() - began == pytest.approx(2.9 * seconds)
    node.before = trio.sleep_forever
    began = trio.current_time()
    with pytest.raises(UnavailableError, match=rf"no connection within {seconds:g} seconds \(timeouts\.connect\)"):
        await pool.link()
    assert trio.current_time() - began == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the server speaks HTTP/1.1 on this port"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\n\r\nsorry", "the server speaks HTTP/1.1 on this port"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "the server speaks TLS on this port: use tls=true"),
        (b"220 mail.example.org ESMTP\r\n", "the server's first frame is not SETTINGS"),
        (b"\x00\x00\x00\x06\x00\x00\x00\x00\x00", "the server's first frame is not SETTINGS"),
    ],
)
async def test_servers_that_do_not_speak_http2(pool: Pool, node: Node, data: bytes, reason: str) -> None:
    node.answer = node.says(data)
    began = trio.current_time()
    with pytest.raises(UnavailableError, match=f"cannot connect to node:2113: .*{reason}"):
        await pool.link()
    assert trio.current_time() == began
    assert await node.is_rid_of_them()
    assert tasks(pool) == 0


@pytest.mark.parametrize("data", [b"", b"HTT", b"\x00\x00"])
async def test_servers_that_hang_up(pool: Pool, node: Node, data: bytes) -> None:
    async def half(stream: trio.StapledStream) -> None:
        await stream.send_all(data)
        await stream.send_eof()
        await node.listen(stream)

    node.answer = half
    with pytest.raises(UnavailableError, match="cannot connect to node:2113: the peer closed the connection"):
        await pool.link()
    node.answer = trio.StapledStream.aclose
    with pytest.raises(UnavailableError, match="cannot connect to node:2113: the "):
        await pool.link()
    assert tasks(pool) == 0


async def test_a_server_that_takes_no_calls(pool: Pool, node: Node) -> None:
    """It is not asked again and again."""
    node.limits = Limits(concurrent_streams=0)
    with pytest.raises(UnavailableError, match="the server takes no calls"):
        await pool.link()
    assert node.attempts == 1
    assert await node.is_rid_of_them()


async def test_a_server_that_is_about_to_leave(pool: Pool, node: Node) -> None:
    settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    goaway = b"\x00\x00\x0c\x07\x00\x00\x00\x00\x00" + bytes(8) + b"bye!"
    node.answer = node.says(settings + goaway)
    with pytest.raises(UnavailableError, match=r"the server closes the connection with NO_ERROR: bye!"):
        await pool.link()
    assert node.attempts == 1
    assert await node.is_rid_of_them()
    assert tasks(pool) == 0


# Giving up


@pytest.mark.parametrize("seconds", [1, 4, 7])
async def test_a_cancelled_call_does_not_stop_what_it_began(pool: Pool, node: Node, seconds: float) -> None:
    """While it connects, while it waits for the server's first words: the next call uses what comes of it."""

    async def late(stream: trio.StapledStream) -> None:
        await trio.sleep(3)
        await node.serve(stream)

    node.before = lambda: trio.sleep(3)
    node.answer = late
    with trio.move_on_after(seconds) as scope:
        await pool.link()
        await trio.sleep_forever()
    assert scope.cancelled_caught
    link = await pool.link()
    assert link.room == 100
    assert node.attempts == 1
    assert trio.current_time() == max(6, seconds)
    assert tasks(pool) == 1


async def test_an_attempt_that_nobody_waits_for_any_more_ends(pool: Pool, node: Node) -> None:
    node.answer = node.listen
    with trio.move_on_after(1):
        await pool.link()
    assert await node.is_rid_of_them() is False
    await trio.sleep(5)
    assert await node.is_rid_of_them()
    assert tasks(pool) == 0


async def test_when_the_one_that_connects_gives_up_the_others_go_on(pool: Pool, node: Node) -> None:
    node.before = lambda: trio.sleep(3)
    found: list[ClientLink] = []

    async def use() -> None:
        found.append(await pool.link())

    async with trio.open_nursery() as users:
        with trio.move_on_after(1):
            users.start_soon(use)
            users.start_soon(use)
            await pool.link()
    assert node.attempts == 1
    assert trio.current_time() == 3
    assert found == [found[0]] * 2


# Closing


async def test_closing_is_final(pool: Pool, node: Node) -> None:
    link = await pool.link()
    await close(pool)
    assert link.closed.is_set()
    assert tasks(pool) == 0
    assert await node.is_rid_of_them()
    for _ in range(2):
        with pytest.raises(trio.ClosedResourceError, match="the client was closed"):
            await pool.link()
        await close(pool)
    assert node.attempts == 1


async def test_closing_before_anything_was_opened(pool: Pool, node: Node) -> None:
    await close(pool)
    with pytest.raises(trio.ClosedResourceError):
        await pool.link()
    assert node.attempts == 0


async def test_closing_ends_calls(pool: Pool, node: Node) -> None:
    open_call = call(await pool.link())
    await close(pool)
    assert open_call.outcome is not None
    assert open_call.outcome.status is Status.UNAVAILABLE


async def test_closing_closes_all_connections(pool: Pool, node: Node) -> None:
    node.limits = Limits(concurrent_streams=1)
    links = []
    for _ in range(3):
        links.append(await pool.link())
        call(links[-1])
    await close(pool)
    assert [link.closed.is_set() for link in links] == [True] * 3
    assert tasks(pool) == 0


async def test_closing_takes_a_bounded_time(pool: Pool, node: Node) -> None:
    """A server that has stopped reading does not hold it up."""
    link = await pool.link()

    async def stuck() -> None:
        await trio.sleep_forever()

    sending = node.clients[0].send_stream
    assert isinstance(sending, trio.testing.MemorySendStream)
    sending.send_all_hook = stuck
    began = trio.current_time()
    await close(pool)
    assert trio.current_time() - began <= 2
    assert link.closed.is_set()


@pytest.mark.parametrize("seconds", [1, 4])
async def test_closing_while_a_call_waits_for_a_connection(pool: Pool, node: Node, seconds: float) -> None:
    """While it is made, and while the server has yet to speak: whatever comes of it is closed."""
    node.before = lambda: trio.sleep(3)
    node.answer = node.listen
    refused = trio.Event()

    async def use() -> None:
        with pytest.raises(trio.ClosedResourceError, match="the client was closed"):
            await pool.link()
        refused.set()

    async with trio.open_nursery() as users:
        users.start_soon(use)
        users.start_soon(use)
        await trio.sleep(seconds)
        await close(pool)
    assert refused.is_set()
    assert node.attempts == 1
    assert await node.is_rid_of_them()
    assert tasks(pool) == 0
    assert pool.links == []


async def test_the_end_of_the_nursery_closes_connections(node: Node) -> None:
    async with trio.open_nursery() as nursery:
        pool = make(nursery, node.connect)
        link = await pool.link()
        nursery.cancel_scope.cancel()
    assert link.closed.is_set()
    assert pool.links == []


# Why there is no connection


SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (b"\xff\xff\xff\0\0\0\0\0\1", "a frame of 16777215 bytes came"),
        (b"\x00\x00\x04\x08\x00\x00\x00\x00\x00" + bytes(4), ""),
        (b"\x00\x00\x04\x05\x04\x00\x00\x00\x01" + bytes(4), "a pushed stream came"),
        (b"\x00\x00\x01\x04\x00\x00\x00\x00\x00\x00", ""),
        (b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(7) + b"\x0b", "ENHANCE_YOUR_CALM"),
    ],
    ids=["too large", "WINDOW_UPDATE of 0", "PUSH_PROMISE", "bad SETTINGS", "GOAWAY"],
)
async def test_settings_and_a_bad_frame_in_one_read(pool: Pool, node: Node, more: bytes, reason: str) -> None:
    node.answer = node.says(SETTINGS + more)
    with pytest.raises(UnavailableError, match=f"cannot connect to node:2113: .*{reason}") as caught:
        await pool.link()
    assert len(caught.value.details) > 5
    assert await node.is_rid_of_them()


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (trio.ClosedResourceError(), "ClosedResourceError"),
        (trio.BrokenResourceError(), "BrokenResourceError"),
        (OSError(), "OSError"),
    ],
)
async def test_a_failure_without_a_text(pool: Pool, node: Node, failure: Exception, reason: str) -> None:
    async def fail() -> None:
        raise failure

    node.before = fail
    with pytest.raises(UnavailableError, match=f"cannot connect to node:2113: {reason}"):
        await pool.link()


async def test_a_connection_that_is_made_after_closing_is_closed(pool: Pool, node: Node) -> None:
    """Although nobody may wait for the attempt any more."""

    async def close() -> None:
        pool.closed = True

    node.before = close
    with pytest.raises(trio.ClosedResourceError):
        await pool.link()
    assert await node.is_rid_of_them()
    assert tasks(pool) == 0


async def test_the_connector_is_told_where_to(outside: trio.Nursery, node: Node) -> None:
    told: list[tuple[str, int]] = []

    async def connect(host: str, port: int) -> trio.abc.Stream:
        told.append((host, port))
        return await node.connect(host, port)

    pool = make(outside, connect)
    await pool.link()
    assert told == [("node", 2113)]
    await close(pool)
