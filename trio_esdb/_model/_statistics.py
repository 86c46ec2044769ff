"""What a client says about its connections."""

from __future__ import annotations

from typing import NamedTuple

from ._cluster import NodeState


class ConnectionStatistics(NamedTuple):
    """The state of one connection.

    Attributes:
        address (str): The address of the node.
        open_calls (int): The calls that have begun on the connection and have not ended.
        bytes_queued (int): The bytes that wait to be sent, because the node or the network does not take them.
        accepts_calls (bool): Whether the connection has room for another call.
        bytes_sent (int): The bytes that were sent on the connection, before TLS.
        bytes_received (int): The bytes that came on the connection, after TLS.
        role (NodeState | None): What the node does in its cluster, as far as the client knows. None for a client that
            was told one node, and if it is not known.
    """

    address: str
    open_calls: int
    bytes_queued: int
    accepts_calls: bool
    bytes_sent: int = 0
    bytes_received: int = 0
    role: NodeState | None = None


class ClientStatistics(NamedTuple):
    """The state of a client, and what happened since it was made; see ``ESDBClient.statistics``.

    Attributes:
        connections (tuple[ConnectionStatistics, ...]): The open connections, the oldest first.
        waiting_calls (int): The calls that wait for a connection.
        connections_opened (int): How many connections were opened.
        connections_failed (int): How often a connection could not be opened.
        connections_lost (int): How many open connections were lost. Those that the client closed do not count.
        calls_repeated (int): How often a call was sent again after a failure.
        calls_resumed (int): How often a read went on, or a subscription was resumed, by a new call.
        bytes_sent (int): The bytes that were sent on all connections, also on those that have ended, before TLS.
        bytes_received (int): The bytes that came on all connections, also on those that have ended, after TLS.
    """

    connections: tuple[ConnectionStatistics, ...]
    waiting_calls: int = 0
    connections_opened: int = 0
    connections_failed: int = 0
    connections_lost: int = 0
    calls_repeated: int = 0
    calls_resumed: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    @property
    def open_calls(self) -> int:
        """The calls that have begun on all connections and have not ended."""
        return sum(connection.open_calls for connection in self.connections)

    @property
    def bytes_queued(self) -> int:
        """The bytes that wait to be sent on all connections."""
        return sum(connection.bytes_queued for connection in self.connections)
