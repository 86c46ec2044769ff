"""Which node to talk to, and the connections to it."""

from ._endpoint import Endpoint
from ._session import Connect, Session

__all__ = ["Connect", "Endpoint", "Session"]
