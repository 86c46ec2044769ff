"""Arguments that cannot be used: a clear error of ours, before anything is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.scripted import URI, Scripted
from trio_esdb import (
    Checkpoint,
    ESDBClient,
    ESDBError,
    InvalidArgumentError,
    InvalidTypeError,
    NewEvent,
    UnavailableError,
)

EVENT = NewEvent("Happened", b"{}")


@pytest.fixture
async def client(server: Scripted) -> AsyncIterator[ESDBClient]:
    """A client of which the server hears nothing."""
    async with ESDBClient(URI, connect=server.connect) as client:
        yield client
        await trio.testing.wait_all_tasks_blocked()
        assert server.seen == []
        assert client.statistics().open_calls == 0


ADDRESSES: list[tuple[Any, str]] = [
    ("", "must begin with esdb://"),
    ("localhost:2113", "must begin with esdb://"),
    ("http://localhost:2113", "must begin with esdb://"),
    ("esdb://", "the address '' is not valid"),
    ("esdb://localhost:port?Tls=false", "the port of 'localhost' must be a number"),
    ("esdb://localhost?Tls=no", "the option tls must be true or false"),
    ("esdb://localhost?Tls=false&KeepAlife=1", "the option 'KeepAlife' is not known"),
    (None, "uri must be a str"),
    (b"esdb://localhost?Tls=false", "uri must be a str"),
    (2113, "uri must be a str"),
]


@pytest.mark.parametrize(("uri", "text"), ADDRESSES)
def test_unusable_addresses(uri: Any, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text) as caught:
        ESDBClient(uri)
    assert "uri" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError) is not isinstance(uri, str)


@pytest.mark.parametrize(
    "uri",
    [
        "esdb://localhost",
        "esdb://localhost?Tls=false",
        "KURRENTDB://localhost:2113?TLS=FALSE",
        "esdb://node-1.example.com:2113/?tls=False",
        "esdb://[::1]:65535?Tls=false",
        "esdb://admin:changeit@localhost?tls=false&nodePreference=follower&dnsDiscover=false",
        "esdb://embedded",
        "esdb://embedded?Tls=false",
        "esdb://embedded:2113?Tls=false",
    ],
)
def test_usable_addresses(uri: str) -> None:
    ESDBClient(uri)


@pytest.mark.parametrize("place", ["localhost:port", "[::1", "a,,b", "", "localhost/path", "a?tls=false&x"])
def test_addresses_do_not_leak_passwords(place: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        ESDBClient(f"esdb://admin:changeit@{place}?tls=true")
    assert "changeit" not in str(caught.value)


async def test_an_address_that_nobody_listens_on() -> None:
    """A wrong address fails when the block is entered, with the address in the message."""

    async def connect(host: str, port: int) -> trio.abc.Stream:
        raise OSError("[Errno -2] Name or service not known")

    with pytest.raises(UnavailableError, match=r"cannot connect to nowhere\.invalid:2113: .*not known"):
        async with ESDBClient("esdb://nowhere.invalid?Tls=false", connect=connect):
            pytest.fail("it connected")


Use = Callable[[ESDBClient, Any], Any]
BY_NAME: dict[str, Callable[[ESDBClient, Any], Any]] = {
    "append_events": lambda client, name: client.append_events(name, None, [EVENT]),
    "append_event": lambda client, name: client.append_event(name, None, EVENT),
    "delete_stream": lambda client, name: client.delete_stream(name, None),
    "tombstone_stream": lambda client, name: client.tombstone_stream(name, None),
    "get_stream_events": lambda client, name: client.get_stream_events(name),
    "get_stream_position": lambda client, name: client.get_stream_position(name),
    "get_stream_metadata": lambda client, name: client.get_stream_metadata(name),
    "set_stream_metadata": lambda client, name: client.set_stream_metadata(name, {}),
    "read_stream_events": lambda client, name: client.read_stream_events(name),
    "subscribe_stream_events": lambda client, name: client.subscribe_stream_events(name),
}


async def outcome(use: Use, client: ESDBClient, value: Any) -> None:
    result = use(client, value)
    if isinstance(result, Awaitable):
        await result


@pytest.mark.parametrize("method", BY_NAME)
@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("", InvalidArgumentError, "stream_name must not be empty"),
        (None, InvalidTypeError, "stream_name must be a str, not NoneType"),
        (b"s", InvalidTypeError, "stream_name must be a str, not bytes"),
        (5, InvalidTypeError, "stream_name must be a str, not int"),
        ("\ud800", InvalidArgumentError, "stream_name must be encodable"),
    ],
)
async def test_stream_names(client: ESDBClient, method: str, name: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        await outcome(BY_NAME[method], client, name)


WITH_LIMIT: dict[str, Use] = {
    "get_stream_events": lambda client, limit: client.get_stream_events("s", limit=limit),
    "read_stream_events": lambda client, limit: client.read_stream_events("s", limit=limit),
    "read_all_events": lambda client, limit: client.read_all_events(limit=limit),
}


@pytest.mark.parametrize("method", WITH_LIMIT)
@pytest.mark.parametrize(
    ("limit", "kind", "text"),
    [
        (0, InvalidArgumentError, "limit must be at least 1"),
        (-1, InvalidArgumentError, "limit must be at least 1"),
        (-(10**30), InvalidArgumentError, "limit must be at least 1"),
        (1.0, InvalidTypeError, "limit must be an int"),
        ("1", InvalidTypeError, "limit must be an int"),
        (True, InvalidTypeError, "limit must be an int"),
    ],
)
async def test_limits(client: ESDBClient, method: str, limit: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        await outcome(WITH_LIMIT[method], client, limit)


WITH_POSITION: dict[str, Use] = {
    "get_stream_events": lambda client, position: client.get_stream_events("s", position),
    "read_stream_events": lambda client, position: client.read_stream_events("s", position),
    "read_all_events": lambda client, position: client.read_all_events(position),
    "subscribe_all_events": lambda client, position: client.subscribe_all_events(position),
    "subscribe_stream_events": lambda client, position: client.subscribe_stream_events("s", position),
}


@pytest.mark.parametrize("method", WITH_POSITION)
@pytest.mark.parametrize(
    ("position", "kind"),
    [
        (-1, InvalidArgumentError),
        (2**63, InvalidArgumentError),
        (2**64 - 1, InvalidArgumentError),
        (1.0, InvalidTypeError),
        ("1", InvalidTypeError),
        (False, InvalidTypeError),
        ((1, 1), InvalidTypeError),
    ],
)
async def test_positions(client: ESDBClient, method: str, position: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="_position must be"):
        await outcome(WITH_POSITION[method], client, position)


@pytest.mark.parametrize("position", [0, 5, Checkpoint(5, 5)])
async def test_a_position_and_the_end(client: ESDBClient, position: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="commit_position or from_end, not both"):
        client.subscribe_all_events(position, from_end=True)
    with pytest.raises(InvalidArgumentError, match="stream_position or from_end, not both"):
        client.subscribe_stream_events("s", position, from_end=True)


@pytest.mark.parametrize("argument", ["window_size", "checkpoint_interval_multiplier"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, InvalidArgumentError),
        (-1, InvalidArgumentError),
        (2**31, InvalidArgumentError),
        ("5", InvalidTypeError),
        (True, InvalidTypeError),
        (None, InvalidTypeError),
    ],
)
async def test_windows(client: ESDBClient, argument: str, value: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"{argument} must be"):
        client.subscribe_all_events(**{argument: value})


WITH_FILTER: dict[str, Callable[..., Any]] = {
    "read_all_events": lambda client, **filter: client.read_all_events(**filter),
    "subscribe_all_events": lambda client, **filter: client.subscribe_all_events(**filter),
    "get_commit_position": lambda client, **filter: client.get_commit_position(**filter),
}


@pytest.mark.parametrize("method", WITH_FILTER)
@pytest.mark.parametrize("argument", ["filter_include", "filter_exclude"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("Order.*", InvalidTypeError),
        (b"Order.*", InvalidTypeError),
        (None, InvalidTypeError),
        ({"A"}, InvalidTypeError),
        ([b"A"], InvalidTypeError),
        (["A", 5], InvalidTypeError),
        ([""], InvalidArgumentError),
    ],
)
async def test_filters(client: ESDBClient, method: str, argument: str, value: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"{argument} must"):
        await outcome(lambda client, value: WITH_FILTER[method](client, **{argument: value}), client, value)


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: NewEvent("T", "text"), InvalidTypeError, "data must be bytes, not str"),  # type: ignore[arg-type]
        (lambda: NewEvent("T", {"a": 1}), InvalidTypeError, "data must be bytes"),  # type: ignore[arg-type]
        (lambda: NewEvent("T", None), InvalidTypeError, "data must be bytes"),  # type: ignore[arg-type]
        (lambda: NewEvent("T", bytearray(b"")), InvalidTypeError, "data must be bytes"),  # type: ignore[arg-type]
        (lambda: NewEvent("T", b"", metadata="text"), InvalidTypeError, "metadata must be bytes"),  # type: ignore[arg-type]
        (lambda: NewEvent("", b""), InvalidArgumentError, "type must not be empty"),
        (lambda: NewEvent(None, b""), InvalidTypeError, "type must be a str"),  # type: ignore[arg-type]
        (lambda: NewEvent("\udc00", b""), InvalidArgumentError, "type must be encodable"),
        (lambda: NewEvent("T", b"", content_type=""), InvalidArgumentError, "content_type must be"),  # type: ignore[arg-type]
        (lambda: NewEvent("T", b"", content_type=None), InvalidArgumentError, "content_type must be"),  # type: ignore[arg-type]
        (lambda: NewEvent("T", b"", content_type="text/plain"), InvalidArgumentError, "content_type must be"),  # type: ignore[arg-type]
        (lambda: NewEvent("T", b"", id="1"), InvalidTypeError, r"id must be a uuid\.UUID"),  # type: ignore[arg-type]
    ],
)
def test_events(make: Callable[[], NewEvent], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        make()


async def test_refusals_are_errors_of_this_library(client: ESDBClient) -> None:
    """One except clause catches all of them; so do Python's usual ones."""
    for kind in (ESDBError, ValueError):
        with pytest.raises(kind):
            await client.append_events("", None, [EVENT])
    for kind in (ESDBError, ValueError, TypeError):
        with pytest.raises(kind):
            client.read_stream_events(5)  # type: ignore[arg-type]


async def test_nothing_of_a_refused_append_is_sent(client: ESDBClient) -> None:
    with pytest.raises(InvalidTypeError):
        await client.append_events("s", None, [EVENT, EVENT, "third"])  # type: ignore[list-item]
