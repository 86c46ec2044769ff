"""Consumers that say nonsense, that are slow, or whose group ends."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.conformance.persistent import SETTINGS, P, source, which
from tests.support.peer import UNKNOWN, Call, Peer


async def create(peer: Peer, stream: str | None = "s", **settings: Any) -> None:
    options = {**source(stream, "start"), "group_name": "g", "settings": {**SETTINGS, **settings}}
    if stream is not None:
        options["stream_identifier"] = {"stream_name": stream.encode()}
    _, outcome = await peer.ask(P + "Create", {"options": options})
    assert outcome.ok, outcome


async def consume(peer: Peer, stream: str | None = "s", size: int = 10) -> Call:
    options = {**which(stream), "group_name": "g", "buffer_size": size, "uuid_option": {"string": {}}}
    call = peer.call(P + "Read").send({"options": options})
    assert "subscription_confirmation" in await call.receive()
    return call


def id_of(response: dict[str, Any]) -> dict[str, Any]:
    id: dict[str, Any] = response["event"]["event"]["id"]
    return id


async def info(peer: Peer) -> dict[str, Any]:
    ((response,), outcome) = await peer.ask(P + "GetInfo", {"options": {**which("s"), "group_name": "g"}})
    assert outcome.ok
    found: dict[str, Any] = response["subscription_info"]
    return found


OPTIONS = {**which("s"), "group_name": "g", "buffer_size": 10, "uuid_option": {"string": {}}}


@pytest.mark.parametrize(
    "first",
    [
        {"ack": {"ids": []}},
        {"options": {**OPTIONS, "buffer_size": -1}},
        {"options": {name: value for name, value in OPTIONS.items() if name != "uuid_option"}},
    ],
    ids=["no options", "a negative buffer", "no form of ids"],
)
async def test_a_first_message_that_makes_no_sense_ends_the_call(peer: Peer, first: dict[str, Any]) -> None:
    await create(peer)
    outcome = await peer.call(P + "Read").send(first).end()
    assert outcome.message == UNKNOWN


async def test_a_call_without_a_message_ends(peer: Peer) -> None:
    outcome = await peer.call(P + "Read").half_close().end()
    assert outcome.ok


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"\x0a\x00",  # the options once more
        b"\xff",
        b"\x12\x05\x12\x03\x0a\x01x",  # an ack of an id that has no such form
        b"\x1a\x02\x18\x63",  # a refusal with an action that there is not
    ],
)
async def test_a_node_listens_no_more_to_a_consumer_that_says_nonsense(peer: Peer, nonsense: bytes) -> None:
    await peer.append("s", peer.event())
    await create(peer, message_timeout_ms=5_000)
    call = await consume(peer)
    event = await call.receive()
    call.send_raw(nonsense).send({"ack": {"ids": [id_of(event)]}})
    again = await call.receive()  # it has timed out
    assert id_of(again) == id_of(event)
    assert again["event"]["retry_count"] == 1


async def test_what_else_a_message_says_is_passed_over(peer: Peer) -> None:
    await peer.append("s", peer.event())
    await create(peer, message_timeout_ms=5_000)
    call = await consume(peer)
    id = bytes(id_of(await call.receive())["string"], "ascii")
    acked = b"\x12" + bytes([len(id)]) + id
    ack = b"\x20\x07" + b"\x12" + bytes([len(acked)]) + acked
    call.send_raw(b"\x20\x01" + b"\x12" + bytes([len(ack)]) + ack)
    assert await call.silence()


async def test_a_consumer_that_is_slow_gets_later_what_there_was_room_for(peer: Peer) -> None:
    for _ in range(12):
        await peer.append("s", peer.event(b"x" * 200_000))
    await create(peer, message_timeout_ms=300_000)
    call = await consume(peer, size=12)
    await wait_all_tasks_blocked()
    before = await info(peer)
    assert before["total_in_flight_messages"] == 12
    got = [await call.receive() for _ in range(12)]
    assert [int(each["event"]["event"].get("stream_revision", 0)) for each in got] == list(range(12))
    call.send({"ack": {"ids": [id_of(each) for each in got]}})
    await trio.sleep(1)
    assert "total_in_flight_messages" not in await info(peer)


@pytest.mark.parametrize("stream", ["s", None])
async def test_many_events_wait_for_a_consumer_without_holding_the_loop(peer: Peer, stream: str | None) -> None:
    for _ in range(10):
        await peer.append("s", *(peer.event() for _ in range(100)))
    await create(peer, stream)
    call = await consume(peer, stream, size=50)
    seen: list[int] = []
    while len(seen) < 1000:
        event = await call.receive()
        if event["event"]["event"]["metadata"]["type"] == "T":
            seen.append(int(event["event"]["event"].get("stream_revision", 0)))
        call.send({"ack": {"ids": [id_of(event)]}})
    assert seen == list(range(1000))


async def test_consumers_are_dropped_when_the_stream_is_deleted_for_ever_before_it_is_read(peer: Peer) -> None:
    await peer.append("s", *(peer.event() for _ in range(100)))
    await create(peer)
    call = await consume(peer, size=1)
    event = await call.receive()
    assert (await peer.remove("s", how="Tombstone")).ok
    call.send({"ack": {"ids": [id_of(event)]}})
    numbers = 1
    while True:
        try:
            event = await call.receive()
        except trio.EndOfChannel:
            break
        numbers += 1
        call.send({"ack": {"ids": [id_of(event)]}})
    assert numbers < 100
    assert call.outcome is not None
    assert not call.outcome.ok
    later = await consume(peer)
    assert not (await later.end()).ok
