"""Asking a node for the members of its cluster."""

from __future__ import annotations

from trio_esdb._convert import cluster_members
from trio_esdb._model import ClusterMember
from trio_esdb._rpc import CallKind, Method, Operation, Reply, error_from
from trio_esdb._transport import unary_call

from ._node_link import NodeLink

QUESTION = Operation(Method.GOSSIP, [b""], "asking for the members of the cluster", CallKind.UNARY_READ)
LARGEST_ANSWER = 1024 * 1024
"""Bytes; about 10 000 members."""


async def ask_members(link: NodeLink) -> tuple[ClusterMember, ...]:
    """Ask the node of a connection, which must have room for a call. The caller's scope is the limit.

    Nodes answer this to anybody, so no credentials are sent: a node that did not know them would refuse the question.

    Raises:
        ServerError: There was no answer, or none that can be understood.
    """
    headers = link.headers.of(Method.GOSSIP, requires_leader=False)
    message, outcome = await unary_call(link, headers, QUESTION.requests, largest_reply=LARGEST_ANSWER)
    if not outcome.ok:
        raise error_from(QUESTION, outcome, link.address)
    return QUESTION.understood(cluster_members, Reply(message, link.address))
