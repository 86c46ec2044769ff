"""What a node measures of a group, with its own reading each second."""

from __future__ import annotations

import gc

import trio
import trio.testing

from tests.embedded.groups.test_group import Outside
from trio_esdb import ESDBClient, NewEvent, StreamState
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.embedded._groups import observed
from trio_esdb.embedded._groups._statistics import OBSERVED, Deliveries
from trio_esdb.testing import MemoryNetwork


def test_deliveries_are_counted_since_the_last_measurement() -> None:
    deliveries = Deliveries(200.0)
    for _ in range(10):
        deliveries.add(300.0)
    assert deliveries.read(700.0) == (10, 20)
    assert deliveries.read(700.0) == (0, 0)
    deliveries.add(800.0)
    assert deliveries.read(900.0) == (1, 5)
    assert deliveries.total == 11


def test_the_node_itself_measures_each_second() -> None:
    deliveries = Deliveries(0.0)
    deliveries.add(900.0)
    assert deliveries.read(1_100.0) == (0, 0)
    deliveries.add(1_900.0)
    deliveries.add(2_250.0)
    assert deliveries.read(2_500.0) == (1, 2)
    deliveries.add(2_600.0)
    assert deliveries.read(3_000.0) == (0, 0)
    assert deliveries.total == 4


def test_what_is_told_of_times_and_its_order() -> None:
    assert observed([]) == []
    assert observed(float(number) for number in range(1000, -1, -1)) == [
        ("Mean", 500),
        ("Median", 500),
        ("Fastest", 0),
        ("Quintile 1", 200),
        ("Quintile 2", 400),
        ("Quintile 3", 600),
        ("Quintile 4", 800),
        ("Quintile 5", 1000),
        ("90%", 900),
        ("95%", 950),
        ("99%", 990),
        ("99.5%", 995),
        ("99.9%", 999),
        ("Highest", 1000),
    ]
    assert [value for _, value in observed([7.9])] == [7] * 14


def test_only_the_latest_acks_are_observed_and_no_refusals() -> None:
    outside = Outside(after=None, extra_statistics=True, history_buffer_size=5000)
    consumer = outside.connect(5000).consumer
    outside.write(*range(OBSERVED + 2))
    outside.now = 5.0
    outside.group.nack([100], "skip", "", outside.now)
    outside.group.ack([101], outside.now)
    assert consumer.times is not None
    assert list(consumer.times) == [5.0]
    outside.now = 9.0
    outside.group.ack(range(102, 102 + OBSERVED), outside.now)
    assert list(consumer.times) == [9.0] * OBSERVED


async def test_a_client_is_told_the_statistics(autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork()
    async with (
        EmbeddedNode() as node,
        network.listen(node, "node", 2113),
        ESDBClient("esdb://node:2113?tls=false", connect=network.connect) as client,
    ):
        await client.append_events("s", StreamState.ANY, [NewEvent("A", b"") for _ in range(8)])
        await client.create_stream_subscription("g", "s", extra_statistics=True)
        await trio.sleep(10 - trio.current_time() % 1)
        async with client.read_stream_subscription("g", "s", buffer_size=5) as events:
            got = [await events.receive() for _ in range(5)]
            await trio.sleep(0.5)
            info = await client.get_subscription_info("g", "s")
            (consumer,) = info.consumers
            assert (info.count_since_last_measurement, info.average_per_second) == (5, 10)
            assert (consumer.count_since_last_measurement, consumer.average_items_per_second) == (5, 10)
            assert consumer.measurements == {}
            events.ack(got)
            await events.flush()
            await trio.sleep(1)
            info = await client.get_subscription_info("g", "s")
            assert (info.count_since_last_measurement, info.average_per_second, info.total_items) == (0, 0, 8)
            assert list(info.consumers[0].measurements)[:3] == ["Mean", "Median", "Fastest"]
            assert 500 <= info.consumers[0].measurements["Highest"] <= 501


async def test_idle_groups_have_no_tasks_no_timers_and_few_objects(autojump_clock: trio.testing.MockClock) -> None:
    network, groups = MemoryNetwork(), 300
    async with (
        EmbeddedNode() as node,
        network.listen(node, "node", 2113),
        ESDBClient("esdb://node:2113?tls=false", connect=network.connect) as client,
    ):
        await client.create_stream_subscription("first", "s")
        await trio.testing.wait_all_tasks_blocked()
        tasks, objects = trio.lowlevel.current_statistics().tasks_living, _objects()
        for number in range(groups):
            await client.create_stream_subscription(f"g{number}", "s")
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert (_objects() - objects) / groups < 40
        instrument = _Steps()
        trio.lowlevel.add_instrument(instrument)
        await trio.sleep(20)  # less than the client or the node waits before it looks after a connection
        trio.lowlevel.remove_instrument(instrument)
        assert instrument.steps < 20  # a timer of the groups would wake once a second


def _objects() -> int:
    gc.collect()
    return len(gc.get_objects())


class _Steps(trio.abc.Instrument):
    def __init__(self) -> None:
        self.steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
