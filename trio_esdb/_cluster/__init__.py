"""Which node to talk to, and the connections to it."""

from ._endpoint import Endpoint
from ._pool import Connect, Pool
from ._session import Session

__all__ = ["Connect", "Endpoint", "Pool", "Session"]
