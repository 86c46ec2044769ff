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
from ._events import ContentType, EventDraft, GroupEvent, NewEvent, RecordedEvent
from ._filters import (
    DEFAULT_EXCLUDE_FILTER,
    ESDB_PERSISTENT_CONFIG_EVENTS_REGEX,
    ESDB_SYSTEM_EVENTS_REGEX,
    Filter,
    make_filter,
)
from ._groups import (
    CONSUMER_STRATEGIES,
    NACK_ACTIONS,
    ConsumerInfo,
    ConsumerStrategy,
    NackAction,
    OnError,
    Retry,
    SubscriptionInfo,
    SubscriptionSettings,
)
from ._messages import CaughtUp, Checkpoint, FellBehind, Resumed
from ._metadata import StreamMetadata, metadata_from_json, metadata_to_json
from ._retry import RetryPolicy
from ._server_version import ServerVersion
from ._statistics import ClientStatistics, ConnectionStatistics
from ._timeouts import Timeouts, is_time

__all__ = [
    "CONSUMER_STRATEGIES",
    "DEFAULT_EXCLUDE_FILTER",
    "ESDB_PERSISTENT_CONFIG_EVENTS_REGEX",
    "ESDB_SYSTEM_EVENTS_REGEX",
    "NACK_ACTIONS",
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
    "ConsumerInfo",
    "ConsumerStrategy",
    "ContentType",
    "Credentials",
    "CredentialsAsked",
    "CredentialsProvider",
    "Discovered",
    "DiscoveryFailed",
    "EventDraft",
    "FellBehind",
    "Filter",
    "GroupEvent",
    "LeaderChanged",
    "NackAction",
    "NewEvent",
    "NodeDraining",
    "NodeState",
    "OnError",
    "RecordedEvent",
    "Resumed",
    "Retry",
    "RetryPolicy",
    "ServerVersion",
    "StreamMetadata",
    "StreamState",
    "SubscriptionInfo",
    "SubscriptionSettings",
    "Timeouts",
    "is_time",
    "make_filter",
    "metadata_from_json",
    "metadata_to_json",
]
