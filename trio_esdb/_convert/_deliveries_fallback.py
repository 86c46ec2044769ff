"""Decodes what a consumer gets with the generated classes: all messages that the hot path does not know."""

from __future__ import annotations

from typing import Any

from trio_esdb._errors import ProtocolError
from trio_esdb._model import GroupEvent, RecordedEvent
from trio_esdb._model._events import EventDraft, GroupEventDraft
from trio_esdb._protobuf import Malformed
from trio_esdb._protobuf_messages import decode
from trio_esdb_proto.event_store.client.persistent_subscriptions import ReadResp

from ._answers import FIELD_LIMIT, Confirmation
from ._read_fallback import recorded


def read_delivery(raw: bytes, call: object) -> GroupEvent | Confirmation | None:
    """Decode one message of a consumer. Raises ProtocolError if it makes no sense."""
    try:
        message = decode(ReadResp, raw, limit=FIELD_LIMIT)
        if message.subscription_confirmation is not None:
            return Confirmation(message.subscription_confirmation.subscription_id)
        if message.event is None:
            return None
        link = None if message.event.link is None else recorded(message.event.link)
        if message.event.event is not None:
            event = recorded(message.event.event, link)
        elif link is not None:
            event = link
        else:
            raise Malformed("an event without a record")
    except Malformed as exc:
        raise ProtocolError(f"the server sent a malformed event: {exc}", status="INTERNAL") from exc
    return _of_group(event, message.event.retry_count or 0, call)


def _of_group(event: RecordedEvent, retry_count: int, call: object) -> GroupEvent:
    draft: Any = GroupEventDraft()
    for name in EventDraft.__slots__:
        setattr(draft, name, getattr(event, name))
    draft.retry_count = retry_count
    draft._ack_id = str(event.original.id).encode()
    draft._call = call
    draft.__class__ = GroupEvent
    made: GroupEvent = draft
    return made
