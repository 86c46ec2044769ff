"""The nodes of a cluster, as one of them tells of all."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID


class NodeState(StrEnum):
    """What a node of a cluster does. Each is a string, the state's name in the protocol: ``"Leader"``.

    A node that starts goes from INITIALIZING through DISCOVER_LEADER, UNKNOWN, PRE_REPLICA, CATCHING_UP and CLONE to
    FOLLOWER. One that is elected goes through PRE_LEADER to LEADER. A read-only replica goes from READ_ONLY_LEADERLESS
    through PRE_READ_ONLY_REPLICA to READ_ONLY_REPLICA.
    """

    INITIALIZING = "Initializing"
    """It starts."""
    DISCOVER_LEADER = "DiscoverLeader"
    """It asks the other nodes for the leader."""
    UNKNOWN = "Unknown"
    """It knows no leader: there is an election. Also a state that this version of the client does not know."""
    PRE_REPLICA = "PreReplica"
    """It connects to the leader."""
    CATCHING_UP = "CatchingUp"
    """It copies what the leader has, and is behind."""
    CLONE = "Clone"
    """It copies what the leader has, and has no vote."""
    FOLLOWER = "Follower"
    """It copies what the leader has, and has a vote."""
    PRE_LEADER = "PreLeader"
    """It was elected, and is not ready yet."""
    LEADER = "Leader"
    """It takes what is written."""
    MANAGER = "Manager"
    """Nothing is known of it but its address: nobody has heard of it yet."""
    SHUTTING_DOWN = "ShuttingDown"
    """It is about to end."""
    SHUTDOWN = "Shutdown"
    """It has ended."""
    READ_ONLY_LEADERLESS = "ReadOnlyLeaderless"
    """A read-only replica that knows no leader."""
    PRE_READ_ONLY_REPLICA = "PreReadOnlyReplica"
    """A read-only replica that connects to the leader."""
    READ_ONLY_REPLICA = "ReadOnlyReplica"
    """A read-only replica: it copies what the leader has, never votes, and is never elected."""
    RESIGNING_LEADER = "ResigningLeader"
    """It gives up being the leader."""


class ClusterMember(NamedTuple):
    """A node of a cluster, as another node, or itself, sees it. What different nodes see can differ for seconds.

    Attributes:
        address (str): The host name or IP address that clients are to use. It is empty if the node told none.
        port (int): The port that clients are to use; 0 if the node told none.
        state (NodeState): What the node does. A dead node keeps the state that was last seen.
        is_alive (bool): Whether the node could be reached when it was last asked.
        instance_id (uuid.UUID): The id of the node's process. It is new after each start, and zero if it is not known.
        time_stamp (datetime.datetime): When this was last known to be so, in UTC.
    """

    address: str
    port: int
    state: NodeState
    is_alive: bool
    instance_id: UUID
    time_stamp: datetime
