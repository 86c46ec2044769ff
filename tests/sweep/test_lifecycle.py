"""Opening and closing a client, cancelled at each step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from tests.support.leaks import links_of
from tests.support.world import Moment, World, every_moment, sweep
from trio_esdb import ESDBClient, NewEvent

EVENT = NewEvent("Happened", b"{}")


async def just_open(client: ESDBClient) -> None:
    async with client:
        pass


async def open_and_use(client: ESDBClient) -> None:
    async with client:
        await client.append_event("s", -1, EVENT)
        async with client.subscribe_all_events() as events:
            await events.receive()


async def open_and_close(client: ESDBClient) -> None:
    async with client:
        await client.aclose()


async def run_and_close(client: ESDBClient) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        await client.append_event("s", -1, EVENT)
        await client.aclose()


async def run_and_cancel(client: ESDBClient) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        nursery.cancel_scope.cancel()


LIVES: list[Callable[[ESDBClient], Awaitable[None]]] = [
    just_open,
    open_and_use,
    open_and_close,
    run_and_close,
    run_and_cancel,
]


@every_moment
@pytest.mark.parametrize("life", LIVES)
async def test_a_client(world: World, life: Callable[[ESDBClient], Awaitable[None]], moment: Moment) -> None:
    await trio.testing.wait_all_tasks_blocked()
    tasks = trio.lowlevel.current_statistics().tasks_living
    client: ESDBClient

    async def use() -> None:
        nonlocal client
        client = world.new_client()
        await life(client)

    async def check() -> None:
        began = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == began
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert [link.closed.is_set() for link in world.served[1:]] == [True] * (len(world.served) - 1)
        assert client.statistics().connections == ()
        if "not open" not in repr(client):
            with pytest.raises(trio.ClosedResourceError):
                await client.append_event("s", -1, EVENT)

    assert await sweep(use, check, moment) > 1


@every_moment
@pytest.mark.parametrize("life", LIVES)
async def test_a_client_with_a_node_of_its_own(life: Callable[[ESDBClient], Awaitable[None]], moment: Moment) -> None:
    tasks = trio.lowlevel.current_statistics().tasks_living

    async def check() -> None:
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks

    assert await sweep(lambda: life(ESDBClient("esdb://embedded")), check, moment) > 1


@every_moment
async def test_a_call_that_has_to_connect_first(world: World, moment: Moment) -> None:
    """After whatever became of it the client has at most one connection, and it works."""
    await world.client.append_event("s", -1, EVENT)  # the task that keeps deadlines begins
    await trio.testing.wait_all_tasks_blocked()
    tasks = trio.lowlevel.current_statistics().tasks_living

    async def use() -> None:
        await world.client.append_event("s", -1, EVENT)

    async def check() -> None:
        await trio.testing.wait_all_tasks_blocked()
        assert len(world.client.statistics().connections) <= 1
        await world.client.append_event("s", -1, EVENT)
        (link,) = links_of(world.client)
        await world.is_at_rest(link, tasks)
        link.close()
        await link.closed.wait()
        assert world.client.statistics().connections == ()

    (link,) = links_of(world.client)
    link.close()
    await link.closed.wait()
    assert await sweep(use, check, moment) > 1


@every_moment
async def test_closing_is_done_even_if_it_is_cancelled(world: World, moment: Moment) -> None:
    async def use() -> None:
        with trio.CancelScope(shield=True) as shield:
            async with world.new_client() as client:
                shield.shield = False
                try:
                    await client.aclose()
                finally:
                    shield.shield = True
                    with pytest.raises(trio.ClosedResourceError):
                        await client.append_event("s", -1, EVENT)

    async def check() -> None:
        await trio.testing.wait_all_tasks_blocked()
        assert all(link.closed.is_set() for link in world.served[1:])

    assert await sweep(use, check, moment) > 1
