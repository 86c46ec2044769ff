"""Which node to talk to, and the connections to it."""

from ._endpoint import Endpoint
from ._options import ClientOptions
from ._pool import Pool
from ._session import Sent, Session

__all__ = ["ClientOptions", "Endpoint", "Pool", "Sent", "Session"]
