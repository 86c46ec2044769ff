"""Decodes read responses with the generated classes: all messages that the hot path (``_read``) does not know."""

from __future__ import annotations

import re
import uuid

from trio_esdb._errors import ProtocolError
from trio_esdb._model import CaughtUp, Checkpoint, FellBehind, RecordedEvent
from trio_esdb._protobuf import Malformed
from trio_esdb._protobuf_messages import decode
from trio_esdb_proto.event_store.client import StreamIdentifier, Uuid
from trio_esdb_proto.event_store.client.persistent_subscriptions import (
    ReadRespReadEventRecordedEvent as GroupRecord,
)
from trio_esdb_proto.event_store.client.streams import (
    ReadResp,
    ReadRespReadEvent,
    ReadRespReadEventRecordedEvent,
)

from ._answers import FIELD_LIMIT, UNKNOWN_POSITION, Confirmation, LastStreamPosition, ReadResponse, StreamNotFound

_HEX_DIGITS = re.compile("[0-9a-fA-F]{32}")
_DECIMAL = re.compile("-?[0-9]{1,19}")
_FIRST_TICK, _LAST_TICK = -621355968000000000, 2534023007999999999
"""The years 1 to 9999, which are those of .NET's and of Python's clocks."""
_QUOTED = 50
"""The number of characters of a text that are quoted in an error."""


def read_response(raw: bytes) -> ReadResponse:
    """Decode one message of a read or subscription.

    Raises:
        ProtocolError: The message cannot be decoded, or makes no sense.
    """
    try:
        message = decode(ReadResp, raw, limit=FIELD_LIMIT)
        if message.event is not None:
            return _event(message.event)
        if message.stream_not_found is not None:
            return StreamNotFound(_name(message.stream_not_found.stream_identifier))
    except Malformed as exc:
        raise ProtocolError(f"the server sent a malformed read response: {exc}", status="INTERNAL") from exc
    if message.confirmation is not None:
        return Confirmation(message.confirmation.subscription_id)
    if message.checkpoint is not None:
        return Checkpoint(message.checkpoint.commit_position, message.checkpoint.prepare_position)
    if message.last_stream_position is not None:
        return LastStreamPosition(message.last_stream_position)
    # KurrentDB and a fork of it have different fields in these two, so nothing but their presence is used.
    if message.caught_up is not None:
        return CaughtUp()
    if message.fell_behind is not None:
        return FellBehind()
    return None


def _event(resolved: ReadRespReadEvent) -> RecordedEvent:
    link = None if resolved.link is None else recorded(resolved.link)
    if resolved.event is not None:
        return recorded(resolved.event, link)
    if link is None:
        raise Malformed("an event without a record")
    return link  # its target was deleted


def recorded(message: ReadRespReadEventRecordedEvent | GroupRecord, link: RecordedEvent | None = None) -> RecordedEvent:
    """The event of a record, which a read and a group write in the same way. Raises Malformed."""
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
    """The UUID in a message, in either of its two forms. The nil UUID if the message holds none.

    Raises:
        Malformed: The text is not a UUID.
    """
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
        raise Malformed(f"{message.string[:_QUOTED]!r} is not a UUID")
    return uuid.UUID(int=int(digits, 16))


def _name(message: StreamIdentifier | None) -> str:
    if message is None:
        return ""
    try:
        return message.stream_name.decode()
    except UnicodeDecodeError:
        raise Malformed(f"the stream name {message.stream_name[:_QUOTED]!r} is not UTF-8") from None


def _position(value: int) -> int | None:
    return None if value == UNKNOWN_POSITION else value


def _ticks(created: str | None) -> int:
    """The time at which an event was recorded; the epoch if the server does not tell."""
    if not created:
        return 0
    if not _DECIMAL.fullmatch(created) or not _FIRST_TICK <= int(created) <= _LAST_TICK:
        raise Malformed(f"{created[:_QUOTED]!r} is not a time")
    return int(created)
