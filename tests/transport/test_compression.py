"""Compressed requests, as a real node takes them."""

from __future__ import annotations

import gzip
import struct
import zlib

import pytest

from tests.support import http2
from tests.support.links import Hand, headers, server_by_hand
from trio_esdb._transport._compression import decompress
from trio_esdb._transport._handlers import Failure
from trio_esdb._wire import Limits, Status

from .test_serving import BEGIN, METHODS, OK, heard, status

COMPRESS = {"gzip": gzip.compress, "deflate": zlib.compress}
PATHS = ("/joined", "/echo")


def ask(hand: Hand, path: str, encoding: str | None, *messages: bytes, flag: int = 1, cut: int = 0) -> None:
    """A call with these requests, whose messages come in pieces of so many bytes."""
    more = () if encoding is None else (("grpc-encoding", encoding),)
    raw = b"".join(struct.pack(">BI", flag, len(message)) + message for message in messages)
    size = cut or len(raw)
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    hand.put(
        hand.headers(1, headers(path, *more)),
        *(http2.data(1, piece) for piece in pieces),
        http2.data(1, b"", end=True),
    )


@pytest.mark.parametrize("cut", [0, 1, 3, 7, 8])
@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("path", PATHS)
async def test_requests_that_are_compressed(path: str, encoding: str, cut: int) -> None:
    async with server_by_hand(METHODS) as hand:
        ask(hand, path, encoding, *map(COMPRESS[encoding], (b"a" * 1000, b"", b"c")), cut=cut)
        first, *bodies, last = await heard(hand)
    expected = [b"a" * 1000 + b"++c"] if path == "/joined" else [b"a" * 1000, b"", b"c"]
    assert (first, last) == (BEGIN, OK)
    assert b"".join(body for body in bodies if isinstance(body, bytes)) == b"".join(map(http2.message, expected))


async def test_messages_without_the_flag_are_taken_as_they_are() -> None:
    async with server_by_hand(METHODS) as hand:
        ask(hand, "/joined", "br", b"plain", flag=0)
        assert await heard(hand) == [BEGIN, http2.message(b"plain"), OK]


async def test_an_empty_message_that_is_said_to_be_compressed() -> None:
    async with server_by_hand(METHODS) as hand:
        ask(hand, "/joined", "gzip", b"")
        assert await heard(hand) == [BEGIN, http2.message(b""), OK]


UNSUPPORTED = "Unsupported grpc-encoding value 'br'. Supported encodings: identity, gzip, deflate"


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("br", status(Status.UNIMPLEMENTED, UNSUPPORTED) | {"grpc-accept-encoding": "identity,gzip,deflate"}),
        (None, status(Status.INTERNAL, "Request did not include grpc-encoding value with compressed message.")),
        ("identity", status(Status.INTERNAL, "Request sent 'identity' grpc-encoding value with compressed message.")),
        ("gzip", status(Status.UNKNOWN, "Exception was thrown by handler.")),
    ],
)
@pytest.mark.parametrize("path", PATHS)
async def test_encodings_that_cannot_be_taken(path: str, encoding: str | None, told: dict[str, str]) -> None:
    async with server_by_hand(METHODS) as hand:
        ask(hand, path, encoding, b"no gzip")
        assert told in await heard(hand)


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("path", PATHS)
async def test_a_small_message_that_stands_for_a_large_one(path: str, encoding: str) -> None:
    async with server_by_hand(METHODS, Limits(receive_message=100_000)) as hand:
        ask(hand, path, encoding, COMPRESS[encoding](bytes(100_001)))
        text = "Received message exceeds the maximum configured message size."
        assert status(Status.RESOURCE_EXHAUSTED, text) in await heard(hand)


def test_no_more_is_decompressed_than_a_request_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    produced = []

    class Counting:
        def __init__(self, bits: int) -> None:
            self._decoder = real(bits)

        def decompress(self, data: bytes, most: int) -> bytes:
            found = self._decoder.decompress(data, most)
            produced.append(len(found))
            return found

    real = zlib.decompressobj
    bomb = zlib.compress(bytes(50_000_000))
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    with pytest.raises(Failure) as failed:
        decompress(bomb, "deflate", 1000)
    assert failed.value.status is Status.RESOURCE_EXHAUSTED
    assert produced == [1001]


@pytest.mark.parametrize("encoding", COMPRESS)
def test_the_largest_message(encoding: str) -> None:
    assert decompress(COMPRESS[encoding](b"x" * 1000), encoding, 1000) == b"x" * 1000


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("damage", ["cut", "more"])
def test_damaged_messages(encoding: str, damage: str) -> None:
    raw = COMPRESS[encoding](b"content")
    with pytest.raises(Failure, match="thrown by handler"):
        decompress(raw[:-1] if damage == "cut" else raw + b"x", encoding, 1000)
