"""Clusters over real TCP, with the names of the system."""

from __future__ import annotations

import pytest
import trio

from tests.support.clock import PATIENCE
from trio_esdb import DiscoveryError, ESDBClient, NewEvent, NodeState
from trio_esdb.embedded import Certificates, EmbeddedNode


async def test_a_name_of_the_system() -> None:
    """``localhost`` may stand for two addresses. The node is at one of them, and is used there under the name."""
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            port = await nursery.start(node.serve_tcp, "127.0.0.1", 0)
            async with ESDBClient(f"esdb+discover://localhost:{port}?tls=false") as client:
                await client.append_event("s", None, NewEvent("Happened", b"{}"))
                (member,) = await client.read_gossip()
                assert (member.state, member.port) == (NodeState.LEADER, port)
                (connection,) = client.statistics().connections
                assert connection.address == f"localhost:{port}"
            nursery.cancel_scope.cancel()


async def test_a_name_of_the_system_over_tls() -> None:
    """The certificate is for the name, and the IP address is dialled."""
    certificates = Certificates.self_made("localhost")
    with trio.fail_after(PATIENCE):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listeners[0].socket.getsockname()[1]
            nursery.start_soon(lambda: node.serve_listeners(listeners, tls=certificates))
            client = ESDBClient(f"esdb+discover://localhost:{port}", certificates.root_certificates)
            async with client:
                await client.append_event("s", None, NewEvent("Happened", b"{}"))
            nursery.cancel_scope.cancel()


async def test_nobody_is_there() -> None:
    with trio.fail_after(PATIENCE):
        uri = "esdb://localhost:1,127.0.0.1:1?tls=false&maxDiscoverAttempts=2"
        with pytest.raises(DiscoveryError) as caught:
            async with ESDBClient(uri):
                pytest.fail("it connected")
        assert "127.0.0.1:1: [Errno" in str(caught.value)
        assert "localhost:1 (127.0.0.1): [Errno" in str(caught.value)
