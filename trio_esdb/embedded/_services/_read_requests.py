"""Decodes Read requests and checks them, in the order in which a real node does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from trio_esdb_proto.event_store.client import StreamIdentifier
from trio_esdb_proto.event_store.client.streams import (
    ReadReq,
    ReadReqOptions,
    ReadReqOptionsAllOptions,
    ReadReqOptionsFilterOptions,
    ReadReqOptionsFilterOptionsExpression,
    ReadReqOptionsReadDirection,
    ReadReqOptionsStreamOptions,
)

from .._store import ALL_STREAMS, LAST_NUMBER, BadPattern, Filter, UnsupportedPattern, prefix_filter, regex_filter
from ._expectations import END, OutOfRange, revision_of
from ._failures import (
    handler_failed,
    invalid_combination,
    never_answered,
    not_valid,
    nothing_chosen,
    pattern_refused,
    uuid_option_missing,
)
from ._unary import parse

PAGE = 32
"""The number of events that a node reads in one step, and that the live buffer of a subscription holds."""

_MAX_WINDOW = 2**31 - 1
_TYPE = "ReadReq+Types+Options"
_FILTER_TYPE = f"{_TYPE}+Types+FilterOptions"

_DIRECTIONS = {
    ReadReqOptionsReadDirection.Forwards: "Forwards",
    ReadReqOptionsReadDirection.Backwards: "Backwards",
}

Position = tuple[int, int]
"""Commit and prepare position. -1 twice is the end, or "before all" for a subscription from the start."""


@dataclass(slots=True)
class Wanted:
    """A filter, and how far a read looks with it."""

    filter: Filter
    window: int
    """The number of records that are examined in one step."""
    interval: int
    """The number of records from one checkpoint to the next."""


@dataclass(slots=True)
class StreamSource:
    """One stream and the number to begin at. None is the start of a subscription, -1 the end."""

    name: str
    number: int | None


@dataclass(slots=True)
class AllSource:
    """All streams and the position to begin at. None is the start of a subscription, -1 twice the end."""

    position: Position | None
    wanted: Wanted | None


@dataclass(slots=True)
class ReadPlan:
    """A Read request that passed all checks."""

    source: StreamSource | AllSource
    subscribe: bool
    backwards: bool
    count: int
    resolve_links: bool
    text_ids: bool
    tells_positions: bool
    """Whether the client is told the first and last position of the stream."""

    @property
    def from_end(self) -> bool:
        """Whether the read begins at the end."""
        source = self.source
        return source.number == -1 if isinstance(source, StreamSource) else source.position == (-1, -1)


def read_plan(request: bytes, check: Callable[[str], None]) -> ReadPlan:
    """Decode a Read request.

    Args:
        request: The request.
        check: Raises Failure if the caller may not read the stream of this name; ALL_STREAMS stands for all.

    Raises:
        Failure: A real node refuses such a request, or never answers it.
    """
    options = parse(ReadReq, request).options
    if options is None:
        raise handler_failed()
    if options.uuid_option is None:
        raise uuid_option_missing()
    if options.stream is None and options.all is None:
        raise nothing_chosen(f"{_TYPE}+StreamOptionOneofCase")
    name = None if options.stream is None else stream_name(options.stream.stream_identifier)
    if name != "":
        check(ALL_STREAMS if name is None else name)
    _check_combination(options)
    subscribe = options.subscription is not None
    source: StreamSource | AllSource
    if options.stream is not None:
        if not name:
            raise handler_failed()
        source = StreamSource(name, _number(options.stream, subscribe))
    else:
        assert options.all is not None
        position = _position(options.all, subscribe)
        source = AllSource(position, None if options.filter is None else _wanted(options.filter, subscribe))
    return ReadPlan(
        source=source,
        subscribe=subscribe,
        backwards=options.read_direction == ReadReqOptionsReadDirection.Backwards,
        count=options.count or 0,
        resolve_links=options.resolve_links,
        text_ids=options.uuid_option.string is not None,
        tells_positions=options.control_option is not None and options.control_option.compatibility >= 1,
    )


def stream_name(identifier: StreamIdentifier | None) -> str:
    """The name in an identifier. A node fails if there is no identifier."""
    if identifier is None:
        raise handler_failed()
    return identifier.stream_name.decode("utf-8", "replace")


def _check_combination(options: ReadReqOptions) -> None:
    source = "Stream" if options.stream is not None else "All"
    count = "Count" if options.count is not None else "Subscription" if options.subscription is not None else "None"
    direction = _DIRECTIONS.get(options.read_direction, str(int(options.read_direction)))
    filtered = "Filter" if options.filter is not None else "NoFilter" if options.no_filter is not None else "None"
    valid = (
        direction in _DIRECTIONS.values()
        and count != "None"
        and filtered != "None"
        and (source == "All" or filtered == "NoFilter")
        and (count == "Count" or direction == "Forwards")
    )
    if not valid:
        raise invalid_combination(source, count, direction, filtered)


def _number(options: ReadReqOptionsStreamOptions, subscribe: bool) -> int | None:
    if options.end is not None:
        return -1
    if options.start is not None:
        return None if subscribe else 0
    if options.revision is None:
        raise handler_failed()
    try:
        return revision_of(options.revision)
    except OutOfRange:
        raise handler_failed() from None


def _position(options: ReadReqOptionsAllOptions, subscribe: bool) -> Position | None:
    if options.end is not None:
        return -1, -1
    if options.start is not None:
        return None if subscribe else (0, 0)
    if options.position is None:
        raise handler_failed()
    commit, prepare = options.position.commit_position, options.position.prepare_position
    if commit < prepare or any(LAST_NUMBER < part < END for part in (commit, prepare)):
        raise handler_failed()
    return (-1 if commit == END else commit), (-1 if prepare == END else prepare)


def _wanted(options: ReadReqOptionsFilterOptions, subscribe: bool) -> Wanted:
    if options.event_type is not None:
        chosen = _filter("type", options.event_type)
    elif options.stream_identifier is not None:
        chosen = _filter("stream", options.stream_identifier)
    else:
        raise not_valid(_as_json(options), _FILTER_TYPE)
    if options.max is None and options.count is None:
        raise nothing_chosen(f"{_FILTER_TYPE}+WindowOneofCase")
    multiplier = options.checkpoint_interval_multiplier
    if subscribe and not multiplier:
        raise handler_failed()
    window = PAGE if options.max is None else options.max
    interval = multiplier * window
    if window > _MAX_WINDOW or (subscribe and interval > _MAX_WINDOW):
        raise never_answered("the filter's window, or its checkpoint interval times the window, is 2^31 or more.")
    return Wanted(chosen, window, interval)


def _filter(target: Literal["stream", "type"], expression: ReadReqOptionsFilterOptionsExpression) -> Filter:
    if not expression.regex:
        return prefix_filter(target, expression.prefix)
    try:
        return regex_filter(target, expression.regex)
    except UnsupportedPattern as exc:
        raise pattern_refused(f"does not support this in a filter's regular expression: {exc}") from None
    except BadPattern:
        raise handler_failed() from None


def _as_json(options: ReadReqOptionsFilterOptions) -> str:
    """A filter without a target as Google's JSON, which omits fields without a value."""
    parts = []
    if options.max is not None:
        parts.append(f'"max": {options.max}')
    elif options.count is not None:
        parts.append('"count": { }')
    if options.checkpoint_interval_multiplier:
        parts.append(f'"checkpointIntervalMultiplier": {options.checkpoint_interval_multiplier}')
    return f"{{ {', '.join(parts)} }}" if parts else "{ }"
