"""Header blocks: what is remembered must stay right whatever happens to HPACK's tables."""

from __future__ import annotations

import contextlib
import gc
import tracemalloc
from collections.abc import Callable

import pytest
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import http2
from trio_esdb._wire import Code
from trio_esdb._wire._headers import (
    REQUEST,
    REQUEST_TRAILERS,
    RESPONSE,
    RESPONSE_TRAILERS,
    Header,
    MalformedHeaders,
    list_size,
)
from trio_esdb._wire._hpack import (
    NEVER_INDEXED,
    BlockDecoder,
    BlockEncoder,
    BlockError,
    OversizedHeaders,
    literal,
)

LIMIT = 10**6

NAMES = ["accept", "x", "content-type", "authorization", "grpc-status", "a-long-name-for-a-header"]
lists_ = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["", "0", "trailers", "application/grpc", "v" * 60, "w" * 4100])),
    max_size=5,
).map(tuple)
sizes = st.sampled_from([0, 40, 100, 4096, 10_000])
steps = st.lists(st.one_of(lists_, st.lists(sizes, min_size=1, max_size=3)), min_size=1, max_size=15)


def plain(decoder: Decoder, block: bytes) -> tuple[Header, ...]:
    return tuple((name.decode(), value.decode()) for name, value in decoder.decode(block, raw=True))


@given(steps)
@settings(max_examples=80)
def test_a_foreign_decoder_always_understands(script: list[tuple[Header, ...] | list[int]]) -> None:
    """The same lists again and again, while the peer changes the size of its table."""
    encoder = Encoder()
    ours = BlockEncoder(encoder)
    theirs = Decoder()
    theirs.max_header_list_size = 10**6
    for step in script:
        if isinstance(step, tuple):
            for _ in range(2):
                assert plain(theirs, ours.encode(step)) == step
        else:
            for size in step:
                encoder.header_table_size = size
                ours.forget()
            theirs.max_allowed_table_size = step[-1]


@given(steps)
@settings(max_examples=80)
def test_we_always_understand_a_foreign_encoder(script: list[tuple[Header, ...] | list[int]]) -> None:
    theirs = Encoder()
    ours = BlockDecoder(LIMIT)
    check = Decoder()
    check.max_header_list_size = 10**6
    for step in script:
        if isinstance(step, tuple):
            for _ in range(2):
                block = theirs.encode(list(step))
                assert ours.decode(block, RESPONSE_TRAILERS) == step == plain(check, block)
        else:
            for size in step:
                if theirs.header_table_size != min(size, 4096):
                    theirs.header_table_size = min(size, 4096)


def test_what_is_said_again_costs_one_byte_a_header() -> None:
    ours = BlockEncoder(Encoder())
    first, second, third = (ours.encode(http2.REQUEST) for _ in range(3))
    assert len(first) > len(second) == len(http2.REQUEST)
    assert third is second


def test_a_date_that_changes_each_second() -> None:
    theirs = Encoder()
    ours = BlockDecoder(LIMIT)
    for second in range(200):
        for _ in range(3):
            headers = (*http2.RESPONSE, ("date", f"Mon, 23 Nov 2026 13:{second // 60:02}:{second % 60:02} GMT"))
            assert ours.decode(theirs.encode(list(headers)), RESPONSE) == headers


def test_an_entry_evicted_behind_our_back_is_gone() -> None:
    """A table made small and large again in one block: its newest entry stays, older ones are out of reach."""
    theirs = Encoder()
    ours = BlockDecoder(LIMIT)
    ours.decode(theirs.encode([("a", "1")]), REQUEST_TRAILERS)
    old = theirs.encode([("a", "1")])
    ours.decode(theirs.encode([("b", "2")]), REQUEST_TRAILERS)
    old_now = theirs.encode([("a", "1")])
    assert old != old_now
    assert ours.decode(old_now, REQUEST_TRAILERS) == (("a", "1"),)
    theirs.header_table_size = 40
    theirs.header_table_size = 4096
    assert ours.decode(theirs.encode([("b", "2")]), REQUEST_TRAILERS) == (("b", "2"),)
    with pytest.raises(BlockError, match="Invalid table index"):
        ours.decode(old_now, REQUEST_TRAILERS)


def test_secrets_stay_out_of_the_table() -> None:
    encoder = Encoder()
    block = BlockEncoder(encoder).encode((("authorization", "Basic YTpi"),))
    assert not encoder.header_table.dynamic_entries
    assert block[0] & 0xF0 == 0x10, "never indexed, and proxies are told so too"


def test_what_is_remembered_is_bounded_in_bytes() -> None:
    """Objects that live on after thousands of blocks, small, large and refused ones."""
    encoder = Encoder()
    encoder.header_table_size = 0
    ours = BlockEncoder(encoder)
    decoder = BlockDecoder(64 * 1024)

    def both(number: int, size: int) -> None:
        headers = (("x", f"{number:05}" + "v" * size),)
        with contextlib.suppress(OversizedHeaders):
            assert decoder.decode(ours.encode(headers), RESPONSE_TRAILERS) == headers

    both(0, 10)
    tracemalloc.start()
    try:
        for size in (10, 1000, 5000, 60_000, 100_000):
            for number in range(200):
                both(number, size)
        gc.collect()  # errors that were raised keep their blocks until then
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 600_000


def test_a_full_memory_begins_anew() -> None:
    """A token that changes, or names that never come again, must not keep the usual headers out for ever."""
    encoder = Encoder()
    encoder.header_table_size = 0
    ours = BlockEncoder(encoder)
    decoder = BlockDecoder(LIMIT)
    for number in range(3000):
        headers = (("x", str(number)),)
        decoder.decode(ours.encode(headers), RESPONSE_TRAILERS)
    block = ours.encode(http2.OK)
    assert ours.encode(http2.OK) is block
    assert decoder.decode(block, RESPONSE_TRAILERS) is decoder.decode(block, RESPONSE_TRAILERS)


def test_secrets_are_not_remembered() -> None:
    ours = BlockEncoder(Encoder())
    headers = (*http2.REQUEST, ("authorization", "Basic YTpi"))
    for _ in range(3):
        ours.encode(headers)
    assert ours.encode(headers) is not ours.encode(headers)
    assert plain(Decoder(), ours.encode((("authorization", "Basic YTpi"),))) == (("authorization", "Basic YTpi"),)


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 254, 255, 256, 257, 16_510, 16_511, 300_000])
def test_a_long_value_is_a_plain_literal_and_leaves_the_table_alone(size: int) -> None:
    """Without Huffman codes, which hpack writes in quadratic time, and without emptying the table."""
    encoder = Encoder()
    ours = BlockEncoder(encoder)
    decoder = Decoder(max_header_list_size=LIMIT)
    plain(decoder, ours.encode(http2.OK))
    headers = (("stream-name", "n" * size), ("grpc-message", "m" * size), *http2.OK)
    block = ours.encode(headers)
    assert plain(decoder, block) == headers
    if size > 256:
        assert b"n" * size in block
        assert len(encoder.header_table.dynamic_entries) == 1
    assert BlockDecoder(LIMIT).decode(BlockEncoder(Encoder()).encode(headers), RESPONSE_TRAILERS) == headers


def test_a_change_of_the_tables_size_comes_before_a_long_value() -> None:
    encoder = Encoder()
    ours = BlockEncoder(encoder)
    encoder.header_table_size = 100
    ours.forget()
    headers = (("x", "v" * 1000), ("y", "1"))
    decoder = Decoder()
    decoder.max_allowed_table_size = 100
    assert plain(decoder, ours.encode(headers)) == headers


values = st.sampled_from(["", "0", "v" * 60, "w" * 4100, "\x7f" * 3000, "x" * 9000, "y" * 35_000])
large_lists = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=5).map(tuple)


def in_parts(decoder: BlockDecoder, block: bytes, places: list[int]) -> tuple[Header, ...]:
    parts = decoder.begin()
    cuts = sorted(place % (len(block) + 1) for place in places)
    for start, stop in zip([0, *cuts], [*cuts, len(block)], strict=True):
        parts.feed(block[start:stop])
    return decoder.decode(parts, RESPONSE_TRAILERS)


@given(st.lists(large_lists, max_size=6), st.lists(st.integers(0, 10**6), max_size=4), st.booleans())
@settings(max_examples=60)
def test_a_block_in_parts_says_the_same_and_leaves_the_same_table(
    script: list[tuple[Header, ...]], places: list[int], huffman: bool
) -> None:
    """Also where a list is beyond the limit: the table must be right for the next block."""
    theirs = Encoder()
    limit = 20_000
    ours = BlockDecoder(limit)
    check = Decoder(max_header_list_size=10**7)
    for headers in script:
        block = b"".join(theirs.encode([one], huffman=huffman and len(one[1]) < 5000) for one in headers)
        assert plain(check, block) == headers
        if list_size(headers) > limit:
            with pytest.raises(OversizedHeaders):
                in_parts(ours, block, places)
        else:
            assert in_parts(ours, block, places) == headers
        assert ours._decoder.header_table.dynamic_entries == check.header_table.dynamic_entries


def test_a_long_huffman_string_is_dropped_unread() -> None:
    """To decode it takes hundreds of times longer than to copy it; it counts twice."""
    size = 127 + 128 * 128 + 4
    assert 2 * size > 8 * 4096
    huffman = b"\x40\x01x\xff\x84\x80\x01" + bytes(size)  # "x" with 26,424 zeros, of five bits each
    decoder = BlockDecoder(2 * size)
    headers = decoder.decode(huffman, RESPONSE_TRAILERS)
    assert headers == (("x", "0" * (size * 8 // 5)),)
    decoder = BlockDecoder(2 * size - 1)
    decoder.decode(b"\x40\x01y\x01z", RESPONSE_TRAILERS)
    with pytest.raises(OversizedHeaders):
        decoder.decode(huffman, RESPONSE_TRAILERS)
    with pytest.raises(BlockError, match="Invalid table index"):
        decoder.decode(b"\xbe", RESPONSE_TRAILERS)  # an entry that is too large has emptied the table


def test_a_block_byte_by_byte() -> None:
    headers = (*http2.RESPONSE, ("x", "v" * 300), ("\u00e9" * 100, ""), ("x", "v" * 300))
    block = Encoder().encode(list(headers))
    ours = BlockDecoder(LIMIT)
    parts = ours.begin()
    for at in range(len(block)):
        parts.feed(block[at : at + 1])
    assert parts.fields == [(name.encode(), value.encode()) for name, value in headers]


def test_what_a_large_block_costs_is_proportional_to_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """hpack copies what it is given for each literal in it. Counted: the bytes that it is given."""
    given_bytes = 0
    decode = Decoder.decode

    def counted(self: Decoder, data: bytes, raw: bool = False) -> object:
        nonlocal given_bytes
        given_bytes += len(data)
        return decode(self, data, raw)

    monkeypatch.setattr(Decoder, "decode", counted)
    block = literal(b"x", b"v" * 50) * 4000
    assert len(BlockDecoder(LIMIT).decode(block, RESPONSE_TRAILERS)) == 4000
    assert given_bytes == len(block)


@pytest.mark.parametrize("field", [b"\xbe", b"\x00\x01x\x00", b"\x40\x01x\x00"])
def test_too_many_fields(field: bytes) -> None:
    """An indexed field is one byte; each takes its time here and with everybody who looks at the headers."""
    ours = BlockDecoder(10**9)
    ours.decode(b"\x40\x01x\x01y", RESPONSE_TRAILERS)
    with pytest.raises(OversizedHeaders, match="more than 4096 headers"):
        ours.decode(field * 5000, RESPONSE_TRAILERS)
    newest = "" if field[0] == 0x40 else "y"
    assert ours.decode(b"\xbe", RESPONSE_TRAILERS) == (("x", newest),)
    with pytest.raises(BlockError, match="a header block with too many fields") as caught:
        ours.decode(field * 33_000, RESPONSE_TRAILERS)
    assert caught.value.code == Code.ENHANCE_YOUR_CALM


def test_fields_that_nobody_wants_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: what hpack is asked to decode of a list that is refused."""
    ours = BlockDecoder(10_000)
    fields = 0
    decode = Decoder.decode

    def counted(self: Decoder, data: bytes, raw: bool = False) -> object:
        nonlocal fields
        fields += 1
        return decode(self, data, raw)

    monkeypatch.setattr(Decoder, "decode", counted)
    with pytest.raises(OversizedHeaders):
        ours.decode(b"\x88" * 30_000 + b"\x40\x01x\x01y", RESPONSE_TRAILERS)
    assert fields < 300
    assert ours.decode(b"\xbe", RESPONSE_TRAILERS) == (("x", "y"),)


def test_a_string_beyond_the_limit_is_not_kept() -> None:
    ours = BlockDecoder(10_000)
    parts = ours.begin()
    raw = literal(b"x", b"v" * 10**6)
    tracemalloc.start()
    try:
        for at in range(0, len(raw) - 1, 999):
            parts.feed(raw[at : min(at + 999, len(raw) - 1)])
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000
    assert held < 5000
    assert not parts.whole
    parts.feed(raw[-1:] + b"\x88" + b"\x40\x01x\x01y")
    assert parts.whole
    assert parts.too_large
    assert parts.fields == []


def test_the_same_block_by_other_rules_is_checked_again() -> None:
    ours = BlockDecoder(LIMIT)
    block = Encoder().encode([(":status", "200")])
    assert ours.decode(block, RESPONSE) == ((":status", "200"),)
    with pytest.raises(MalformedHeaders):
        ours.decode(block, RESPONSE_TRAILERS)


def test_a_literal_that_proxies_may_not_index() -> None:
    (header,) = Decoder().decode(literal(b"authorization", b"Basic YTpi", NEVER_INDEXED), raw=True)
    assert header == (b"authorization", b"Basic YTpi")
    assert not header.indexable


def test_a_literal_is_a_header_and_leaves_the_table_alone() -> None:
    decoder = Decoder()
    assert plain(decoder, literal(b"grpc-timeout", b"5000m")) == (("grpc-timeout", "5000m"),)
    assert not decoder.header_table.dynamic_entries


def test_the_size_of_a_list() -> None:
    assert list_size(()) == 0
    assert list_size((("ab", "c"), ("d", ""))) == 2 * 32 + 4


@pytest.mark.parametrize(
    ("block", "code", "text"),
    [
        (b"\x80", Code.COMPRESSION_ERROR, "a header block cannot be decoded: Invalid table index 0"),
        (b"\xff\xff\xff\xff\xff\xff\xff", Code.COMPRESSION_ERROR, "integer representation"),
        (b"\x00\x05ab", Code.COMPRESSION_ERROR, "a header block cannot be decoded"),
        (b"\x00\x81\x00\x00", Code.COMPRESSION_ERROR, "a header block cannot be decoded"),
        (b"\x3f\xe2\x1f", Code.COMPRESSION_ERROR, "Encoder exceeded max allowable table size"),
        (b"\x82\x20", Code.COMPRESSION_ERROR, "Table size update not at the start"),
        (b"\x40", Code.COMPRESSION_ERROR, "a header block cannot be decoded"),
        (b"\x88" * 33_000, Code.ENHANCE_YOUR_CALM, "a header block with too many fields"),
        (b"\x88" * 5000 + b"\x40", Code.COMPRESSION_ERROR, "ends inside a field"),
        (literal(b"x", b"v" * 5000) + b"\x40", Code.COMPRESSION_ERROR, "ends inside a field"),
        (literal(b"x", b"v" * 5000)[:-1], Code.COMPRESSION_ERROR, "ends inside a field"),
        (literal(b"x", b"v" * 5000) + b"\x20", Code.COMPRESSION_ERROR, "size changes inside the block"),
        (literal(b"x", b"v" * 5000) + b"\xff" * 7, Code.COMPRESSION_ERROR, "an integer has too many bytes"),
        (literal(b"x", b"v" * 5000) + b"\xfe", Code.COMPRESSION_ERROR, "Invalid table index"),
    ],
)
def test_a_block_that_cannot_be_decoded(block: bytes, code: Code, text: str) -> None:
    with pytest.raises(BlockError) as caught:
        BlockDecoder(LIMIT).decode(block, REQUEST)
    assert caught.value.code == code
    assert text in str(caught.value)


def test_a_small_block_that_says_very_much() -> None:
    """Only its stream is refused; the table stays right."""
    ours = BlockDecoder(64 * 1024)
    encoder = Encoder()
    first = encoder.encode([("bomb", "x" * 4000)])
    with pytest.raises(OversizedHeaders, match="more than 65536 bytes"):
        ours.decode(first + b"\xbe" * 300, REQUEST_TRAILERS)
    assert ours.decode(b"\xbe", REQUEST_TRAILERS) == (("bomb", "x" * 4000),)


def test_decoding_keeps_nothing_beyond_the_limit() -> None:
    ours = BlockDecoder(64 * 1024)
    parts = ours.begin()
    parts.feed(b"\x40\x01x" + literal(b"", b"y" * 4000)[2:])
    for count in range(1, 4000):
        parts.feed(b"\xbe")
        assert sum(len(value) for _, value in parts.fields) <= 64 * 1024, count
    assert parts.too_large


def test_the_reason_is_short() -> None:
    with pytest.raises(BlockError) as caught:
        BlockDecoder(LIMIT).decode(b"\xff" + b"\xff" * 60_000, REQUEST)
    assert len(str(caught.value)) <= 200


def edited(*headers: tuple[str, str], drop: str = "") -> list[tuple[str, str]]:
    return [header for header in http2.REQUEST if header[0] != drop] + list(headers)


@pytest.mark.parametrize(
    ("headers", "rules"),
    [
        (edited(drop=":path"), REQUEST),
        (edited(drop=":method"), REQUEST),
        (edited(drop=":scheme"), REQUEST),
        (edited(drop=":authority"), REQUEST),
        (edited((":late", "x")), REQUEST),
        (edited((":path", "/late")), REQUEST),
        (edited(("Upper", "x")), REQUEST),
        (edited(("", "x")), REQUEST),
        (edited(("a b", "x")), REQUEST),
        (edited(("a:b", "x")), REQUEST),
        (edited(("x", "a\nb")), REQUEST),
        (edited(("x", "a\rb")), REQUEST),
        (edited(("x", "a\0b")), REQUEST),
        (edited(("x", "a" * 1000 + "\r")), REQUEST),
        (edited(("x", "a" * 1000 + "\n" + "a" * 1000)), REQUEST),
        (edited(("x", "\0" + "a" * 1000)), REQUEST),
        (edited(("x" * 1025, "a")), REQUEST),
        (edited(("content-length", "1_0")), REQUEST),
        (edited(("content-length", "+1")), REQUEST),
        (edited(("content-length", "\u0663")), REQUEST),
        (edited(("connection", "close")), REQUEST),
        (edited(("te", "gzip"), drop="te"), REQUEST),
        (edited(("host", "other")), REQUEST),
        (edited((":status", "200")), REQUEST),
        ([(":status", "200"), *edited()], REQUEST),
        ([("content-type", "x")], RESPONSE),
        ([(":status", "200"), (":status", "200")], RESPONSE),
        ([(":status", "200"), (":path", "/")], RESPONSE),
        ([(":status", "200")], RESPONSE_TRAILERS),
        ([(":path", "/")], REQUEST_TRAILERS),
        (edited(("content-length", "x")), REQUEST),
        (edited(("content-length", "")), REQUEST),
        (edited(("content-length", "-1")), REQUEST),
        (edited(("content-length", " 1")), REQUEST),
        (edited(("content-length", "9" * 20)), REQUEST),
        (edited(("content-length", "1"), ("content-length", "2")), REQUEST),
    ],
)
def test_headers_against_the_rules(headers: list[tuple[str, str]], rules: object) -> None:
    decode: Callable[..., object] = BlockDecoder(LIMIT).decode
    with pytest.raises(MalformedHeaders):
        decode(Encoder().encode(headers), rules)


@pytest.mark.parametrize(
    "headers",
    [
        [("grpc-message", " a real node begins some messages with a blank")],
        [("grpc-message", "blank at the end\t")],
        [("stream-name", "a\ttab")],
        [("x", "a" * 200 + " ")],
        [("x" * 1024, "a" * 100_000)],
        [("x", "")],
        [("content-length", "5"), ("content-length", "5")],
        [],
    ],
)
def test_headers_that_pass(headers: list[tuple[str, str]]) -> None:
    assert BlockDecoder(LIMIT).decode(Encoder().encode(headers), RESPONSE_TRAILERS) == tuple(headers)


def test_bytes_that_are_no_text_are_shown_all_the_same() -> None:
    block = Encoder().encode([(b"x", b"caf\xe9"), (b"y", "\u00e9".encode())])
    assert BlockDecoder(LIMIT).decode(block, RESPONSE_TRAILERS) == (("x", "caf\ufffd"), ("y", "\u00e9"))
