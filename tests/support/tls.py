"""Certificates, contexts and streams of both ends of TLS."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import cache

import trio
import trustme
from trio.testing import memory_stream_pair

from trio_esdb._transport._tls import TLSStream
from trio_esdb._transport._tls_config import TLSConfig, make_tls_config

HOST = "node.example"


@cache
def authority() -> trustme.CA:
    """An authority that the clients of these tests trust."""
    return trustme.CA()


@cache
def certificate(*names: str) -> trustme.LeafCert:
    return authority().issue_cert(*(names or (HOST,)))


def roots(ca: trustme.CA | None = None) -> bytes:
    return (ca or authority()).cert_pem.bytes()


def server_context(
    certificate_: trustme.LeafCert | None = None,
    *,
    alpn: list[str] | None = None,
    clients: trustme.CA | None = None,
    latest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    """A server's context.

    Args:
        certificate_: What it shows, if not a certificate for HOST.
        alpn: The protocols that it speaks; an empty list for a server that does not know ALPN.
        clients: Who must have signed the certificates of clients, which are then demanded.
        latest: The latest version of TLS that it speaks.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (certificate_ or certificate()).configure_cert(context)
    context.maximum_version = latest
    if alpn is None or alpn:
        context.set_alpn_protocols(["h2"] if alpn is None else alpn)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


def client_config() -> TLSConfig:
    return make_tls_config(root_certificates=roots())


Pair = tuple[TLSStream, TLSStream]


async def tls_pair(
    server: ssl.SSLContext | None = None,
    client: ssl.SSLContext | None = None,
    pair: Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]] = memory_stream_pair,
) -> Pair:
    """A client's and a server's end of a connection, after the handshake."""
    near, far = pair()
    ends = (
        TLSStream(near, client or client_config().context(), HOST),
        TLSStream(far, server or server_context(), server_side=True),
    )
    async with trio.open_nursery() as nursery:
        for end in ends:
            nursery.start_soon(end.handshake)
    return ends
