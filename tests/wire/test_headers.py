"""Header blocks: what is remembered must stay right whatever happens to HPACK's tables."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import http2 as rig
from trio_esdb._wire import Code
from trio_esdb._wire._headers import (
    REQUEST,
    REQUEST_TRAILERS,
    RESPONSE,
    RESPONSE_TRAILERS,
    BlockDecoder,
    BlockEncoder,
    BlockError,
    Header,
    MalformedHeaders,
    list_size,
    literal,
)

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
    decoder = Decoder()
    decoder.max_header_list_size = 10**6
    ours = BlockDecoder(decoder)
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
    first, second, third = (ours.encode(rig.REQUEST) for _ in range(3))
    assert len(first) > len(second) == len(rig.REQUEST)
    assert third is second


def test_a_date_that_changes_each_second() -> None:
    theirs = Encoder()
    ours = BlockDecoder(Decoder())
    for second in range(200):
        for _ in range(3):
            headers = (*rig.RESPONSE, ("date", f"Mon, 23 Nov 2026 13:{second // 60:02}:{second % 60:02} GMT"))
            assert ours.decode(theirs.encode(list(headers)), RESPONSE) == headers


def test_an_entry_evicted_behind_our_back_is_gone() -> None:
    """A table made small and large again in one block: its newest entry stays, older ones are out of reach."""
    theirs = Encoder()
    ours = BlockDecoder(Decoder())
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


def test_only_so_many_blocks_are_remembered() -> None:
    encoder = Encoder()
    encoder.header_table_size = 0
    ours = BlockEncoder(encoder)
    decoder = BlockDecoder(Decoder())
    for number in range(1000):
        headers = (("x", str(number)),)
        block = ours.encode(headers)
        assert decoder.decode(block, RESPONSE_TRAILERS) == headers
    assert len(ours._known) == len(decoder._known[True]) == 256


def test_the_same_block_by_other_rules_is_checked_again() -> None:
    ours = BlockDecoder(Decoder())
    block = Encoder().encode([(":status", "200")])
    assert ours.decode(block, RESPONSE) == ((":status", "200"),)
    with pytest.raises(MalformedHeaders):
        ours.decode(block, RESPONSE_TRAILERS)


def test_a_literal_is_a_header_and_leaves_the_table_alone() -> None:
    decoder = Decoder()
    assert plain(decoder, literal("grpc-timeout", "5000m")) == (("grpc-timeout", "5000m"),)
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
    ],
)
def test_a_block_that_cannot_be_decoded(block: bytes, code: Code, text: str) -> None:
    with pytest.raises(BlockError) as caught:
        BlockDecoder(Decoder()).decode(block, REQUEST)
    assert caught.value.code == code
    assert text in str(caught.value)


def test_a_small_block_that_says_very_much() -> None:
    decoder = Decoder()
    decoder.max_header_list_size = 1024 * 1024
    encoder = Encoder()
    block = encoder.encode([("bomb", "x" * 4000)]) + b"\xbe" * 300
    with pytest.raises(BlockError, match="1 MiB") as caught:
        BlockDecoder(decoder).decode(block, REQUEST_TRAILERS)
    assert caught.value.code == Code.ENHANCE_YOUR_CALM


def test_the_reason_is_short() -> None:
    with pytest.raises(BlockError) as caught:
        BlockDecoder(Decoder()).decode(b"\xff" + b"\xff" * 60_000, REQUEST)
    assert len(str(caught.value)) <= 200


def edited(*headers: tuple[str, str], drop: str = "") -> list[tuple[str, str]]:
    return [header for header in rig.REQUEST if header[0] != drop] + list(headers)


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
    decode: Callable[..., object] = BlockDecoder(Decoder()).decode
    with pytest.raises(MalformedHeaders):
        decode(Encoder().encode(headers), rules)


@pytest.mark.parametrize(
    "headers",
    [
        [("grpc-message", " a real node begins some messages with a blank")],
        [("grpc-message", "blank at the end\t")],
        [("x", "")],
        [("content-length", "5"), ("content-length", "5")],
        [],
    ],
)
def test_headers_that_pass(headers: list[tuple[str, str]]) -> None:
    assert BlockDecoder(Decoder()).decode(Encoder().encode(headers), RESPONSE_TRAILERS) == tuple(headers)


def test_bytes_that_are_no_text_are_shown_all_the_same() -> None:
    block = Encoder().encode([(b"x", b"caf\xe9"), (b"y", "\u00e9".encode())])
    assert BlockDecoder(Decoder()).decode(block, RESPONSE_TRAILERS) == (("x", "caf\ufffd"), ("y", "\u00e9"))
