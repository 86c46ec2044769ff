"""The first connection of a client."""

from __future__ import annotations

import trio

from trio_esdb._errors import UnavailableError
from trio_esdb._rpc import CallKind, Method, Operation, trouble_of

from ._session import Session

_CONNECTING = Operation(Method.READ, [], "connecting to the cluster", CallKind.READ)


@trio.lowlevel.enable_ki_protection
async def open_first(session: Session) -> None:
    """Connect to the node that the client was told, or to one that is found in its cluster.

    Raises:
        DiscoveryError: No node of the cluster was found that does what is wanted.
        UnavailableError: The node cannot be reached.
        trio.ClosedResourceError: The client was closed.
    """
    nodes = session.nodes
    if not session.options.cluster:
        await nodes.open()
        return
    attempts = session.attempts(_CONNECTING)
    while True:
        try:
            link = await nodes.link(leader=False)
        except UnavailableError as exc:
            await attempts.again(exc, trouble_of(None, exc))
        else:
            link.on_room()
            return
