"""grpcio's server with TLS: its OpenSSL is BoringSSL, and its HTTP/2 checks what ours may leave out."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
import trio
import trustme

from tests.interop.test_foreign_server import CONFIRMED, message, record
from tests.support.clock import PATIENCE
from tests.support.foreign import Foreign, Reply
from trio_esdb import BasicCredentials, ESDBClient, NewEvent, StreamState, UnavailableError

CA = trustme.CA()
SERVER = CA.issue_cert("localhost", "127.0.0.1")


def pem(certificate: trustme.LeafCert) -> tuple[bytes, bytes]:
    """Key and chain."""
    return certificate.private_key_pem.bytes(), b"".join(blob.bytes() for blob in certificate.cert_chain_pems)


def uri(server: Foreign, host: str = "localhost") -> str:
    return f"esdb://{host}:{server.port}"


@pytest.fixture
async def server() -> AsyncIterator[Foreign]:
    with Foreign.running(grpc.ssl_server_credentials([pem(SERVER)])) as server:
        yield server


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_calls_of_every_kind(server: Foreign, host: str) -> None:
    with trio.fail_after(PATIENCE):
        async with ESDBClient(uri(server, host), CA.cert_pem.bytes()) as client:
            appended = Reply([message("AppendResp", success={"current_revision": 7, "no_position": {}})])
            server.will(appended)
            result = await client.append_events("s", StreamState.ANY, [NewEvent("A", bytes(100_000))] * 5)
            assert result.stream_position == 7
            assert len(appended.requests) == 6

            sizes = [0, 16_384, 1_000_000, 3_000_000] + [200] * 500
            server.will(
                Reply([message("ReadResp", event={"event": record(n, bytes(size))}) for n, size in enumerate(sizes)])
            )
            assert [len(event.data) for event in await client.get_stream_events("s")] == sizes

            live = Reply([CONFIRMED, *(message("ReadResp", event={"event": record(n)}) for n in range(3))], None)
            server.will(live)
            async with client.subscribe_stream_events("s") as events:
                assert [(await events.receive()).stream_position for _ in range(3)] == [0, 1, 2]
            await live.over.wait()
            assert live.given_up


async def test_credentials_are_sent_over_tls(server: Foreign) -> None:
    with trio.fail_after(PATIENCE):
        credentials = BasicCredentials("ouro", "geheim")
        async with ESDBClient(uri(server), CA.cert_pem.bytes(), credentials=credentials) as client:
            asked = Reply()
            server.will(asked)
            assert await client.get_stream_events("s") == ()
            assert asked.metadata["authorization"] == "Basic b3VybzpnZWhlaW0="
            assert asked.client == ()


async def test_a_client_with_a_certificate() -> None:
    key, chain = pem(CA.issue_cert(common_name="ouro"))
    demanding = grpc.ssl_server_credentials([pem(SERVER)], CA.cert_pem.bytes(), require_client_auth=True)
    with trio.fail_after(PATIENCE), Foreign.running(demanding) as server:
        async with ESDBClient(uri(server), CA.cert_pem.bytes(), key, chain) as client:
            asked = Reply()
            server.will(asked)
            assert await client.get_stream_events("s") == ()
            assert asked.client == (b"ouro",)


async def test_a_client_without_the_certificate_that_is_demanded() -> None:
    demanding = grpc.ssl_server_credentials([pem(SERVER)], CA.cert_pem.bytes(), require_client_auth=True)
    with trio.fail_after(PATIENCE), Foreign.running(demanding) as server:
        with pytest.raises(UnavailableError, match="certificate"):
            async with ESDBClient(uri(server), CA.cert_pem.bytes()):
                pass


async def test_a_server_of_another_authority(server: Foreign) -> None:
    with trio.fail_after(PATIENCE):
        with pytest.raises(UnavailableError, match="authority"):
            async with ESDBClient(uri(server), trustme.CA().cert_pem.bytes()):
                pass


async def test_plain_text_to_its_port(server: Foreign) -> None:
    with trio.fail_after(PATIENCE):
        with pytest.raises(UnavailableError, match="TLS"):
            async with ESDBClient(f"{uri(server)}?Tls=false"):
                pass


async def test_a_subscription_of_a_server_that_stops(server: Foreign) -> None:
    with trio.fail_after(PATIENCE):
        async with ESDBClient(uri(server), CA.cert_pem.bytes()) as client:
            server.will(Reply([CONFIRMED], None))
            async with client.subscribe_all_events(resume=False) as events:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.to_thread.run_sync, server.stop)
                    with pytest.raises(UnavailableError):
                        await events.receive()
