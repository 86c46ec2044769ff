"""Catch-up subscriptions: what is sent, what is handed over, what is not."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from tests.support.scripted import (
    UNKNOWN,
    Scripted,
    Seen,
    caught_up,
    checkpoint,
    confirmed,
    event,
    fails,
    fell_behind,
    goes_on,
    linked,
    not_found,
    recorded,
    says,
)
from trio_esdb import (
    AccessDeniedError,
    CaughtUp,
    Checkpoint,
    ConsumerTooSlowError,
    ESDBClient,
    FellBehind,
    InvalidPositionError,
    ProtocolError,
    RecordedEvent,
    StreamDeletedError,
    StreamNotFoundError,
)
from trio_esdb._wire import Status
from trio_esdb_proto.event_store.client import streams as pb

NOTHING_ELSE = trio.WouldBlock


async def test_all_from_the_beginning(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed("abc"), event(0), event(1))
    async with client.subscribe_all_events() as events:
        assert events.subscription_id == "abc"
        assert [(await events.receive()).stream_position for _ in range(2)] == [0, 1]
    options = server.seen[0].read
    assert options.all is not None
    assert options.all.start is not None
    assert options.stream is None
    assert options.subscription is not None
    assert options.count is None
    assert options.read_direction is pb.ReadReqOptionsReadDirection.Forwards
    assert options.resolve_links is False
    assert options.filter is not None
    assert options.filter.event_type is not None
    assert options.filter.event_type.regex == r"^(?!(?s:\$.+)\z)"
    assert (options.filter.max, options.filter.checkpoint_interval_multiplier) == (32, 1)
    assert options.uuid_option is not None
    assert options.uuid_option.string is not None


async def test_all_from_a_position(client: ESDBClient, server: Scripted) -> None:
    """The server leaves out the event at the position; so nothing is added to it."""
    server.read = goes_on(confirmed())
    async with client.subscribe_all_events(150, resolve_links=True):
        pass
    async with client.subscribe_all_events(0):
        pass
    first, second = (seen.read for seen in server.seen)
    assert first.all is not None
    assert first.all.position == pb.ReadReqOptionsPosition(commit_position=150, prepare_position=150)
    assert first.resolve_links is True
    assert second.all is not None
    assert second.all.position == pb.ReadReqOptionsPosition(commit_position=0, prepare_position=0)


async def test_all_from_a_checkpoint(client: ESDBClient, server: Scripted) -> None:
    """A checkpoint's prepare position is not always its commit position."""
    server.read = goes_on(confirmed())
    async with client.subscribe_all_events(Checkpoint(commit_position=150, prepare_position=0)):
        pass
    where = server.seen[0].read.all
    assert where is not None
    assert where.position == pb.ReadReqOptionsPosition(commit_position=150, prepare_position=0)


async def test_all_from_the_end(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed())
    async with client.subscribe_all_events(from_end=True, resume=False):
        pass
    where = server.seen[0].read.all
    assert where is not None
    assert where.end is not None


async def test_filter_and_window(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed())
    async with client.subscribe_all_events(
        filter_include=["order-"],
        filter_by_stream_name=True,
        filter_by_prefix=True,
        window_size=100,
        checkpoint_interval_multiplier=7,
    ):
        pass
    async with client.subscribe_all_events(filter_exclude=()):
        pass
    first, second = (seen.read for seen in server.seen)
    assert first.filter is not None
    assert first.filter.stream_identifier is not None
    assert first.filter.stream_identifier.prefix == ["order-"]
    assert (first.filter.max, first.filter.checkpoint_interval_multiplier) == (100, 7)
    assert second.filter is None
    assert second.no_filter is not None


@pytest.mark.parametrize(("arguments", "where"), [({}, "start"), ({"from_end": True, "resume": False}, "end")])
async def test_a_stream(client: ESDBClient, server: Scripted, arguments: dict[str, Any], where: str) -> None:
    server.read = goes_on(confirmed())
    async with client.subscribe_stream_events("order-1", **arguments) as events:
        assert events.subscription_id == "sub-1"
    options = server.seen[0].read
    assert options.stream is not None
    assert options.stream.stream_identifier is not None
    assert options.stream.stream_identifier.stream_name == b"order-1"
    assert getattr(options.stream, where) is not None
    assert options.subscription is not None
    assert options.no_filter is not None


async def test_a_stream_from_a_position(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed())
    async with client.subscribe_stream_events("s", 0, resolve_links=True):
        pass
    options = server.seen[0].read
    assert options.stream is not None
    assert options.stream.revision == 0
    assert options.resolve_links is True


async def test_entering_waits_for_the_confirmation(client: ESDBClient, server: Scripted) -> None:
    async def slow(seen: Seen) -> None:
        await trio.sleep(3)
        await seen.give(confirmed())

    server.read = slow
    began = trio.current_time()
    async with client.subscribe_all_events():
        assert trio.current_time() - began == pytest.approx(3)


EVERYTHING = (confirmed(), event(0), checkpoint(60, 0), caught_up(), fell_behind(), event(1), caught_up())


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        ({}, [RecordedEvent, RecordedEvent]),
        ({"include_checkpoints": True}, [RecordedEvent, Checkpoint, RecordedEvent]),
        ({"include_caught_up": True}, [RecordedEvent, CaughtUp, RecordedEvent, CaughtUp]),
        ({"include_fell_behind": True}, [RecordedEvent, FellBehind, RecordedEvent]),
        (
            {"include_checkpoints": True, "include_caught_up": True, "include_fell_behind": True},
            [RecordedEvent, Checkpoint, CaughtUp, FellBehind, RecordedEvent, CaughtUp],
        ),
    ],
)
async def test_what_is_no_event_comes_only_if_asked_for(
    client: ESDBClient, server: Scripted, asked: dict[str, Any], kinds: list[type]
) -> None:
    server.read = goes_on(*EVERYTHING)
    async with client.subscribe_all_events(**asked) as events:
        got = [await events.receive() for _ in kinds]
        assert [type(message) for message in got] == kinds
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(NOTHING_ELSE):
            events.receive_nowait()
    assert all(m == Checkpoint(60, 0) for m in got if isinstance(m, Checkpoint))


async def test_the_same_for_a_stream(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(*EVERYTHING)
    async with client.subscribe_stream_events("s", include_caught_up=True, include_fell_behind=True) as events:
        got = [type(await events.receive()) for _ in range(5)]
    assert got == [RecordedEvent, CaughtUp, FellBehind, RecordedEvent, CaughtUp]


async def test_messages_can_be_matched(client: ESDBClient, server: Scripted) -> None:
    server.read = says(*EVERYTHING)
    seen: list[str] = []
    async with client.subscribe_all_events(
        include_checkpoints=True, include_caught_up=True, include_fell_behind=True, resume=False
    ) as events:
        async for message in events:
            match message:
                case RecordedEvent(stream_position=position):
                    seen.append(f"event {position}")
                case Checkpoint(commit_position=commit):
                    seen.append(f"checkpoint {commit}")
                case CaughtUp():
                    seen.append("caught up")
                case FellBehind():
                    seen.append("fell behind")
    assert seen == ["event 0", "checkpoint 60", "caught up", "fell behind", "event 1", "caught up"]


async def test_a_checkpoint_at_nowhere_is_ignored(client: ESDBClient, server: Scripted) -> None:
    """To go on from it would mean to go on from the end, and to lose events."""
    server.read = goes_on(confirmed(), checkpoint(UNKNOWN), event(0))
    async with client.subscribe_all_events(include_checkpoints=True) as events:
        assert isinstance(await events.receive(), RecordedEvent)


@pytest.mark.parametrize(
    "said",
    [
        caught_up(),
        bytes(pb.ReadResp(caught_up=pb.ReadRespCaughtUp(stream_revision=5))),
        b"\x42\x04\x0a\x02\x08\x01",  # a time
        b"\x42\x04\x08\x05\x10\x07",  # a fork's numbers: varints where others have messages
        b"\x42\x06\x12\x04\x08\x01\x10\x01",  # a message where others have a number
    ],
)
async def test_only_that_it_caught_up_is_looked_at(client: ESDBClient, server: Scripted, said: bytes) -> None:
    server.read = goes_on(confirmed(), said, event(0))
    async with client.subscribe_all_events(include_caught_up=True) as events:
        assert await events.receive() == CaughtUp()
        assert isinstance(await events.receive(), RecordedEvent)


async def test_kinds_from_the_future_are_skipped(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed(), b"\xfa\x07\x03abc", b"\xf8\x07\x05", b"", event(3))
    async with client.subscribe_all_events() as events:
        assert (await events.receive()).stream_position == 3


async def test_links(client: ESDBClient, server: Scripted) -> None:
    link = recorded(4, "by-customer", type="$>", data=b"7@order-1")
    server.read = goes_on(confirmed(), linked(link, recorded(7, "order-1")), linked(link, None))
    async with client.subscribe_stream_events("by-customer", resolve_links=True) as events:
        resolved, dangling = await events.receive(), await events.receive()
    assert (resolved.stream_name, resolved.original.stream_name) == ("order-1", "by-customer")
    assert (dangling.stream_name, dangling.is_link_event) == ("by-customer", True)


async def test_a_tombstone_ends_a_subscription(client: ESDBClient, server: Scripted) -> None:
    server.read = fails(
        Status.FAILED_PRECONDITION,
        "Event stream 's' is deleted.",
        after=(confirmed(), event(2**63 - 1, type="$streamDeleted")),
        exception="stream-deleted",
        stream_name="s",
    )
    async with client.subscribe_stream_events("s") as events:
        assert (await events.receive()).type == "$streamDeleted"
        with pytest.raises(StreamDeletedError):
            await events.receive()


REFUSALS: list[tuple[Any, type[Exception]]] = [
    (
        fails(Status.FAILED_PRECONDITION, "gone", exception="stream-deleted", stream_name="s"),
        StreamDeletedError,
    ),
    (fails(Status.PERMISSION_DENIED, "Access Denied", exception="access-denied"), AccessDeniedError),
    (fails(Status.INVALID_ARGUMENT, "Trying to read from an invalid position."), InvalidPositionError),
]


@pytest.mark.parametrize(("script", "kind"), REFUSALS)
async def test_a_subscription_that_is_refused(
    client: ESDBClient, server: Scripted, script: Any, kind: type[Exception]
) -> None:
    server.read = script
    with pytest.raises(kind, match="subscribing to all events"):
        async with client.subscribe_all_events(7):
            pytest.fail("it subscribed")
    with pytest.raises(kind, match="subscribing to stream 's'"):
        async with client.subscribe_stream_events("s"):
            pytest.fail("it subscribed")
    await trio.testing.wait_all_tasks_blocked()
    assert server.open_calls == 0


@pytest.mark.parametrize(
    "state", ["Consumer too slow to handle event while live.", "Consumer too slow while transitioning to live."]
)
async def test_a_consumer_that_was_too_slow(client: ESDBClient, server: Scripted, state: str) -> None:
    text = f"Operation timed out: {state} Client resubscription required."
    server.read = fails(Status.ABORTED, text, after=(confirmed(), event(0)))
    async with client.subscribe_all_events(resume=False) as events:
        await events.receive()
        with pytest.raises(ConsumerTooSlowError) as caught:
            await events.receive()
    assert caught.value.details == text


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (says(), "ended before it began"),
        (says(event(0)), "did not confirm the subscription first"),
        (says(caught_up(), confirmed()), "did not confirm the subscription first"),
        (says(b"\x0a\xff"), "malformed"),
    ],
)
async def test_a_server_that_does_not_confirm(client: ESDBClient, server: Scripted, script: Any, text: str) -> None:
    server.read = script
    with pytest.raises(ProtocolError, match=text) as caught:
        async with client.subscribe_all_events():
            pytest.fail("it subscribed")
    assert caught.value.address == "node-1:2113"
    server.read = goes_on(confirmed())
    async with client.subscribe_all_events():
        assert len(server.links) == 1


async def test_a_stream_not_found_instead_of_a_confirmation(client: ESDBClient, server: Scripted) -> None:
    server.read = says(not_found())
    with pytest.raises(StreamNotFoundError):
        async with client.subscribe_stream_events("s"):
            pytest.fail("it subscribed")


async def test_a_subscription_that_the_server_ends(client: ESDBClient, server: Scripted) -> None:
    server.read = says(confirmed(), event(0))
    async with client.subscribe_all_events(resume=False) as events:
        assert [e.stream_position async for e in events] == [0]
        with pytest.raises(trio.EndOfChannel):
            await events.receive()
