"""What the documentation shows to follow streams handles each event once, wherever the connection breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.documents import ROOT, blocks
from trio_esdb import ESDBClient, NewEvent, RecordedEvent, StreamState, UnavailableError
from trio_esdb.embedded import EmbeddedNode


def shown(page: str, name: str) -> Any:
    """A function that a page defines."""
    (text,) = (block.text for block in blocks((ROOT / page).read_text()) if f"async def {name}(" in block.text)
    names: dict[str, Any] = {"trio": trio}
    exec(compile(text, page, "exec"), names)
    return names[name]


@asynccontextmanager
async def client_with_cuts() -> AsyncIterator[tuple[ESDBClient, Callable[[], None]]]:
    """A client of an embedded node, and a function that breaks its connection."""
    scopes: list[trio.CancelScope] = []
    async with EmbeddedNode() as node, trio.open_nursery() as nursery:

        async def serve(stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
            with scope:
                await node.serve_stream(stream)

        async def connect(*_: Any) -> trio.abc.Stream:
            near, far = trio.testing.memory_stream_pair()
            scopes.append(trio.CancelScope())
            nursery.start_soon(serve, far, scopes[-1])
            return near

        async with ESDBClient("esdb://embedded", connect=connect) as client:
            yield client, lambda: scopes[-1].cancel()
        nursery.cancel_scope.cancel()


def event(type: str, data: bytes = b"{}") -> NewEvent:
    return NewEvent(type, data, content_type="application/octet-stream")


@pytest.mark.parametrize("every", [1, 2, 5, 100])
async def test_all_streams(autojump_clock: trio.testing.MockClock, every: int) -> None:
    keep_following = shown("README.md", "keep_following")
    handled: list[tuple[str, int]] = []
    async with client_with_cuts() as (client, cut), trio.open_nursery() as nursery:

        async def handle(event: RecordedEvent) -> None:
            handled.append((event.original.stream_name, event.original.stream_position))
            if len(handled) % every == 0:
                cut()

        nursery.start_soon(keep_following, client, handle)
        for number in range(20):
            await append(client, "orders", event("OrderPlaced"))
            await append(client, "noise", *[event("Noise") for _ in range(40)])
            if number % 7 == 0:
                cut()
                await trio.sleep(10)
        await trio.sleep(1000)
        assert handled == [("orders", number) for number in range(20)]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("every", [1, 2, 5, 100])
async def test_one_stream_of_links(autojump_clock: trio.testing.MockClock, every: int) -> None:
    keep_following_stream = shown("docs/subscriptions.md", "keep_following_stream")
    handled: list[tuple[str, int, int]] = []
    async with client_with_cuts() as (client, cut), trio.open_nursery() as nursery:

        async def handle(event: RecordedEvent) -> None:
            handled.append((event.stream_name, event.stream_position, event.original.stream_position))
            if len(handled) % every == 0:
                cut()

        await append(client, "orders", *[event("OrderPlaced") for _ in range(30)])
        nursery.start_soon(keep_following_stream, client, "some-orders", handle)
        for number in range(20):
            await append(client, "some-orders", event("$>", f"{29 - number}@orders".encode()))
        await trio.sleep(1000)
        assert handled == [("orders", 29 - number, number) for number in range(20)]
        nursery.cancel_scope.cancel()


async def append(client: ESDBClient, stream: str, *events: NewEvent) -> None:
    """Append, and again if the connection was lost: the server knows the events by their ids."""
    while True:
        try:
            await client.append_events(stream, StreamState.ANY, events)
            return
        except UnavailableError:
            await trio.sleep(0.1)
