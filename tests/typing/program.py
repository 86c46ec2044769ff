"""What mypy must make of a user's program: the types of what it gets, and the mistakes it must find.

A line that ends in `# refused: CODE` is a mistake that mypy must report with that code. Never run, only checked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import assert_never, assert_type
from uuid import UUID

import trio

from trio_esdb import (
    AppendResult,
    BasicCredentials,
    BearerToken,
    CaughtUp,
    ChannelStatistics,
    Checkpoint,
    Credentials,
    CredentialsProvider,
    DeadlineExceededError,
    ESDBClient,
    ESDBError,
    EventChannel,
    ExpectedPositionError,
    FellBehind,
    InvalidArgumentError,
    InvalidTypeError,
    NewEvent,
    NotLeaderError,
    RecordedEvent,
    Resumed,
    ServerError,
    StreamMetadata,
    StreamState,
    Timeouts,
    TooLargeError,
)


def events() -> list[NewEvent]:
    NewEvent(type="A", data="text")  # refused: arg-type
    NewEvent(type="A", data=b"", content_type="text/plain")  # refused: arg-type
    NewEvent(type="A")  # refused: call-arg
    event = NewEvent(type="A", data=b"{}", metadata=b"", content_type="application/octet-stream", id=UUID(int=1))
    event.data = b""  # refused: misc
    return [event]


async def token() -> BearerToken:
    return BearerToken("t")


def connecting() -> None:
    ESDBClient("esdb://localhost", b"roots", "key.pem", Path("chain.pem"), credentials=BasicCredentials("a", "b"))
    ESDBClient("esdb://localhost", credentials=token, default_deadline=None, keep_alive_interval=5, ssl_context=None)
    ESDBClient("esdb://localhost", timeouts=Timeouts(connect=3), retry=False, max_connections=None, random=Random(1))
    credentials: Credentials = BearerToken("t")
    provider: CredentialsProvider = token
    for given in (credentials, provider):
        ESDBClient("esdb://localhost", credentials=given, plain_text_credentials=True)
    ESDBClient("esdb://localhost", credentials=("admin", "changeit"))  # refused: arg-type
    ESDBClient("esdb://localhost", credentials=BasicCredentials)  # refused: arg-type
    ESDBClient("esdb://localhost", root_certificates=5)  # refused: arg-type
    ESDBClient("esdb://localhost", tls=False)  # refused: call-arg
    Timeouts(3)  # refused: call-arg
    Timeouts().connect = 3  # refused: misc


async def appending(client: ESDBClient) -> None:
    result = await client.append_events("s", expected_position=None, events=events(), timeout=1.5)
    assert_type(result, AppendResult)
    assert_type(result.stream_position, int | None)
    position: int = result
    await client.append_events("s", expected_position=position, events=tuple(events()))
    await client.append_event("s", expected_position=StreamState.EXISTS, event=events()[0])
    await client.append_events("s", expected_position="any", events=events())  # refused: arg-type
    await client.append_events("s", events=events())  # refused: call-arg
    await client.append_events("s", expected_position=None, events=[b"{}"])  # refused: list-item
    assert_type(await client.delete_stream("s", expected_position=StreamState.ANY), int)
    assert_type(await client.tombstone_stream("s", expected_position=3), int)


async def reading(client: ESDBClient) -> None:
    for event in await client.get_stream_events("s", stream_position=3, backwards=True, limit=10):
        assert_type(event, RecordedEvent)
        assert_type(event.id, UUID)
        assert_type(event.data, bytes)
        assert_type(event.recorded_at, datetime)
        assert_type(event.stream_position, int)
        assert_type(event.commit_position, int | None)
        assert_type(event.link, RecordedEvent | None)
    async with client.read_stream_events("s", resolve_links=True) as channel:
        assert_type(channel, EventChannel[RecordedEvent])
        assert_type(await channel.receive(), RecordedEvent)
        assert_type(channel.receive_nowait(), RecordedEvent)
        assert_type(channel.clone(), EventChannel[RecordedEvent])
        assert_type(channel.statistics(), ChannelStatistics)
        anywhere: trio.abc.ReceiveChannel[RecordedEvent] = channel
        async for event in anywhere:
            assert_type(event, RecordedEvent)
    async with client.read_all_events(filter_include=["Order.*"]) as channel:
        assert_type(channel, EventChannel[RecordedEvent])
    assert_type(await client.get_stream_position("s"), int | None)
    assert_type(await client.get_commit_position(), int)


async def subscribing(client: ESDBClient) -> None:
    async with client.subscribe_all_events(commit_position=7) as channel:
        assert_type(channel, EventChannel[RecordedEvent])
    async with client.subscribe_stream_events("s", stream_position=7) as channel:
        assert_type(channel, EventChannel[RecordedEvent])
    async with client.subscribe_all_events(from_end=True, include_checkpoints=True, include_caught_up=True) as messages:
        async for message in messages:
            match message:
                case RecordedEvent():
                    assert_type(message.type, str)
                case Checkpoint():
                    client.subscribe_all_events(commit_position=message)
                case CaughtUp() | FellBehind() | Resumed():
                    pass
                case _:
                    assert_never(message)


async def stream_metadata(client: ESDBClient) -> None:
    metadata, version = await client.get_stream_metadata("s")
    assert_type(metadata, StreamMetadata)
    assert_type(version, int | None)
    assert_type(metadata.max_age, timedelta | None)
    metadata.max_count = 3
    metadata["mine"] = {"any": ["json"]}
    assert_type(await client.set_stream_metadata("s", metadata, expected_position=version), AppendResult)


async def failing(client: ESDBClient) -> None:
    try:
        await client.append_events("s", expected_position=0, events=events())
    except ExpectedPositionError as error:
        assert_type(error.actual, int | None)
        assert_type(error.stream_name, str)
    except TooLargeError as error:
        assert_type(error.limit, int | None)
    except NotLeaderError as error:
        assert_type(error.leader, tuple[str, int] | None)
    except ServerError as error:
        assert_type(error.status, str)
        assert_type(error.address, str)
    slow: trio.TooSlowError = DeadlineExceededError("")
    bad: ValueError = InvalidArgumentError("")
    worse: TypeError = InvalidTypeError("")
    every: ESDBError = slow  # refused: assignment
    print(bad, worse, every)


async def opening(connect: Callable[[str, int], Awaitable[trio.abc.Stream]]) -> None:
    async with ESDBClient("esdb://embedded") as client:
        assert_type(client, ESDBClient)
    async with trio.open_nursery() as nursery:
        started: ESDBClient = await nursery.start(ESDBClient("esdb://localhost:2113?Tls=false", connect=connect).run)
        await started.aclose()
    ESDBClient()  # refused: call-arg
