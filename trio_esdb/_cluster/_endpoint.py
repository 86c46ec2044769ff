"""Where a node is."""

from __future__ import annotations

from typing import NamedTuple


class Endpoint(NamedTuple):
    """A node's host and port, and its address as errors and the ``:authority`` header say it."""

    host: str
    port: int
    address: str
