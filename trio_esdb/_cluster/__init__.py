"""Which node to talk to, and the connections to it."""

from ._connecting import open_first
from ._endpoint import Endpoint, endpoint
from ._gossip import GOSSIP
from ._nodes import Nodes
from ._options import ClientOptions
from ._preference import NodePreference
from ._server_version import server_version
from ._session import Sent, Session

__all__ = [
    "GOSSIP",
    "ClientOptions",
    "Endpoint",
    "NodePreference",
    "Nodes",
    "Sent",
    "Session",
    "endpoint",
    "open_first",
    "server_version",
]
