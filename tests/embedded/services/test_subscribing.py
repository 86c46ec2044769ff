"""Subscriptions: their order of things, slow clients, what is left when they are gone."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.peer import MAX, STREAMS, UNKNOWN, Call, Peer, connected, kinds, number_of, types
from trio_esdb._wire import Limits, Status
from trio_esdb.embedded import EmbeddedNode

SMALL = Limits(stream_window=64 * 1024)
"""What a slow client's windows take, about six of its events."""


async def fill(peer: Peer, stream: str, number: int, size: int = 2, **kw: Any) -> None:
    for start in range(0, number, 50):
        await peer.append(stream, *(peer.event(b"x" * size, **kw) for _ in range(min(50, number - start))))


async def until_live(call: Call) -> list[Any]:
    messages = [await call.receive()]
    while "caught_up" not in messages[-1]:
        messages.append(await call.receive())
    return kinds(messages)


def place(message: dict[str, Any]) -> tuple[int, int]:
    checkpoint = message["checkpoint"]
    return checkpoint.get("commit_position", 0), checkpoint.get("prepare_position", 0)


STARTS = [("start", [0, 1, 2]), (0, [1, 2]), (2, []), (7, []), ("end", []), (MAX, [])]


@pytest.mark.parametrize(("at", "caught"), STARTS)
async def test_confirmed_caught_up_live(peer: Peer, at: Any, caught: list[int]) -> None:
    await fill(peer, "s", 3)
    call = peer.subscribe("s", at=at)
    assert await until_live(call) == ["confirmation", *caught, "caught_up"]
    await fill(peer, "other", 3)
    await fill(peer, "s", 6)
    wanted = [8] if at == 7 else [3, 4, 5, 6, 7, 8]
    assert kinds(await call.some(len(wanted))) == wanted
    assert await call.silence()


@pytest.mark.parametrize("written", [31, 32, 33, 64, 100])
async def test_catching_up_over_several_pages(peer: Peer, written: int) -> None:
    await fill(peer, "s", written)
    assert await until_live(peer.subscribe("s")) == ["confirmation", *range(written), "caught_up"]
    assert len(await until_live(peer.subscribe())) == written + 2
    assert await until_live(peer.subscribe("s", at=30)) == ["confirmation", *range(31, written), "caught_up"]


async def test_a_large_append_is_no_reason_to_fall_behind(peer: Peer) -> None:
    calls = [peer.subscribe("s"), peer.subscribe(), peer.subscribe(filter=types("T", window=1000))]
    for call in calls:
        await until_live(call)
    await peer.append("s", *(peer.event() for _ in range(500)))
    await peer.append("s", *(peer.event() for _ in range(500)))
    for call in calls:
        assert kinds(await call.some(1000)) == list(range(1000))


async def test_a_client_a_little_behind_does_not_fall_behind(node: EmbeddedNode) -> None:
    async with connected(node, SMALL) as reader, connected(node) as writer:
        call = reader.subscribe("s")
        await until_live(call)
        await fill(writer, "s", 7, 10_000)  # a little more than its window takes
        await writer.append("s", *(writer.event() for _ in range(100)))
        assert kinds(await call.some(107)) == list(range(107))
        assert await call.silence()


async def test_many_writers_are_no_reason_to_fall_behind(peer: Peer) -> None:
    call = peer.subscribe("s")
    await until_live(call)
    async with trio.open_nursery() as nursery:
        for _ in range(90):
            nursery.start_soon(peer.append, "s", peer.event())
    assert kinds(await call.some(90)) == list(range(90))
    assert await call.silence()


@pytest.mark.parametrize("kind", ["stream", "all", "filtered"])
async def test_a_slow_client_gets_everything_and_caught_up_again(node: EmbeddedNode, kind: str) -> None:
    wanted: dict[str, Any] = {"stream": {"stream": "s"}, "all": {}, "filtered": {"filter": types("T", interval=100)}}
    async with connected(node, SMALL) as reader, connected(node) as writer:
        await fill(writer, "s", 1)
        call = reader.subscribe(**wanted[kind], at="end")
        assert await until_live(call) == ["confirmation", "caught_up"]
        for _ in range(200):
            await fill(writer, "s", 1, 10_000)
        came = await until_live(call)
        between = ["checkpoint", "checkpoint"] if kind == "filtered" else []
        assert [k for k in came if isinstance(k, str)] == [*between, "caught_up"]
        assert [k for k in came if isinstance(k, int)] == list(range(1, 201))
        if kind == "filtered":
            # One in front of the events that were missed, at the last one sent; one at the end.
            at = came.index("checkpoint")
            assert 0 < at < 32
            assert came[-2] == "checkpoint"
        await fill(writer, "s", 1)
        assert kinds(await call.some(1)) == [201]
        assert await call.silence()


async def test_a_slow_client_costs_no_memory(node: EmbeddedNode) -> None:
    async with connected(node, SMALL) as reader, connected(node) as writer:
        calls = [reader.subscribe("s") for _ in range(20)]
        for call in calls:
            await until_live(call)
        await fill(writer, "s", 100, 10_000)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        await fill(writer, "s", 300, 10_000)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held - before < 5_000_000  # the store's own three megabytes, and not twenty times as much again
        for call in calls:
            assert [k for k in await until_live(call) if isinstance(k, int)] == list(range(400))


async def test_writes_while_catching_up_come_once(node: EmbeddedNode) -> None:
    async with connected(node, SMALL) as reader, connected(node) as writer:
        await fill(writer, "s", 100, 10_000)
        call = reader.subscribe("s")
        await call.some(3)
        await fill(writer, "s", 100, 10_000)
        assert [k for k in await until_live(call) if isinstance(k, int)] == list(range(2, 200))
        assert await call.silence()


async def test_a_tombstone_ends_the_subscription(peer: Peer) -> None:
    await fill(peer, "s", 2)
    call, everything = peer.subscribe("s"), peer.subscribe(at="end")
    await until_live(call)
    await until_live(everything)
    assert (await peer.remove("s", how="Tombstone")).ok
    for one in (call, everything):
        message = (await one.receive())["event"]["event"]
        assert message["stream_revision"] == 2**63 - 1
        assert message["metadata"]["type"] == "$streamDeleted"
        assert message["metadata"]["content-type"] == "application/octet-stream"
        assert "data" not in message
    outcome = await call.end()
    assert outcome.status is Status.FAILED_PRECONDITION
    assert outcome.message == "Event stream 's' is deleted."
    assert outcome.trailers["stream-name"] == "s"
    assert await everything.silence()
    for stream in ("s", "$$s"):
        for at in ("start", 0, "end"):
            outcome = await peer.subscribe(stream, at=at).end()
            assert outcome.message == f"Event stream '{stream}' is deleted."


async def test_a_tombstone_while_catching_up(node: EmbeddedNode) -> None:
    async with connected(node, SMALL) as reader, connected(node) as writer:
        await fill(writer, "s", 100, 10_000)
        call = reader.subscribe("s")
        await call.some(2)
        assert (await writer.remove("s", how="Tombstone")).ok
        assert (await call.end()).trailers["exception"] == "stream-deleted"


async def test_a_soft_delete_is_not_seen(peer: Peer) -> None:
    await fill(peer, "s", 2)
    call = peer.subscribe("s")
    assert await until_live(call) == ["confirmation", 0, 1, "caught_up"]
    assert (await peer.remove("s")).ok
    assert await call.silence()
    assert await until_live(peer.subscribe("s")) == ["confirmation", "caught_up"]
    await fill(peer, "s", 1)
    assert kinds(await call.some(1)) == [2]


async def test_metadata_of_a_stream_can_be_followed(peer: Peer) -> None:
    call = peer.subscribe("$$s")
    assert await until_live(call) == ["confirmation", "caught_up"]
    await fill(peer, "s", 1)
    assert (await peer.remove("s")).ok
    assert kinds(await call.some(1)) == [0]
    await fill(peer, "s", 1)
    assert (await call.receive())["event"]["event"]["data"] == '{"$tb":1}'
    assert await call.silence()


async def test_checkpoints_live_count_from_the_subscription_on(peer: Peer) -> None:
    await fill(peer, "o", 3, type="Other")
    end = (await peer.append("o", peer.event(type="Other")))["success"]["position"]
    at = (end["commit_position"], end["prepare_position"])
    call = peer.subscribe(filter=types("Mine", window=5, interval=2), at=at)
    assert await until_live(call) == ["confirmation", "caught_up"]
    await fill(peer, "o", 9, type="Other")
    assert await call.silence()
    mine = await peer.append("m", peer.event(type="Mine"))
    event, checkpoint = await call.some(2)
    assert number_of(event) == 0
    assert place(checkpoint) == (mine["success"]["position"]["commit_position"],) * 2
    await fill(peer, "o", 25, type="Other")
    assert kinds(await call.some(2)) == ["checkpoint", "checkpoint"]
    assert await call.silence()


async def test_the_checkpoint_that_says_nothing(peer: Peer) -> None:
    await fill(peer, "o", 40, type="Other")
    call = peer.subscribe(filter=types("Mine", window=1000))
    assert kinds(await call.some(1)) == ["confirmation"]
    assert place(await call.receive()) == (MAX, MAX)
    assert kinds(await call.some(1)) == ["caught_up"]
    await fill(peer, "o", 2000, type="Other")
    assert await call.silence()  # nothing smaller is said after that
    await fill(peer, "m", 1, type="Mine")
    assert kinds(await call.some(1)) == [0]


async def test_after_an_append_of_nothing_a_filtered_subscription_is_only_caught_up(peer: Peer) -> None:
    last = (await peer.append("o", peer.event(type="Other")))["success"]["position"]["commit_position"]
    nothing = (await peer.append("o"))["success"]["position"]["commit_position"]
    assert nothing > last
    for at in (last, nothing):
        call = peer.subscribe(filter=types("Mine", window=1), at=(at, at))
        assert kinds(await call.some(2)) == ["confirmation", "caught_up"]
        assert await call.silence()


async def test_a_position_after_the_end_of_the_log_is_waited_for(peer: Peer) -> None:
    await fill(peer, "s", 3)
    far = (await peer.append("s", peer.event()))["success"]["position"]["commit_position"] + 1000
    plain, filtered = peer.subscribe(at=(far, far)), peer.subscribe(filter=types("T"), at=(far, far))
    for call in (plain, filtered):
        assert kinds(await call.some(2)) == ["confirmation", "caught_up"]
    told, place_of = [], 0
    while place_of <= far + 300:
        place_of = (await peer.append("s", peer.event()))["success"]["position"]["commit_position"]
        told.append(place_of)
    wanted = [place for place in told if place > far]
    assert 0 < len(wanted) < len(told)
    for call in (plain, filtered):
        events = [message for message in await call.some(len(wanted)) if "event" in message]
        assert [m["event"]["event"]["commit_position"] for m in events] == wanted[: len(events)]
        assert events
    assert await plain.silence()


async def test_a_checkpoint_before_anything_matched(peer: Peer) -> None:
    await fill(peer, "o", 25, type="Other")
    call = peer.subscribe(filter=types("Mine", window=10))
    messages = await call.some(4)
    assert kinds(messages) == ["confirmation", "checkpoint", "checkpoint", "caught_up"]
    assert place(messages[1]) == (0, 0)
    commit, prepare = place(messages[2])
    assert (commit > 0, prepare) == (True, 0)


async def test_resuming_from_a_checkpoint_loses_nothing(peer: Peer) -> None:
    for i in range(120):
        await peer.append("s", peer.event(type="Mine" if i % 7 == 3 else "Other"))
    mine = [i for i in range(120) if i % 7 == 3]
    call = peer.subscribe(filter=types("Mine", window=10))
    seen: list[int] = []
    starts: list[tuple[tuple[int, int], int]] = []
    while "caught_up" not in (message := await call.receive()):
        if "checkpoint" in message:
            starts.append((place(message), len(seen)))
        elif "event" in message:
            seen.append(number_of(message))
    assert seen == mine
    assert len(starts) > 8
    for start, before in starts:
        again = await until_live(peer.subscribe(filter=types("Mine", window=10), at=start))
        assert [k for k in again if isinstance(k, int)] == mine[before:]


@pytest.mark.parametrize("at", [(MAX, 3), (MAX, 2**63 - 1)])
async def test_half_a_position_of_the_end(peer: Peer, at: tuple[int, int]) -> None:
    await fill(peer, "s", 1)
    for kind, filter in (("ReadAllResult", None), ("FilteredReadAllResult", types("T"))):
        outcome = await peer.subscribe(filter=filter, at=at).end()
        assert (outcome.status, outcome.message) == (Status.UNKNOWN, f"Unexpected {kind}: Error")


async def test_an_unusable_position_is_told_after_the_confirmation(peer: Peer) -> None:
    at = (await peer.append("s", peer.event(), peer.event()))["success"]["position"]["commit_position"]
    await fill(peer, "s", 1)
    for filter in (None, types("T")):
        call = peer.subscribe(filter=filter, at=(at + 1, at + 1))
        assert kinds(await call.some(1)) == ["confirmation"]
        outcome = await call.end()
        assert (outcome.status, outcome.message) == (
            Status.INVALID_ARGUMENT,
            "Trying to read from an invalid position.",
        )


async def test_a_window_of_nothing(peer: Peer) -> None:
    await fill(peer, "s", 1)
    call = peer.subscribe(filter=types("T", window=0))
    assert kinds(await call.some(1)) == ["confirmation"]
    assert (await call.end()).message == UNKNOWN
    call = peer.subscribe(filter=types("T", window=0), at="end")
    assert await until_live(call) == ["confirmation", "caught_up"]
    await fill(peer, "s", 1)
    assert kinds(await call.some(2)) == [1, "checkpoint"]


async def test_streams_that_all_never_shows(peer: Peer) -> None:
    everything, filtered = peer.subscribe(at="end"), peer.subscribe(filter=types("", window=3), at="end")
    await until_live(everything)
    await until_live(filtered)
    hidden = "$persistentsubscription-$all::g-checkpoint"
    own = peer.subscribe(hidden)
    await until_live(own)
    await fill(peer, hidden, 2)
    await fill(peer, "s", 1)
    assert kinds(await own.some(2)) == [0, 1]
    assert kinds(await everything.some(1)) == [0]
    assert kinds(await filtered.some(2)) == [0, "checkpoint"]


async def test_links_live_and_in_catching_up(peer: Peer) -> None:
    live = peer.subscribe("l", links=True)
    await until_live(live)
    await fill(peer, "s", 1)
    for text in (b"0@s", b"5@s", b"nonsense"):
        await peer.append("l", peer.event(text, type="$>"))
    shapes = [sorted(m["event"].keys() & {"event", "link"}) for m in await live.some(3)]
    assert shapes == [["event", "link"], ["link"], ["link"]]
    caught = peer.subscribe("l", links=True)
    await caught.receive()
    shapes = [sorted(m["event"].keys() & {"event", "link"}) for m in await caught.some(3)]
    assert shapes == [["event", "link"], ["link"], ["event"]]


async def test_a_subscription_given_up_leaves_nothing(node: EmbeddedNode, peer: Peer) -> None:
    for _ in range(3):
        calls = [peer.subscribe("s"), peer.subscribe(), peer.subscribe(filter=types("T"))]
        for call in calls:
            await until_live(call)
        for call in calls:
            call.cancel()
    await trio.testing.wait_all_tasks_blocked()
    feed = node._context.feed
    assert not feed._of_all
    assert not feed._of_stream


async def test_a_deadline_ends_it(peer: Peer) -> None:
    call = peer.call(STREAMS + "Read", timeout=5)
    request = {"stream": {"stream_identifier": {"stream_name": b"s"}, "start": {}}, "subscription": {}, "no_filter": {}}
    call.send({"options": {**request, "uuid_option": {}}}).half_close()
    began = trio.current_time()
    assert (await call.end()).status is Status.DEADLINE_EXCEEDED
    assert trio.current_time() - began == pytest.approx(5)


async def test_two_streams_in_one_write_each_to_its_own(peer: Peer) -> None:
    await fill(peer, "s", 1)
    assert (await peer.remove("s")).ok
    stream, meta, everything = (peer.subscribe(name, at="end") for name in ("s", "$$s", None))
    for call in (stream, meta, everything):
        await until_live(call)
    await peer.append("s", peer.event(), peer.event())
    assert kinds(await stream.some(2)) == [1, 2]
    assert kinds(await meta.some(1)) == [1]
    assert kinds(await everything.some(3)) == [1, 2, 1]
