"""Opening and closing a client."""

from __future__ import annotations

import gc

import pytest
import trio
import trio.testing

from tests.support.scripted import URI, Door, Scripted, appended, confirmed, event, goes_on, says, silence
from trio_esdb import ESDBClient, ESDBError, NewEvent, UnavailableError

EVENT = NewEvent("Happened", b"{}")


async def test_nothing_is_connected_before_the_block_is_entered(server: Scripted) -> None:
    ESDBClient(URI, connect=server.connect)
    await trio.testing.wait_all_tasks_blocked()
    assert server.links == []


async def test_entering_connects(server: Scripted) -> None:
    with trio.testing.assert_checkpoints():
        client = await ESDBClient(URI, connect=server.connect).__aenter__()
    assert len(server.links) == 1
    with trio.testing.assert_checkpoints():
        await client.__aexit__(None, None, None)


async def test_leaving_closes_the_connection_in_no_time(server: Scripted) -> None:
    began = trio.current_time()
    async with ESDBClient(URI, connect=server.connect):
        pass
    assert trio.current_time() == began
    await trio.testing.wait_all_tasks_blocked()
    assert server.links[0].closed.is_set()


async def test_a_block_gives_the_client_itself(server: Scripted) -> None:
    client = ESDBClient(URI, connect=server.connect)
    async with client as entered:
        assert entered is client


async def refused(host: str, port: int) -> trio.abc.Stream:
    raise ConnectionRefusedError(111, "Connection refused")


async def hung(host: str, port: int) -> trio.abc.Stream:
    await trio.sleep_forever()
    raise AssertionError


async def test_a_wrong_address_fails_at_entry() -> None:
    with pytest.raises(UnavailableError, match=r"cannot connect to node-1:2113: .*refused") as caught:
        async with ESDBClient(URI, connect=refused):
            pytest.fail("it connected")
    assert caught.value.status == "UNAVAILABLE"
    assert caught.value.address == "node-1:2113"
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


async def test_connecting_is_bounded_in_time() -> None:
    began = trio.current_time()
    with pytest.raises(UnavailableError, match=r"no connection within 10 seconds"):
        async with ESDBClient(URI, connect=hung):
            pytest.fail("it connected")
    assert trio.current_time() - began == pytest.approx(10)


async def test_a_server_that_says_nothing_is_not_connected_to() -> None:
    async def mute(host: str, port: int) -> trio.abc.Stream:
        client, _server = trio.testing.memory_stream_pair()
        return client

    with pytest.raises(UnavailableError, match=r"the server sent nothing within 10 seconds"):
        async with ESDBClient(URI, connect=mute):
            pytest.fail("it connected")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "HTTP/2"),
        (b"", "closed the connection"),
    ],
)
async def test_a_server_that_speaks_something_else_is_named(said: bytes, reason: str) -> None:
    async def stranger(host: str, port: int) -> trio.abc.Stream:
        client, server = trio.testing.memory_stream_pair()
        await server.send_all(said)
        await server.send_eof()
        return client

    with pytest.raises(UnavailableError, match=reason) as caught:
        async with ESDBClient(URI, connect=stranger):
            pytest.fail("it connected")
    assert reason in caught.value.details


async def test_what_connect_raises_of_its_own_comes_out_as_it_is() -> None:
    class Mistake(Exception):
        pass

    async def broken(host: str, port: int) -> trio.abc.Stream:
        raise Mistake

    with pytest.raises(Mistake):
        async with ESDBClient(URI, connect=broken):
            pytest.fail("it connected")


async def test_entry_can_be_cancelled() -> None:
    with trio.move_on_after(2) as scope:
        async with ESDBClient(URI, connect=hung):
            pytest.fail("it connected")
    assert scope.cancelled_caught


async def test_closing_is_final(client: ESDBClient) -> None:
    with trio.testing.assert_checkpoints():
        await client.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await client.append_event("s", None, EVENT)
    with pytest.raises(trio.ClosedResourceError):
        await client.get_stream_events("s")
    with pytest.raises(trio.ClosedResourceError):
        async with client.subscribe_all_events():
            pytest.fail("it subscribed")
    await client.aclose()


async def test_a_cancelled_task_learns_of_that_first(client: ESDBClient) -> None:
    """As when a nursery with both the client and its users in it is cancelled."""
    await client.aclose()
    with trio.CancelScope() as scope:
        scope.cancel()
        await client.append_event("s", None, EVENT)
    assert scope.cancelled_caught


async def test_after_its_block_a_client_is_closed(server: Scripted) -> None:
    async with ESDBClient(URI, connect=server.connect) as client:
        pass
    with pytest.raises(trio.ClosedResourceError):
        await client.get_stream_position("s")
    await client.aclose()


async def test_a_client_is_opened_once(server: Scripted) -> None:
    async with ESDBClient(URI, connect=server.connect) as client:
        with pytest.raises(ESDBError, match="make a new one"):
            async with client:
                pytest.fail("it was opened twice")
        server.append = says(appended(0, 7))
        assert await client.append_event("s", None, EVENT) == 7
    with pytest.raises(ESDBError, match="make a new one"):
        async with client:
            pytest.fail("it was opened again")


async def test_a_client_that_failed_to_open_is_not_opened_again() -> None:
    client = ESDBClient(URI, connect=refused)
    for expected in (UnavailableError, ESDBError):
        with pytest.raises(expected):
            async with client:
                pytest.fail("it connected")


async def test_a_client_closed_before_it_was_opened_stays_closed(server: Scripted) -> None:
    client = ESDBClient(URI, connect=server.connect)
    with trio.testing.assert_checkpoints():
        await client.aclose()
    with pytest.raises(trio.ClosedResourceError):
        async with client:
            pytest.fail("it was opened")
    assert server.links == []


async def test_closing_while_it_opens(server: Scripted, nursery: trio.Nursery) -> None:
    async def slow(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep(1)
        return await server.connect(host, port)

    client = ESDBClient(URI, connect=slow)

    async def close() -> None:
        await trio.sleep(0.5)
        await client.aclose()

    nursery.start_soon(close)
    with pytest.raises(trio.ClosedResourceError):
        async with client:
            pytest.fail("it was opened")
    await trio.testing.wait_all_tasks_blocked()
    assert all(link.closed.is_set() for link in server.links)


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.append_event("s", None, EVENT),
        lambda client: client.get_stream_events("s"),
        lambda client: client.get_commit_position(),
        lambda client: client.delete_stream("s", 0),
        lambda client: client.get_stream_metadata("s"),
    ],
)
async def test_a_client_that_was_not_opened_says_how_to(server: Scripted, use) -> None:  # type: ignore[no-untyped-def]
    client = ESDBClient(URI, connect=server.connect)
    with pytest.raises(ESDBError, match=r"async with ESDBClient"):
        await use(client)
    with pytest.raises(ESDBError, match=r"async with ESDBClient"):
        client.read_stream_events("s")
    with pytest.raises(ESDBError, match=r"async with ESDBClient"):
        client.subscribe_all_events()


async def test_run_in_a_nursery_of_ones_own(server: Scripted, nursery: trio.Nursery) -> None:
    server.append = says(appended(0, 7))
    client = await nursery.start(ESDBClient(URI, connect=server.connect).run)
    assert isinstance(client, ESDBClient)
    assert await client.append_event("s", None, EVENT) == 7
    await client.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert nursery.child_tasks == frozenset()
    with pytest.raises(trio.ClosedResourceError):
        await client.append_event("s", None, EVENT)


async def test_run_ends_when_its_nursery_is_cancelled(server: Scripted) -> None:
    async with trio.open_nursery() as nursery:
        client = await nursery.start(ESDBClient(URI, connect=server.connect).run)
        nursery.cancel_scope.cancel()
    with pytest.raises(trio.ClosedResourceError):
        await client.get_stream_position("s")


async def test_run_raises_where_it_is_started() -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(UnavailableError):
            await nursery.start(ESDBClient(URI, connect=refused).run)


class Own(Exception):
    pass


async def test_exceptions_of_the_block_come_out_bare(server: Scripted) -> None:
    own = Own()
    with pytest.raises(Own) as caught:
        async with ESDBClient(URI, connect=server.connect):
            raise own
    assert caught.value is own
    assert own.__context__ is None
    assert own.__cause__ is None


async def test_groups_of_the_block_stay_as_they_are(server: Scripted) -> None:
    group = ExceptionGroup("mine", [Own(), Own()])
    with pytest.raises(ExceptionGroup) as caught:
        async with ESDBClient(URI, connect=server.connect):
            raise group
    assert caught.value.message == "mine"
    assert caught.value.exceptions == group.exceptions


async def test_an_error_of_a_call_comes_out_of_the_block_bare(server: Scripted, nursery: trio.Nursery) -> None:
    async def use() -> None:
        async with ESDBClient(URI, connect=server.connect) as client:
            await client.append_event("s", None, EVENT, retry=False)

    async def server_goes() -> None:
        await trio.testing.wait_all_tasks_blocked()
        await server.streams[0].aclose()

    server.append = silence
    nursery.start_soon(server_goes)
    with pytest.raises(UnavailableError):
        await use()


async def test_an_exception_out_of_nested_blocks(server: Scripted) -> None:
    async def use() -> None:
        async with ESDBClient(URI, connect=server.connect) as client:
            async with client.subscribe_all_events(), client.subscribe_stream_events("s"):
                raise own

    server.read = goes_on(confirmed())
    own = Own()
    with pytest.raises(Own) as caught:
        await use()
    assert caught.value is own
    assert own.__context__ is None


async def test_a_cancelled_block_is_just_cancelled(server: Scripted) -> None:
    server.read = silence
    with trio.move_on_after(1) as scope:
        async with ESDBClient(URI, connect=server.connect) as client:
            await client.get_stream_events("s")
    assert scope.cancelled_caught
    assert trio.current_time() >= 1


async def test_keyboard_interrupt_comes_out_bare(server: Scripted) -> None:
    with pytest.raises(KeyboardInterrupt):
        async with ESDBClient(URI, connect=server.connect):
            raise KeyboardInterrupt


async def test_clients_inside_one_another(nursery: trio.Nursery) -> None:
    outer_server, inner_server = Scripted(nursery), Scripted(nursery)
    outer_server.append = says(appended(0, 1))
    inner_server.append = says(appended(0, 2))
    async with ESDBClient(URI, connect=outer_server.connect) as outer:
        async with ESDBClient(URI, connect=inner_server.connect) as inner:
            assert await outer.append_event("s", None, EVENT) == 1
            assert await inner.append_event("s", None, EVENT) == 2
        with pytest.raises(trio.ClosedResourceError):
            await inner.append_event("s", None, EVENT)
        assert await outer.append_event("s", None, EVENT) == 1


async def test_calls_in_other_tasks_learn_that_the_client_was_closed(server: Scripted, nursery: trio.Nursery) -> None:
    server.append = silence
    server.read = goes_on(event())
    outcomes: list[str] = []

    async def append() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await client.append_event("s", None, EVENT)
        outcomes.append("append")

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await client.get_stream_events("s")
        outcomes.append("read")

    async with ESDBClient(URI, connect=server.connect) as client:
        nursery.start_soon(append)
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(outcomes) == ["append", "read"]
    assert all(seen.given_up for seen in server.seen)


async def test_closing_while_another_task_is_connecting(server: Scripted, nursery: trio.Nursery) -> None:
    """The connection that comes too late is closed, and the task told."""
    door = Door(server, 0, 1)
    told = trio.Event()

    async def append() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await client.append_event("s", None, EVENT)
        told.set()

    async with ESDBClient(URI, connect=door.connect) as client:
        await server.streams[0].aclose()
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(append)
        await trio.testing.wait_all_tasks_blocked()
        assert door.attempts == 2
    await told.wait()
    await trio.testing.wait_all_tasks_blocked()
    assert all(link.closed.is_set() for link in server.links)


async def test_aclose_while_another_task_is_connecting(server: Scripted, nursery: trio.Nursery) -> None:
    door = Door(server, 0, 1)
    told = trio.Event()

    async def append() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await client.append_event("s", None, EVENT)
        told.set()

    async with ESDBClient(URI, connect=door.connect) as client:
        await server.streams[0].aclose()
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(append)
        await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
        await told.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert all(link.closed.is_set() for link in server.links)


async def test_an_abandoned_client_warns_of_nothing(server: Scripted) -> None:
    ESDBClient(URI, connect=server.connect)
    gc.collect()


# -- a scope around the client ----------------------------------------------------------------------------------------


async def test_clean_up_of_a_cancelled_block_can_call(server: Scripted) -> None:
    server.append = says(appended(0, 4))
    done: list[object] = []
    with trio.move_on_after(1) as scope:
        async with ESDBClient(URI, connect=server.connect) as client:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    done.append(await client.append_event("s", None, EVENT))
    assert scope.cancelled_caught
    assert done == [4]
    await trio.testing.wait_all_tasks_blocked()
    assert all(link.closed.is_set() for link in server.links)


async def test_clean_up_can_call_a_node_of_the_client() -> None:
    with trio.move_on_after(1):
        async with ESDBClient("esdb://embedded") as client:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await client.append_event("s", None, EVENT)
                    assert len(await client.get_stream_events("s")) == 1


async def test_leaving_a_cancelled_block_takes_a_bounded_time() -> None:
    """Also if the server takes nothing any more."""
    ours, theirs = trio.testing.memory_stream_pair()

    async def connect(host: str, port: int) -> trio.abc.Stream:
        await theirs.send_all(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        return ours

    began = trio.current_time()
    with trio.move_on_after(1) as scope:
        async with ESDBClient(URI, connect=connect) as client:
            await trio.testing.wait_all_tasks_blocked()
            ours.send_stream.send_all_hook = trio.sleep_forever
            await client.append_event("s", None, EVENT)
    assert scope.cancelled_caught
    assert trio.current_time() - began <= 3


# -- what it looks like -----------------------------------------------------------------------------------------------


async def test_representations(server: Scripted) -> None:
    server.read = goes_on(confirmed())
    client = ESDBClient(URI, connect=server.connect)
    assert repr(client) == "<trio_esdb.ESDBClient: node-1:2113, not open>"
    async with client:
        assert repr(client) == "<trio_esdb.ESDBClient: node-1:2113, open>"
        subscription = client.subscribe_stream_events("s")
        assert repr(subscription) == "<trio_esdb: subscribing to stream 's', not opened yet: use it with `async with`>"
        async with subscription as events:
            assert repr(subscription) == "<trio_esdb: subscribing to stream 's', opened>"
            assert repr(events) == "<trio_esdb.EventChannel: subscribing to stream 's', open>"
            events.close()
            assert repr(events) == "<trio_esdb.EventChannel: subscribing to stream 's', closed>"
    assert repr(client) == "<trio_esdb.ESDBClient: node-1:2113, closed>"
    server.read = says()
    async with ESDBClient(URI, connect=server.connect) as client, client.read_stream_events("s") as events:
        await trio.testing.wait_all_tasks_blocked()
        assert repr(events) == "<trio_esdb.EventChannel: reading stream 's', ended>"
