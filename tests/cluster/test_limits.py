"""How many connections a client has: no more than it may, calls that wait in line, and none that are long idle."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
import trio.testing

from tests.cluster.test_pool import HEADERS, Node, all_quiet, call, close, make, tasks
from tests.support.links import Call
from trio_esdb import UnavailableError
from trio_esdb._cluster._pool import Pool
from trio_esdb._wire import Limits

LONG = 1000.0
"""Seconds after which a connection is idle for too long here."""


@pytest.fixture
async def node(nursery: trio.Nursery) -> Node:
    """A node that takes two calls on a connection."""
    node = Node(nursery)
    node.limits = Limits(concurrent_streams=2)
    return node


@pytest.fixture
async def users(nursery: trio.Nursery) -> trio.Nursery:
    return nursery


async def pool_of(nursery: trio.Nursery, node: Node, **options: Any) -> Pool:
    """A pool with a nursery of its own."""

    async def own(task_status: trio.TaskStatus[trio.Nursery]) -> None:
        async with trio.open_nursery() as inner:
            task_status.started(inner)
            await trio.sleep_forever()

    return make(await nursery.start(own), node.connect, **options)


class Caller:
    """A task that opens a call and keeps it."""

    def __init__(self, pool: Pool, users: trio.Nursery) -> None:
        self.call: Call | None = None
        self.failure: Exception | None = None
        self.scope = trio.CancelScope()
        users.start_soon(self._run, pool)

    async def _run(self, pool: Pool) -> None:
        with self.scope:
            try:
                link = await pool.link()
            except (UnavailableError, trio.ClosedResourceError, KeyError) as exc:
                self.failure = exc
            else:
                self.call = call(link)

    def end(self) -> None:
        assert self.call is not None
        self.call.close()


async def callers(pool: Pool, users: trio.Nursery, count: int) -> list[Caller]:
    """Tasks that ask one after the other."""
    found = []
    for _ in range(count):
        found.append(Caller(pool, users))
        await all_quiet()
    return found


def served(found: list[Caller]) -> list[bool]:
    return [caller.call is not None for caller in found]


# The greatest number of connections


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_no_more_connections_than_allowed(node: Node, users: trio.Nursery, most: int) -> None:
    pool = await pool_of(users, node, max_connections=most)
    found = await callers(pool, users, 2 * most + 3)
    assert node.attempts == len(pool.links) == most
    assert served(found) == [True] * 2 * most + [False] * 3
    assert pool.waiting_calls == 3


async def test_calls_that_wait_are_served_in_order(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node, max_connections=1)
    found = await callers(pool, users, 6)
    for at in range(4):
        found[at].end()
        await all_quiet()
        assert served(found) == [n <= at + 2 for n in range(6)]
    assert pool.waiting_calls == 0
    assert node.attempts == 1


async def test_a_newcomer_does_not_overtake(node: Node, users: trio.Nursery) -> None:
    """It asks when there is room, and before the one that waits has run."""
    pool = await pool_of(users, node, max_connections=1)
    first, second, third = await callers(pool, users, 3)
    first.end()
    fourth = Caller(pool, users)
    await all_quiet()
    assert served([second, third, fourth]) == [True, True, False]


async def test_several_places_at_once_serve_as_many(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node, max_connections=2)
    found = await callers(pool, users, 9)
    for caller in found[:4]:
        caller.end()
    await all_quiet()
    assert served(found) == [True] * 8 + [False]


async def test_waiting_can_be_cancelled(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node, max_connections=1)
    found = await callers(pool, users, 6)
    found[2].scope.cancel()
    found[4].scope.cancel()
    await all_quiet()
    assert pool.waiting_calls == 2
    found[0].end()
    found[1].end()
    await all_quiet()
    assert served(found) == [True, True, False, True, False, True]


async def test_the_first_in_line_may_be_cancelled_just_when_there_is_room(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node, max_connections=1)
    found = await callers(pool, users, 4)
    found[0].end()
    found[2].scope.cancel()
    await all_quiet()
    assert sum(served(found)) == 3
    assert pool.waiting_calls == 1 - served(found)[3]


async def test_a_lost_connection_makes_room_for_another(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node, max_connections=1)
    found = await callers(pool, users, 4)
    await trio.aclose_forcefully(node.streams[0])
    await all_quiet()
    assert served(found) == [True] * 4
    assert node.attempts == 2


async def test_a_draining_connection_does_not_count(node: Node, users: trio.Nursery) -> None:
    """Its calls may last long."""
    pool = await pool_of(users, node, max_connections=1)
    found = await callers(pool, users, 3)
    await node.streams[0].send_all(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff\0\0\0\0")
    await all_quiet()
    assert served(found) == [True] * 3
    assert node.attempts == 2


async def test_a_server_that_takes_more_calls_later(users: trio.Nursery, node: Node) -> None:
    node.answer = node.says(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x01")
    pool = await pool_of(users, node, max_connections=1)
    found = await callers(pool, users, 3)
    assert served(found) == [True, False, False]
    await node.streams[0].send_all(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x03")
    await all_quiet()
    assert served(found) == [True] * 3


async def test_a_congested_connection_has_room_again_when_the_server_takes_bytes(
    users: trio.Nursery, node: Node
) -> None:
    node.limits = Limits()
    pool = await pool_of(users, node, max_connections=1)
    link = await pool.link()
    sending = node.clients[0].send_stream
    assert isinstance(sending, trio.testing.MemorySendStream)
    goes_on = trio.Event()
    sending.send_all_hook = goes_on.wait
    for number in range(20):
        if link.room > 0:
            Call(link, (*HEADERS, (f"large-{number}", "x" * 50_000)), [b""])
        await all_quiet()
    assert link.room == 0
    (found,) = await callers(pool, users, 1)
    assert (found.call, node.attempts) == (None, 1)
    goes_on.set()
    await all_quiet()
    assert found.call is not None


async def test_those_who_wait_for_room_learn_that_the_client_is_closed(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node, max_connections=1)
    found = await callers(pool, users, 5)
    await close(pool)
    await all_quiet()
    assert [type(caller.failure) for caller in found[2:]] == [trio.ClosedResourceError] * 3
    assert pool.waiting_calls == 0


async def test_a_failed_attempt_fails_all_that_wait_for_it_and_no_later_ones(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node)
    served_before = await callers(pool, users, 2)

    async def fail() -> None:
        await trio.sleep(5)
        raise ConnectionRefusedError("refused")

    node.before = fail
    found = await callers(pool, users, 3)
    await trio.sleep(5)
    await all_quiet()
    assert [type(caller.failure) for caller in found] == [UnavailableError] * 3
    assert len({id(caller.failure) for caller in found}) == 3
    node.before = trio.lowlevel.checkpoint
    (late,) = await callers(pool, users, 1)
    assert late.call is not None
    assert served(served_before) == [True, True]


async def test_what_connect_raises_of_its_own_one_call_gets(node: Node, users: trio.Nursery) -> None:
    """The next one tries for itself."""
    pool = await pool_of(users, node)

    async def fail() -> None:
        await trio.sleep(1)
        if node.attempts == 1:
            raise KeyError("mine")

    node.before = fail
    found = await callers(pool, users, 3)
    await trio.sleep(5)
    assert isinstance(found[0].failure, KeyError)
    assert served(found) == [False, True, True]
    assert node.attempts == 2


async def test_what_connect_raises_when_nobody_waits_does_no_harm(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node)

    async def fail() -> None:
        await trio.sleep(2)
        raise KeyError("mine")

    node.before = fail
    with trio.move_on_after(1):
        await pool.link()
    await trio.sleep(5)
    node.before = trio.lowlevel.checkpoint
    assert (await pool.link()).room == 2


# Idle connections


async def test_connections_beyond_the_first_close_when_idle(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node, idle_connection_timeout=LONG)
    found = await callers(pool, users, 6)
    assert len(pool.links) == 3
    for caller in found:
        caller.end()
    await trio.sleep(LONG - 1)
    assert len(pool.links) == 3
    await trio.sleep(2)
    assert len(pool.links) == 1
    assert tasks(pool) == 1, "nothing watches a single connection"
    await trio.sleep(100 * LONG)
    assert (await pool.link()).number == 1
    assert node.attempts == 3


async def test_a_call_makes_the_time_begin_anew(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node, idle_connection_timeout=LONG)
    first, second, third = await callers(pool, users, 3)
    third.end()
    for _ in range(10):
        await trio.sleep(LONG / 2)
        (again,) = await callers(pool, users, 1)
        again.end()
    assert node.attempts == 2
    await trio.sleep(LONG - 1)
    assert len(pool.links) == 2
    await trio.sleep(2)
    assert len(pool.links) == 1
    assert served([first, second]) == [True, True]


async def test_a_connection_with_a_call_is_not_idle(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node, idle_connection_timeout=LONG)
    first, second, _third = await callers(pool, users, 3)
    first.end()
    second.end()
    await trio.sleep(100 * LONG)
    assert [link.statistics().open_calls for link in pool.links] == [0, 1], "the first stays, and so does a used one"


async def test_without_a_time_idle_connections_stay(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node, idle_connection_timeout=math.inf)
    for caller in await callers(pool, users, 6):
        caller.end()
    await trio.sleep(1e6)
    assert len(pool.links) == 3
    assert tasks(pool) == 3


async def test_there_is_no_timer_as_long_as_none_is_idle(node: Node, users: trio.Nursery) -> None:
    """Else the clock of a test would jump from one to the next for ever."""
    pool = await pool_of(users, node, idle_connection_timeout=0.01)
    found = await callers(pool, users, 4)
    instrument = Deadlines()
    trio.lowlevel.add_instrument(instrument)
    await trio.sleep(1000)
    trio.lowlevel.remove_instrument(instrument)
    assert instrument.waits <= 2
    for caller in found:
        caller.end()
    await trio.sleep(1)
    assert len(pool.links) == 1


class Deadlines(trio.abc.Instrument):
    """Counts how often the loop waits."""

    waits = 0

    def before_io_wait(self, timeout: float) -> None:
        if timeout:
            self.waits += 1


async def test_the_first_that_takes_calls_stays(node: Node, users: trio.Nursery) -> None:
    pool = await pool_of(users, node, idle_connection_timeout=LONG)
    found = await callers(pool, users, 4)
    for caller in found[2:]:
        caller.end()
    await node.streams[0].send_all(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff\0\0\0\0")
    await trio.sleep(3 * LONG)
    assert [link.statistics().accepts_calls for link in pool.links] == [False, True]
    assert (await pool.link()).number == 2
    assert node.attempts == 2
