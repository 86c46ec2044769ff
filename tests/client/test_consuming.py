"""Consumers of groups: what they get, what they say, how they leave, and what happens when they are disconnected."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from trio_esdb import (
    BasicCredentials,
    DeadlineExceededError,
    ESDBClient,
    ESDBError,
    GroupChannel,
    GroupEvent,
    InvalidArgumentError,
    InvalidTypeError,
    MaximumSubscribersError,
    NewEvent,
    StreamState,
    SubscriptionDroppedError,
    SubscriptionNotFoundError,
    UnavailableError,
)
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing import MemoryNetwork

PLAIN = "esdb://node:2113?tls=false"


@pytest.fixture
async def network() -> AsyncIterator[MemoryNetwork]:
    network = MemoryNetwork()
    async with EmbeddedNode() as node, network.listen(node, "node", 2113):
        yield network


@pytest.fixture
async def client(network: MemoryNetwork) -> AsyncIterator[ESDBClient]:
    async with ESDBClient(PLAIN, connect=network.connect) as client:
        await append(client, *range(6))
        await client.create_stream_subscription("g", "s", max_retry_count=2)
        yield client


async def append(client: ESDBClient, *numbers: int, stream: str = "s") -> None:
    await client.append_events(stream, StreamState.ANY, [NewEvent("A", b"%d" % number) for number in numbers])


async def take(events: GroupChannel, number: int) -> list[GroupEvent]:
    return [await events.receive() for _ in range(number)]


def told(events: list[GroupEvent]) -> list[tuple[int, int]]:
    """The number of each event, and how often it was retried."""
    return [(int(event.data), event.retry_count) for event in events]


# -- events -----------------------------------------------------------------------------------------------------------


async def test_what_was_written_and_what_is_written(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        got = await take(events, 6)
        await append(client, 6)
        got += await take(events, 1)
        assert told(got) == [(number, 0) for number in range(7)]
        events.ack(got)


async def test_no_more_than_the_buffer_until_something_is_acked(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s", buffer_size=2) as events:
        first, second = await take(events, 2)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
        events.ack(first)
        third = await events.receive()
        assert told([first, second, third]) == [(0, 0), (1, 0), (2, 0)]


async def test_clones_share_the_events(client: ESDBClient) -> None:
    got: list[GroupEvent] = []

    async def work(channel: GroupChannel) -> None:
        async with channel:
            async for event in channel:
                await trio.sleep(1)
                got.append(event)
                channel.ack(event)

    async with client.read_stream_subscription("g", "s") as events, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(work, events.clone())
        await trio.sleep(2.5)
        assert sorted(told(got)) == [(number, 0) for number in range(6)]
        events.stop()
    assert (await client.get_subscription_info("g", "s")).last_checkpoint is None


async def test_a_link_is_acked_by_its_own_id_and_one_to_nothing_too(client: ESDBClient) -> None:
    links = [NewEvent("$>", data, content_type="application/octet-stream") for data in (b"1@s", b"9@s", b"0@s")]
    await client.append_events("links", None, links)
    await client.create_stream_subscription("g", "links", resolve_links=True)
    async with client.read_stream_subscription("g", "links") as events:
        one, gone, two = got = await take(events, 3)
        assert (one.data, two.data) == (b"1", b"0")
        assert one.link is not None
        assert one.link.id == links[0].id
        assert (gone.is_link_event, gone.id, gone.link) == (True, links[1].id, None)
        events.ack(got)
        await events.flush()
        info = await client.get_subscription_info("g", "links")
        assert info.outstanding_messages_count == 0


async def test_what_an_event_of_a_group_is(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        event = await events.receive()
        assert isinstance(event, GroupEvent)
        assert repr(event).startswith("GroupEvent(type='A', stream_name='s', stream_position=0")
        (read,) = await client.get_stream_events("s", limit=1)
        assert event == read
        with pytest.raises(AttributeError, match="cannot be changed"):
            event.retry_count = 5
        assert repr(events) == "<trio_esdb.GroupChannel: consuming from group 'g' of stream 's', open>"
    assert repr(events).endswith("closed>")


# -- acks and refusals ------------------------------------------------------------------------------------------------


async def test_refused_events(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        again, park, skip, stop, *others = await take(events, 6)
        events.nack(park, "park", "bad")
        events.nack(again)
        events.nack([skip], "skip")
        events.nack([stop], "stop", "same as skip")
        events.ack(others)
        assert told([await events.receive()]) == [(0, 1)]
        await events.flush()
        info = await client.get_subscription_info("g", "s")
        assert (info.parked_message_count, info.outstanding_messages_count) == (1, 1)


async def test_an_event_is_settled_once(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        first, second, third = await take(events, 3)
        events.ack(first)
        events.nack(second, "skip")
        for event in (first, second):
            with pytest.raises(InvalidArgumentError, match="was acked or refused before"):
                events.ack(event)
            with pytest.raises(InvalidArgumentError, match="was acked or refused before"):
                events.nack(event)
        with pytest.raises(InvalidArgumentError, match="was acked or refused before"):
            events.ack([third, third])
        with pytest.raises(InvalidArgumentError, match="was acked or refused before"):
            events.ack([third, first])
        events.ack(third)


async def test_what_cannot_be_acked(client: ESDBClient) -> None:
    (read,) = await client.get_stream_events("s", limit=1)
    await client.create_stream_subscription("h", "s")
    async with (
        client.read_stream_subscription("g", "s") as events,
        client.read_stream_subscription("h", "s") as others,
    ):
        event = await events.receive()
        with pytest.raises(InvalidTypeError, match="can be acked or refused, not RecordedEvent"):
            events.ack([read])  # type: ignore[list-item]
        with pytest.raises(InvalidArgumentError, match="came from another consumer"):
            others.ack(event)
        with pytest.raises(InvalidArgumentError, match="action must be one of retry, park, skip, stop, not 'drop'"):
            events.nack(event, "drop")  # type: ignore[arg-type]
        with pytest.raises(InvalidTypeError, match="reason must be a str, not bytes"):
            events.nack(event, "park", b"bad")  # type: ignore[arg-type]
        events.ack([])
        events.ack(event)
    with pytest.raises(trio.ClosedResourceError, match="this consumer was closed"):
        events.ack(event)


async def test_many_acks_are_few_messages(client: ESDBClient, network: MemoryNetwork) -> None:
    await append(client, *range(6, 1000))
    await client.create_stream_subscription("many", "s", history_buffer_size=2000, read_batch_size=100)
    async with client.read_stream_subscription("many", "s", buffer_size=1000) as events:
        got = await take(events, 1000)
        (connection,) = network.connections
        before = connection.bytes_to_server
        for event in got:
            events.ack(event)
        await events.flush()
        sent = connection.bytes_to_server - before
        assert sent < 1000 * 42, "an ack takes 40 bytes"
        assert (await client.get_subscription_info("many", "s")).outstanding_messages_count == 0


# -- flushing and leaving ---------------------------------------------------------------------------------------------


async def test_what_was_acked_last_does_not_come_again(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        for event in await take(events, 4):
            events.ack(event)
    async with client.read_stream_subscription("g", "s") as events:
        assert told(await take(events, 2)) == [(4, 1), (5, 1)]


async def test_closing_the_channel_itself_may_lose_acks(client: ESDBClient) -> None:
    """That is what servers do with acks that come together with a reset; so it is the block that is to be left."""
    async with client.read_stream_subscription("g", "s") as events:
        event = await events.receive()
        events.ack(event)
        events.close()
        with pytest.raises(trio.ClosedResourceError):
            await events.receive()
    async with client.read_stream_subscription("g", "s") as events:
        assert told([await events.receive()]) == [(0, 1)]


async def test_flush_asks_until_the_server_has_taken_the_acks(client: ESDBClient, network: MemoryNetwork) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        events.ack(await take(events, 6))
        network.to("node").latency(0.05)
        start = trio.current_time()
        await events.flush()
        assert trio.current_time() - start == pytest.approx(0.1)
        before = network.connections[0].bytes_to_server
        await events.flush()
        assert network.connections[0].bytes_to_server == before, "nothing was to be proved"


async def test_leaving_is_bounded_and_says_what_was_not_proved(
    client: ESDBClient, network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "trio_esdb"):
        async with client.read_stream_subscription("g", "s", grace=3) as events:
            events.ack(await take(events, 2))
            network.to("node").hold()
            start = trio.current_time()
        assert trio.current_time() - start == pytest.approx(3)
    assert "2 acks and refusals are not proved: the server did not tell within 3 seconds (grace)" in caplog.text
    network.to("node").release()


async def test_leaving_without_acks_does_not_ask(client: ESDBClient, network: MemoryNetwork) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        await events.receive()
        network.to("node").hold()
        start = trio.current_time()
    assert trio.current_time() == start
    network.to("node").release()


async def test_a_cancelled_block_flushes_too(client: ESDBClient) -> None:
    with trio.move_on_after(1) as scope:
        async with client.read_stream_subscription("g", "s") as events:
            events.ack(await take(events, 6))
            await trio.sleep_forever()
    assert scope.cancelled_caught
    info = await client.get_subscription_info("g", "s")
    assert (info.outstanding_messages_count, info.retry_buffer_count) == (0, 0)


async def test_stop_hands_out_no_more(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        first = await events.receive()
        events.stop()
        events.stop()
        assert [event async for event in events] == []
        with pytest.raises(trio.EndOfChannel):
            events.receive_nowait()
        with pytest.raises(trio.EndOfChannel):
            await events.receive()
        events.ack(first)
    async with client.read_stream_subscription("g", "s") as events:
        assert told([await events.receive()]) == [(1, 1)]


async def test_stop_ends_those_who_wait(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s") as events, trio.open_nursery() as nursery:
        events.ack(await take(events, 6))

        async def wait() -> None:
            async with events.clone() as clone:
                assert [event async for event in clone] == []

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        events.stop()


async def test_a_consumer_that_is_dropped_is_closed_with_a_warning(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        with pytest.warns(ResourceWarning, match="was dropped without being closed"):
            events.clone()
        await events.aclose()
        with pytest.raises(trio.ClosedResourceError):
            events.clone()


async def test_a_consumer_is_opened_once(client: ESDBClient) -> None:
    consuming = client.read_stream_subscription("g", "s")
    async with consuming:
        pass
    with pytest.raises(ESDBError, match="opened before"):
        async with consuming:
            pass


async def test_the_client_is_closed_around_a_consumer(network: MemoryNetwork) -> None:
    async with ESDBClient(PLAIN, connect=network.connect) as client:
        await client.create_stream_subscription("g", "s")
        async with client.read_stream_subscription("g", "s") as events:
            await client.aclose()
            with pytest.raises(trio.ClosedResourceError, match="the client was closed"):
                await events.receive()


# -- disconnected -----------------------------------------------------------------------------------------------------


async def test_a_group_that_is_updated_goes_on(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        first = await events.receive()
        await client.update_stream_subscription("g", "s", max_retry_count=7)
        await trio.testing.wait_all_tasks_blocked()
        again = await events.receive()
        assert (told([again]), events.reconnections) == ([(0, 0)], 1)
        events.ack(first)  # of the connection before: the server takes it for the new delivery
        events.ack(again)
        await events.flush()


async def test_a_group_that_is_deleted(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        first = await events.receive()
        await client.delete_subscription("g", "s")
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            with pytest.raises(SubscriptionNotFoundError, match="consuming from group 'g' of stream 's'"):
                await events.receive()
        events.ack(first)
        assert repr(events).endswith("ended>")


async def test_without_reconnecting(client: ESDBClient) -> None:
    async with client.read_stream_subscription("g", "s", reconnect=False) as events:
        await events.receive()
        await client.update_stream_subscription("g", "s", max_retry_count=7)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(SubscriptionDroppedError, match="was dropped") as dropped:
            await events.receive()
        assert (dropped.value.group_name, dropped.value.stream_name) == ("g", "s")


async def test_a_lost_connection(client: ESDBClient, network: MemoryNetwork) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        first, second = await take(events, 2)
        events.ack(first)
        await events.flush()
        network.to("node").reset()
        await trio.testing.wait_all_tasks_blocked()
        got = await take(events, 5)
        assert told(got) == [(number, 1) for number in range(1, 6)]
        assert events.reconnections == 1
        events.ack(second)
        events.ack(got)


async def test_flush_after_the_connection_was_lost(client: ESDBClient, network: MemoryNetwork) -> None:
    async with client.read_stream_subscription("g", "s") as events:
        events.ack(await events.receive())
        network.to("node").reset()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(UnavailableError, match="1 acks and refusals are not proved"):
            await events.flush()


async def test_too_many_consumers(client: ESDBClient) -> None:
    await client.update_stream_subscription("g", "s", max_subscriber_count=1)
    async with client.read_stream_subscription("g", "s"):
        with pytest.raises(MaximumSubscribersError, match="Maximum subscriptions reached") as full:
            async with client.read_stream_subscription("g", "s"):
                pass
        assert (full.value.group_name, full.value.stream_name) == ("g", "s")


async def test_a_stream_that_was_tombstoned_ends_the_group(client: ESDBClient) -> None:
    """The server confirms each consumer and drops it again. After five times that is an error."""
    await client.tombstone_stream("s", StreamState.ANY)
    await client.restart_persistent_subscriptions()
    async with client.read_stream_subscription("g", "s") as events:
        with pytest.raises(SubscriptionDroppedError, match="tried 5 times"):
            await events.receive()


async def test_connecting_is_bounded(client: ESDBClient, network: MemoryNetwork) -> None:
    network.to("node").hold()
    start = trio.current_time()
    with pytest.raises(DeadlineExceededError, match="consuming from group 'g' of stream 's'"):
        async with client.read_stream_subscription("g", "s", timeout=3):
            pass
    assert trio.current_time() - start == pytest.approx(3)
    network.to("node").release()


async def test_a_node_that_shuts_down_is_left_for_its_successor(network: MemoryNetwork) -> None:
    async with EmbeddedNode() as old, EmbeddedNode() as new, trio.open_nursery() as nursery:
        for node in (old, new):
            async with ESDBClient(PLAIN, connect=node.connect) as client:
                await append(client, 1)
                await client.create_stream_subscription("g", "s")
        await nursery.start(network.serve, old, "db", 2113)
        async with ESDBClient("esdb://db:2113?tls=false", connect=network.connect) as client:
            async with client.read_stream_subscription("g", "s") as events:
                events.ack(await events.receive())
                nursery.start_soon(old.shut_down)
                await trio.testing.wait_all_tasks_blocked()
                start = trio.current_time()
                await nursery.start(network.serve, new, "db", 2113)
                got = await events.receive()
                assert (got.data, got.retry_count, events.reconnections) == (b"1", 0, 1)
                assert trio.current_time() - start < 5, "the old node would have served for five seconds"
                events.ack(got)
        nursery.cancel_scope.cancel()


# -- time -------------------------------------------------------------------------------------------------------------


async def test_time_passes_in_no_time(client: ESDBClient) -> None:
    await client.update_stream_subscription("g", "s", message_timeout=30, max_retry_count=1)
    async with client.read_stream_subscription("g", "s") as events:
        got = await take(events, 6)
        events.ack(got[1:])
        assert told([await events.receive()]) == [(0, 1)]
        await trio.sleep(40)
        assert (await client.get_subscription_info("g", "s")).parked_message_count == 1
        await append(client, *range(6, 10))
        events.ack(await take(events, 4))
        await trio.sleep(1.5)
        assert (await client.get_subscription_info("g", "s")).last_checkpoint == 9


async def test_credentials_of_a_consumer() -> None:
    node = EmbeddedNode(users={"reader": "secret"})
    async with node:
        admin = BasicCredentials("admin", "changeit")
        async with ESDBClient(PLAIN, connect=node.connect, credentials=admin, plain_text_credentials=True) as client:
            await append(client, 1)
            await client.create_stream_subscription("g", "s")
            reader = BasicCredentials("reader", "secret")
            async with client.read_stream_subscription("g", "s", credentials=reader) as events:
                events.ack(await events.receive())
                await events.flush()
                (consumer,) = (await client.get_subscription_info("g", "s")).consumers
                assert consumer.username == "reader"
