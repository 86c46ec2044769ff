"""Appending: positions, expectations, idempotency, limits."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import trio

from tests.support.events import ANY, ids, numbers, some, written
from tests.support.versions import Server
from trio_esdb import (
    AppendResult,
    ESDBClient,
    ExpectedPositionError,
    NewEvent,
    RecordedEvent,
    ResourceExhaustedError,
    ServerTooLargeError,
    StreamState,
    TooLargeError,
)


async def test_a_new_stream(client: ESDBClient, server: Server, stream: str) -> None:
    events = some(3)
    result = await client.append_events(stream, None, events)
    assert isinstance(result, AppendResult)
    assert result.stream_position == 2
    found = await client.get_stream_events(stream)
    assert ids(found) == ids(events)
    assert numbers(found) == [0, 1, 2]
    assert result == result.commit_position
    assert found[-1].commit_position == (result if server.stream_reads_tell_positions else None)


async def test_going_on(client: ESDBClient, stream: str) -> None:
    first = await client.append_events(stream, None, some(2))
    second = await client.append_events(stream, 1, some(2))
    third = await client.append_event(stream, second.stream_position, some()[0])
    assert first < second < third
    assert [r.stream_position for r in (first, second, third)] == [1, 3, 4]


async def test_what_is_written_is_what_is_read(client: ESDBClient, server: Server, stream: str) -> None:
    events = [
        NewEvent("Plain", b'{"a":1}'),
        NewEvent("Binary", bytes(range(256)), content_type="application/octet-stream"),
        NewEvent("With metadata", b"", metadata=b"\x00\xff"),
        NewEvent("Größe 😀", "ü".encode(), id=uuid.UUID(int=2**128 - 1)),
        NewEvent("Not JSON, though it says so", b"\xff{"),
        NewEvent("Large", b"x" * 100_000, metadata=b"y" * 100_000),
    ]
    await client.append_events(stream, None, events)
    found = await client.get_stream_events(stream)
    assert [(e.type, e.data, e.metadata, e.content_type, e.id) for e in found] == [
        (e.type, e.data, e.metadata, e.content_type, e.id) for e in events
    ]
    for event in found:
        assert event.stream_name == stream
        assert event.recorded_at.utcoffset() == timedelta(0)
        assert event.prepare_position == event.commit_position
    positions = [event.commit_position for event in found]
    if server.stream_reads_tell_positions:
        assert positions == sorted({position for position in positions if position is not None})
    else:
        assert positions == [None] * 6


@pytest.mark.parametrize("name", ["with blanks ", "ünï😀", "a/b,c:d", "line\nfeed", "x" * 300])
async def test_names_of_all_kinds(client: ESDBClient, stream: str, name: str) -> None:
    name = f"{name}{stream}"
    await client.append_events(name, None, some())
    (found,) = await client.get_stream_events(name)
    assert found.stream_name == name
    assert await client.get_stream_position(name) == 0


@pytest.mark.parametrize("expected", [ANY, -1, -7])
async def test_no_check(client: ESDBClient, stream: str, expected: Any) -> None:
    assert (await client.append_events(stream, expected, some())).stream_position == 0
    assert (await client.append_events(stream, expected, some())).stream_position == 1


async def test_a_stream_that_must_exist(client: ESDBClient, stream: str) -> None:
    with pytest.raises(ExpectedPositionError) as caught:
        await client.append_events(stream, StreamState.EXISTS, some())
    assert (caught.value.expected, caught.value.actual) == (StreamState.EXISTS, None)
    await client.append_events(stream, None, some())
    assert (await client.append_events(stream, StreamState.EXISTS, some())).stream_position == 1


@pytest.mark.parametrize("expected", [0, 3, 2**63 - 1, None, StreamState.NO_STREAM])
async def test_a_stream_that_is_elsewhere(client: ESDBClient, stream: str, expected: Any) -> None:
    await client.append_events(stream, None, some(3))
    with pytest.raises(ExpectedPositionError) as caught:
        await client.append_events(stream, expected, some())
    assert (caught.value.stream_name, caught.value.expected, caught.value.actual) == (stream, expected, 2)
    assert len(await client.get_stream_events(stream)) == 3


async def test_a_position_in_a_stream_that_does_not_exist(client: ESDBClient, stream: str) -> None:
    with pytest.raises(ExpectedPositionError) as caught:
        await client.append_events(stream, 0, some())
    assert caught.value.actual is None
    assert await client.get_stream_position(stream) is None


@pytest.mark.parametrize("expected", [None, 1, ANY])
async def test_an_append_done_twice_is_written_once(client: ESDBClient, stream: str, expected: Any) -> None:
    if expected == 1:
        await client.append_events(stream, None, some(2))
    events = some(3)
    first = await client.append_events(stream, expected, events)
    again = await client.append_events(stream, expected, events)
    assert again == first
    assert (again.commit_position, again.stream_position) == (first.commit_position, first.stream_position)
    await client.append_events(stream, ANY, some(2))
    assert await client.append_events(stream, expected, events) == first
    assert len(await client.get_stream_events(stream)) == (7 if expected == 1 else 5)


async def test_a_repetition_that_is_not_the_same(client: ESDBClient, stream: str) -> None:
    events = some(3)
    await client.append_events(stream, None, events)
    for other in ([events[0], some()[0]], [*events, *some()], [events[1]]):
        with pytest.raises(ExpectedPositionError) as caught:
            await client.append_events(stream, None, other)
        assert caught.value.actual == 2
    assert len(await client.get_stream_events(stream)) == 3


async def test_the_same_ids_at_the_end_are_written_again(client: ESDBClient, stream: str) -> None:
    events = some(2)
    await client.append_events(stream, None, events)
    assert (await client.append_events(stream, 1, events)).stream_position == 3
    assert ids(await client.get_stream_events(stream)) == ids(events * 2)


async def test_the_same_id_twice_in_one_append(client: ESDBClient, stream: str) -> None:
    (event,) = some()
    assert (await client.append_events(stream, None, [event, event])).stream_position == 1
    assert ids(await client.get_stream_events(stream)) == [event.id, event.id]


async def test_the_same_ids_in_another_stream(client: ESDBClient, stream: str) -> None:
    events = some(2)
    first = await client.append_events(stream, None, events)
    assert await client.append_events(f"{stream}-other", None, events) > first


async def test_appending_nothing(client: ESDBClient, stream: str) -> None:
    assert (await client.append_events(stream, ANY, [])).stream_position is None
    assert await client.get_stream_position(stream) is None
    await client.append_events(stream, None, some(2))
    result = await client.append_events(stream, 1, [])
    assert result.stream_position == 1
    with pytest.raises(ExpectedPositionError):
        await client.append_events(stream, 5, [])
    assert len(await client.get_stream_events(stream)) == 2


async def test_one_of_many_wins(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some())
    won: list[int] = []
    lost: list[ExpectedPositionError] = []

    async def write(number: int) -> None:
        try:
            await client.append_events(stream, 0, some())
            won.append(number)
        except ExpectedPositionError as exc:
            lost.append(exc)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(write, number)
    assert len(won) == 1
    assert [error.actual for error in lost] == [1] * 19


async def test_many_tasks_write_to_one_stream(client: ESDBClient, server: Server, stream: str) -> None:
    results: list[AppendResult] = []

    async def write() -> None:
        for event in some(5):
            results.append(await client.append_event(stream, ANY, event))  # noqa: PERF401

    async with trio.open_nursery() as nursery:
        for _ in range(150):
            nursery.start_soon(write)
    assert sorted(r.stream_position or 0 for r in results) == list(range(750))
    written = {r.stream_position: r.commit_position for r in results}
    found = {e.stream_position: e.commit_position for e in await client.get_stream_events(stream)}
    assert found == (written if server.stream_reads_tell_positions else dict.fromkeys(written))


async def test_an_append_that_older_servers_find_too_large(client: ESDBClient, server: Server, stream: str) -> None:
    events = [NewEvent("Large", bytes(300_000)) for _ in range(5)]
    if server.largest_append > 1_500_000:
        assert (await client.append_events(stream, None, events)).stream_position == 4
        assert [len(event.data) for event in await client.get_stream_events(stream)] == [300_000] * 5
        return
    with pytest.raises(ServerTooLargeError, match="1048576") as caught:
        await client.append_events(stream, None, events)
    error = caught.value
    assert isinstance(error, TooLargeError)
    assert error.limit == server.largest_append
    assert error.status == "INVALID_ARGUMENT"
    assert error.trailers["exception"] == "maximum-append-size-exceeded"
    assert await client.get_stream_position(stream) is None
    assert (await client.append_events(stream, None, some())).stream_position == 0


async def test_an_event_that_no_message_can_hold(client: ESDBClient, stream: str) -> None:
    with pytest.raises(TooLargeError) as caught:
        await client.append_events(stream, None, [*some(), NewEvent("Huge", bytes(17_000_000))])
    assert caught.value.limit == 16_767_216
    assert await client.get_stream_position(stream) is None


async def test_the_largest_append(client: ESDBClient, stream: str) -> None:
    events = [NewEvent("Large", bytes(130_000)) for _ in range(8)]
    assert (await client.append_events(stream, None, events)).stream_position == 7
    found = await client.get_stream_events(stream)
    assert [len(event.data) for event in found] == [130_000] * 8


async def test_a_client_that_takes_less_than_what_is_there(new_client: Callable[..., ESDBClient], stream: str) -> None:
    async with new_client(max_message_size=10_000) as careful:
        await careful.append_events(stream, None, [NewEvent("Large", bytes(50_000))])
        with pytest.raises(ResourceExhaustedError, match="10000 is the limit"):
            await careful.get_stream_events(stream)
        assert (await careful.append_events(stream, 0, some())).stream_position == 1


async def test_an_event_of_the_result(client: ESDBClient, server: Server, stream: str) -> None:
    """The result of an append leads to the event, in its stream and among all."""
    result = await client.append_events(stream, None, some(3))
    (last,) = await client.get_stream_events(stream, result.stream_position)
    async with client.read_all_events(result, filter_exclude=(), limit=1) as events:
        among_all = await events.receive()
    assert isinstance(among_all, RecordedEvent)
    assert among_all.commit_position == result
    if not server.stream_reads_tell_positions:
        among_all = among_all.replace(commit_position=None, prepare_position=None)
    assert among_all == last


async def test_it_counts_on(client: ESDBClient, stream: str) -> None:
    results = await written(client, stream, 5)
    assert [r.stream_position for r in results] == [0, 1, 2, 3, 4]
    assert sorted(set(results)) == results
