"""Read responses, straight from bytes to values: the hot way of reading.

``read_response`` goes through a ``ReadResp`` (``protos/streams.proto``) once, in the order in which servers write its
fields, and builds the RecordedEvent without a message in between. What does not look like that goes the long way,
through betterproto2's messages (``_read_fallback``); tests hold both equal on random and hostile input.
"""

from __future__ import annotations

from binascii import a2b_hex

from trio_esdb._model import EventDraft, RecordedEvent

from ._answers import ReadResponse
from ._varint import UNKNOWN_POSITION, read_varint

_MEMORY = 4096
"""So many names and pairs are remembered,"""
_MEMORABLE = 256
"""none of them longer than this."""

_CREATED = b"\x32\x1c\x0a\x07created\x12\x11"
_CREATED_SIZE, _CREATED_DIGITS = 28, len(_CREATED)
_JSON = b"\x32\x20\x0a\x0ccontent-type\x12\x10application/json"
_JSON_SIZE = len(_JSON) - 2
"""Two entries of the map of system metadata that nearly every event has."""

_from_bytes = int.from_bytes
_names: dict[bytes, str] = {}
_system: dict[bytes, tuple[str, str]] = {}


class _Unusual(Exception):
    """Not in the order or form that servers write; the long way will tell."""


def read_response(raw: bytes) -> ReadResponse:
    """What one message of a read or subscription says. ProtocolError if it cannot be understood."""
    try:
        if raw[0] == 0x0A:
            return _read_event(raw)
    except (_Unusual, IndexError, ValueError, OverflowError):
        pass
    from ._read_fallback import read_response as the_long_way  # the messages are loaded when they are needed

    return the_long_way(raw)


def _read_event(raw: bytes) -> RecordedEvent:
    at, end = _delimited(raw, 1)
    if end != len(raw) or raw[at] != 0x0A:
        raise _Unusual
    at, stop = _delimited(raw, at + 1)
    event = _recorded_event(raw, at, stop)
    at = stop
    if raw[at] == 0x12:
        at, stop = _delimited(raw, at + 1)
        link = _recorded_event(raw, at, stop)
        link.__class__ = RecordedEvent
        event.link = link  # type: ignore[assignment]  # mypy does not see the change of class
        at = stop
    # What is left is the position of the record that was read, which that record tells itself.
    if raw[at] == 0x18:
        at += 1
        while raw[at] > 127:
            at += 1
        at += 1
        if at - stop > 11:
            raise _Unusual
    elif raw[at] == 0x22 and raw[at + 1] == 0:
        at += 2
    if at != end:
        raise _Unusual
    event.__class__ = RecordedEvent
    return event  # type: ignore[return-value]


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


def _recorded_event(raw: bytes, at: int, stop: int) -> EventDraft:
    event = EventDraft()

    # id=1: a UUID as text
    if raw[at : at + 4] != b"\x0a\x26\x12\x24":
        raise _Unusual
    digits = raw[at + 4 : at + 40].replace(b"-", b"")
    if len(digits) != 32:
        raise _Unusual
    event._id = _from_bytes(a2b_hex(digits), "big")
    at += 40

    # stream_identifier=2: one field, the name
    if raw[at] != 0x12:
        raise _Unusual
    size = raw[at + 1]
    at += 2
    end = at + size
    if size > 127:
        at, end = _delimited(raw, at - 1)
    if end > stop:
        raise _Unusual
    identifier = raw[at:end]
    name = _names.get(identifier)
    event.stream_name = _new_name(identifier) if name is None else name
    at = end

    # stream_revision=3, prepare_position=4, commit_position=5
    revision = prepare = commit = 0
    tag = raw[at]
    if tag == 0x18:
        at += 1
        revision = raw[at]
        if revision > 127:
            revision, at = read_varint(raw, at)
        at += 1
        tag = raw[at]
    if tag == 0x20:
        begin = at + 1
        prepare, at = read_varint(raw, begin)
        at += 1
        width = at - begin
        if raw[at] == 0x28 and raw[at + 1 : at + 1 + width] == raw[begin:at]:
            commit = prepare  # nearly always
            at += 1 + width
        elif raw[at] == 0x28:
            commit, at = read_varint(raw, at + 1)
            at += 1
    elif tag == 0x28:
        commit, at = read_varint(raw, at + 1)
        at += 1
    event.stream_position = revision
    event.prepare_position = None if prepare == UNKNOWN_POSITION else prepare
    event.commit_position = None if commit == UNKNOWN_POSITION else commit

    # metadata=6: a map of texts; type and content-type are the same few again and again
    event_type = content_type = ""
    ticks = 0
    data = custom_metadata = b""
    while at < stop and raw[at] == 0x32:
        size = raw[at + 1]
        if size == _CREATED_SIZE and raw.startswith(_CREATED, at):
            at += _CREATED_DIGITS
            ticks = int(raw[at : at + 17])
            if ticks < 10**16:  # not 17 digits: a sign, a space, a leading zero
                raise _Unusual
            at += 17
            continue
        if size == _JSON_SIZE and raw.startswith(_JSON, at):
            content_type = "application/json"
            at += _JSON_SIZE + 2
            continue
        at += 2
        end = at + size
        if size > 127:
            at, end = _delimited(raw, at - 1)
        if end > stop:
            raise _Unusual
        entry = raw[at:end]
        at = end
        pair = _system.get(entry)
        key, value = _new_pair(entry) if pair is None else pair
        if key == "type":
            event_type = value
        elif key == "content-type":
            content_type = value
        elif key == "created":
            raise _Unusual

    # custom_metadata=7, data=8
    if at < stop and raw[at] == 0x3A:
        at, end = _delimited(raw, at + 1)
        custom_metadata = raw[at:end]
        at = end
    if at < stop and raw[at] == 0x42:
        at, end = _delimited(raw, at + 1)
        data = raw[at:end]
        at = end
    if at != stop:
        raise _Unusual
    event.type = event_type
    event.content_type = content_type
    event._ticks = ticks
    event.metadata = custom_metadata
    event.data = data
    event.link = None
    return event


def _new_name(identifier: bytes) -> str:
    """The name in an encoded StreamIdentifier; remembered, since the next event is likely of the same stream."""
    at, end = _delimited(identifier, 1)
    if identifier[0] != 0x1A or end != len(identifier):
        raise _Unusual
    name = identifier[at:end].decode()
    if len(identifier) <= _MEMORABLE:
        if len(_names) >= _MEMORY:
            _names.clear()
        _names[identifier] = name
    return name


def _new_pair(entry: bytes) -> tuple[str, str]:
    """Key and value of an encoded map entry; remembered."""
    at, end = _delimited(entry, 1)
    if entry[0] != 0x0A or entry[end] != 0x12:
        raise _Unusual
    key = entry[at:end].decode()
    at, end = _delimited(entry, end + 1)
    if end != len(entry):
        raise _Unusual
    pair = key, entry[at:end].decode()
    if len(entry) <= _MEMORABLE:
        if len(_system) >= _MEMORY:
            _system.clear()
        _system[entry] = pair
    return pair
