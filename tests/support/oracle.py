"""What Google's protobuf reads in the same bytes, as the values that our decoders should give."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from tests.conformance.records import schema
from trio_esdb._convert import (
    Confirmation,
    LastStreamPosition,
    ReadResponse,
    StreamNotFound,
    WrongRevision,
)
from trio_esdb._model import AppendResult, CaughtUp, Checkpoint, FellBehind, RecordedEvent

U64MAX = 2**64 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def google(name: str) -> type[Message]:
    """Google's class of a message of ours, such as "streams.ReadResp"."""
    return schema().cls(f"event_store.client.{name}")


class Refused(Exception):
    """These bytes are not a message, or not one that makes sense."""


class Peculiar(Exception):
    """A map entry with an unknown field in it: this implementation drops the entry, where others drop the field."""


def parsed(name: str, raw: bytes) -> Any:
    """The message in bytes, as Google's protobuf reads it."""
    try:
        return google(name).FromString(raw)
    except DecodeError as exc:
        raise Refused from exc


def read_response(raw: bytes) -> ReadResponse:
    """The value that a read response stands for."""
    message = parsed("streams.ReadResp", raw)
    kind = message.WhichOneof("content")
    if kind == "event":
        return resolved_event(message.event)
    if kind == "confirmation":
        return Confirmation(message.confirmation.subscription_id)
    if kind == "checkpoint":
        return Checkpoint(message.checkpoint.commit_position, message.checkpoint.prepare_position)
    if kind == "stream_not_found":
        return StreamNotFound(text(message.stream_not_found.stream_identifier.stream_name))
    if kind == "last_stream_position":
        return LastStreamPosition(message.last_stream_position)
    return {"caught_up": CaughtUp(), "fell_behind": FellBehind()}.get(kind)


def resolved_event(message: Any) -> RecordedEvent:
    """An event with its link; a link without an event stands for itself."""
    if message.HasField("event"):
        return recorded_event(message.event, recorded_event(message.link) if message.HasField("link") else None)
    if message.HasField("link"):
        return recorded_event(message.link)
    raise Refused


def recorded_event(message: Any, link: RecordedEvent | None = None) -> RecordedEvent:
    """An event alone."""
    if any(field.field_number == 6 and field.wire_type == 2 for field in UnknownFieldSet(message)):
        raise Peculiar
    created = message.metadata.get("created", "") or "0"
    if not re.fullmatch("-?[0-9]{1,19}", created):
        raise Refused
    ticks = int(created)
    try:
        recorded_at = EPOCH + timedelta(microseconds=ticks // 10)
    except OverflowError:
        raise Refused from None
    commit, prepare = (None if n == U64MAX else n for n in (message.commit_position, message.prepare_position))
    event = RecordedEvent(
        message.metadata.get("type", ""),
        message.data,
        message.custom_metadata,
        message.metadata.get("content-type", ""),
        uuid_of(message.id),
        text(message.stream_identifier.stream_name),
        message.stream_revision,
        commit,
        prepare,
        recorded_at,
        link,
    )
    # What no application gives: a hundred nanoseconds, and only one of the positions.
    object.__setattr__(event, "_ticks", ticks)
    object.__setattr__(event, "prepare_position", prepare)
    return event


def uuid_of(message: Any) -> uuid.UUID:
    """A UUID in either form; nil if there is none."""
    if message.WhichOneof("value") == "structured":
        parts = message.structured.most_significant_bits, message.structured.least_significant_bits
        return uuid.UUID(bytes=b"".join(part.to_bytes(8, "big", signed=True) for part in parts))
    digits = message.string.replace("-", "")
    if message.string and not re.fullmatch("[0-9A-Fa-f]{32}", digits):
        raise Refused
    return uuid.UUID(digits) if message.string else uuid.UUID(int=0)


def text(name: bytes) -> str:
    """A stream's name."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise Refused from None


def append_response(raw: bytes) -> tuple[int | None, int | None] | WrongRevision:
    """What an append's answer stands for; of a success both positions, since its value counts as an int."""
    message = parsed("streams.AppendResp", raw)
    kind = message.WhichOneof("result")
    if kind == "success":
        success = message.success
        revision = success.current_revision if success.HasField("current_revision") else None
        return position_of(success), revision
    if kind == "wrong_expected_version":
        wrong = message.wrong_expected_version
        if wrong.HasField("current_revision"):
            return WrongRevision(wrong.current_revision)
        old = not wrong.HasField("current_no_stream") and wrong.HasField("current_revision_20_6_0")
        return WrongRevision(wrong.current_revision_20_6_0 if old else None)
    raise Refused


def delete_response(raw: bytes) -> int | None:
    """The position of a deletion."""
    return position_of(parsed("streams.DeleteResp", raw))


def position_of(message: Any) -> int | None:
    """The commit position, where it is told."""
    known = message.HasField("position") and message.position.commit_position != U64MAX
    return message.position.commit_position if known else None


def both_positions(result: AppendResult | WrongRevision) -> tuple[int | None, int | None] | WrongRevision:
    """An append's result in the form of ``append_response`` above."""
    return result if isinstance(result, WrongRevision) else (result.commit_position, result.stream_position)
