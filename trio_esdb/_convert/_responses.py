"""Responses to writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_esdb._errors import ProtocolError
from trio_esdb._model import AppendResult

from ._answers import WrongRevision
from ._varint import UNKNOWN_POSITION, read_varint

if TYPE_CHECKING:
    from trio_esdb_proto.event_store.client.streams import AppendRespPosition, DeleteRespPosition


def append_response(raw: bytes) -> AppendResult | WrongRevision:
    """What an append did, or why it did nothing. ProtocolError if the answer cannot be understood."""
    try:
        found = _usual_success(raw)
    except (IndexError, OverflowError):
        found = None
    return _append_response_the_long_way(raw) if found is None else found


def _usual_success(raw: bytes) -> AppendResult | None:
    """A success as servers write it: revision, then twice the same position; None if it looks otherwise."""
    if raw[0] != 0x0A or raw[1] != len(raw) - 2 or raw[2] != 0x08:
        return None
    revision, at = read_varint(raw, 3)
    if raw[at + 1] != 0x1A or raw[at + 2] != len(raw) - at - 3 or raw[at + 3] != 0x08:
        return None
    begin = at + 4
    commit, at = read_varint(raw, begin)
    at += 1
    if raw[at] != 0x10 or raw[at + 1 :] != raw[begin:at] or commit == UNKNOWN_POSITION:
        return None
    return AppendResult(commit, revision)


def _append_response_the_long_way(raw: bytes) -> AppendResult | WrongRevision:
    from trio_esdb_proto.event_store.client.streams import AppendResp

    from ._messages import decode

    try:
        message = decode(AppendResp, raw)
    except ValueError as exc:
        raise _cannot_understand("an append", exc) from exc
    if message.success is not None:
        return AppendResult(_commit_position(message.success.position), message.success.current_revision)
    if message.wrong_expected_version is not None:
        wrong = message.wrong_expected_version
        if wrong.current_revision is not None:
            return WrongRevision(wrong.current_revision)
        # Servers before 20.6.1 fill only the older pair of fields.
        return WrongRevision(None if wrong.current_no_stream is not None else wrong.current_revision_20_6_0)
    raise _cannot_understand("an append", "neither success nor failure")


def delete_response(raw: bytes) -> int | None:
    """The commit position of a deletion, None where the server does not tell. ProtocolError as above."""
    from trio_esdb_proto.event_store.client.streams import DeleteResp

    from ._messages import decode

    try:
        return _commit_position(decode(DeleteResp, raw).position)
    except ValueError as exc:
        raise _cannot_understand("a deletion", exc) from exc


def _commit_position(position: AppendRespPosition | DeleteRespPosition | None) -> int | None:
    return None if position is None or position.commit_position == UNKNOWN_POSITION else position.commit_position


def _cannot_understand(what: str, why: object) -> ProtocolError:
    return ProtocolError(f"the server's answer to {what} cannot be understood: {why!r}", status="INTERNAL")
