"""What instruments are told of the calls of a client, and what a client without them pays."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.counting import counted_calls
from tests.support.scripted import (
    URI,
    Scripted,
    Seen,
    appended,
    checkpoint,
    confirmed,
    event,
    fails,
    goes_on,
    not_found,
    says,
    silence,
)
from trio_esdb import (
    AccessDeniedError,
    CallInfo,
    ESDBClient,
    Instrument,
    InvalidTypeError,
    NewEvent,
    RecordedEvent,
    StreamNotFoundError,
    UnavailableError,
)
from trio_esdb._wire import Status

EVENT = NewEvent("Happened", b"{}")
TASK: ContextVar[str] = ContextVar("TASK", default="?")


class Recorder(Instrument):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.calls: list[CallInfo] = []
        self.tasks: list[str] = []

    def call_started(self, call: CallInfo) -> None:
        assert call.address == ""
        self.calls.append(call)
        self.tasks.append(TASK.get())
        self.told.append(("started", call.doing))

    def call_repeated(self, call: CallInfo, attempt: int, cause: BaseException) -> None:
        assert call in self.calls
        self.told.append(("repeated", attempt, type(cause)))

    def call_ended(self, call: CallInfo, error: BaseException | None) -> None:
        assert call in self.calls
        self.told.append(("ended", None if error is None else type(error)))

    def event_received(self, call: CallInfo, event: RecordedEvent) -> None:
        assert call in self.calls
        self.told.append(("event", event.stream_position))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def observed(server: Scripted, recorder: Recorder) -> Any:
    async with ESDBClient(URI, connect=server.connect, connection_name="orders", instruments=[recorder]) as client:
        yield client


async def test_an_append(observed: ESDBClient, server: Scripted, recorder: Recorder) -> None:
    server.append = says(appended(0, 7))
    TASK.set("mine")
    await observed.append_event("s", None, EVENT)
    assert recorder.told == [("started", "appending to stream 's'"), ("ended", None)]
    assert recorder.tasks == ["mine"], "context variables are those of the task that calls"
    (call,) = recorder.calls
    assert (call.method, call.stream_name) == ("/event_store.client.streams.Streams/Append", "s")
    assert (call.connection_name, call.address) == ("orders", "node-1:2113")


async def test_an_append_that_fails(observed: ESDBClient, server: Scripted, recorder: Recorder) -> None:
    server.append = fails(Status.PERMISSION_DENIED, "no", exception="access-denied")
    with pytest.raises(AccessDeniedError):
        await observed.append_event("s", None, EVENT)
    assert recorder.told[1:] == [("ended", AccessDeniedError)]
    assert recorder.calls[0].address == "node-1:2113"


async def test_an_append_that_is_cancelled(observed: ESDBClient, server: Scripted, recorder: Recorder) -> None:
    server.append = silence
    with trio.move_on_after(1):
        await observed.append_event("s", None, EVENT)
    assert recorder.told[1:] == [("ended", trio.Cancelled)]


async def test_an_append_that_is_repeated(observed: ESDBClient, server: Scripted, recorder: Recorder) -> None:
    server.append = fails(Status.UNAVAILABLE, "Server Is Not Ready")

    async def get_ready() -> None:
        await trio.sleep(0.15)
        server.append = says(appended(0, 7))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(get_ready)
        await observed.append_event("s", None, EVENT)
    repeats = [told for told in recorder.told if told[0] == "repeated"]
    assert repeats == [("repeated", number, UnavailableError) for number in range(2, len(repeats) + 2)]
    assert repeats
    assert recorder.told[-1] == ("ended", None)
    assert observed.statistics().calls_repeated == len(repeats)


async def test_a_read(observed: ESDBClient, server: Scripted, recorder: Recorder) -> None:
    server.read = says(event(0), event(1), event(2))
    await observed.get_stream_events("s")
    assert recorder.told == [
        ("started", "reading stream 's'"),
        ("event", 0),
        ("event", 1),
        ("event", 2),
        ("ended", None),
    ]
    assert recorder.calls[0].address == "node-1:2113"


async def test_a_read_of_nothing(observed: ESDBClient, server: Scripted, recorder: Recorder) -> None:
    server.read = says(not_found())
    with pytest.raises(StreamNotFoundError):
        async with observed.read_stream_events("s") as events:
            await events.receive()
    assert recorder.told[1:] == [("ended", StreamNotFoundError)]


async def test_a_subscription_that_is_left(observed: ESDBClient, server: Scripted, recorder: Recorder) -> None:
    server.read = goes_on(confirmed(), event(0), checkpoint(60), event(1))
    async with observed.subscribe_all_events() as events:
        await events.receive()
        assert ("ended", None) not in recorder.told
    assert recorder.told[0] == ("started", "subscribing to all events")
    assert [told for told in recorder.told if told[0] == "event"] == [("event", 0), ("event", 1)]
    assert recorder.told[-1] == ("ended", None)


async def test_a_subscription_that_is_cancelled(observed: ESDBClient, server: Scripted, recorder: Recorder) -> None:
    server.read = goes_on(confirmed())
    with trio.move_on_after(1):
        async with observed.subscribe_all_events() as events:
            await events.receive()
    assert recorder.told[1:] == [("ended", trio.Cancelled)]


async def test_a_subscription_that_cannot_begin(observed: ESDBClient, server: Scripted, recorder: Recorder) -> None:
    server.read = fails(Status.PERMISSION_DENIED, "no", exception="access-denied")
    with pytest.raises(AccessDeniedError):
        await observed.subscribe_all_events().__aenter__()
    assert recorder.told[1:] == [("ended", AccessDeniedError)]


async def test_a_subscription_that_resumes(observed: ESDBClient, server: Scripted, recorder: Recorder) -> None:
    """It is one call for those who use it."""

    async def read(seen: Seen) -> None:
        if seen.read.subscription is None:  # whether the position is there
            await seen.send(event(1))
        else:
            await seen.give(confirmed(), event(len(server.links) - 1))

    server.read = read
    async with observed.subscribe_all_events() as events:
        await events.receive()
        await trio.aclose_forcefully(server.streams[0])
        await events.receive()
    assert [told[0] for told in recorder.told] == ["started", "event", "repeated", "event", "ended"]
    assert len(recorder.calls) == 1


class Broken(Recorder):
    def event_received(self, call: CallInfo, event: RecordedEvent) -> None:
        raise KeyError("mine")


async def test_one_that_raises_is_removed_and_disturbs_nobody(
    server: Scripted, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken()
    server.read = says(event(0), event(1))
    async with ESDBClient(URI, connect=server.connect, instruments=[broken, recorder]) as client:
        assert len(await client.get_stream_events("s")) == 2
    assert broken.told == [("started", "reading stream 's'")]
    assert len(recorder.told) == 4
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]


@pytest.mark.parametrize("wrong", [Recorder, object(), None, "x"])
def test_what_is_no_instrument(wrong: Any) -> None:
    with pytest.raises(InvalidTypeError, match="instruments"):
        ESDBClient(URI, instruments=[wrong])
    with pytest.raises(InvalidTypeError, match="instruments"):
        ESDBClient(URI, instruments=wrong)


class Idle(Instrument):
    """Overrides nothing."""


@pytest.mark.parametrize("instruments", [[], [Idle()]])
async def test_who_does_not_observe_does_not_pay(server: Scripted, instruments: list[Instrument]) -> None:
    """No function is called for it, neither for an append nor for an event."""
    server.append = says(appended(0, 7))
    server.read = says(*(event(number) for number in range(100)))
    async with ESDBClient(URI, connect=server.connect, instruments=instruments) as client:
        with counted_calls() as calls:
            await client.append_event("s", None, EVENT)
            await client.get_stream_events("s")
    assert calls.total > 100
    assert not [place for place in calls.by_place if place.startswith("_observing/") or "_tell" in place]
