"""A node and a client of it, cancelled at every step, and the checks that nothing is left after that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.leaks import assert_nothing_is_left, links_of
from trio_esdb import ESDBClient, NewEvent
from trio_esdb._transport import ClientLink
from trio_esdb._transport._serving import ServerLink
from trio_esdb.embedded import EmbeddedNode

URI = "esdb://node-1:2113?Tls=false"


class Moment(Enum):
    """When a scope is cancelled: at the n-th step of the calling task, or of any task."""

    WAITING = "while it waits"
    GOING_ON = "as it goes on"
    ANY = "at any step of any task"


every_moment = pytest.mark.parametrize("moment", Moment, ids=[moment.value for moment in Moment])


class Canceller(trio.abc.Instrument):
    """Cancels a scope at the n-th step."""

    def __init__(self, task: trio.lowlevel.Task, scope: trio.CancelScope, step: int, moment: Moment) -> None:
        self.fired = False
        self._task = task
        self._scope = scope
        self._left = step
        self._moment = moment

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._moment is Moment.GOING_ON and task is self._task:
            self._count()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._moment is Moment.ANY or (self._moment is Moment.WAITING and task is self._task):
            self._count()

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self.fired = True
            self._scope.cancel()


async def sweep(
    use: Callable[[], Awaitable[Any]], check: Callable[[], Awaitable[Any]], moment: Moment, *, most: int = 1000
) -> int:
    """Run ``use`` cancelled at its first step, its second and so on, until it comes to its end; how many that were.

    ``check`` is run after each.
    """
    task = trio.lowlevel.current_task()
    for step in range(1, most):
        with trio.CancelScope() as scope:
            canceller = Canceller(task, scope, step, moment)
            trio.lowlevel.add_instrument(canceller)
            try:
                await use()
            finally:
                trio.lowlevel.remove_instrument(canceller)
        await check()
        if not canceller.fired:
            return step - 1
    raise AssertionError(f"it took more than {most} steps")


@dataclass
class World:
    """A node and a client of it."""

    node: EmbeddedNode
    served: list[ServerLink]
    client: ESDBClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.new_client()

    def new_client(self) -> ESDBClient:
        return ESDBClient(URI, connect=self.node.connect)

    async def fill(self, stream: str, count: int, size: int = 10) -> None:
        """Append so many events."""
        for first in range(0, count, 100):
            events = [NewEvent("Happened", bytes(size)) for _ in range(first, min(first + 100, count))]
            await self.client.append_events(stream, first - 1 if first else None, events)

    async def sweep(
        self,
        use: Callable[[], Awaitable[Any]],
        moment: Moment,
        *,
        check: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        """Sweep a call: after each run nothing is left, and the same connection goes on to work."""
        await use()  # what happens only the first time must not count
        if check is not None:
            await check()
        await trio.testing.wait_all_tasks_blocked()
        tasks = trio.lowlevel.current_statistics().tasks_living
        (link,) = links_of(self.client)

        async def everything_is_fine() -> None:
            if check is not None:
                await check()
            await self.is_at_rest(link, tasks)

        steps = await sweep(use, everything_is_fine, moment)
        assert steps > 0

    async def is_at_rest(self, link: ClientLink, tasks: int) -> None:
        """No stream, no task, no credit is left over, and the connection works."""
        await assert_nothing_is_left(self.client, self.served)
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert links_of(self.client) == [link]
        await self.client.append_event("pulse", -1, NewEvent("Beat", b""))
        assert links_of(self.client) == [link]


@contextmanager
def watched(node: EmbeddedNode, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world in which the node's ends of its connections can be seen."""
    served: list[ServerLink] = []

    def accepted(stream: trio.abc.Stream, *more: Any, **options: Any) -> ServerLink:
        link = ServerLink(stream, *more, **options)
        served.append(link)
        return link

    monkeypatch.setattr("trio_esdb.embedded._process.ServerLink", accepted)
    yield World(node, served)
