"""A test of an application, with its own node and with days that pass at once.

pytest examples/test_reminders.py          needs pytest-trio, and trio_mode = true in the settings of pytest
"""

from __future__ import annotations

import trio
from trio.testing import MockClock

from trio_esdb import ESDBClient, NewEvent, StreamState

DAY = 24 * 60 * 60


async def remind(client: ESDBClient) -> None:
    """The application: it sends a reminder three days after an order, unless the order is paid."""

    async def wait_for_payment(order: str) -> None:
        await trio.sleep(3 * DAY)
        if [event.type for event in await client.get_stream_events(order)] == ["OrderPlaced"]:
            reminder = NewEvent(type="ReminderSent", data=b"{}")
            await client.append_event(order, expected_position=StreamState.ANY, event=reminder)

    async with client.subscribe_all_events(filter_include=["OrderPlaced"]) as events, trio.open_nursery() as nursery:
        async for event in events:
            nursery.start_soon(wait_for_payment, event.stream_name)


async def happen(client: ESDBClient, order: str, *types: str) -> None:
    for type in types:
        event = NewEvent(type=type, data=b"{}")
        await client.append_event(order, expected_position=StreamState.ANY, event=event)


async def test_only_who_has_not_paid_is_reminded(autojump_clock: MockClock) -> None:
    async with ESDBClient("esdb://embedded") as client, trio.open_nursery() as nursery:
        nursery.start_soon(remind, client)
        await happen(client, "order-1", "OrderPlaced")
        await happen(client, "order-2", "OrderPlaced", "OrderPaid")

        async with client.subscribe_all_events(filter_include=["ReminderSent"]) as reminders:
            reminder = await reminders.receive()
        assert reminder.stream_name == "order-1"

        await trio.sleep(30 * DAY)
        assert await client.get_stream_position("order-1") == 1
        assert await client.get_stream_position("order-2") == 1
        nursery.cancel_scope.cancel()
