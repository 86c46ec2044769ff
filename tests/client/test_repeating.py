"""Writes that are sent again: what is sent, what is told, and what comes of several attempts."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.leaks import assert_nothing_is_left
from tests.support.scripted import (
    URI,
    Script,
    Scripted,
    Seen,
    appended,
    confirmed,
    event,
    fails,
    goes_on,
    says,
    silence,
)
from tests.support.scripted import wrong_version as elsewhere
from trio_esdb import (
    CallInfo,
    CallRepeated,
    DeadlineExceededError,
    ESDBClient,
    ExpectedPositionError,
    Instrument,
    NewEvent,
    NotLeaderError,
    RetryPolicy,
    ServerError,
    StreamDeletedError,
    StreamState,
    UnavailableError,
)
from trio_esdb._transport._handlers import Failure
from trio_esdb._wire import Code, Status
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing import MemoryNetwork

EVENT = NewEvent("Happened", b"{}")
PATH = "/event_store.client.streams.Streams/Append"


async def lost(seen: Seen) -> None:
    """A script that ends the call without a word."""
    seen.link.core.reset(seen.stream, Code.CANCEL)
    seen.link.wake()


not_ready = fails(Status.UNAVAILABLE, "Server Is Not Ready")


def one_after_another(*scripts: Script) -> Script:
    """A script that is another one for each call; the last one stays."""
    coming = itertools.chain(scripts, itertools.repeat(scripts[-1]))

    async def run(seen: Seen) -> object:
        return await next(coming)(seen)

    return run


class Middle(Random):
    """Chance that is always in the middle, so that there is no jitter."""

    def random(self) -> float:
        return 0.5


# -- what is sent ------------------------------------------------------------------------------------------------------


async def test_the_same_bytes_are_sent(client: ESDBClient, server: Scripted) -> None:
    """Ids, metadata and all: the server must recognise it."""
    server.append = one_after_another(lost, not_ready, lost, says(appended(2, 9)))
    events = [
        NewEvent("Happened", b"{}"),
        NewEvent("Happened", b"\x00" * 1000, content_type="application/octet-stream"),
    ]
    assert await client.append_events("s", 0, iter(events)) == 9
    first, *others = [seen.requests for seen in server.seen]
    assert len(first) == 3
    assert others == [first] * 3


async def test_a_large_append_is_sent_again_whole(client: ESDBClient, server: Scripted) -> None:
    events = [NewEvent("Happened", b"{}") for _ in range(25_000)]
    server.append = one_after_another(lost, says(appended(24_999, 9)))
    assert await client.append_events("s", None, events) == 9
    assert server.seen[0].requests == server.seen[1].requests
    assert len(server.seen[1].requests) == 25_001


async def test_metadata_is_sent_again_as_it_was(client: ESDBClient, server: Scripted) -> None:
    server.append = one_after_another(lost, says(appended(3, 9)))
    assert await client.set_stream_metadata("s", {"$maxCount": 3}, 2) == 9
    assert server.seen[0].requests == server.seen[1].requests


# -- how long ----------------------------------------------------------------------------------------------------------


async def test_the_waits(server: Scripted) -> None:
    times: list[float] = []

    async def note(seen: Seen) -> None:
        times.append(trio.current_time())
        await lost(seen)

    server.append = note
    for more, waits in (
        ({}, [0, 0.1, 0.2, 0.4, 0.8, 1.6, 2, 2, 2]),
        ({"retry": RetryPolicy(first_delay=1, max_delay=3)}, [0, 1, 2, 3, 3]),
    ):
        async with ESDBClient(URI, connect=server.connect, random=Middle(), **more) as client:
            with pytest.raises(DeadlineExceededError):
                await client.append_event("s", None, EVENT)
            assert [after - before for before, after in itertools.pairwise(times)] == pytest.approx(waits)
            times.clear()
            with pytest.raises(DeadlineExceededError):
                await client.append_event("s", None, EVENT, retry=RetryPolicy(first_delay=4), timeout=20)
            assert [after - before for before, after in itertools.pairwise(times)] == pytest.approx([0, 4, 8])
            times.clear()


async def test_the_error_tells_of_all_attempts(client: ESDBClient, server: Scripted) -> None:
    server.append = not_ready
    began = trio.current_time()
    with pytest.raises(DeadlineExceededError) as caught:
        await client.append_event("s", None, EVENT, timeout=1)
    assert trio.current_time() - began == pytest.approx(1)
    assert str(caught.value) == (
        f"appending to stream 's': the timeout passed; tried {len(server.seen)} times, the last failure: appending to "
        "stream 's': Server Is Not Ready [UNAVAILABLE, node-1:2113] [node-1:2113]"
    )
    assert isinstance(caught.value.__cause__, UnavailableError)
    assert caught.value.applied is False
    server.append = one_after_another(not_ready, not_ready, fails(Status.UNIMPLEMENTED, "no"))
    with pytest.raises(ServerError, match=r"no \[UNIMPLEMENTED, node-1:2113\] \(tried 3 times\)$"):
        await client.append_event("s", None, EVENT)


async def test_the_server_is_told_of_the_time_that_is_left(client: ESDBClient, server: Scripted) -> None:
    times: list[float] = []

    async def slow(seen: Seen) -> None:
        times.append(seen.timeout)
        await trio.sleep(2)
        await lost(seen)

    server.append = slow
    with pytest.raises(DeadlineExceededError):
        await client.append_event("s", None, EVENT, timeout=5)
    assert times[:2] == pytest.approx([5, 3], abs=0.01)


async def test_how_long_a_server_wants_to_be_left_alone(client: ESDBClient, server: Scripted) -> None:
    def wants(milliseconds: str) -> Script:
        async def run(seen: Seen) -> None:
            raise Failure(Status.UNAVAILABLE, "Server not ready", headers=(("grpc-retry-pushback-ms", milliseconds),))

        return run

    server.append = one_after_another(wants("2500"), says(appended(0, 4)))
    began = trio.current_time()
    assert await client.append_event("s", None, EVENT) == 4
    assert trio.current_time() - began == pytest.approx(2.5)
    server.append = wants("-1")
    with pytest.raises(UnavailableError, match="not ready") as caught:
        await client.append_event("s", None, EVENT)
    assert caught.value.applied is False
    assert len(server.seen) == 3


async def test_the_scope_of_the_caller_ends_the_waiting(client: ESDBClient, server: Scripted) -> None:
    server.append = not_ready
    began = trio.current_time()
    with trio.move_on_after(3) as scope:
        await client.append_event("s", None, EVENT)
    assert scope.cancelled_caught
    assert trio.current_time() - began == pytest.approx(3)
    await assert_nothing_is_left(client, server.links)


async def test_closing_the_client_ends_the_waiting(client: ESDBClient, server: Scripted) -> None:
    server.append = not_ready

    async def append(stream: str) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await client.append_event(stream, None, EVENT, retry=RetryPolicy(first_delay=8))

    async with trio.open_nursery() as calls:
        calls.start_soon(append, "waits")
        await trio.testing.wait_all_tasks_blocked()
        server.append = silence
        calls.start_soon(append, "is under way")
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await client.aclose()
    assert trio.current_time() == began


# -- was it written? ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "kind", "applied"),
    [
        (not_ready, DeadlineExceededError, None),
        (silence, DeadlineExceededError, None),
        (fails(Status.PERMISSION_DENIED, "no", exception="access-denied"), ServerError, None),
        (fails(Status.FAILED_PRECONDITION, "no", exception="stream-deleted"), StreamDeletedError, None),
        (fails(Status.FAILED_PRECONDITION, exception="wrong-expected-version"), ExpectedPositionError, None),
        (says(elsewhere(5)), ExpectedPositionError, False),
        (says(elsewhere(2)), ExpectedPositionError, None),  # a node that lacks events
    ],
)
async def test_after_an_attempt_that_may_have_been_done(
    client: ESDBClient, server: Scripted, last: Script, kind: type[ServerError], applied: bool | None
) -> None:
    server.append = one_after_another(lost, last)
    with pytest.raises(kind) as caught:
        await client.append_event("s", 3, EVENT)
    assert caught.value.applied is applied


async def test_after_attempts_that_were_certainly_not_done(client: ESDBClient, server: Scripted) -> None:
    server.append = one_after_another(not_ready, not_ready, lost)
    with pytest.raises(UnavailableError, match=r"tried 3 times") as caught:
        await client.append_event("s", StreamState.ANY, EVENT)
    assert caught.value.applied is None
    server.append = not_ready
    with pytest.raises(DeadlineExceededError) as overdue:
        await client.append_event("s", StreamState.ANY, EVENT)
    assert overdue.value.applied is False


# -- where -------------------------------------------------------------------------------------------------------------


async def test_a_node_that_does_not_lead_any_more(client: ESDBClient, server: Scripted) -> None:
    """The name may lead to another node now, so a new connection is made; what runs on the old one goes on."""
    not_leader = fails(
        Status.NOT_FOUND, "no", exception="not-leader", leader_endpoint_host="b", leader_endpoint_port="1"
    )

    async def first_connection_only(seen: Seen) -> object:
        return await (not_leader if seen.link is server.links[0] else says(appended(0, 4)))(seen)

    server.append = first_connection_only
    server.read = goes_on(confirmed(), event(0))
    async with client.subscribe_stream_events("s") as events:
        assert await client.append_event("s", StreamState.ANY, EVENT) == 4
        assert len(server.links) == 2
        assert (await events.receive()).stream_position == 0
        assert not server.links[0].closed.is_set()
    await trio.testing.wait_all_tasks_blocked()
    assert server.links[0].closed.is_set()
    assert await client.append_event("s", StreamState.ANY, EVENT) == 4
    assert len(server.links) == 2

    server.append = not_leader
    with pytest.raises(NotLeaderError, match=r"the leader is b:1\) .*tried") as caught:
        await client.append_event("s", StreamState.ANY, EVENT, timeout=3)
    assert (caught.value.leader, caught.value.applied) == (("b", 1), False)
    with pytest.raises(NotLeaderError):
        await client.append_event("s", StreamState.ANY, EVENT, retry=False)


async def test_entering_the_block_fails_at_once(server: Scripted) -> None:
    attempts = 0

    async def connect(host: str, port: int) -> trio.abc.Stream:
        nonlocal attempts
        attempts += 1
        raise ConnectionRefusedError(111, "Connection refused")

    began = trio.current_time()
    with pytest.raises(UnavailableError, match="refused"):
        async with ESDBClient(URI, connect=connect):
            pytest.fail("it connected")
    assert (attempts, trio.current_time()) == (1, began)


# -- what is told ------------------------------------------------------------------------------------------------------


async def test_repeats_are_events(server: Scripted) -> None:
    server.append = one_after_another(lost, not_ready, says(appended(0, 4)))
    async with ESDBClient(URI, connect=server.connect, random=Middle()) as client:
        async with client.connection_events() as events:
            await client.append_event("s", None, EVENT)
            told = [await events.receive() for _ in range(2)]
    assert [(each.attempt, each.delay) for each in told if isinstance(each, CallRepeated)] == [(2, 0), (3, 0.2)]
    assert all(isinstance(each, CallRepeated) and each.method == PATH for each in told)
    assert ["reset" in str(each) or "Not Ready" in str(each) for each in told] == [True, True]


class Recorder(Instrument):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def call_started(self, call: CallInfo) -> None:
        self.told.append(("started", call.doing))

    def call_repeated(self, call: CallInfo, attempt: int, cause: BaseException) -> None:
        self.told.append(("repeated", attempt, type(cause)))

    def call_ended(self, call: CallInfo, error: BaseException | None) -> None:
        self.told.append(("ended", call.address, type(error)))


async def test_instruments_are_told(server: Scripted) -> None:
    recorder = Recorder()
    doing = "appending to stream 's'"
    async with ESDBClient(URI, connect=server.connect, instruments=[recorder]) as client:
        server.append = one_after_another(lost, says(appended(0, 4)))
        assert await client.append_event("s", None, EVENT) == 4
        server.append = lost
        with pytest.raises(UnavailableError):
            await client.append_event("s", StreamState.ANY, EVENT)
        server.append = silence
        with trio.move_on_after(1):
            await client.append_event("s", StreamState.ANY, EVENT)
    assert recorder.told == [
        ("started", doing),
        ("repeated", 2, UnavailableError),
        ("ended", "node-1:2113", type(None)),
        ("started", doing),
        ("ended", "node-1:2113", UnavailableError),
        ("started", doing),
        ("ended", "", trio.Cancelled),
    ]


# -- nothing acknowledged is lost or doubled ---------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.01, 0.1, 1])
async def test_many_appends_on_connections_that_break(seconds: float) -> None:
    network = MemoryNetwork()
    network.to("node").latency(0.02)
    numbers: list[int] = []
    async with EmbeddedNode() as node, network.listen(node, "node", 2113):
        async with ESDBClient("esdb://node:2113?tls=false", connect=network.connect, random=Random(1)) as client:

            async def write(stream: str) -> None:
                for number in range(10):
                    new = NewEvent("Happened", b"%d" % number)
                    result = await client.append_event(stream, number - 1 if number else None, new)
                    assert result.stream_position == number

            async def cut() -> None:
                for _ in range(int(3 / seconds)):
                    await trio.sleep(seconds)
                    network.to("node").reset()

            async with trio.open_nursery() as tasks:
                tasks.start_soon(cut)
                for number in range(30):
                    tasks.start_soon(write, f"s{number}")
            for number in range(30):
                events = await client.get_stream_events(f"s{number}")
                numbers += [int(each.data) for each in events]
    assert numbers == list(range(10)) * 30


# -- how long reads and subscriptions go on ----------------------------------------------------------------------------


async def read(client: ESDBClient, **more: Any) -> None:
    await client.get_stream_events("s", **more)


async def subscribe(client: ESDBClient, **more: Any) -> None:
    async with client.subscribe_stream_events("s", **more):
        pytest.fail("it subscribed")


@pytest.mark.parametrize("use", [read, subscribe])
async def test_an_outage_has_an_end(server: Scripted, use: Any) -> None:
    """For a read, and for a subscription that has not begun: as long as the default deadline, then the last error."""
    server.read = lost
    async with ESDBClient(URI, connect=server.connect, random=Middle(), default_deadline=4) as client:
        began = trio.current_time()
        with pytest.raises(UnavailableError, match=r"tried 7 times"):
            await use(client)
        assert trio.current_time() - began == pytest.approx(3.1)  # 0, 0.1, 0.2, 0.4, 0.8, 1.6, and then it is too late
        with pytest.raises(DeadlineExceededError, match="the last failure"):
            await use(client, timeout=7)
        assert trio.current_time() - began == pytest.approx(10.1)
        with pytest.raises(UnavailableError, match=r"reset the call with CANCEL \[CANCELLED, node-1:2113\]$"):
            await use(client, retry=False)


async def test_each_event_begins_an_outage_anew(server: Scripted) -> None:
    """A read that gets an event in each attempt goes on, however often it is interrupted."""

    async def one_by_one(seen: Seen) -> None:
        assert seen.read.stream is not None
        number = seen.read.stream.revision or 0
        await trio.sleep(3)
        await seen.send(event(number))
        if number < 9:
            await trio.testing.wait_all_tasks_blocked()
            await lost(seen)

    server.read = one_by_one
    async with ESDBClient(URI, connect=server.connect, default_deadline=4) as client:
        assert [each.stream_position for each in await client.get_stream_events("s")] == list(range(10))
