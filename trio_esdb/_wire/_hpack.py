"""HPACK with a memory for blocks that come again and again, and in time proportional to the size of a block.

On one connection a call of a kind has the same headers each time, and a server answers with the same few. Once they
are in HPACK's dynamic table, the same headers are the same bytes for as long as the table does not change. So both
directions remember small blocks that left the table as it was, and forget them when it changes. What they remember is
bounded in bytes.

The hpack package keeps the tables and writes and reads the small blocks. Two things in it take quadratic time, and are
avoided here:

- It writes Huffman codes with arithmetic on one large number. A long value is written here, as a plain literal that
  stays out of the table: an entry larger than the table would only empty it.
- It copies the rest of the block for each literal. A large block is therefore cut here into its fields
  (RFC 7541, section 6), and hpack is given one field at a time. ``LargeBlock`` does so while the parts of the block
  arrive. Once the list is larger than the limit, it keeps nothing but goes on to the end of the block, so that the
  tables of both sides stay the same and only the stream of this block has to be refused.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from h2.utilities import HeaderValidationFlags
from hpack import Decoder
from hpack.exceptions import HPACKError

from ._frames import Code
from ._headers import Header, HeaderList, HeadersTooLarge, checked, list_size

if TYPE_CHECKING:
    from hpack import Encoder

_REMEMBERED = 64 * 1024
"""Bytes of header lists that are remembered in one direction."""
_SMALL_LIST = 2048
"""Larger lists are not remembered."""
_SMALL_BLOCK = 4096
"""Larger blocks are decoded field by field."""
_LONG_VALUE = 256
"""Longer values are sent as plain literals."""
_FIELD_LIMIT = 4096
"""Fields in a list. A field may be a single byte on the wire, and takes some microseconds here."""
_WORK_LIMIT = 32 * 1024
"""Fields in a block that are read at all, for the table's sake; one that changes the table counts for four."""
_TEXT_LIMIT = 200
_SECRET = frozenset({"authorization"})

WITHOUT_INDEX, NEVER_INDEXED = 0x00, 0x10
_LENGTHS = [bytes((length,)) for length in range(127)]


class BlockError(Exception):
    """A header block that ends the connection: the state of HPACK is lost with it."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


class OversizedHeaders(Exception):
    """A list of headers beyond our limit came; only its stream is refused."""


def literal(name: bytes, value: bytes, kind: int = WITHOUT_INDEX) -> bytes:
    """One header that leaves HPACK's table alone. ``NEVER_INDEXED`` forbids proxies to put it into theirs."""
    return b"%c%b%b%b%b" % (kind, _length(len(name)), name, _length(len(value)), value)


def _length(length: int) -> bytes:
    """The length of a string without Huffman coding (RFC 7541, 5.1 and 5.2)."""
    if length < 127:
        return _LENGTHS[length]
    length -= 127
    out = bytearray((127,))
    while length >= 128:
        out.append(length & 127 | 128)
        length >>= 7
    out.append(length)
    return bytes(out)


class BlockEncoder:
    """Turns headers into header blocks."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[tuple[Header, ...], tuple[bytes, int]] = {}
        self._remembered = 0

    def forget(self) -> None:
        """Call this after the peer's SETTINGS: they may have changed the table."""
        self._clear()
        changes = self._encoder.table_size_changes
        if changes:
            # The peer has to be told the smallest size and the last one (RFC 7541, 4.2). hpack would tell all of them,
            # or none if the same size came twice.
            changes[:] = sorted({min(changes), changes[-1]})
            self._encoder.header_table.resized = True

    def encode(self, headers: tuple[Header, ...], limit: int | None = None) -> bytes:
        """The header block of these headers, in this order.

        HeadersTooLarge if the list has more than ``limit`` bytes. A list with a secret is never remembered.
        """
        block, size = self._known.get(headers) or (b"", list_size(headers))
        if limit is not None and size > limit:
            raise HeadersTooLarge
        if block:
            return block
        before = _table(self._encoder)
        block, secret = self._encode(headers)
        if _table_changed(self._encoder, before):
            self._clear()
        elif size <= _SMALL_LIST and not secret:
            if self._remembered + size > _REMEMBERED:
                self._clear()
            self._known[headers] = block, size
            self._remembered += size
        return block

    def _encode(self, headers: tuple[Header, ...]) -> tuple[bytes, bool]:
        parts = [self._encoder.encode([])]  # a change of the table's size stands at the beginning of a block
        secret = False
        for name, value in headers:
            raw_name, raw_value = name.encode("utf-8"), value.encode("utf-8")
            if name in _SECRET:
                secret = True
                parts.append(literal(raw_name, raw_value, NEVER_INDEXED))
            elif len(raw_value) > _LONG_VALUE:
                parts.append(literal(raw_name, raw_value))
            else:
                parts.append(self._encoder.encode([(raw_name, raw_value)]))
        return b"".join(parts), secret

    def _clear(self) -> None:
        self._known.clear()
        self._remembered = 0


class BlockDecoder:
    """Turns header blocks into checked headers."""

    def __init__(self, limit: int) -> None:
        self._decoder = Decoder(max_header_list_size=2**31)  # the limit is kept here
        self._limit = limit
        self._known: tuple[dict[bytes, HeaderList], dict[bytes, HeaderList]] = {}, {}
        """Headers, and trailers: a connection checks all headers by the same rules, and all trailers."""
        self._remembered = 0

    def decode(self, block: bytes | LargeBlock, rules: HeaderValidationFlags) -> HeaderList:
        """The headers of a block, or of one that came in parts and was fed to ``begin``.

        Raises:
            BlockError: The block cannot be decoded.
            MalformedHeaders: The headers break a rule.
            OversizedHeaders: The headers are larger than the limit.
        """
        if isinstance(block, LargeBlock):
            return self._finish(block, rules)
        remembered = self._known[rules.is_trailer]
        known = remembered.get(block)
        if known is not None:
            return known
        parts = self.begin()
        if len(block) <= _SMALL_BLOCK:
            parts.add(block)
        else:
            parts.feed(block)
        headers = self._finish(parts, rules)
        if not parts.changed and headers.size <= _SMALL_LIST and len(block) <= _SMALL_LIST:
            if self._remembered + headers.size > _REMEMBERED:
                self._clear()
            remembered[block] = headers
            self._remembered += headers.size
        return headers

    def begin(self) -> LargeBlock:
        """A block that comes in parts. It must be fed and decoded as a whole before anything else is decoded."""
        return LargeBlock(self._decoder, self._limit)

    def _finish(self, parts: LargeBlock, rules: HeaderValidationFlags) -> HeaderList:
        if parts.changed:
            self._clear()
        if not parts.whole:
            raise BlockError(Code.COMPRESSION_ERROR, "a header block cannot be decoded: it ends inside a field")
        if parts.too_large:
            few = f"{self._limit} bytes" if parts.count <= _FIELD_LIMIT else f"{_FIELD_LIMIT} headers"
            raise OversizedHeaders(f"a header list of more than {few} came")
        return checked(parts.fields, rules)

    def _clear(self) -> None:
        for each in self._known:
            each.clear()
        self._remembered = 0


class LargeBlock:
    """The fields of one block, read while its parts arrive. What is kept is bounded by the limit."""

    def __init__(self, decoder: Decoder, limit: int) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        """The headers; none once the list is too large."""
        self.too_large = False
        self._decoder = decoder
        self._limit = limit
        self._longest = max(limit, 8 * decoder.header_table.maxsize)
        """Longer strings are dropped unread, and Huffman codes of half of it; none of them would fit into the table."""
        self._before = _table(decoder)
        self.count = 0
        """How many headers have come, kept or not."""
        self._size = 0
        self._work = 0
        self._rest = bytearray()
        self._reading: Generator[None, None, None] | None = None
        self._in_field = False

    @property
    def changed(self) -> bool:
        """Whether the block has changed HPACK's table."""
        return _table_changed(self._decoder, self._before)

    @property
    def whole(self) -> bool:
        """Whether the last field has come to its end."""
        return not self._in_field

    def feed(self, part: bytes) -> None:
        """The next part of the block, cut anywhere. BlockError as ``BlockDecoder.decode`` raises it."""
        if self._reading is None:
            self._reading = self._read()
        self._rest += part
        next(self._reading)

    def add(self, fields: bytes) -> None:
        """Decode whole fields."""
        try:
            pairs = self._decoder.decode(fields, raw=True)
        except (HPACKError, IndexError) as exc:
            text = f"a header block cannot be decoded: {exc}"[:_TEXT_LIMIT]
            raise BlockError(Code.COMPRESSION_ERROR, text) from None
        for name, value in pairs:
            self.count += 1
            self._size += len(name) + len(value) + 32
            self.fields.append((name, value))
        if self._size > self._limit or self.count > _FIELD_LIMIT:
            self._refuse()

    def _refuse(self) -> None:
        self.too_large = True
        self._size = self._limit + 1
        self.fields.clear()

    def _read(self) -> Generator[None, None, None]:
        """Cut the block into fields; yields when it needs more bytes."""
        while True:
            self._in_field = False
            field = yield from self._take(1)
            self._in_field = True
            first = field[0]
            kept = True
            if first & 0x80:
                yield from self._integer(field, 0x7F)
            elif first & 0xE0 == 0x20:
                if self.count:
                    text = "a header block cannot be decoded: the table's size changes inside the block"
                    raise BlockError(Code.COMPRESSION_ERROR, text)
                yield from self._integer(field, 0x1F)
            else:
                index = 0x3F if first & 0x40 else 0x0F
                if first & index:
                    yield from self._integer(field, index)
                else:
                    kept = yield from self._string(field, kept)
                kept = yield from self._string(field, kept)
            changes_table = first & 0xC0 == 0x40 or first & 0xE0 == 0x20
            self._work += 4 if changes_table else 1
            if self._work > _WORK_LIMIT:
                raise BlockError(Code.ENHANCE_YOUR_CALM, "a header block with too many fields came")
            if kept and (changes_table or not self.too_large):
                self.add(bytes(field))
                continue
            self.count += 1
            self._refuse()
            if changes_table:
                # An entry larger than the table empties it (RFC 7541, 4.4); so does this one in its place.
                self.add(b"\x40" + literal(b"x", bytes(self._decoder.header_table.maxsize))[1:])

    def _string(self, field: bytearray, kept: bool) -> Generator[None, None, bool]:
        """Add a string to the field. False, and the string is dropped, if it is too long or the field is dropped."""
        start = len(field)
        field += yield from self._take(1)
        huffman = field[start] >> 7
        length = yield from self._integer(field, 0x7F)
        # Huffman codes take time to decode, and become longer by it: by three fifths at most.
        if not kept or length << huffman > self._longest:
            yield from self._drop(length)
            return False
        field += yield from self._take(length)
        return True

    def _integer(self, field: bytearray, mask: int) -> Generator[None, None, int]:
        """The integer that begins in the last byte of the field (RFC 7541, 5.1); its other bytes are added."""
        value = field[-1] & mask
        if value < mask:
            return value
        for shift in (0, 7, 14, 21):
            field += yield from self._take(1)
            value += (field[-1] & 0x7F) << shift
            if field[-1] < 0x80:
                return value
        raise BlockError(Code.COMPRESSION_ERROR, "a header block cannot be decoded: an integer has too many bytes")

    def _take(self, count: int) -> Generator[None, None, bytearray]:
        while len(self._rest) < count:
            yield
        taken = self._rest[:count]
        del self._rest[:count]
        return taken

    def _drop(self, count: int) -> Generator[None, None, None]:
        while len(self._rest) < count:
            count -= len(self._rest)
            self._rest.clear()
            yield
        del self._rest[:count]


def _table(coder: Encoder | Decoder) -> tuple[object, int, int]:
    """HPACK's dynamic table, as far as is needed to see a change: additions, evictions, another largest size."""
    table = coder.header_table
    entries = table.dynamic_entries
    return entries[0] if entries else None, len(entries), table.maxsize


def _table_changed(coder: Encoder | Decoder, before: tuple[object, int, int]) -> bool:
    now = _table(coder)
    return now[0] is not before[0] or now[1:] != before[1:]
