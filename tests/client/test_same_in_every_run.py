"""The promises of the README about runs under a mock clock.

The same calls give the same times, positions and ids. With a seeded scheduler, as under Hypothesis, this includes the
calls of several tasks.
"""

from __future__ import annotations

import uuid

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_esdb import ESDBClient, NewEvent, RecordedEvent, StreamState

TASKS = 6
ROUNDS = 5


def event(task: int, number: int) -> NewEvent:
    return NewEvent("Written", f"{task}/{number}".encode(), id=uuid.UUID(int=1 + task * 1000 + number))


async def several_tasks() -> list[object]:
    """Writers, subscribers that leave in the middle and calls that are given up, all at the same time."""
    trace: list[object] = []

    async def write(client: ESDBClient, task: int) -> None:
        for number in range(ROUNDS):
            result = await client.append_event(f"s-{task % 3}", StreamState.ANY, event(task, number))
            trace.append((task, result, result.stream_position, trio.current_time()))

    async def follow(client: ESDBClient, task: int) -> None:
        async with client.subscribe_all_events() as events:
            for _ in range(2 * task + 1):
                found = await events.receive()
                trace.append((task, found, found.recorded_at, events.subscription_id))

    async def give_up(client: ESDBClient, task: int) -> None:
        with trio.move_on_after(0):
            await client.get_stream_events(f"s-{task}")
        with trio.CancelScope() as scope:
            async with client.read_all_events() as events, trio.open_nursery() as nursery:
                nursery.start_soon(events.receive)
                scope.cancel()

    async with ESDBClient("esdb://embedded") as client:
        async with trio.open_nursery() as nursery:
            for task in range(TASKS):
                for function in (write, follow, give_up):
                    nursery.start_soon(function, client, task)
        async with client.read_all_events(filter_exclude=()) as events:
            trace += [found async for found in events]
    return trace


async def one_task() -> list[RecordedEvent]:
    """Calls one after another, and time that passes."""
    async with ESDBClient("esdb://embedded") as client:
        for number in range(ROUNDS):
            await client.append_event("s", StreamState.ANY, event(0, number))
            await trio.sleep(1000)
        await client.set_stream_metadata("s", {"$maxCount": 3})
        async with client.read_all_events(filter_exclude=("\\$metadata",)) as events:
            return [found async for found in events]


def run(main: object) -> list[object]:
    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))  # type: ignore[arg-type]


def test_calls_one_after_another() -> None:
    assert run(one_task) == run(one_task)


def test_calls_of_several_tasks_under_a_seeded_scheduler() -> None:
    traces: list[list[object]] = []

    @given(st.integers())
    @settings(max_examples=10, database=None)
    def example(_: int) -> None:
        traces.append(run(several_tasks))

    example()
    assert len(traces) > 1
    assert [trace for trace in traces if trace != traces[0]] == []
