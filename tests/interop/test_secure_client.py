"""Our client and `trio-esdb serve --tls DIR --users`, on real sockets."""

from __future__ import annotations

import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from tests.support.processes import Program, serving
from trio_esdb import (
    AccessDeniedError,
    BasicCredentials,
    CaughtUp,
    ESDBClient,
    NewEvent,
    StreamDeletedError,
    StreamNotFoundError,
    StreamState,
    UnauthenticatedError,
    UnavailableError,
)

ADMIN = BasicCredentials("admin", "changeit")
OPS = BasicCredentials("ops", "changeit")


def event(type: str = "Happened") -> NewEvent:
    return NewEvent(type=type, data=b"{}")


class Secure:
    """A server with TLS and users."""

    def __init__(self, program: Program, uri: str, authority: Path) -> None:
        self.program = program
        self.uri = uri
        self.authority = authority

    def login(self, user: str, password: str = "changeit") -> str:
        return self.uri.replace("://", f"://{user}:{password}@")

    @property
    def address(self) -> str:
        """The address alone."""
        return self.uri.partition("?")[0]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Secure]:
    async with Program.running(serving("--port", "0", "--tls", str(tmp_path), "--users", "--grace", "0.2")) as program:
        yield Secure(program, await program.uri(), tmp_path / "ca" / "ca.crt")
        program.send(signal.SIGTERM)
        status, _, complaint = await program.ended()
        assert (status, complaint) == (0, "")


async def test_the_life_of_a_stream(server: Secure) -> None:
    async with ESDBClient(server.login("admin")) as client:
        await client.append_events("s", None, [event("A"), event("B")])
        assert [each.type for each in await client.get_stream_events("s")] == ["A", "B"]
        metadata = {"$maxCount": 2, "$acl": {"$r": ["$admins", "ops"]}}
        await client.set_stream_metadata("s", metadata)
        assert await client.get_stream_metadata("s") == (metadata, 0)
        async with client.subscribe_stream_events("s", include_caught_up=True) as events:
            assert [(await events.receive()).type for _ in range(2)] == ["A", "B"]
            assert await events.receive() == CaughtUp()
            await client.append_event("s", 1, event("C"))
            assert (await events.receive()).type == "C"
        await client.delete_stream("s", 2)
        with pytest.raises(StreamNotFoundError):
            await client.get_stream_events("s")
        await client.append_event("s", None, event("D"))
        await client.tombstone_stream("s", 3)
        with pytest.raises(StreamDeletedError):
            await client.append_event("s", StreamState.ANY, event())


async def test_a_wrong_password(server: Secure) -> None:
    async with ESDBClient(server.login("admin", "wrong")) as client:
        with pytest.raises(UnauthenticatedError) as refused:
            await client.append_event("s", StreamState.ANY, event())
        assert refused.value.applied is False
        assert "wrong" not in str(refused.value)
        with pytest.raises(UnauthenticatedError):
            await client.get_stream_events("s")
        with pytest.raises(UnauthenticatedError):
            async with client.subscribe_all_events():
                pass
        await client.append_event("s", None, event(), credentials=ADMIN)


async def test_credentials_of_the_client_and_of_a_call(server: Secure) -> None:
    async with ESDBClient(server.login("nobody", "at-all"), credentials=OPS) as client:
        await client.append_event("s", None, event())
        acl = dict.fromkeys(("$r", "$w", "$d", "$mr", "$mw"), "$admins")
        await client.set_stream_metadata("s", {"$acl": acl}, credentials=ADMIN)
        with pytest.raises(AccessDeniedError) as refused:
            await client.append_event("s", 0, event())
        assert refused.value.applied is False
        with pytest.raises(AccessDeniedError):
            await client.get_stream_events("s")
        with pytest.raises(AccessDeniedError):
            await client.get_stream_metadata("s")
        with pytest.raises(AccessDeniedError):
            await client.delete_stream("s", 0)
        with pytest.raises(AccessDeniedError):
            async with client.subscribe_stream_events("s"):
                pass
        await client.append_event("s", 0, event(), credentials=ADMIN)
        assert len(await client.get_stream_events("s", credentials=ADMIN)) == 2
        async with client.subscribe_stream_events("s", credentials=ADMIN) as events:
            assert (await events.receive()).stream_position == 0


async def test_nobody_is_let_in_without_credentials(server: Secure) -> None:
    async with ESDBClient(server.uri) as client:
        with pytest.raises(AccessDeniedError):
            await client.append_event("s", StreamState.ANY, event())


async def test_ways_to_trust_the_authority(server: Secure) -> None:
    context = ssl.create_default_context(cafile=server.authority)
    for more in (
        {"root_certificates": server.authority.read_bytes()},
        {"root_certificates": server.authority},
        {"ssl_context": context},
    ):
        async with ESDBClient(server.address, credentials=ADMIN, **more) as client:
            assert await client.get_stream_position("s") is None
    async with ESDBClient(server.address + "?tlsVerifyCert=false", credentials=ADMIN) as client:
        assert await client.get_stream_position("s") is None


async def test_who_does_not_trust_it(server: Secure) -> None:
    for roots in (None, trustme.CA().cert_pem.bytes()):
        with pytest.raises(UnavailableError, match="authority that is not trusted") as refused:
            async with ESDBClient(server.address, root_certificates=roots, credentials=ADMIN):
                pass
        assert refused.value.applied is False


async def test_who_uses_no_tls(server: Secure) -> None:
    with pytest.raises(UnavailableError, match="use tls=true"):
        async with ESDBClient(server.address + "?tls=false"):
            pass


async def test_users_without_tls() -> None:
    async with Program.running(serving("--port", "0", "--users")) as program:
        uri = await program.uri()
        async with ESDBClient(uri.replace("://", "://admin:changeit@")) as client:
            with pytest.raises(AccessDeniedError):  # the credentials are not sent
                await client.get_stream_position("s")
        async with ESDBClient(uri, credentials=ADMIN, plain_text_credentials=True) as client:
            assert await client.get_stream_position("s") is None
        program.send(signal.SIGTERM)
        assert await program.ended() == (0, "", "")


async def test_a_server_that_is_back_with_the_same_certificates(tmp_path: Path) -> None:
    options = ("--tls", str(tmp_path), "--users", "--grace", "0.2")
    async with Program.running(serving("--port", "0", *options)) as program:
        uri = await program.uri()
        async with ESDBClient(uri, credentials=ADMIN) as client:
            await client.append_event("s", None, event())
            program.send(signal.SIGKILL)
            await program.wait()
            port = uri.rpartition("?")[0].rpartition(":")[2]
            async with Program.running(serving("--port", port, *options)) as again:
                assert await again.uri() == uri
                assert await client.get_stream_position("s") is None
                await client.append_event("s", None, event())
                again.send(signal.SIGTERM)
                status, _, complaint = await again.ended()
                assert (status, complaint) == (0, "")
