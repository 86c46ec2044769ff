"""Reading streams and all events, in all shapes."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.support.events import ANY, all_events, ids, numbers, own, some, written
from tests.support.versions import Server
from trio_esdb import (
    DEFAULT_EXCLUDE_FILTER,
    ESDBClient,
    InvalidPositionError,
    InvalidRequestError,
    NewEvent,
    RecordedEvent,
    StreamNotFoundError,
)

STREAM_READS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [0, 1, 2, 3, 4]),
    ({"stream_position": 0}, [0, 1, 2, 3, 4]),
    ({"stream_position": 3}, [3, 4]),
    ({"stream_position": 4}, [4]),
    ({"stream_position": 5}, []),
    ({"stream_position": 2**62}, []),
    ({"limit": 2}, [0, 1]),
    ({"limit": 10**9}, [0, 1, 2, 3, 4]),
    ({"stream_position": 1, "limit": 3}, [1, 2, 3]),
    ({"backwards": True}, [4, 3, 2, 1, 0]),
    ({"backwards": True, "limit": 1}, [4]),
    ({"backwards": True, "stream_position": 2}, [2, 1, 0]),
    ({"backwards": True, "stream_position": 0}, [0]),
    ({"backwards": True, "stream_position": 2, "limit": 2}, [2, 1]),
    ({"backwards": True, "stream_position": 100}, [4, 3, 2, 1, 0]),
]


@pytest.mark.parametrize(("arguments", "expected"), STREAM_READS)
async def test_a_stream(client: ESDBClient, stream: str, arguments: dict[str, Any], expected: list[int]) -> None:
    await client.append_events(stream, None, some(5))
    assert numbers(await client.get_stream_events(stream, **arguments)) == expected
    async with client.read_stream_events(stream, **arguments) as events:
        assert numbers([event async for event in events]) == expected


async def test_a_long_stream(client: ESDBClient, stream: str) -> None:
    for first in range(0, 1000, 250):
        await client.append_events(stream, first - 1 if first else None, some(250))
    assert numbers(await client.get_stream_events(stream)) == list(range(1000))
    assert numbers(await client.get_stream_events(stream, backwards=True)) == list(range(999, -1, -1))
    assert numbers(await client.get_stream_events(stream, 500, limit=100)) == list(range(500, 600))


async def test_a_stream_that_does_not_exist(client: ESDBClient, stream: str) -> None:
    for arguments in ({}, {"backwards": True}, {"stream_position": 7}):
        with pytest.raises(StreamNotFoundError) as caught:
            await client.get_stream_events(stream, **arguments)  # type: ignore[arg-type]
        assert caught.value.stream_name == stream
    assert await client.get_stream_position(stream) is None


async def test_positions(client: ESDBClient, stream: str) -> None:
    results = await written(client, stream, 3)
    assert await client.get_stream_position(stream) == 2
    assert await client.get_commit_position() >= results[-1]
    type = f"Only-{stream}"
    result = await client.append_events(stream, 2, some(2, type))
    await client.append_events(stream, 4, some(3))
    assert await client.get_commit_position(filter_include=[type]) == result
    assert await client.get_commit_position(filter_include=[stream], filter_by_stream_name=True) > result
    assert await client.get_commit_position(filter_include=[f"Never-{stream}"]) == 0


async def test_a_read_left_half_way(client: ESDBClient, stream: str) -> None:
    for first in range(0, 500, 250):
        await client.append_events(stream, first - 1 if first else None, some(250))
    for count in (0, 1, 40, 200):
        async with client.read_stream_events(stream) as events:
            for number in range(count):
                assert (await events.receive()).stream_position == number
    assert len(await client.get_stream_events(stream)) == 500


async def test_many_reads_at_once(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some(100))
    done = 0

    async def read() -> None:
        nonlocal done
        assert numbers(await client.get_stream_events(stream)) == list(range(100))
        done += 1

    async with trio.open_nursery() as nursery:
        for _ in range(150):
            nursery.start_soon(read)
    assert done == 150


# -- all events -------------------------------------------------------------------------------------------------------


async def test_all_forwards_includes_the_event_at_the_position(client: ESDBClient, stream: str) -> None:
    results = await written(client, stream, 4)
    found = await all_events(client, commit_position=results[1], filter_exclude=())
    mine = [event for event in found if event.stream_name == stream]
    assert numbers(mine) == [1, 2, 3]
    assert [event.commit_position for event in mine] == results[1:]
    assert found[0].commit_position == results[1]


async def test_all_backwards_leaves_it_out(client: ESDBClient, stream: str) -> None:
    results = await written(client, stream, 4)
    assert numbers(await all_events(client, commit_position=results[2], backwards=True, **own(stream))) == [1, 0]
    (before,) = await all_events(client, commit_position=results[2], backwards=True, filter_exclude=(), limit=1)
    assert results[1] <= (before.commit_position or 0) < results[2]


async def test_all_from_both_ends(client: ESDBClient, stream: str) -> None:
    await written(client, stream, 3)
    filter: Any = {"filter_include": [stream], "filter_by_stream_name": True}
    assert numbers(await all_events(client, **filter)) == [0, 1, 2]
    assert numbers(await all_events(client, backwards=True, **filter)) == [2, 1, 0]
    assert numbers(await all_events(client, limit=2, **filter)) == [0, 1]
    assert numbers(await all_events(client, limit=1, backwards=True, **filter)) == [2]


async def test_positions_rise(client: ESDBClient, stream: str) -> None:
    await written(client, stream, 3)
    await written(client, f"{stream}-2", 3)
    found = await all_events(client, **own(stream))
    assert len(found) == 6
    positions = [(event.commit_position or 0, event.prepare_position or 0) for event in found]
    assert positions == sorted(set(positions))


async def test_forwards_from_beyond_the_end(client: ESDBClient, stream: str) -> None:
    (result,) = await written(client, stream, 1)
    assert await all_events(client, commit_position=result + 10**9) == []


async def test_backwards_from_beyond_the_end(client: ESDBClient, stream: str) -> None:
    (result,) = await written(client, stream, 1)
    with pytest.raises(InvalidPositionError):
        await all_events(client, commit_position=result + 10**9, backwards=True)


async def test_a_position_that_is_no_events(client: ESDBClient, server: Server, stream: str) -> None:
    result = (await written(client, stream, 2))[0]
    for filter_exclude in ((), DEFAULT_EXCLUDE_FILTER):
        with pytest.raises(InvalidPositionError) as caught:
            await all_events(client, commit_position=result + 1, filter_exclude=filter_exclude)
        assert caught.value.status == "UNKNOWN"
        assert server.invalid_position in caught.value.details.replace("FilteredReadAllResult", "ReadAllResult")


@pytest.fixture
async def mixed(client: ESDBClient, prefix: str) -> str:
    """Events of several types in several streams, whose names and types begin alike."""
    for stream in ("order-1", "order-2", "bill.1"):
        for type in ("Placed", "PlacedAgain", "Paid", "Result", "PersistentConfig1"):
            await client.append_event(f"{prefix}-{stream}", ANY, NewEvent(f"{prefix}{type}", b"{}"))
    return prefix


PLACED = [("order-1", "Placed"), ("order-2", "Placed"), ("bill.1", "Placed")]
AGAIN = [("order-1", "PlacedAgain"), ("order-2", "PlacedAgain"), ("bill.1", "PlacedAgain")]


def by(prefix: str, events: list[RecordedEvent]) -> list[tuple[str, str]]:
    """The stream and type of each of the mixed events, in their order."""
    mine = [event for event in events if event.stream_name.startswith(f"{prefix}-")]
    return [(event.stream_name.removeprefix(f"{prefix}-"), event.type.removeprefix(prefix)) for event in mine]


async def test_filter_by_type(client: ESDBClient, mixed: str) -> None:
    """The expression is for the whole type, and alternatives are what they look like."""
    found = await all_events(client, filter_include=[f"{mixed}Placed"])
    assert by(mixed, found) == PLACED
    assert len(found) == 3
    found = await all_events(client, filter_include=[f"{mixed}Placed", f"{mixed}Paid"], limit=4)
    assert by(mixed, found) == [
        ("order-1", "Placed"),
        ("order-1", "Paid"),
        ("order-2", "Placed"),
        ("order-2", "Paid"),
    ]
    found = await all_events(client, filter_include=[f"{mixed}(Placed|Paid)"])
    assert len(found) == 6
    assert await all_events(client, filter_include=[f"{mixed}Pla"]) == []
    assert len(await all_events(client, filter_include=[f"{mixed}Pla.*"])) == 6


async def test_filter_by_stream_name(client: ESDBClient, mixed: str) -> None:
    found = await all_events(client, filter_include=[f"{mixed}-order-.*"], filter_by_stream_name=True)
    assert {event.stream_name for event in found} == {f"{mixed}-order-1", f"{mixed}-order-2"}
    assert len(found) == 10
    found = await all_events(client, filter_include=[rf"{mixed}-bill\.1"], filter_by_stream_name=True)
    assert len(found) == 5


async def test_filter_by_prefix_of_the_type(client: ESDBClient, mixed: str) -> None:
    found = await all_events(client, filter_include=[f"{mixed}Placed"], filter_by_prefix=True)
    assert sorted(by(mixed, found)) == sorted(PLACED + AGAIN)
    found = await all_events(
        client, filter_include=[f"{mixed}Paid", f"{mixed}PlacedA"], filter_by_prefix=True, backwards=True, limit=2
    )
    assert by(mixed, found) == [("bill.1", "Paid"), ("bill.1", "PlacedAgain")]


async def test_filter_by_prefix_of_the_stream_name(client: ESDBClient, mixed: str) -> None:
    found = await all_events(
        client, filter_include=[f"{mixed}-bill."], filter_by_prefix=True, filter_by_stream_name=True
    )
    assert {event.stream_name for event in found} == {f"{mixed}-bill.1"}
    assert len(found) == 5


async def test_excluding_types(client: ESDBClient, mixed: str) -> None:
    found = by(mixed, await all_events(client, filter_exclude=[*DEFAULT_EXCLUDE_FILTER, f"{mixed}P.*"]))
    assert found == [("order-1", "Result"), ("order-2", "Result"), ("bill.1", "Result")]
    found = by(mixed, await all_events(client, filter_exclude=[f"{mixed}Placed", f"{mixed}Result"]))
    assert {type for _, type in found} == {"PlacedAgain", "Paid", "PersistentConfig1"}


async def test_excluding_by_prefix(client: ESDBClient, mixed: str) -> None:
    found = by(mixed, await all_events(client, filter_exclude=["$", f"{mixed}P"], filter_by_prefix=True))
    assert {type for _, type in found} == {"Result"}
    found = by(
        mixed,
        await all_events(
            client, filter_exclude=["$", f"{mixed}-order."], filter_by_prefix=True, filter_by_stream_name=True
        ),
    )
    assert {stream for stream, _ in found} == {"order-1", "order-2", "bill.1"}  # the dot is a dot


async def test_no_type_of_an_application_is_hidden(client: ESDBClient, stream: str) -> None:
    """Not even those that look like a server's own."""
    types = ["Result", "PersistentConfig1", "PersistentConfig", "Dollar$", "x$.y", "$" + "app"]
    await client.append_events(stream, None, [NewEvent(type, b"") for type in types])
    mine = [event.type for event in await all_events(client) if event.stream_name == stream]
    assert mine == types[:-1]
    everything = [event.type for event in await all_events(client, filter_exclude=()) if event.stream_name == stream]
    assert everything == types


@pytest.mark.parametrize("expression", ["(", "[a", "*"])
async def test_a_bad_expression(client: ESDBClient, expression: str) -> None:
    with pytest.raises(InvalidRequestError):
        await all_events(client, filter_include=[expression])
    with pytest.raises(InvalidRequestError):
        async with client.subscribe_all_events(filter_include=[expression]):
            pytest.fail("it subscribed")


# -- links ------------------------------------------------------------------------------------------------------------


async def link_to(client: ESDBClient, stream: str, *targets: str) -> None:
    links = [NewEvent("$>", target.encode(), content_type="application/octet-stream") for target in targets]
    await client.append_events(stream, ANY, links)


async def test_links(client: ESDBClient, stream: str) -> None:
    events = some(2)
    await client.append_events(stream, None, events)
    links = f"{stream}-links"
    await link_to(client, links, f"1@{stream}", f"7@{stream}", f"0@{stream}", f"0@{stream}-nothing")
    plain = await client.get_stream_events(links)
    assert [event.type for event in plain] == ["$>"] * 4
    assert all(event.is_link_event and event.link is None for event in plain)

    resolved = await client.get_stream_events(links, resolve_links=True)
    assert [event.is_resolved_event for event in resolved] == [True, False, True, False]
    assert [event.is_link_event for event in resolved] == [False, True, False, True]
    assert [resolved[0].id, resolved[2].id] == ids([events[1], events[0]])
    assert [event.original.stream_name for event in resolved] == [links] * 4
    assert [event.original.stream_position for event in resolved] == [0, 1, 2, 3]
    assert [event.original for event in resolved] == list(plain)
    assert (resolved[0].stream_name, resolved[0].stream_position) == (stream, 1)

    backwards = await client.get_stream_events(links, resolve_links=True, backwards=True)
    assert list(reversed(backwards)) == list(resolved)


async def test_a_link_to_what_was_deleted(client: ESDBClient, stream: str) -> None:
    await client.append_events(stream, None, some())
    await link_to(client, f"{stream}-links", f"0@{stream}")
    await client.delete_stream(stream, 0)
    (dangling,) = await client.get_stream_events(f"{stream}-links", resolve_links=True)
    assert dangling.is_link_event
    assert dangling.link is None


async def test_links_among_all_events(client: ESDBClient, server: Server, stream: str) -> None:
    (event,) = some()
    await client.append_events(stream, None, [event])
    links = f"{stream}-links"
    await link_to(client, links, f"0@{stream}")
    (resolved,) = await all_events(client, resolve_links=True, filter_include=[links], filter_by_stream_name=True)
    assert resolved.id == event.id
    assert resolved.original.stream_name == links
    assert resolved.link is not None
    assert (resolved.link.commit_position != resolved.commit_position) is server.links_have_positions
