"""`trio-esdb serve --tls DIR --users` and kurrentdbclient: a whole life of a stream, and who may do what."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import trustme
from kurrentdbclient import AsyncKurrentDBClient, KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import (
    AccessDeniedError,
    FailedPreconditionError,
    InternalError,
    KurrentDBClientError,
    NotFoundError,
    StreamIsDeletedError,
    UnauthenticatedError,
    WrongCurrentVersionError,
)

from tests.support.bridge import Bridged

Connect = Callable[[str], Any]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=["sync", "asyncio"])
def connect(request: pytest.FixtureRequest, secure_node: str, runner: asyncio.Runner) -> Iterator[Connect]:
    """Makes a client that logs in."""
    opened: list[Any] = []

    def connect(login: str) -> Any:
        uri = secure_node.replace("://", f"://{login}@")
        client = KurrentDBClient(uri) if request.param == "sync" else Bridged(runner.run, AsyncKurrentDBClient(uri))
        opened.append(client)
        return client

    yield connect
    for client in opened:
        if isinstance(client, Bridged):
            runner.run(client._inner.connection._grpc_channel.close())
        else:
            client.close()


@pytest.fixture(scope="module")
def admin(connect: Connect) -> Any:
    return connect("admin:changeit")


@pytest.fixture(scope="module")
def ops(connect: Connect) -> Any:
    return connect("ops:changeit")


@pytest.fixture
def stream() -> str:
    return f"secure-{uuid.uuid4()}"


def events(*types: str) -> list[NewEvent]:
    return [NewEvent(type=each, data=b"{}") for each in types]


def types(recorded: Any) -> list[str]:
    return [event.type for event in recorded]


def test_the_life_of_a_stream(admin: Any, stream: str) -> None:
    admin.append_to_stream(stream, events=events("A", "B"), current_version=StreamState.NO_STREAM)
    with pytest.raises(WrongCurrentVersionError):
        admin.append_to_stream(stream, events=events("X"), current_version=0)
    assert types(admin.get_stream(stream)) == ["A", "B"]
    assert types(admin.read_all(filter_include=[stream], filter_by_stream_name=True)) == ["A", "B"]
    with admin.subscribe_to_stream(stream) as subscription:
        assert types(islice(subscription, 2)) == ["A", "B"]
        admin.append_to_stream(stream, events=events("C"), current_version=1)
        assert types(islice(subscription, 1)) == ["C"]
    assert admin.get_stream_metadata(stream) == ({}, StreamState.NO_STREAM)
    metadata = {"$maxCount": 2, "$acl": {"$r": ["$admins", "ops"], "$w": "$admins"}}
    admin.set_stream_metadata(stream, metadata=metadata, current_version=StreamState.NO_STREAM)
    assert admin.get_stream_metadata(stream) == (metadata, 0)
    assert types(admin.get_stream(stream)) == ["B", "C"]
    admin.delete_stream(stream, current_version=2)
    with pytest.raises(NotFoundError):
        admin.get_stream(stream)
    admin.append_to_stream(stream, events=events("D"), current_version=StreamState.NO_STREAM)
    assert [(event.type, event.stream_position) for event in admin.get_stream(stream)] == [("D", 3)]
    admin.tombstone_stream(stream, current_version=3)
    with pytest.raises((StreamIsDeletedError, FailedPreconditionError), match="is deleted"):
        admin.append_to_stream(stream, events=events("E"), current_version=StreamState.ANY)


def test_much_over_tls(admin: Any, stream: str) -> None:
    for _ in range(4):
        new = [NewEvent(type="Big", data=b"y" * 10_000) for _ in range(100)]
        admin.append_to_stream(stream, events=new, current_version=StreamState.ANY)
    assert sum(len(event.data) for event in admin.get_stream(stream)) == 4_000_000


@pytest.mark.parametrize("login", ["admin:wrong", "nobody:changeit"])
def test_a_wrong_password(connect: Connect, stream: str, login: str) -> None:
    client = connect(login)
    for attempt in (
        lambda: client.get_stream(stream),
        lambda: client.append_to_stream(stream, events=events("A")[0], current_version=StreamState.ANY),
        lambda: client.append_to_stream(stream, events=events("A", "B"), current_version=StreamState.ANY),
        lambda: client.set_stream_metadata(stream, metadata={}, current_version=StreamState.ANY),
        lambda: client.delete_stream(stream, current_version=StreamState.ANY),
        lambda: next(client.subscribe_to_stream(stream)),
    ):
        # The C core calls it an internal error of its own if the answer comes while it still writes the request.
        with pytest.raises((UnauthenticatedError, InternalError)):
            attempt()


def test_no_permission(admin: Any, ops: Any, stream: str) -> None:
    admin.append_to_stream(stream, events=events("A"), current_version=StreamState.NO_STREAM)
    metadata = {"$acl": dict.fromkeys(("$r", "$w", "$d", "$mr", "$mw"), "$admins")}
    admin.set_stream_metadata(stream, metadata=metadata, current_version=StreamState.NO_STREAM)
    for attempt in (
        lambda **more: ops.get_stream(stream, **more),
        lambda **more: ops.append_to_stream(stream, events=events("B")[0], current_version=StreamState.ANY, **more),
        lambda **more: ops.append_to_stream(stream, events=events("B", "C"), current_version=StreamState.ANY, **more),
        lambda **more: ops.get_stream_metadata(stream, **more),
        lambda **more: ops.set_stream_metadata(stream, metadata=metadata, current_version=0, **more),
        lambda **more: next(ops.subscribe_to_stream(stream, **more)),
        lambda **more: ops.delete_stream(stream, current_version=StreamState.ANY, **more),
    ):
        with pytest.raises(AccessDeniedError):
            attempt()
        attempt(credentials=admin.construct_call_credentials("admin", "changeit"))
    with pytest.raises(NotFoundError):
        admin.get_stream(stream)


def test_who_trusts_another_authority(secure_node: str, stream: str) -> None:
    uri = secure_node.partition("?")[0].replace("://", "://admin:changeit@")
    with KurrentDBClient(uri, root_certificates=trustme.CA().cert_pem.bytes()) as client:
        with pytest.raises(KurrentDBClientError):
            client.get_stream(stream, timeout=5)
