"""Each way in which TLS can fail at the beginning: one error that says what failed, and what to do."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
import trio
import trustme
from trio.testing import memory_stream_pair

from tests.support.tls import HOST, authority, certificate, roots, server_context
from trio_esdb._model import Timeouts
from trio_esdb._transport import ClientLink, _tls_errors
from trio_esdb._transport._dial import Dialer, DialError, ended_before_settings
from trio_esdb._transport._tls import TLSStream
from trio_esdb._transport._tls_config import TLSConfig, make_tls_config
from trio_esdb._transport._tls_errors import TLSError

Server = Callable[[trio.abc.Stream], Awaitable[None]]
OLD, NEW = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
TWO = pytest.mark.parametrize("version", [OLD, NEW], ids=["1.2", "1.3"])


def tls_server(context: ssl.SSLContext, told: list[str] | None = None) -> Server:
    """Shakes hands, and keeps what goes wrong."""

    async def serve(stream: trio.abc.Stream) -> None:
        secure = TLSStream(stream, context, server_side=True)
        try:
            await secure.handshake()
        except TLSError as exc:
            if told is not None:
                told.append(str(exc))
        await secure.aclose()

    return serve


def says(*data: bytes) -> Server:
    """Waits for the first bytes of a client, sends these, and closes."""

    async def serve(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        for portion in data:
            await stream.send_all(portion)
        await stream.aclose()

    return serve


async def failure(server: Server, config: TLSConfig | None = None, host: str = HOST) -> DialError:
    """Why a client cannot connect to a server."""
    async with trio.open_nursery() as nursery:

        async def connect(host: str, port: int) -> trio.abc.Stream:
            near, far = memory_stream_pair()
            nursery.start_soon(server, far)
            return near

        dial = Dialer(connect, config or make_tls_config(root_certificates=roots()), Timeouts())
        with pytest.raises(DialError) as caught:
            await dial(host, 2113)
    assert str(caught.value) == caught.value.reason
    return caught.value


# -- certificates ----------------------------------------------------------------------------------------------------


@TWO
async def test_an_unknown_authority(version: ssl.TLSVersion) -> None:
    told: list[str] = []
    other = trustme.CA().issue_cert(HOST)
    error = await failure(tls_server(server_context(other, latest=version), told))
    assert error.final
    assert error.reason == (
        "the certificate of node.example is signed by an authority that is not trusted; to trust the authority, give "
        "root_certificates (tlsCaFile in the connection string)"
    )
    assert told == ["the client ended TLS: unknown ca"]


async def test_an_authority_that_the_system_does_not_know() -> None:
    error = await failure(tls_server(server_context()), make_tls_config())
    assert error.final
    assert "signed by an authority that is not trusted" in error.reason


def self_signed() -> trustme.CA:
    return trustme.CA(organization_name="self")


def of_authority_itself(ca: trustme.CA) -> ssl.SSLContext:
    """A server that shows a self-signed certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with ca.cert_pem.tempfile() as chain, ca.private_key_pem.tempfile() as key:
        context.load_cert_chain(chain, key)
    return context


async def test_a_self_signed_certificate() -> None:
    error = await failure(tls_server(of_authority_itself(self_signed())))
    assert error.final
    assert error.reason == (
        "the certificate of node.example is self-signed and not trusted; to trust it, give root_certificates "
        "(tlsCaFile in the connection string)"
    )


async def test_an_authority_in_the_chain_that_is_not_trusted() -> None:
    stranger = trustme.CA()
    context = server_context(stranger.create_child_ca().issue_cert(HOST))
    assert "signed by an authority that is not trusted" in (await failure(tls_server(context))).reason


@TWO
async def test_a_wrong_name(version: ssl.TLSVersion) -> None:
    context = server_context(certificate("a.example", "*.b.example", "127.0.0.1"), latest=version)
    error = await failure(tls_server(context), host="other.example")
    assert error.final
    assert error.reason == (
        "the certificate that the server has is not valid for 'other.example': it is for a.example, *.b.example, "
        "127.0.0.1"
    )


async def test_a_wrong_address() -> None:
    error = await failure(tls_server(server_context(certificate("localhost", "127.0.0.1"))), host="127.0.0.2")
    assert error.final
    assert error.reason == (
        "the certificate that the server has is not valid for '127.0.0.2': it is for localhost, 127.0.0.1"
    )


async def test_of_many_names_a_few_are_told() -> None:
    names = [f"node-{number}.{'x' * 60}.{'y' * 60}.example" for number in range(40)]
    error = await failure(tls_server(server_context(certificate(*names))))
    assert error.reason.endswith(", and 35 more")
    assert len(error.reason) < 700


async def test_a_certificate_that_has_its_name_in_the_old_place() -> None:
    context = server_context(authority().issue_cert(common_name="old.example"))
    error = await failure(tls_server(context))
    assert error.reason.endswith("is not valid for 'node.example': it is for old.example")


EXPIRED = datetime(2001, 2, 3, 4, 5, tzinfo=UTC)
NOT_YET = datetime(2999, 2, 3, 4, 5, tzinfo=UTC)


async def test_an_expired_certificate() -> None:
    context = server_context(authority().issue_cert(HOST, not_after=EXPIRED))
    error = await failure(tls_server(context))
    assert error.final
    assert error.reason == (
        "the certificate of node.example has expired (2001-02-03 04:05 UTC); renew it (or is the clock of this machine "
        "wrong?)"
    )


async def test_a_certificate_that_is_not_valid_yet() -> None:
    context = server_context(authority().issue_cert(HOST, not_before=NOT_YET))
    error = await failure(tls_server(context))
    assert error.final
    assert error.reason == (
        "the certificate of node.example is not valid yet (2999-02-03 04:05 UTC); is the clock of this machine wrong?"
    )


async def test_dates_that_cannot_be_read_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    context = server_context(authority().issue_cert(HOST, not_after=EXPIRED))
    for chain in ([], [{}], [{"notAfter": "once"}], [{"notAfter": "Jan  1 00:00:00 2999 GMT"}]):
        monkeypatch.setattr(_tls_errors, "_chain", lambda tls, chain=chain: chain)
        error = await failure(tls_server(context))
        assert error.reason.startswith("the certificate of node.example has expired; renew it")


async def test_names_that_cannot_be_read_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tls_errors, "_chain", lambda tls: [])
    error = await failure(tls_server(server_context()), host="other.example")
    assert error.reason.endswith("is not valid for 'other.example': it is for other names")


async def test_whatever_else_is_wrong_with_a_certificate() -> None:
    context = ssl.create_default_context(cadata=roots().decode())
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    error = await failure(tls_server(server_context()), make_tls_config(ssl_context=context))
    assert error.final
    assert error.reason == "the certificate of node.example is not accepted: unable to get certificate CRL"


# -- protocols -------------------------------------------------------------------------------------------------------

SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        pytest.param(SETTINGS, "plain text", id="http2"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "plain text (HTTP/1.1)", id="http1"),
        pytest.param(b"220 mail.example ESMTP\r\n", "plain text", id="mail"),
    ],
)
async def test_a_server_of_plain_text(answer: bytes, what: str) -> None:
    error = await failure(says(answer))
    assert error.final
    assert error.reason == f"the server speaks {what} on this port, not TLS: use tls=false"


@pytest.mark.parametrize("alpn", [[], ["http/1.1"]], ids=["none", "http1"])
@TWO
async def test_a_server_without_http2(version: ssl.TLSVersion, alpn: list[str]) -> None:
    error = await failure(tls_server(server_context(latest=version, alpn=alpn)))
    assert error.final
    assert error.reason.startswith("the server does not speak HTTP/2 over TLS: it did not accept h2 by ALPN")


def alert(description: int) -> bytes:
    return bytes([21, 3, 3, 0, 2, 2, description])


@pytest.mark.parametrize(
    ("description", "reason", "final"),
    [
        pytest.param(120, "the server does not speak HTTP/2 over TLS: ", True, id="no-application-protocol"),
        pytest.param(70, "the server allows no version of TLS that is allowed here: ", True, id="version"),
        pytest.param(40, "the server refused the TLS handshake: ", True, id="handshake-failure"),
        pytest.param(112, "the server has no certificate for the name 'node.example'", True, id="name"),
        pytest.param(80, "the server ended TLS: internal error", False, id="internal-error"),
    ],
)
async def test_a_server_that_refuses_the_handshake(description: int, reason: str, final: bool) -> None:
    error = await failure(says(alert(description)))
    assert error.reason.startswith(reason)
    assert error.final is final


async def test_a_server_of_old_versions() -> None:
    context = server_context()
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    error = await failure(tls_server(context))
    assert error.final
    assert "version of TLS that is allowed here: TLS 1.2 and later are" in error.reason


async def test_a_server_that_closes_in_the_handshake() -> None:
    error = await failure(says())
    assert not error.final  # it may be starting
    assert error.reason == (
        "the server closed the connection during the TLS handshake; if it does not speak TLS, use tls=false"
    )


async def test_a_server_that_breaks_off_in_the_handshake() -> None:
    async def serve(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        assert isinstance(stream, trio.StapledStream)
        await stream.send_all(b"\x16\x03\x03\x00\x7a\x02")
        await stream.aclose()

    error = await failure(serve)
    assert not error.final
    assert "closed the connection during the TLS handshake" in error.reason


# -- certificates of clients -----------------------------------------------------------------------------------------


def client_certificate(ca: trustme.CA, **dates: datetime) -> TLSConfig:
    shown = ca.issue_cert("client.example", **dates)
    chain = b"".join(pem.bytes() for pem in shown.cert_chain_pems)
    return make_tls_config(
        root_certificates=roots(), certificate_chain=chain, private_key=shown.private_key_pem.bytes()
    )


async def before_settings(context: ssl.SSLContext, config: TLSConfig) -> DialError:
    """Why a client has no connection, be it that the handshake fails or what follows it."""
    async with trio.open_nursery() as nursery:

        async def connect(host: str, port: int) -> trio.abc.Stream:
            near, far = memory_stream_pair()
            nursery.start_soon(tls_server(context), far)
            return near

        try:
            stream = await Dialer(connect, config, Timeouts())(HOST, 2113)
        except DialError as exc:
            return exc
        link = ClientLink(stream, "node")
        await link.run()
        return ended_before_settings(stream, link.reason)


@TWO
async def test_a_missing_client_certificate(version: ssl.TLSVersion) -> None:
    context = server_context(clients=trustme.CA(), latest=version)
    error = await before_settings(context, make_tls_config(root_certificates=roots()))
    assert error.final
    assert "demands a client certificate" in error.reason
    assert (
        "give certificate_chain and private_key (userCertFile and userKeyFile in the connection string)" in error.reason
    )


@TWO
async def test_a_client_certificate_of_an_unknown_authority(version: ssl.TLSVersion) -> None:
    error = await before_settings(
        server_context(clients=trustme.CA(), latest=version), client_certificate(trustme.CA())
    )
    assert error.final
    assert error.reason == "the server does not accept the client certificate (unknown ca)"


@TWO
async def test_an_expired_client_certificate(version: ssl.TLSVersion) -> None:
    ca = trustme.CA()
    error = await before_settings(server_context(clients=ca, latest=version), client_certificate(ca, not_after=EXPIRED))
    assert error.final
    assert error.reason == "the server does not accept the client certificate (certificate expired)"


async def test_a_server_that_closes_after_the_handshake_may_miss_a_certificate() -> None:
    """Many servers give no reason. This may also be a server that is stopping, so it is tried again."""

    async def serve(stream: trio.abc.Stream) -> None:
        secure = TLSStream(stream, server_context(), server_side=True)
        await secure.handshake()
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        near, far = memory_stream_pair()
        nursery.start_soon(serve, far)

        async def connect(host: str, port: int) -> trio.abc.Stream:
            return near

        stream = await Dialer(connect, make_tls_config(root_certificates=roots()), Timeouts())(HOST, 2113)
        link = ClientLink(stream, "node")
        await link.run()
    error = ended_before_settings(stream, link.reason)
    assert not error.final
    assert error.reason == (
        "the server closed the connection right after the TLS handshake; if it demands a client certificate, it got "
        "none or does not accept it: give certificate_chain and private_key (userCertFile and userKeyFile in the "
        "connection string)"
    )


# -- the server's side -----------------------------------------------------------------------------------------------


async def told_to_server(client: Callable[[trio.abc.Stream], Awaitable[object]], context: ssl.SSLContext) -> TLSError:
    near, far = memory_stream_pair()
    server = TLSStream(far, context, server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client, near)
        with pytest.raises(TLSError) as caught:
            await server.handshake()
        await server.aclose()
    return caught.value


def tls_client(config: TLSConfig) -> Callable[[trio.abc.Stream], Awaitable[None]]:
    async def shake_hands(stream: trio.abc.Stream) -> None:
        secure = TLSStream(stream, config.context(), HOST)
        try:
            await secure.handshake()
            await secure.receive_some()
        except TLSError:
            pass

    return shake_hands


@TWO
async def test_a_server_is_told_of_a_client_without_certificate(version: ssl.TLSVersion) -> None:
    context = server_context(clients=trustme.CA(), latest=version)
    error = await told_to_server(tls_client(make_tls_config(root_certificates=roots())), context)
    assert str(error) == "the client showed no certificate, which is demanded here"


@TWO
async def test_a_server_is_told_of_a_client_that_it_does_not_trust(version: ssl.TLSVersion) -> None:
    context = server_context(clients=trustme.CA(), latest=version)
    error = await told_to_server(tls_client(client_certificate(trustme.CA())), context)
    assert str(error) == "the client's certificate is signed by an authority that is not trusted"


@pytest.mark.parametrize("beginning", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
async def test_a_server_is_told_of_a_client_of_plain_text(beginning: bytes) -> None:
    async def client(stream: trio.abc.Stream) -> None:
        await stream.send_all(beginning)

    error = await told_to_server(client, server_context())
    assert str(error) == "the client speaks plain text on a port for TLS"


async def test_a_server_is_told_of_a_client_that_leaves() -> None:
    error = await told_to_server(trio.aclose_forcefully, server_context())
    assert str(error) == "the client closed the connection during the TLS handshake"
