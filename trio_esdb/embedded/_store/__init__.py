"""The embedded node's store: a log, the streams in it, and the rules of reading and writing them.

Pure: no I/O, no clock, no chance. The same calls give the same positions.
"""

from __future__ import annotations

from ._filters import BadPattern, Filter, prefix_filter, regex_filter
from ._store import Store
from ._values import (
    ANY,
    LAST_NUMBER,
    NO_STREAM,
    STREAM_EXISTS,
    TICKS,
    AllPage,
    BeyondEnd,
    InvalidPosition,
    MalformedLink,
    NeverAnswered,
    Proposal,
    Record,
    StreamDeleted,
    StreamPage,
    WrongExpectation,
    Written,
)

__all__ = [
    "ANY",
    "LAST_NUMBER",
    "NO_STREAM",
    "STREAM_EXISTS",
    "TICKS",
    "AllPage",
    "BadPattern",
    "BeyondEnd",
    "Filter",
    "InvalidPosition",
    "MalformedLink",
    "NeverAnswered",
    "Proposal",
    "Record",
    "Store",
    "StreamDeleted",
    "StreamPage",
    "WrongExpectation",
    "Written",
    "prefix_filter",
    "regex_filter",
]
