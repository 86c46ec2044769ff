"""TLS over TCP: what a server that turns a client away leaves to be read, for the kernel drops some of it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trustme

from tests.support.tls import certificate, roots, server_context
from trio_esdb import ESDBClient, NewEvent, StreamState, UnavailableError
from trio_esdb.embedded import EmbeddedNode


@asynccontextmanager
async def serving(context: ssl.SSLContext | None) -> AsyncIterator[str]:
    async with EmbeddedNode() as node, trio.open_nursery() as nursery:
        port = await nursery.start(partial(node.serve_tcp, tls=context))
        yield f"esdb://127.0.0.1:{port}"
        nursery.cancel_scope.cancel()


async def why_not(uri: str) -> str:
    with pytest.raises(UnavailableError) as caught:
        async with ESDBClient(uri, roots()):
            raise AssertionError
    return str(caught.value)


async def test_a_client_and_a_node_speak_tls_over_tcp() -> None:
    async with serving(server_context(certificate("127.0.0.1"))) as uri:
        async with ESDBClient(uri, roots()) as client:
            await client.append_event("orders", StreamState.ANY, NewEvent("Created", b"x" * 300_000))
            (event,) = await client.get_stream_events("orders")
            assert event.data == b"x" * 300_000


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_a_missing_client_certificate_is_named(version: ssl.TLSVersion) -> None:
    context = server_context(certificate("127.0.0.1"), clients=trustme.CA(), latest=version)
    async with serving(context) as uri:
        for _ in range(10):
            assert "demands a client certificate" in await why_not(uri)


async def test_a_node_of_plain_text_is_named() -> None:
    async with serving(None) as uri:
        assert "use tls=false" in await why_not(uri)
