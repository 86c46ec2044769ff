"""How many turns of the event loop the calls of many tasks take together."""

from __future__ import annotations

import trio

from trio_esdb import ESDBClient, NewEvent, StreamState

TASKS, CALLS = 450, 4


class Turns(trio.abc.Instrument):
    """How often the event loop looked for what is new outside."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_more_tasks_than_a_connection_takes_calls() -> None:
    """Several calls are done in a turn, also those that had to wait for a further connection."""
    turns = Turns()
    async with ESDBClient("esdb://embedded") as client:

        async def work() -> None:
            for _ in range(CALLS):
                await client.append_event("s", StreamState.ANY, NewEvent("Happened", b"{}"))

        async with trio.open_nursery() as nursery:
            for _ in range(TASKS):
                nursery.start_soon(work)
            trio.lowlevel.add_instrument(turns)
        trio.lowlevel.remove_instrument(turns)
        assert turns.count < TASKS * CALLS / 5
