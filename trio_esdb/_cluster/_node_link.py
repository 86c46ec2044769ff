"""A connection to a node, with the headers that its calls carry."""

from __future__ import annotations

import trio

from trio_esdb._model import ConnectionStatistics
from trio_esdb._rpc import RequestHeaders
from trio_esdb._transport import ClientLink
from trio_esdb._wire import Limits


class NodeLink(ClientLink):
    """A connection to one node; ``headers`` makes the headers of the calls on it."""

    def __init__(self, stream: trio.abc.Stream, address: str, limits: Limits | None = None) -> None:
        super().__init__(stream, address, limits)
        self.headers = RequestHeaders(address)

    def statistics(self) -> ConnectionStatistics:
        """The state of this connection."""
        streams = self.core.streams.values()
        return ConnectionStatistics(
            address=self.address,
            open_calls=len(streams),
            bytes_queued=self.core.output_size + sum(stream.unsent for stream in streams),
            accepts_calls=self.room > 0,
        )
