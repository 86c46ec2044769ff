"""What an event of a group may cost, with its ack, counted. The figures in brackets are today's."""

from __future__ import annotations

import struct

import pytest
import trio

from tests.support import scripted
from tests.support.canned import CannedServer, live, packed
from tests.support.counting import counted_calls, counted_steps
from trio_esdb import ESDBClient

EVENTS = 1000
OK = (":status", "200"), ("content-type", "application/grpc")
MESSAGES = [
    scripted.joined(),
    *(scripted.delivered(n, "guarded-stream", data=b"x" * 200, position=1_000_000 + 378 * n) for n in range(EVENTS)),
]


class Group(CannedServer):
    """A server of a group: it delivers all events as soon as a consumer connects, and takes the acks."""

    def _take(self, data: bytes) -> None:
        at = 24 if data.startswith(b"PRI") else 0
        while at < len(data):
            upper, lower, kind, _, stream_id = struct.unpack_from(">HBBBI", data, at)
            at += 9 + (upper << 8 | lower)
            if kind == 1:
                self.requests += 1
                self._waiting += self._answer(self, stream_id)  # type: ignore[operator]


def delivering(framing: object) -> object:
    def answer(server: CannedServer, stream_id: int) -> bytes:
        return server.headers(stream_id, *OK) + framing(MESSAGES, stream_id)  # type: ignore[operator]

    return answer


def client_of(server: CannedServer) -> ESDBClient:
    async def connect(host: str, port: int) -> trio.abc.Stream:
        return server

    return ESDBClient("esdb://canned?Tls=false", connect=connect)


async def consume_once(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "guarded-stream", buffer_size=EVENTS, grace=0) as events:
        count = 0
        async for event in events:
            events.ack(event)
            count += 1
            if count == EVENTS:
                break


@pytest.mark.parametrize(
    ("framing", "calls_per_event"),
    [(packed, 6), (live, 8)],  # [4.9, 6.8]: settling takes two of its own
    ids=["packed", "live"],
)
async def test_function_calls_for_an_event_and_its_ack(
    framing: object, calls_per_event: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_of(Group(delivering(framing))) as client:
        await consume_once(client)
        with counted_calls() as calls:
            await consume_once(client)
    assert calls.total / EVENTS < calls_per_event, (calls.total, calls.worst(EVENTS))


async def test_bytes_and_turns_for_a_thousand_acks(autojump_clock: trio.testing.MockClock) -> None:
    """Protects batches: acks are gathered, and leave with what is sent anyway."""
    server = Group(delivering(packed))
    async with client_of(server) as client:
        await consume_once(client)
        before = server.sends, server.sent
        with counted_steps() as steps:
            await consume_once(client)
    assert server.sends - before[0] <= 14  # [9]
    assert (server.sent - before[1]) / EVENTS < 42  # [41]: 40 for the id, the rest is shared
    assert steps.count < 150
