"""Our client with what real nodes of clusters sent: frame by frame, at the times of the recording."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from tests.support import http2
from tests.support.scripted import appended, confirmed, event
from trio_esdb import (
    AbortedError,
    AccessDeniedError,
    DeadlineExceededError,
    ESDBClient,
    ESDBError,
    InvalidRequestError,
    NewEvent,
    NotLeaderError,
    ResourceExhaustedError,
    ServerError,
    StreamState,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from trio_esdb_proto.event_store.client import streams as pb

from .recorded_node import Call, RecordedNode, record

URI = "esdb://127.0.0.1:2303?tls=false"
EVENT = NewEvent(type="Happened", data=b"{}")
CONNECTIONS = record()["connections"]


@pytest.fixture
def node(nursery: trio.Nursery) -> RecordedNode:
    return RecordedNode(nursery)


# -- a node that goes ------------------------------------------------------------------------------------------------


async def test_a_subscription_leaves_a_node_that_terminates_at_once(node: RecordedNode) -> None:
    """GOAWAY comes at 8 ms; for 5 s the node goes on, and then resets the connection."""
    frames = [each for each in CONNECTIONS["SIGTERM, a subscription"] if each["t"] > 0 and not each.get("stream")]
    async with ESDBClient(URI, connect=node.connect) as client, trio.open_nursery() as nursery:
        numbers: list[int] = []
        nursery.start_soon(subscribe, client, numbers)
        first = await node.call()
        first.answer(confirmed(), event(0), end=False)
        begun = trio.current_time()
        nursery.start_soon(first.play, frames)
        again, after = await resumed(node, 0)
        assert again.connection is not first.connection
        assert trio.current_time() - begun == pytest.approx(frames[0]["t"] / 1000)
        assert after == 0
        again.answer(confirmed(), event(1), event(2), end=False)
        await trio.sleep(6)
        assert numbers == [0, 1, 2]
        assert len(node.connections) == 2
        nursery.cancel_scope.cancel()


async def test_an_append_goes_on_where_it_is_when_the_node_terminates(
    node: RecordedNode, nursery: trio.Nursery
) -> None:
    """New calls use another connection. Those on the old one are still answered for 5 s."""
    async with ESDBClient(URI, connect=node.connect) as client:
        nursery.start_soon(client.append_event, "s", StreamState.ANY, EVENT)
        old = await node.call()
        goaway = [frame for frame in CONNECTIONS["SIGTERM, a subscription"] if frame["type"] == "GOAWAY"]
        await old.play(goaway)
        await trio.sleep(4.8)
        assert len(node.connections) == 1
        old.answer(appended(0, 1))
        nursery.start_soon(client.append_event, "s", 0, EVENT)
        new = await node.call()
        assert new.connection is not old.connection
        new.answer(appended(1, 2))
        await trio.sleep(1)


async def test_a_node_that_terminates_without_calls(node: RecordedNode, nursery: trio.Nursery) -> None:
    """GOAWAY with the last stream 0, and the end a moment later: the next call has a connection of its own."""
    async with ESDBClient(URI, connect=node.connect) as client:
        (idle,) = node.connections
        await idle.play_all([frame for frame in CONNECTIONS["SIGTERM, no call"] if frame["t"] > 0], {})
        nursery.start_soon(client.append_event, "s", StreamState.ANY, EVENT)
        call = await node.call()
        assert call.connection is not idle
        call.answer(appended(0, 1))
        await trio.sleep(1)


async def test_a_node_that_is_killed_under_an_append(node: RecordedNode, nursery: trio.Nursery) -> None:
    """It ends without a word. With a number as position the same bytes are sent again; with ANY they are not."""
    killed = [frame for frame in CONNECTIONS["SIGKILL, no call"] if frame["t"] > 0]
    async with ESDBClient(URI, connect=node.connect) as client:
        failures: list[ESDBError] = []
        nursery.start_soon(append, client, StreamState.ANY, failures)
        await (await node.call()).play(killed)
        await trio.sleep(10)
        assert [(type(error), error.applied) for error in failures] == [(UnavailableError, None)]

        nursery.start_soon(append, client, None, failures)
        first = await node.call()
        await first.play(killed)
        second = await node.call()
        assert second.body == first.body
        second.answer(appended(0, 1))
        await trio.sleep(1)
        assert len(failures) == 1


async def test_a_node_that_is_killed_under_a_subscription(node: RecordedNode) -> None:
    killed = [frame for frame in CONNECTIONS["SIGKILL, a subscription"] if frame["t"] > 0]
    async with ESDBClient(URI, connect=node.connect) as client, trio.open_nursery() as nursery:
        numbers: list[int] = []
        nursery.start_soon(subscribe, client, numbers)
        first = await node.call()
        first.answer(confirmed(), event(0), event(1), end=False)
        await first.play(killed)
        again, after = await resumed(node, 1)
        assert after == 1
        again.answer(confirmed(), event(2), end=False)
        await trio.sleep(1)
        assert numbers == [0, 1, 2]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("calls", record()["pings at"])
async def test_pings_are_answered_at_once_for_minutes(calls: str, node: RecordedNode, nursery: trio.Nursery) -> None:
    times = record()["pings at"][calls]
    async with ESDBClient(URI, connect=node.connect) as client:
        (connection,) = node.connections
        begun = trio.current_time()
        async with trio.open_nursery() as subscribing:
            if calls.startswith("subscription"):
                subscribing.start_soon(subscribe, client, [])
                (await node.call()).answer(confirmed(), end=False)
            frames = [{"t": at, "type": "PING", "stream": 0} for at in times]
            await connection.play_all(frames, {})
            await trio.sleep(1)
            subscribing.cancel_scope.cancel()
        assert [round((at - begun) * 1000) for at in connection.pings] == times
        assert len(node.connections) == 1


# -- answers ---------------------------------------------------------------------------------------------------------

ANSWERS: dict[str, tuple[type[ServerError], bool | None]] = {
    "content-type application/json": (ServerError, None),
    "empty body, half-closed": (ServerError, None),
    "two messages on a one-message method": (ServerError, None),
    "message that is not protobuf": (InvalidRequestError, None),
    "compressed flag without grpc-encoding": (ServerError, None),
    "grpc-encoding: br": (UnimplementedError, False),
    "grpc-timeout 300m on a half-sent append": (DeadlineExceededError, None),
    "message of 5 MiB to gossip": (ResourceExhaustedError, None),
    "not base64": (ServerError, None),
    "bare scheme": (ServerError, None),
    "wrong password": (UnauthenticatedError, False),
    "access denied": (AccessDeniedError, False),
    "unknown method": (UnimplementedError, False),
    "unknown service": (UnimplementedError, None),
}


@pytest.mark.parametrize("answer", record()["answers to a call"])
async def test_an_answer_becomes_an_error(answer: str, node: RecordedNode, nursery: trio.Nursery) -> None:
    """The node, its words and the certain outcome are in the error; the connection can be used afterwards."""
    frames = record()["answers to a call"][answer]
    kind, applied = ANSWERS[answer]
    failures: list[ESDBError] = []
    async with ESDBClient(URI, connect=node.connect) as client:
        nursery.start_soon(append, client, StreamState.ANY, failures)
        await (await node.call()).play(frames)
        await trio.sleep(0.001)
        (error,) = failures
        assert type(error) is kind
        assert error.applied is applied
        assert "127.0.0.1:2303" in str(error)
        said = dict(frames[0]["headers"]).get("grpc-message", dict(frames[0]["headers"])[":status"])
        assert said in str(error)
        nursery.start_soon(append, client, StreamState.ANY, failures)
        call = await node.call()
        call.answer(appended(0, 1))
        await trio.sleep(0.001)
        assert len(failures) == len(node.connections) == 1


OPERATIONS: dict[str, Callable[[ESDBClient], Awaitable[object]]] = {
    "append": lambda client: client.append_event("s", StreamState.ANY, EVENT, retry=False),
    "append, new stream, no_stream": lambda client: client.append_event("s", None, EVENT, retry=False),
    "metadata": lambda client: client.set_stream_metadata("s", {}, retry=False),
    "delete": lambda client: client.delete_stream("s", StreamState.ANY, retry=False),
    "tombstone": lambda client: client.tombstone_stream("s", StreamState.ANY, retry=False),
    "read-stream": lambda client: client.get_stream_events("s", retry=False),
    "read-all": lambda client: receive(client.read_all_events(retry=False)),
    "subscribe-stream": lambda client: receive(client.subscribe_stream_events("s", retry=False)),
}
KINDS: dict[str, tuple[type[ServerError], bool | None]] = {
    "Leader info available": (NotLeaderError, False),
    "Server Is Not Ready": (UnavailableError, False),
    "Operation timed out: Commit phase timeout.": (AbortedError, None),
}
REFUSED = [name for name, each in record()["operations"].items() if each["code"] != "(stays open)"]


@pytest.mark.parametrize("name", REFUSED)
async def test_what_nodes_in_other_roles_answer(name: str, node: RecordedNode, nursery: trio.Nursery) -> None:
    """Without repeating, so that the program gets what the node said."""
    said = record()["operations"][name]
    operation = name.partition(" on a ")[0].partition(" without a ")[0]
    kind, applied = KINDS[said["details"]]
    failures: list[ESDBError] = []

    async def call() -> None:
        try:
            await OPERATIONS[operation](client)
        except ESDBError as error:
            failures.append(error)

    async with ESDBClient(URI, connect=node.connect) as client:
        nursery.start_soon(call)
        (await node.call()).fail(said["code"], said["details"], said["trailers"])
        await trio.sleep(0.001)
        (error,) = failures
        assert isinstance(error, kind)
        assert said["details"] in str(error)
        if not operation.startswith(("read", "subscribe")):
            assert error.applied is applied
        if isinstance(error, NotLeaderError):
            assert error.leader == ("127.0.0.1", int(said["trailers"]["leader-endpoint-port"]))


# -- how answers are cut ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", record()["framing"]["plain"])
async def test_answers_are_read_however_they_are_cut(what: str, node: RecordedNode, nursery: trio.Nursery) -> None:
    """Messages, DATA frames and pieces of the sizes that were recorded; each event comes once and in order."""
    told = record()["framing"]["plain"][what]
    _, usual, largest = told["message bytes (with 5)"]
    count = told["messages"]
    frames_in_piece = int(told["DATA frames per recv"][2])
    data = padding(count - 1, int(usual))
    bodies = [event(number, data=data) for number in range(count)]
    frames = cut_as_recorded(bodies, gathered=told["messages beginning in a frame"][1] > 1)
    if not told["frames that begin inside a message"]:
        assert len(frames) == pytest.approx(told["DATA frames"], abs=3)
    assert max(map(len, frames)) == pytest.approx(told["frame bytes"][2], abs=40)
    assert largest == pytest.approx(usual, abs=10)

    async with ESDBClient(URI, connect=node.connect) as client:
        numbers: list[int] = []
        async with trio.open_nursery() as reading:
            reading.start_soon(read, client, numbers)
            call = await node.call()
            call.begin()
            for at in range(0, len(frames), frames_in_piece):
                await call.give_frames(frames[at : at + frames_in_piece])
            call.end()
        assert call.connection.ended is None
        assert numbers == list(range(count))


def padding(number: int, size: int) -> bytes:
    """What an event holds if its message has this size, its prefix included."""
    spare = size - len(http2.message(event(number)))
    over = len(http2.message(event(number, data=b"x" * spare))) - size
    return b"x" * (spare - over)


def cut_as_recorded(bodies: list[bytes], *, gathered: bool) -> list[bytes]:
    """A node gathers whole messages until it has 4096 bytes, and cuts what is larger than 16384; live ones go alone."""
    frames: list[bytes] = []
    waiting = b""
    for number, body in enumerate(bodies, 1):
        waiting += http2.message(body)
        if len(waiting) >= 4096 or not gathered or number == len(bodies):
            frames += [waiting[at : at + 16_384] for at in range(0, len(waiting), 16_384)]
            waiting = b""
    return frames


# -- helpers ---------------------------------------------------------------------------------------------------------


async def append(client: ESDBClient, expected: Any, failures: list[ESDBError]) -> None:
    try:
        await client.append_event("s", expected, EVENT)
    except ESDBError as error:
        failures.append(error)


async def read(client: ESDBClient, numbers: list[int]) -> None:
    async with client.read_stream_events("s") as events:
        numbers += [each.stream_position async for each in events]


async def receive(opening: Any) -> None:
    async with opening as events:
        await events.receive()


async def subscribe(client: ESDBClient, numbers: list[int]) -> None:
    async with client.subscribe_stream_events("s") as events:
        async for each in events:
            numbers.append(each.stream_position)  # noqa: PERF401 - the test looks at it meanwhile


async def resumed(node: RecordedNode, last: int) -> tuple[Call, int]:
    """The subscription that goes on, and after which position; the client first asks whether that is still there."""
    call = await node.call()
    options = pb.ReadReq.parse(call.body[5:]).options
    assert options is not None
    if options.subscription is None:
        call.answer(event(last))
        call = await node.call()
        options = pb.ReadReq.parse(call.body[5:]).options
        assert options is not None
    assert options.stream is not None
    assert options.stream.revision is not None
    return call, options.stream.revision
