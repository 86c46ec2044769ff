"""Every cell of the policy for trouble: each kind of trouble, made by a real server, in each kind of call.

The cells come from the table itself. What must come of each is written here by hand.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
import trio
import trio.testing

from tests.support import http2
from tests.support.scripted import (
    URI,
    Script,
    Scripted,
    Seen,
    appended,
    confirmed,
    deleted,
    delivered,
    event,
    fails,
    joined,
    last_position,
    silence,
)
from trio_esdb import (
    AbortedError,
    AccessDeniedError,
    ConsumerTooSlowError,
    DeadlineExceededError,
    ESDBClient,
    ESDBError,
    ExpectedPositionError,
    InvalidRequestError,
    NewEvent,
    NotLeaderError,
    ResourceExhaustedError,
    ServerError,
    StreamDeletedError,
    StreamState,
    SubscriptionDroppedError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from trio_esdb._rpc import POLICY, CallKind, Trouble
from trio_esdb._wire import Code, Status

EVENT = NewEvent("Happened", b"{}")
K, T = CallKind, Trouble
LAST = 2
"""The stream has the events 0, 1 and 2."""


# -- a server with a stream of three events ----------------------------------------------------------------------------


async def tells(seen: Seen) -> None:
    """Answer a read or subscription of the stream from where it begins."""
    options = seen.read
    if options.read_direction:  # backwards: what the last event is
        await seen.send(last_position(LAST), event(LAST))
        return
    stream = options.stream
    assert stream is not None
    first = 0 if stream.revision is None else stream.revision
    if options.subscription is None:
        await seen.send(*(event(number) for number in range(first, LAST + 1)))
        return
    first += stream.revision is not None  # a subscription begins after it
    await seen.give(confirmed(), *(event(number) for number in range(first, LAST + 1)))


async def begins(seen: Seen) -> None:
    """Send what comes before the trouble: the first event, if it is a read or subscription of events."""
    if seen.method == "Consume":
        await seen.send(joined(), delivered(0))
    if seen.method == "Read" and not seen.read.read_direction:
        await seen.send(*([] if seen.read.subscription is None else [confirmed()]), event(0))


def resets(code: Code) -> Script:
    async def run(seen: Seen) -> None:
        await begins(seen)
        await trio.testing.wait_all_tasks_blocked()
        seen.link.core.reset(seen.stream, code)
        seen.link.wake()
        await trio.sleep_forever()

    return run


def refuses(how: str) -> Script:
    """A script that says that it has not looked at the call."""

    async def run(seen: Seen) -> None:
        if how == "REFUSED_STREAM":
            seen.link.core.reset(seen.stream, Code.REFUSED_STREAM)
            seen.link.wake()
        else:
            await seen.link._stream.send_all(http2.goaway(seen.stream.id - 1))
        await trio.sleep_forever()

    return run


def ends(status: Status, message: str = "", **trailers: str) -> Script:
    async def run(seen: Seen) -> None:
        await begins(seen)
        await fails(status, message, **trailers)(seen)

    return run


def answers_http(status: int) -> Script:
    async def run(seen: Seen) -> None:
        seen.link.core.refuse_http(seen.stream, status)
        seen.link.wake()

    return run


async def hangs_up(seen: Seen) -> None:
    await begins(seen)
    await trio.testing.wait_all_tasks_blocked()
    await seen.link._stream.aclose()
    await trio.sleep_forever()


async def drains(seen: Seen) -> None:
    """Send GOAWAY, answer nevertheless within a second, and break the connection after five."""
    await begins(seen)
    await trio.testing.wait_all_tasks_blocked()
    await seen.link._stream.send_all(http2.goaway(2**31 - 1))
    await trio.sleep(1)
    if seen.method == "Consume":
        await trio.sleep(4)
        await seen.link._stream.aclose()
    elif seen.method == "Read":
        if seen.read.subscription is not None:
            await trio.sleep(4)
            await seen.link._stream.aclose()
        elif seen.read.read_direction:
            await tells(seen)
        else:
            await seen.send(event(1), event(2))
    else:
        await seen.send(ANSWERS[seen.method])


async def ends_well(seen: Seen) -> None:
    await begins(seen)


ANSWERS = {"Append": appended(3, 99), "Delete": deleted(99), "Tombstone": deleted(99)}


async def does(seen: Seen) -> bytes | None:
    """What the server does with any call when all is well."""
    if seen.method == "Consume":
        await seen.give(joined(), *(delivered(number) for number in range(LAST + 1)))
    if seen.method != "Read":
        return ANSWERS[seen.method]
    await tells(seen)
    return None


# -- the calls ---------------------------------------------------------------------------------------------------------


async def read(client: ESDBClient, **more: Any) -> list[int]:
    async with client.read_stream_events("s", **more) as events:
        return [each.stream_position async for each in events]


async def subscribe(client: ESDBClient, **more: Any) -> list[int]:
    found: list[int] = []
    async with client.subscribe_stream_events("s", **more) as events:
        while len(found) <= LAST:
            found.append((await events.receive()).stream_position)
    return found


async def consume(client: ESDBClient, **more: Any) -> list[int]:
    """The events of a group. Those that come before the trouble are not acked, and come again."""
    found: list[int] = []
    async with client.read_stream_subscription("g", "s", grace=0, **more) as events:
        while LAST not in found:
            found.append((await events.receive()).stream_position)
    return found[-LAST - 1 :]


@dataclass(frozen=True)
class Call:
    kind: CallKind
    make: Callable[..., Awaitable[Any]]
    result: Any


CALLS = {
    "the position of a stream": Call(K.UNARY_READ, lambda client, **more: client.get_stream_position("s", **more), 2),
    "the last position": Call(K.UNARY_READ, lambda client, **more: client.get_commit_position(**more), 250),
    "metadata": Call(K.UNARY_READ, lambda client, **more: client.get_stream_metadata("s", **more), ({}, 2)),
    "read": Call(K.READ, read, [0, 1, 2]),
    "append, no stream": Call(K.EXACT_WRITE, lambda client, **more: client.append_event("s", None, EVENT, **more), 99),
    "append, a number": Call(K.EXACT_WRITE, lambda client, **more: client.append_event("s", 2, EVENT, **more), 99),
    "metadata, a number": Call(
        K.EXACT_WRITE, lambda client, **more: client.set_stream_metadata("s", {}, 2, **more), 99
    ),
    "append, any": Call(
        K.OTHER_WRITE, lambda client, **more: client.append_event("s", StreamState.ANY, EVENT, **more), 99
    ),
    "append, exists": Call(
        K.OTHER_WRITE, lambda client, **more: client.append_event("s", StreamState.EXISTS, EVENT, **more), 99
    ),
    "metadata, any": Call(K.OTHER_WRITE, lambda client, **more: client.set_stream_metadata("s", {}, **more), 99),
    "delete": Call(K.OTHER_WRITE, lambda client, **more: client.delete_stream("s", 2, **more), 99),
    "tombstone": Call(K.OTHER_WRITE, lambda client, **more: client.tombstone_stream("s", 2, **more), 99),
    "subscribe": Call(K.SUBSCRIPTION, subscribe, [0, 1, 2]),
    "consume": Call(K.GROUP, consume, [0, 1, 2]),
}
WRITES = (K.EXACT_WRITE, K.OTHER_WRITE)


# -- how trouble is made -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """A way to make trouble in the first attempt, and the error if it is raised."""

    script: Script | None
    error: type[ESDBError]
    applied: bool | None = None


NOT_LEADER = {"exception": "not-leader", "leader_endpoint_host": "node-2", "leader_endpoint_port": "2113"}
TOO_SLOW = "Operation timed out: Consumer too slow to handle event"
COMMIT = "Operation timed out: Commit phase timeout."
FORWARD = "Operation timed out: Forwarding timeout"
WAYS: dict[Trouble, dict[str, Way]] = {
    T.NEVER_SENT: {
        "REFUSED_STREAM": Way(refuses("REFUSED_STREAM"), UnavailableError, False),
        "GOAWAY": Way(refuses("GOAWAY"), UnavailableError, False),
        "cannot connect": Way(None, UnavailableError, False),
    },
    T.UNUSABLE: {"HTTP/1.1": Way(None, UnavailableError, False)},
    T.NOT_LEADER: {
        "it leads": Way(fails(Status.NOT_FOUND, "Leader info available", **NOT_LEADER), NotLeaderError, False),
        "nobody": Way(fails(Status.UNKNOWN, "No leader info available in response"), NotLeaderError, False),
    },
    T.NOT_READY: {
        text: Way(fails(Status.UNAVAILABLE, text), UnavailableError, False)
        for text in ("Server Is Not Ready", "Server Is Too Busy", "Server not ready")
    },
    T.LOST: {
        "the connection ends": Way(hangs_up, UnavailableError),
        "CANCEL": Way(resets(Code.CANCEL), UnavailableError),
        "INTERNAL_ERROR": Way(resets(Code.INTERNAL_ERROR), UnavailableError),
        "CANCELLED": Way(ends(Status.CANCELLED), ServerError),
        "UNAVAILABLE": Way(ends(Status.UNAVAILABLE, "upstream connect error"), UnavailableError),
        "HTTP 502": Way(answers_http(502), UnavailableError),
        "HTTP 503": Way(answers_http(503), UnavailableError),
    },
    T.SERVER_TIMEOUT: {
        "commit": Way(ends(Status.ABORTED, COMMIT), AbortedError),
        "forward": Way(ends(Status.ABORTED, FORWARD), AbortedError),
        "deadline": Way(ends(Status.DEADLINE_EXCEEDED, "Deadline Exceeded"), DeadlineExceededError),
    },
    T.OWN_DEADLINE: {"silence": Way(silence, DeadlineExceededError)},
    T.DRAINING: {"GOAWAY": Way(drains, UnavailableError)},
    T.FINAL: {
        "denied": Way(
            fails(Status.PERMISSION_DENIED, "Access Denied", exception="access-denied"), AccessDeniedError, False
        ),
        "elsewhere": Way(
            fails(Status.FAILED_PRECONDITION, exception="wrong-expected-version"), ExpectedPositionError, False
        ),
        "deleted": Way(fails(Status.FAILED_PRECONDITION, exception="stream-deleted"), StreamDeletedError, False),
        "invalid": Way(fails(Status.INVALID_ARGUMENT, "no"), InvalidRequestError, False),
        "unknown": Way(fails(Status.UNKNOWN, "Exception was thrown by handler."), InvalidRequestError),
        "not implemented": Way(fails(Status.UNIMPLEMENTED), UnimplementedError, False),
        "too large": Way(fails(Status.RESOURCE_EXHAUSTED), ResourceExhaustedError),
        "internal": Way(fails(Status.INTERNAL), ServerError),
        "aborted": Way(fails(Status.ABORTED, "a transaction"), AbortedError),
        "HTTP 500": Way(answers_http(500), ServerError),
    },
    T.NO_FIRST_ANSWER: {"silence": Way(silence, UnavailableError)},
    T.CALM: {
        "ENHANCE_YOUR_CALM": Way(resets(Code.ENHANCE_YOUR_CALM), ResourceExhaustedError),
        "HTTP 429": Way(answers_http(429), UnavailableError),
    },
    T.TOO_SLOW: {"aborted": Way(ends(Status.ABORTED, TOO_SLOW), ConsumerTooSlowError)},
    T.CLEAN_END: {"OK": Way(ends_well, UnavailableError)},
    T.UNAUTHENTICATED: {"refused": Way(fails(Status.UNAUTHENTICATED, "Unauthenticated"), UnauthenticatedError, False)},
    T.DROPPED: {
        "dropped": Way(
            ends(Status.CANCELLED, "was dropped", exception="persistent-subscription-dropped"), SubscriptionDroppedError
        )
    },
    T.LEADER_MOVED: {},  # only a client that knows a cluster can find out
}


# -- what must come of it, by hand -------------------------------------------------------------------------------------

AGAIN = "a second attempt succeeds"
ONE = "the first attempt succeeds"
RAISED = "the error is raised"
OVERDUE = "the time of the call passes"

READS = {K.UNARY_READ: AGAIN, K.READ: AGAIN, K.SUBSCRIPTION: AGAIN, K.GROUP: AGAIN}
EXPECTED: dict[Trouble, dict[CallKind, str]] = {
    T.NEVER_SENT: READS | {K.EXACT_WRITE: AGAIN, K.OTHER_WRITE: AGAIN},
    T.UNUSABLE: dict.fromkeys(set(K), RAISED),
    T.NOT_LEADER: READS | {K.EXACT_WRITE: AGAIN, K.OTHER_WRITE: AGAIN},
    T.NOT_READY: READS | {K.EXACT_WRITE: AGAIN, K.OTHER_WRITE: AGAIN},
    T.LOST: READS | {K.EXACT_WRITE: AGAIN, K.OTHER_WRITE: RAISED},
    T.SERVER_TIMEOUT: READS | {K.EXACT_WRITE: AGAIN, K.OTHER_WRITE: RAISED},
    T.OWN_DEADLINE: dict.fromkeys(set(K), OVERDUE),
    T.DRAINING: {
        K.UNARY_READ: ONE,
        K.READ: ONE,
        K.EXACT_WRITE: ONE,
        K.OTHER_WRITE: ONE,
        K.SUBSCRIPTION: AGAIN,
        K.GROUP: AGAIN,
    },
    T.FINAL: dict.fromkeys(set(K), RAISED),
    T.NO_FIRST_ANSWER: {K.READ: AGAIN, K.SUBSCRIPTION: AGAIN, K.GROUP: AGAIN},
    T.CALM: READS | {K.EXACT_WRITE: AGAIN, K.OTHER_WRITE: RAISED},
    T.TOO_SLOW: {K.SUBSCRIPTION: AGAIN},
    T.DROPPED: {K.GROUP: AGAIN},
    T.CLEAN_END: {K.SUBSCRIPTION: AGAIN, K.GROUP: AGAIN},
    T.LEADER_MOVED: {},
    T.UNAUTHENTICATED: dict.fromkeys(set(K), RAISED),
}
SECONDS: dict[Trouble, float] = {
    T.NOT_READY: 0.1,
    T.SERVER_TIMEOUT: 0.1,
    T.CALM: 2.0,
    T.NO_FIRST_ANSWER: 5.0,
    T.OWN_DEADLINE: 3.0,
}
"""After how many seconds the second attempt comes, or the error; else it is at once."""


class Scene:
    """A server that makes trouble in the first attempt of a call, and a client of it without jitter."""

    def __init__(self, nursery: trio.Nursery, trouble: Trouble, way: Way) -> None:
        self.server = Scripted(nursery)
        self.began = 0.0
        self.times: list[float] = []
        """When the attempts came, in seconds after the call began."""
        self._trouble = trouble
        self._way = way
        self._connects = 0
        for method in ("Read", "Append", "Delete", "Tombstone", "Consume"):
            self.server.script[method] = self._answer

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """The second connection is the one with trouble, if the trouble is with connecting."""
        self._connects += 1
        if self._connects == 2 and self._way.script is None:
            self.times.append(trio.current_time() - self.began)
            if self._trouble is T.NEVER_SENT:
                raise ConnectionRefusedError(111, "Connection refused")
            ours, theirs = trio.testing.memory_stream_pair()
            await theirs.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return ours
        return await self.server.connect(host, port)

    async def _answer(self, seen: Seen) -> bytes | None:
        if seen.method == "Read" and seen.read.read_direction and self._subscribing:
            await tells(seen)  # where the stream ends, which a subscription may want to know
            return None
        self.times.append(trio.current_time() - self.began)
        if len(self.times) == 1 and self._way.script is not None:
            answer = await self._way.script(seen)
            return answer if isinstance(answer, bytes) else None
        return await does(seen)

    async def call(self, call: Call, **more: Any) -> Any:
        """Make the call, once there is the trouble."""
        self._subscribing = call.kind is K.SUBSCRIPTION
        async with ESDBClient(URI, connect=self.connect, random=Middle()) as client:
            if self._way.script is None:
                await trio.aclose_forcefully(self.server.streams[0])
                await trio.testing.wait_all_tasks_blocked()
            self.began = trio.current_time()
            return await call.make(client, **more)


class Middle(Random):
    """Chance that is always in the middle, so that there is no jitter."""

    def random(self) -> float:
        return 0.5


CELLS = [
    pytest.param(trouble, way, call, id=f"{trouble.name}: {way}: {call}")
    for trouble in POLICY
    for way in WAYS[trouble]
    for call in CALLS
    if CALLS[call].kind in POLICY[trouble]
]


def test_all_cells_have_an_expected_outcome() -> None:
    assert set(POLICY) == set(EXPECTED) == set(WAYS) == set(Trouble)
    for trouble, actions in POLICY.items():
        assert set(EXPECTED[trouble]) == set(actions) or not WAYS[trouble]
    assert {call.kind for call in CALLS.values()} == set(CallKind)


@pytest.mark.parametrize(("trouble", "way", "name"), CELLS)
async def test_cell(nursery: trio.Nursery, trouble: Trouble, way: str, name: str) -> None:
    call, made = CALLS[name], WAYS[trouble][way]
    expected = EXPECTED[trouble][call.kind]
    scene = Scene(nursery, trouble, made)
    seconds = SECONDS.get(trouble, 0.0)
    more = {"timeout": 3} if trouble is T.OWN_DEADLINE else {}
    if expected in (AGAIN, ONE):
        assert await scene.call(call, **more) == call.result
        assert scene.times == pytest.approx([0, seconds] if expected == AGAIN else [0])
        return
    with pytest.raises(made.error) as caught:
        await scene.call(call, **more)
    assert len(scene.times) == 1
    assert "tried" not in str(caught.value)
    if call.kind in WRITES:
        assert caught.value.applied is made.applied
    if expected == OVERDUE:
        assert trio.current_time() - scene.began == pytest.approx(seconds)


@pytest.mark.parametrize(("trouble", "way", "name"), CELLS)
async def test_cell_switched_off(nursery: trio.Nursery, trouble: Trouble, way: str, name: str) -> None:
    """Only what was never sent is sent again, and a node that closes may finish."""
    call, made = CALLS[name], WAYS[trouble][way]
    scene = Scene(nursery, trouble, made)
    more: dict[str, Any] = {"retry": False}
    if trouble is T.OWN_DEADLINE:
        more["timeout"] = 3
    if trouble is T.NEVER_SENT:
        assert await scene.call(call, **more) == call.result
        assert len(scene.times) == 2
    elif trouble is T.DRAINING and call.kind not in (K.SUBSCRIPTION, K.GROUP):
        assert await scene.call(call, **more) == call.result
        assert len(scene.times) == 1
    else:
        with pytest.raises((made.error, trio.EndOfChannel)):
            await scene.call(call, **more)
        assert len(scene.times) == 1
