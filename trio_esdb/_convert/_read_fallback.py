"""Read responses through betterproto2's messages: the long way, for whatever the hot way does not know."""

from __future__ import annotations

import uuid

from trio_esdb._errors import ProtocolError
from trio_esdb._model import CaughtUp, Checkpoint, FellBehind, RecordedEvent
from trio_esdb_proto.event_store.client import StreamIdentifier, Uuid
from trio_esdb_proto.event_store.client.streams import ReadResp, ReadRespReadEventRecordedEvent

from ._answers import Confirmation, LastStreamPosition, ReadResponse, StreamNotFound, Uninteresting

_UNKNOWN_POSITION = 2**64 - 1


def read_response(raw: bytes) -> ReadResponse:
    """What one message of a read or subscription says. ProtocolError if it cannot be understood."""
    try:
        message = ReadResp.parse(raw)
        if message.event is not None:
            return _event(message)
        if message.confirmation is not None:
            return Confirmation(message.confirmation.subscription_id)
        if message.checkpoint is not None:
            return Checkpoint(message.checkpoint.commit_position, message.checkpoint.prepare_position)
        if message.stream_not_found is not None:
            return StreamNotFound(_name(message.stream_not_found.stream_identifier))
        if message.last_stream_position is not None:
            return LastStreamPosition(message.last_stream_position)
    except Exception as exc:  # betterproto2 raises of everything, from KeyError to OverflowError, for bytes that lie
        raise ProtocolError(
            f"the server sent a read response that cannot be understood: {exc!r}", status="INTERNAL"
        ) from exc
    # One fork gives these two other fields than KurrentDB does, so only that they came may be looked at.
    if message.caught_up is not None:
        return CaughtUp()
    if message.fell_behind is not None:
        return FellBehind()
    return Uninteresting()


def _event(message: ReadResp) -> RecordedEvent:
    resolved = message.event
    assert resolved is not None
    link = None if resolved.link is None else _recorded(resolved.link)
    if resolved.event is not None:
        return _recorded(resolved.event, link)
    if link is None:
        raise ValueError("an event without an event")
    return link  # its target is gone


def _recorded(message: ReadRespReadEventRecordedEvent, link: RecordedEvent | None = None) -> RecordedEvent:
    event = RecordedEvent(
        type=message.metadata.get("type", ""),
        data=message.data,
        metadata=message.custom_metadata,
        content_type=message.metadata.get("content-type", ""),
        id=uuid_from(message.id),
        stream_name=_name(message.stream_identifier),
        stream_position=message.stream_revision,
        commit_position=_position(message.commit_position),
        prepare_position=_position(message.prepare_position),
        link=link,
    )
    object.__setattr__(event, "prepare_position", _position(message.prepare_position))
    object.__setattr__(event, "_ticks", int(message.metadata.get("created") or 0))
    return event


def uuid_from(message: Uuid | None) -> uuid.UUID:
    """A UUID in either of its two forms; nil where neither is given."""
    if message is None:
        return uuid.UUID(int=0)
    if message.structured is not None:
        mask = (1 << 64) - 1
        high, low = message.structured.most_significant_bits, message.structured.least_significant_bits
        return uuid.UUID(int=(high & mask) << 64 | low & mask)
    return uuid.UUID(message.string) if message.string else uuid.UUID(int=0)


def _name(message: StreamIdentifier | None) -> str:
    return "" if message is None else message.stream_name.decode()


def _position(value: int) -> int | None:
    return None if value == _UNKNOWN_POSITION else value
