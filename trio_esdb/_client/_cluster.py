"""What a node tells of its cluster."""

from __future__ import annotations

from trio_esdb._cluster import GOSSIP
from trio_esdb._convert import cluster_members
from trio_esdb._model import ClusterMember, Credentials, RetryPolicy

from ._area import Area
from ._arguments import check_how, check_timeout


class ClusterArea(Area):
    """The members of the cluster."""

    async def read_gossip(
        self,
        timeout: float | None = None,
        *,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> tuple[ClusterMember, ...]:
        """Get the members of the cluster, as the node sees them that the client uses.

        What nodes tell of each other can differ for some seconds after a change. A single node is a cluster with one
        member.

        Args:
            timeout: The limit for the call in seconds, instead of the client's default.
            retry: Whether and how to ask again after trouble, if not as the client was told.
            credentials: Who the call is made for, if not for whom the client's calls are made. Nodes usually tell this
                to anybody; but they refuse a user that they do not know.

        Returns:
            The members, those that are not alive too, in the order in which the node told them.

        Raises:
            InvalidArgumentError: An argument is not valid.
            DeadlineExceededError: The timeout expired.
            ServerError: The call failed.
        """
        check_how(retry, credentials)
        operation = GOSSIP._replace(timeout=check_timeout(timeout), retry=retry, credentials=credentials)
        return operation.understood(cluster_members, await self._run(operation))
