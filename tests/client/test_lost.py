"""The connection, or something between client and server, is lost: one class of errors says so."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.client.test_applied import client_of_hand
from tests.support import http2
from tests.support.links import Hand
from tests.support.scripted import confirmed
from trio_esdb import ESDBClient, ProtocolError, RecordedEvent, UnavailableError


async def subscribed(client: ESDBClient, hand: Hand, frames: bytes) -> type[BaseException] | None:
    """How an idle subscription ends when these frames come."""
    found: list[BaseException] = []

    async def consume() -> None:
        try:
            async with client.subscribe_all_events(resume=False) as events:
                event: RecordedEvent
                async for event in events:
                    pytest.fail(f"{event} came")
        except Exception as exc:  # noqa: BLE001
            found.append(exc)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        await hand.heard()
        hand.answer(1, confirmed(), status=None)
        await hand.heard()
        if frames:
            hand.put(frames)
        else:
            hand.hang_up()
        await hand.heard()
    return type(found[0]) if found else None


@pytest.mark.parametrize("code", [0, 2, 5, 8, 10], ids=lambda code: f"RST_STREAM {code}")
async def test_a_subscription_that_is_reset(code: int) -> None:
    async with client_of_hand() as (client, hand):
        assert await subscribed(client, hand, http2.rst_stream(1, code)) is UnavailableError


@pytest.mark.parametrize(
    "frames",
    [http2.data(1, b"", end=True), http2.data(1, b"\0\0\0", end=True), b"", http2.goaway(1) + http2.rst_stream(1, 8)],
    ids=["no trailers", "inside a message", "the connection", "a stop"],
)
async def test_a_subscription_that_is_cut(frames: bytes) -> None:
    async with client_of_hand() as (client, hand):
        assert await subscribed(client, hand, frames) is UnavailableError


@pytest.mark.parametrize("code", [1, 3, 6, 9])
async def test_resets_that_complain_of_us(code: int) -> None:
    async with client_of_hand() as (client, hand):
        assert await subscribed(client, hand, http2.rst_stream(1, code)) is ProtocolError
