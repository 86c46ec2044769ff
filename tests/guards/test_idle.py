"""What a client costs while nothing happens."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from tests.support.counting import counted_steps
from trio_esdb import ESDBClient

FIVE_DAYS = 5 * 24 * 60 * 60


async def test_a_subscription_to_a_node_in_this_process_sleeps_for_days(autojump_clock: MockClock) -> None:
    async with ESDBClient("esdb://embedded") as client, client.subscribe_all_events():
        await trio.testing.wait_all_tasks_blocked()
        with counted_steps() as steps:
            await trio.sleep(FIVE_DAYS)
    assert steps.count < 5
