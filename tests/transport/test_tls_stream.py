"""TLS over a memory stream: bytes in both directions, the end, cancellation."""

from __future__ import annotations

import ssl

import pytest
import trio
from trio.testing import check_two_way_stream

from tests.support.tls import server_context, tls_pair

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
async def test_it_is_a_stream_as_trio_demands(version: ssl.TLSVersion) -> None:
    await check_two_way_stream(lambda: tls_pair(server_context(latest=version)), None)


@pytest.mark.parametrize("version", VERSIONS)
async def test_both_ends_agree_on_http2(version: ssl.TLSVersion) -> None:
    client, server = await tls_pair(server_context(latest=version))
    assert client.alpn == server.alpn == "h2"
    async with client, server:
        await client.send_all(b"question")
        assert await server.receive_some() == b"question"
        await server.send_all(b"answer")
        assert await client.receive_some() == b"answer"
        await trio.lowlevel.checkpoint()
