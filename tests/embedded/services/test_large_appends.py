"""Appends of very many events: written in turns, in one piece for readers, one after the other with other writes."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
import trio

from tests.support.peer import STREAMS, Call, Peer, connected, kinds, number_of, read_request, types
from trio_esdb._wire import Status
from trio_esdb.embedded import EmbeddedNode

MANY = 10_000


IDS = count(1)


def event() -> dict[str, Any]:
    return {
        "id": {"string": f"00000000-0000-4000-b000-{next(IDS):012x}"},
        "metadata": {"type": "T", "content-type": "application/json"},
    }


def begin_append(peer: Peer, stream: str, number: int, expect: str = "any") -> Call:
    """Open an append of so many events and send all of it but the half-close."""
    options = {"options": {"stream_identifier": {"stream_name": stream.encode()}, expect: {}}}
    call = peer.call(STREAMS + "Append").send(options)
    return call.send(*({"proposed_message": event()} for _ in range(number)))


async def last_of(peer: Peer, stream: str) -> list[Any]:
    messages, _ = await peer.ask(STREAMS + "Read", read_request(stream, count=1, at="end", backwards=True))
    return kinds(messages)


async def test_others_read_meanwhile_and_see_all_or_nothing(node: EmbeddedNode) -> None:
    async with connected(node) as writer, connected(node) as reader:
        call = begin_append(writer, "s", MANY)
        assert await call.silence()  # all events have come
        call.half_close()
        looks = []
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                response = await call.receive()
                assert response["success"]["current_revision"] == MANY - 1
                nursery.cancel_scope.cancel()

            while True:
                looks.append(await last_of(reader, "s"))
        assert looks[0] == ["stream_not_found"]
        assert all(look in (["stream_not_found"], [MANY - 1]) for look in looks)
        assert len(looks) > 2


async def test_other_writes_wait_in_order(node: EmbeddedNode) -> None:
    async with connected(node) as writer, connected(node) as other:
        await other.append("gone", event())
        call = begin_append(writer, "s", MANY)
        assert await call.silence()
        call.half_close()
        assert await last_of(other, "s") == ["stream_not_found"]
        small = begin_append(other, "s", 1, expect="stream_exists").half_close()
        large = begin_append(other, "s", MANY).half_close()
        options = {"options": {"stream_identifier": {"stream_name": b"gone"}, "any": {}}}
        delete = other.call(STREAMS + "Delete").send(options).half_close()
        batches = other.call(STREAMS + "BatchAppend").send(
            {
                "correlation_id": {"string": "00000000-0000-4000-a000-000000000001"},
                "options": {"stream_identifier": {"stream_name": b"s"}, "stream_exists": {}},
                "proposed_messages": [event()],
                "is_final": True,
            }
        )
        revisions = [(await each.receive())["success"]["current_revision"] for each in (call, small, large)]
        assert revisions == [MANY - 1, MANY, 2 * MANY + 1]
        assert (await delete.end()).ok
        assert (await batches.receive())["success"]["current_revision"] == MANY + 1  # the second large one came later


async def test_refusals_come_later_too(node: EmbeddedNode) -> None:
    async with connected(node) as writer, connected(node) as other:
        await other.append("s", event())
        assert (await other.remove("s", how="Tombstone")).ok
        await other.append("$$t", event())
        call = begin_append(writer, "s", MANY)
        ended = await call.half_close().end()
        assert (ended.status, ended.trailers["exception"]) == (Status.FAILED_PRECONDITION, "stream-deleted")
        call = begin_append(writer, "t", MANY, expect="stream_exists")
        assert await call.silence()
        call.half_close()
        assert await last_of(other, "t") == ["stream_not_found"]
        refused = begin_append(other, "t", 1, expect="no_stream").half_close()
        assert (await call.receive())["success"]["current_revision"] == MANY - 1
        assert "wrong_expected_version" in await refused.receive()


async def test_subscribers_get_all_of_it(node: EmbeddedNode) -> None:
    async with connected(node) as writer, connected(node) as reader:
        calls = [reader.subscribe(), reader.subscribe("s"), reader.subscribe(filter=types("T", interval=10**6))]
        for call in calls:
            assert kinds(await call.some(1)) == ["confirmation"]
        await begin_append(writer, "s", MANY).half_close().receive()
        await writer.append("s", event())
        for call in calls:
            seen: list[int] = []
            while len(seen) <= MANY:
                message = await call.receive()
                if "event" in message:
                    seen.append(number_of(message))
            assert seen == list(range(MANY + 1))


async def test_a_client_that_gives_up_does_not_stop_what_has_begun(node: EmbeddedNode) -> None:
    async with connected(node) as writer, connected(node) as other:
        call = begin_append(writer, "s", MANY)
        assert await call.silence()
        call.half_close()
        assert await last_of(other, "s") == ["stream_not_found"]
        call.cancel()
        while await last_of(other, "s") != [MANY - 1]:
            await trio.lowlevel.checkpoint()
        assert (await other.append("s", event()))["success"]["current_revision"] == MANY


async def test_the_connection_ends_meanwhile(node: EmbeddedNode, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(node) as other:
        async with connected(node) as writer:
            call = begin_append(writer, "s", MANY)
            assert await call.silence()
            waiting = begin_append(writer, "t", MANY)
            assert await waiting.silence()
            feed = other.subscribe("s", at="end")
            assert kinds(await feed.some(2)) == ["confirmation", "caught_up"]
            call.half_close()
            waiting.half_close()
            assert number_of(await feed.receive()) == 0  # the node has begun to send them
        assert [number_of(message) for message in await feed.some(MANY - 1)] == list(range(1, MANY))
        # The second one was written whole if it had begun, and else not at all.
        assert (await other.append("t", event()))["success"].get("current_revision", 0) in (0, MANY)
        assert not caplog.records


async def test_the_node_ends_meanwhile() -> None:
    async with EmbeddedNode() as node, connected(node) as writer:
        call = begin_append(writer, "s", MANY)
        assert await call.silence()
        call.half_close()
        for _ in range(5):
            await trio.lowlevel.checkpoint()


async def test_many_subscribers_get_many_events_in_turns(node: EmbeddedNode) -> None:
    async with connected(node) as writer, connected(node) as reader, connected(node) as other:
        calls = [reader.subscribe() for _ in range(50)]
        for call in calls:
            assert kinds(await call.some(2)) == ["confirmation", "caught_up"]
        append = begin_append(writer, "s", 1000)  # one subscriber would get them in one step
        assert await append.silence()
        append.half_close()
        turns = 0
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                nonlocal turns
                while True:
                    await trio.lowlevel.checkpoint()
                    turns += 1

            assert (await append.receive())["success"]["current_revision"] == 999
            nursery.cancel_scope.cancel()
        assert turns >= 10
        assert "success" in await other.append("t", event())
        for call in calls:
            assert [number_of(message) for message in await call.some(1001)] == [*range(1000), 0]
