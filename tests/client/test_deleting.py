"""Deleting and tombstoning streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.scripted import Scripted, deleted, fails, says
from trio_esdb import (
    ESDBClient,
    ExpectedPositionError,
    ProtocolError,
    StreamDeletedError,
    StreamNotFoundError,
    StreamState,
)
from trio_esdb._wire import Status
from trio_esdb_proto.event_store.client import streams as pb

Use = Callable[[ESDBClient, Any], Awaitable[int]]


async def delete(client: ESDBClient, expected: Any) -> int:
    return await client.delete_stream("s", expected)


async def tombstone(client: ESDBClient, expected: Any) -> int:
    return await client.tombstone_stream("s", expected)


both = pytest.mark.parametrize("use", [delete, tombstone])


def answer(server: Scripted, script: Any) -> None:
    server.delete = server.tombstone = script


def wrong(expected: int, actual: int) -> Any:
    """As a server refuses a deletion."""
    return fails(
        Status.FAILED_PRECONDITION,
        f"Delete failed due to WrongExpectedVersion. Stream: s, Expected version: {expected}, Actual version: {actual}",
        exception="wrong-expected-version",
        stream_name="s",
        expected_version=str(expected),
        actual_version=str(actual),
    )


@both
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, "no_stream"),
        (StreamState.ANY, "any"),
        (-1, "any"),
        (StreamState.EXISTS, "stream_exists"),
        (4, "revision"),
    ],
)
async def test_what_is_sent(client: ESDBClient, server: Scripted, use: Use, given: Any, sent: str) -> None:
    answer(server, says(deleted(123)))
    assert await use(client, given) == 123
    (seen,) = server.seen
    assert seen.method == use.__name__.capitalize()  # type: ignore[attr-defined]
    kind = pb.DeleteReq if use is delete else pb.TombstoneReq
    options = kind.parse(seen.requests[0]).options
    assert options is not None
    assert options.stream_identifier is not None
    assert options.stream_identifier.stream_name == b"s"
    kinds = ("no_stream", "any", "stream_exists", "revision")
    assert [k for k in kinds if getattr(options, k) is not None] == [sent]
    if sent == "revision":
        assert options.revision == given


@both
async def test_without_a_position(client: ESDBClient, server: Scripted, use: Use) -> None:
    answer(server, says(deleted(None)))
    assert await use(client, 0) == -1


@both
@pytest.mark.parametrize(
    ("given", "inside", "actual"),
    [(4, 4, 7), (4, 4, -1), (None, -1, 7), (StreamState.EXISTS, -4, 3)],
)
async def test_the_stream_is_elsewhere(
    client: ESDBClient, server: Scripted, use: Use, given: Any, inside: int, actual: int
) -> None:
    answer(server, wrong(inside, actual))
    with pytest.raises(ExpectedPositionError, match=r"the stream (is at [37]|has no events), but") as caught:
        await use(client, given)
    error = caught.value
    assert error.expected is given
    assert f"expected_position={given} [{error.status}" in str(error)  # and not the server's number for it
    assert error.actual == (None if actual < 0 else actual)
    assert error.stream_name == "s"
    assert error.status == "FAILED_PRECONDITION"
    assert error.trailers["actual-version"] == str(actual)


@both
@pytest.mark.parametrize(("given", "inside"), [(None, -1), (StreamState.ANY, -2), (StreamState.EXISTS, -4)])
async def test_there_is_no_stream(client: ESDBClient, server: Scripted, use: Use, given: Any, inside: int) -> None:
    answer(server, wrong(inside, -1))
    with pytest.raises(StreamNotFoundError, match="ing stream 's'") as caught:
        await use(client, given)
    error = caught.value
    assert error.stream_name == "s"
    assert error.details.startswith("Delete failed")
    assert error.trailers["exception"] == "wrong-expected-version"
    assert error.address == "node-1:2113"


@both
async def test_the_stream_was_tombstoned(client: ESDBClient, server: Scripted, use: Use) -> None:
    answer(server, fails(Status.FAILED_PRECONDITION, "gone", exception="stream-deleted", stream_name="s"))
    with pytest.raises(StreamDeletedError) as caught:
        await use(client, StreamState.ANY)
    assert caught.value.stream_name == "s"


@both
async def test_an_answer_that_means_nothing(client: ESDBClient, server: Scripted, use: Use) -> None:
    answer(server, says(b"\x0a\xff"))
    with pytest.raises(ProtocolError, match=r"ing stream 's': .*malformed"):
        await use(client, 0)
    answer(server, says(deleted(5)))
    assert await use(client, 0) == 5
    assert len(server.links) == 1
