"""Decodes read responses straight from bytes to values: the hot path of reading.

A server writes the fields of an event in the order of their numbers, and much of one event is the same in the next. So
an event of a ``ReadResp`` (``protos/streams.proto``) is decoded in one pass, in that order, without a message object in
between. The parts that events share (the lengths around them, stream names, types, the upper bytes of a position) are
looked up by their encoded bytes and not decoded again; the memory for that belongs to the ``ReadDecoder``.

A message of any other form is valid too. The steps below raise ``Unusual`` (or IndexError, ValueError)
as soon as they meet what they do not expect, and the message is decoded again with the generated classes
(``_read_fallback``). Tests hold both paths equal on random and hostile input.

No step checks whether it is still inside the record. A step that left the record cannot end exactly where the record
ends, and that is checked once, at the end.
"""

from __future__ import annotations

from binascii import a2b_hex
from collections.abc import Iterable
from typing import TypeVar

from trio_esdb._errors import ProtocolError
from trio_esdb._model import EventDraft, RecordedEvent
from trio_esdb._protobuf import read_varint

from ._answers import UNKNOWN_POSITION, ReadResponse

_MOST_ENTRIES = 4096
"""A table that has so many entries is cleared before it takes another."""
_LONGEST_KEY = 128
"""The longest encoded text, in bytes, that is kept in a table."""

_ID = b"\x0a\x26\x12\x24"
_CREATED = b"\x32\x1c\x0a\x07created\x12\x11"
_CREATED_SIZE = 13
_TYPE_AND_CREATED_SIZE = 2 + _CREATED_SIZE
"""The size of a map entry and of the head of the next, without the text whose length is in the entry's second byte."""
_TICKS_SIZE = 17
_LEAST_TICKS = 10**16
"""Smaller values are not 17 plain digits; int() also takes signs, blanks and leading zeros."""
LENGTHS_SIZE = 8
"""The tags and lengths in front of a record of up to 2 MiB fit into so many bytes."""
_MOST_METADATA = 16
"""The hot path reads at most so many entries of the metadata map; servers write three."""

_from_bytes = int.from_bytes

_Value = TypeVar("_Value")


class Unusual(Exception):
    """The bytes are not in the order or form that servers write; the fallback decides what they mean."""


class ReadDecoder:
    """Decodes the messages of reads and subscriptions.

    It remembers what the events of one server have in common, up to some megabytes. A decoder should therefore live as
    long as the connection to a server, and should not be shared beyond it: it keeps names of streams and types.
    """

    __slots__ = ("_content_types", "_names", "_types", "_upper", "lengths")

    def __init__(self) -> None:
        self.lengths: dict[bytes, tuple[int, int, int]] = {}
        self._names: dict[bytes, str] = {}
        self._types: dict[bytes, str] = {}
        self._content_types: dict[bytes, str] = {}
        # The last position that was decoded: the end of its encoding (without its two lowest bytes, with the tag that
        # follows), the number to add to those two bytes as they are written, and the size of its encoding.
        self._upper: tuple[bytes, int, int] = b"no position", 0, 0

    def read_responses(self, messages: Iterable[bytes]) -> list[ReadResponse | ProtocolError]:
        """Decode the messages of a read or subscription.

        Args:
            messages: The encoded ``ReadResp`` messages, in the order in which they came.

        Returns:
            One value for each message. If a message cannot be decoded, the list ends with a ProtocolError in its
            place: whatever comes after it would follow a gap.
        """
        found: list[ReadResponse | ProtocolError] = []
        put, known, record = found.append, self.lengths.get, self.record
        for raw in messages:
            try:
                at, stop, end = known(raw[:LENGTHS_SIZE]) or self.new_lengths(raw)
                if end != len(raw):
                    raise Unusual
                event = EventDraft()
                position = record(event, raw, at, stop)
                # The rest is the position of the record that was read, which the record itself tells too.
                if raw[stop] != 0x18 or raw[stop + 1 :] != position or not position:
                    self._link_and_position(event, raw, stop)
                event.__class__ = RecordedEvent
                put(event)  # type: ignore[arg-type]  # mypy does not see the change of class
                continue
            except (Unusual, IndexError, ValueError):
                pass
            response = _decode_any(raw)
            put(response)
            if isinstance(response, ProtocolError):
                break
        return found

    def record(self, event: EventDraft, raw: bytes, at: int, stop: int) -> bytes:
        """Fill an event from ``raw[at:stop]``. Returns its encoded position, empty if it has none. Raises Unusual."""
        # id=1: a UUID as text
        begin = at + 4
        if raw[at:begin] != _ID:
            raise Unusual
        at += 40
        digits = raw[begin:at].replace(b"-", b"")
        if len(digits) != 32:
            raise Unusual
        event._id = _from_bytes(a2b_hex(digits))

        # stream_identifier=2: one field, the name
        end = at + 2 + raw[at + 1]
        name = self._names.get(raw[at:end])
        if name is None:
            name, end = self._new_name(raw, at)
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
                revision, at = read_varint(raw, at + 1, stop)
        event.stream_position = revision

        # prepare_position=4, commit_position=5: nearly always the same
        upper, base, size = self._upper
        begin = at + 1
        end = begin + size
        low, high, position = raw[begin], raw[at + 2], raw[begin:end]
        again = end + 1
        end = again + size
        if (
            raw[at] == 0x20
            and low > 127
            and high > 127
            and raw.startswith(upper, at + 3)
            and raw[again:end] == position
        ):
            event.prepare_position = event.commit_position = base + low + (high << 7)
            at = end
        else:
            position, at = self._positions(event, raw, at, stop)

        # metadata=6, a map of texts: type, created, content-type
        end = at + _TYPE_AND_CREATED_SIZE + raw[at + 1]
        event_type = self._types.get(raw[at:end])
        if event_type is None:
            event.type = event.content_type = ""
            event._ticks = 0
            at = self._other_metadata(event, raw, at, stop)
        else:
            event.type = event_type
            at = end + _TICKS_SIZE
            event._ticks = ticks = int(raw[end:at])
            if ticks < _LEAST_TICKS:
                raise Unusual
            end = at + 2 + raw[at + 1]
            content_type = self._content_types.get(raw[at:end])
            if content_type is None:
                event.content_type = ""
            else:
                event.content_type = content_type
                at = end
            if raw[at] == 0x32:
                at = self._other_metadata(event, raw, at, stop)

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
            raise Unusual
        event.link = None
        return position

    def _link_and_position(self, event: EventDraft, raw: bytes, at: int) -> None:
        """Fill in the link, if there is one. It must be followed by a position or by the note that there is none."""
        position = b""
        if raw[at] == 0x12:
            at, stop = _delimited(raw, at + 1)
            link = EventDraft()
            position = self.record(link, raw, at, stop)
            link.__class__ = RecordedEvent
            event.link = link  # type: ignore[assignment]
            at = stop
        if raw[at] == 0x18:
            if raw[at + 1 :] != position or not position:
                _, end = read_varint(raw, at + 1, len(raw))
                if end != len(raw):
                    raise Unusual
        elif raw[at:] != b"\x22\x00":
            raise Unusual

    # -- for messages that hold records besides other things ---------------------------------------------------------

    def link(self, raw: bytes, at: int) -> tuple[RecordedEvent, int, bytes]:
        """The link whose field is here, where it ends, and its id as text. Raises Unusual."""
        at, stop = _delimited(raw, at + 1)
        link = EventDraft()
        self.record(link, raw, at, stop)
        link.__class__ = RecordedEvent
        return link, stop, raw[at + 4 : at + 40]  # type: ignore[return-value]

    # -- what is not in the tables yet ------------------------------------------------------------------------------

    def new_lengths(self, raw: bytes) -> tuple[int, int, int]:
        """Where the record of a message begins and ends, and where the message does. Raises Unusual."""
        if raw[0] != 0x0A:
            raise Unusual
        at, end = _delimited(raw, 1)
        if raw[at] != 0x0A:
            raise Unusual
        at, stop = _delimited(raw, at + 1)
        found = at, stop, end
        if at <= LENGTHS_SIZE:
            _remember(self.lengths, raw[:LENGTHS_SIZE], found)
        return found

    def _new_name(self, raw: bytes, at: int) -> tuple[str, int]:
        """The name in the stream identifier at ``at``, and where the identifier ends."""
        if raw[at] != 0x12:
            raise Unusual
        begin, end = _delimited(raw, at + 1)
        if raw[begin] != 0x1A:
            raise Unusual
        begin, stop = _delimited(raw, begin + 1)
        if stop != end:
            raise Unusual
        name = raw[begin:end].decode()
        _remember(self._names, raw[at:end], name)
        return name, end

    def _positions(self, event: EventDraft, raw: bytes, at: int, stop: int) -> tuple[bytes, int]:
        """Fill in positions of any form.

        Returns the encoded prepare position (empty if there is none) and where both positions end.
        """
        prepare = commit = 0
        position = b""
        if raw[at] == 0x20:
            begin = at + 1
            prepare, at = read_varint(raw, begin, stop)
            position = raw[begin:at]
        if raw[at] == 0x28:
            if len(position) > 2 and prepare < 2**63:
                self._upper = position[2:] + b"\x28", prepare - position[0] - (position[1] << 7), len(position)
            commit, at = read_varint(raw, at + 1, stop)
        event.prepare_position = None if prepare == UNKNOWN_POSITION else prepare
        event.commit_position = None if commit == UNKNOWN_POSITION else commit
        if commit == prepare:
            event.commit_position = event.prepare_position  # one object is enough
        return position, at

    def _other_metadata(self, event: EventDraft, raw: bytes, at: int, stop: int) -> int:
        """Read entries of the map in any order. Returns where the map ends."""
        entries = 0
        while at < stop and raw[at] == 0x32:
            entries += 1
            if entries > _MOST_METADATA:
                raise Unusual
            begin = at
            at, end = _delimited(raw, at + 1)
            if raw[at] != 0x0A:
                raise Unusual
            at, key_end = _delimited(raw, at + 1)
            if raw[key_end] != 0x12:
                raise Unusual
            key = raw[at:key_end].decode()
            at, value_end = _delimited(raw, key_end + 1)
            if value_end != end:
                raise Unusual
            value = raw[at:end].decode()
            if key == "type":
                event.type = value
                following = end + _CREATED_SIZE
                if raw[end:following] == _CREATED:
                    _remember(self._types, raw[begin:following], value)
            elif key == "content-type":
                event.content_type = value
                _remember(self._content_types, raw[begin:end], value)
            elif key == "created":
                event._ticks = ticks = int(value)
                if ticks < _LEAST_TICKS or end - at != _TICKS_SIZE:
                    raise Unusual
            at = end
        return at


def _decode_any(raw: bytes) -> ReadResponse | ProtocolError:
    """Decode a message of any form, or return the error."""
    from ._read_fallback import read_response  # the generated classes are loaded when they are needed

    try:
        return read_response(raw)
    except ProtocolError as exc:
        return exc


def _delimited(raw: bytes, at: int) -> tuple[int, int]:
    """Begin and end of a payload whose length is at ``at``."""
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
                    raise Unusual
    at += 1
    end = at + size
    if end > len(raw):
        raise Unusual
    return at, end


def _remember(table: dict[bytes, _Value], key: bytes, value: _Value) -> None:
    if len(key) <= _LONGEST_KEY:
        if len(table) >= _MOST_ENTRIES:
            table.clear()
        table[key] = value
