"""Read responses besides events, from servers of every age, from a fork, and from servers that do not exist yet."""

from __future__ import annotations

import pytest

from tests.support import oracle
from tests.support.makers import block, number, read_response, varint
from trio_esdb._convert import (
    Confirmation,
    LastStreamPosition,
    ReadResponse,
    StreamNotFound,
    delete_response,
)
from trio_esdb._errors import ProtocolError
from trio_esdb._model import CaughtUp, Checkpoint, FellBehind

U64MAX = 2**64 - 1
TIME = block(1, number(1, 1_759_012_345) + number(2, 678_901_234))

READ: list[tuple[bytes, ReadResponse]] = [
    (block(2, block(1, b"sub-1")), Confirmation("sub-1")),
    (block(2, b""), Confirmation("")),
    (block(3, number(1, 9) + number(2, 5)), Checkpoint(9, 5)),
    (block(3, b""), Checkpoint(0, 0)),
    (block(3, number(1, U64MAX) + number(2, U64MAX)), Checkpoint(U64MAX, U64MAX)),
    (block(4, block(1, block(3, "straße".encode()))), StreamNotFound("straße")),
    (block(4, b""), StreamNotFound("")),
    (number(5, 0), None),
    (number(6, 0), LastStreamPosition(0)),
    (number(6, 2**63 - 1), LastStreamPosition(2**63 - 1)),
    (block(7, number(1, 5) + number(2, 5)), None),
    (block(8, b""), CaughtUp()),
    (block(9, b""), FellBehind()),
    (b"", None),
    # KurrentDB from 25.0.1 on tells a time, and a place
    (block(3, number(1, 9) + number(2, 9) + block(3, TIME[2:])), Checkpoint(9, 9)),
    (block(8, TIME + number(2, 7)), CaughtUp()),
    (block(8, TIME + block(3, number(1, 5) + number(2, 5))), CaughtUp()),
    (block(9, TIME + number(2, 7)), FellBehind()),
    # a fork gives the same numbers to other things
    (block(8, number(1, 7)), CaughtUp()),
    (block(8, block(2, number(1, 5) + number(2, 5))), CaughtUp()),
    (block(8, block(3, b"")), CaughtUp()),
    (block(9, number(1, 7)), FellBehind()),
    (block(9, block(2, number(1, 5) + number(2, 5))), FellBehind()),
    # a time that Python cannot say does not matter
    (block(3, number(1, 9) + number(2, 9) + block(3, number(1, 2**62))), Checkpoint(9, 9)),
    (block(8, block(1, number(1, 2**62)) + block(1, number(2, 5))), CaughtUp()),
    (block(8, block(1, number(1, 5)) + block(1, number(2, 5))), CaughtUp()),
    # what a server of the future may send
    (block(10, b"whatever"), None),
    (number(11, 5), None),
    (varint(12 << 3 | 1) + b"12345678", None),
    (block(2, block(1, b"sub-1") + block(2, b"more")), Confirmation("sub-1")),
    (number(3, 7), None),
]


@pytest.mark.parametrize(("raw", "meaning"), READ)
def test_what_is_read(raw: bytes, meaning: ReadResponse) -> None:
    assert read_response(raw) == meaning
    assert oracle.read_response(raw) == meaning


@pytest.mark.parametrize(
    "raw",
    [
        block(2, block(1, b"sub-1")[:-1]),  # the length inside reaches beyond
        block(2, block(1, b"sub-1"))[:-1],
        block(2, block(1, b"\xff")),
        block(3, number(1, 9) + b"\x10"),
        block(4, block(1, b"\x1a\x05abc")),
        block(8, b"\x0a\x05abc"),
        b"\x30",
        b"\x30" + b"\xff" * 10 + b"\x01",
        b"\x07",
        b"\x00",
    ],
)
def test_what_is_refused(raw: bytes) -> None:
    with pytest.raises(oracle.Refused):
        oracle.read_response(raw)
    with pytest.raises(ProtocolError, match="malformed") as caught:
        read_response(raw)
    assert caught.value.status == "INTERNAL"


def test_a_message_without_fields_may_hold_anything_well_formed() -> None:
    assert delete_response(b"\x12\x02\x00\x00") is None
    with pytest.raises(ProtocolError):
        delete_response(b"\x12\x01\x00")
