"""What a node of a cluster may answer itself, by its state, and what it leaves to the leader.

A call may ask for the leader, by the header ``requires-leader``. Who makes a call, and whether that is permitted, is
checked before. The answer to "not here" is one of two:

- not leader: names the leader, so that the client can go there;
- not ready: this node knows no leader, or is about to become one or to stop being one.

Of what a node has (``Membership``) only two things matter, its state and the leader that it knows:

==========================  ==================================  ======================================
States                      Reads                               Writes
==========================  ==================================  ======================================
Leader                      here                                here
ResigningLeader, PreLeader  here                                not ready
PreReplica, CatchingUp,     here; not leader if the call asks   forwarded to the leader; not leader if
Clone, Follower             for the leader                      the call asks for it
Pre- and ReadOnlyReplica    the same                            not leader; forwarded for callers of a
                                                                cluster without users
DiscoverLeader, Unknown,    here; not ready if the call asks    not ready
ReadOnlyLeaderless          for the leader
all others                  not ready                           not ready
==========================  ==================================  ======================================

A subscription that begins at the end is served by every node: only catching up is a read.
"""

from __future__ import annotations

from trio_esdb._transport._handlers import Failure, ServerCall

from ._failures import not_leader, not_ready
from ._membership import Membership, State

LEADER = State.Leader
_AS_LEADER = frozenset({State.Leader, State.ResigningLeader, State.PreLeader})
_REPLICAS = frozenset({State.PreReplica, State.CatchingUp, State.Clone, State.Follower})
_READ_ONLY = frozenset({State.PreReadOnlyReplica, State.ReadOnlyReplica})
FORWARDING = _REPLICAS | _READ_ONLY
"""States in which writes are forwarded to the leader."""
_LEADERLESS = frozenset({State.DiscoverLeader, State.Unknown, State.ReadOnlyLeaderless})


def requires_leader(call: ServerCall) -> bool:
    """Whether a call asks for the leader: .NET reads the value as a boolean."""
    value = call.metadata.get("requires-leader")
    return isinstance(value, str) and value.strip().lower() == "true"


def refuse_read(membership: Membership, call: ServerCall) -> None:
    """Raise Failure if this node does not read for this call."""
    state = membership.state
    if state in _AS_LEADER:
        return
    if state in FORWARDING:
        if requires_leader(call):
            raise elsewhere(membership)
    elif state not in _LEADERLESS or requires_leader(call):
        raise not_ready()


def refuse_write(membership: Membership, call: ServerCall) -> None:
    """Raise Failure if this node neither makes nor forwards a write for this call."""
    state = membership.state
    if state is LEADER:
        return
    if state in _REPLICAS:
        if requires_leader(call):
            raise elsewhere(membership)
    elif state in _READ_ONLY:
        if call.caller is not None or requires_leader(call):
            raise elsewhere(membership)
    else:
        raise not_ready()


def is_written(membership: Membership) -> bool:
    """Whether writes of the node itself are made, or forwarded, now. Those of clients: ``refuse_write``."""
    return membership.state is LEADER or membership.state in FORWARDING


def is_answered(membership: Membership) -> bool:
    """Whether calls get an answer that no other node than the leader serves, whatever their metadata says.

    They are those of persistent subscriptions. A node that is about to lead leaves them without an answer. Raises
    Failure on nodes that do not lead.
    """
    state = membership.state
    if state is LEADER:
        return True
    if state is State.PreLeader:
        return False
    raise elsewhere(membership) if state in FORWARDING else not_ready()


def elsewhere(membership: Membership) -> Failure:
    """The failure that names the leader, if this node knows one."""
    leader = membership.leader
    return not_ready() if leader is None else not_leader(*leader)
