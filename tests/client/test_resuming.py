"""Positions to go on from: what they are, and who takes them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.support.scripted import Scripted, event, linked, recorded, says
from trio_esdb import AppendResult, Checkpoint, ESDBClient, InvalidTypeError, NewEvent, RecordedEvent

ID = uuid.UUID(int=1)


def record(number: int, commit: int | None, link: RecordedEvent | None = None) -> RecordedEvent:
    return RecordedEvent("T", b"", b"", "application/json", ID, "s", number, commit, link=link)


def test_the_position_to_go_on_from_is_that_of_what_was_read() -> None:
    plain = record(3, 700)
    assert (plain.resume_stream_position, plain.resume_commit_position) == (3, 700)
    resolved = record(3, 700, link=record(12, 900))
    assert (resolved.resume_stream_position, resolved.resume_commit_position) == (12, 900)
    assert record(3, None).resume_commit_position is None


async def test_links_that_were_resolved(client: ESDBClient, server: Scripted) -> None:
    server.read = says(linked(recorded(5, "links"), recorded(1, "s")))
    (found,) = await client.get_stream_events("links", resolve_links=True)
    assert (found.stream_position, found.resume_stream_position) == (1, 5)
    assert (found.commit_position, found.resume_commit_position) == (150, 550)


async def test_a_subscription_with_links_goes_on_from_there() -> None:
    async with ESDBClient("esdb://embedded") as client:
        await client.append_events("s", None, [NewEvent("T", b"%d" % n) for n in range(4)])
        links = [NewEvent("$>", b"%d@s" % n, content_type="application/octet-stream") for n in (3, 2, 1, 0)]
        await client.append_events("links", None, links)
        async with client.subscribe_stream_events("links", resolve_links=True) as events:
            first = await events.receive()
            assert (first.stream_position, first.resume_stream_position) == (3, 0)
        async with client.subscribe_stream_events("links", first.resume_stream_position, resolve_links=True) as events:
            assert [(await events.receive()).data for _ in range(3)] == [b"2", b"1", b"0"]


async def test_a_checkpoint_to_read_from(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(0))
    async with client.read_all_events(Checkpoint(700, 600)) as events:
        assert [e.stream_position async for e in events] == [0]
    options = server.seen[0].read
    assert options.all is not None
    assert options.all.position is not None
    assert (options.all.position.commit_position, options.all.position.prepare_position) == (700, 600)


async def test_a_checkpoint_of_a_real_subscription_to_read_from() -> None:
    async with ESDBClient("esdb://embedded") as client:
        await client.append_events("s", None, [NewEvent("T", b"") for _ in range(100)])
        found: Any = None
        async with client.subscribe_all_events(
            filter_include=["Nothing"], include_checkpoints=True, include_caught_up=True
        ) as events:
            async for message in events:
                if isinstance(message, Checkpoint):
                    found = message
                else:
                    break
        assert isinstance(found, Checkpoint)
        await client.append_event("s", 99, NewEvent("Later", b""))
        async with client.read_all_events(found) as read:
            assert [e.type async for e in read][-1] == "Later"


@pytest.mark.parametrize(
    "use",
    [
        lambda client, position: client.read_stream_events("s", position),
        lambda client, position: client.subscribe_stream_events("s", position),
    ],
)
async def test_the_result_of_an_append_is_no_stream_position(client: ESDBClient, use: Any) -> None:
    with pytest.raises(InvalidTypeError, match=r"give its stream_position, 7$"):
        async with use(client, AppendResult(4711, 7)):
            pytest.fail("it was taken")
    with pytest.raises(InvalidTypeError, match="must be an int, a RecordedEvent or None, not Checkpoint"):
        async with use(client, Checkpoint(1, 1)):
            pytest.fail("it was taken")


async def test_the_result_of_an_append_is_a_commit_position(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(0))
    async with client.read_all_events(AppendResult(4711, 7)) as events:
        await events.receive()
    options = server.seen[0].read
    assert options.all is not None
    assert options.all.position is not None
    assert options.all.position.commit_position == 4711
