"""A connection of the memory network."""

from __future__ import annotations

from random import Random

from ._cable import Cable
from ._faults import Change, Faults


class Connection(Faults):
    """A connection of a memory network, as the network sees it: what passed, whether it is open, and its faults.

    Got from ``MemoryNetwork.connections`` or ``Route.connections``.
    """

    def __init__(self, source: str, host: str, target: str, port: int, random: Random) -> None:
        self.source = source
        """The host that the client connected from."""
        self.host = host
        """The host that the client asked for."""
        self.target = target
        """The host that it goes to: another one than ``host`` where that is a name of this one."""
        self.port = port
        """The port that the client asked for."""
        self._made = False
        self._cable = Cable(random)

    def __repr__(self) -> str:
        state = "open" if self.is_open else "not open"
        return (
            f"<trio_esdb.testing.Connection: {self.host}:{self.port}, {state}, "
            f"{self.bytes_to_server} bytes to the server, {self.bytes_to_client} to the client>"
        )

    @property
    def bytes_to_server(self) -> int:
        """How many bytes the client has sent. Some may be on their way, or held."""
        return self._cable.to_server.carried

    @property
    def bytes_to_client(self) -> int:
        """How many bytes the server has sent. Some may be on their way, or held."""
        return self._cable.to_client.carried

    @property
    def is_open(self) -> bool:
        """Whether both sides have the connection open."""
        return self.open_at_client and self.open_at_server

    @property
    def open_at_client(self) -> bool:
        """Whether the client has not closed the connection and does not know that it is broken."""
        return self._cable.client.is_open

    @property
    def open_at_server(self) -> bool:
        """Whether the server has not closed the connection and does not know that it is broken."""
        return self._cable.server.is_open

    def _apply(self, kind: str, change: Change, *, lasting: bool = True) -> None:
        change(self._cable)
