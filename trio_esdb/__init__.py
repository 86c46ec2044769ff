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
    CaughtUp,
    Checkpoint,
    ClientStatistics,
    ConnectionStatistics,
    ContentType,
    Credentials,
    CredentialsProvider,
    FellBehind,
    NewEvent,
    RecordedEvent,
    StreamMetadata,
    StreamState,
    Timeouts,
)
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
    "CaughtUp",
    "ChannelStatistics",
    "Checkpoint",
    "ClientStatistics",
    "ConnectionStatistics",
    "ConsumerTooSlowError",
    "ContentType",
    "Credentials",
    "CredentialsProvider",
    "DeadlineExceededError",
    "ESDBClient",
    "ESDBError",
    "EventChannel",
    "ExpectedPosition",
    "ExpectedPositionError",
    "FellBehind",
    "InvalidArgumentError",
    "InvalidMetadataError",
    "InvalidPositionError",
    "InvalidRequestError",
    "InvalidTypeError",
    "NewEvent",
    "NotLeaderError",
    "ProtocolError",
    "RecordedEvent",
    "ResourceExhaustedError",
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
