"""Requests other than appends, through betterproto2's messages, which are loaded when the first one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_esdb._model import Filter

from ._append import ANY, NO_STREAM

if TYPE_CHECKING:
    from trio_esdb_proto.event_store.client.streams import ReadReqOptions, ReadReqOptionsFilterOptions

NO_LIMIT = 2**64 - 1


def read_stream_request(
    stream_name: str,
    *,
    position: int | None,
    backwards: bool = False,
    resolve_links: bool = False,
    limit: int | None,
    from_end: bool = False,
    tell_last_position: bool = False,
) -> bytes:
    """A read of a stream, or with ``limit`` None a subscription to it."""
    from trio_esdb_proto.event_store import client as shared
    from trio_esdb_proto.event_store.client import streams as pb

    where = pb.ReadReqOptionsStreamOptions(stream_identifier=shared.StreamIdentifier(stream_name=stream_name.encode()))
    if position is not None:
        where.revision = position
    elif backwards or from_end:
        where.end = shared.Empty()
    else:
        where.start = shared.Empty()
    options = _options(backwards, resolve_links, limit)
    options.stream = where
    options.no_filter = shared.Empty()
    if tell_last_position:
        options.control_option = pb.ReadReqOptionsControlOption(compatibility=1)
    return bytes(pb.ReadReq(options=options))


def read_all_request(
    *,
    position: tuple[int, int] | None,
    backwards: bool = False,
    resolve_links: bool = False,
    limit: int | None,
    from_end: bool = False,
    filter: Filter | None = None,
) -> bytes:
    """A read of all streams, or with ``limit`` None a subscription to them; ``position`` is commit and prepare."""
    from trio_esdb_proto.event_store import client as shared
    from trio_esdb_proto.event_store.client import streams as pb

    where = pb.ReadReqOptionsAllOptions()
    if position is not None:
        where.position = pb.ReadReqOptionsPosition(commit_position=position[0], prepare_position=position[1])
    elif backwards or from_end:
        where.end = shared.Empty()
    else:
        where.start = shared.Empty()
    options = _options(backwards, resolve_links, limit)
    options.all = where
    if filter is None:
        options.no_filter = shared.Empty()
    else:
        options.filter = _filter(filter)
    return bytes(pb.ReadReq(options=options))


def _options(backwards: bool, resolve_links: bool, limit: int | None) -> ReadReqOptions:
    from trio_esdb_proto.event_store import client as shared
    from trio_esdb_proto.event_store.client import streams as pb

    options = pb.ReadReqOptions(
        read_direction=pb.ReadReqOptionsReadDirection.Backwards
        if backwards
        else pb.ReadReqOptionsReadDirection.Forwards,
        resolve_links=resolve_links,
        uuid_option=pb.ReadReqOptionsUuidOption(string=shared.Empty()),
    )
    if limit is None:
        options.subscription = pb.ReadReqOptionsSubscriptionOptions()
    else:
        options.count = limit
    return options


def _filter(filter: Filter) -> ReadReqOptionsFilterOptions:
    from trio_esdb_proto.event_store.client import streams as pb

    options = pb.ReadReqOptionsFilterOptions(max=filter.window, checkpoint_interval_multiplier=filter.interval)
    expression = pb.ReadReqOptionsFilterOptionsExpression(regex=filter.regex, prefix=list(filter.prefixes))
    if filter.by_stream_name:
        options.stream_identifier = expression
    else:
        options.event_type = expression
    return options


def delete_request(stream_name: str, expected: int) -> bytes:
    """A deletion; a tombstoning is the same bytes."""
    from trio_esdb_proto.event_store import client as shared
    from trio_esdb_proto.event_store.client import streams as pb

    options = pb.DeleteReqOptions(stream_identifier=shared.StreamIdentifier(stream_name=stream_name.encode()))
    if expected >= 0:
        options.revision = expected
    elif expected == ANY:
        options.any = shared.Empty()
    elif expected == NO_STREAM:
        options.no_stream = shared.Empty()
    else:
        options.stream_exists = shared.Empty()
    return bytes(pb.DeleteReq(options=options))
