"""The tests of the order service.

pytest examples/orders                     needs pytest-trio, and trio_mode = true in the settings of pytest
"""

from __future__ import annotations

import json
from collections import Counter

import trio
from order_service import Board, OrderService
from trio.testing import MockClock

from trio_esdb import ESDBClient

ORDERS = [str(number) for number in range(1, 13)]
DELIVERIES = {"monday": 3, "tuesday": 4}


async def check_books(service: OrderService, board: Board) -> None:
    """What must be true at the end, whatever has happened."""
    stock = Counter[str]()
    reserved = []
    for event in await service.read("stock-lamp"):
        facts = json.loads(event.data)
        stock[event.type] += facts["quantity"]
        if event.type == "StockReserved":
            reserved.append(facts["order"])
    assert stock["StockDelivered"] == sum(DELIVERIES.values()), "each delivery counts once"
    assert stock["StockReserved"] <= stock["StockDelivered"], "nothing is sold that is not there"
    assert sorted(reserved) == sorted(set(reserved)), "nothing is reserved twice for an order"

    for order in ORDERS:
        types = [event.type for event in await service.read(f"order-{order}")]
        decision = "OrderConfirmed" if order in reserved else "OrderRejected"
        assert types == ["OrderPlaced", decision], f"order {order} is placed once and decided once"
        assert board.orders[order] == ("confirmed" if order in reserved else "rejected"), "the board shows the truth"


async def sell(service: OrderService, board: Board) -> None:
    """A day in the shop: deliveries and orders come, and each order is decided in the end."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.fulfil)
        nursery.start_soon(service.keep_board, board)
        for delivery, quantity in DELIVERIES.items():
            await service.deliver(delivery, "lamp", quantity)
        for order in ORDERS:
            await service.place(order, "lamp", 1)
        await board.until_decided(*ORDERS)
        nursery.cancel_scope.cancel()


async def test_a_day_without_trouble(autojump_clock: MockClock) -> None:
    board = Board()
    async with ESDBClient("esdb://embedded") as client:
        service = OrderService(client)
        await sell(service, board)
        await check_books(service, board)
    assert Counter(board.orders.values()) == {"confirmed": 7, "rejected": 5}
