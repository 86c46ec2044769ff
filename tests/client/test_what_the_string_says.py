"""What a connection string says reaches the connections and calls of the client, and arguments go before it."""

from __future__ import annotations

import pytest
import trio

from tests.support.scripted import URI, Scripted, appended, says, silence
from trio_esdb import (
    BasicCredentials,
    DeadlineExceededError,
    ESDBClient,
    NewEvent,
    UnauthenticatedError,
    UnavailableError,
)
from trio_esdb.embedded import Certificates, EmbeddedNode
from trio_esdb.testing import MemoryNetwork

CERTIFICATES = Certificates.self_made("node1.example")
ROOTS = CERTIFICATES.root_certificates
EVENT = NewEvent("Happened", b"{}")
WITH_USER = URI.replace("://", "://admin:changeit@")
HEADER = BasicCredentials("admin", "changeit").authorization()


@pytest.mark.parametrize(
    ("user", "password"), [("admin", "changeit"), ("ann%40example.org", "p%40ss%2Fw%C3%B6rd%25:?".replace("?", "%3F"))]
)
async def test_the_user_logs_in_over_tls(user: str, password: str) -> None:
    network = MemoryNetwork()
    async with (
        EmbeddedNode(users={"ann@example.org": "p@ss/wörd%:?"}) as node,
        network.listen(node, "node1.example", 2113, tls=CERTIFICATES),
    ):
        uri = f"esdb://{user}:{password}@node1.example"
        async with ESDBClient(uri, root_certificates=ROOTS, connect=network.connect) as client:
            await client.append_event("s", None, EVENT)
            assert len(await client.get_stream_events("s")) == 1


async def test_a_wrong_password() -> None:
    network = MemoryNetwork()
    async with EmbeddedNode(users=True) as node, network.listen(node, "node1.example", 2113, tls=CERTIFICATES):
        uri = "esdb://admin:s3cret@node1.example"
        async with ESDBClient(uri, root_certificates=ROOTS, connect=network.connect) as client:
            with pytest.raises(UnauthenticatedError) as caught:
                await client.append_event("s", None, EVENT)
            assert "s3cret" not in str(caught.value)
        right = BasicCredentials("admin", "changeit")
        async with ESDBClient(uri, ROOTS, credentials=right, connect=network.connect) as client:
            await client.append_event("s", None, EVENT)


async def test_the_user_logs_in_to_a_node_inside_the_process() -> None:
    async with EmbeddedNode(users=True) as node:
        async with ESDBClient("esdb://admin:changeit@embedded", connect=node.connect) as client:
            await client.append_event("$$s", None, NewEvent("$metadata", b"{}"))
        async with ESDBClient("esdb://admin:wrong@embedded", connect=node.connect) as client:
            with pytest.raises(UnauthenticatedError):
                await client.append_event("s", None, EVENT)


@pytest.mark.parametrize(("permitted", "header"), [(False, None), (True, HEADER)])
async def test_the_user_is_not_sent_in_plain_text(server: Scripted, permitted: bool, header: str | None) -> None:
    server.append = says(appended(0, 4))
    async with ESDBClient(WITH_USER, connect=server.connect, plain_text_credentials=permitted) as client:
        await client.append_event("s", None, EVENT)
    assert [seen.call.metadata.get("authorization") for seen in server.seen] == [header]


@pytest.mark.parametrize(("argument", "name"), [(None, "orders 1"), ("other", "other")])
async def test_the_server_is_told_the_name(server: Scripted, argument: str | None, name: str) -> None:
    server.append = says(appended(0, 4))
    uri = URI + "&connectionName=orders%201"
    async with ESDBClient(uri, connect=server.connect, connection_name=argument) as client:
        await client.append_event("s", None, EVENT)
    assert [seen.call.metadata.get("connection-name") for seen in server.seen] == [name]


async def test_the_deadline(server: Scripted) -> None:
    server.append = silence
    uri = URI + "&defaultDeadline=500"
    for client, seconds in (
        (ESDBClient(uri, connect=server.connect), 0.5),
        (ESDBClient(uri, connect=server.connect, default_deadline=3), 3),
    ):
        async with client:
            began = trio.current_time()
            with pytest.raises(DeadlineExceededError):
                await client.append_event("s", None, EVENT)
            assert trio.current_time() - began == pytest.approx(seconds)
    async with ESDBClient(uri, connect=server.connect, default_deadline=None) as client:
        with trio.move_on_after(1000) as scope:
            await client.append_event("s", None, EVENT)
        assert scope.cancelled_caught


async def test_the_signs_of_life() -> None:
    """A server that stands still is noticed after the interval and the time-out of the string, or of the arguments."""
    network = MemoryNetwork()
    uri = "esdb://node1.example?tls=false&keepAliveInterval=1000&keepAliveTimeout=500&defaultDeadline=-1"
    async with EmbeddedNode() as node, network.listen(node, "node1.example", 2113):
        for client, seconds in (
            (ESDBClient(uri, connect=network.connect, retry=False), 1.5),
            (ESDBClient(uri, connect=network.connect, retry=False, keep_alive_interval=20), 20.5),
            (ESDBClient(uri, connect=network.connect, retry=False, keep_alive_timeout=7), 8),
        ):
            async with client:
                await client.append_event(f"s-{seconds}", None, EVENT)
                network.to("node1.example").hold()
                began = trio.current_time()
                with pytest.raises(UnavailableError, match="no answer to a PING"):
                    await client.append_event(f"t-{seconds}", None, EVENT)
                assert trio.current_time() - began == pytest.approx(seconds, abs=0.01)
                network.to("node1.example").release()
