"""Pages of one stream, forwards and backwards, and single events."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter

from ._streams import EventStream, Streams
from ._values import LAST_NUMBER, Record, StreamDeleted, StreamPage

_created = attrgetter("created")


def read_stream(streams: Streams, name: str, start: int, count: int, now: int) -> StreamPage:
    """See `Store.read_stream`."""
    stream = _find(streams, name)
    if stream is None or stream.last < 0 or stream.metadata.is_deleted:
        return _no_stream(stream)
    last, lowest = stream.last, stream.first_visible()
    end = min(start + count - 1, LAST_NUMBER)
    if end < lowest:
        # A page below the first visible event is empty, and the next one begins at that event, even if it is still to
        # be written.
        return StreamPage("success", [], lowest, last, False)
    start = max(start, lowest)
    if start > last:
        return StreamPage("success", [], last + 1, last, True)
    is_end = end >= last
    end = min(end, last)
    max_age = stream.metadata.max_age
    if max_age is not None:
        youngest = bisect_left(stream.records, now - max_age, start, last + 1, key=_created)
        if youngest > end:
            return StreamPage("success", [], youngest, last, youngest > last)
        start = youngest
    return StreamPage("success", stream.records[start : end + 1], end + 1, last, is_end)


def read_stream_backwards(streams: Streams, name: str, start: int, count: int, now: int) -> StreamPage:
    """See `Store.read_stream_backwards`."""
    stream = _find(streams, name)
    if stream is None or stream.last < 0 or stream.metadata.is_deleted:
        return _no_stream(stream)
    last, lowest = stream.last, stream.first_visible()
    top = last if start < 0 else start
    if top < lowest:
        return StreamPage("success", [], -1, last, True)
    bottom = max(0, top - count + 1)
    is_end = bottom <= lowest
    bottom = max(bottom, lowest)
    records = stream.records[bottom : top + 1]
    max_age = stream.metadata.max_age
    if max_age is not None and records:
        youngest = bisect_left(records, now - max_age, key=_created)
        is_end = is_end or youngest > 0
        records = records[youngest:]
    records.reverse()
    return StreamPage("success", records, -1 if is_end else min(bottom - 1, last), last, is_end)


def read_event(streams: Streams, name: str, number: int, now: int) -> Record | None:
    """See `Store.read_event`."""
    stream = streams.get(name)
    if stream is None or stream.last < 0 or streams.is_gone(name) or stream.metadata.is_deleted:
        return None
    if number == -1:
        number = stream.last
    if not stream.first_visible() <= number <= stream.last:
        return None
    record = stream.records[number]
    max_age = stream.metadata.max_age
    return None if max_age is not None and record.created < now - max_age else record


def _find(streams: Streams, name: str) -> EventStream | None:
    if streams.is_gone(name):
        raise StreamDeleted(name)
    return streams.get(name)


def _no_stream(stream: EventStream | None) -> StreamPage:
    return StreamPage("no_stream", [], -1, -1 if stream is None else stream.last, True)
