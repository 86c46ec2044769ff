"""Encoded messages for the decoders: as servers write them, in unusual forms, and malformed."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from trio_esdb._convert import ReadDecoder, ReadResponse
from trio_esdb._errors import ProtocolError

NUMBERS = [0, 1, 127, 128, 300, 2**14, 2**31, 2**32, 10**9, 2**53, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]
TICKS = b"17590123456789012"


def read_response(raw: bytes, decoder: ReadDecoder | None = None) -> ReadResponse:
    """The value of one message; for a decoder that has seen no message before, unless there is one."""
    (found,) = (decoder or ReadDecoder()).read_responses([raw])
    if isinstance(found, ProtocolError):
        raise found
    return found


def varint(value: int, padding: int = 0) -> bytes:
    """A varint, in more bytes than it needs if so asked."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    for _ in range(padding):
        out[-1] |= 128
        out.append(0)
    return bytes(out)


def number(field: int, value: int, padding: int = 0) -> bytes:
    """A field with a number."""
    return varint(field << 3) + varint(value, padding)


def block(field: int, payload: bytes) -> bytes:
    """A field with a length: text, bytes or a message."""
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def pair(key: bytes, value: bytes) -> bytes:
    """An entry of an event's map."""
    return block(6, block(1, key) + block(2, value))


def recorded(
    *,
    id: bytes = b"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
    name: bytes = b"order-1",
    places: bytes = number(3, 7) + number(4, 4321) + number(5, 4321),
    system: bytes = pair(b"type", b"OrderCreated")
    + pair(b"created", TICKS)
    + pair(b"content-type", b"application/json"),
    rest: bytes = block(7, b"m") + block(8, b"{}"),
) -> bytes:
    """A RecordedEvent as servers write it."""
    return block(1, block(2, id)) + block(2, block(3, name)) + places + system + rest


def event(content: bytes = recorded(), link: bytes | None = None, position: bytes = number(3, 4321)) -> bytes:
    """A ReadResp with an event, as servers write it."""
    return block(1, block(1, content) + (b"" if link is None else block(2, link)) + position)


UNKNOWN = st.sampled_from(
    [
        number(9, 5),
        number(500, 2**64 - 1),
        block(30, b"abc"),
        varint(31 << 3 | 1) + b"12345678",
        varint(31 << 3 | 5) + b"1234",
        varint(31 << 3 | 3) + number(1, 1) + varint(31 << 3 | 4),
    ]
)
"""Fields that no message has."""

MISPLACED = st.sampled_from(
    [
        number(1, 7),  # numbers where there are messages or texts
        number(2, 7),
        number(8, 7),
        block(3, b"abc"),  # texts where there are numbers
        block(4, b""),
        block(5, b""),
        varint(6 << 3 | 1) + b"12345678",
        varint(8 << 3 | 5) + b"1234",
    ]
)
"""Fields of other wire types than they have; readers skip them."""

BROKEN = st.sampled_from(
    [
        varint(31 << 3 | 3),  # a group without an end, an end without a group, an end of another group
        varint(31 << 3 | 4),
        varint(31 << 3 | 3) + varint(30 << 3 | 4),
        varint(31 << 3 | 6) + b"1",  # wire types that do not exist
        varint(31 << 3 | 7) + b"1",
        number(0, 5),  # field numbers that do not exist
        varint(2**32 << 3) + b"\x01",
        varint(9 << 3, 5) + b"\x01",  # numbers that take more bytes than they may
        varint(30 << 3 | 2) + varint(0, 6),
        number(9, 5, 11),
        varint(30 << 3 | 2) + varint(5) + b"abc",  # things that are cut off
        varint(31 << 3 | 1) + b"1234",
        varint(31 << 3 | 5) + b"1",
        varint(9 << 3) + b"\x80",
        b"\xff",
    ]
)
"""Bytes that make a message malformed."""

NAMES = st.sampled_from([b"s", b"order-1", b"", "ü€\U0001f600".encode(), b"$ce-order", b"n" * 200, b"n" * 20_000])
BAD_NAMES = st.sampled_from([b"\xff", b"\xed\xa0\x80", b"a\xc3", b"\xc0\x80"])
PAYLOADS = st.one_of(st.binary(max_size=12), st.sampled_from([b"x" * 127, b"x" * 128, b"x" * 20_000]))
UUIDS = st.uuids().map(lambda id: str(id).encode())
ODD_UUIDS = st.sampled_from(
    [
        b"",
        b"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f",
        b"0A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9",
        b"0a1b2c3d4e5f60718293a4b5c6d7e8f9",
        b"0a1b2c3d4e5f60718293a4b5c6d7e8f9----",
        b"--0a1b2c3d4e5f60718293a4b5c6d7e8-f9-",
        b"{0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9}",
        b"{0a1b2c3d4e5f60718293a4b5c6d7e8f9}--",
        b"urn:uuid:0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
        b"0x1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
        b"0xxb2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
        b"0x1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9--",
        b"0x1b2c3d-4e5f-6071-8293-a4b5c6d7e8ff",
        b"+a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
        b" a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
        b"0_1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
        b"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8fg",
        "\u0663a1b2c3-4e5f-6071-8293-a4b5c6d7e8f9".encode(),
        b"\xff" * 36,
    ]
)
CREATED = st.integers(10**16, 10**17 - 1).map(lambda ticks: str(ticks).encode())
ODD_CREATED = st.sampled_from(
    [
        b"",
        b"0",
        b"1",
        b"-5",
        b"+7590123456789012",
        b"+17590123456789012",
        b" 7590123456789012",
        b"1759012345678901 ",
        b"1759012345678901\n",
        b"17590_23456789012",
        b"07590123456789012",
        b"9" * 17,
        b"9" * 18,
        b"9" * 19,
        b"9" * 5000,
        b"-621355968000000000",
        b"-621355968000000001",
        b"2534023007999999999",
        b"2534023008000000000",
        b"0x590123456789012",
        b"yesterday",
        "\u0661\u0667".encode(),
        b"\xb2" * 17,
    ]
)


class Maker:
    """Draws messages. The greater ``hostility``, the more often something is unusual or malformed."""

    def __init__(self, draw: st.DrawFn, hostility: int) -> None:
        self.draw = draw
        self.hostility = hostility

    def odd(self) -> bool:
        """Whether to do something here that no server does."""
        return self.hostility > 0 and self.draw(_CHANCE) < self.hostility

    def number(self, field: int) -> bytes:
        """A number of 64 bits."""
        padding = self.draw(_PADDINGS) if self.odd() else 0
        return number(field, self.draw(_NUMBERS), padding)

    def name(self, field: int) -> bytes:
        """A stream's identifier."""
        if not self.odd():
            return block(field, block(3, self.draw(NAMES)))
        content = [block(3, self.draw(NAMES | BAD_NAMES)), block(3, self.draw(NAMES)), number(3, 1)]
        return block(field, b"".join(content[self.draw(_CUTS) : self.draw(_CUTS)]))

    def id(self) -> bytes:
        """An event's id."""
        if not self.odd():
            return block(1, block(2, self.draw(UUIDS)))
        structured = block(1, self.number(1) + self.number(2))
        content = [block(2, self.draw(ODD_UUIDS)), structured, block(2, self.draw(UUIDS)), block(1, self.number(2))]
        return block(1, b"".join(content[self.draw(_CUTS) : self.draw(_CUTS)]))

    def pair(self) -> bytes:
        """An entry of the map that nobody expects; never with an unknown field, see the oracle's Peculiar."""
        key = block(1, self.draw(_KEYS))
        value = block(2, self.draw(ODD_CREATED | CREATED | NAMES | BAD_NAMES))
        forms = [key + value, value + key, key, value, b"", key + value + block(2, b"later"), key + key + value]
        return block(6, forms[self.draw(_FORMS)])

    def recorded(self) -> bytes:
        """A RecordedEvent."""
        fields = [self.id(), self.name(2)]
        fields += [self.number(n) for n in (3, 4, 5) if self.draw(_CHANCE) < 90]
        fields += [pair(b"type", self.draw(NAMES)), pair(b"created", self.draw(CREATED))]
        fields += [pair(b"content-type", b"application/json")]
        fields += [self.pair() for _ in range(3) if self.odd()]
        fields += [block(n, self.draw(PAYLOADS)) for n in (7, 8) if self.draw(_CHANCE) < 70]
        return self.message(fields)

    def event(self) -> bytes:
        """A ReadEvent."""
        fields = [] if self.odd() else [self.block(1, self.recorded())]
        if self.draw(_CHANCE) < 30:
            fields.append(self.block(2, self.recorded()))
        if self.odd():
            fields += [number(3, 5, 11), block(4, number(9, 1)), self.number(4)][self.draw(_CUTS) :]
        else:
            fields.append(self.number(3) if self.draw(_CHANCE) < 60 else block(4, b""))
        return self.message(fields)

    def response(self) -> bytes:
        """A ReadResp."""
        members: list[Callable[[], bytes]] = [
            *[lambda: self.block(1, self.event())] * 8,
            lambda: self.block(2, block(1, self.draw(NAMES | BAD_NAMES if self.odd() else NAMES))),
            lambda: self.block(3, self.message([self.number(1), self.number(2), block(3, self.number(1))])),
            lambda: self.block(4, self.name(1)),
            lambda: self.number(5),
            lambda: self.number(6),
            lambda: self.block(7, self.number(1)),
            lambda: self.block(8, self.message([block(1, self.number(1)), self.number(2), block(3, self.number(1))])),
            lambda: self.block(9, self.message([self.number(1)])),  # as the fork writes it
            lambda: self.block(10, self.draw(PAYLOADS)),
        ]
        fields = [members[self.draw(_MEMBERS)]()]
        while len(fields) < 3 and self.odd():
            fields.append(members[self.draw(_MEMBERS)]())
        return self.message(fields)

    def message(self, fields: list[bytes]) -> bytes:
        """Fields in the order of their numbers; or not, with others among them, some missing, some more than once."""
        if self.odd():
            fields = [fields[i] for i in self.draw(st.permutations(range(len(fields))))]
        if fields and self.odd():
            fields = [*fields, fields[0]]
        if len(fields) > 1 and self.odd():
            fields = fields[1:]
        if self.odd():
            at = self.draw(_CUTS)
            fields = [*fields[:at], self.draw(UNKNOWN | MISPLACED | (BROKEN if self.odd() else UNKNOWN)), *fields[at:]]
        return b"".join(fields)

    def block(self, field: int, payload: bytes) -> bytes:
        """A sub-message; of odd ones the length is written too long or is wrong, or it comes in two parts."""
        if not self.odd():
            return block(field, payload)
        tag, size = varint(field << 3 | 2), len(payload)
        cut = min(size, self.draw(_PLACES))
        return [
            tag + varint(size, 1) + payload,
            tag + varint(size, 9) + payload,
            tag + varint(size + 1) + payload,
            tag + varint(max(0, size - 1)) + payload,
            tag + varint(2**31 - 1) + payload,
            block(field, payload) + block(field, b""),
            block(field, payload[:cut]) + block(field, payload[cut:]),
        ][self.draw(_FORMS)]


_CHANCE = st.integers(0, 99)
_NUMBERS = st.sampled_from(NUMBERS)
_PADDINGS = st.sampled_from([1, 2, 5, 9, 12])
_CUTS = st.integers(0, 4)
_PLACES = st.integers(0, 120)
_FORMS = st.integers(0, 6)
_MEMBERS = st.integers(0, 16)
_KEYS = st.sampled_from([b"created", b"created", b"type", b"content-type", b"other", b"", b"\xff"])
_HOSTILITY = st.sampled_from([0, 2, 5, 15, 40])


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Read responses: usual, unusual and malformed."""
    return Maker(draw, draw(_HOSTILITY)).response()


@st.composite
def append_responses(draw: st.DrawFn) -> bytes:
    """Answers to appends."""
    make = Maker(draw, draw(_HOSTILITY))
    revision = make.number(1) if draw(_CHANCE) < 80 else block(2, b"")
    position = make.block(3, make.message([make.number(1), make.number(2)])) if draw(_CHANCE) < 80 else block(4, b"")
    wrong = [make.number(1), block(2, b""), make.number(3), make.number(6), block(7, b""), make.number(8)]
    fields = [make.block(1, make.message([revision, position])), make.block(2, make.message(wrong[draw(_CUTS) :]))]
    return make.message(fields if make.odd() else [fields[draw(_CHANCE) % 2]])


@st.composite
def delete_responses(draw: st.DrawFn) -> bytes:
    """Answers to deletions."""
    make = Maker(draw, draw(_HOSTILITY))
    fields = [make.block(1, make.message([make.number(1), make.number(2)])), block(2, b"")]
    return make.message(fields if make.odd() else [fields[draw(_CHANCE) % 2]])


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Messages with some bytes changed, removed or added."""
    raw = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        how = draw(st.integers(0, 5))
        if how == 0:
            del raw[at:]
        elif how == 1 and raw:
            raw[at] ^= 1 << draw(st.integers(0, 7))
        elif how == 2 and raw:
            raw[at] = draw(st.integers(0, 255))
        elif how == 3:
            del raw[at : at + draw(st.integers(1, 40))]
        elif how == 4:
            raw[at:at] = draw(st.binary(min_size=1, max_size=4))
        else:
            raw[at:at] = raw[at : at + draw(st.integers(1, 60))]
    return bytes(raw)
