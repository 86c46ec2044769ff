"""Large appends, calls that go on sending and clients inside of scopes, cancelled at each step."""

from __future__ import annotations

from itertools import count

import pytest
import trio
import trio.testing

from tests.support.links import Call, linked
from tests.support.links import headers as headers_of
from tests.support.world import Moment, World, every_moment, sweep
from trio_esdb import NewEvent
from trio_esdb._transport._serving import AsyncHandler, ServerCall

EVENT = NewEvent("Happened", b"{}")


@every_moment
async def test_an_append_in_many_turns(world: World, monkeypatch: pytest.MonkeyPatch, moment: Moment) -> None:
    """It is whole or nothing, wherever it was cancelled."""
    monkeypatch.setattr("trio_esdb._client._writing._WORK_OF_A_TURN", 10_000)
    monkeypatch.setattr("trio_esdb._transport._calls._MESSAGES_PER_TURN", 3)
    names = count()
    name = ""

    async def append() -> None:
        nonlocal name
        name = f"s-{next(names)}"
        await world.client.append_events(name, None, [EVENT] * 16)

    async def check() -> None:
        assert await world.client.get_stream_position(name) in (None, 15)

    await world.sweep(append, moment, check=check)


@every_moment
async def test_a_call_that_goes_on_sending(moment: Moment) -> None:
    """Whatever a cancelled call had sent comes whole, and the connection goes on."""
    got: list[bytes] = []

    async def serve(call: ServerCall) -> None:
        try:
            while True:
                got.append(await call.receive())
                await call.send(got[-1][:1])
        except trio.EndOfChannel:
            pass

    async with linked({"/echo": AsyncHandler(serve)}) as link:

        async def use() -> None:
            call = Call(link, headers_of("/echo"), [b"first"], end=False)
            try:
                for size in (10, 100_000, 100_000):
                    await call.send(b"x" * size)
                call.half_close()
                while True:
                    call.drawn(await call.batches.receive())
            except trio.EndOfChannel:
                assert call.outcome is not None
                assert call.outcome.ok
            finally:
                call.close()

        async def check() -> None:
            await trio.testing.wait_all_tasks_blocked()
            assert not link.core.streams
            assert not link.core.has_output
            assert {len(message) for message in got} <= {5, 10, 100_000}
            got.clear()

        assert await sweep(use, check, moment) > 3


@every_moment
async def test_a_client_that_cleans_up_as_it_is_cancelled(world: World, moment: Moment) -> None:
    await trio.testing.wait_all_tasks_blocked()
    tasks = trio.lowlevel.current_statistics().tasks_living
    opened = cleaned = 0

    async def use() -> None:
        nonlocal opened, cleaned
        async with world.new_client() as client:
            opened += 1
            try:
                await client.append_event("s", -1, EVENT)
            finally:
                with trio.CancelScope(shield=True):
                    await client.append_event("audit", -1, EVENT)
                    cleaned += 1

    async def check() -> None:
        await trio.testing.wait_all_tasks_blocked()
        assert cleaned == opened
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert all(link.closed.is_set() for link in world.served[1:])

    assert await sweep(use, check, moment) > 1
