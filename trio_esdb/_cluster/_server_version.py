"""The version of the server, as users ask for it."""

from __future__ import annotations

import copy

import trio

from trio_esdb._errors import UnavailableError
from trio_esdb._model import RetryPolicy, ServerVersion
from trio_esdb._rpc import trouble_of

from ._session import Session
from ._versions import QUESTION


@trio.lowlevel.enable_ki_protection
async def server_version(session: Session, timeout: float | None, retry: RetryPolicy | bool | None) -> ServerVersion:
    """The version of the server that calls go to which do not need the leader. Each connection asks once.

    Args:
        session: Where to ask.
        timeout: How long it may take, in seconds; None is the client's default.
        retry: Whether and how to ask again after trouble; None is as the client was told.

    Raises:
        DeadlineExceededError: The timeout passed.
        ServerError: The server does not tell its version.
        trio.ClosedResourceError: The client was closed.
    """
    operation = QUESTION._replace(timeout=timeout, retry=retry)
    deadline = session.deadline(operation)
    attempts = session.attempts(operation, deadline)
    nodes = session.nodes
    with trio.CancelScope(deadline=deadline):
        while True:
            await trio.lowlevel.checkpoint()
            try:
                link = await nodes.link(leader=False)
                if link.must_ask_version:
                    await session.ask_version(link)
            except UnavailableError as exc:
                await attempts.again(exc, trouble_of(None, exc))
                continue
            link.on_room()  # the answer may have been known
            if link.version is not None:
                return link.version
            if link.version_error is not None:
                raise copy.copy(link.version_error)
    raise attempts.overdue(nodes.address, nodes.missing)
