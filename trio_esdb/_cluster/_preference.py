"""Which node of a cluster a client wants.

| wanted | in this order |
|---|---|
| leader | Leader, and no other |
| follower | Follower; Leader; ReadOnlyReplica; PreReadOnlyReplica and ReadOnlyLeaderless |
| readOnlyReplica | ReadOnlyReplica; Follower; Leader; PreReadOnlyReplica and ReadOnlyLeaderless |
| random | Leader, Follower and ReadOnlyReplica; PreReadOnlyReplica and ReadOnlyLeaderless |

The leader has no fallback, because nothing else can do its work. The others are wishes: a client that wanted a follower
reads from the leader rather than not at all. Nodes that are not alive, are in another state, or have told no address
are never taken. Where several nodes are equal, one is
drawn for each who wants one.

Other clients agree about the leader's row only by half: the official ones fall back from it. For the other rows they
have different orders. What they agree about is kept here: the wanted state first, and the states of a replica that has
no leader after those that have one.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from trio_esdb._model import ClusterMember, NodeState

from ._endpoint import Endpoint, usable_endpoint


class NodePreference(Enum):
    """Which node is wanted; the values are those of the option ``nodePreference``."""

    LEADER = "leader"
    FOLLOWER = "follower"
    READ_ONLY_REPLICA = "readOnlyReplica"
    RANDOM = "random"


_LEADER, _FOLLOWER, _REPLICA = NodeState.LEADER, NodeState.FOLLOWER, NodeState.READ_ONLY_REPLICA
_LAST = (NodeState.PRE_READ_ONLY_REPLICA, NodeState.READ_ONLY_LEADERLESS)

ORDER: dict[NodePreference, tuple[tuple[NodeState, ...], ...]] = {
    NodePreference.LEADER: ((_LEADER,),),
    NodePreference.FOLLOWER: ((_FOLLOWER,), (_LEADER,), (_REPLICA,), _LAST),
    NodePreference.READ_ONLY_REPLICA: ((_REPLICA,), (_FOLLOWER,), (_LEADER,), _LAST),
    NodePreference.RANDOM: ((_LEADER, _FOLLOWER, _REPLICA), _LAST),
}
"""The states that are taken, the best first. Those in one group are equal."""


def endpoint_of(member: ClusterMember) -> Endpoint | None:
    """Where clients reach a member, or None if it told no address that anything could be reached under."""
    return usable_endpoint(member.address, member.port)


def best(
    wanted: NodePreference, members: Iterable[ClusterMember], without: frozenset[str] = frozenset()
) -> list[tuple[ClusterMember, Endpoint]]:
    """The nodes to use, which are equally good; none if there is none that fits.

    Args:
        wanted: Which node is wanted.
        members: The nodes that there are.
        without: The addresses of nodes that are not to be used.
    """
    order = ORDER[wanted]
    groups: list[list[tuple[ClusterMember, Endpoint]]] = [[] for _ in order]
    place_of = {state: place for place, states in enumerate(order) for state in states}
    for member in members:
        place = place_of.get(member.state)
        if place is not None and member.is_alive:
            found = endpoint_of(member)
            if found is not None and found.address not in without:
                groups[place].append((member, found))
    return next(filter(None, groups), [])


def fits(wanted: NodePreference, member: ClusterMember) -> bool:
    """Whether a node can be used, wherever it is."""
    return member.is_alive and any(member.state in states for states in ORDER[wanted])
