"""Requests about persistent subscriptions, and the answers to them, by the generated classes: none of them is frequent.

The layouts are in ``protos/persistent.proto``. Field numbers of the four small requests differ from each other.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

from trio_esdb._errors import ProtocolError
from trio_esdb._model import ConsumerInfo, Filter, SubscriptionInfo, SubscriptionSettings
from trio_esdb._protobuf import Malformed
from trio_esdb._protobuf_messages import decode
from trio_esdb_proto.event_store.client import Empty, StreamIdentifier
from trio_esdb_proto.event_store.client import persistent_subscriptions as messages

from ._answers import FIELD_LIMIT

INFO_LIMIT = 16 * 1024 * 1024
"""Bytes of an answer that tells of groups. A group takes some hundreds of bytes, and so does a consumer of it."""
_NEVER = 2**31 - 1
"""What a server says for a ``checkpoint_after`` of 0."""
_POSITION = re.compile(r"(?:C:)?(-?[0-9]{1,19})(?:/P:-?[0-9]{1,19})?")
_STRATEGIES = {
    "DispatchToSingle": messages.UpdateReqConsumerStrategy.DispatchToSingle,
    "RoundRobin": messages.UpdateReqConsumerStrategy.RoundRobin,
    "Pinned": messages.UpdateReqConsumerStrategy.Pinned,
}
Options = TypeVar("Options", messages.DeleteReqOptions, messages.GetInfoReqOptions, messages.ReplayParkedReqOptions)
Start = tuple[int, int] | None
"""Where a group begins: the number of an event and 0, or a commit and prepare position. None is the start."""


def create_request(
    group_name: str,
    stream_name: str | None,
    start: Start,
    settings: SubscriptionSettings,
    *,
    from_end: bool,
    filter: Filter | None = None,
) -> bytes:
    """Encode the creation of a group; of all streams if there is no stream name."""
    options = messages.CreateReqOptions(
        group_name=group_name,
        settings=messages.CreateReqSettings(
            **_common(settings),
            consumer_strategy=settings.consumer_strategy,
        ),
    )
    if stream_name is None:
        chosen = messages.CreateReqAllOptions()
        if from_end:
            chosen.end = Empty()
        elif start is None:
            chosen.start = Empty()
        else:
            chosen.position = messages.CreateReqPosition(commit_position=start[0], prepare_position=start[1])
        if filter is None:
            chosen.no_filter = Empty()
        else:
            chosen.filter = _filter(filter)
        options.all = chosen
    else:
        stream = messages.CreateReqStreamOptions(stream_identifier=_identifier(stream_name))
        if from_end:
            stream.end = Empty()
        elif start is None:
            stream.start = Empty()
        else:
            stream.revision = start[0]
        options.stream = stream
    return bytes(messages.CreateReq(options=options))


def update_request(
    group_name: str, stream_name: str | None, start: Start, settings: SubscriptionSettings, *, from_end: bool
) -> bytes:
    """Encode new settings for a group. All of them are replaced; the filter cannot be."""
    options = messages.UpdateReqOptions(
        group_name=group_name,
        settings=messages.UpdateReqSettings(
            **_common(settings), named_consumer_strategy=_STRATEGIES[settings.consumer_strategy]
        ),
    )
    if stream_name is None:
        chosen = messages.UpdateReqAllOptions()
        if from_end:
            chosen.end = Empty()
        elif start is None:
            chosen.start = Empty()
        else:
            chosen.position = messages.UpdateReqPosition(commit_position=start[0], prepare_position=start[1])
        options.all = chosen
    else:
        stream = messages.UpdateReqStreamOptions(stream_identifier=_identifier(stream_name))
        if from_end:
            stream.end = Empty()
        elif start is None:
            stream.start = Empty()
        else:
            stream.revision = start[0]
        options.stream = stream
    return bytes(messages.UpdateReq(options=options))


def delete_group_request(group_name: str, stream_name: str | None) -> bytes:
    """Encode the deletion of a group."""
    return bytes(messages.DeleteReq(options=_of(messages.DeleteReqOptions(group_name=group_name), stream_name)))


def info_request(group_name: str, stream_name: str | None) -> bytes:
    """Encode the question for the state of a group."""
    return bytes(messages.GetInfoReq(options=_of(messages.GetInfoReqOptions(group_name=group_name), stream_name)))


def replay_request(group_name: str, stream_name: str | None, stop_at: int | None) -> bytes:
    """Encode the wish that parked events are delivered again, up to this number of the parked stream."""
    options = _of(messages.ReplayParkedReqOptions(group_name=group_name), stream_name)
    if stop_at is None:
        options.no_limit = Empty()
    else:
        options.stop_at = stop_at
    return bytes(messages.ReplayParkedReq(options=options))


def list_request(stream_name: str | None) -> bytes:
    """Encode the question for groups: all of them, or those of a stream. Servers take ``$all`` for the name of one."""
    options = messages.ListReqOptions()
    if stream_name is not None:
        options.list_for_stream = messages.ListReqStreamOption(stream=_identifier(stream_name))
    else:
        options.list_all_subscriptions = Empty()
    return bytes(messages.ListReq(options=options))


def info_response(raw: bytes) -> SubscriptionInfo:
    """Decode the state of a group. Raises ProtocolError."""
    try:
        info = decode(messages.GetInfoResp, raw, limit=FIELD_LIMIT).subscription_info
        if info is None:
            raise Malformed("no information")
        return _info(info)
    except Malformed as exc:
        raise ProtocolError(f"the server sent a malformed answer: {exc}", status="INTERNAL") from exc


def list_response(raw: bytes) -> tuple[SubscriptionInfo, ...]:
    """Decode the states of groups. Raises ProtocolError."""
    try:
        found = decode(messages.ListResp, raw, limit=len(raw)).subscriptions
        return tuple(_info(info) for info in found)
    except Malformed as exc:
        raise ProtocolError(f"the server sent a malformed answer: {exc}", status="INTERNAL") from exc


def empty_response(raw: bytes) -> None:
    """Decode an answer that says nothing. Raises ProtocolError."""
    try:
        decode(Empty, raw, limit=FIELD_LIMIT)
    except Malformed as exc:
        raise ProtocolError(f"the server sent a malformed answer: {exc}", status="INTERNAL") from exc


def _common(settings: SubscriptionSettings) -> dict[str, Any]:
    return {
        "resolve_links": settings.resolve_links,
        "extra_statistics": settings.extra_statistics,
        "max_retry_count": settings.max_retry_count,
        "min_checkpoint_count": settings.min_checkpoint_count,
        "max_checkpoint_count": settings.max_checkpoint_count,
        "max_subscriber_count": settings.max_subscriber_count,
        "live_buffer_size": settings.live_buffer_size,
        "read_batch_size": settings.read_batch_size,
        "history_buffer_size": settings.history_buffer_size,
        "message_timeout_ms": round(settings.message_timeout * 1000),
        "checkpoint_after_ms": round(settings.checkpoint_after * 1000),
    }


def _identifier(stream_name: str) -> StreamIdentifier:
    return StreamIdentifier(stream_name=stream_name.encode())


def _of(options: Options, stream_name: str | None) -> Options:
    if stream_name is None:
        options.all = Empty()
    else:
        options.stream_identifier = _identifier(stream_name)
    return options


def _filter(filter: Filter) -> messages.CreateReqAllOptionsFilterOptions:
    expression = messages.CreateReqAllOptionsFilterOptionsExpression(regex=filter.regex, prefix=list(filter.prefixes))
    options = messages.CreateReqAllOptionsFilterOptions(count=Empty(), checkpoint_interval_multiplier=1)
    if filter.by_stream_name:
        options.stream_identifier = expression
    else:
        options.event_type = expression
    return options


def _info(info: messages.SubscriptionInfo) -> SubscriptionInfo:
    start = _position(info.start_from)
    return SubscriptionInfo(
        group_name=info.group_name,
        stream_name=None if info.event_source == "$all" else info.event_source,
        status=info.status,
        settings=SubscriptionSettings(
            resolve_links=info.resolve_link_tos,
            message_timeout=info.message_timeout_milliseconds / 1000,
            max_retry_count=info.max_retry_count,
            checkpoint_after=_seconds(info.check_point_after_milliseconds),
            min_checkpoint_count=info.min_check_point_count,
            max_checkpoint_count=info.max_check_point_count,
            max_subscriber_count=info.max_subscriber_count,
            live_buffer_size=info.live_buffer_size,
            history_buffer_size=info.buffer_size,
            read_batch_size=info.read_batch_size,
            consumer_strategy=info.named_consumer_strategy,  # type: ignore[arg-type]  # a server may have others
            extra_statistics=info.extra_statistics,
        ),
        from_end=start is not None and start < 0,
        start_position=None if start is None or start < 0 else start,
        last_checkpoint=_position(info.last_checkpointed_event_position),
        last_known_position=_position(info.last_known_event_position),
        consumers=tuple(_consumer(consumer) for consumer in info.connections),
        average_per_second=info.average_per_second,
        total_items=info.total_items,
        count_since_last_measurement=info.count_since_last_measurement,
        read_buffer_count=info.read_buffer_count,
        live_buffer_count=info.live_buffer_count,
        retry_buffer_count=info.retry_buffer_count,
        total_in_flight_messages=info.total_in_flight_messages,
        outstanding_messages_count=info.outstanding_messages_count,
        parked_message_count=info.parked_message_count,
    )


def _consumer(info: messages.SubscriptionInfoConnectionInfo) -> ConsumerInfo:
    return ConsumerInfo(
        connection_name=info.connection_name,
        username=info.username,
        average_items_per_second=info.average_items_per_second,
        total_items=info.total_items,
        count_since_last_measurement=info.count_since_last_measurement,
        available_slots=info.available_slots,
        in_flight_messages=info.in_flight_messages,
        measurements={measured.key: measured.value for measured in info.observed_measurements},
    )


def _seconds(milliseconds: int) -> float:
    return 0.0 if milliseconds == _NEVER else milliseconds / 1000


def _position(text: str) -> int | None:
    """A position as servers write it: ``5``, or ``C:123/P:123``; empty for none."""
    if not text:
        return None
    found = _POSITION.fullmatch(text)
    if found is None:
        raise Malformed(f"{text[:50]!r} is not a position")
    return int(found[1])
