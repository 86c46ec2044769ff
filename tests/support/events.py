"""Small functions of the contract tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trio_esdb import AppendResult, ConsumerTooSlowError, ESDBClient, EventChannel, NewEvent, RecordedEvent, StreamState

ANY = StreamState.ANY


def some(count: int = 1, type: str = "Happened") -> list[NewEvent]:
    """New events, each with its number as data."""
    return [NewEvent(type, b'{"n":%d}' % number) for number in range(count)]


def ids(events: Iterable[NewEvent | RecordedEvent]) -> list[Any]:
    return [event.id for event in events]


def kinds(messages: Iterable[object]) -> list[type]:
    return [type(message) for message in messages]


def numbers(events: Iterable[RecordedEvent]) -> list[int]:
    return [event.stream_position for event in events]


async def written(client: ESDBClient, stream: str, count: int) -> list[AppendResult]:
    """Append ``count`` events one by one, and return the results."""
    return [
        await client.append_event(stream, number - 1 if number else None, event)
        for number, event in enumerate(some(count))
    ]


async def all_events(client: ESDBClient, **arguments: Any) -> list[RecordedEvent]:
    """The events that a read of all events gives."""
    async with client.read_all_events(**arguments) as events:
        return [event async for event in events]


def own(stream: str) -> dict[str, Any]:
    """Arguments that read only the streams whose names begin with this text."""
    return {"filter_include": [stream], "filter_by_stream_name": True, "filter_by_prefix": True}


async def take_own(events: EventChannel[Any], stream: str, count: int) -> list[Any]:
    """The next ``count`` events of this stream or its metadata; events of others are skipped."""
    found: list[Any] = []
    while len(found) < count:
        event = await events.receive()
        if event.stream_name.endswith(stream):
            found.append(event)
    return found


async def take_until_dropped(events: EventChannel[Any], count: int) -> list[Any]:
    """The next ``count`` messages, or fewer if the server ends the subscription of a slow consumer."""
    found: list[Any] = []
    try:
        while len(found) < count:
            found.append(await events.receive())
    except ConsumerTooSlowError:
        pass
    return found


async def take(events: EventChannel[Any], count: int) -> list[Any]:
    """The next ``count`` messages."""
    return [await events.receive() for _ in range(count)]
