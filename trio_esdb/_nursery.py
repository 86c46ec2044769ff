"""Background tasks beside a caller's block, which never wrap the exception that the caller raises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def background_tasks() -> AsyncIterator[trio.Nursery]:
    """A nursery whose tasks are cancelled when the block is left.

    What the block raises comes out bare. So does the failure of a single background task; if both fail, the block's
    exception comes out with the other as its context. Only several unrelated failures stay a group.
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
        cause, context = bare.__cause__, bare.__context__
        try:
            raise bare
        finally:
            # Raising inside the handler would chain the group, which only says what the exception says.
            bare.__cause__, bare.__context__ = cause, context
            del bare, group, raised


def _single(group: BaseExceptionGroup[BaseException], raised: BaseException | None) -> BaseException | None:
    """The one exception that a nursery's group is about; None where there are several."""
    leaves = list(group.exceptions)
    failures = [exc for exc in leaves if not isinstance(exc, trio.Cancelled)] or leaves[:1]
    if len(failures) == 1:
        return failures[0]
    if len(failures) == 2 and raised in failures and not isinstance(raised, trio.Cancelled):
        assert raised is not None
        (other,) = (exc for exc in failures if exc is not raised)
        if raised.__context__ is None:
            raised.__context__ = other
        return raised
    return None
