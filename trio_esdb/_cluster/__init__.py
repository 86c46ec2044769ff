"""Which node to talk to, and the connections to it."""

from ._endpoint import Endpoint, endpoint
from ._options import ClientOptions
from ._pool import Pool
from ._preference import NodePreference
from ._session import Sent, Session

__all__ = ["ClientOptions", "Endpoint", "NodePreference", "Pool", "Sent", "Session", "endpoint"]
