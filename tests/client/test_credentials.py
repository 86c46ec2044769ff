"""Who calls are made for: the client's credentials, those of a call, and a function that gives them."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from hpack import NeverIndexedHeaderTuple

from tests.support import http2
from tests.support.links import Hand
from tests.support.scripted import URI, Scripted, Seen, appended, deleted, event, fails, says, silence
from trio_esdb import (
    AccessDeniedError,
    BasicCredentials,
    BearerToken,
    DeadlineExceededError,
    ESDBClient,
    InvalidArgumentError,
    InvalidTypeError,
    NewEvent,
    RetryPolicy,
    UnauthenticatedError,
)
from trio_esdb._transport._handlers import Failure
from trio_esdb._wire import Status

EVENT = NewEvent("Happened", b"{}")
ANNE = BasicCredentials("anne", "sesame")
BASIC = "Basic YW5uZTpzZXNhbWU="

Use = Callable[..., Awaitable[Any]]
WRITES: dict[str, Use] = {
    "append_events": lambda client, **more: client.append_events("s", None, [EVENT], **more),
    "append_event": lambda client, **more: client.append_event("s", None, EVENT, **more),
    "delete_stream": lambda client, **more: client.delete_stream("s", None, **more),
    "tombstone_stream": lambda client, **more: client.tombstone_stream("s", None, **more),
    "set_stream_metadata": lambda client, **more: client.set_stream_metadata("s", {}, **more),
}
READS: dict[str, Use] = {
    "get_stream_position": lambda client, **more: client.get_stream_position("s", **more),
    "get_commit_position": lambda client, **more: client.get_commit_position(**more),
    "get_stream_events": lambda client, **more: client.get_stream_events("s", **more),
    "get_stream_metadata": lambda client, **more: client.get_stream_metadata("s", **more),
}
CALLS = WRITES | READS
every_call = pytest.mark.parametrize("name", CALLS)


@pytest.fixture
async def server(nursery: trio.Nursery) -> Scripted:
    server = Scripted(nursery)
    server.append = says(appended(0, 4))
    server.delete = server.tombstone = says(deleted(4))
    server.read = says(event(0, data=b"{}"))
    return server


def client_of(server: Scripted, credentials: Any = None, **more: Any) -> ESDBClient:
    return ESDBClient(URI, connect=server.connect, credentials=credentials, plain_text_credentials=True, **more)


def sent(server: Scripted) -> list[Any]:
    """What each call carried."""
    return [seen.call.metadata.get("authorization") for seen in server.seen]


class Provider:
    """A credentials function that gives token-1, token-2 and so on, each after some seconds."""

    def __init__(self, *seconds: float) -> None:
        self.asked = 0
        self._seconds = seconds or (0,)

    async def __call__(self) -> BearerToken:
        self.asked += 1
        number = self.asked
        await trio.sleep(self._seconds[min(number, len(self._seconds)) - 1])
        return BearerToken(f"token-{number}")


def only(*tokens: str) -> Callable[[Seen], Awaitable[bytes]]:
    """A script that takes these tokens and no others."""

    async def run(seen: Seen) -> bytes:
        if seen.call.metadata.get("authorization") not in [f"Bearer {token}" for token in tokens]:
            raise Failure(Status.UNAUTHENTICATED, "Unauthenticated")
        return appended(0, 4)

    return run


# -- given credentials -------------------------------------------------------------------------------------------------


@every_call
async def test_without_credentials_none_are_sent(server: Scripted, name: str) -> None:
    async with client_of(server) as client:
        await CALLS[name](client)
    assert sent(server) == [None]


@every_call
@pytest.mark.parametrize(("credentials", "header"), [(ANNE, BASIC), (BearerToken("abc"), "Bearer abc")])
async def test_the_client_s_credentials(server: Scripted, name: str, credentials: Any, header: str) -> None:
    async with client_of(server, credentials) as client:
        await CALLS[name](client)
        await CALLS[name](client, credentials=BearerToken("of-the-call"))
        await CALLS[name](client)
    assert sent(server) == [header, "Bearer of-the-call", header]


@every_call
async def test_credentials_of_a_call_alone(server: Scripted, name: str) -> None:
    async with client_of(server) as client:
        await CALLS[name](client, credentials=ANNE)
        await CALLS[name](client)
    assert sent(server) == [BASIC, None]


@every_call
async def test_they_are_not_sent_in_plain_text_unless_that_is_permitted(server: Scripted, name: str) -> None:
    async with ESDBClient(URI, connect=server.connect) as client:
        with pytest.raises(InvalidArgumentError, match="plain_text_credentials=True") as caught:
            await CALLS[name](client, credentials=ANNE)
        assert "sesame" not in str(caught.value)
        await CALLS[name](client)
    assert sent(server) == [None]


@every_call
@pytest.mark.parametrize("wrong", ["anne:sesame", ("anne", "sesame"), BASIC.encode(), True, BearerToken])
async def test_unusable_credentials(server: Scripted, name: str, wrong: Any) -> None:
    async with client_of(server) as client:
        with pytest.raises(InvalidTypeError, match="credentials must be") as caught:
            await CALLS[name](client, credentials=wrong)
    assert "sesame" not in str(caught.value)
    assert server.seen == []


@every_call
@pytest.mark.parametrize("wrong", [3, "no", RetryPolicy])
async def test_unusable_retry(server: Scripted, name: str, wrong: Any) -> None:
    async with client_of(server) as client:
        with pytest.raises(InvalidTypeError, match="retry must be True, False, a RetryPolicy or None"):
            await CALLS[name](client, retry=wrong)
    assert server.seen == []


@every_call
async def test_a_wrong_password(server: Scripted, name: str) -> None:
    """It is no use to try again."""
    server.append = server.delete = server.tombstone = server.read = fails(Status.UNAUTHENTICATED, "Unauthenticated")
    async with client_of(server, ANNE) as client:
        with pytest.raises(UnauthenticatedError, match="user name, password or token is not valid") as caught:
            await CALLS[name](client)
    assert len(server.seen) == 1
    error = caught.value
    if name in WRITES:
        assert error.applied is False
    for text in (str(error), repr(error), repr(vars(error)), repr(vars(client)), repr(pickle.dumps(error))):
        assert "sesame" not in text
        assert BASIC[6:] not in text


@every_call
async def test_no_permission(server: Scripted, name: str) -> None:
    denied = fails(Status.PERMISSION_DENIED, "Access Denied", exception="access-denied")
    server.append = server.delete = server.tombstone = server.read = denied
    async with client_of(server, ANNE) as client:
        with pytest.raises(AccessDeniedError, match="no permission for this, or the call has no credentials"):
            await CALLS[name](client)


@every_call
async def test_hpack_never_indexes_them(name: str, nursery: trio.Nursery) -> None:
    """The same call twice: the secret is a literal each time, and not in the table of the other end."""
    hand = Hand()
    hand.put(http2.settings((3, 100)))

    async def connect(host: str, port: int) -> trio.abc.Stream:
        return hand.stream

    async with ESDBClient(URI, connect=connect, credentials=ANNE, plain_text_credentials=True) as client:
        await hand.heard()
        for _ in range(2):
            with trio.CancelScope() as scope:
                nursery.start_soon(cancel_later, scope)
                await CALLS[name](client)
        blocks = [frame.payload for frame in await hand.heard() if frame.kind == http2.HEADERS]
    assert len(blocks) == 2
    for block in blocks:
        headers = {bytes(header[0]): header for header in hand.decoder.decode(block, raw=True)}
        secret = headers[b"authorization"]
        assert isinstance(secret, NeverIndexedHeaderTuple)
        assert bytes(secret[1]).decode() == BASIC
    assert all(name != b"authorization" for name, _ in hand.decoder.header_table.dynamic_entries)


async def cancel_later(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


# -- a function --------------------------------------------------------------------------------------------------------


async def test_it_is_asked_once_for_a_connection(server: Scripted) -> None:
    provider = Provider()
    async with client_of(server, provider) as client:
        for _ in range(3):
            await client.append_event("s", None, EVENT)
        await client.append_event("s", None, EVENT, credentials=ANNE)
        await trio.aclose_forcefully(server.streams[0])
        await trio.testing.wait_all_tasks_blocked()
        await client.append_event("s", None, EVENT)
    assert sent(server) == ["Bearer token-1"] * 3 + [BASIC, "Bearer token-2"]
    assert provider.asked == 2


async def test_it_is_not_asked_for_calls_with_credentials_of_their_own(server: Scripted) -> None:
    provider = Provider()
    async with client_of(server, provider) as client:
        for name, use in CALLS.items():
            await use(client, credentials=BearerToken(name))
    assert sent(server) == [f"Bearer {name}" for name in CALLS]
    assert provider.asked == 0


@pytest.mark.parametrize("seconds", [0, 3])
async def test_it_is_asked_once_for_many_calls(server: Scripted, seconds: float) -> None:
    provider = Provider(seconds)
    async with client_of(server, provider) as client, trio.open_nursery() as calls:
        for name in CALLS:
            for _ in range(5):
                calls.start_soon(CALLS[name], client)
    assert sent(server) == ["Bearer token-1"] * 5 * len(CALLS)
    assert provider.asked == 1


@pytest.mark.parametrize("seconds", [0, 3])
async def test_a_token_that_has_expired(server: Scripted, seconds: float) -> None:
    """All calls that it was refused to wait for one new token."""
    provider = Provider(0, seconds)
    server.append = only("token-1")
    async with client_of(server, provider) as client:
        await client.append_event("s", None, EVENT)
        server.append = only("token-2")
        async with trio.open_nursery() as calls:
            for _ in range(20):
                calls.start_soon(client.append_event, "s", None, EVENT)
        assert provider.asked == 2
        await client.append_event("s", None, EVENT)
    assert provider.asked == 2
    assert sent(server) == ["Bearer token-1"] * 21 + ["Bearer token-2"] * 21


async def test_it_is_asked_once_more_and_then_the_error_is_raised(server: Scripted) -> None:
    provider = Provider()
    server.append = only("token-1", "token-4")
    async with client_of(server, provider) as client:
        await client.append_event("s", None, EVENT)
        server.append = only("token-4")
        with pytest.raises(UnauthenticatedError, match="tried 2 times") as caught:
            await client.append_event("s", None, EVENT)
        assert caught.value.applied is False
        assert provider.asked == 2
        await client.append_event("s", None, EVENT)  # what was refused is not used again
        assert provider.asked == 4
    assert sent(server)[1:] == ["Bearer token-1", "Bearer token-2", "Bearer token-3", "Bearer token-4"]


async def test_switched_off_it_is_not_asked_again(server: Scripted) -> None:
    provider = Provider()
    server.append = only("token-2")
    async with client_of(server, provider) as client:
        with pytest.raises(UnauthenticatedError):
            await client.append_event("s", None, EVENT, retry=False)
    assert provider.asked == 1


async def test_credentials_of_a_call_are_not_replaced(server: Scripted) -> None:
    provider = Provider()
    server.append = only("token-1")
    async with client_of(server, provider) as client:
        with pytest.raises(UnauthenticatedError):
            await client.append_event("s", None, EVENT, credentials=ANNE)
    assert provider.asked == 0


async def test_the_time_of_the_call_bounds_it(server: Scripted) -> None:
    async def hangs() -> BearerToken:
        await trio.sleep_forever()
        raise AssertionError

    async with client_of(server, hangs) as client:
        for more, seconds in (({"timeout": 2}, 2), ({}, 10)):
            began = trio.current_time()
            with pytest.raises(DeadlineExceededError) as caught:
                await client.append_event("s", None, EVENT, **more)
            assert trio.current_time() - began == pytest.approx(seconds)
            assert caught.value.applied is False
        with trio.move_on_after(1) as scope:
            await client.append_event("s", None, EVENT)
        assert scope.cancelled_caught
    assert server.seen == []


async def test_if_the_one_that_asks_gives_up_another_asks(server: Scripted, nursery: trio.Nursery) -> None:
    provider = Provider(5, 5)
    found: list[int] = []

    async def append() -> None:
        found.append(await client.append_event("s", None, EVENT))

    async with client_of(server, provider) as client:
        with trio.move_on_after(1) as scope:
            nursery.start_soon(append)
            nursery.start_soon(append)
            await client.append_event("s", None, EVENT)
        assert scope.cancelled_caught
        await trio.sleep(8)
    assert found == [4, 4]
    assert provider.asked == 2


async def test_what_it_raises_comes_out(server: Scripted) -> None:
    """Of all calls that wait for it; and the next call asks again."""
    asked = 0

    async def no_vault() -> BearerToken:
        nonlocal asked
        asked += 1
        await trio.sleep(1)
        raise LookupError("the vault is sealed")

    async def append() -> None:
        with pytest.raises(LookupError, match="the vault is sealed") as caught:
            await client.append_event("s", None, EVENT)
        assert caught.value.__notes__ == ["raised by the credentials function of an ESDBClient"]

    async with client_of(server, no_vault) as client:
        async with trio.open_nursery() as calls:
            for _ in range(5):
                calls.start_soon(append)
        assert asked == 1
        await append()
        assert asked == 2
    assert server.seen == []


@pytest.mark.parametrize("wrong", ["secret", None, ("anne", "secret")])
async def test_it_must_give_credentials(server: Scripted, wrong: Any) -> None:
    async def gives() -> Any:
        await trio.lowlevel.checkpoint()
        return wrong

    async with client_of(server, gives) as client:
        with pytest.raises(InvalidTypeError, match="function must give BasicCredentials or a BearerToken") as caught:
            await client.append_event("s", None, EVENT)
    assert "secret" not in str(caught.value)
    assert server.seen == []


async def test_its_answers_are_not_shown(server: Scripted) -> None:
    server.append = silence
    async with client_of(server, Provider()) as client:
        with pytest.raises(DeadlineExceededError):
            await client.append_event("s", None, EVENT)
        session: Any = client._open_session
        for holder in (client, session, session._authorization, *session.nodes.pools.links):
            assert "token-1" not in repr(holder) + repr(vars(holder))
