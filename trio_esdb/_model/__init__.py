"""The values of the public API: events, messages, filters and stream metadata."""

from ._appends import AppendResult, StreamState
from ._events import ContentType, EventDraft, NewEvent, RecordedEvent
from ._filters import (
    DEFAULT_EXCLUDE_FILTER,
    ESDB_PERSISTENT_CONFIG_EVENTS_REGEX,
    ESDB_SYSTEM_EVENTS_REGEX,
    Filter,
    make_filter,
)
from ._messages import CaughtUp, Checkpoint, FellBehind
from ._metadata import StreamMetadata, metadata_from_json, metadata_to_json
from ._statistics import ClientStatistics, ConnectionStatistics

__all__ = [
    "DEFAULT_EXCLUDE_FILTER",
    "ESDB_PERSISTENT_CONFIG_EVENTS_REGEX",
    "ESDB_SYSTEM_EVENTS_REGEX",
    "AppendResult",
    "CaughtUp",
    "Checkpoint",
    "ClientStatistics",
    "ConnectionStatistics",
    "ContentType",
    "EventDraft",
    "FellBehind",
    "Filter",
    "NewEvent",
    "RecordedEvent",
    "StreamMetadata",
    "StreamState",
    "make_filter",
    "metadata_from_json",
    "metadata_to_json",
]
