"""Consumers of groups and a server that does what no server should: scripted answers to Read and GetInfo."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.support.scripted import Scripted, Seen, delivered, fails, goes_on, joined, known, says, silence
from trio_esdb import (
    ESDBClient,
    GroupChannel,
    ProtocolError,
    SubscriptionDroppedError,
    UnavailableError,
)
from trio_esdb._wire import Status
from trio_esdb._wire._connection import Connection


def name_of(server: Scripted) -> str:
    """The connection name of the consumer that came last."""
    found = [seen.call.metadata["connection-name"] for seen in server.seen if seen.method == "Consume"][-1]
    assert isinstance(found, str)
    return found


async def ack(events: GroupChannel, count: int) -> None:
    for _ in range(count):
        events.ack(await events.receive())


async def test_each_consumer_has_a_name_of_its_own(client: ESDBClient, server: Scripted) -> None:
    server.consume = goes_on(joined())
    names = []
    for _ in range(2):
        async with client.read_stream_subscription("g", "s"):
            names.append(name_of(server))
    assert len(set(names)) == 2
    prefixes = {name.rpartition("-")[0].rpartition("-")[0] for name in names}
    assert len(prefixes) == 1, "they begin with the name of the client"


async def test_a_server_that_does_not_confirm_first(client: ESDBClient, server: Scripted) -> None:
    server.consume = goes_on(delivered(0))
    with pytest.raises(ProtocolError, match="the server did not confirm the consumer first"):
        async with client.read_stream_subscription("g", "s"):
            pass
    server.consume = goes_on(b"\xff")
    with pytest.raises(ProtocolError, match="malformed"):
        async with client.read_stream_subscription("g", "s"):
            pass


async def test_an_event_that_cannot_be_decoded(client: ESDBClient, server: Scripted) -> None:
    server.consume = goes_on(joined(), delivered(0), b"\xff", delivered(1))
    async with client.read_stream_subscription("g", "s") as events:
        assert (await events.receive()).stream_position == 0
        with pytest.raises(ProtocolError, match="malformed"):
            await events.receive()


async def test_messages_that_mean_nothing_are_passed_over(client: ESDBClient, server: Scripted) -> None:
    server.consume = goes_on(joined(), b"", delivered(0), b"")
    async with client.read_stream_subscription("g", "s") as events:
        assert (await events.receive()).stream_position == 0
        with trio.move_on_after(1) as scope:
            await events.receive()
        assert scope.cancelled_caught


async def test_the_server_is_asked_again_until_it_knows(client: ESDBClient, server: Scripted) -> None:
    server.consume = goes_on(joined(), delivered(0), delivered(1))
    answers = [0, 0, 1, 2]
    asked: list[float] = []

    async def info(seen: Seen) -> bytes:
        asked.append(trio.current_time())
        return known(name_of(server), answers.pop(0), in_flight=3)

    server.info = info
    async with client.read_stream_subscription("g", "s") as events:
        await ack(events, 2)
        start = trio.current_time()
        await events.flush()
        assert [at - start for at in asked] == pytest.approx([0, 0.005, 0.015, 0.035])
        await events.flush()
    assert len(asked) == 4, "nothing more was to be proved"


async def test_where_nobody_may_ask_there_is_a_pause(client: ESDBClient, server: Scripted) -> None:
    server.consume = goes_on(joined(), delivered(0), delivered(1))
    server.info = fails(Status.PERMISSION_DENIED, "Access Denied", exception="access-denied")
    async with client.read_stream_subscription("g", "s", grace=0.5) as events:
        for _ in range(2):
            await ack(events, 1)
            start = trio.current_time()
            await events.flush()
            assert trio.current_time() - start == pytest.approx(0.5)
    assert [seen.method for seen in server.seen].count("Info") == 1


async def test_a_call_that_ends_in_that_pause(client: ESDBClient, server: Scripted) -> None:
    async def consume(seen: Seen) -> None:
        await seen.send(joined(), delivered(0))
        await trio.sleep(0.2)

    server.consume = consume
    server.info = fails(Status.PERMISSION_DENIED, "Access Denied", exception="access-denied")
    async with client.read_stream_subscription("g", "s", grace=0.5) as events:
        await ack(events, 1)
        with pytest.raises(UnavailableError, match="1 acks and refusals are not proved"):
            await events.flush()


async def test_silence_in_that_pause(client: ESDBClient, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PING goes behind the acks, and nothing answers it."""
    pings: list[bytes] = []
    server.consume = goes_on(joined(), delivered(0), delivered(1))
    server.info = fails(Status.PERMISSION_DENIED, "Access Denied", exception="access-denied")
    async with client.read_stream_subscription("g", "s", grace=0.5) as events:
        await ack(events, 1)
        await events.flush()
        await trio.sleep(1)
        monkeypatch.setattr(Connection, "_on_ping", lambda self, stream, flags, payload: pings.append(payload))
        await ack(events, 1)
        with pytest.raises(UnavailableError, match="1 acks and refusals are not proved"):
            await events.flush()
        assert len(pings) == 1
        monkeypatch.undo()


async def test_a_server_that_has_forgotten_the_consumer(client: ESDBClient, server: Scripted) -> None:
    server.consume = goes_on(joined(), delivered(0))
    server.info = says(known("somebody else", 7))
    async with client.read_stream_subscription("g", "s") as events:
        await ack(events, 1)
        with pytest.raises(UnavailableError, match="1 acks and refusals are not proved"):
            await events.flush()
        assert (await events.receive()).stream_position == 0
        assert events.reconnections == 1


async def test_a_server_that_says_nothing_of_the_group(
    client: ESDBClient, server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    server.consume = goes_on(joined(), delivered(0))
    server.info = silence
    async with client.read_stream_subscription("g", "s", grace=1) as events:
        await ack(events, 1)
    assert "1 acks and refusals are not proved: the server did not tell within 1 seconds" in caplog.text


async def test_a_server_that_ends_the_call_again_and_again(client: ESDBClient, server: Scripted) -> None:
    server.consume = says(joined())
    with pytest.raises(UnavailableError, match=r"the server ended the subscription.*tried 5 times"):
        async with client.read_stream_subscription("g", "s") as events:  # or here, as the tasks are run
            await events.receive()


async def test_another_leader_is_learnt_of_elsewhere(client: ESDBClient, server: Scripted) -> None:
    server.consume = goes_on(joined(), delivered(0))
    async with client.read_stream_subscription("g", "s") as events:
        await events.receive()
        call = events._consumer.current
        assert call is not None
        assert call.endless
        call.on_leader_moved()
        call.on_leader_moved()
        assert (await events.receive()).stream_position == 0
        assert events.reconnections == 1
    async with client.read_stream_subscription("g", "s", reconnect=False) as events:
        await events.receive()
        call = events._consumer.current
        assert call is not None
        call.on_leader_moved()
        with pytest.raises(UnavailableError, match="another node leads now"):
            await events.receive()


async def test_several_tasks_wait_while_one_connects_again(client: ESDBClient, server: Scripted) -> None:
    calls = 0

    async def consume(seen: Seen) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await seen.send(joined())
            await trio.sleep(1)
            await fails(Status.CANCELLED, exception="persistent-subscription-dropped")(seen)
        await seen.give(joined(), *(delivered(number) for number in range(3)))

    server.consume = consume
    got: list[int] = []
    async with client.read_stream_subscription("g", "s") as events, trio.open_nursery() as nursery:

        async def take() -> None:
            async with events.clone() as clone:
                got.append((await clone.receive()).stream_position)

        for _ in range(3):
            nursery.start_soon(take)
    assert sorted(got) == [0, 1, 2]
    assert calls == 2


async def test_a_task_that_connects_again_is_cancelled_and_another_one_does_it(
    client: ESDBClient, server: Scripted
) -> None:
    calls = 0

    async def consume(seen: Seen) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await seen.send(joined())
            await trio.sleep(1)
            raise_ = fails(Status.CANCELLED, exception="persistent-subscription-dropped")
            await raise_(seen)
        if calls == 2:
            await silence(seen)
        await seen.give(joined(), delivered(7))

    server.consume = consume
    async with client.read_stream_subscription("g", "s") as events, trio.open_nursery() as nursery:
        got: list[int] = []

        async def impatient() -> None:
            with trio.move_on_after(2):
                await events.receive()

        async def patient() -> None:
            got.append((await events.receive()).stream_position)

        nursery.start_soon(impatient)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(patient)
    assert got == [7]


async def test_dropped_without_reconnecting_ends_all_who_wait(client: ESDBClient, server: Scripted) -> None:
    async def consume(seen: Seen) -> None:
        await seen.send(joined())
        await trio.sleep(1)
        await fails(Status.CANCELLED, exception="persistent-subscription-dropped")(seen)

    server.consume = consume
    async with client.read_stream_subscription("g", "s", reconnect=False) as events, trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(SubscriptionDroppedError):
                await events.receive()

        for _ in range(3):
            nursery.start_soon(wait)


async def test_an_event_that_cannot_be_decoded_is_found_without_waiting(client: ESDBClient, server: Scripted) -> None:
    server.consume = goes_on(joined(), b"\xff")
    async with client.read_stream_subscription("g", "s") as events:
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            with pytest.raises((ProtocolError, trio.ClosedResourceError)):
                events.receive_nowait()
