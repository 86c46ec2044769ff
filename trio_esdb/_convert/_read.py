"""Read responses, straight from bytes to values: the hot way of reading.

An event of a ``ReadResp`` (``protos/streams.proto``) is gone through once, in the order in which servers write its
fields, and becomes a RecordedEvent without a message in between. What it has in common with the events before it (the
lengths around it, names, types, the upper bytes of a position) is recognised rather than decoded again. What does not
look like that goes the long way, through betterproto2's messages (``_read_fallback``); tests hold both equal on random
and hostile input.

No step asks whether it is still inside the record. One that left it does not end where the record does, and that is
asked once, at the end.
"""

from __future__ import annotations

from binascii import a2b_hex
from collections.abc import Iterable
from typing import TypeVar

from trio_esdb._errors import ProtocolError
from trio_esdb._model import EventDraft, RecordedEvent

from ._answers import ReadResponse
from ._varint import UNKNOWN_POSITION, read_varint

_MEMORY = 4096
"""So many of a kind are remembered,"""
_MEMORABLE = 256
"""none of them longer than this."""

_ID = b"\x0a\x26\x12\x24"
_CREATED = b"\x32\x1c\x0a\x07created\x12\x11"
_CREATED_SIZE = 13
_TYPE_AND_CREATED_SIZE = 2 + _CREATED_SIZE
"""An entry of the map with the beginning of the next, without the text whose length is in its second byte."""
_TICKS_SIZE = 17
_LEAST_TICKS = 10**16
"""What is less has not as many digits, but a sign, a space or a leading zero among them."""
_LENGTHS_SIZE = 8
"""The tags and lengths around a record of up to 2 MiB are within so many bytes."""

_from_bytes = int.from_bytes
_lengths: dict[bytes, tuple[int, int, int]] = {}
_names: dict[bytes, str] = {}
_types: dict[bytes, str] = {}
_content_types: dict[bytes, str] = {}
_upper: tuple[bytes, int, int] = b"no position", 0, 0
"""Of the position read last: as it was encoded, without the two lowest bytes but with the tag behind it; what to add to
those two bytes as they stand; its size."""

_Value = TypeVar("_Value")


class _Unusual(Exception):
    """Not in the order or form that servers write; the long way will tell."""


def read_responses(messages: Iterable[bytes]) -> list[ReadResponse | ProtocolError]:
    """What the messages of a read or subscription say.

    One that cannot be understood is the last, and in its place is the ProtocolError: what comes after it would follow
    a gap.
    """
    found: list[ReadResponse | ProtocolError] = []
    put, known = found.append, _lengths.get
    for raw in messages:
        try:
            at, stop, end = known(raw[:_LENGTHS_SIZE]) or _new_lengths(raw)
            if end != len(raw):
                raise _Unusual
            event = EventDraft()
            position = _record(event, raw, at, stop)
            # What is left is the position of the record that was read, which that record tells itself.
            if raw[stop] != 0x18 or raw[stop + 1 :] != position or not position:
                _link_and_position(event, raw, stop)
            event.__class__ = RecordedEvent
            put(event)  # type: ignore[arg-type]  # mypy does not see the change of class
            continue
        except (_Unusual, IndexError, ValueError, OverflowError):
            pass
        response = _the_long_way(raw)
        put(response)
        if isinstance(response, ProtocolError):
            break
    return found


def _the_long_way(raw: bytes) -> ReadResponse | ProtocolError:
    from ._read_fallback import read_response  # the messages are loaded when they are needed

    try:
        return read_response(raw)
    except ProtocolError as exc:
        return exc


def _record(event: EventDraft, raw: bytes, at: int, stop: int) -> bytes:
    """Fill an event with the record in ``raw[at:stop]``; its position as it is encoded, empty if there is none."""
    # id=1: a UUID as text
    begin = at + 4
    if raw[at:begin] != _ID:
        raise _Unusual
    at += 40
    digits = raw[begin:at].replace(b"-", b"")
    if len(digits) != 32:
        raise _Unusual
    event._id = _from_bytes(a2b_hex(digits))

    # stream_identifier=2: one field, the name
    end = at + 2 + raw[at + 1]
    name = _names.get(raw[at:end])
    if name is None:
        name, end = _new_name(raw, at)
    event.stream_name = name
    at = end

    # stream_revision=3
    revision = 0
    if raw[at] == 0x18:
        revision = raw[at + 1]
        if revision < 128:
            at += 2
        elif raw[at + 2] < 128:
            revision += (raw[at + 2] << 7) - 128
            at += 3
        else:
            revision, at = read_varint(raw, at + 1)
            at += 1
    event.stream_position = revision

    # prepare_position=4, commit_position=5: nearly always the same
    upper, base, size = _upper
    begin = at + 1
    end = begin + size
    low, high, position = raw[begin], raw[at + 2], raw[begin:end]
    again = end + 1
    end = again + size
    if raw[at] == 0x20 and low > 127 and high > 127 and raw.startswith(upper, at + 3) and raw[again:end] == position:
        event.prepare_position = event.commit_position = base + low + (high << 7)
        at = end
    else:
        position, at = _positions(event, raw, at)

    # metadata=6, a map of texts: type, created, content-type
    end = at + _TYPE_AND_CREATED_SIZE + raw[at + 1]
    event_type = _types.get(raw[at:end])
    if event_type is None:
        event.type = event.content_type = ""
        event._ticks = 0
        at = _other_metadata(event, raw, at, stop)
    else:
        event.type = event_type
        at = end + _TICKS_SIZE
        event._ticks = ticks = int(raw[end:at])
        if ticks < _LEAST_TICKS:
            raise _Unusual
        end = at + 2 + raw[at + 1]
        content_type = _content_types.get(raw[at:end])
        if content_type is None:
            event.content_type = ""
        else:
            event.content_type = content_type
            at = end
        if raw[at] == 0x32:
            at = _other_metadata(event, raw, at, stop)

    # custom_metadata=7
    if raw[at] == 0x3A:
        size = raw[at + 1]
        if size < 128:
            at += 2
            end = at + size
        else:
            at, end = _delimited(raw, at + 1)
        event.metadata = raw[at:end]
        at = end
    else:
        event.metadata = b""

    # data=8, the last field
    if raw[at] == 0x42:
        size = raw[at + 1]
        if size < 128:
            at += 2
        elif raw[at + 2] < 128:
            size += (raw[at + 2] << 7) - 128
            at += 3
        else:
            at, end = _delimited(raw, at + 1)
            size = end - at
        event.data = raw[at:stop]
        at += size
    else:
        event.data = b""
    if at != stop:
        raise _Unusual
    event.link = None
    return position


def _delimited(raw: bytes, at: int) -> tuple[int, int]:
    """Begin and end of a payload whose length stands at ``at``."""
    size = raw[at]
    if size > 127:
        at += 1
        more = raw[at]
        size = size & 127 | more << 7
        if more > 127:
            size &= 0x3FFF
            shift = 14
            while True:
                at += 1
                more = raw[at]
                size |= (more & 127) << shift
                if more < 128:
                    break
                shift += 7
                if shift > 28:
                    raise _Unusual
    at += 1
    end = at + size
    if end > len(raw):
        raise _Unusual
    return at, end


def _link_and_position(event: EventDraft, raw: bytes, at: int) -> None:
    """Fill in the link, if there is one. At the end must be a position, or that there is none."""
    position = b""
    if raw[at] == 0x12:
        at, stop = _delimited(raw, at + 1)
        link = EventDraft()
        position = _record(link, raw, at, stop)
        link.__class__ = RecordedEvent
        event.link = link  # type: ignore[assignment]
        at = stop
    if raw[at] == 0x18:
        if raw[at + 1 :] != position or not position:
            _, last = read_varint(raw, at + 1)
            if last + 1 != len(raw):
                raise _Unusual
    elif raw[at:] != b"\x22\x00":
        raise _Unusual


# -- what is remembered ----------------------------------------------------------------------------------------------


def _remember(memory: dict[bytes, _Value], key: bytes, value: _Value) -> None:
    if len(key) <= _MEMORABLE:
        if len(memory) >= _MEMORY:
            memory.clear()
        memory[key] = value


def _new_lengths(raw: bytes) -> tuple[int, int, int]:
    """Where the record of a message begins and ends, and where the message does."""
    if raw[0] != 0x0A:
        raise _Unusual
    at, end = _delimited(raw, 1)
    if raw[at] != 0x0A:
        raise _Unusual
    at, stop = _delimited(raw, at + 1)
    found = at, stop, end
    if at <= _LENGTHS_SIZE:
        _remember(_lengths, raw[:_LENGTHS_SIZE], found)
    return found


def _new_name(raw: bytes, at: int) -> tuple[str, int]:
    """The name in the identifier at ``at``, and the end of that: the next event is likely of the same stream."""
    if raw[at] != 0x12:
        raise _Unusual
    begin, end = _delimited(raw, at + 1)
    if raw[begin] != 0x1A:
        raise _Unusual
    begin, stop = _delimited(raw, begin + 1)
    if stop != end:
        raise _Unusual
    name = raw[begin:end].decode()
    _remember(_names, raw[at:end], name)
    return name, end


def _positions(event: EventDraft, raw: bytes, at: int) -> tuple[bytes, int]:
    """Fill in positions of any kind; the first as it is encoded, empty if there is none, and the end of both."""
    global _upper
    prepare = commit = 0
    position = b""
    if raw[at] == 0x20:
        begin = at + 1
        prepare, at = read_varint(raw, begin)
        at += 1
        position = raw[begin:at]
    if raw[at] == 0x28:
        if len(position) > 2 and prepare < 2**63:
            _upper = position[2:] + b"\x28", prepare - position[0] - (position[1] << 7), len(position)
        commit, at = read_varint(raw, at + 1)
        at += 1
    event.prepare_position = None if prepare == UNKNOWN_POSITION else prepare
    event.commit_position = None if commit == UNKNOWN_POSITION else commit
    if commit == prepare:
        event.commit_position = event.prepare_position  # one object is enough
    return position, at


def _other_metadata(event: EventDraft, raw: bytes, at: int, stop: int) -> int:
    """Entries of the map in any order, up to its end, which is returned."""
    while at < stop and raw[at] == 0x32:
        begin = at
        at, end = _delimited(raw, at + 1)
        if raw[at] != 0x0A:
            raise _Unusual
        at, key_end = _delimited(raw, at + 1)
        if raw[key_end] != 0x12:
            raise _Unusual
        key = raw[at:key_end].decode()
        at, value_end = _delimited(raw, key_end + 1)
        if value_end != end:
            raise _Unusual
        value = raw[at:end].decode()
        if key == "type":
            event.type = value
            following = end + _CREATED_SIZE
            if raw[end:following] == _CREATED:
                _remember(_types, raw[begin:following], value)
        elif key == "content-type":
            event.content_type = value
            _remember(_content_types, raw[begin:end], value)
        elif key == "created":
            event._ticks = ticks = int(value)
            if ticks < _LEAST_TICKS or end - at != _TICKS_SIZE:
                raise _Unusual
        at = end
    return at
