"""Read responses through betterproto2's messages: the long way, for whatever the hot way does not know."""

from __future__ import annotations

import re
import uuid

from trio_esdb._errors import ProtocolError
from trio_esdb._model import CaughtUp, Checkpoint, FellBehind, RecordedEvent
from trio_esdb_proto.event_store.client import StreamIdentifier, Uuid
from trio_esdb_proto.event_store.client.streams import (
    ReadResp,
    ReadRespReadEvent,
    ReadRespReadEventRecordedEvent,
)

from ._answers import Confirmation, LastStreamPosition, ReadResponse, StreamNotFound
from ._messages import decode
from ._varint import UNKNOWN_POSITION

_HEX_DIGITS = re.compile("[0-9a-fA-F]{32}")
_DECIMAL = re.compile("-?[0-9]{1,19}")
_FIRST_TICK, _LAST_TICK = -621355968000000000, 2534023007999999999
"""The years 1 to 9999, which a server's clock and ours can tell."""


def read_response(raw: bytes) -> ReadResponse:
    """What one message of a read or subscription says. ProtocolError if it cannot be understood."""
    try:
        message = decode(ReadResp, raw)
        if message.event is not None:
            return _event(message.event)
        if message.stream_not_found is not None:
            return StreamNotFound(_name(message.stream_not_found.stream_identifier))
    except ValueError as exc:
        raise ProtocolError(
            f"the server sent a read response that cannot be understood: {exc}", status="INTERNAL"
        ) from exc
    if message.confirmation is not None:
        return Confirmation(message.confirmation.subscription_id)
    if message.checkpoint is not None:
        return Checkpoint(message.checkpoint.commit_position, message.checkpoint.prepare_position)
    if message.last_stream_position is not None:
        return LastStreamPosition(message.last_stream_position)
    # One fork gives these two other fields than KurrentDB does, so only that they came may be looked at.
    if message.caught_up is not None:
        return CaughtUp()
    if message.fell_behind is not None:
        return FellBehind()
    return None


def _event(resolved: ReadRespReadEvent) -> RecordedEvent:
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
        link=link,
    )
    object.__setattr__(event, "prepare_position", _position(message.prepare_position))
    object.__setattr__(event, "_ticks", _ticks(message.metadata.get("created")))
    return event


def uuid_from(message: Uuid | None) -> uuid.UUID:
    """A UUID in either of its two forms; nil where neither is given."""
    if message is None:
        return uuid.UUID(int=0)
    if message.structured is not None:
        mask = (1 << 64) - 1
        high, low = message.structured.most_significant_bits, message.structured.least_significant_bits
        return uuid.UUID(int=(high & mask) << 64 | low & mask)
    if not message.string:
        return uuid.UUID(int=0)
    digits = message.string.replace("-", "")
    if not _HEX_DIGITS.fullmatch(digits):
        raise ValueError(f"{message.string!r} is not a UUID")
    return uuid.UUID(int=int(digits, 16))


def _name(message: StreamIdentifier | None) -> str:
    return "" if message is None else message.stream_name.decode()


def _position(value: int) -> int | None:
    return None if value == UNKNOWN_POSITION else value


def _ticks(created: str | None) -> int:
    """When an event was written; the epoch where the server does not tell."""
    if not created:
        return 0
    if not _DECIMAL.fullmatch(created) or not _FIRST_TICK <= int(created) <= _LAST_TICK:
        raise ValueError(f"{created!r} is not a time")
    return int(created)
