"""Persistent subscriptions: making, changing and looking at groups, against an embedded node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from trio_esdb import (
    ESDBClient,
    InvalidArgumentError,
    InvalidTypeError,
    NewEvent,
    StreamState,
    SubscriptionExistsError,
    SubscriptionFailedError,
    SubscriptionNotFoundError,
    SubscriptionSettings,
)


@pytest.fixture
async def node() -> AsyncIterator[ESDBClient]:
    async with ESDBClient("esdb://embedded") as client:
        await client.append_events("s", None, [NewEvent("A", b"%d" % n) for n in range(3)])
        yield client


async def test_the_defaults_are_ours(node: ESDBClient) -> None:
    await node.create_stream_subscription("g", "s")
    info = await node.get_subscription_info("g", "s")
    assert info.settings == SubscriptionSettings()
    assert (info.group_name, info.stream_name, info.status) == ("g", "s", "Live")
    assert (info.start_position, info.from_end, info.last_known_position) == (0, False, 2)
    assert (info.read_buffer_count, info.last_checkpoint, info.consumers) == (3, None, ())


async def test_every_setting_arrives(node: ESDBClient) -> None:
    settings: dict[str, Any] = {
        "resolve_links": True,
        "message_timeout": 1.5,
        "max_retry_count": 3,
        "checkpoint_after": 0,
        "min_checkpoint_count": 4,
        "max_checkpoint_count": 5,
        "max_subscriber_count": 6,
        "live_buffer_size": 7,
        "history_buffer_size": 9,
        "read_batch_size": 8,
        "consumer_strategy": "PinnedByCorrelation",
        "extra_statistics": True,
    }
    await node.create_stream_subscription("g", "s", **settings)
    await node.create_subscription("g", **settings)
    for info in await node.list_subscriptions():
        assert info.settings == SubscriptionSettings(**settings)


async def test_the_smallest_checkpoint_is_no_larger_than_the_largest(node: ESDBClient) -> None:
    await node.create_stream_subscription("g", "s", max_checkpoint_count=1)
    await node.create_subscription("g", max_checkpoint_count=5)
    found = [info.settings.min_checkpoint_count for info in await node.list_subscriptions()]
    assert found == [5, 1]
    with pytest.raises(InvalidArgumentError, match="5 is greater than 1"):
        await node.update_subscription("g", max_checkpoint_count=1)


async def test_where_a_group_begins(node: ESDBClient) -> None:
    events = await node.get_stream_events("s")
    await node.create_stream_subscription("number", "s", stream_position=1)
    await node.create_stream_subscription("event", "s", stream_position=events[1])
    await node.create_stream_subscription("end", "s", from_end=True)
    await node.create_subscription("all", commit_position=events[1])
    await node.create_subscription("all-end", from_end=True)
    found = {info.group_name: (info.start_position, info.from_end) for info in await node.list_subscriptions()}
    assert found == {
        "number": (1, False),
        "event": (1, False),
        "end": (None, True),
        "all": (events[1].commit_position, False),
        "all-end": (None, True),
    }
    async with node.read_stream_subscription("number", "s") as consumer:
        assert (await consumer.receive()).stream_position == 1
    async with node.read_subscription("all") as consumer:
        assert (await consumer.receive()).id == events[1].id


async def test_a_group_with_a_filter(node: ESDBClient) -> None:
    await node.append_events("t", None, [NewEvent("B", b"")])
    await node.create_subscription("types", filter_include=["B"])
    await node.create_subscription("names", filter_include=["t"], filter_by_stream_name=True)
    await node.create_subscription("prefix", filter_include=["t"], filter_by_stream_name=True, filter_by_prefix=True)
    for group in ("types", "names", "prefix"):
        async with node.read_subscription(group) as consumer:
            assert (await consumer.receive()).stream_name == "t"


async def test_an_update_changes_what_is_named(node: ESDBClient) -> None:
    await node.create_stream_subscription("g", "s", max_retry_count=3, message_timeout=7, stream_position=1)
    await node.update_stream_subscription("g", "s", message_timeout=8)
    info = await node.get_subscription_info("g", "s")
    assert (info.settings.max_retry_count, info.settings.message_timeout, info.start_position) == (3, 8, 1)
    await node.update_stream_subscription("g", "s", stream_position=2, consumer_strategy="Pinned")
    info = await node.get_subscription_info("g", "s")
    assert (info.start_position, info.settings.consumer_strategy) == (2, "Pinned")
    await node.update_stream_subscription("g", "s", from_end=True)
    assert (await node.get_subscription_info("g", "s")).from_end
    await node.update_stream_subscription("g", "s", from_end=False)
    assert (await node.get_subscription_info("g", "s")).start_position == 0


async def test_an_update_of_a_group_of_all_streams_keeps_its_filter(node: ESDBClient) -> None:
    events = await node.get_stream_events("s")
    await node.create_subscription("g", commit_position=events[0], filter_include=["A"])
    await node.update_subscription("g", max_subscriber_count=1)
    info = await node.get_subscription_info("g")
    assert (info.start_position, info.settings.max_subscriber_count) == (events[0].commit_position, 1)
    await node.append_events("t", None, [NewEvent("B", b"")])
    async with node.read_subscription("g") as consumer:
        assert [(await consumer.receive()).type for _ in range(3)] == ["A"] * 3
    await node.update_subscription("g", commit_position=events[2])
    await node.update_subscription("g", from_end=True)
    assert (await node.get_subscription_info("g")).from_end


async def test_a_strategy_that_an_update_would_lose(node: ESDBClient) -> None:
    await node.create_stream_subscription("g", "s", consumer_strategy="PinnedByCorrelation")
    with pytest.raises(InvalidArgumentError, match="delete the group and create it again"):
        await node.update_stream_subscription("g", "s", max_retry_count=1)
    assert (await node.get_subscription_info("g", "s")).settings.max_retry_count == 10
    await node.update_stream_subscription("g", "s", consumer_strategy="RoundRobin")


async def test_lists(node: ESDBClient) -> None:
    assert await node.list_subscriptions() == ()
    for stream in ("b", "a"):
        await node.create_stream_subscription("g", stream)
    await node.create_subscription("g")
    await node.create_stream_subscription("h", "a")
    assert [(info.stream_name, info.group_name) for info in await node.list_subscriptions()] == [
        (None, "g"),
        ("a", "g"),
        ("a", "h"),
        ("b", "g"),
    ]
    assert [info.group_name for info in await node.list_subscriptions("a")] == ["g", "h"]
    assert [info.stream_name for info in await node.list_subscriptions("$all")] == [None]
    assert await node.list_subscriptions("never") == ()


async def test_missing_and_existing_groups(node: ESDBClient) -> None:
    await node.create_stream_subscription("g", "s")
    with pytest.raises(SubscriptionExistsError, match="creating group 'g' of stream 's'") as exists:
        await node.create_stream_subscription("g", "s")
    assert (exists.value.group_name, exists.value.stream_name, exists.value.applied) == ("g", "s", False)
    for call in (
        node.delete_subscription("h", "s"),
        node.get_subscription_info("h", "s"),
        node.update_stream_subscription("h", "s", max_retry_count=1),
        node.replay_parked_events("h", "s"),
        node.read_stream_subscription("h", "s").__aenter__(),
    ):
        with pytest.raises(SubscriptionNotFoundError, match="group h on stream s does not exist") as missing:
            await call
        assert (missing.value.group_name, missing.value.stream_name) == ("h", "s")
    with pytest.raises(SubscriptionNotFoundError) as missing:
        await node.delete_subscription("g")
    assert missing.value.stream_name is None
    await node.delete_subscription("g", "s")
    await node.create_stream_subscription("g", "s")


async def test_a_position_beyond_the_end(node: ESDBClient) -> None:
    with pytest.raises(SubscriptionFailedError, match="Invalid Start From position") as failed:
        await node.create_subscription("g", commit_position=10**9)
    assert failed.value.reason.startswith("Invalid Start From position")
    assert await node.list_subscriptions() == ()


async def test_a_restart_drops_consumers_who_come_back(node: ESDBClient) -> None:
    await node.create_stream_subscription("g", "s")
    async with node.read_stream_subscription("g", "s") as consumer:
        assert (await consumer.receive()).stream_position == 0
        await node.restart_persistent_subscriptions()
        while consumer.reconnections == 0:
            last = await consumer.receive()
        assert (last.stream_position, last.retry_count) == (0, 0)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"message_timeout": 0}, "message_timeout must be from 0.001 to 2147484 seconds, not 0"),
    ({"message_timeout": float("nan")}, "message_timeout must be from"),
    ({"checkpoint_after": -1}, "checkpoint_after must be from 0 to"),
    ({"max_retry_count": -1}, "max_retry_count must be from 0 to"),
    ({"min_checkpoint_count": 0}, "min_checkpoint_count must be from 1 to"),
    ({"max_checkpoint_count": 0}, "max_checkpoint_count must be from 1 to"),
    ({"min_checkpoint_count": 6, "max_checkpoint_count": 5}, "6 is greater than 5"),
    ({"max_subscriber_count": -1}, "max_subscriber_count must be from 0 to"),
    ({"live_buffer_size": 0}, "live_buffer_size must be from 1 to"),
    ({"history_buffer_size": 0}, "history_buffer_size must be from 1 to"),
    ({"read_batch_size": 0}, "read_batch_size must be from 1 to"),
    ({"read_batch_size": 2**31}, "read_batch_size must be from 1 to"),
    ({"read_batch_size": 500}, "500 is not less than 500"),
    ({"consumer_strategy": "Best"}, "must be one of DispatchToSingle, RoundRobin, Pinned, PinnedByCorrelation"),
]
WRONG_TYPES: list[tuple[dict[str, Any], str]] = [
    ({"message_timeout": "1"}, "message_timeout must be a number of seconds, not str"),
    ({"max_retry_count": 1.0}, "max_retry_count must be an int, not float"),
    ({"max_retry_count": True}, "max_retry_count must be an int, not bool"),
    ({"resolve_links": 1}, "resolve_links must be True or False, not int"),
    ({"extra_statistics": "no"}, "extra_statistics must be True or False, not str"),
]


@pytest.mark.parametrize(("settings", "text"), [*WRONG, *WRONG_TYPES])
async def test_settings_with_which_a_group_would_not_work(
    node: ESDBClient, settings: dict[str, Any], text: str
) -> None:
    kind = InvalidTypeError if (settings, text) in WRONG_TYPES else InvalidArgumentError
    await node.create_subscription("g")
    await node.create_stream_subscription("g", "s")
    for call in (
        node.create_subscription("new", **settings),
        node.create_stream_subscription("new", "s", **settings),
        node.update_subscription("g", **settings),
        node.update_stream_subscription("g", "s", **settings),
    ):
        with pytest.raises(kind, match=text):
            await call
    assert [info.settings for info in await node.list_subscriptions()] == [SubscriptionSettings()] * 2


async def test_other_arguments(node: ESDBClient) -> None:
    wrong: list[tuple[Any, str]] = [
        (node.create_subscription(""), "group_name must not be empty"),
        (node.create_subscription("\ud800"), "group_name must be encodable"),
        (node.create_stream_subscription("g", ""), "stream_name must not be empty"),
        (node.create_stream_subscription("g", "$all"), "for all streams use create_subscription"),
        (node.update_stream_subscription("g", "$all"), "for all streams use update_subscription"),
        (node.delete_subscription("g", "$all"), "for all streams use no stream_name"),
        (node.create_subscription("g", True, 5), "give commit_position or from_end, not both"),
        (node.create_stream_subscription("g", "s", True, 5), "give stream_position or from_end, not both"),
        (node.update_subscription("g", True, 5), "give commit_position or from_end, not both"),
        (
            node.create_subscription("g", filter_include=["a,b"], filter_by_prefix=True),
            "a prefix must have no comma",
        ),
        (node.replay_parked_events("g", stop_at=0), "stop_at must be from 1 to"),
        (node.get_subscription_info("g", timeout=-1), "timeout must not be negative"),
    ]
    for call, text in wrong:
        with pytest.raises(InvalidArgumentError, match=text):
            await call
    with pytest.raises(InvalidTypeError, match="group_name must be a str, not int"):
        await node.create_subscription(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidTypeError, match="stop_at must be an int"):
        await node.replay_parked_events("g", stop_at=1.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="use read_subscription"):
        node.read_stream_subscription("g", "$all")
    with pytest.raises(InvalidArgumentError, match="buffer_size must be from 1 to"):
        node.read_subscription("g", buffer_size=0)
    with pytest.raises(InvalidArgumentError, match="grace must be from 0 to"):
        node.read_subscription("g", grace=-1)
    with pytest.raises(InvalidTypeError, match="reconnect must be True or False"):
        node.read_subscription("g", reconnect=None)  # type: ignore[arg-type]


async def test_statistics_of_consumers(node: ESDBClient) -> None:
    await node.create_stream_subscription("g", "s")
    async with node.read_stream_subscription("g", "s", buffer_size=5) as events:
        events.ack(await events.receive())
        await events.flush()
        (consumer,) = (await node.get_subscription_info("g", "s")).consumers
        assert (consumer.total_items, consumer.in_flight_messages, consumer.available_slots) == (3, 2, 3)
        assert consumer.username == "system"


async def test_parked_events_are_counted_and_replayed(node: ESDBClient) -> None:
    await node.append_events("s", StreamState.ANY, [NewEvent("A", b"more")])
    await node.create_stream_subscription("g", "s")
    async with node.read_stream_subscription("g", "s") as events:
        first, second = await events.receive(), await events.receive()
        events.nack([first, second], "park", "bad")
        await events.flush()
        assert (await node.get_subscription_info("g", "s")).parked_message_count == 2
        await node.replay_parked_events("g", "s", stop_at=1)
        assert (await node.get_subscription_info("g", "s")).parked_message_count == 1
        while (again := await events.receive()).link is None:
            events.ack(again)
        assert (again.data, again.retry_count) == (b"0", 0)
        assert again.link is not None
        assert again.link.stream_name == "$persistentsubscription-s::g-parked"
        assert b"Client explicitly NAK'ed message.\\nbad" in again.link.metadata
        events.ack(again)
        await events.flush()
