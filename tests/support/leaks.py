"""Checks that a client's connections leak nothing: no stream, no queued bytes, no part of a flow-control window."""

from __future__ import annotations

from collections.abc import Iterable

import trio.testing

from trio_esdb import ESDBClient
from trio_esdb._transport import ClientLink
from trio_esdb._transport._serving import ServerLink


def links_of(client: ESDBClient) -> list[ClientLink]:
    """The client's connections."""
    return client._session.nodes.pools.links


async def assert_nothing_is_left(client: ESDBClient, server_links: Iterable[ServerLink] = ()) -> None:
    """No stream is open at either end, no bytes are queued, and no credit of the windows is lost."""
    await trio.testing.wait_all_tasks_blocked()
    assert_windows_add_up(client)
    statistics = client.statistics()
    assert (statistics.open_calls, statistics.bytes_queued) == (0, 0)
    assert all(connection.accepts_calls for connection in statistics.connections)
    for served in server_links:
        core = served.core
        assert core.streams == {}
        if not core.ended:
            assert not core.has_output
            assert core.window + core.credit == core.limits.connection_window
    # What each end believes that it may send is what the other has given.
    open_ends = [link for link in server_links if not link.core.ended]
    clients = links_of(client)
    if len(open_ends) == len(clients) == 1:
        assert open_ends[0].core._h2.outbound_flow_control_window == clients[0].core.window
        assert clients[0].core._h2.outbound_flow_control_window == open_ends[0].core.window


def assert_windows_add_up(client: ESDBClient) -> None:
    """For each window: what the peer may send, what waits here, and the credit to be returned add up to the window."""
    for link in links_of(client):
        core = link.core
        assert core.window + core.credit == core.limits.connection_window
        for stream in core.streams.values():
            known = stream.window + stream.deframer.held + stream.untaken + stream.credit
            assert known == stream.allowance + stream.advance
