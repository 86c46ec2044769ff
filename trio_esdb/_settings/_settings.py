"""What a connection string says."""

from __future__ import annotations

from typing import NamedTuple

from trio_esdb._model import BasicCredentials

DEFAULT_PORT = 2113


class Host(NamedTuple):
    """A host name or IP address, and a port."""

    name: str
    port: int = DEFAULT_PORT

    @property
    def address(self) -> str:
        """Both as ``host:port``, for error messages and the HTTP/2 ``:authority``."""
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class Settings(NamedTuple):
    """The content of a connection string, and the defaults for what it does not say.

    ``hosts`` is empty for a node inside the process. ``discover`` is true for a scheme with ``+discover`` and for
    ``dnsDiscover=true``. Times are in seconds, and ``math.inf`` is no limit. The credentials do not show the password.
    """

    hosts: tuple[Host, ...] = ()
    discover: bool = False
    credentials: BasicCredentials | None = None
    tls: bool = True
    tls_verify_cert: bool = True
    tls_ca_file: str | None = None
    user_cert_file: str | None = None
    user_key_file: str | None = None
    connection_name: str | None = None
    node_preference: str = "leader"
    max_discover_attempts: int = 10
    discovery_interval: float = 0.1
    gossip_timeout: float = 5.0
    default_deadline: float = 10.0
    keep_alive_interval: float = 10.0
    keep_alive_timeout: float = 10.0

    @property
    def embedded(self) -> bool:
        """Whether the node is inside the process."""
        return not self.hosts

    @property
    def cluster(self) -> bool:
        """Whether the nodes of a cluster must be discovered."""
        return self.discover or len(self.hosts) > 1
