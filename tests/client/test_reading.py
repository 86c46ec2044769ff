"""Reads that come to an end: what is sent, and what is made of the answers."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.scripted import (
    UNKNOWN,
    Scripted,
    appended,
    caught_up,
    checkpoint,
    event,
    fails,
    last_position,
    linked,
    not_found,
    recorded,
    says,
)
from trio_esdb import (
    DEFAULT_EXCLUDE_FILTER,
    ESDBClient,
    ESDBError,
    InvalidPositionError,
    InvalidRequestError,
    NewEvent,
    RecordedEvent,
    StreamDeletedError,
    StreamNotFoundError,
)
from trio_esdb._wire import Status
from trio_esdb_proto.event_store.client import Empty, Uuid, UuidStructured
from trio_esdb_proto.event_store.client import streams as pb

FORWARDS, BACKWARDS = pb.ReadReqOptionsReadDirection.Forwards, pb.ReadReqOptionsReadDirection.Backwards


async def read_stream(client: ESDBClient, **arguments: Any) -> list[RecordedEvent]:
    async with client.read_stream_events("s", **arguments) as events:
        return [event async for event in events]


async def read_all(client: ESDBClient, **arguments: Any) -> list[RecordedEvent]:
    async with client.read_all_events(**arguments) as events:
        return [event async for event in events]


async def test_a_stream_from_its_beginning(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(0), event(1))
    assert [e.stream_position for e in await read_stream(client)] == [0, 1]
    options = server.seen[0].read
    assert options.stream is not None
    assert options.stream.stream_identifier is not None
    assert options.stream.stream_identifier.stream_name == b"s"
    assert options.stream.start is not None
    assert options.all is None
    assert options.read_direction is FORWARDS
    assert options.count == 2**64 - 1
    assert options.subscription is None
    assert options.resolve_links is False
    assert options.no_filter is not None
    assert options.uuid_option is not None
    assert options.uuid_option.string is not None


@pytest.mark.parametrize("backwards", [False, True])
async def test_a_stream_from_a_position(client: ESDBClient, server: Scripted, backwards: bool) -> None:
    """The server includes the event at the position, both ways; so nothing is added to it."""
    server.read = says(event(7))
    await read_stream(client, stream_position=7, backwards=backwards, limit=3, resolve_links=True)
    options = server.seen[0].read
    assert options.stream is not None
    assert options.stream.revision == 7
    assert options.read_direction is (BACKWARDS if backwards else FORWARDS)
    assert options.count == 3
    assert options.resolve_links is True


async def test_a_stream_backwards_from_its_end(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(1), event(0))
    assert [e.stream_position for e in await read_stream(client, backwards=True)] == [1, 0]
    options = server.seen[0].read
    assert options.stream is not None
    assert options.stream.end is not None


async def test_position_0_is_a_position(client: ESDBClient, server: Scripted) -> None:
    server.read = says()
    await read_stream(client, stream_position=0, backwards=True)
    await read_all(client, commit_position=0, backwards=True)
    first, second = (seen.read for seen in server.seen)
    assert first.stream is not None
    assert first.stream.revision == 0
    assert second.all is not None
    assert second.all.position == pb.ReadReqOptionsPosition(commit_position=0, prepare_position=0)


@pytest.mark.parametrize("limit", [1, 2**63, 2**64 - 1])
async def test_limits(client: ESDBClient, server: Scripted, limit: int) -> None:
    server.read = says()
    await read_stream(client, limit=limit)
    await read_all(client, limit=limit)
    assert [seen.read.count for seen in server.seen] == [limit, limit]


async def test_a_limit_beyond_all_counting_is_no_limit(client: ESDBClient, server: Scripted) -> None:
    server.read = says()
    await read_stream(client, limit=10**30)
    assert server.seen[0].read.count == 2**64 - 1


async def test_get_stream_events_gives_them_all_at_once(client: ESDBClient, server: Scripted) -> None:
    server.read = says(*(event(n) for n in range(2000)))
    events = await client.get_stream_events("s", 0, limit=2000)
    assert isinstance(events, tuple)
    assert [e.stream_position for e in events] == list(range(2000))


async def test_what_an_event_holds(client: ESDBClient, server: Scripted) -> None:
    id = uuid.UUID("0123456789abcdef0123456789abcdef")
    server.read = says(
        event(
            3,
            "order-ü",
            type="OrderPlaced",
            data=b"\x00data",
            metadata=b"\xffmeta",
            position=900,
            prepare=880,
            id=id,
            content_type="application/octet-stream",
            created=17_672_256_001_234_567,
        )
    )
    (got,) = await client.get_stream_events("order-ü")
    assert (got.type, got.data, got.metadata) == ("OrderPlaced", b"\x00data", b"\xffmeta")
    assert got.content_type == "application/octet-stream"
    assert got.id == id
    assert (got.stream_name, got.stream_position, got.revision) == ("order-ü", 3, 3)
    assert (got.commit_position, got.prepare_position) == (900, 880)
    assert got.created_ticks == 17_672_256_001_234_567
    assert got.recorded_at == datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    assert got.link is None
    assert got.original is got
    assert not got.is_resolved_event


async def test_a_server_that_does_not_tell_positions(client: ESDBClient, server: Scripted) -> None:
    """As 21.10 when a stream is read."""
    record = recorded(0, position=UNKNOWN)
    server.read = says(bytes(pb.ReadResp(event=pb.ReadRespReadEvent(event=record, no_position=Empty()))))
    (got,) = await client.get_stream_events("s")
    assert (got.commit_position, got.prepare_position) == (None, None)


async def test_ids_in_the_other_form(client: ESDBClient, server: Scripted) -> None:
    record = recorded(0)
    record.id = Uuid(structured=UuidStructured(most_significant_bits=-1, least_significant_bits=2))
    server.read = says(bytes(pb.ReadResp(event=pb.ReadRespReadEvent(event=record))))
    (got,) = await client.get_stream_events("s")
    assert got.id == uuid.UUID("ffffffff-ffff-ffff-0000-000000000002")


async def test_resolved_links(client: ESDBClient, server: Scripted) -> None:
    link = recorded(4, "by-customer", type="$>", data=b"7@order-1")
    server.read = says(linked(link, recorded(7, "order-1")))
    (got,) = await client.get_stream_events("by-customer", resolve_links=True)
    assert (got.stream_name, got.stream_position) == ("order-1", 7)
    assert got.link is not None
    assert (got.link.stream_name, got.link.stream_position) == ("by-customer", 4)
    assert got.original is got.link
    assert got.is_resolved_event
    assert not got.is_link_event


async def test_a_link_whose_target_is_gone_comes_as_it_is(client: ESDBClient, server: Scripted) -> None:
    server.read = says(linked(recorded(4, "by-customer", type="$>", data=b"7@order-1"), None))
    (got,) = await client.get_stream_events("by-customer", resolve_links=True)
    assert (got.stream_name, got.stream_position, got.type) == ("by-customer", 4, "$>")
    assert got.link is None
    assert got.is_link_event


async def test_there_is_no_such_stream(client: ESDBClient, server: Scripted) -> None:
    server.read = says(not_found())
    for use in (client.get_stream_events("s"), read_stream(client)):
        with pytest.raises(StreamNotFoundError, match=r"reading stream 's': there is no such stream") as caught:
            await use
        assert caught.value.stream_name == "s"
        assert caught.value.address == "node-1:2113"


async def test_a_missing_stream_is_told_to_every_receiver(client: ESDBClient, server: Scripted) -> None:
    server.read = says(not_found())
    async with client.read_stream_events("s") as events, events.clone() as clone:
        for channel in (events, clone, events):
            with pytest.raises(StreamNotFoundError):
                await channel.receive()
        with pytest.raises(StreamNotFoundError):
            clone.receive_nowait()
        with pytest.raises(StreamNotFoundError):
            await anext(clone)
    with pytest.raises(trio.ClosedResourceError):
        await clone.receive()


async def test_a_stream_tombstoned_half_way(client: ESDBClient, server: Scripted) -> None:
    server.read = fails(
        Status.FAILED_PRECONDITION,
        "Event stream 's' is deleted.",
        after=(event(0), event(1)),
        exception="stream-deleted",
        stream_name="s",
    )
    async with client.read_stream_events("s") as events:
        assert (await events.receive()).stream_position == 0
        assert (await events.receive()).stream_position == 1
        with pytest.raises(StreamDeletedError) as caught:
            await events.receive()
    assert caught.value.stream_name == "s"
    with pytest.raises(StreamDeletedError):
        await client.get_stream_events("s")


async def test_a_position_after_the_last_event_gives_nothing(client: ESDBClient, server: Scripted) -> None:
    server.read = says()
    assert await client.get_stream_events("s", 100) == ()


async def test_messages_that_mean_nothing_here_are_skipped(client: ESDBClient, server: Scripted) -> None:
    server.read = says(
        bytes(pb.ReadResp(first_stream_position=3)),
        event(3),
        caught_up(),
        checkpoint(5),
        b"\xfa\x07\x03abc",  # a kind of response from the future
        b"",
        event(4),
        last_position(4),
    )
    assert [e.stream_position for e in await read_stream(client)] == [3, 4]


async def test_all_from_the_beginning(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(0, "a"), event(5, "b"))
    assert [e.stream_name for e in await read_all(client)] == ["a", "b"]
    options = server.seen[0].read
    assert options.stream is None
    assert options.all is not None
    assert options.all.start is not None
    assert options.read_direction is FORWARDS
    assert options.count == 2**64 - 1
    assert options.filter is not None
    assert options.filter.event_type is not None
    assert options.filter.event_type.regex == r"^(?!(?s:\$.+)\z)"
    assert options.filter.max == 32


async def test_all_backwards(client: ESDBClient, server: Scripted) -> None:
    server.read = says()
    await read_all(client, backwards=True, limit=1, resolve_links=True)
    options = server.seen[0].read
    assert options.all is not None
    assert options.all.end is not None
    assert options.read_direction is BACKWARDS
    assert options.count == 1
    assert options.resolve_links is True


@pytest.mark.parametrize("backwards", [False, True])
async def test_all_from_a_position(client: ESDBClient, server: Scripted, backwards: bool) -> None:
    server.read = says()
    await read_all(client, commit_position=1234, backwards=backwards)
    where = server.seen[0].read.all
    assert where is not None
    assert where.position == pb.ReadReqOptionsPosition(commit_position=1234, prepare_position=1234)


FILTERS: list[tuple[dict[str, Any], str, str, list[str]]] = [
    ({"filter_include": ["Order", "Invoice"]}, "event_type", r"^(?s:(?:Order)|(?:Invoice))\z", []),
    ({"filter_include": ("A|B",)}, "event_type", r"^(?s:A|B)\z", []),
    ({"filter_include": ("A",), "filter_exclude": ("B",)}, "event_type", r"^(?s:A)\z", []),
    ({"filter_exclude": ("A", "B.*")}, "event_type", r"^(?!(?s:(?:A)|(?:B.*))\z)", []),
    ({"filter_include": ("o-.*",), "filter_by_stream_name": True}, "stream_identifier", r"^(?s:o-.*)\z", []),
    ({"filter_include": ("o-", "p-"), "filter_by_prefix": True}, "event_type", "", ["o-", "p-"]),
    (
        {"filter_include": ("o-",), "filter_by_prefix": True, "filter_by_stream_name": True},
        "stream_identifier",
        "",
        ["o-"],
    ),
    ({"filter_exclude": ("$", "o."), "filter_by_prefix": True}, "event_type", r"^(?!\$|o\.)", []),
    ({"filter_exclude": (*DEFAULT_EXCLUDE_FILTER, "Snap.*")}, "event_type", r"^(?!(?s:(?:\$.+)|(?:Snap.*))\z)", []),
]


@pytest.mark.parametrize(("arguments", "target", "regex", "prefixes"), FILTERS)
async def test_filters(
    client: ESDBClient,
    server: Scripted,
    arguments: dict[str, Any],
    target: str,
    regex: str,
    prefixes: list[str],
) -> None:
    server.read = says()
    await read_all(client, **arguments)
    await client.get_commit_position(**arguments)
    for seen in server.seen:
        sent = seen.read.filter
        assert sent is not None
        assert [kind for kind in ("event_type", "stream_identifier") if getattr(sent, kind) is not None] == [target]
        expression = getattr(sent, target)
        assert (expression.regex, expression.prefix) == (regex, prefixes)


async def test_no_filter(client: ESDBClient, server: Scripted) -> None:
    server.read = says()
    await read_all(client, filter_exclude=())
    options = server.seen[0].read
    assert options.filter is None
    assert options.no_filter is not None


@pytest.mark.parametrize(
    "text", ["Unexpected ReadAllResult: Error", "Unexpected FilteredReadAllResult: InvalidPosition >> because"]
)
async def test_a_position_that_is_none(client: ESDBClient, server: Scripted, text: str) -> None:
    server.read = fails(Status.UNKNOWN, text)
    with pytest.raises(InvalidPositionError, match="reading all events"):
        await read_all(client, commit_position=3)


async def test_a_filter_that_the_server_cannot_parse(client: ESDBClient, server: Scripted) -> None:
    server.read = fails(Status.UNKNOWN, "Exception was thrown by handler.")
    with pytest.raises(InvalidRequestError, match="reading all events"):
        await read_all(client, filter_include=["("])


async def test_stream_position(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(7), last_position(7))
    assert await client.get_stream_position("s") == 7
    options = server.seen[0].read
    assert options.stream is not None
    assert options.stream.end is not None
    assert options.read_direction is BACKWARDS
    assert options.count == 1
    assert options.control_option is not None
    assert options.control_option.compatibility == 1


@pytest.mark.parametrize(
    ("answers", "position"),
    [
        ((event(7),), 7),  # 21.10 does not know the question
        ((last_position(7),), 7),  # the last event is hidden by the stream's metadata
        ((last_position(0),), 0),
        ((not_found(),), None),
        ((), None),
    ],
)
async def test_stream_positions_by_what_the_server_says(
    client: ESDBClient, server: Scripted, answers: tuple[bytes, ...], position: int | None
) -> None:
    server.read = says(*answers)
    assert await client.get_stream_position("s") == position


async def test_the_position_of_a_tombstoned_stream(client: ESDBClient, server: Scripted) -> None:
    server.read = fails(Status.FAILED_PRECONDITION, "gone", exception="stream-deleted", stream_name="s")
    with pytest.raises(StreamDeletedError, match="reading the position of stream 's'"):
        await client.get_stream_position("s")


async def test_commit_position(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(3, position=900))
    assert await client.get_commit_position() == 900
    options = server.seen[0].read
    assert options.all is not None
    assert options.all.end is not None
    assert options.count == 1
    assert options.filter is not None
    assert options.filter.event_type is not None
    assert options.filter.event_type.regex == r"^(?!(?s:\$.+)\z)"


async def test_commit_position_of_an_empty_database(client: ESDBClient, server: Scripted) -> None:
    server.read = says()
    assert await client.get_commit_position() == 0


async def test_a_read_is_opened_once(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(0))
    reading = client.read_stream_events("s")
    async with reading:
        with pytest.raises(ESDBError, match="make a new one"):
            async with reading:
                pytest.fail("it was opened twice")
    with pytest.raises(ESDBError, match="make a new one"):
        async with reading:
            pytest.fail("it was opened again")


async def test_a_read_that_was_not_opened_says_how_to(client: ESDBClient, server: Scripted) -> None:
    with pytest.raises(ESDBError, match="open it first"):
        aiter(client.read_stream_events("s"))
    assert server.seen == []


async def test_a_read_that_is_never_opened_sends_nothing(client: ESDBClient, server: Scripted) -> None:
    client.read_stream_events("s")
    client.subscribe_all_events()
    await trio.testing.wait_all_tasks_blocked()
    assert server.seen == []


async def test_the_positions_of_an_append_and_of_its_event_agree(client: ESDBClient, server: Scripted) -> None:
    server.append = says(appended(3, 350))
    server.read = says(event(3))
    result = await client.append_event("s", 2, NewEvent("Happened", b"{}"))
    (got,) = await client.get_stream_events("s", result.stream_position)
    assert got.commit_position == result
