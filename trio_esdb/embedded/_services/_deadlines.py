"""The deadline of a batch: a duration, or a point in time by the node's clock."""

from __future__ import annotations

import math

from .._store import TICKS
from ._expectations import WriteOptions

_MOST_SECONDS = 315_576_000_000
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_NANOS = 1_000_000_000


class BadTime(ValueError):
    """A duration or a timestamp outside the ranges of protobuf. The message is .NET's."""


def requested_seconds(options: WriteOptions, now: int) -> float:
    """The time from now until the deadline.

    Args:
        options: The options of the batch.
        now: Ticks since the Unix epoch, by the node's clock.

    Returns:
        Seconds, not positive for a deadline that has passed; infinite without a deadline.

    Raises:
        BadTime: The duration or the timestamp is not a valid one.
    """
    if options.duration is not None:
        seconds, nanos = options.duration
        lawful = abs(seconds) <= _MOST_SECONDS and abs(nanos) < _NANOS and seconds * nanos >= 0
        if not lawful:
            raise BadTime("Duration was not a valid normalized duration")
        return seconds + nanos / _NANOS
    if options.timestamp is not None:
        seconds, nanos = options.timestamp
        if not (_FIRST_SECOND <= seconds <= _LAST_SECOND and 0 <= nanos < _NANOS):
            raise BadTime(f"Timestamp contains invalid values: Seconds={seconds}; Nanos={nanos}")
        return seconds + nanos / _NANOS - now / TICKS
    return math.inf
