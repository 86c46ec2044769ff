"""A client over TLS, in a network in memory: it works, and each thing that can be wrong is one clear error at once."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from trio.testing import MockClock

from tests.support.tls import HOST, authority, certificate, roots, server_context
from trio_esdb import ESDBClient, NewEvent, StreamState, Timeouts, UnavailableError
from trio_esdb._transport._tls import TLSStream
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.testing import Ending, MemoryNetwork, Side

URI = f"esdb://{HOST}:2113"


class Network(MemoryNetwork):
    """Counts attempts to connect."""

    attempts = 0

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        self.attempts += 1
        return await super().connect(host, port)


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None) -> AsyncIterator[Network]:
    network = Network()
    async with EmbeddedNode() as node, network.listen(node, HOST, 2113, tls=tls):
        yield network


async def appended(client: ESDBClient) -> int:
    await client.append_event("orders", StreamState.ANY, NewEvent("Created", b"x" * 100_000))
    return len(await client.get_stream_events("orders"))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(lambda folder: {"root_certificates": roots()}, id="bytes"),
        pytest.param(lambda folder: {"root_certificates": str(folder / "ca.crt")}, id="path"),
        pytest.param(lambda folder: {"uri": f"{URI}?tlsCaFile={folder / 'ca.crt'}"}, id="tlsCaFile"),
        pytest.param(lambda folder: {"uri": f"{URI}?tlsVerifyCert=false"}, id="tlsVerifyCert"),
        pytest.param(
            lambda folder: {"ssl_context": ssl.create_default_context(cafile=str(folder / "ca.crt"))}, id="ssl_context"
        ),
    ],
)
async def test_a_client_works_over_tls(
    tmp_path: Path, options: Callable[[Path], dict[str, Any]], autojump_clock: MockClock
) -> None:
    (tmp_path / "ca.crt").write_bytes(roots())
    async with serving(server_context()) as network:
        async with ESDBClient(**{"uri": URI, "connect": network.connect, **options(tmp_path)}) as client:
            assert await appended(client) == 1
            async with client.subscribe_stream_events("orders") as events:
                assert (await events.receive()).data == b"x" * 100_000


def files(folder: Path, ca: trustme.CA, name: str) -> dict[str, Path]:
    """A certificate of the client, in files that the arguments of a client name."""
    shown = ca.issue_cert(name)
    chain, key = folder / "me.crt", folder / "me.key"
    chain.write_bytes(b"".join(pem.bytes() for pem in shown.cert_chain_pems))
    key.write_bytes(shown.private_key_pem.bytes())
    return {"certificate_chain": chain, "private_key": key}


async def test_a_new_certificate_is_shown_on_the_next_connection(tmp_path: Path, autojump_clock: MockClock) -> None:
    ca = trustme.CA()
    shown = files(tmp_path, ca, "first.example")
    async with serving(server_context(clients=ca)) as network:
        async with ESDBClient(URI, roots(), connect=network.connect, **shown) as client:
            assert await appended(client) == 1
            files(tmp_path, trustme.CA(), "stranger.example")
            assert await appended(client) == 2  # an open connection goes on
            network.to(HOST).reset()
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(UnavailableError, match="does not accept the client certificate"):
                await appended(client)
            files(tmp_path, ca, "second.example")
            assert await appended(client) == 3


# -- what is wrong at the beginning ----------------------------------------------------------------------------------


async def refused(tls: ssl.SSLContext | None, uri: str = URI, **options: Any) -> str:
    """The error of a client that cannot connect; it is told at once, after one attempt."""
    async with serving(tls) as network:
        began = trio.current_time()
        with pytest.raises(UnavailableError) as caught:
            async with ESDBClient(uri, connect=network.connect, **options):
                raise AssertionError
        assert trio.current_time() == began
        assert network.attempts == 1
    assert caught.value.applied is False
    text = str(caught.value)
    assert text.startswith("cannot connect to ")
    return text.partition(": ")[2]


TRUSTED = {"root_certificates": roots()}


async def test_an_unknown_authority(autojump_clock: MockClock) -> None:
    text = await refused(server_context())
    assert text.startswith("the certificate of node.example is signed by an authority that is not trusted; ")


async def test_a_wrong_name(autojump_clock: MockClock) -> None:
    text = await refused(server_context(certificate("elsewhere.example")), **TRUSTED)
    assert text == ("the certificate that the server has is not valid for 'node.example': it is for elsewhere.example")


async def test_a_node_of_plain_text_behind_tls(autojump_clock: MockClock) -> None:
    assert (await refused(None, **TRUSTED)).endswith("on this port, not TLS: use tls=false")


async def test_a_node_of_tls_behind_plain_text(autojump_clock: MockClock) -> None:
    assert "use tls=true" in await refused(server_context(), f"{URI}?tls=false")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_a_node_that_misses_a_client_certificate(version: ssl.TLSVersion, autojump_clock: MockClock) -> None:
    text = await refused(server_context(clients=authority(), latest=version), **TRUSTED)
    assert "demands a client certificate" in text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_a_node_that_does_not_accept_a_client_certificate(
    version: ssl.TLSVersion, tmp_path: Path, autojump_clock: MockClock
) -> None:
    shown = files(tmp_path, trustme.CA(), "stranger.example")
    text = await refused(server_context(clients=authority(), latest=version), **TRUSTED, **shown)
    assert text == "the server does not accept the client certificate (unknown ca)"


@pytest.mark.parametrize(
    ("silent", "text", "seconds"),
    [
        ("network", r"no connection within 3 seconds \(timeouts.connect\)", 3),
        ("tls", r"the TLS handshake was not finished within 4 seconds \(timeouts.tls\)", 4),
        ("settings", r"the server sent nothing within 5 seconds \(timeouts.settings\)", 5),
    ],
)
async def test_each_wait_has_its_time(silent: str, text: str, seconds: int, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:

        async def connect(host: str, port: int) -> trio.abc.Stream:
            if silent == "network":
                await trio.sleep_forever()
            near, far = trio.testing.memory_stream_pair()
            if silent == "settings":
                nursery.start_soon(TLSStream(far, server_context(), server_side=True).handshake)
            return near

        times = Timeouts(connect=3, tls=4, settings=5)
        with pytest.raises(UnavailableError, match=text):
            async with ESDBClient(URI, roots(), connect=connect, timeouts=times):
                raise AssertionError
        assert trio.current_time() == seconds


@pytest.mark.parametrize("end", ["reset", "close", "half-open", "hold"])
@pytest.mark.parametrize("to", ["client", "server"])
async def test_a_connection_that_ends_anywhere_in_the_handshake(
    to: Side, end: Ending, autojump_clock: MockClock
) -> None:
    """Whatever was sent, the client is open or has one clear error, in bounded time; the next client is served."""
    opened, whole = 0, 4000
    async with serving(server_context()) as network:
        for count in range(0, whole, 127):
            network.to(HOST).next().cut_after(count, to=to, end=end)
            began = trio.current_time()
            told: UnavailableError | None = None
            try:
                async with ESDBClient(URI, roots(), connect=network.connect):
                    opened += 1
            except UnavailableError as error:
                told = error
            if told is not None:
                assert opened == 0
                assert told.applied is False
                assert any(words in str(told) for words in ("TLS handshake", "(timeouts.", "closed the connection"))
            assert trio.current_time() - began <= 10 + 10 + 1
        assert 0 < opened < whole // 127
        async with ESDBClient(URI, roots(), connect=network.connect) as client:
            assert await appended(client) == 1
