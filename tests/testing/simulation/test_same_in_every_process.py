"""The same seed gives the same trace, byte for byte, in any process and whatever the order of hashes.

What the order of a set decides shows itself here, and so does what an address in memory decides: each process has
others. Among it are the orders in which trio ends calls that are cancelled together, and deadlines that are equal.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.documents import ROOT

PROGRAM = """
import random
import sys
import trio
from trio_esdb import ESDBError, NewEvent, RetryPolicy, StreamState, UnavailableError
from trio_esdb.testing import World, simulate

# Free memory in another order, so that the objects to come have other addresses.
memory = [bytearray(size) for size in range(16, 1024, 8) for _ in range(400)]
random.Random(sys.argv[1]).shuffle(memory)
while len(memory) > 1000:
    memory.pop()
WORLDS = {
    "node": {"seeds": 2, "nodes": 1},
    "cluster": {"seeds": 1, "read_only_replicas": 1, "tls": True, "users": True},
}


async def write(world, client, task):
    for number in range(4):
        try:
            await client.append_event(f"s-{task % 3}", StreamState.ANY, NewEvent("T", b"%d" % number))
        except ESDBError as exc:
            print(trio.current_time(), task, repr(exc))


async def follow(client, task):
    async with client.subscribe_all_events(include_resumed=True) as events:
        async with events.clone() as other, trio.open_nursery() as nursery:
            nursery.start_soon(take, other, task)
            await take(events, task)


async def take(events, task):
    while True:
        event = await events.receive()
        print(trio.current_time(), task, getattr(event, "id", event))


async def read(client, scope, task):
    with scope:
        while True:
            try:
                async with client.read_all_events(limit=3) as events:
                    async for event in events:
                        await trio.sleep(0)
            except ESDBError:
                await trio.sleep(0.1)


async def look(client, scope):
    with scope:
        while True:
            try:
                await client.get_stream_events("s-1")
            except ESDBError:
                await trio.sleep(0.1)


async def write_on(client, scope, task):
    with scope:
        while True:
            try:
                await client.append_event(f"t-{task}", StreamState.ANY, NewEvent("T", b""))
            except ESDBError:
                await trio.sleep(0.1)


@simulate(duration=8, settle=60, **WORLDS[sys.argv[2]])
async def test(world):
    async with world.client(connection_name="c") as client, trio.open_nursery() as nursery:
        async with trio.open_nursery() as short:
            for task in range(6):
                short.start_soon(write, world, client, task)
            end = trio.current_time() + 2
            for task in range(8):  # deadlines that are equal
                short.start_soon(look, client, trio.CancelScope(deadline=end))
                short.start_soon(write_on, client, trio.CancelScope(deadline=end), task)
                short.start_soon(read, client, trio.CancelScope(deadline=end), task)
        for task in range(3):
            nursery.start_soon(follow, client, task)
        with trio.move_on_after(1.5) as scope:  # many calls in one scope
            async with trio.open_nursery() as calls:
                for task in range(20):
                    calls.start_soon(write_on, client, trio.CancelScope(), task)
                for task in range(5):
                    calls.start_soon(look, client, trio.CancelScope())
        await world.healed()
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    print(world.trace)


test()
"""


def printed(world: str, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, hash_seed, world],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("world", ["node", "cluster"])
def test_processes_with_other_hashes_do_the_same(world: str) -> None:
    first = printed(world, "0")
    assert first.count("RST_STREAM") > 20
    assert printed(world, "4242") == first
