"""nginx between our client and a node: what a proxy does to connections and calls, the client heals.

nginx takes so many calls on a connection (``keepalive_requests``), then it says GOAWAY, which refuses calls that came
since. It resets a call in which its server is silent (``grpc_read_timeout``). It closes connections without calls
(``keepalive_timeout``). When its configuration is loaded again, it says GOAWAY on all connections, and breaks them a
while later (``worker_shutdown_timeout``).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.support.clock import PATIENCE
from tests.support.nginx import MISSING, NGINX, Nginx
from trio_esdb import (
    CaughtUp,
    ESDBClient,
    NewEvent,
    UnavailableError,
)

if NGINX is None:
    pytest.skip(MISSING, allow_module_level=True)


def uri(proxy: Nginx) -> str:
    return f"esdb://127.0.0.1:{proxy.port}?Tls=false"


def event(number: int = 0, size: int = 0) -> NewEvent:
    return NewEvent(type="Happened", data=b'{"n":%d}' % number + b" " * size)


async def live_a_life(client: ESDBClient, name: str) -> None:
    async with client.subscribe_stream_events(name, include_caught_up=True) as events:
        assert await events.receive() == CaughtUp()
        await client.append_events(name, None, [event(n, 30_000) for n in range(20)])
        await client.append_event(name, 19, event(20, 900_000))
        assert [(await events.receive()).stream_position for _ in range(21)] == list(range(21))
    assert len(await client.get_stream_events(name)) == 21
    await client.delete_stream(name, 20)
    assert await client.get_stream_position(name) is None


async def test_a_life_of_a_stream(node: str, tmp_path: Path) -> None:
    async with Nginx.running(node, tmp_path) as proxy:
        with trio.fail_after(PATIENCE):
            async with ESDBClient(uri(proxy)) as client:
                await live_a_life(client, "life")


async def test_a_proxy_without_a_node(node: str, tmp_path: Path) -> None:
    """What a call gets that is not repeated: HTTP's 502 does not tell whether the node has seen it."""
    nobody = "127.0.0.1:1"
    async with Nginx.running(nobody, tmp_path, log="emerg") as proxy:
        with trio.fail_after(PATIENCE):
            async with ESDBClient(uri(proxy), retry=False) as client:
                with pytest.raises(UnavailableError, match="HTTP 502") as failed:
                    await client.append_event("s", None, event())
                assert failed.value.applied is None
                with pytest.raises(UnavailableError, match="HTTP 502"):
                    await client.get_stream_events("s")
