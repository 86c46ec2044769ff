"""Header blocks: HPACK with memory for what is said again and again, and the rules for what may be said.

On one connection a call of a kind sends the same headers each time, and a server answers them with the same few. Once
HPACK's dynamic table holds them, the same headers are the same bytes for as long as the table does not change. So both
directions remember blocks that left the table as it was, and forget them when it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Self

from h2.exceptions import ProtocolError
from h2.utilities import HeaderValidationFlags, validate_headers
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.struct import NeverIndexedHeaderTuple

from ._frames import Code

if TYPE_CHECKING:
    from hpack import Decoder, Encoder

Header = tuple[str, str]

_REMEMBERED = 256
_TEXT_LIMIT = 200
_SECRET = frozenset({"authorization"})

REQUEST = HeaderValidationFlags(is_client=False, is_trailer=False, is_response_header=False, is_push_promise=False)
REQUEST_TRAILERS = REQUEST._replace(is_trailer=True)
RESPONSE = HeaderValidationFlags(is_client=True, is_trailer=False, is_response_header=True, is_push_promise=False)
RESPONSE_TRAILERS = HeaderValidationFlags(
    is_client=True, is_trailer=True, is_response_header=False, is_push_promise=False
)


class BlockError(Exception):
    """A header block that ends the connection: HPACK's state is lost with it."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


class MalformedHeaders(Exception):
    """Headers against HTTP/2's rules; only the stream is refused."""


class HeadersTooLarge(Exception):
    """The headers are larger than the peer takes; nothing was sent."""


class HeaderList(tuple[Header, ...]):
    """Headers as they came, with what is asked of the same ones again and again."""

    size: int
    by_name: dict[str, str]
    """Of several headers of a name the last one."""

    def __new__(cls, headers: Iterable[Header]) -> Self:
        self = super().__new__(cls, headers)
        self.size = list_size(self)
        self.by_name = dict(self)
        return self


def list_size(headers: tuple[Header, ...]) -> int:
    """The size of a header list as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113, 6.5.2)."""
    return sum(len(name) + len(value) + 32 for name, value in headers)


def content_length(headers: Mapping[str, str]) -> int | None:
    """What checked headers say about the size of the body."""
    length = headers.get("content-length")
    return None if length is None else int(length)


def literal(name: str, value: str) -> bytes:
    """One header that leaves HPACK's table alone, for values that differ from call to call (both below 127 bytes)."""
    return b"\x00%c%s%c%s" % (len(name), name.encode("ascii"), len(value), value.encode("ascii"))


class BlockEncoder:
    """Headers to header blocks."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[tuple[Header, ...], tuple[bytes, int]] = {}

    def forget(self) -> None:
        """The table has changed for another reason: the peer's SETTINGS."""
        self._known.clear()
        changes = self._encoder.table_size_changes
        if changes:
            # The peer wants to hear the smallest size and the last one (RFC 7541, 4.2). hpack would tell all of them,
            # or none where the same size came twice.
            changes[:] = sorted({min(changes), changes[-1]})
            self._encoder.header_table.resized = True

    def encode(self, headers: tuple[Header, ...], limit: int | None = None) -> bytes:
        """The header block of these headers, in this order; HeadersTooLarge for a list of more than ``limit`` bytes."""
        block, size = self._known.get(headers) or (b"", list_size(headers))
        if limit is not None and size > limit:
            raise HeadersTooLarge
        if block:
            return block
        before = _table(self._encoder)
        block = self._encoder.encode(
            [
                NeverIndexedHeaderTuple(name.encode("utf-8"), value.encode("utf-8"))
                if name in _SECRET
                else (name.encode("utf-8"), value.encode("utf-8"))
                for name, value in headers
            ]
        )
        if _table_changed(self._encoder, before):
            self._known.clear()
        elif len(self._known) < _REMEMBERED:
            self._known[headers] = block, size
        return block


class BlockDecoder:
    """Header blocks to checked headers."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._known: tuple[dict[bytes, HeaderList], dict[bytes, HeaderList]] = {}, {}
        """Headers, and trailers: for each of them the rules of a connection are always the same."""

    def decode(self, block: bytes, rules: HeaderValidationFlags) -> HeaderList:
        """The headers of a block.

        BlockError where the block cannot be decoded, MalformedHeaders where what it says is against the rules.
        """
        remembered = self._known[rules.is_trailer]
        known = remembered.get(block)
        if known is not None:
            return known
        before = _table(self._decoder)
        try:
            pairs = self._decoder.decode(block, raw=True)
        except OversizedHeaderListError:
            raise BlockError(Code.ENHANCE_YOUR_CALM, "a header list of more than 1 MiB came") from None
        except (HPACKError, IndexError) as exc:
            text = f"a header block cannot be decoded: {exc}"[:_TEXT_LIMIT]
            raise BlockError(Code.COMPRESSION_ERROR, text) from None
        changed = _table_changed(self._decoder, before)
        if changed:
            for each in self._known:
                each.clear()
        try:
            # A real node begins some grpc-message values with a blank, so blanks around a value must pass.
            for _ in validate_headers([(name, value.strip(b" \t")) for name, value in pairs], rules):
                pass
            _check_lengths(pairs)
        except ProtocolError as exc:
            raise MalformedHeaders(str(exc)) from None
        headers = HeaderList((_text(name), _text(value)) for name, value in pairs)
        if not changed and len(remembered) < _REMEMBERED:
            remembered[block] = headers
        return headers


def _check_lengths(pairs: Iterable[tuple[bytes, bytes]]) -> None:
    """A content-length is a number, and only one."""
    lengths = {value for name, value in pairs if name == b"content-length"}
    if len(lengths) > 1 or not all(value.isdigit() and len(value) < 20 for value in lengths):
        raise MalformedHeaders(f"content-length is no number, or several: {sorted(lengths)}"[:_TEXT_LIMIT])


def _table(coder: Encoder | Decoder) -> tuple[object, int, int]:
    """HPACK's dynamic table, as far as it takes to see a change: additions, evictions, another largest size."""
    table = coder.header_table
    entries = table.dynamic_entries
    return entries[0] if entries else None, len(entries), table.maxsize


def _table_changed(coder: Encoder | Decoder, before: tuple[object, int, int]) -> bool:
    now = _table(coder)
    return now[0] is not before[0] or now[1:] != before[1:]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
