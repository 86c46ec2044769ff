"""Responses to writes."""

from __future__ import annotations

from trio_esdb._errors import ProtocolError
from trio_esdb._model import AppendResult

from ._answers import WrongRevision


def append_response(raw: bytes) -> AppendResult | WrongRevision:
    """What an append did, or why it did nothing. ProtocolError if the answer cannot be understood."""
    try:
        found = _usual_success(raw)
    except IndexError:
        found = None
    return _append_response_the_long_way(raw) if found is None else found


def _usual_success(raw: bytes) -> AppendResult | None:
    """A success as servers write it: revision, then commit and prepare position; None if it looks otherwise."""
    if raw[0] != 0x0A or raw[1] != len(raw) - 2 or raw[2] != 0x08:
        return None
    revision, at = _varint(raw, 3)
    if raw[at] != 0x1A or raw[at + 1] != len(raw) - at - 2 or raw[at + 2] != 0x08:
        return None
    commit, at = _varint(raw, at + 3)
    if raw[at] != 0x10:
        return None
    _, at = _varint(raw, at + 1)
    return AppendResult(commit, revision) if at == len(raw) else None


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 2**64 - 1, at
        shift += 7


def _append_response_the_long_way(raw: bytes) -> AppendResult | WrongRevision:
    from trio_esdb_proto.event_store.client.streams import AppendResp

    try:
        message = AppendResp.parse(raw)
        if message.success is not None:
            success = message.success
            position = None if success.position is None else success.position.commit_position
            return AppendResult(position, success.current_revision)
        if message.wrong_expected_version is not None:
            wrong = message.wrong_expected_version
            if wrong.current_revision is not None:
                return WrongRevision(wrong.current_revision)
            # Servers before 20.6.1 fill only the older pair of fields.
            return WrongRevision(None if wrong.current_no_stream is not None else wrong.current_revision_20_6_0)
    except Exception as exc:
        raise _cannot_understand("an append", exc) from exc
    raise _cannot_understand("an append", "neither success nor failure")


def delete_response(raw: bytes) -> int | None:
    """The commit position of a deletion, None where the server does not tell. ProtocolError as above."""
    from trio_esdb_proto.event_store.client.streams import DeleteResp

    try:
        position = DeleteResp.parse(raw).position
        return None if position is None else position.commit_position
    except Exception as exc:
        raise _cannot_understand("a deletion", exc) from exc


def _cannot_understand(what: str, why: object) -> ProtocolError:
    return ProtocolError(f"the server's answer to {what} cannot be understood: {why!r}", status="INTERNAL")
