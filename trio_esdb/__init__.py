"""A trio-native client for EventStoreDB and KurrentDB, in pure Python, with a node for tests inside."""

from typing import Any

from ._client import ChannelStatistics, ESDBClient, EventChannel, ExpectedPosition, SubscriptionMessage
from ._errors import (
    AbortedError,
    AccessDeniedError,
    ConsumerTooSlowError,
    DeadlineExceededError,
    ESDBError,
    ExpectedPositionError,
    InvalidArgumentError,
    InvalidMetadataError,
    InvalidPositionError,
    InvalidRequestError,
    InvalidTypeError,
    NotLeaderError,
    ProtocolError,
    ResourceExhaustedError,
    ServerError,
    ServerTooLargeError,
    StreamDeletedError,
    StreamNotFoundError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from ._model import (
    DEFAULT_EXCLUDE_FILTER,
    ESDB_PERSISTENT_CONFIG_EVENTS_REGEX,
    ESDB_SYSTEM_EVENTS_REGEX,
    AppendResult,
    BasicCredentials,
    BearerToken,
    CallRepeated,
    CallResumed,
    CaughtUp,
    Checkpoint,
    ClientStatistics,
    Connected,
    Connecting,
    ConnectionClosed,
    ConnectionEvent,
    ConnectionFailed,
    ConnectionLost,
    ConnectionStatistics,
    ContentType,
    Credentials,
    CredentialsAsked,
    CredentialsProvider,
    FellBehind,
    NewEvent,
    NodeDraining,
    RecordedEvent,
    RetryPolicy,
    StreamMetadata,
    StreamState,
    Timeouts,
)
from ._observing import CallInfo, ConnectionEvents, Instrument
from ._public import publish

__all__ = [
    "DEFAULT_EXCLUDE_FILTER",
    "ESDB_PERSISTENT_CONFIG_EVENTS_REGEX",
    "ESDB_SYSTEM_EVENTS_REGEX",
    "AbortedError",
    "AccessDeniedError",
    "AppendResult",
    "BasicCredentials",
    "BearerToken",
    "CallInfo",
    "CallRepeated",
    "CallResumed",
    "CaughtUp",
    "ChannelStatistics",
    "Checkpoint",
    "ClientStatistics",
    "Connected",
    "Connecting",
    "ConnectionClosed",
    "ConnectionEvent",
    "ConnectionEvents",
    "ConnectionFailed",
    "ConnectionLost",
    "ConnectionStatistics",
    "ConsumerTooSlowError",
    "ContentType",
    "Credentials",
    "CredentialsAsked",
    "CredentialsProvider",
    "DeadlineExceededError",
    "ESDBClient",
    "ESDBError",
    "EventChannel",
    "ExpectedPosition",
    "ExpectedPositionError",
    "FellBehind",
    "Instrument",
    "InvalidArgumentError",
    "InvalidMetadataError",
    "InvalidPositionError",
    "InvalidRequestError",
    "InvalidTypeError",
    "NewEvent",
    "NodeDraining",
    "NotLeaderError",
    "ProtocolError",
    "RecordedEvent",
    "ResourceExhaustedError",
    "RetryPolicy",
    "ServerError",
    "ServerTooLargeError",
    "StreamDeletedError",
    "StreamMetadata",
    "StreamNotFoundError",
    "StreamState",
    "SubscriptionMessage",
    "Timeouts",
    "TooLargeError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
]

publish(__name__, __all__)

__version__: str
"""The version of the installed distribution."""


def __getattr__(name: str) -> Any:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version  # takes longer to load than this package's smaller modules

    return version("trio-esdb")
