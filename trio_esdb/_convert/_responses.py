"""Decodes the responses to writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from trio_esdb._errors import ProtocolError
from trio_esdb._model import AppendResult
from trio_esdb._protobuf import Malformed, read_varint

from ._answers import FIELD_LIMIT, UNKNOWN_POSITION, WrongRevision

if TYPE_CHECKING:
    import betterproto2

    from trio_esdb_proto.event_store.client.streams import AppendRespPosition, DeleteRespPosition

    M = TypeVar("M", bound=betterproto2.Message)

RESPONSE_LIMIT = 64 * 1024
"""The largest response to a write, in bytes. Servers send some 60 bytes: positions and numbers, no texts."""


def append_response(raw: bytes) -> AppendResult | WrongRevision:
    """Decode the response to an append.

    Raises:
        ProtocolError: The response cannot be decoded, or says neither that the append succeeded nor that it failed.
    """
    try:
        found = _usual_success(raw)
    except (IndexError, Malformed):
        found = None
    return _any_append_response(raw) if found is None else found


def _usual_success(raw: bytes) -> AppendResult | None:
    """Decode a success as servers write it: the revision, then twice the same position. None for any other form."""
    if raw[0] != 0x0A or raw[1] != len(raw) - 2 or raw[2] != 0x08:
        return None
    stop = len(raw)
    revision, at = read_varint(raw, 3, stop)
    if raw[at] != 0x1A or raw[at + 1] != stop - at - 2 or raw[at + 2] != 0x08:
        return None
    begin = at + 3
    commit, at = read_varint(raw, begin, stop)
    if raw[at] != 0x10 or raw[at + 1 :] != raw[begin:at] or commit == UNKNOWN_POSITION:
        return None
    return AppendResult(commit, revision)


def _any_append_response(raw: bytes) -> AppendResult | WrongRevision:
    from trio_esdb_proto.event_store.client.streams import AppendResp

    message = _decode(AppendResp, raw, "an append")
    if message.success is not None:
        return AppendResult(_commit_position(message.success.position), message.success.current_revision)
    if message.wrong_expected_version is not None:
        wrong = message.wrong_expected_version
        if wrong.current_revision is not None:
            return WrongRevision(wrong.current_revision)
        # Servers before 20.6.1 fill only the older pair of fields.
        return WrongRevision(None if wrong.current_no_stream is not None else wrong.current_revision_20_6_0)
    raise _malformed("an append", "it tells neither success nor failure")


def delete_response(raw: bytes) -> int | None:
    """Decode the response to a deletion or tombstoning.

    Returns:
        The commit position of the deletion, None if the server does not tell.

    Raises:
        ProtocolError: The response cannot be decoded.
    """
    from trio_esdb_proto.event_store.client.streams import DeleteResp

    return _commit_position(_decode(DeleteResp, raw, "a deletion").position)


def _decode(kind: type[M], raw: bytes, what: str) -> M:
    from trio_esdb._protobuf_messages import decode  # the generated classes are loaded when they are needed

    if len(raw) > RESPONSE_LIMIT:
        raise _malformed(what, f"it has {len(raw)} bytes, {RESPONSE_LIMIT} is the limit")
    try:
        return decode(kind, raw, limit=FIELD_LIMIT)
    except Malformed as exc:
        raise _malformed(what, exc) from exc


def _commit_position(position: AppendRespPosition | DeleteRespPosition | None) -> int | None:
    return None if position is None or position.commit_position == UNKNOWN_POSITION else position.commit_position


def _malformed(what: str, why: object) -> ProtocolError:
    return ProtocolError(f"the server's response to {what} is malformed: {why}", status="INTERNAL")
