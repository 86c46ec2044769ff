"""The tests of the order service: one with a node that never fails, and one with a cluster that fails in 200 ways.

pytest examples/orders                     the first test needs pytest-trio, and trio_mode = true in pytest's settings
TRIO_ESDB_SEED=9 pytest examples/orders    one of the ways again
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from random import Random

import pytest
import trio
from naive_service import NaiveOrderService
from order_service import Board, OrderService, connected
from trio.testing import MockClock

from trio_esdb import ESDBClient
from trio_esdb.testing import World, simulate

ORDERS = [str(number) for number in range(1, 13)]
DELIVERIES = {"monday": 3, "tuesday": 4}


async def check_books(service: OrderService, board: Board) -> None:
    """What must be true at the end, whatever has happened."""
    moved = Counter[str]()
    reserved = []
    for event in await service.read("stock-lamp"):
        facts = json.loads(event.data)
        moved[event.type] += facts["quantity"]
        if event.type == "StockReserved":
            reserved.append(facts["order"])
    assert moved["StockDelivered"] == sum(DELIVERIES.values()), "each delivery counts once"
    assert moved["StockReserved"] <= moved["StockDelivered"], "nothing is sold that is not there"
    assert len(reserved) == len(set(reserved)), "nothing is reserved twice for an order"

    for order in ORDERS:
        types = [event.type for event in await service.read(f"order-{order}")]
        decision = "OrderConfirmed" if order in reserved else "OrderRejected"
        assert types == ["OrderPlaced", decision], "each order is placed once and decided once"
        assert board.orders[order] == decision.removeprefix("Order").lower(), "the board shows the truth"


async def shop(service: OrderService) -> None:
    """A day in the shop: deliveries and orders come."""
    for delivery, quantity in DELIVERIES.items():
        await service.deliver(delivery, "lamp", quantity)
        for order in ORDERS[: len(ORDERS) // 2] if delivery == "monday" else ORDERS[len(ORDERS) // 2 :]:
            await service.place(order, "lamp", 1)
            await trio.sleep(1)


async def test_a_day_without_trouble(autojump_clock: MockClock) -> None:
    board = Board()
    async with ESDBClient("esdb://embedded") as client:
        service = OrderService(client)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(service.fulfil)
            nursery.start_soon(service.keep_board, board)
            await shop(service)
            await board.until_decided(*ORDERS)
            nursery.cancel_scope.cancel()
        await check_books(service, board)
    assert Counter(board.orders.values()) == {"confirmed": 7, "rejected": 5}


async def restarted(random: Random, work: Callable[[], Awaitable[None]]) -> None:
    """Run a part of the service, stop it at any moment and start it again, as crashes and deployments do."""
    while True:
        with trio.move_on_after(random.uniform(1, 15)):
            await work()


async def a_day_with_trouble(world: World, kind: type[OrderService]) -> None:
    """Nodes are lost while the shop is open. In the end the books must be right."""
    board = Board()
    async with AsyncExitStack() as stack:
        service = kind(await connected(stack, world.client))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(restarted, world.random, service.fulfil)
            nursery.start_soon(restarted, world.random, partial(service.keep_board, board))
            await shop(service)
            await world.healed()
            await board.until_decided(*ORDERS)
            nursery.cancel_scope.cancel()
        await check_books(service, board)


@simulate(seeds=200, nodes=3)
async def test_the_books_are_right_whatever_fails(world: World) -> None:
    await a_day_with_trouble(world, OrderService)


@simulate(seeds=200, nodes=3)
async def search_in_the_naive_service(world: World) -> None:
    await a_day_with_trouble(world, NaiveOrderService)


def test_the_search_finds_the_fault_of_the_naive_service() -> None:
    """It says what is wrong, and which faults at which times are enough to show it."""
    with pytest.raises(AssertionError) as failure:
        search_in_the_naive_service()
    print(told := "\n".join(failure.value.__notes__))
    assert "from trio_esdb.testing import" in told
    assert "@simulate(" in told
    assert told.count("at=") < 10
