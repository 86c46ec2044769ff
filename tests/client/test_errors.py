"""From what a server says to the error that comes out, through the whole client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

import trio_esdb as e
from tests.support.scripted import URI, Scripted, Seen, appended, confirmed, event, fails, says
from trio_esdb import ESDBClient, NewEvent, ServerError
from trio_esdb._transport._handlers import Failure
from trio_esdb._wire import Status

EVENT = NewEvent("Happened", b"{}")

BY_EXCEPTION: list[tuple[str, type[ServerError]]] = [
    ("access-denied", e.AccessDeniedError),
    ("stream-deleted", e.StreamDeletedError),
    ("stream-not-found", e.StreamNotFoundError),
    ("wrong-expected-version", e.ExpectedPositionError),
    ("maximum-append-size-exceeded", e.ServerTooLargeError),
    ("maximum-append-event-size-exceeded", e.ServerTooLargeError),
    ("missing-required-metadata-property", e.InvalidRequestError),
    ("invalid-transaction", e.InvalidRequestError),
    ("not-leader", e.NotLeaderError),
]

BY_STATUS: list[tuple[Status, str, type[ServerError]]] = [
    (Status.CANCELLED, "why", e.ServerError),
    (Status.UNKNOWN, "why", e.ServerError),
    (Status.UNKNOWN, "Exception was thrown by handler.", e.InvalidRequestError),
    (Status.UNKNOWN, "Unexpected ReadAllResult: InvalidPosition", e.InvalidPositionError),
    (Status.UNKNOWN, "Unexpected ReadStreamResult: Error", e.InvalidRequestError),
    (Status.INVALID_ARGUMENT, "why", e.InvalidRequestError),
    (Status.INVALID_ARGUMENT, "Trying to read from an invalid position.", e.InvalidPositionError),
    (Status.DEADLINE_EXCEEDED, "why", e.DeadlineExceededError),
    (Status.NOT_FOUND, "why", e.ServerError),
    (Status.ALREADY_EXISTS, "why", e.ServerError),
    (Status.PERMISSION_DENIED, "why", e.AccessDeniedError),
    (Status.RESOURCE_EXHAUSTED, "why", e.ResourceExhaustedError),
    (Status.FAILED_PRECONDITION, "why", e.ServerError),
    (Status.ABORTED, "Operation timed out: Commit phase timeout.", e.AbortedError),
    (Status.ABORTED, "Operation timed out: Consumer too slow to handle event", e.ConsumerTooSlowError),
    (Status.OUT_OF_RANGE, "why", e.ServerError),
    (Status.UNIMPLEMENTED, "why", e.UnimplementedError),
    (Status.INTERNAL, "why", e.ServerError),
    (Status.UNAVAILABLE, "Server Is Not Ready", e.UnavailableError),
    (Status.DATA_LOSS, "why", e.ServerError),
    (Status.UNAUTHENTICATED, "why", e.UnauthenticatedError),
]


@pytest.fixture
async def client(server: Scripted) -> AsyncIterator[ESDBClient]:
    """A client that repeats nothing, so that each failure comes out as it is."""
    async with ESDBClient(URI, connect=server.connect, retry=False) as client:
        yield client


async def failures(client: ESDBClient) -> list[ServerError]:
    """The failure of a write, of a read and of a subscription, with what each was doing."""
    found = []
    for use, doing in (
        (lambda: client.append_event("s", None, EVENT), "appending to stream 's'"),
        (lambda: client.get_stream_events("s"), "reading stream 's'"),
        (lambda: client.get_commit_position(), "reading all events"),
        (lambda: client.subscribe_stream_events("s").__aenter__(), "subscribing to stream 's'"),
    ):
        with pytest.raises(ServerError, match=f"^{doing}: ") as caught:
            await use()  # type: ignore[no-untyped-call]
        found.append(caught.value)
    return found


@pytest.mark.parametrize(("name", "kind"), BY_EXCEPTION)
async def test_what_the_exception_trailer_names(
    client: ESDBClient, server: Scripted, name: str, kind: type[ServerError]
) -> None:
    server.read = server.append = fails(Status.NOT_FOUND, "the text", exception=name, more="there is")
    for error in await failures(client):
        assert type(error) is kind
        assert error.status == "NOT_FOUND"
        assert error.details == "the text"
        assert error.trailers == {"exception": name, "more": "there is"}
        assert error.address == "node-1:2113"
        assert ("the text" in str(error)) is (kind is not e.ExpectedPositionError)
        assert "node-1:2113" in str(error)


@pytest.mark.parametrize(("status", "text", "kind"), BY_STATUS)
async def test_what_the_status_says(
    client: ESDBClient, server: Scripted, status: Status, text: str, kind: type[ServerError]
) -> None:
    server.read = server.append = fails(status, text)
    for error in await failures(client):
        assert type(error) is kind
        assert (error.status, error.details, error.trailers) == (status.name, text, {})


async def test_an_exception_that_nobody_knows_leaves_it_to_the_status(client: ESDBClient, server: Scripted) -> None:
    server.append = fails(Status.UNAVAILABLE, "no", exception="something-new")
    with pytest.raises(e.UnavailableError) as caught:
        await client.append_event("s", None, EVENT)
    assert caught.value.trailers["exception"] == "something-new"


async def test_a_failure_without_a_text(client: ESDBClient, server: Scripted) -> None:
    server.append = fails(Status.DATA_LOSS)
    with pytest.raises(ServerError, match="DATA_LOSS, without a text"):
        await client.append_event("s", None, EVENT)


async def test_texts_beyond_ascii(client: ESDBClient, server: Scripted) -> None:
    server.append = fails(Status.UNKNOWN, "schade: 100 % größer\nals erlaubt")
    with pytest.raises(ServerError) as caught:
        await client.append_event("s", None, EVENT)
    assert caught.value.details == "schade: 100 % größer\nals erlaubt"


async def test_binary_trailers(client: ESDBClient, server: Scripted) -> None:
    async def fail(seen: Seen) -> None:
        raise Failure(Status.UNKNOWN, "no", {"extra-bin": b"\x00\xff"})

    server.append = fail
    with pytest.raises(ServerError) as caught:
        await client.append_event("s", None, EVENT)
    assert caught.value.trailers == {"extra-bin": b"\x00\xff"}


@pytest.mark.parametrize(
    ("trailers", "leader"),
    [
        ({"leader_endpoint_host": "node-2", "leader_endpoint_port": "2114"}, ("node-2", 2114)),
        ({"leader_endpoint_host": "node-2"}, None),
        ({"leader_endpoint_host": "node-2", "leader_endpoint_port": "x"}, None),
        ({}, None),
    ],
)
async def test_not_the_leader(
    client: ESDBClient, server: Scripted, trailers: dict[str, str], leader: tuple[str, int] | None
) -> None:
    server.append = fails(Status.NOT_FOUND, "Leader info available", exception="not-leader", **trailers)
    with pytest.raises(e.NotLeaderError) as caught:
        await client.append_event("s", None, EVENT)
    assert caught.value.leader == leader


async def test_a_leader_that_nobody_knows(client: ESDBClient, server: Scripted) -> None:
    server.append = fails(Status.UNKNOWN, "No leader info available in response")
    with pytest.raises(e.NotLeaderError) as caught:
        await client.append_event("s", None, EVENT)
    assert caught.value.leader is None


async def test_a_method_that_the_server_does_not_have(server: Scripted) -> None:
    server.methods.remove("Append")
    async with ESDBClient(URI, connect=server.connect) as client:
        with pytest.raises(e.UnimplementedError):
            await client.append_event("s", None, EVENT)


async def test_an_answer_larger_than_this_client_takes(server: Scripted) -> None:
    async with ESDBClient(URI, connect=server.connect, max_message_size=5000) as client:
        server.read = says(event(0), event(1, data=bytes(6000)))
        async with client.read_stream_events("s") as events:
            assert (await events.receive()).stream_position == 0
            with pytest.raises(e.ResourceExhaustedError, match="5000 is the limit") as caught:
                await events.receive()
            assert caught.value.status == "RESOURCE_EXHAUSTED"
        server.append = says(appended(0, 4))
        assert await client.append_event("s", None, EVENT) == 4
        assert len(server.links) == 1


HTTP: list[tuple[int, type[ServerError]]] = [
    (401, e.UnauthenticatedError),
    (403, e.AccessDeniedError),
    (404, e.UnimplementedError),
    (500, e.ServerError),
    (503, e.UnavailableError),
]


@pytest.mark.parametrize(("status", "kind"), HTTP)
async def test_http_errors(client: ESDBClient, server: Scripted, status: int, kind: type[ServerError]) -> None:
    async def refuse(seen: Seen) -> None:
        seen.link.core.refuse_http(seen.stream, status)
        seen.link.wake()

    server.append = refuse
    with pytest.raises(kind, match=f"HTTP {status}"):
        await client.append_event("s", None, EVENT)
    server.append = says(appended(0, 4))
    assert await client.append_event("s", None, EVENT) == 4


async def test_a_call_that_the_server_resets(client: ESDBClient, server: Scripted) -> None:
    def reset(*first: bytes) -> Any:
        async def run(seen: Seen) -> None:
            if first:
                await seen.send(*first)
            seen.link.core.reset(seen.stream, 2)
            seen.link.wake()

        return run

    server.append = reset()
    with pytest.raises(e.UnavailableError, match="reset the call"):
        await client.append_event("s", None, EVENT)
    server.read = reset(confirmed(), event(0))
    async with client.subscribe_all_events(resume=False) as events:
        await events.receive()
        with pytest.raises(e.UnavailableError, match="reset the call"):
            await events.receive()


async def test_errors_can_be_caught_as_what_they_are() -> None:
    for kind in vars(e).values():
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert issubclass(kind, e.ESDBError)
    assert issubclass(e.InvalidArgumentError, ValueError)
    assert issubclass(e.InvalidTypeError, TypeError)
