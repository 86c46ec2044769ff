"""Background tasks beside a caller's block, which never wrap the exception that the caller raises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def background_tasks() -> AsyncIterator[trio.Nursery]:
    """A nursery whose tasks are cancelled when the block is left.

    What the block raises comes out bare. So does the failure of a single background task; if both fail, the block's
    exception comes out with the other as its context, unless the other is KeyboardInterrupt or its like, which nothing
    may hide. Only several unrelated failures stay a group.
    """
    raised: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except BaseException as exc:
                raised = exc
                raise
            finally:
                nursery.cancel_scope.cancel()
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
