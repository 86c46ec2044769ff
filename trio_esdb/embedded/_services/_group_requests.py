"""Decodes the requests about groups and checks them, in the order in which a real node does.

The settings of a group have no defaults on a node: what a request does not say is 0, false or empty.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from trio_esdb_proto.event_store.client import StreamIdentifier
from trio_esdb_proto.event_store.client.persistent_subscriptions import (
    CreateReq,
    CreateReqAllOptionsFilterOptions,
    CreateReqSettings,
    UpdateReq,
    UpdateReqSettings,
)

from .._groups import STRATEGIES, GroupSettings
from .._store import ALL_STREAMS, LAST_NUMBER, BadPattern, Filter, UnsupportedPattern, prefix_filter, regex_filter
from ._expectations import END, OutOfRange, revision_of
from ._failures import handler_failed, never_answered, no_group_option, pattern_refused, wrong_envelope
from ._unary import parse

TICKS_OF_A_MILLISECOND = 10_000


class FilterText(NamedTuple):
    """A filter as the request says it, which is kept with the group."""

    looks_at_type: bool
    regex: str
    prefixes: tuple[str, ...]

    def compiled(self) -> Filter:
        """The filter to be used. Raises BadPattern."""
        target = "type" if self.looks_at_type else "stream"
        return regex_filter(target, self.regex) if self.regex else prefix_filter(target, self.prefixes)  # type: ignore[arg-type]


class GroupRequest(NamedTuple):
    """What a group is to be. It is all that a node keeps of a group besides its checkpoint."""

    stream: str
    """The name of the stream; ALL_STREAMS for all streams."""
    group: str
    settings: GroupSettings
    start: tuple[int, int]
    """The number of the first event, twice, or the commit and prepare position. -1 twice is the end."""
    filter: FilterText | None = None

    @property
    def key(self) -> str:
        """By which a node knows the group, and the id of its subscriptions."""
        return f"{self.stream}::{self.group}"


def read_create(request: bytes) -> GroupRequest:
    """Decode a Create request. Raises Failure."""
    options = parse(CreateReq, request).options
    if options is None or options.settings is None:
        raise handler_failed()
    settings = _settings(options.settings, options.settings.consumer_strategy)
    if options.all is not None:
        start = _position(options.all, "Create")
        return GroupRequest(ALL_STREAMS, options.group_name, settings, start, _filter(options.all.filter))
    stream, start = _stream(options, "Create")
    return GroupRequest(stream, options.group_name, settings, start)


def read_update(request: bytes) -> GroupRequest:
    """Decode an Update request. Raises Failure."""
    options = parse(UpdateReq, request).options
    if options is None or options.settings is None:
        raise handler_failed()
    settings = _settings(options.settings, "")
    if options.all is not None:
        return GroupRequest(ALL_STREAMS, options.group_name, settings, _position(options.all, "Update"))
    stream, start = _stream(options, "Update")
    return GroupRequest(stream, options.group_name, settings, start)


def source_name(identifier: StreamIdentifier | None, all: object) -> str:
    """The stream that a request names, or ALL_STREAMS. Raises Failure if it names none."""
    if all is not None:
        return ALL_STREAMS
    if identifier is None:
        raise handler_failed()
    name = identifier.stream_name.decode("utf-8", "replace")
    if not name:
        raise never_answered("the name of the stream is empty.")
    return name


def _settings(settings: CreateReqSettings | UpdateReqSettings, strategy: str) -> GroupSettings:
    by_number = int(settings.named_consumer_strategy)
    known = ("DispatchToSingle", "RoundRobin", "Pinned")
    return GroupSettings(
        resolve_links=settings.resolve_links,
        extra_statistics=settings.extra_statistics,
        message_timeout=_milliseconds(settings.message_timeout_ms, settings.message_timeout_ticks),
        max_retry_count=settings.max_retry_count,
        checkpoint_after=_milliseconds(settings.checkpoint_after_ms, settings.checkpoint_after_ticks),
        min_checkpoint_count=settings.min_checkpoint_count,
        max_checkpoint_count=settings.max_checkpoint_count,
        max_subscriber_count=settings.max_subscriber_count,
        live_buffer_size=settings.live_buffer_size,
        read_batch_size=settings.read_batch_size,
        history_buffer_size=settings.history_buffer_size,
        strategy=strategy or (known[by_number] if 0 <= by_number < len(known) else str(by_number)),
    )


def _milliseconds(milliseconds: int | None, ticks: int | None) -> int:
    if milliseconds is not None:
        return milliseconds
    return 0 if ticks is None else ticks // TICKS_OF_A_MILLISECOND


def _stream(options: Any, call: str) -> tuple[str, tuple[int, int]]:
    chosen = options.stream
    if chosen is not None:
        name = source_name(chosen.stream_identifier, None)
        if chosen.end is not None:
            number = -1
        elif chosen.start is not None:
            number = 0
        elif chosen.revision is None:
            raise no_group_option(f"{call}Req+Types+StreamOptions+RevisionOptionOneofCase")
        else:
            number = _revision(chosen.revision)
    elif options.stream_identifier is not None:  # the form of clients from before 21.6
        name, number = source_name(options.stream_identifier, None), _revision(options.settings.revision)
    else:
        raise handler_failed()
    if name == ALL_STREAMS:
        raise wrong_envelope(call)
    return name, (number, number)


def _revision(number: int) -> int:
    try:
        return -1 if number == END else revision_of(number)
    except OutOfRange:
        raise handler_failed() from None


def _position(options: Any, call: str) -> tuple[int, int]:
    if options.end is not None:
        return -1, -1
    if options.start is not None:
        return 0, 0
    if options.position is None:
        if call == "Update":
            raise handler_failed()
        raise no_group_option(f"{call}Req+Types+AllOptions+AllOptionOneofCase")
    commit, prepare = options.position.commit_position, options.position.prepare_position
    if commit < prepare or any(LAST_NUMBER < part < END for part in (commit, prepare)):
        raise handler_failed()
    return (-1 if commit == END else commit), (-1 if prepare == END else prepare)


def _filter(options: CreateReqAllOptionsFilterOptions | None) -> FilterText | None:
    if options is None:
        return None
    expression = options.stream_identifier if options.event_type is None else options.event_type
    if expression is None:
        raise no_group_option("CreateReq+Types+AllOptions+Types+FilterOptions+FilterOneofCase")
    text = FilterText(options.event_type is not None, expression.regex, tuple(expression.prefix))
    try:
        text.compiled()
    except UnsupportedPattern as exc:
        raise pattern_refused(f"does not support this in a filter's regular expression: {exc}") from None
    except BadPattern:
        raise handler_failed() from None
    return text


def strategy_exists(name: str) -> bool:
    """Whether a node knows this consumer strategy."""
    return name in STRATEGIES
