"""The values of the public API: events, messages, filters, stream metadata, credentials."""

from ._appends import AppendResult, StreamState
from ._cluster import ClusterMember, NodeState
from ._connection_events import (
    CallRepeated,
    CallResumed,
    Connected,
    Connecting,
    ConnectionClosed,
    ConnectionEvent,
    ConnectionFailed,
    ConnectionLost,
    CredentialsAsked,
    Discovered,
    DiscoveryFailed,
    LeaderChanged,
    NodeDraining,
)
from ._credentials import BasicCredentials, BearerToken, Credentials, CredentialsProvider
from ._events import ContentType, EventDraft, NewEvent, RecordedEvent
from ._filters import (
    DEFAULT_EXCLUDE_FILTER,
    ESDB_PERSISTENT_CONFIG_EVENTS_REGEX,
    ESDB_SYSTEM_EVENTS_REGEX,
    Filter,
    make_filter,
)
from ._messages import CaughtUp, Checkpoint, FellBehind, Resumed
from ._metadata import StreamMetadata, metadata_from_json, metadata_to_json
from ._retry import RetryPolicy
from ._server_version import ServerVersion
from ._statistics import ClientStatistics, ConnectionStatistics
from ._timeouts import Timeouts, is_time

__all__ = [
    "DEFAULT_EXCLUDE_FILTER",
    "ESDB_PERSISTENT_CONFIG_EVENTS_REGEX",
    "ESDB_SYSTEM_EVENTS_REGEX",
    "AppendResult",
    "BasicCredentials",
    "BearerToken",
    "CallRepeated",
    "CallResumed",
    "CaughtUp",
    "Checkpoint",
    "ClientStatistics",
    "ClusterMember",
    "Connected",
    "Connecting",
    "ConnectionClosed",
    "ConnectionEvent",
    "ConnectionFailed",
    "ConnectionLost",
    "ConnectionStatistics",
    "ContentType",
    "Credentials",
    "CredentialsAsked",
    "CredentialsProvider",
    "Discovered",
    "DiscoveryFailed",
    "EventDraft",
    "FellBehind",
    "Filter",
    "LeaderChanged",
    "NewEvent",
    "NodeDraining",
    "NodeState",
    "RecordedEvent",
    "Resumed",
    "RetryPolicy",
    "ServerVersion",
    "StreamMetadata",
    "StreamState",
    "Timeouts",
    "is_time",
    "make_filter",
    "metadata_from_json",
    "metadata_to_json",
]
