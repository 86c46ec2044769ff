"""What the services share: the store, the clock, the ids of the node and its place in the cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .._store import Store
from ._feed import Feed
from ._membership import Membership
from ._users import Users
from ._writes import Writes


@dataclass(slots=True)
class NodeContext:
    """The node, as its services see it."""

    store: Store
    feed: Feed
    now: Callable[[], int]
    """Ticks (100 ns) since the Unix epoch."""
    new_id: Callable[[], int]
    membership: Membership
    """The id and the address of the node, its state, and who leads."""
    users: Users | None = None
    """The users of the node. None: everybody may do everything."""
    shut_down: Callable[[], None] = lambda: None
    """Lets the node end; it serves open calls for the grace period. The process of the node sets it."""
    writes: Writes = field(init=False)

    def __post_init__(self) -> None:
        self.writes = Writes(self.store, self.feed, self.now)
