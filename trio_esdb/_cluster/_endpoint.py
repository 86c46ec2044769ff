"""Where a node is, and how a stream to it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trio

Connect = Callable[[str, int], Awaitable[trio.abc.Stream]]
"""Makes a byte stream to a host and port."""


class Endpoint(NamedTuple):
    """A node's host and port, and its address as errors and the ``:authority`` header say it."""

    host: str
    port: int
    address: str
