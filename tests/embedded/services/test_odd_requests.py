"""Requests encoded as no client does it: in pieces, with unknown fields, with very many fields, broken inside."""

from __future__ import annotations

import logging

import pytest
import trio

from tests.support.makers import block, number, varint
from tests.support.peer import OPERATIONS, STREAMS, UNKNOWN, Peer
from trio_esdb._wire import Status

METHODS = [STREAMS + name for name in ("Read", "Append", "Delete", "Tombstone", "BatchAppend")]
METHODS += [OPERATIONS + name for name in ("StartScavenge", "StopScavenge")]
GROUP, END = varint(15 << 3 | 3), varint(15 << 3 | 4)
NO_PROTOBUF = {
    "a tag that is cut off": b"\xff",
    "a size beyond the end": b"\x0a\x05a",
    "a tag alone": b"\x0a",
    "a fixed number that is cut off": b"\x0d\x01",
    "field number 0": b"\x02\x00",
    "a wire type that does not exist": b"\x0e",
    "an endless varint": b"\x78" + b"\xff" * 11,
    "an endless size": b"\x7a" + b"\xff" * 6,
    "a group without an end": GROUP,
    "an end without a group": END,
    "an end of another group": GROUP + varint(14 << 3 | 4),
    "groups in groups": GROUP * 200 + END * 200,
}
NAME = block(1, block(3, b"s"))
READ = block(1, NAME + block(3, b"")) + number(5, 2**64 - 1) + block(8, b"") + block(9, block(2, b""))
SKIPPED = number(900, 2**64 - 1) + number(900, 5, 8) + block(901, b"x") + varint(902 << 3 | 5) + b"1234"
SKIPPED += GROUP + number(1, 1) + END


@pytest.fixture(autouse=True)
def nothing_logged(caplog: pytest.LogCaptureFixture) -> object:
    """What a client does wrong is not the node's error."""
    yield
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("raw", NO_PROTOBUF.values(), ids=NO_PROTOBUF.keys())
async def test_bytes_inside_that_are_no_message(peer: Peer, raw: bytes) -> None:
    options = block(1, NAME + block(4, b""))
    for path, requests in (
        ("Read", [block(1, raw)]),
        ("Read", [block(1, READ + block(7, raw))]),
        ("Append", [block(1, raw)]),
        ("Append", [options, block(2, raw)]),
        ("Append", [options, block(2, block(1, raw))]),
        ("Append", [options, block(2, block(2, raw))]),
        ("Delete", [block(1, block(1, raw))]),
        ("BatchAppend", [block(1, raw)]),
        ("BatchAppend", [block(2, raw)]),
        ("BatchAppend", [block(1, block(2, b"a")) + block(2, block(7, raw))]),
    ):
        outcome = await peer.call(STREAMS + path).send_raw(*requests).half_close().end()
        assert (outcome.status, outcome.message) == (Status.UNKNOWN, UNKNOWN)


@pytest.mark.parametrize("raw", [number(1, 1), varint(1 << 3 | 5) + b"1234", varint(1 << 3 | 1) + b"12345678", SKIPPED])
async def test_options_of_another_wire_type_are_no_options(peer: Peer, raw: bytes) -> None:
    for path in METHODS:
        call = peer.call(path).send_raw(raw).half_close()
        if path == STREAMS + "BatchAppend":
            assert (await call.end()).message == UNKNOWN  # a part without a correlation id
            continue
        outcome = await call.end()
        assert (outcome.status, outcome.message) == (Status.UNKNOWN, UNKNOWN)


async def test_fields_of_another_wire_type_inside_are_skipped(peer: Peer) -> None:
    outcome = await peer.call(STREAMS + "Read").send_raw(block(1, number(1, 1))).half_close().end()
    assert outcome.status is Status.INVALID_ARGUMENT
    assert "uuidOption" in outcome.message
    odd = number(1, 1) + block(3, b"s") + varint(9 << 3 | 5) + b"1234" + SKIPPED
    outcome = await peer.call(STREAMS + "Read").send_raw(block(1, odd)).half_close().end()
    assert "uuidOption" in outcome.message


async def test_a_read_request_in_pieces_and_with_unknown_fields(peer: Peer) -> None:
    await peer.append("s", peer.event(), peer.event())
    pieces = [
        block(1, block(1, block(1, block(3, b"no")))),
        SKIPPED,
        block(1, block(1, NAME)),
        block(1, block(2, b"") + number(5, 7)),  # all streams, then this one
        block(1, SKIPPED + READ[: len(block(1, NAME + block(3, b"")))]),
        block(1, number(5, 2**64 - 1, 0) + SKIPPED + block(8, b"") + block(9, block(1, b"")) + block(9, block(2, b""))),
    ]
    call = peer.call(STREAMS + "Read").send_raw(b"".join(pieces)).half_close()
    found = await call.some(2)
    assert [message["event"]["event"]["data"] for message in found] == ["{}", "{}"]
    assert "string" in found[0]["event"]["event"]["id"]
    assert (await call.end()).ok


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("Read", b"\x78\x00" * 500_000),
        ("Read", b"\x0a\x00" * 500_000),
        ("Read", block(1, b"\x0a\x00" * 500_000)),
        ("Read", block(1, block(7, block(1, b"\x12\x00" * 500_000)))),
        ("Read", block(1, block(1, block(1, b"\x1a\x00" * 500_000)))),
        ("Append", b"\x0a\x00" * 500_000),
        ("Append", block(1, block(1, b"\x1a\x00" * 500_000))),
        ("Delete", b"\x0a\x00" * 500_000),
        ("Tombstone", block(1, b"\x0a\x00" * 500_000)),
        ("BatchAppend", b"\x12\x00" * 500_000),
        ("BatchAppend", b"\x1a\x00" * 500_000),
    ],
    ids=range(11),
)
async def test_requests_of_too_many_fields_are_refused_at_once(
    peer: Peer, path: str, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No field is looked at beyond the limit, whatever their number is."""
    read = 0

    def counted(data: bytes, at: int, stop: int) -> tuple[int, int]:
        nonlocal read
        read += 1
        return real(data, at, stop)

    from trio_esdb import _protobuf

    real = _protobuf.read_varint
    monkeypatch.setattr(_protobuf, "read_varint", counted)
    outcome = await peer.call(STREAMS + path).send_raw(raw).half_close().end()
    assert (outcome.status, outcome.message) == (Status.UNKNOWN, UNKNOWN)
    assert read <= 25_000


async def test_many_prefixes_are_taken(peer: Peer) -> None:
    await peer.append("s", peer.event(type="P999x"))
    prefixes = b"".join(block(2, b"P%d" % n) for n in range(1000))
    filter_ = block(2, prefixes) + number(3, 32) + number(5, 1)
    options = block(2, block(2, b"")) + number(5, 1) + block(7, filter_) + block(9, block(2, b""))
    call = peer.call(STREAMS + "Read").send_raw(block(1, options)).half_close()
    (found,) = await call.some(1)
    assert found["event"]["event"]["metadata"]["type"] == "P999x"
    with pytest.raises(trio.EndOfChannel):
        await call.raw()
