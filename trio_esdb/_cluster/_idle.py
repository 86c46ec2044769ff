"""Closes the connections to a node beyond the first that have had no call for long.

A task does it that exists only while there are several connections, and has a timer only while one of them is idle.
"""

from __future__ import annotations

import math

import trio

from ._node_link import NodeLink


class IdleConnections:
    """The connections to a node, as far as they are idle.

    Args:
        links: The connections, the oldest first.
        timeout: After how many seconds without a call one of them is closed.
    """

    def __init__(self, links: list[NodeLink], timeout: float) -> None:
        self.timeout = timeout
        self._links = links
        self._news = trio.Event()
        self._wanted = False
        """Whether the task has nothing to wait for but connections that become idle."""

    def on_idle(self, link: NodeLink) -> None:
        """The last call on a connection is over."""
        link.idle_since = trio.current_time()
        if self._wanted and link is not self._links[0]:
            self._news.set()

    def look_again(self) -> None:
        """A connection has ended."""
        self._news.set()

    @trio.lowlevel.enable_ki_protection
    async def close(self) -> None:
        """Close connections when they have been idle for long, until there is only one."""
        links, limit = self._links, self.timeout
        while len(links) > 1:
            serving = [link for link in links if not link.core.draining]
            now, due = trio.current_time(), math.inf
            for link in serving[1:]:
                if not link.core.streams:
                    if link.idle_since + limit <= now:
                        link.leave(f"it was idle for {limit:g} seconds")
                    else:
                        due = min(due, link.idle_since + limit)
            self._news = trio.Event()
            self._wanted = due == math.inf
            with trio.move_on_at(due):
                await self._news.wait()
            self._wanted = False
