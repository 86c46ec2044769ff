"""A node that speaks TLS, over connections in memory."""

from __future__ import annotations

import logging
import ssl
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support import http2
from trio_esdb import ESDBClient, ESDBError, InvalidArgumentError, NewEvent, UnavailableError
from trio_esdb._model import Timeouts
from trio_esdb._transport._certificates import context_of
from trio_esdb._transport._dial import Dialer, DialError
from trio_esdb._transport._serving import Patience
from trio_esdb._transport._tls import TLSStream
from trio_esdb._transport._tls_config import make_tls_config
from trio_esdb.embedded import Certificates, EmbeddedNode
from trio_esdb.testing import MemoryNetwork

Connect = Callable[[str, int], Awaitable[trio.abc.Stream]]


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates.self_made("node1.example", "::1")


def dialer(connect: Connect, certificates: Certificates, **more: Any) -> Dialer:
    return Dialer(connect, make_tls_config(root_certificates=certificates.root_certificates, **more), Timeouts())


async def use(connect: Connect, host: str = "node1.example") -> None:
    """A client's first call and its answer."""
    address = f"[{host}]" if ":" in host else host
    async with ESDBClient(f"esdb://{address}:2113?Tls=false", connect=connect) as client:
        await client.append_event("s", None, NewEvent(type="Happened", data=b"{}"))
        (event,) = await client.get_stream_events("s")
        assert event.data == b"{}"


@pytest.mark.parametrize("host", ["node1.example", "::1"])
async def test_on_a_network_in_memory(certificates: Certificates, host: str) -> None:
    network = MemoryNetwork()
    async with EmbeddedNode() as node, network.listen(node, host, 2113, tls=certificates):
        await use(dialer(network.connect, certificates), host)
        stream = await dialer(network.connect, certificates)(host, 2113)
        assert isinstance(stream, TLSStream)
        assert stream.alpn == "h2"
        with pytest.raises(DialError, match=r"not valid for 'other\.example': it is for node1\.example, "):
            await dialer(lambda _host, port: network.connect(host, port), certificates)("other.example", 2113)
    assert network.connections[0].bytes_to_client > 1000


async def test_in_memory(certificates: Certificates) -> None:
    async with EmbeddedNode() as node:
        await use(dialer(partial(node.connect, tls=certificates), certificates))


async def test_over_a_stream(certificates: Certificates, nursery: trio.Nursery) -> None:
    async with EmbeddedNode() as node:

        async def connect(host: str, port: int) -> trio.abc.Stream:
            client, server = trio.testing.memory_stream_pair()
            nursery.start_soon(partial(node.serve_stream, server, tls=certificates))
            return client

        await use(dialer(connect, certificates))


async def test_a_context_of_the_users_own(certificates: Certificates) -> None:
    network = MemoryNetwork()
    context = certificates.context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    async with EmbeddedNode() as node, network.listen(node, "node1.example", 2113, tls=context):
        await use(dialer(network.connect, certificates))


async def test_a_function_that_serves_tls(certificates: Certificates) -> None:
    async def echo(stream: trio.abc.Stream) -> None:
        async for data in stream:
            await stream.send_all(data)

    network = MemoryNetwork()
    async with network.listen(echo, "node1.example", 7, tls=certificates):
        stream = await dialer(network.connect, certificates)("node1.example", 7)
        await stream.send_all(b"abc")
        assert await stream.receive_some() == b"abc"


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("wanted", ["ignored", "asked", "required"])
async def test_certificates_of_clients(wanted: Any, shown: bool) -> None:
    certificates = Certificates.self_made("node1.example", client_certificates=wanted)
    network = MemoryNetwork()
    more = certificates.for_client("me")._asdict() if shown else {}
    async with EmbeddedNode() as node, network.listen(node, "node1.example", 2113, tls=certificates):
        if wanted == "required" and not shown:
            with pytest.raises(UnavailableError):
                await use(dialer(network.connect, certificates, **more))
        else:
            await use(dialer(network.connect, certificates, **more))


async def test_a_certificate_of_a_client_that_another_has_signed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trio_esdb.server")
    certificates = Certificates.self_made("node1.example", client_certificates="asked")
    network = MemoryNetwork()
    stranger = Certificates.self_made().for_client()
    async with EmbeddedNode() as node, network.listen(node, "node1.example", 2113, tls=certificates):
        with pytest.raises(UnavailableError):
            await use(dialer(network.connect, certificates, **stranger._asdict()))
    assert "the client's certificate is signed by an authority that is not trusted" in caplog.text


async def test_who_speaks_plain_text_is_cut_off(certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trio_esdb.server")
    network = MemoryNetwork()
    async with EmbeddedNode() as node, network.listen(node, "node1.example", 2113, tls=certificates):
        with pytest.raises(UnavailableError):
            await use(network.connect)
        await use(dialer(network.connect, certificates))
    assert "the client speaks plain text on a port for TLS" in caplog.text


async def test_who_speaks_tls_to_a_node_without_it(certificates: Certificates) -> None:
    network = MemoryNetwork()
    async with EmbeddedNode() as node, network.listen(node, "node1.example", 2113):
        with pytest.raises(DialError, match=r"speaks plain text.*use tls=false"):
            await dialer(network.connect, certificates)("node1.example", 2113)


async def test_who_says_nothing_is_cut_off_in_time(certificates: Certificates, nursery: trio.Nursery) -> None:
    """The time for HTTP/2's first bytes includes that for TLS."""
    async with EmbeddedNode() as node:
        for handshake in (False, True):
            client, server = trio.testing.memory_stream_pair()
            nursery.start_soon(node._serve, server, Patience(preface=10), None, certificates.context())
            start = trio.current_time()
            if handshake:
                context = make_tls_config(root_certificates=certificates.root_certificates).context()
                client = TLSStream(client, context, "node1.example")
                await client.handshake()
            async for _ in client:
                pass
            assert trio.current_time() - start == pytest.approx(10, abs=1.1)


async def test_what_is_open_when_a_node_ends_is_reset(certificates: Certificates, nursery: trio.Nursery) -> None:
    """After GOAWAY and the grace period; and the connection below TLS is what is reset."""
    network = MemoryNetwork()
    async with EmbeddedNode() as node, network.listen(node, "node1.example", 2113, tls=certificates):
        stream = await dialer(network.connect, certificates)("node1.example", 2113)
        encoder = http2.without_table()
        path = "/event_store.client.streams.Streams/Read"
        request = tuple((name, path if name == ":path" else value) for name, value in http2.REQUEST)
        call = http2.frame(http2.HEADERS, http2.END_HEADERS, 1, encoder.encode(list(request)))
        await stream.send_all(http2.PREFACE + http2.settings() + call)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(node.shut_down, 3)
        received = bytearray()

        async def receive() -> None:
            async for data in stream:
                received.extend(data)

        with pytest.raises(trio.BrokenResourceError, match="reset by peer"):
            await receive()
        assert http2.GOAWAY in [sent.kind for sent in http2.cut(bytes(received))]


def test_given_certificates(certificates: Certificates, tmp_path: Path) -> None:
    chain, key = tmp_path / "node.crt", str(tmp_path / "node.key")
    chain.write_bytes(certificates._chain)
    Path(key).write_bytes(certificates._key)
    given = Certificates(chain, key)
    assert given.root_certificates == b""
    assert repr(given) == "<trio_esdb.embedded.Certificates: given>"
    assert repr(certificates) == "<trio_esdb.embedded.Certificates: self-made>"
    asking = Certificates(chain, key, certificates.root_certificates, client_certificates="required")
    assert "clients required" in repr(asking)
    with pytest.raises(ESDBError, match="only self-made certificates"):
        given.for_client()


def test_certificates_that_cannot_be_used(certificates: Certificates) -> None:
    chain, key = certificates._chain, certificates._key
    for arguments, more, text in (
        ((b"", key), {}, "certificate_chain is empty"),
        ((key, key), {}, "certificate_chain must be in PEM"),
        ((chain, chain), {}, "private_key must be in PEM"),
        ((chain, Certificates.self_made()._key), {}, "private_key does not belong to the certificate"),
        ((chain, "none.key"), {}, "private_key: a file cannot be read"),
        ((chain, key, b"nothing"), {}, "root_certificates is neither PEM nor DER"),
        ((chain, key), {"client_certificates": "asked"}, "root_certificates is missing"),
        ((chain, key), {"client_certificates": "yes"}, "must be one of 'ignored', 'asked', 'required', not 'yes'"),
    ):
        with pytest.raises(InvalidArgumentError, match=text):
            Certificates(*arguments, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a b", "10.0.0.0/8", "me@example", "-", None, "a" * 300])
def test_what_a_certificate_cannot_be_for(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"a certificate (is for|cannot be for)"):
        Certificates.self_made("localhost", name)


def test_without_trustme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(ESDBError, match=r"pip install 'trio-esdb\[tls-server\]'"):
        Certificates.self_made()


async def test_what_is_no_server_tls(certificates: Certificates) -> None:
    assert context_of(None) is None
    async with EmbeddedNode() as node:
        with pytest.raises(InvalidArgumentError, match="context for clients"):
            await node.serve_tcp(tls=ssl.create_default_context())
        with pytest.raises(TypeError, match=r"tls must be Certificates or an ssl\.SSLContext, not str"):
            await node.connect(tls="node.crt")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="not str"):
            async with MemoryNetwork().listen(node, "a", 1, tls="node.crt"):  # type: ignore[arg-type]
                pass
