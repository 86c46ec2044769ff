"""``trio-esdb demo``: one task appends orders, another subscribes to them, a table shows both."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from trio_esdb import AppendResult, ESDBClient, NewEvent, RecordedEvent
from trio_esdb._nursery import background_tasks

_STEPS = ("OrderPlaced", "OrderPaid", "OrderShipped")
_PAUSE = 0.05
_PATIENCE = 30.0


@dataclass
class _Order:
    """What the two tasks know of one order."""

    stream_name: str
    appended: AppendResult | None = None
    received: list[RecordedEvent] = field(default_factory=list)

    def cells(self) -> tuple[str, str, str, str]:
        """A row of the table."""
        last = self.received[-1] if self.received else None
        return (
            self.stream_name,
            "" if self.appended is None else f"{self.appended.stream_position} @ {self.appended.commit_position}",
            "" if last is None else f"{last.stream_position} @ {last.commit_position}",
            "" if last is None else last.type,
        )


async def demo(address: str, count: int) -> None:
    """Append ``count`` orders of three events each to the node at this address, and receive them.

    KeyboardInterrupt after Ctrl-C, which is waited for here so that it finds nothing half-done.
    """
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with background_tasks() as waiting:
            waiting.start_soon(_interrupt, signals)
            await _append_and_receive(address, count)


async def _interrupt(signals: AsyncIterator[int]) -> None:
    async for _ in signals:
        raise KeyboardInterrupt


async def _append_and_receive(address: str, count: int) -> None:
    run = uuid.uuid4().hex[:8]
    orders = {name: _Order(name) for name in (f"order-{run}-{number}" for number in range(1, count + 1))}
    with trio.fail_after(_PATIENCE):
        async with ESDBClient(address) as client:
            subscribed = trio.Event()
            with _table(list(orders.values())) as show:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_receive, client, f"order-{run}-", orders, subscribed, show)
                    nursery.start_soon(_append, client, orders, subscribed, show)
    _summary(address, orders)


async def _append(
    client: ESDBClient, orders: dict[str, _Order], subscribed: trio.Event, show: Callable[[], None]
) -> None:
    await subscribed.wait()
    for number, order in enumerate(orders.values(), 1):
        events = [NewEvent(type=step, data=json.dumps({"order": number, "step": step}).encode()) for step in _STEPS]
        order.appended = await client.append_events(order.stream_name, expected_position=None, events=events)
        show()
        await trio.sleep(_PAUSE)


async def _receive(
    client: ESDBClient, prefix: str, orders: dict[str, _Order], subscribed: trio.Event, show: Callable[[], None]
) -> None:
    missing = len(orders) * len(_STEPS)
    async with client.subscribe_all_events(
        from_end=True, filter_include=[prefix], filter_by_stream_name=True, filter_by_prefix=True
    ) as events:
        subscribed.set()
        async for event in events:
            orders[event.stream_name].received.append(event)
            show()
            missing -= 1
            if not missing:
                return


_COLUMNS = ("stream", "appended (position @ commit)", "received (position @ commit)", "last event")


@contextmanager
def _table(orders: list[_Order]) -> Iterator[Callable[[], None]]:
    """A table that follows the orders, where the `cli` extra is installed; a line for each order where it is not."""
    try:
        from rich.live import Live
        from rich.table import Table
    except ImportError:
        printed: set[str] = set()

        def show_line() -> None:
            for order in orders:
                if len(order.received) == len(_STEPS) and order.stream_name not in printed:
                    printed.add(order.stream_name)
                    print("  ".join(order.cells()), flush=True)

        print("  ".join(_COLUMNS))
        yield show_line
        return

    def table() -> Table:
        shown = Table(*_COLUMNS, title="orders")
        for order in orders:
            shown.add_row(*order.cells())
        return shown

    with Live(table(), auto_refresh=False) as live:
        yield lambda: live.update(table(), refresh=True)


def _summary(address: str, orders: dict[str, _Order]) -> None:
    events = [event for order in orders.values() for event in order.received]
    shown = address.partition("://")[0] + "://" + address.partition("://")[2].rpartition("@")[2]  # no password
    print(f"\n{len(orders)} orders appended to {shown}, {len(events)} events received:")
    for event in events:
        print(f"  {event.id}  {event.stream_name}/{event.stream_position}  {event.type}  @ {event.commit_position}")
    last = max(event.commit_position or 0 for event in events)
    print(f"last commit position: {last}")
