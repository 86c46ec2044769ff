"""A client over TLS: what its connection string and arguments say about certificates reaches its connections."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from trio_esdb import ESDBClient, NewEvent, UnavailableError
from trio_esdb.embedded import Certificates, EmbeddedNode
from trio_esdb.testing import MemoryNetwork

CERTIFICATES = Certificates.self_made("node1.example", "10.0.0.1")
ROOTS = CERTIFICATES.root_certificates


@pytest.fixture
async def network() -> AsyncIterator[MemoryNetwork]:
    network = MemoryNetwork()
    async with (
        EmbeddedNode() as node,
        network.listen(node, "node1.example", 2113, tls=CERTIFICATES),
        network.listen(node, "10.0.0.1", 2114, tls=CERTIFICATES),
        network.listen(node, "other.example", 2113, tls=CERTIFICATES),
        network.listen(node, "plain.example", 2113),
    ):
        yield network


async def use(uri: str, network: MemoryNetwork, **arguments: Any) -> None:
    async with ESDBClient(uri, connect=network.connect, **arguments) as client:
        await client.append_event("s", None, NewEvent("Happened", b"{}"))
        (event,) = await client.get_stream_events("s")
        assert event.data == b"{}"


def ca_file(tmp_path: Path) -> str:
    path = tmp_path / "a + b.crt"
    path.write_bytes(ROOTS)
    return quote(str(path), safe="/+")


@pytest.mark.parametrize("uri", ["esdb://node1.example", "kdb://node1.example?tls=true", "esdb://10.0.0.1:2114"])
async def test_given_roots(network: MemoryNetwork, uri: str) -> None:
    await use(uri, network, root_certificates=ROOTS)


async def test_roots_in_a_file(network: MemoryNetwork, tmp_path: Path) -> None:
    await use(f"esdb://node1.example?tlsCaFile={ca_file(tmp_path)}", network)


async def test_a_context(network: MemoryNetwork) -> None:
    context = ssl.create_default_context(cadata=ROOTS.decode())
    await use("esdb://node1.example", network, ssl_context=context)


async def test_no_check(network: MemoryNetwork, caplog: pytest.LogCaptureFixture) -> None:
    await use("esdb://other.example?tlsVerifyCert=false", network)
    assert [record.levelno for record in caplog.records if "not checked" in record.message] == [logging.WARNING]


@pytest.mark.parametrize(
    ("uri", "arguments", "reason"),
    [
        ("esdb://node1.example", {}, "authority that is not trusted"),
        ("esdb://other.example", {"root_certificates": ROOTS}, r"not valid for 'other\.example'"),
        ("esdb://plain.example", {"root_certificates": ROOTS}, "tls=false"),
    ],
)
async def test_entering_fails(network: MemoryNetwork, uri: str, arguments: Any, reason: str) -> None:
    with pytest.raises(UnavailableError, match=reason) as caught:
        async with ESDBClient(uri, connect=network.connect, **arguments):
            pytest.fail("it connected")
    assert caught.value.applied is False
    assert len(network.connections) == 1  # it would be refused again


async def test_plain_text_to_a_node_with_tls(network: MemoryNetwork) -> None:
    with pytest.raises(UnavailableError, match=r"cannot connect to node1\.example:2113"):
        async with ESDBClient("esdb://node1.example?tls=false", connect=network.connect):
            pytest.fail("it connected")
