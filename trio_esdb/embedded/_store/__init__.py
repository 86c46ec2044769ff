"""The embedded node's store: a log, the streams in it, and the rules of reading and writing them.

The store has no I/O, no clock and no randomness: the same calls give the same results. What only the nodes of a cluster
need is in ``_replica``, which is not loaded with the rest.
"""

from __future__ import annotations

from ._access import ADMINS, ALL_STREAMS, EVERYBODY, SETTINGS_STREAM, Right
from ._filters import BadPattern, Filter, Target, TooMuchWork, UnsupportedPattern, prefix_filter, regex_filter
from ._first_events import write_first_events
from ._links import parse_link
from ._metadata import StreamMetadata
from ._names import (
    DELETED_TYPE,
    LINK_TYPE,
    METADATA_TYPE,
    is_hidden_from_all,
    is_metastream,
    is_valid_stream,
    metastream_of,
    original_of,
)
from ._store import Store
from ._turns import TURN, Turns
from ._values import (
    ANY,
    LAST_NUMBER,
    NO_STREAM,
    STREAM_EXISTS,
    TICKS,
    AllPage,
    Append,
    BeyondEnd,
    Delete,
    HarmfulMetadata,
    InvalidPosition,
    MalformedLink,
    NeverAnswered,
    Proposal,
    Record,
    StreamDeleted,
    StreamPage,
    Tombstone,
    Write,
    Written,
    WrongExpectation,
)

__all__ = [
    "ADMINS",
    "ALL_STREAMS",
    "ANY",
    "DELETED_TYPE",
    "EVERYBODY",
    "LAST_NUMBER",
    "LINK_TYPE",
    "METADATA_TYPE",
    "NO_STREAM",
    "SETTINGS_STREAM",
    "STREAM_EXISTS",
    "TICKS",
    "TURN",
    "AllPage",
    "Append",
    "BadPattern",
    "BeyondEnd",
    "Delete",
    "Filter",
    "HarmfulMetadata",
    "InvalidPosition",
    "MalformedLink",
    "NeverAnswered",
    "Proposal",
    "Record",
    "Right",
    "Store",
    "StreamDeleted",
    "StreamMetadata",
    "StreamPage",
    "Target",
    "Tombstone",
    "TooMuchWork",
    "Turns",
    "UnsupportedPattern",
    "Write",
    "Written",
    "WrongExpectation",
    "is_hidden_from_all",
    "is_metastream",
    "is_valid_stream",
    "metastream_of",
    "original_of",
    "parse_link",
    "prefix_filter",
    "regex_filter",
    "write_first_events",
]
