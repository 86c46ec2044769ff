"""What a client says about its connections."""

from __future__ import annotations

from typing import NamedTuple


class ConnectionStatistics(NamedTuple):
    """The state of one connection.

    Attributes:
        address (str): The address of the node.
        open_calls (int): The calls that have begun on the connection and have not ended.
        bytes_queued (int): The bytes that wait to be sent, because the node or the network does not take them.
        accepts_calls (bool): Whether the connection has room for another call.
    """

    address: str
    open_calls: int
    bytes_queued: int
    accepts_calls: bool


class ClientStatistics(NamedTuple):
    """The state of a client; see ``ESDBClient.statistics``.

    Attributes:
        connections (tuple[ConnectionStatistics, ...]): The open connections, the oldest first.
    """

    connections: tuple[ConnectionStatistics, ...]

    @property
    def open_calls(self) -> int:
        """The calls that have begun on all connections and have not ended."""
        return sum(connection.open_calls for connection in self.connections)

    @property
    def bytes_queued(self) -> int:
        """The bytes that wait to be sent on all connections."""
        return sum(connection.bytes_queued for connection in self.connections)
