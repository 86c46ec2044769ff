"""How a node ends on SIGTERM, frame by frame as a real node was recorded to end."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import trio

from tests.support import http2
from tests.support.links import Hand, headers
from tests.support.peer import STREAMS, connected
from trio_esdb._wire import Code
from trio_esdb.embedded import EmbeddedNode
from trio_esdb_proto.event_store.client import StreamIdentifier
from trio_esdb_proto.event_store.client.streams import (
    ReadReq,
    ReadReqOptions,
    ReadReqOptionsStreamOptions,
    ReadReqOptionsSubscriptionOptions,
    ReadReqOptionsUuidOption,
)
from trio_esdb_proto.google.protobuf import Empty as Nothing

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())["goaway"]
GOSSIP = "/event_store.client.gossip.Gossip/Read"
LATER = 0.012
"""A real node takes this long to say GOAWAY."""
SUBSCRIPTION = bytes(
    ReadReq(
        options=ReadReqOptions(
            stream=ReadReqOptionsStreamOptions(stream_identifier=StreamIdentifier(stream_name=b"s"), start=Nothing()),
            subscription=ReadReqOptionsSubscriptionOptions(),
            no_filter=Nothing(),
            uuid_option=ReadReqOptionsUuidOption(string=Nothing()),
        )
    )
)


class Ends(trio.abc.Stream):
    """A stream that notes whether it is to be reset."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.is_reset = False

    def reset_when_closed(self) -> None:
        self.is_reset = True

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Client:
    """A client by hand, which notes the frames that come, but for DATA and windows."""

    def __init__(self, node: EmbeddedNode, nursery: trio.Nursery) -> None:
        self._hand = Hand()
        self.stream = Ends(self._hand.stream)
        self._hand.put(http2.PREFACE, http2.settings())
        self.start = trio.current_time()
        self.frames: list[tuple[float, dict[str, Any]]] = []
        nursery.start_soon(node.serve_stream, self.stream)

    @property
    def closed(self) -> bool:
        return self._hand.closed

    def ask(self, stream: int, path: str, message: bytes = b"") -> None:
        self._hand.put(self._hand.headers(stream, headers(path)), http2.data(stream, http2.message(message), end=True))

    async def listen(self) -> list[dict[str, Any]]:
        """The frames that came since the last time."""
        found = []
        for sent in await self._hand.heard():
            if sent.kind == http2.HEADERS:
                found.append({"type": "HEADERS", "stream": sent.stream_id, "flags": sent.flags})
            elif sent.kind == http2.GOAWAY:
                last, code = struct.unpack(">II", sent.payload)
                found.append({"type": "GOAWAY", "last": last, "error": Code(code).name, "debug": ""})
            elif sent.kind == http2.RST_STREAM:
                found.append({"type": "RST_STREAM", "stream": sent.stream_id})
        return found


def recorded(name: str) -> list[tuple[float, dict[str, Any]]]:
    """The frames that came after the signal, with their times in seconds after it."""
    keys = {"HEADERS": ("type", "stream", "flags"), "GOAWAY": ("type", "last", "error", "debug"), "CLOSED": ("type",)}
    return [
        (frame["t"] / 1000, {key: frame[key] for key in keys[frame["type"]]})
        for frame in RECORDED[name]
        if frame["t"] >= 0
    ]


async def test_a_connection_with_calls_goes_on_for_five_seconds(nursery: trio.Nursery) -> None:
    async with EmbeddedNode() as node:
        client = Client(node, nursery)
        client.ask(1, STREAMS + "Read", SUBSCRIPTION)
        await client.listen()
        start = trio.current_time()
        nursery.start_soon(node.shut_down)
        (_, goaway), *expected, (_, closed) = recorded("frames")
        assert closed["type"] == "CLOSED"
        assert await client.listen() == [goaway]
        for after, stream, _, _ in RECORDED["new calls on the connection"]:
            await trio.sleep_until(start + after / 1000)
            client.ask(stream, GOSSIP)
            frames = [frame for _, frame in expected if frame.get("stream") == stream]
            assert len(frames) == 2
            assert await client.listen() == frames
        await trio.sleep_until(start + 4.99)
        assert await client.listen() == []
        assert not client.closed
        await trio.sleep_until(start + 5.009)
        assert await client.listen() == [], "no second GOAWAY"
        assert client.closed
        assert client.stream.is_reset


async def test_a_connection_without_calls_is_closed_at_once(nursery: trio.Nursery) -> None:
    async with EmbeddedNode() as node, connected(node) as busy:
        await busy.subscribe("s").some(2)
        client = Client(node, nursery)
        await client.listen()
        nursery.start_soon(node.shut_down)
        (_, goaway), _ = recorded("frames on a connection without calls")
        assert await client.listen() == [goaway]
        assert client.closed
        assert not client.stream.is_reset


async def test_a_killed_node_closes_its_connections_without_a_frame(nursery: trio.Nursery) -> None:
    async with EmbeddedNode() as node:
        idle, busy = Client(node, nursery), Client(node, nursery)
        busy.ask(1, STREAMS + "Read", SUBSCRIPTION)
        for client in (idle, busy):
            await client.listen()
        node.kill()
        for client in (idle, busy):
            assert await client.listen() == []
            assert client.closed
            assert not client.stream.is_reset
