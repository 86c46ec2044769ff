"""Everything that a client was told, checked: by its arguments, its connection string, and the defaults of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from trio_esdb._model import Credentials, CredentialsProvider, RetryPolicy, Timeouts
from trio_esdb._observing import Observer
from trio_esdb._transport._dial import Connect
from trio_esdb._wire import Limits

from ._endpoint import Endpoint
from ._preference import NodePreference

if TYPE_CHECKING:
    from trio_esdb._transport._tls_config import TLSConfig

DEFAULT_DEADLINE = 10.0
"""Seconds in which a call with one answer must have it."""
DEFAULT_KEEP_ALIVE = 10.0
"""Seconds of silence after which a node is asked for a sign of life, and seconds in which it must give one."""


@dataclass(kw_only=True, slots=True, eq=False, repr=False)  # less is generated at import
class ClientOptions:
    """What the connections and calls of a client must know. Times are in seconds; ``math.inf`` is no limit.

    ``connect`` is None for TCP, and for a node inside the process, which is made when the client is opened.
    ``credentials`` is None also where the credentials of the connection string must not be sent. ``max_connections`` is
    None for as many as the calls need.
    """

    node: Endpoint
    """The node of a client that has one; the first seed of a cluster."""
    seeds: tuple[Endpoint, ...] = ()
    """The nodes that the connection string names."""
    cluster: bool = False
    """Whether the nodes of a cluster are to be found by asking the seeds."""
    node_preference: NodePreference = NodePreference.LEADER
    max_discover_attempts: int = 10
    gossip_timeout: float = 5.0
    """The time in which a node must tell of its cluster, from the beginning of the connection on."""
    leader_check: float = 30.0
    """How often the leader is asked for while nothing else would tell that it has changed."""
    embedded: bool = False
    connect: Connect | None = None
    connection_name: str = ""
    credentials: Credentials | CredentialsProvider | None = None
    credentials_allowed: bool = False
    """Whether credentials may be sent: over TLS, to a node inside the process, or because the user has said so."""
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    default_deadline: float = DEFAULT_DEADLINE
    retry: RetryPolicy | bool = True
    discovery_interval: float = 0.1
    keep_alive_interval: float = DEFAULT_KEEP_ALIVE
    keep_alive_timeout: float = DEFAULT_KEEP_ALIVE
    keep_alive_without_calls: bool = False
    max_connections: int | None = None
    idle_connection_timeout: float = 60.0
    random: Random = field(default_factory=Random)
    tls: TLSConfig | None = None
    """Certificates; None for plain text."""
    observer: Observer = field(default_factory=Observer)
