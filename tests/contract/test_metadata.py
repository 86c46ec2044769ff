"""Stream metadata, and what it does to a stream."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.support.events import ANY, all_events, numbers, some
from trio_esdb import ESDBClient, ExpectedPositionError, InvalidMetadataError, NewEvent, StreamMetadata, StreamState


async def test_there_is_none(client: ESDBClient, stream: str) -> None:
    assert await client.get_stream_metadata(stream) == ({}, None)
    await client.append_events(stream, None, some())
    assert await client.get_stream_metadata(stream) == ({}, None)


async def test_written_and_read(client: ESDBClient, stream: str) -> None:
    metadata = StreamMetadata({"owner": "me", "nested": {"ü": [1, None, True]}})
    metadata.max_count = 1000
    metadata.acl = {"$r": ["$all"], "$w": "$all"}
    result = await client.set_stream_metadata(stream, metadata, None)
    assert result.stream_position == 0
    found, version = await client.get_stream_metadata(stream)
    assert (found, version) == (metadata, 0)
    assert found.max_count == 1000

    found["foo"] = "bar"
    assert (await client.set_stream_metadata(stream, found, version)).stream_position == 1
    assert (await client.get_stream_metadata(stream)) == ({**metadata, "foo": "bar"}, 1)


async def test_versions(client: ESDBClient, stream: str) -> None:
    await client.set_stream_metadata(stream, {"a": 1}, None)
    for wrong in (None, 1, 7):
        with pytest.raises(ExpectedPositionError) as caught:
            await client.set_stream_metadata(stream, {"a": 2}, wrong)
        error = caught.value
        assert (error.stream_name, error.expected, error.actual) == (stream, wrong, 0)
    await client.set_stream_metadata(stream, {"a": 3}, StreamState.EXISTS)
    await client.set_stream_metadata(stream, {"a": 4})
    assert await client.get_stream_metadata(stream) == ({"a": 4}, 2)


async def test_metadata_is_an_event_of_a_stream_beside(client: ESDBClient, stream: str) -> None:
    await client.set_stream_metadata(stream, {"a": 1})
    await client.set_stream_metadata(stream, {"a": 2})
    (event,) = await client.get_stream_events(f"$${stream}")
    assert (event.type, event.data, event.stream_position) == ("$metadata", b'{"a":2}', 1)
    assert await client.get_stream_position(stream) is None
    hidden = [e for e in await all_events(client) if stream in e.stream_name]
    assert hidden == []


async def test_what_is_no_json(client: ESDBClient, stream: str) -> None:
    await client.append_events(f"$${stream}", ANY, [NewEvent("$metadata", b"nonsense")])
    with pytest.raises(InvalidMetadataError) as caught:
        await client.get_stream_metadata(stream)
    assert caught.value.data == b"nonsense"


async def test_a_greatest_count(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some(10))
    metadata = StreamMetadata()
    metadata.max_count = 3
    await client.set_stream_metadata(stream, metadata)
    assert numbers(await client.get_stream_events(stream)) == [7, 8, 9]
    assert numbers(await client.get_stream_events(stream, 2, limit=8)) == [7, 8, 9]
    await client.append_events(stream, 9, some())
    assert numbers(await client.get_stream_events(stream, backwards=True)) == [10, 9, 8]
    metadata.max_count = None
    await client.set_stream_metadata(stream, metadata)
    assert len(await client.get_stream_events(stream)) == 11


async def test_truncating(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some(5))
    metadata = StreamMetadata()
    metadata.truncate_before = 3
    await client.set_stream_metadata(stream, metadata)
    assert numbers(await client.get_stream_events(stream)) == [3, 4]
    assert len(await all_events(client, filter_include=[stream], filter_by_stream_name=True)) == 5


async def test_truncating_everything_leaves_the_stream(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some(5))
    metadata = StreamMetadata()
    metadata.truncate_before = 100
    await client.set_stream_metadata(stream, metadata)
    assert await client.get_stream_events(stream) == ()
    assert await client.get_stream_position(stream) == 4
    assert (await client.append_events(stream, 4, some())).stream_position == 5


async def test_deleting_replaces_the_metadata(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some(2))
    await client.set_stream_metadata(stream, {"a": 1})
    await client.delete_stream(stream, 1)
    found, version = await client.get_stream_metadata(stream)
    assert (found, version) == ({"$tb": 2**63 - 1}, 1)
    await client.append_events(stream, None, some())
    found, version = await client.get_stream_metadata(stream)
    assert found.truncate_before == 2
    assert numbers(await client.get_stream_events(stream)) == [2]


async def test_an_age() -> None:
    """The embedded node's clock is trio's, so this takes no time."""
    async with ESDBClient("esdb://embedded") as client:
        await client.append_events("s", None, some(2))
        await trio.sleep(50)
        await client.append_events("s", 1, some())
        await client.set_stream_metadata("s", {"$maxAge": 100})
        assert numbers(await client.get_stream_events("s")) == [0, 1, 2]
        await trio.sleep(60)
        assert numbers(await client.get_stream_events("s")) == [2]
        await trio.sleep(60)
        assert await client.get_stream_events("s") == ()
        assert await client.get_stream_position("s") == 2
