"""Deleting, undeleting, tombstoning."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.events import ANY, all_events, numbers, some
from trio_esdb import ESDBClient, ExpectedPositionError, StreamDeletedError, StreamNotFoundError, StreamState


@pytest.mark.parametrize("expected", [2, ANY, StreamState.EXISTS])
async def test_a_deleted_stream_is_not_there(client: ESDBClient, stream: str, expected: Any) -> None:
    appended = await client.append_events(stream, None, some(3))
    assert await client.delete_stream(stream, expected) > appended
    with pytest.raises(StreamNotFoundError):
        await client.get_stream_events(stream)
    assert await client.get_stream_position(stream) is None


@pytest.mark.parametrize("expected", [None, 2, ANY])
async def test_appending_to_a_deleted_stream_goes_on(client: ESDBClient, stream: str, expected: Any) -> None:
    await client.append_events(stream, None, some(3))
    await client.delete_stream(stream, 2)
    assert (await client.append_events(stream, expected, some(2))).stream_position == 4
    assert numbers(await client.get_stream_events(stream)) == [3, 4]
    assert numbers(await client.get_stream_events(stream, 0)) == [3, 4]
    assert numbers(await client.get_stream_events(stream, backwards=True)) == [4, 3]
    assert await client.get_stream_position(stream) == 4


async def test_a_deleted_stream_does_not_exist(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some())
    await client.delete_stream(stream, 0)
    with pytest.raises(StreamDeletedError):
        await client.append_events(stream, StreamState.EXISTS, some())


async def test_deleting_twice(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some())
    first = await client.delete_stream(stream, 0)
    assert await client.delete_stream(stream, ANY) > first
    assert await client.delete_stream(stream, 0) > first


async def test_a_deleted_streams_events_are_still_among_all(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some(2))
    await client.delete_stream(stream, 1)
    assert len(await all_events(client, filter_include=[stream], filter_by_stream_name=True)) == 2


@pytest.mark.parametrize("expected", [None, ANY, StreamState.EXISTS])
async def test_deleting_what_does_not_exist(client: ESDBClient, stream: str, expected: Any) -> None:
    with pytest.raises(StreamNotFoundError) as caught:
        await client.delete_stream(stream, expected)
    assert caught.value.stream_name == stream


async def test_deleting_at_a_position_that_does_not_exist(client: ESDBClient, stream: str) -> None:
    with pytest.raises(ExpectedPositionError) as caught:
        await client.delete_stream(stream, 3)
    assert (caught.value.expected, caught.value.actual) == (3, None)


@pytest.mark.parametrize("expected", [0, 3, None])
async def test_deleting_a_stream_that_is_elsewhere(client: ESDBClient, stream: str, expected: Any) -> None:
    await client.append_events(stream, None, some(3))
    for use in (client.delete_stream, client.tombstone_stream):
        with pytest.raises(ExpectedPositionError) as caught:
            await use(stream, expected)
        error = caught.value
        assert (error.stream_name, error.expected, error.actual) == (stream, expected, 2)
        assert error.status == "FAILED_PRECONDITION"
    assert len(await client.get_stream_events(stream)) == 3


@pytest.mark.parametrize("expected", [1, ANY, StreamState.EXISTS])
async def test_a_tombstoned_stream_is_gone(client: ESDBClient, stream: str, expected: Any) -> None:
    appended = await client.append_events(stream, None, some(2))
    assert await client.tombstone_stream(stream, expected) > appended
    for use in (
        lambda: client.get_stream_events(stream),
        lambda: client.get_stream_events(stream, backwards=True),
        lambda: client.get_stream_position(stream),
        lambda: client.append_events(stream, ANY, some()),
        lambda: client.append_events(stream, None, some()),
        lambda: client.append_events(stream, 1, some()),
        lambda: client.delete_stream(stream, ANY),
        lambda: client.tombstone_stream(stream, ANY),
    ):
        with pytest.raises(StreamDeletedError) as caught:
            await use()  # type: ignore[no-untyped-call]
        assert caught.value.stream_name == stream
        assert caught.value.trailers["exception"] == "stream-deleted"
    with pytest.raises(StreamDeletedError):
        await client.get_stream_metadata(stream)


@pytest.mark.parametrize("expected", [None, ANY])
async def test_a_stream_that_never_was_can_be_tombstoned(client: ESDBClient, stream: str, expected: Any) -> None:
    await client.tombstone_stream(stream, expected)
    with pytest.raises(StreamDeletedError):
        await client.append_events(stream, None, some())


async def test_tombstoning_what_must_exist(client: ESDBClient, stream: str) -> None:
    with pytest.raises(StreamNotFoundError):
        await client.tombstone_stream(stream, StreamState.EXISTS)


async def test_a_deleted_stream_can_be_tombstoned(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some())
    await client.delete_stream(stream, 0)
    await client.tombstone_stream(stream, ANY)
    with pytest.raises(StreamDeletedError):
        await client.get_stream_events(stream)


async def test_the_tombstone_is_an_event_among_all(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some())
    position = await client.tombstone_stream(stream, 0)
    (found,) = await all_events(client, commit_position=position, filter_exclude=(), limit=1)
    assert (found.stream_name, found.type, found.stream_position) == (stream, "$streamDeleted", 2**63 - 1)
