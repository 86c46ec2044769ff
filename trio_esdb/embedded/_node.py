"""The node that users make: its store, its clock and its ids."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime

from ._clock import FIRST_DAY, Ticks, clock_from, clock_is_mock, ticks_of, wall_clock
from ._listening import HERE, ListeningNode
from ._services import Feed, Membership, NodeContext, Users, first_accounts
from ._store import Store, write_first_events


class EmbeddedNode(ListeningNode):
    """An EventStoreDB node in this process, for development and tests. What it holds is gone when it ends.

    It speaks the real protocol and answers as a single node of version 24.10.4 does, without users unless it is given
    them. Use it as a context
    manager, or give it to a nursery of yours with ``await nursery.start(node.run)``; then connect to it in memory
    (``connect``), let it listen (``serve_tcp``), or hand it any byte stream (``serve_stream``).

    The node's time is the time of day. Under trio's mock clock it begins on 2026-01-01 when the node starts and goes on
    as trio's clock does, so that a test sees the same times in every run; ``start`` asks for the same under any clock.

    A fresh node begins with the events that a real one writes by itself: the first that readers of ``$all`` see is the
    metadata of ``$scavenges``.

    Args:
        clock: Tells the time that events are recorded at, as an aware datetime. It overrides all of the above.
        start: The time when the node starts, as an aware datetime; it goes on as trio's clock does.
        new_id: Makes the ids of subscriptions, of events that the node writes itself, and of the node. Without it
            they are numbered.
        empty: Leave the first events out, apart from those of users.
        users: Whether the node has users: then clients must log in, and access is controlled. A fresh node has the
            users ``admin`` and ``ops``, both with the password ``changeit``. A mapping of names to passwords adds
            users without groups, or gives these two other passwords.

    Raises:
        ValueError: ``start`` has no time zone, or ``clock`` is given too; or a name in ``users`` has a colon.
        TypeError: ``users`` is something else.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] | None = None,
        start: datetime | None = None,
        new_id: Callable[[], uuid.UUID] | None = None,
        empty: bool = False,
        users: bool | Mapping[str, str] = False,
    ) -> None:
        if start is not None and clock is not None:
            raise ValueError("a node takes clock= or start=, not both")
        if start is not None and start.tzinfo is None:
            raise ValueError(f"start= must have a time zone, {start!r} has none")
        self._clock = clock
        self._start = start
        self._ticks: Ticks = wall_clock
        self._ids_made = 0
        self._new_id = new_id
        self._is_empty = empty
        self._first_accounts = first_accounts(users)
        store = Store(self._next_id)
        super().__init__(
            NodeContext(
                store=store,
                feed=Feed(store),
                now=self._now,
                new_id=self._next_id,
                membership=Membership(self._next_id(), HERE, self._now),
                users=Users(store, self._now, self._next_id) if self._first_accounts else None,
            )
        )

    def _begin(self) -> None:
        self._ticks = self._chosen_clock()
        if not self._is_empty:
            context = self._context
            write_first_events(context.store, context.membership.instance, self._next_id, self._now())
        if self._context.users is not None:
            self._context.writes.take_steps_now(self._context.users.write_first(self._first_accounts))

    def _chosen_clock(self) -> Ticks:
        clock = self._clock
        if clock is not None:
            return lambda: ticks_of(clock())
        if self._start is not None:
            return clock_from(self._start)
        return clock_from(FIRST_DAY) if clock_is_mock() else wall_clock

    def _now(self) -> int:
        return self._ticks()

    def _next_id(self) -> int:
        if self._new_id is not None:
            return self._new_id().int
        self._ids_made += 1
        return uuid.UUID(int=self._ids_made, version=4).int
