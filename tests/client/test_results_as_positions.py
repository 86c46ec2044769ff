"""The result of an append is a commit position: where a position in a stream is meant, it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.scripted import Scripted, event, says
from trio_esdb import DEFAULT_EXCLUDE_FILTER, AppendResult, ESDBClient, InvalidTypeError

RESULT = AppendResult(500, 3)
STREAM: dict[str, Callable[[ESDBClient], Any]] = {
    "read": lambda client: client.read_stream_events("s", RESULT),
    "read backwards": lambda client: client.read_stream_events("s", stream_position=RESULT, backwards=True),
    "subscribe": lambda client: client.subscribe_stream_events("s", RESULT),
}


@pytest.mark.parametrize("name", STREAM)
async def test_reads_and_subscriptions_of_a_stream(client: ESDBClient, server: Scripted, name: str) -> None:
    with pytest.raises(InvalidTypeError, match="stream_position must be a position in the stream"):
        STREAM[name](client)
    assert server.seen == []


async def test_the_events_of_a_stream_at_once(client: ESDBClient, server: Scripted) -> None:
    with pytest.raises(InvalidTypeError, match="stream_position must be a position in the stream"):
        await client.get_stream_events("s", RESULT)
    assert server.seen == []


async def test_its_stream_position_and_all_events_take_it(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(3))
    await client.get_stream_events("s", RESULT.stream_position)
    async with client.read_all_events(RESULT) as events:
        await events.receive()
    stream, everything = (seen.read for seen in server.seen)
    assert stream.stream is not None
    assert stream.stream.revision == 3
    assert everything.all is not None
    assert everything.all.position is not None
    assert everything.all.position.commit_position == 500


async def test_the_commit_position_takes_its_filter_by_position(client: ESDBClient, server: Scripted) -> None:
    server.read = says(event(9))
    assert await client.get_commit_position(None, DEFAULT_EXCLUDE_FILTER) == 950
    assert await client.get_commit_position(5, [], ["Order.*"], True) == 950
    plain, filtered = (seen.read for seen in server.seen)
    assert plain.filter is not None
    assert filtered.filter is not None
    assert filtered.filter.stream_identifier is not None
