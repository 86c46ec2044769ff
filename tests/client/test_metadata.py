"""Stream metadata, read and written."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.support.scripted import Scripted, appended, event, fails, not_found, says, wrong_version
from trio_esdb import (
    ESDBClient,
    ExpectedPositionError,
    InvalidArgumentError,
    InvalidMetadataError,
    InvalidTypeError,
    ProtocolError,
    StreamDeletedError,
    StreamMetadata,
    StreamState,
)
from trio_esdb._wire import Status
from trio_esdb_proto.event_store.client import streams as pb


async def test_reading(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(3, "$$s", type="$metadata", data=b'{"$maxCount":5,"owner":"me"}'))
    metadata, version = await client.get_stream_metadata("s")
    assert version == 3
    assert isinstance(metadata, StreamMetadata)
    assert metadata == {"$maxCount": 5, "owner": "me"}
    assert metadata.max_count == 5
    read = server.seen[0].read
    assert read.stream is not None
    assert read.stream.stream_identifier is not None
    assert read.stream.stream_identifier.stream_name == b"$$s"
    assert read.stream.end is not None
    assert read.read_direction is pb.ReadReqOptionsReadDirection.Backwards
    assert read.count == 1


@pytest.mark.parametrize("answers", [(not_found("$$s"),), ()])
async def test_there_is_none(client: ESDBClient, server: Scripted, answers: tuple[bytes, ...]) -> None:
    server.read = says(*answers)
    assert await client.get_stream_metadata("s") == ({}, None)


@pytest.mark.parametrize("data", [b"", b"not json", b"[1]", b"5", b"\xff"])
async def test_it_is_no_json_object(client: ESDBClient, server: Scripted, data: bytes) -> None:
    server.read = says(event(0, "$$s", type="$metadata", data=data))
    with pytest.raises(InvalidMetadataError, match="stream 's'") as caught:
        await client.get_stream_metadata("s")
    assert caught.value.data == data


async def test_writing(client: ESDBClient, server: Scripted) -> None:
    server.append = says(appended(4, 800))
    metadata = StreamMetadata(owner="me")
    metadata.max_age = timedelta(hours=1)
    result = await client.set_stream_metadata("s", metadata, expected_position=3)
    assert (result, result.stream_position) == (800, 4)
    options, (written,) = server.seen[0].appended
    assert options.stream_identifier is not None
    assert options.stream_identifier.stream_name == b"$$s"
    assert options.revision == 3
    assert written.metadata == {"type": "$metadata", "content-type": "application/json"}
    assert json.loads(written.data) == {"owner": "me", "$maxAge": 3600}


async def test_any_version_is_replaced_unless_one_is_expected(client: ESDBClient, server: Scripted) -> None:
    server.append = says(appended(0, 8))
    await client.set_stream_metadata("s", {})
    await client.set_stream_metadata("s", {}, None)
    await client.set_stream_metadata("s", {}, StreamState.EXISTS)
    kinds = ("any", "no_stream", "stream_exists")
    sent = [[kind for kind in kinds if getattr(seen.appended[0], kind) is not None] for seen in server.seen]
    assert sent == [["any"], ["no_stream"], ["stream_exists"]]


@pytest.mark.parametrize(("actual", "text"), [(7, "its version is 7"), (None, "there is none")])
async def test_another_version(client: ESDBClient, server: Scripted, actual: int | None, text: str) -> None:
    server.append = says(wrong_version(actual))
    with pytest.raises(ExpectedPositionError, match=f"metadata of stream 's': {text}") as caught:
        await client.set_stream_metadata("s", {}, 3)
    assert (caught.value.stream_name, caught.value.expected, caught.value.actual) == ("s", 3, actual)


async def test_a_tombstoned_stream(client: ESDBClient, server: Scripted) -> None:
    gone = fails(Status.FAILED_PRECONDITION, "gone", exception="stream-deleted", stream_name="$$s")
    server.read = server.append = gone
    with pytest.raises(StreamDeletedError, match="reading the metadata of stream 's'"):
        await client.get_stream_metadata("s")
    with pytest.raises(StreamDeletedError, match="writing the metadata of stream 's'"):
        await client.set_stream_metadata("s", {})


async def test_an_answer_that_means_nothing(client: ESDBClient, server: Scripted) -> None:
    server.append = server.read = says(b"\x0a\xff")
    with pytest.raises(ProtocolError, match="writing the metadata of stream 's'") as caught:
        await client.set_stream_metadata("s", {})
    assert caught.value.address == "node-1:2113"
    with pytest.raises(ProtocolError, match="reading the metadata of stream 's'") as caught:
        await client.get_stream_metadata("s")
    assert caught.value.address == "node-1:2113"


@pytest.mark.parametrize(
    ("metadata", "kind"),
    [
        (None, InvalidTypeError),
        (b"{}", InvalidTypeError),
        ('{"a":1}', InvalidTypeError),
        ([("a", 1)], InvalidTypeError),
        ({1: 2}, InvalidTypeError),
        ({"a": object()}, InvalidArgumentError),
        ({"a": float("nan")}, InvalidArgumentError),
        ({"a": b"bytes"}, InvalidArgumentError),
        ({"$maxCount": 0}, InvalidArgumentError),
        ({"$maxCount": "5"}, InvalidTypeError),
        ({"$maxAge": 1.5}, InvalidTypeError),
        ({"$maxAge": -1}, InvalidArgumentError),
        ({"$tb": -1}, InvalidArgumentError),
        ({"$tb": 2**63}, InvalidArgumentError),
        ({"$acl": {"$x": "me"}}, InvalidArgumentError),
        ({"$acl": {"$r": 5}}, InvalidTypeError),
    ],
)
async def test_unusable_metadata(client: ESDBClient, server: Scripted, metadata: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await client.set_stream_metadata("s", metadata)
    assert server.seen == []
