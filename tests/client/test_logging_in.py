"""The client with a node that has users: who calls are made for, and what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from tests.support.peer import Peer, connected
from trio_esdb import (
    AccessDeniedError,
    BasicCredentials,
    ESDBClient,
    NewEvent,
    StreamState,
    UnauthenticatedError,
)
from trio_esdb.embedded import EmbeddedNode

URI = "esdb://embedded"
ADMIN = BasicCredentials("admin", "changeit")
ANN = BasicCredentials("ann", "secret")
USERS = "/event_store.client.users.Users/"


@pytest.fixture
async def node() -> AsyncIterator[EmbeddedNode]:
    async with EmbeddedNode(users={"ann": "secret"}) as node:
        yield node


@pytest.fixture
async def client(node: EmbeddedNode) -> AsyncIterator[ESDBClient]:
    async with ESDBClient(URI, connect=node.connect, credentials=ANN) as client:
        yield client


@pytest.fixture
async def admin(node: EmbeddedNode) -> AsyncIterator[Peer]:
    """An admin, with calls that the client does not have."""
    async with connected(node) as peer:
        yield peer.user("admin")


def event(type: str = "T") -> NewEvent:
    return NewEvent(type=type, data=b"{}")


async def test_calls_of_a_user(client: ESDBClient) -> None:
    await client.append_event("s", StreamState.NO_STREAM, event())
    assert [found.type for found in await client.get_stream_events("s")] == ["T"]
    with pytest.raises(AccessDeniedError, match="Access Denied") as caught:
        async with client.read_all_events() as events:
            await events.receive()
    assert dict(caught.value.trailers) == {"exception": "access-denied"}
    with pytest.raises(AccessDeniedError) as caught:
        await client.append_event("$s", StreamState.ANY, event())
    assert caught.value.applied is False


async def test_calls_for_another_user(client: ESDBClient) -> None:
    await client.append_event("$s", StreamState.ANY, event(), credentials=ADMIN)
    assert await client.get_stream_metadata("$s", credentials=ADMIN) == ({}, None)
    with pytest.raises(AccessDeniedError):
        await client.get_stream_metadata("$s")
    for wrong in (BasicCredentials("ann", "Secret"), BasicCredentials("nobody", "secret")):
        with pytest.raises(UnauthenticatedError) as caught:
            await client.append_event("s", StreamState.ANY, event(), credentials=wrong)
        assert caught.value.applied is False
        assert "ecret" not in str(caught.value)


async def test_a_client_without_credentials(node: EmbeddedNode) -> None:
    async with ESDBClient(URI, connect=node.connect) as client:
        with pytest.raises(AccessDeniedError):
            await client.get_stream_events("s")


async def test_the_user_of_the_connection_string(node: EmbeddedNode) -> None:
    async with ESDBClient("esdb://ann:secret@embedded", connect=node.connect) as client:
        await client.append_event("s", StreamState.ANY, event())


async def test_a_new_password_is_asked_for(node: EmbeddedNode, admin: Peer) -> None:
    password = "secret"
    asked = 0

    async def credentials() -> BasicCredentials:
        nonlocal asked
        asked += 1
        await trio.lowlevel.checkpoint()
        return BasicCredentials("ann", password)

    async with ESDBClient(URI, connect=node.connect, credentials=credentials) as client:
        await client.append_event("s", StreamState.ANY, event())
        before = asked
        options = {"login_name": "ann", "new_password": "other"}
        assert (await admin.ask(USERS + "ResetPassword", {"options": options}))[1].ok
        password = "other"
        await client.append_event("s", StreamState.ANY, event())
        assert asked == before + 1


async def test_a_subscription_ends_when_its_user_may_read_no_more(client: ESDBClient, admin: Peer) -> None:
    await client.append_event("s", StreamState.ANY, event("1"))
    async with client.subscribe_stream_events("s") as events:
        assert (await events.receive()).type == "1"
        await admin.append("$$s", admin.event(b'{"$acl":{"$r":"$admins"}}', type="$metadata"))
        await admin.append("s", admin.event(type="2"))
        with pytest.raises(AccessDeniedError):
            await events.receive()
