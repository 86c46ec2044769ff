"""What faults do to the bytes of a connection, for both sides."""

from __future__ import annotations

import errno
import math
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest
import trio
import trio.testing

from trio_esdb import InvalidArgumentError
from trio_esdb.testing import Connection, Ending, Faults, MemoryListener, MemoryNetwork, Route, Side

HOST, PORT = "node1.example", 2113


class Pair:
    """Both ends of a connection."""

    def __init__(self, network: MemoryNetwork, client: trio.abc.Stream, server: trio.abc.Stream) -> None:
        self.connection: Connection = network.connections[-1]
        self.client = client
        self.server = server

    def ends(self, to: Side) -> tuple[trio.abc.Stream, trio.abc.Stream]:
        """The one that sends to a side, and the one that receives there."""
        return (self.server, self.client) if to == "client" else (self.client, self.server)


@pytest.fixture
async def listener(network: MemoryNetwork) -> AsyncIterator[MemoryListener]:
    async with network.listener(HOST, PORT) as listener:
        yield listener


@pytest.fixture
async def route(network: MemoryNetwork, listener: MemoryListener) -> Route:
    return network.to(HOST, PORT)


@pytest.fixture
async def connect(network: MemoryNetwork, listener: MemoryListener) -> Callable[[], AsyncIterator[Pair]]:
    async def connect() -> Pair:
        client = await network.connect(HOST, PORT)
        return Pair(network, client, await listener.accept())

    return connect


@pytest.fixture
async def pair(connect: Callable[[], AsyncIterator[Pair]]) -> Pair:
    return await connect()


both_sides = pytest.mark.parametrize("to", ["client", "server"])


async def is_silent(stream: trio.abc.Stream, seconds: float = 1000) -> bool:
    with trio.move_on_after(seconds) as scope:
        await stream.receive_some()
    return scope.cancelled_caught


async def is_reset(stream: trio.abc.Stream) -> bool:
    with pytest.raises(trio.BrokenResourceError) as broken:
        await stream.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"x")
    assert isinstance(broken.value.__cause__, OSError)
    return broken.value.__cause__.errno == errno.ECONNRESET


def test_streams_are_as_trio_defines_them() -> None:
    async def pair() -> tuple[trio.abc.Stream, trio.abc.Stream]:
        network = MemoryNetwork()
        listener = network.listener(HOST, PORT)
        return await network.connect(HOST, PORT), await listener.accept()

    async def clogged() -> tuple[trio.abc.Stream, trio.abc.Stream]:
        left, right = await pair()
        for end in (left, right):
            with trio.move_on_after(0.001):
                await end.send_all(bytes(1 << 20))
        return left, right

    trio.run(trio.testing.check_two_way_stream, pair, clogged)


# -- latency -------------------------------------------------------------------------------------------------------


@both_sides
async def test_latency(pair: Pair, to: Side) -> None:
    sender, receiver = pair.ends(to)
    pair.connection.latency(2, to=to)
    start = trio.current_time()
    await sender.send_all(b"there")
    assert trio.current_time() == start
    assert await receiver.receive_some() == b"there"
    assert trio.current_time() == pytest.approx(start + 2)
    await receiver.send_all(b"back")
    assert await sender.receive_some() == b"back"
    assert trio.current_time() == pytest.approx(start + 2), "the other direction has none"


async def test_latency_from_a_range_keeps_the_order_and_is_the_same_in_every_run() -> None:
    async def arrivals(random: Random | None) -> list[float]:
        network = MemoryNetwork(random=random)
        listener = network.listener(HOST, PORT)
        client, server = await network.connect(HOST, PORT), await listener.accept()
        network.to().latency(1, 3)
        start = trio.current_time()
        for number in range(20):
            await client.send_all(bytes([number]))
            await trio.sleep(0.5)
        found = []
        received = b""

        async def receive() -> None:
            nonlocal received
            while len(received) < 20:
                more = await server.receive_some(1)
                received += more
                found.append(round(trio.current_time() - start, 6))

        await receive()
        assert received == bytes(range(20))
        return found

    first = await arrivals(None)
    assert first == await arrivals(None)
    assert first == await arrivals(Random(0))
    assert first != await arrivals(Random(1))


async def test_connecting_takes_a_round_trip(connect: Callable[[], AsyncIterator[Pair]], route: Route) -> None:
    route.latency(0.5)
    start = trio.current_time()
    await connect()
    assert trio.current_time() == pytest.approx(start + 1)


async def test_the_end_takes_as_long_as_the_bytes_before_it(pair: Pair) -> None:
    pair.connection.latency(1)
    await pair.server.send_all(b"last words")
    await pair.server.aclose()
    await pair.client.send_all(b"the client does not know yet")
    await trio.sleep(1)
    with pytest.raises(trio.BrokenResourceError):
        await pair.client.send_all(b"now it does")
    assert await pair.client.receive_some() == b"last words"
    assert await pair.client.receive_some() == b""


# -- slow ----------------------------------------------------------------------------------------------------------


@both_sides
@pytest.mark.parametrize("rate", [3, 1000, 1_000_000.5])
async def test_slow(pair: Pair, to: Side, rate: float) -> None:
    sender, receiver = pair.ends(to)
    pair.connection.slow(rate, to=to)
    start = trio.current_time()
    size = int(rate * 10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send_all, bytes(size))
        received, portions = 0, 0
        while received < size:
            received += len(await receiver.receive_some())
            portions += 1
            assert received <= rate * (trio.current_time() - start) + 1e-6
    assert trio.current_time() == pytest.approx(start + 10, rel=0.1)
    assert portions >= 10, "they come bit by bit"


async def test_slow_is_counted_also_while_nobody_receives(pair: Pair) -> None:
    pair.connection.slow(1000)
    await pair.client.send_all(bytes(10_000))
    await trio.sleep(5.05)
    assert len(await pair.server.receive_some()) == 5000
    pair.connection.slow(math.inf)
    assert len(await pair.server.receive_some()) == 5000, "what is on its way is not slow any more"


# -- hold ----------------------------------------------------------------------------------------------------------


@both_sides
async def test_one_way_only(pair: Pair, to: Side) -> None:
    sender, receiver = pair.ends(to)
    pair.connection.hold(to=to)
    await sender.send_all(b"held")
    assert await is_silent(receiver)
    await receiver.send_all(b"passes")
    assert await sender.receive_some() == b"passes"
    pair.connection.release(to=to)
    assert await receiver.receive_some() == b"held"


async def test_a_release_wakes_who_waits(pair: Pair) -> None:
    pair.connection.hold()
    await pair.client.send_all(b"held")

    async def release() -> None:
        await trio.sleep(7)
        pair.connection.release()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(release)
        start = trio.current_time()
        assert await pair.server.receive_some() == b"held"
        assert trio.current_time() == start + 7


async def test_the_end_is_held_too(pair: Pair) -> None:
    pair.connection.hold()
    await pair.server.aclose()
    assert pair.connection.open_at_client
    assert not pair.connection.open_at_server
    assert await is_silent(pair.client)
    await pair.client.send_all(b"it does not know")
    pair.connection.release()
    assert await pair.client.receive_some() == b""


async def test_a_sender_waits_when_too_much_is_held(pair: Pair) -> None:
    pair.connection.hold()
    with trio.move_on_after(1000) as scope:
        await pair.client.send_all(bytes(1 << 20))
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.client.wait_send_all_might_not_block)
        await trio.testing.wait_all_tasks_blocked()
        pair.connection.release()
        size = 0
        while size < 1 << 20:
            size += len(await pair.server.receive_some())


async def test_no_answer_to_an_attempt_to_connect(
    network: MemoryNetwork, connect: Callable[[], AsyncIterator[Pair]], route: Route
) -> None:
    route.hold()
    with trio.move_on_after(1000) as scope:
        await network.connect(HOST, PORT)
    assert scope.cancelled_caught
    assert network.connections == ()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect)
        await trio.sleep(10)
        assert network.connections == ()
        route.release()
    assert len(network.connections) == 1


async def test_frozen_hosts_take_connections_and_say_nothing(
    connect: Callable[[], AsyncIterator[Pair]], pair: Pair, route: Route
) -> None:
    route.freeze()
    for each in (pair, await connect()):
        await each.client.send_all(b"anybody there?")
        await each.server.send_all(b"yes")
        assert await is_silent(each.server)
        assert await is_silent(each.client)
    route.release()
    assert await is_silent(pair.client), "to release is not to wake"
    route.wake()
    assert await pair.client.receive_some() == b"yes"
    assert await pair.server.receive_some() == b"anybody there?"


# -- ends ----------------------------------------------------------------------------------------------------------


@both_sides
async def test_what_is_sent_after_the_end_vanishes(pair: Pair, to: Side) -> None:
    sender, receiver = pair.ends(to)
    pair.connection.latency(1)
    pair.connection.cut_after(3, to=to)
    await sender.send_all(b"abcdef")
    await sender.send_all(b"it does not know yet")
    assert await receiver.receive_some() == b"abc"
    assert await is_reset(receiver)
    assert await is_reset(sender)


async def test_reset(pair: Pair) -> None:
    pair.connection.latency(5)
    pair.connection.hold()
    await pair.client.send_all(b"lost")
    pair.connection.reset()
    assert await is_reset(pair.client)
    assert await is_reset(pair.server)
    assert not pair.connection.is_open
    assert not pair.connection.open_at_client
    assert not pair.connection.open_at_server


async def test_close(pair: Pair) -> None:
    await pair.client.send_all(b"lost")
    pair.connection.close()
    for end in (pair.client, pair.server):
        assert await end.receive_some() == b""
        with pytest.raises(trio.BrokenResourceError) as broken:
            await end.send_all(b"x")
        assert isinstance(broken.value.__cause__, OSError)
        assert broken.value.__cause__.errno == errno.EPIPE


@pytest.mark.parametrize("end", ["reset", "close"])
async def test_an_end_wakes_who_waits(pair: Pair, end: str) -> None:
    pair.connection.hold()

    async def send() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await pair.client.send_all(bytes(1 << 20))

    async def receive() -> None:
        try:
            assert await pair.client.receive_some() == b""
        except trio.BrokenResourceError:
            assert end == "reset"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        getattr(pair.connection, end)()


@pytest.mark.parametrize("gone", ["client", "server"])
async def test_half_open(pair: Pair, gone: Side) -> None:
    left, lost = (pair.client, pair.server) if gone == "server" else (pair.server, pair.client)
    await lost.send_all(b"on its way")
    pair.connection.half_open(gone=gone)
    assert await is_reset(lost)
    assert await is_silent(left)
    await left.send_all(b"vanishes")
    pair.connection.release()
    pair.connection.heal()
    assert await is_silent(left)
    assert pair.connection.open_at_client is (gone == "server")
    assert pair.connection.open_at_server is (gone == "client")
    pair.connection.reset()
    assert await is_reset(left)


async def test_an_end_of_a_connection_that_a_peer_asks_for(pair: Pair) -> None:
    from trio_esdb._transport._tcp import reset_when_closed

    await pair.server.send_all(b"last words")
    reset_when_closed(pair.server)
    await pair.server.aclose()
    assert await pair.client.receive_some() == b"last words"
    assert await is_reset(pair.client)


@both_sides
@pytest.mark.parametrize("end", ["reset", "close", "half-open", "hold"])
@pytest.mark.parametrize("count", [0, 1, 5, 6])
async def test_cut(pair: Pair, to: Side, end: Ending, count: int) -> None:
    sender, receiver = pair.ends(to)
    await sender.send_all(b"before")
    assert await receiver.receive_some() == b"before"
    pair.connection.cut_after(count, to=to, end=end)
    if count:
        await sender.send_all(b"ab")
    if count > 2:
        await sender.send_all(b"cdef")
    passes = b"abcdef"[:count]
    if end == "hold":
        assert await is_silent(receiver)
        assert await is_silent(sender)
        pair.connection.release()
        if count:
            assert await receiver.receive_some() == passes
        return
    if end == "half-open":
        assert await is_reset(pair.server)
        assert await is_silent(pair.client)
        return
    if count:
        assert await receiver.receive_some() == passes
    if end == "reset":
        assert await is_reset(receiver)
        assert await is_reset(sender)
    else:
        assert await receiver.receive_some() == b""
        assert await sender.receive_some() == b""
    assert pair.connection.bytes_to_client + pair.connection.bytes_to_server == len(b"before") + count


# -- for which connections -----------------------------------------------------------------------------------------


async def test_the_next_connections_alone(connect: Callable[[], AsyncIterator[Pair]], pair: Pair, route: Route) -> None:
    route.next(2).cut_after(1, to="client")
    pairs = [pair, await connect(), await connect(), await connect()]
    for each in pairs:
        await each.server.send_all(b"ab")
        assert await each.client.receive_some() in (b"a", b"ab")
    assert [each.connection.is_open for each in pairs] == [True, False, False, True]


async def test_it_is_too_late_for_the_next(connect: Callable[[], AsyncIterator[Pair]], route: Route) -> None:
    following = route.next()
    following.hold(to="server")
    with trio.move_on_after(1):
        await connect()
    with pytest.raises(InvalidArgumentError, match="were made already"):
        following.release(to="server")


async def test_refused(network: MemoryNetwork, connect: Callable[[], AsyncIterator[Pair]], route: Route) -> None:
    before = await connect()
    route.refuse()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await network.connect(HOST, PORT)
    await before.client.send_all(b"not affected")
    assert await before.server.receive_some() == b"not affected"
    route.accept()
    await connect()
    route.next().refuse()
    with pytest.raises(ConnectionRefusedError):
        await network.connect(HOST, PORT)
    await connect()
    assert len(route.connections) == 3


@pytest.mark.parametrize(("host", "port"), [(None, None), (HOST, None), (None, PORT), ("NODE1.example.", PORT)])
async def test_routes_by_host_and_port(
    network: MemoryNetwork, connect: Callable[[], AsyncIterator[Pair]], pair: Pair, host: str | None, port: int | None
) -> None:
    network.to(host, port).freeze()
    network.to("other", PORT).reset()
    network.to(HOST, 1).reset()
    for each in (pair, await connect()):
        await each.server.send_all(b"held")
        assert await is_silent(each.client)
    network.to(host, port).heal()
    assert await pair.client.receive_some() == b"held"
    assert await (await connect()).server.send_all(b"") is None


async def test_the_later_command_counts(
    network: MemoryNetwork, connect: Callable[[], AsyncIterator[Pair]], pair: Pair, route: Route
) -> None:
    route.release()
    network.to().hold()
    route.release()
    network.to(HOST).refuse()
    network.to().accept()
    later = await connect()
    for each in (pair, later):
        await each.server.send_all(b"passes")
        assert await each.client.receive_some() == b"passes"


async def test_heal(network: MemoryNetwork, connect: Callable[[], AsyncIterator[Pair]], pair: Pair) -> None:
    everywhere, here = network.to(), network.to(HOST)
    for faults in (everywhere, here, pair.connection):
        faults.latency(10)
        faults.slow(1)
        faults.cut_after(20, to="client")
        faults.hold()
    everywhere.freeze()
    everywhere.next().refuse()
    here.heal()
    start = trio.current_time()
    for each in (pair, await connect()):
        await each.server.send_all(bytes(100))
        assert len(await each.client.receive_some()) == 100
        assert each.connection.is_open
    assert trio.current_time() == start
    everywhere.heal()


async def test_what_is_connecting_is_affected_too(
    network: MemoryNetwork, route: Route, listener: MemoryListener
) -> None:
    route.latency(1)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def connecting() -> None:
            with pytest.raises(ConnectionRefusedError):
                await network.connect(HOST, PORT)

        await trio.sleep(0.5)
        route.refuse()


# -- what is refused -----------------------------------------------------------------------------------------------


def wrong(do: Callable[[Faults], object]) -> None:
    network = MemoryNetwork()
    with pytest.raises(InvalidArgumentError):
        do(network.to())


@pytest.mark.parametrize(
    "do",
    [
        lambda faults: faults.latency(-1),
        lambda faults: faults.latency(2, 1),
        lambda faults: faults.latency(math.nan),
        lambda faults: faults.latency(math.inf),
        lambda faults: faults.slow(0),
        lambda faults: faults.slow(math.nan),
        lambda faults: faults.hold(to="sever"),
        lambda faults: faults.half_open(gone="node"),
        lambda faults: faults.cut_after(-1, to="client"),
        lambda faults: faults.cut_after(1.5, to="client"),
        lambda faults: faults.cut_after(True, to="client"),
        lambda faults: faults.cut_after(1, to=None),
        lambda faults: faults.cut_after(1, to="client", end="eof"),
        lambda faults: faults.next(0),
        lambda faults: faults.next().reset(),
        lambda faults: faults.next().close(),
        lambda faults: faults.next().half_open(),
        lambda faults: faults.next(True),
    ],
)
def test_commands_that_make_no_sense(do: Callable[[Faults], object]) -> None:
    wrong(do)
