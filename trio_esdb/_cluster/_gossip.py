"""Asking a node for the members of its cluster."""

from __future__ import annotations

import trio

from trio_esdb._convert import cluster_members
from trio_esdb._errors import AccessDeniedError
from trio_esdb._model import ClusterMember, Credentials
from trio_esdb._rpc import CallKind, Method, Operation, Reply, error_from
from trio_esdb._transport import unary_call

from ._authorization import Authorization
from ._node_link import NodeLink

_LARGEST_ANSWER = 1024 * 1024
"""Bytes; more than the members that are read."""
GOSSIP = Operation(
    Method.GOSSIP,
    [b""],
    "asking for the members of the cluster",
    CallKind.UNARY_READ,
    largest_reply=_LARGEST_ANSWER,
)


@trio.lowlevel.enable_ki_protection
async def ask_members(link: NodeLink, authorization: Authorization) -> tuple[ClusterMember, ...]:
    """Ask the node of a connection, which must have room for a call. The caller's scope is the limit.

    Nodes usually answer this to anybody. So the question is asked without credentials, since a node refuses those that
    it does not know yet. One that does not answer to everybody is asked again with the credentials of the client.

    Raises:
        ServerError: There was no answer, or none that can be understood.
        Exception: What a function raised that was asked for credentials.
    """
    try:
        return await _ask(link, None)
    except AccessDeniedError:
        if authorization.provider is not None and link.credentials is None:
            await authorization.ask(link)
        credentials = authorization.of(link, GOSSIP)
        if credentials is None:
            raise
    return await _ask(link, credentials)


async def _ask(link: NodeLink, credentials: Credentials | None) -> tuple[ClusterMember, ...]:
    message, outcome = await unary_call(
        link,
        link.headers.of(Method.GOSSIP, requires_leader=False),
        GOSSIP.requests,
        authorization=None if credentials is None else credentials.authorization(),
        largest_reply=_LARGEST_ANSWER,
    )
    if not outcome.ok:
        raise error_from(GOSSIP, outcome, link.address)
    return GOSSIP.understood(cluster_members, Reply(message, link.address))
