"""Listeners to connection events, the log, and instruments, without a client."""

from __future__ import annotations

import copy
import logging
import math
import pickle
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import trio
import trio.testing

from trio_esdb import (
    CallInfo,
    CallRepeated,
    CallResumed,
    ClusterMember,
    Connected,
    Connecting,
    ConnectionClosed,
    ConnectionEvent,
    ConnectionEvents,
    ConnectionFailed,
    ConnectionLost,
    CredentialsAsked,
    Discovered,
    DiscoveryFailed,
    Instrument,
    LeaderChanged,
    NodeDraining,
    NodeState,
)
from trio_esdb._observing import Instruments, Observer

NODE = "node:2113"
READ = "/event_store.client.streams.Streams/Read"


def member(host: str, state: NodeState, alive: bool) -> ClusterMember:
    return ClusterMember(host, 2113, state, alive, UUID(int=1), datetime(2025, 1, 1, tzinfo=UTC))


EACH: dict[ConnectionEvent, tuple[int, str]] = {
    Connecting(address=NODE, connection=1): (logging.DEBUG, "connecting to node:2113 (connection 1)"),
    Connected(address=NODE, connection=1, seconds=0.25): (
        logging.INFO,
        "connected to node:2113 (connection 1) after 0.250 s",
    ),
    ConnectionFailed(address=NODE, connection=2, reason="refused"): (
        logging.INFO,
        "cannot connect to node:2113 (connection 2): refused",
    ),
    ConnectionLost(address=NODE, connection=1, reason="it broke"): (
        logging.INFO,
        "lost the connection to node:2113 (connection 1): it broke",
    ),
    ConnectionClosed(address=NODE, connection=3, reason="it was idle"): (
        logging.DEBUG,
        "closed the connection to node:2113 (connection 3): it was idle",
    ),
    NodeDraining(address=NODE, connection=1, details="bye"): (
        logging.INFO,
        "node:2113 takes no more calls on connection 1: bye",
    ),
    CallRepeated(address=NODE, method=READ, attempt=2, delay=0.5, cause="not ready"): (
        logging.INFO,
        f"repeating a call in 0.500 s, attempt 2 of {READ}: not ready",
    ),
    CallResumed(address=NODE, method=READ, doing="subscribing to all events", cause="it broke"): (
        logging.INFO,
        "subscribing to all events goes on, at node:2113: it broke",
    ),
    CredentialsAsked(address=NODE, reason="a new connection"): (
        logging.DEBUG,
        "asking for credentials for node:2113: a new connection",
    ),
    Discovered(address=NODE, members=(member("a", NodeState.LEADER, True), member("b", NodeState.FOLLOWER, False))): (
        logging.DEBUG,
        "node:2113 tells of its cluster: a:2113 Leader, b:2113 Follower (dead)",
    ),
    DiscoveryFailed(reason="no leader of the cluster was found"): (
        logging.INFO,
        "no leader of the cluster was found",
    ),
    LeaderChanged(address=NODE, before="other:2113"): (
        logging.INFO,
        "the leader is node:2113 now; before, it was other:2113",
    ),
}


def lost(number: int) -> ConnectionLost:
    return ConnectionLost(address=NODE, connection=number, reason="it broke")


# The events


@pytest.mark.parametrize("event", EACH)
def test_an_event_is_a_value(event: ConnectionEvent) -> None:
    for same in (copy.copy(event), pickle.loads(pickle.dumps(event))):
        assert same == event
        assert hash(same) == hash(event)
    with pytest.raises(AttributeError):
        event.address = "other"  # type: ignore[misc]


# Listeners


async def test_each_listener_gets_all_from_when_it_began() -> None:
    observer = Observer("orders")
    observer.emit(lost(1))
    first = observer.listen(10)
    observer.emit(lost(2))
    second = observer.listen(10)
    observer.emit(lost(3))
    observer.close()
    assert [event async for event in first] == [lost(2), lost(3)]
    assert [event async for event in second] == [lost(3)]


async def test_a_full_buffer_drops_the_oldest_and_counts() -> None:
    observer = Observer()
    events = observer.listen(3)
    for number in range(10):
        observer.emit(lost(number))
    assert events.dropped == 7
    assert [events.receive_nowait() for _ in range(3)] == [lost(7), lost(8), lost(9)]
    with pytest.raises(trio.WouldBlock):
        events.receive_nowait()
    observer.emit(lost(10))
    assert events.dropped == 7
    assert "1 waiting, 7 dropped, open" in repr(events)


async def test_tasks_that_wait_share_a_listener(nursery: trio.Nursery) -> None:
    observer = Observer()
    events = observer.listen(10)
    got: list[ConnectionEvent] = []

    async def receive() -> None:
        got.append(await events.receive())

    for _ in range(3):
        nursery.start_soon(receive)
    await trio.testing.wait_all_tasks_blocked()
    observer.emit(lost(1))
    observer.emit(lost(2))
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(event.connection for event in got if isinstance(event, ConnectionLost)) == [1, 2]
    observer.emit(lost(3))
    await trio.testing.wait_all_tasks_blocked()
    assert len(got) == 3


async def test_what_a_cancelled_task_was_to_get_another_gets(nursery: trio.Nursery) -> None:
    observer = Observer()
    events = observer.listen(10)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as receivers:
            receivers.start_soon(events.receive)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    observer.emit(lost(1))
    with trio.testing.assert_checkpoints():
        assert await events.receive() == lost(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        observer.emit(lost(2))
        await events.receive()
    assert scope.cancelled_caught
    assert events.receive_nowait() == lost(2)


async def test_closing_a_listener(nursery: trio.Nursery) -> None:
    observer = Observer()
    events = observer.listen(10)
    refused = 0

    async def receive() -> None:
        nonlocal refused
        with pytest.raises(trio.ClosedResourceError):
            await events.receive()
        refused += 1

    nursery.start_soon(receive)
    nursery.start_soon(receive)
    await trio.testing.wait_all_tasks_blocked()
    async with events:
        pass
    await trio.testing.wait_all_tasks_blocked()
    assert refused == 2
    await events.aclose()
    observer.emit(lost(1))
    with pytest.raises(trio.ClosedResourceError), trio.testing.assert_checkpoints():
        await events.receive()
    assert repr(events).endswith("0 waiting, 0 dropped, closed>")


async def test_the_end_comes_after_what_is_there(nursery: trio.Nursery) -> None:
    observer = Observer()
    events = observer.listen(10)
    ends = 0

    async def wait() -> None:
        nonlocal ends
        with pytest.raises(trio.EndOfChannel):
            await events.receive()
        ends += 1

    nursery.start_soon(wait)
    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    observer.close()
    await trio.testing.wait_all_tasks_blocked()
    assert ends == 2
    late = observer.listen(10)
    with pytest.raises(trio.EndOfChannel), trio.testing.assert_checkpoints():
        await late.receive()
    assert isinstance(late, ConnectionEvents)
    assert repr(late).endswith("ended>")


# The log


@pytest.mark.parametrize("event", EACH)
async def test_the_log_has_each_event(event: ConnectionEvent, caplog: pytest.LogCaptureFixture) -> None:
    level, text = EACH[event]
    caplog.set_level(logging.DEBUG, "trio_esdb")
    Observer("orders").emit(event)
    assert caplog.record_tuples == [("trio_esdb", level, f"orders: {text}")]


async def test_what_is_not_logged_is_not_formatted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def format_it(self: object) -> str:
        pytest.fail("it was formatted")

    monkeypatch.setattr(ConnectionLost, "__str__", format_it)
    caplog.set_level(logging.ERROR, "trio_esdb")
    observer = Observer()
    observer.emit(lost(1))
    assert caplog.records == []
    assert observer.counts[ConnectionLost] == 1


# Instruments

CALL = CallInfo(method=READ, doing="reading stream 's'", stream_name="s", connection_name="orders")


class Recorder(Instrument):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def call_started(self, call: CallInfo) -> None:
        self.told.append(("started", call))

    def call_ended(self, call: CallInfo, error: BaseException | None) -> None:
        self.told.append(("ended", call, error))


class Broken(Recorder):
    def call_started(self, call: CallInfo) -> None:
        raise self.told[0]  # type: ignore[misc]

    def event_received(self, call: CallInfo, event: object) -> None:
        pytest.fail("it was removed")


def test_without_instruments_nobody_is_active() -> None:
    assert not Instruments(()).active
    assert not Instruments([Instrument()]).active
    assert Instruments([Recorder()]).active
    assert not Instruments([Recorder()]).wants_events


def test_instruments_are_told_in_their_order() -> None:
    first, second = Recorder(), Recorder()
    second.told = first.told
    instruments = Instruments([first, second])
    instruments.tell("call_started", CALL)
    error = trio.TooSlowError()
    instruments.tell("call_ended", CALL, error)
    instruments.tell("event_received", CALL, object())
    assert first.told == [("started", CALL)] * 2 + [("ended", CALL, error)] * 2


@pytest.mark.parametrize("failure", [ValueError("mine"), KeyboardInterrupt(), SystemExit(1), math.inf])
def test_an_instrument_that_raises_is_removed(failure: object, caplog: pytest.LogCaptureFixture) -> None:
    broken, sound = Broken(), Recorder()
    broken.told = [failure]  # type: ignore[list-item]
    instruments = Instruments([broken, sound])
    assert instruments.wants_events
    for _ in range(2):
        instruments.tell("call_started", CALL)
    assert sound.told == [("started", CALL)] * 2
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "removed" in record.message
    assert instruments.active
    assert not instruments.wants_events
    alone = Instruments([broken])
    alone.tell("call_started", CALL)
    assert not alone.active


def test_calls_are_told_apart_by_identity() -> None:
    same = copy.copy(CALL)
    assert {CALL: 1, same: 2}[CALL] == 1
