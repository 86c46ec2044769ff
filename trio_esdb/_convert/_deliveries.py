"""Decodes what a consumer of a group gets, and encodes what it says.

An event is decoded by the steps of ``ReadDecoder``; only what follows the record is different: a position, and how
often the event was delivered before. The layouts are those of ``ReadReq`` and ``ReadResp`` in
``protos/persistent.proto``.
"""

from __future__ import annotations

from collections.abc import Sequence

from trio_esdb._errors import ProtocolError
from trio_esdb._model import GroupEvent, NackAction
from trio_esdb._model._events import GroupEventDraft
from trio_esdb._protobuf import field, read_varint, varint

from ._answers import Confirmation
from ._read import LENGTHS_SIZE, ReadDecoder, Unusual

MOST_IDS = 500
"""Ids in a message. A server takes 4 MiB, which are 100 000 ids; smaller messages hold up nothing."""
_ID = b"\x12\x26\x12\x24"
"""What stands before an id as text: the field of the id, and inside it the field of its text."""
_ACTIONS: dict[NackAction, int] = {"park": 1, "retry": 2, "skip": 3, "stop": 4}


def group_read_request(group_name: str, stream_name: str | None, buffer_size: int) -> bytes:
    """Encode the first request of a consumer.

    Args:
        group_name: The name of the group.
        stream_name: The stream that it reads; None for all streams.
        buffer_size: How many events the consumer may have that are not acked.
    """
    source = b"\x2a\x00" if stream_name is None else field(0x0A, field(0x1A, stream_name.encode()))
    name = field(0x12, group_name.encode())
    return field(0x0A, b"".join((source, name, b"\x18", varint(buffer_size), b"\x22\x02\x12\x00")))


def ack_requests(ids: Sequence[bytes]) -> list[bytes]:
    """Encode acks of these ids."""
    return [field(0x12, _ids(ids[at : at + MOST_IDS])) for at in range(0, len(ids), MOST_IDS)]


def nack_requests(ids: Sequence[bytes], action: NackAction, reason: str) -> list[bytes]:
    """Encode refusals of these ids."""
    rest = b"\x18" + varint(_ACTIONS[action]) + (field(0x22, reason.encode()) if reason else b"")
    return [field(0x1A, _ids(ids[at : at + MOST_IDS]) + rest) for at in range(0, len(ids), MOST_IDS)]


def _ids(ids: Sequence[bytes]) -> bytes:
    return _ID + _ID.join(ids)


def read_deliveries(
    decoder: ReadDecoder, messages: Sequence[bytes], call: object
) -> list[GroupEvent | Confirmation | ProtocolError | None]:
    """Decode the messages that a consumer got.

    Args:
        decoder: What is known of the server's events.
        messages: The encoded messages, in the order in which they came.
        call: What delivered them.

    Returns:
        One value for each message, None for one that means nothing here. If one cannot be decoded, the list ends with a
        ProtocolError in its place.
    """
    found: list[GroupEvent | Confirmation | ProtocolError | None] = []
    put, known, record = found.append, decoder.lengths.get, decoder.record
    for raw in messages:
        try:
            at, stop, end = known(raw[:LENGTHS_SIZE]) or decoder.new_lengths(raw)
            if end != len(raw):
                raise Unusual
            event = GroupEventDraft()
            position = record(event, raw, at, stop)
            event._ack_id = raw[at + 4 : at + 40]
            event._call = call
            rest = stop + 1 + len(position)
            if raw[stop] != 0x18 or not position or raw[stop + 1 : rest] != position or raw[rest] != 0x28:
                rest = _link_and_position(decoder, event, raw, stop)
            count = raw[rest + 1]
            if count > 127 or rest + 2 != end:
                count, at = read_varint(raw, rest + 1, end)
                if at != end:
                    raise Unusual
            event.retry_count = count
            event.__class__ = GroupEvent
            put(event)  # type: ignore[arg-type]  # mypy does not see the change of class
            continue
        except (Unusual, IndexError, ValueError):
            pass
        response = _decode_any(raw, call)
        put(response)
        if isinstance(response, ProtocolError):
            break
    return found


def _link_and_position(decoder: ReadDecoder, event: GroupEventDraft, raw: bytes, at: int) -> int:
    """Fill in the link, if there is one; it is what is to be acked. Returns where the retry count is."""
    if raw[at] == 0x12:
        link, at, identity = decoder.link(raw, at)
        event.link = link
        event._ack_id = identity
    if raw[at] == 0x18:
        _, at = read_varint(raw, at + 1, len(raw))
    elif raw[at : at + 2] == b"\x22\x00":
        at += 2
    else:
        raise Unusual
    if raw[at] != 0x28:
        raise Unusual
    return at


def _decode_any(raw: bytes, call: object) -> GroupEvent | Confirmation | ProtocolError | None:
    """Decode a message of any form, or return the error."""
    from ._deliveries_fallback import read_delivery  # the generated classes are loaded when they are needed

    try:
        return read_delivery(raw, call)
    except ProtocolError as exc:
        return exc
