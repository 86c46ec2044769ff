"""The version of the server: who asks for it, how often, and what is made of the answer."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing

from tests.support.scripted import URI, Script, Scripted, Seen, caught_up, confirmed, event, fails, goes_on, silence
from trio_esdb import (
    CaughtUp,
    DeadlineExceededError,
    ESDBClient,
    InvalidArgumentError,
    InvalidTypeError,
    ProtocolError,
    ServerVersion,
    Timeouts,
    UnavailableError,
    UnimplementedError,
)
from trio_esdb._wire import Limits, Status

OLD = "include_caught_up needs a server of version 23.10.0 or later, and this one "


async def test_it_is_asked_for_only_when_somebody_wants_to_know(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed())
    async with client.subscribe_all_events(), client.subscribe_stream_events("s", include_fell_behind=True):
        pass
    assert server.versions_told == 0


async def test_it_is_asked_for_once_a_connection(client: ESDBClient, server: Scripted, nursery: trio.Nursery) -> None:
    server.version = "26.1.0"
    server.read = goes_on(confirmed())
    with trio.testing.assert_checkpoints():
        assert await client.get_server_version() == ServerVersion(26, 1, 0) > (25, 1)
    for _ in range(3):
        with trio.testing.assert_checkpoints():
            assert str(await client.get_server_version()) == "26.1.0"
        async with client.subscribe_all_events(include_caught_up=True):
            pass
    assert server.versions_told == 1
    await trio.aclose_forcefully(server.streams[0])
    await trio.testing.wait_all_tasks_blocked()
    server.version = "24.10.4"
    assert await client.get_server_version() == (24, 10, 4), "another connection may be to another server"
    assert server.versions_told == 2


async def test_tasks_at_once_ask_once(client: ESDBClient, server: Scripted) -> None:
    server.read = goes_on(confirmed())

    async def subscribe() -> None:
        async with client.subscribe_all_events(include_caught_up=True):
            pass

    async with trio.open_nursery() as tasks:
        for _ in range(20):
            tasks.start_soon(subscribe)
            tasks.start_soon(client.get_server_version)
    assert server.versions_told == 1


@pytest.mark.parametrize("version", ["21.10.11", "22.10.0", "23.6.9", "23.9.99"])
async def test_old_servers_never_tell_that_a_subscription_has_caught_up(
    client: ESDBClient, server: Scripted, version: str
) -> None:
    """A program that waits for it would wait for ever."""
    server.version = version
    server.read = goes_on(confirmed())
    for subscription, doing in (
        (client.subscribe_all_events(include_caught_up=True), "subscribing to all events"),
        (client.subscribe_stream_events("s", include_caught_up=True), "subscribing to stream 's'"),
    ):
        with pytest.raises(UnimplementedError) as caught:
            async with subscription:
                pytest.fail("it subscribed")
        assert str(caught.value) == f"{doing}: {OLD}has version {version} [node-1:2113]"
        assert (caught.value.applied, caught.value.address) == (False, "node-1:2113")
    assert server.seen == [], "the server has seen none of them"
    async with client.subscribe_all_events():
        pass
    assert client.statistics().open_calls == 0


@pytest.mark.parametrize("version", ["23.10.0", "23.10.6", "24.2.1", "25.0.1", "26.1.0"])
async def test_later_ones_do(client: ESDBClient, server: Scripted, version: str) -> None:
    server.version = version
    server.read = goes_on(confirmed(), caught_up())
    async with client.subscribe_all_events(include_caught_up=True) as events:
        assert await events.receive() == CaughtUp()


async def test_servers_that_do_not_know_the_question_are_older(nursery: trio.Nursery) -> None:
    server = Scripted(nursery)
    server.version = ""
    async with ESDBClient(URI, connect=server.connect) as client:
        with pytest.raises(UnimplementedError, match=f"{OLD}does not tell its version, so it is older than 21.10"):
            async with client.subscribe_all_events(include_caught_up=True):
                pytest.fail("it subscribed")
        for _ in range(2):
            with pytest.raises(UnimplementedError, match="asking for the server's version") as caught:
                await client.get_server_version()
            assert caught.value.applied is False


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (fails(Status.PERMISSION_DENIED, "Access Denied"), "Access Denied"),
        (fails(Status.UNAUTHENTICATED, "Unauthenticated"), "Unauthenticated"),
        (fails(Status.UNKNOWN, "Exception was thrown by handler."), "thrown"),
    ],
)
async def test_nothing_is_concluded_from_a_refusal(
    client: ESDBClient, server: Scripted, answer: Script, error: str
) -> None:
    server.tell_version = answer
    server.read = goes_on(confirmed())
    with pytest.raises(Exception, match=error):
        await client.get_server_version()
    async with client.subscribe_all_events(include_caught_up=True):
        pass
    assert server.versions_told == 1


async def test_an_answer_without_a_version(client: ESDBClient, server: Scripted) -> None:
    server.version = "unknown"
    with pytest.raises(ProtocolError, match="tells a version that is none: 'unknown'"):
        await client.get_server_version()


async def test_a_server_that_is_silent(nursery: trio.Nursery) -> None:
    """The question is part of the call: its deadline holds, and so does the time of a first answer."""
    server = Scripted(nursery)
    server.tell_version = silence
    timeouts = Timeouts(first_answer=3)
    async with ESDBClient(URI, connect=server.connect, timeouts=timeouts, default_deadline=7) as client:
        began = trio.current_time()
        with pytest.raises(DeadlineExceededError):
            await client.get_server_version(timeout=2)
        assert trio.current_time() - began == 2
        began = trio.current_time()
        with pytest.raises(DeadlineExceededError, match=r"no answer within 3 seconds \(timeouts.first_answer\)"):
            await client.get_server_version()
        assert trio.current_time() - began == 7
        began = trio.current_time()
        with pytest.raises(DeadlineExceededError):
            async with client.subscribe_all_events(include_caught_up=True, timeout=2):
                pytest.fail("it subscribed")
        assert trio.current_time() - began == 2
    assert server.open_calls == 0


async def test_a_connection_that_is_lost_during_the_question(
    client: ESDBClient, server: Scripted, nursery: trio.Nursery
) -> None:
    server.tell_version = silence
    found: list[ServerVersion] = []

    async def ask() -> None:
        found.append(await client.get_server_version())

    async with trio.open_nursery() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        server.tell_version = None
        await trio.aclose_forcefully(server.streams[0])
    assert found == [(24, 10, 4)] * 3
    assert server.versions_told == 2


async def test_if_the_one_that_asks_gives_up_another_asks(client: ESDBClient, server: Scripted) -> None:
    server.tell_version = silence
    found: list[ServerVersion] = []

    async def ask() -> None:
        found.append(await client.get_server_version())

    async with trio.open_nursery() as tasks:
        with trio.move_on_after(1):
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            async with trio.open_nursery() as first:
                first.start_soon(client.get_server_version)
        server.tell_version = None
        await trio.sleep(10)
    assert found == [(24, 10, 4)] * 2


async def test_a_full_connection_is_asked_when_it_has_room(nursery: trio.Nursery) -> None:
    """The subscription itself may then have to go to another connection, which is asked as well."""
    server = Scripted(nursery, Limits(concurrent_streams=1))
    server.read = goes_on(confirmed(), event(0))
    async with ESDBClient(URI, connect=server.connect) as client:
        async with client.subscribe_all_events(), client.subscribe_all_events(include_caught_up=True):
            assert len(server.links) == 2
    assert server.versions_told == 1


async def test_arguments(client: ESDBClient) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout must not be negative"):
        await client.get_server_version(-1)
    with pytest.raises(InvalidTypeError, match="retry must be"):
        await client.get_server_version(retry="yes")  # type: ignore[arg-type]
    assert await client.get_server_version(math.inf) == (24, 10, 4)


async def test_a_closed_client(client: ESDBClient) -> None:
    await client.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await client.get_server_version()


async def test_without_repeats(client: ESDBClient, server: Scripted) -> None:
    """The question was never answered, so the call was never sent."""
    server.tell_version = fails(Status.UNAVAILABLE, "Server Is Not Ready")
    with pytest.raises(DeadlineExceededError, match="Server Is Not Ready"):
        await client.get_server_version(timeout=3, retry=False)
    with pytest.raises((UnavailableError, DeadlineExceededError), match="Server Is Not Ready"):
        async with client.subscribe_all_events(include_caught_up=True, timeout=3):
            pytest.fail("it subscribed")


@pytest.mark.parametrize("version", ["21.10.11", "26.1.0"])
async def test_a_subscription_that_resumes_asks_the_server_that_it_comes_to(
    client: ESDBClient, server: Scripted, version: str
) -> None:
    async def read(seen: Seen) -> None:
        if seen.read.subscription is None:  # whether the position is there
            await seen.send(event(1))
        else:
            await seen.give(confirmed(), event(len(server.links) - 1))

    server.read = read
    async with client.subscribe_all_events(include_caught_up=True) as events:
        assert (await anext(events)).stream_position == 0  # type: ignore[union-attr]
        server.version = version
        await trio.aclose_forcefully(server.streams[0])
        if version == "26.1.0":
            assert (await anext(events)).stream_position == 1  # type: ignore[union-attr]
        else:
            for _ in range(2):
                with pytest.raises(UnimplementedError, match=f"{OLD}has version 21.10.11"):
                    await anext(events)
    assert server.versions_told == 2
    assert client.statistics().calls_resumed == (version == "26.1.0")
