"""Background tasks beside a caller's block. They end with the block, and never wrap the exception that it raises.

A trio nursery has two properties that a library's caller should not see:

- It wraps whatever is raised in an exception group. A caller who raises ValueError in ``async with client:`` would have
  to catch a group. ``background_tasks`` takes the group apart again: ``_single`` finds the one exception that matters.

- The scope around a nursery cancels its tasks and its block at the same moment. But a block may have work to do when it
  is cancelled, in a ``finally`` with a shield, and that work needs the tasks: a call needs its connection. So each
  background task runs in a shielded scope of its own, and these scopes are cancelled when the block is left, however it
  is left. What the tasks do after that must take a bounded time.

A task that fails still cancels the block at once, as in any nursery.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio


class BackgroundTasks:
    """Starts tasks that go on until the block is left, also when a scope around the block is cancelled."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._scopes: dict[trio.CancelScope, None] = {}
        self._cancelled = False

    @property
    def cancel_scope(self) -> trio.CancelScope:
        """The scope of the block; to cancel it makes the block end, and with it the tasks."""
        return self._nursery.cancel_scope

    @trio.lowlevel.enable_ki_protection
    def start_soon(self, function: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Start a task, as ``trio.Nursery.start_soon`` does."""
        self._nursery.start_soon(self._run, function, args, name=function)

    @trio.lowlevel.enable_ki_protection
    async def start(self, function: Callable[..., Awaitable[object]], *args: Any) -> Any:
        """Start a task and wait until it says that it has started, as ``trio.Nursery.start`` does.

        Until then it is not shielded: the caller may give up waiting.
        """
        return await self._nursery.start(self._run_from_start, function, args, name=function)

    @trio.lowlevel.enable_ki_protection
    def cancel(self) -> None:
        """Cancel all tasks, and those that are started from now on."""
        self._cancelled = True
        for scope in self._scopes:
            scope.cancel()

    @trio.lowlevel.enable_ki_protection
    async def _run(self, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        with self._scope() as scope:
            scope.shield = True
            try:
                await function(*args)
            finally:
                del self._scopes[scope]

    @trio.lowlevel.enable_ki_protection
    async def _run_from_start(
        self, function: Callable[..., Awaitable[object]], args: tuple[Any, ...], *, task_status: trio.TaskStatus[Any]
    ) -> None:
        with self._scope() as scope:
            try:
                await function(*args, task_status=_ShieldWhenStarted(scope, self._nursery, task_status))
            finally:
                del self._scopes[scope]

    @trio.lowlevel.enable_ki_protection
    def _scope(self) -> trio.CancelScope:
        scope = trio.CancelScope()
        self._scopes[scope] = None
        if self._cancelled:
            scope.cancel()
        return scope


class _ShieldWhenStarted:
    """Shields a task when it says that it has started.

    trio then moves the task into the nursery; but not if whoever waits for the start was cancelled. Then the task has
    to end with that.
    """

    def __init__(self, scope: trio.CancelScope, nursery: trio.Nursery, task_status: trio.TaskStatus[Any]) -> None:
        self._scope = scope
        self._nursery = nursery
        self._task = trio.lowlevel.current_task()
        self._task_status = task_status

    def started(self, value: object = None) -> None:
        """See trio.TaskStatus."""
        self._task_status.started(value)
        self._scope.shield = self._task.parent_nursery is self._nursery


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def background_tasks() -> AsyncIterator[BackgroundTasks]:
    """A block with tasks beside it, which are cancelled when the block is left.

    What the block raises comes out bare. So does the failure of a single background task; if both fail, the block's
    exception comes out with the other as its context, unless the other is KeyboardInterrupt or its like, which nothing
    may hide. Only several unrelated failures stay a group.
    """
    raised: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            tasks = BackgroundTasks(nursery)
            try:
                yield tasks
            except BaseException as exc:
                raised = exc
                raise
            finally:
                tasks.cancel()
    except BaseExceptionGroup as group:
        bare = _single(group, raised)
        if bare is None:
            raise
        context = bare.__context__
        try:
            raise bare
        finally:
            # Raising inside the handler would chain the group, which only says what the exception says.
            bare.__context__ = context
            del bare, group, raised


def _single(group: BaseExceptionGroup[BaseException], raised: BaseException | None) -> BaseException | None:
    """The one exception that a nursery's group is about; None where there are several."""
    leaves = [raised if raised is not None and _stands_for(exc, raised) else exc for exc in group.exceptions]
    failures = [exc for exc in leaves if not _is_cancellation(exc)] or leaves[:1]
    if len(failures) == 1:
        return failures[0]
    others = [exc for exc in failures if exc is not raised]
    if raised is not None and len(failures) == 2 and len(others) == 1:
        first, second = (raised, others[0]) if isinstance(others[0], Exception) else (others[0], raised)
        _put_behind(first, second)
        return first
    return None


def _stands_for(exc: BaseException, raised: BaseException) -> bool:
    """Whether a nursery means ``raised`` by ``exc``: it takes groups to pieces and puts them together anew."""
    if not isinstance(exc, BaseExceptionGroup) or not isinstance(raised, BaseExceptionGroup):
        return False
    return len(exc.exceptions) == len(raised.exceptions) and all(
        a is b or _stands_for(a, b) for a, b in zip(exc.exceptions, raised.exceptions, strict=True)
    )


def _is_cancellation(exc: BaseException) -> bool:
    if isinstance(exc, BaseExceptionGroup):
        return exc.split(trio.Cancelled)[1] is None
    return isinstance(exc, trio.Cancelled)


def _put_behind(exc: BaseException, other: BaseException) -> None:
    """Make ``other`` the last of the contexts of ``exc``."""
    contexts = _contexts(exc)
    if id(other) in contexts:
        return
    for context in _contexts(other).values():
        if id(context.__context__) in contexts:
            context.__context__ = None  # its task was cancelled on account of exc: that is the same told backwards
    *_, last = contexts.values()
    last.__context__ = other


def _contexts(exc: BaseException | None) -> dict[int, BaseException]:
    """An exception, its context, that one's context and so on, by their ids: exceptions may call each other equal."""
    found: dict[int, BaseException] = {}
    while exc is not None and id(exc) not in found:
        found[id(exc)] = exc
        exc = exc.__context__
    return found
