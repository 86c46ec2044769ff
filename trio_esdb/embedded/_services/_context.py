"""What the services share: the node's store, its clock, its ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._store import Store
from ._feed import Feed


@dataclass(slots=True)
class NodeContext:
    """The inside of a node, as its services see it."""

    store: Store
    feed: Feed
    now: Callable[[], int]
    """Ticks (100 ns) since the Unix epoch."""
    new_id: Callable[[], int]
    instance: int
    """The node's own id."""
    address: tuple[str, int]
    """Host and port that the node tells its clients."""
    shut_down: Callable[[], None]
    """Ends the node, after what its services have answered is out."""
