"""Messages in a stream of bytes, however it is cut."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.http2 import message
from trio_esdb._wire._messages import PREFIX_SIZE, CompressedMessage, Deframer, frame_messages

LIMIT = 100


def feed(deframer: Deframer, *portions: bytes) -> list[bytes]:
    found = []
    for portion in portions:
        before = deframer.held
        messages, consumed = deframer.feed(portion, 0, len(portion))
        assert before + len(portion) == consumed + deframer.held
        assert consumed == sum(PREFIX_SIZE + len(m) for m in messages)
        found += messages
    return found


@st.composite
def cuttings(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Messages, and their bytes in portions."""
    messages = draw(st.lists(st.binary(max_size=LIMIT), max_size=8))
    raw = b"".join(map(message, messages))
    places = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=20)))
    return messages, [raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True)]


@given(cuttings())
@settings(max_examples=150)
def test_any_cutting_gives_the_same_messages(case: tuple[list[bytes], list[bytes]]) -> None:
    messages, portions = case
    deframer = Deframer(LIMIT)
    assert feed(deframer, *portions) == messages
    assert deframer.missing == 0
    assert deframer.error is None


def test_one_byte_at_a_time_says_what_is_missing() -> None:
    deframer = Deframer(LIMIT)
    raw = message(b"abc")
    missing = []
    for at in range(len(raw)):
        deframer.feed(raw, at, at + 1)
        missing.append(deframer.missing)
    assert missing == [4, 3, 2, 1, 3, 2, 1, 0]


def test_nothing_is_kept_of_empty_portions() -> None:
    """They cost a peer no window, so nothing else would bound them."""
    deframer = Deframer(LIMIT)
    raw = message(b"abc")
    deframer.feed(raw, 0, 6)
    for _ in range(1000):
        assert deframer.feed(b"", 0, 0) == ([], 0)
    assert len(deframer._parts) == 1
    assert deframer.feed(raw, 6, 8) == ([b"abc"], 8)


def test_only_the_given_range_counts() -> None:
    raw = b"xx" + message(b"abc") + b"yy"
    assert Deframer(LIMIT).feed(raw, 2, len(raw) - 2) == ([b"abc"], 8)


def test_framing_is_the_reverse() -> None:
    small = [b"", b"abc", b"d" * 300]
    assert frame_messages(small) == [message(b"") + message(b"abc") + message(b"d" * 300)]
    assert frame_messages([]) == []


@given(st.lists(st.sampled_from([0, 1, 3, 16_384, 16_385, 100_000]), max_size=300))
def test_many_messages_are_framed_in_pieces(sizes: list[int]) -> None:
    """A large message is a piece of its own, and not copied; small ones are in pieces that do not grow for ever."""
    messages = [bytes(size) for size in sizes]
    pieces = frame_messages(iter(messages))
    assert b"".join(pieces) == b"".join(map(message, messages))
    large = {id(each) for each in messages if len(each) > 16_384}
    assert [id(piece) for piece in pieces if id(piece) in large] == [id(each) for each in messages if id(each) in large]
    assert all(
        0 < len(piece) <= 64 * (PREFIX_SIZE + 16_384) + PREFIX_SIZE for piece in pieces if id(piece) not in large
    )


@pytest.mark.parametrize(
    ("bad", "text", "too_large"),
    [
        (message(b"x", flag=1), "a compressed message came, though no compression was agreed", False),
        (message(b"x", flag=2), "a message came with the unknown flag 2", False),
        (message(b"x" * 101), "a message of 101 bytes came, 100 is the limit", True),
        (b"\x00\xff\xff\xff\xff", "a message of 4294967295 bytes came, 100 is the limit", True),
    ],
)
@pytest.mark.parametrize("cut_at", [0, 3, 8, 10, 12])
def test_a_bad_message_ends_it_and_what_came_before_counts(bad: bytes, text: str, too_large: bool, cut_at: int) -> None:
    deframer = Deframer(LIMIT)
    raw = message(b"abc") + bad
    assert feed(deframer, raw[:cut_at], raw[cut_at:]) == [b"abc"]
    assert deframer.error is not None
    assert (deframer.error.text, deframer.error.too_large) == (text, too_large)


def test_the_limit_itself_passes() -> None:
    deframer = Deframer(LIMIT)
    assert feed(deframer, message(b"x" * LIMIT)) == [b"x" * LIMIT]
    assert deframer.error is None


@pytest.mark.parametrize("size", [0, 1, 5, 100, 3000])
@pytest.mark.parametrize("cut", [1, 2, 4, 5, 6, 99, 10_000])
def test_compressed_messages_where_they_are_taken(size: int, cut: int) -> None:
    deframer = Deframer(3000)
    deframer.takes_compressed = True
    messages = [b"a" * size, b"b" * size, b"c" * size, b"d"]
    raw = b"".join(struct.pack(">BI", n % 2, len(body)) + body for n, body in enumerate(messages))
    found: list[bytes] = []
    consumed = 0
    for at in range(0, len(raw), cut):
        portion = raw[at : at + cut]
        complete, used = deframer.feed(portion, 0, len(portion))
        found += complete
        consumed += used
    assert found == messages
    assert [type(each) is CompressedMessage for each in found] == [False, True, False, True]
    assert consumed == len(raw)
    assert (deframer.held, deframer.error) == (0, None)


@pytest.mark.parametrize("raw", [b"\x01\0\0\x0b\xb9", b"\x02\0\0\0\x01", b"\xff\0\0\0\0"])
@pytest.mark.parametrize("cut", [1, 5])
def test_prefixes_that_are_not_taken_even_so(raw: bytes, cut: int) -> None:
    deframer = Deframer(3000)
    deframer.takes_compressed = True
    for at in range(0, len(raw), cut):
        portion = raw[at : at + cut]
        assert deframer.feed(portion, 0, len(portion)) == ([], 0)
    assert deframer.error is not None
    assert deframer.error.too_large is (raw[0] == 1)


@pytest.mark.parametrize("size", [1, 2, 16, 511, 512, 16_384])
@pytest.mark.parametrize("every", [1, 2])
def test_a_message_in_small_parts_is_not_held_many_times_over(size: int, every: int) -> None:
    """Of small parts alone, and of small and large ones in turn."""
    total = 200_000
    deframer = Deframer(10**7)
    feed(deframer, message(bytes(total))[:PREFIX_SIZE])
    portions = [memoryview(bytes(size)), memoryview(bytes(600))][:every]
    tracemalloc.start()
    try:
        while deframer.missing > size + 600:
            for portion in portions:
                deframer.feed(bytes(portion), 0, len(portion))
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.5 * total
    assert peak < 1.6 * total
    assert feed(deframer, bytes(deframer.missing)) == [bytes(total)]
