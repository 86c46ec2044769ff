"""An order service: it takes orders, reserves stock for them, and keeps a board that shows how they stand.

Three parts run at the same time, and each of them may be stopped and started again at any moment:

- commands: `deliver` and `place` append events that say what has happened.
- a process manager, `fulfil`: for each order it reserves stock, and then confirms or rejects the order.
- a projection, `keep_board`: it follows all orders and shows the state of each.

No write may happen twice, though calls are repeated when nodes are lost. Two rules make this so. Each event has an id
that follows from what it says, and each append expects a position: the server then recognises what it has already
written, and refuses what another part of the service has decided first.

    python examples/orders/order_service.py [ADDRESS]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import trio

from trio_esdb import (
    AbortedError,
    DeadlineExceededError,
    ESDBClient,
    ExpectedPositionError,
    NewEvent,
    NotLeaderError,
    RecordedEvent,
    StreamNotFoundError,
    StreamState,
    UnavailableError,
)

TEMPORARY = (UnavailableError, DeadlineExceededError, AbortedError, NotLeaderError)
"""What is over after some time: a node is lost, the cluster has no leader, an answer does not come."""
IDS = UUID("6e1f5a0c-3c55-4f0e-9a53-1f1c2a6b7d10")


@dataclass
class Stock:
    """What the stream of an item says."""

    position: int | None = None
    left: int = 0
    deliveries: set[str] = field(default_factory=set)
    decided: dict[str, bool] = field(default_factory=dict)
    """The orders that asked for the item, and whether it was reserved for them."""


@dataclass
class Board:
    """The state of each order, and the position up to which the log was read. Both belong into one transaction."""

    orders: dict[str, str] = field(default_factory=dict)
    position: int | None = None
    changed: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def show(self, recorded: RecordedEvent) -> None:
        """What an event changes."""
        order = recorded.stream_name.removeprefix("order-")
        self.orders[order] = recorded.type.removeprefix("Order").lower()
        self.position = recorded.resume_commit_position
        self.changed.unpark_all()

    async def until_decided(self, *orders: str) -> None:
        """Wait until the board shows all these orders as confirmed or rejected."""
        while any(self.orders.get(order, "placed") == "placed" for order in orders):
            await self.changed.park()


def event(type: str, key: str, **facts: Any) -> NewEvent:
    """An event whose id follows from its type and a key, so that a repetition of it is recognised."""
    return NewEvent(type=type, data=json.dumps(facts).encode(), id=uuid5(IDS, f"{type} {key}"))


async def connected(stack: AsyncExitStack, make: Callable[[], ESDBClient]) -> ESDBClient:
    """Connect, however long it takes; the client is closed with the stack."""
    while True:
        try:
            return await stack.enter_async_context(make())
        except TEMPORARY:
            await trio.sleep(1)


class OrderService:
    """What the service does. It keeps nothing in memory."""

    def __init__(self, client: ESDBClient) -> None:
        self.client = client

    async def append(self, stream: str, position: int | None, event: NewEvent) -> bool:
        """Append an event at a place, however often it takes; False if there is another event at this place."""
        while True:
            try:
                await self.client.append_event(stream, position, event)
            except ExpectedPositionError:
                return False
            except TEMPORARY:
                await trio.sleep(1)
            else:
                return True

    async def read(self, stream: str, **how: Any) -> Sequence[RecordedEvent]:
        """The events of a stream."""
        while True:
            try:
                return await self.client.get_stream_events(stream, **how)
            except StreamNotFoundError:
                return []
            except TEMPORARY:
                await trio.sleep(1)

    async def follow(
        self, handle: Callable[[RecordedEvent], Awaitable[None]], types: Sequence[str], position: int | None
    ) -> None:
        """Hand over all events of some types, for ever, beginning after a position."""
        while True:
            try:
                async with self.client.subscribe_all_events(position, filter_include=types) as events:
                    async for recorded in events:
                        await handle(recorded)
                        position = recorded.resume_commit_position
            except TEMPORARY:
                await trio.sleep(1)

    async def stock(self, item: str) -> Stock:
        """What is left of an item."""
        stock = Stock()
        for recorded in await self.read(f"stock-{item}"):
            facts = json.loads(recorded.data)
            match recorded.type:
                case "StockDelivered":
                    stock.left += facts["quantity"]
                    stock.deliveries.add(facts["delivery"])
                case "StockReserved":
                    stock.left -= facts["quantity"]
                    stock.decided[facts["order"]] = True
                case "StockRefused":
                    stock.decided[facts["order"]] = False
            stock.position = recorded.stream_position
        return stock

    # -- commands ----------------------------------------------------------------------------------------------------

    async def deliver(self, delivery: str, item: str, quantity: int) -> None:
        """Stock has come. The same delivery counts once."""
        while delivery not in (stock := await self.stock(item)).deliveries:
            delivered = event("StockDelivered", delivery, delivery=delivery, quantity=quantity)
            await self.append(f"stock-{item}", stock.position, delivered)

    async def place(self, order: str, item: str, quantity: int) -> bool:
        """Take an order; False if there was one with this number before, with other contents or not."""
        return await self.append(f"order-{order}", None, event("OrderPlaced", order, item=item, quantity=quantity))

    # -- the process manager -----------------------------------------------------------------------------------------

    async def fulfil(self) -> None:
        """Confirm or reject each order, for ever. It goes on about where it stopped; what is done stays as it is."""
        handled = 0

        async def decide(placed: RecordedEvent) -> None:
            nonlocal handled
            order = placed.stream_name.removeprefix("order-")
            facts = json.loads(placed.data)
            reserved = await self.reserve(order, facts["item"], facts["quantity"])
            await self.append(placed.stream_name, 0, event("OrderConfirmed" if reserved else "OrderRejected", order))
            handled += 1
            if handled % 10 == 0:
                await self.remember(placed.resume_commit_position)

        await self.follow(decide, ["OrderPlaced"], await self.remembered())

    async def reserve(self, order: str, item: str, quantity: int) -> bool:
        """Decide whether an order gets its item. It is decided once, whoever asks and however often."""
        while order not in (stock := await self.stock(item)).decided:
            type = "StockReserved" if quantity <= stock.left else "StockRefused"
            await self.append(f"stock-{item}", stock.position, event(type, order, order=order, quantity=quantity))
        return stock.decided[order]

    async def remember(self, position: int | None) -> None:
        """Note how far `fulfil` has come. If this is lost, or written twice, some orders are only looked at again."""
        with suppress(*TEMPORARY):
            note = NewEvent("Handled", json.dumps(position).encode())
            await self.client.append_event("fulfilment", StreamState.ANY, note)

    async def remembered(self) -> int | None:
        notes = await self.read("fulfilment", backwards=True, limit=1)
        return json.loads(notes[0].data) if notes else None

    # -- the projection ----------------------------------------------------------------------------------------------

    async def keep_board(self, board: Board) -> None:
        """Keep a board up to date, for ever. It goes on where the board ends."""

        async def show(recorded: RecordedEvent) -> None:
            board.show(recorded)

        await self.follow(show, ["OrderPlaced", "OrderConfirmed", "OrderRejected"], board.position)


async def main(address: str) -> None:
    board = Board()
    async with ESDBClient(address) as client, trio.open_nursery() as nursery:
        service = OrderService(client)
        nursery.start_soon(service.fulfil)
        nursery.start_soon(service.keep_board, board)

        await service.deliver("delivery-1", "lamp", 3)
        for order, quantity in [("1", 1), ("2", 1), ("3", 2), ("4", 1)]:
            await service.place(order, "lamp", quantity)
            await board.until_decided(order)
            print(f"order {order}: {quantity} lamps, {board.orders[order]}")
        print("left:", (await service.stock("lamp")).left)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1] if len(sys.argv) > 1 else "esdb://embedded")
