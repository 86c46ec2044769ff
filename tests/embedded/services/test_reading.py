"""Plain reads: pages, places, and what changes while they run."""

from __future__ import annotations

import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
import trio

from tests.support.peer import MAX, STREAMS, UNKNOWN, Peer, connected, kinds, number_of, read_request, types
from trio_esdb._wire import Limits, Status
from trio_esdb.embedded import EmbeddedNode


async def fill(peer: Peer, stream: str, number: int, size: int = 2) -> None:
    await peer.append(stream, *(peer.event(b"x" * size) for _ in range(number)))


@pytest.mark.parametrize("written", [1, 31, 32, 33, 64, 65])
async def test_a_stream_comes_whole_in_both_directions(peer: Peer, written: int) -> None:
    await fill(peer, "s", written)
    assert await peer.numbers("s") == list(range(written))
    assert await peer.numbers("s", at="end", backwards=True) == list(reversed(range(written)))
    assert await peer.numbers("s", at=written - 1) == [written - 1]
    assert await peer.numbers("s", at=written) == []


@pytest.mark.parametrize("count", [1, 31, 32, 33, 63, 64, 65, 100, MAX])
async def test_count_is_a_limit(peer: Peer, count: int) -> None:
    await fill(peer, "s", 70)
    assert await peer.numbers("s", count=count) == list(range(min(70, count)))
    assert await peer.numbers("s", at="end", backwards=True, count=count) == list(reversed(range(70)))[:count]
    messages, _ = await peer.ask(STREAMS + "Read", read_request(count=count))
    assert len(messages) == min(70, count)
    messages, _ = await peer.ask(STREAMS + "Read", read_request(count=count, at="end", backwards=True))
    assert len(messages) == min(70, count)


async def test_count_is_of_matches_where_there_is_a_filter(peer: Peer) -> None:
    for i in range(100):
        await peer.append("s", peer.event(type="A" if i % 3 else "B"))
    for backwards in (False, True):
        at = "end" if backwards else "start"
        request = read_request(filter=types("B", window=7), count=20, at=at, backwards=backwards)
        messages, _ = await peer.ask(STREAMS + "Read", request)
        numbers = [i for i in range(100) if i % 3 == 0]
        assert kinds(messages) == (numbers[::-1] if backwards else numbers)[:20]


async def test_events_written_while_reading_are_read_too(node: EmbeddedNode) -> None:
    async with connected(node, Limits(stream_window=64 * 1024)) as reader, connected(node) as writer:
        await fill(writer, "s", 100, 10_000)
        call = reader.read("s")
        seen = await call.some(50)
        await fill(writer, "s", 1)
        seen += await call.some(51)
        assert kinds(seen) == list(range(101))
        assert (await call.end()).ok


async def test_a_stream_tombstoned_while_it_is_read(node: EmbeddedNode) -> None:
    async with connected(node, Limits(stream_window=64 * 1024)) as reader, connected(node) as writer:
        await fill(writer, "s", 100, 10_000)
        call = reader.read("s")
        seen = await call.some(1)
        assert (await writer.remove("s", how="Tombstone")).ok
        outcome = await call.end()
        assert kinds(seen) == [0]
        assert outcome.status is Status.FAILED_PRECONDITION
        assert outcome.trailers["exception"] == "stream-deleted"


async def test_a_reader_who_stops_costs_no_memory(node: EmbeddedNode) -> None:
    async with connected(node, Limits(stream_window=64 * 1024)) as reader, connected(node) as writer:
        for _ in range(20):
            await fill(writer, "s", 32, 30_000)
        tracemalloc.start()
        calls = [reader.read("s") for _ in range(5)]
        calls += [reader.read(at="end", backwards=True) for _ in range(5)]
        for call in calls:
            await call.receive()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 10 * 500_000  # of 19 megabytes each
        for call in calls:
            assert (await call.end()).ok


async def test_many_pages_without_a_match_let_others_run(node: EmbeddedNode) -> None:
    async with connected(node) as reader, connected(node) as other:
        for _ in range(20):
            await fill(other, "s", 500)
        call = reader.read(filter=types("nothing"))
        assert await other.numbers("s", count=1) == [0]
        assert call.outcome is None
        assert (await call.end()).ok


@pytest.mark.parametrize("uuid", ["string", "structured"])
async def test_ids_in_the_form_that_was_asked_for(peer: Peer, uuid: str) -> None:
    await peer.append("s", peer.event(id="ffffffff-0000-0000-8000-000000000001"))
    await peer.append("l", {**peer.event(b"0@s", type="$>"), "id": {"string": "00000000-0000-0000-0000-000000000001"}})
    forms = {
        "string": (
            {"string": "ffffffff-0000-0000-8000-000000000001"},
            {"string": "00000000-0000-0000-0000-000000000001"},
        ),
        "structured": (
            {"structured": {"most_significant_bits": -(1 << 32), "least_significant_bits": -(1 << 63) + 1}},
            {"structured": {"least_significant_bits": 1}},
        ),
    }
    (message,), _ = await peer.ask(STREAMS + "Read", read_request("l", links=True, uuid=uuid))
    assert (message["event"]["event"]["id"], message["event"]["link"]["id"]) == forms[uuid]
    (message,), _ = await peer.ask(STREAMS + "Read", read_request("l", uuid=uuid))
    assert message["event"]["event"]["id"] == forms[uuid][1]
    assert "link" not in message["event"]


async def test_first_and_last_positions_only_on_request(peer: Peer) -> None:
    await fill(peer, "s", 3)
    told = [{"last_stream_position": 2}]
    assert (await peer.ask(STREAMS + "Read", read_request("s", at=3, compatibility=1)))[0] == told
    assert (await peer.ask(STREAMS + "Read", read_request("s", at=3)))[0] == []
    told = [{"first_stream_position": 3}, {"last_stream_position": 2}]
    assert (await peer.ask(STREAMS + "Read", read_request("s", at=9, compatibility=21)))[0] == told


async def request_fails(peer: Peer, request: dict, status: Status, text: str) -> None:
    messages, outcome = await peer.ask(STREAMS + "Read", request)
    assert (messages, outcome.status, outcome.message) == ([], status, text)


async def test_what_no_node_would_answer_is_refused(peer: Peer) -> None:
    silence = "A real node never answers this request: "
    for backwards in (False, True):
        request = read_request(count=0, backwards=backwards)
        await request_fails(peer, request, Status.INVALID_ARGUMENT, f"{silence}count is 0, on all streams.")
    request = read_request(filter=types("a", window=0))
    text = f"{silence}the filter's window has a max of 0."
    await request_fails(peer, request, Status.INVALID_ARGUMENT, text)


@pytest.mark.parametrize("subscribe", [False, True])
async def test_windows_of_more_than_31_bits(peer: Peer, subscribe: bool) -> None:
    text = (
        "A real node never answers this request: the filter's window, or its checkpoint interval times the window, "
        "is 2^31 or more."
    )
    for window, interval in ((2**31, 1), (2**32 - 1, 2)):
        request = read_request(filter=types("a", window=window, interval=interval), subscribe=subscribe)
        await request_fails(peer, request, Status.INVALID_ARGUMENT, text)
    for window, interval in ((2**16, 2**15), (2, 2**31), (2**16, 2**16)):
        request = read_request(filter=types("a", window=window, interval=interval), subscribe=subscribe)
        if subscribe:
            await request_fails(peer, request, Status.INVALID_ARGUMENT, text)
        else:  # plain reads have no checkpoints
            assert (await peer.ask(STREAMS + "Read", request))[1].ok
    request = read_request(filter=types("a", window=2**31 - 1), subscribe=subscribe)
    call = peer.call(STREAMS + "Read").send(request).half_close()
    assert (await call.receive())["confirmation"] if subscribe else (await call.end()).ok


async def turns_during(wait: Callable[[], Awaitable[object]]) -> int:
    """How often another task ran meanwhile."""
    turns = 0

    async def run() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await wait()
        nursery.cancel_scope.cancel()
    return turns


async def test_a_page_of_many_events_lets_others_run(peer: Peer) -> None:
    for _ in range(50):
        await fill(peer, "s", 1000)
    few = await turns_during(peer.read(filter=types("nothing", window=1), count=1, at="end").end)
    nothing = types("nothing", window=2**31 - 1)
    assert await turns_during(peer.read(filter=nothing).end) >= few + 45
    assert await turns_during(peer.read(filter=nothing, at="end", backwards=True).end) >= few + 45
    call = peer.subscribe(filter=nothing)
    assert await turns_during(lambda: call.some(3)) >= few + 45


async def test_all_backwards_from_odd_positions(peer: Peer) -> None:
    places = []
    for _ in range(3):
        told = (await peer.append("s", peer.event()))["success"]["position"]
        places.append(told["commit_position"])

    async def read(commit: int, prepare: int) -> list[int]:
        messages, outcome = await peer.ask(STREAMS + "Read", read_request(at=(commit, prepare), backwards=True))
        assert outcome.ok
        return [number_of(message) for message in messages]

    assert await read(places[2], places[2]) == [1, 0]
    assert await read(places[2], places[2] - 1) == [0]
    assert await read(places[2], 0) == [0]
    for commit in range(1, 8):
        assert await read(commit, 0) == await read(commit, commit) == []


@pytest.mark.parametrize("at", [2**63, MAX - 1])
async def test_revisions_that_cannot_be(peer: Peer, at: int) -> None:
    await request_fails(peer, read_request("s", at=at), Status.UNKNOWN, UNKNOWN)
    await request_fails(peer, read_request("s", at=at, subscribe=True), Status.UNKNOWN, UNKNOWN)


@pytest.mark.parametrize("at", [(2**63, 0), (5, 6), (2**63, 2**63), (MAX - 1, 0)])
async def test_positions_that_cannot_be(peer: Peer, at: tuple[int, int]) -> None:
    await request_fails(peer, read_request(at=at), Status.UNKNOWN, UNKNOWN)
    await request_fails(peer, read_request(at=at, subscribe=True), Status.UNKNOWN, UNKNOWN)


async def test_half_a_position_of_the_end(peer: Peer) -> None:
    await fill(peer, "s", 1)
    await request_fails(peer, read_request(at=(MAX, 5)), Status.UNKNOWN, "Unexpected ReadAllResult: Error")
    request = read_request(at=(MAX, 5), filter=types("T"), backwards=True)
    await request_fails(peer, request, Status.UNKNOWN, "Unexpected FilteredReadAllResult: Error")


COMBINATIONS = [
    ({"all": {"start": {}}, "count": 1, "read_direction": 1}, "All, Count, Backwards, None"),
    ({"all": {"start": {}}, "no_filter": {}}, "All, None, Forwards, NoFilter"),
    (
        {"all": {"start": {}}, "subscription": {}, "no_filter": {}, "read_direction": 1},
        "All, Subscription, Backwards, NoFilter",
    ),
    ({"stream": {"stream_identifier": {}}, "count": 1}, "Stream, Count, Forwards, None"),
    ({"all": {"start": {}}, "count": 1, "no_filter": {}, "read_direction": 7}, "All, Count, 7, NoFilter"),
]


@pytest.mark.parametrize(("options", "words"), COMBINATIONS)
async def test_combinations(peer: Peer, options: dict, words: str) -> None:
    text = f"The combination of ({words}) is invalid."
    request = {"options": {**options, "uuid_option": {}}}
    await request_fails(peer, request, Status.INVALID_ARGUMENT, text)


MALFORMED = [
    {},
    {"options": {"uuid_option": {}, "stream": {}, "count": 1, "no_filter": {}}},
    {"options": {"uuid_option": {}, "all": {}, "count": 1, "no_filter": {}}},
    {
        "options": {
            "uuid_option": {},
            "stream": {"stream_identifier": {"stream_name": b"s"}},
            "count": 1,
            "no_filter": {},
        }
    },
    read_request("", at="start"),
    read_request(filter={"event_type": {"regex": "("}, "count": {}}),
    read_request(filter=types("a", interval=0), subscribe=True),
]


@pytest.mark.parametrize("request_", MALFORMED)
async def test_requests_that_a_node_fails_on(peer: Peer, request_: dict) -> None:
    await request_fails(peer, request_, Status.UNKNOWN, UNKNOWN)


FILTERS = [
    ({}, "{ }"),
    ({"max": 0}, '{ "max": 0 }'),
    ({"max": 9, "checkpointIntervalMultiplier": 2}, '{ "max": 9, "checkpointIntervalMultiplier": 2 }'),
    ({"count": {}}, '{ "count": { } }'),
]


@pytest.mark.parametrize(("filter", "text"), FILTERS)
async def test_filters_without_a_target(peer: Peer, filter: dict, text: str) -> None:
    request = read_request()
    request["options"].pop("no_filter")
    request["options"]["filter"] = filter
    text = f"'{text}' is not a valid EventStore.Client.Streams.ReadReq+Types+Options+Types+FilterOptions"
    await request_fails(peer, request, Status.INVALID_ARGUMENT, text)


async def test_a_read_has_one_request(peer: Peer) -> None:
    request = read_request("s")
    assert (await peer.call(STREAMS + "Read").half_close().end()).status is Status.INTERNAL
    assert (await peer.call(STREAMS + "Read").send(request, request).end()).status is Status.INTERNAL
    assert (await peer.call(STREAMS + "Read").send_raw(b"\x0d\x01").half_close().end()).message == UNKNOWN
