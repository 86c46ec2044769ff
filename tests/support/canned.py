"""A server whose answers are made in advance, so that only the cost of the client is counted."""

from __future__ import annotations

import contextlib
import ssl
import struct
from collections.abc import Iterable

import hpack
import trio

from tests.support import scripted
from tests.support.http2 import frame, message, settings, window_update
from tests.support.tls import server_context

_GREETING = settings((3, 100), (4, 786_432), (6, 32_768)) + window_update(0, 983_041)
"""A real node's limits of streams, windows and headers."""


def event(number: int, size: int = 200) -> bytes:
    """A read response with an event, as a real node sends it."""
    position = 1_000_000 + 378 * number
    return scripted.event(number, "guarded-stream", type="Guarded", data=b"x" * size, position=position)


def packed(messages: Iterable[bytes], stream_id: int) -> bytes:
    """The DATA frames of a read as a real node sends them: whole messages, at least 4096 bytes in a frame."""
    frames, waiting = [], b""
    for each in messages:
        waiting += message(each)
        if len(waiting) >= 4096:
            frames.append(frame(0, 0, stream_id, waiting))
            waiting = b""
    return b"".join(frames) + (frame(0, 0, stream_id, waiting) if waiting else b"")


def live(messages: Iterable[bytes], stream_id: int) -> bytes:
    """The DATA frames of a live subscription as a real node sends them: one message in each."""
    return b"".join(frame(0, 0, stream_id, message(each)) for each in messages)


class CannedServer(trio.abc.Stream):
    """The client's end of a connection on which each call gets the answer that ``answer`` makes of its stream number.

    ``sends`` and ``receives`` count the calls, ``sent`` the bytes. ``chunk`` is how much one receive gives at most.
    """

    def __init__(self, answer: object, chunk: int = 65_536) -> None:
        self.sends = self.receives = self.sent = 0
        self.requests = 0
        self._answer = answer
        self._chunk = chunk
        self._encoder = hpack.Encoder()
        self._blocks: dict[tuple[tuple[str, str], ...], bytes] = {}
        self._waiting = bytearray(_GREETING)
        self._more = trio.lowlevel.ParkingLot()
        self._closed = False

    def headers(self, stream_id: int, *pairs: tuple[str, str], end: bool = False) -> bytes:
        """A HEADERS frame. From the second time on the same headers are the same bytes, as HPACK's table holds them."""
        block = self._blocks.get(pairs)
        if block is None:
            block = self._encoder.encode(pairs)
            if all(0x80 <= byte < 0xFF for byte in block):
                self._blocks[pairs] = block
        return frame(1, 5 if end else 4, stream_id, block)

    async def send_all(self, data: bytes) -> None:
        self.sends += 1
        self.sent += len(data)
        self._take(data)
        self._more.unpark_all()
        await trio.lowlevel.checkpoint()

    def _take(self, data: bytes) -> None:
        at = 24 if data.startswith(b"PRI") else 0
        while at < len(data):
            upper, lower, kind, flags, stream_id = struct.unpack_from(">HBBBI", data, at)
            at += 9 + (upper << 8 | lower)
            if kind == 0 and flags & 1:
                self.requests += 1
                self._waiting += self._answer(self, stream_id)  # type: ignore[operator]

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        self.receives += 1
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            if self._closed:
                raise trio.ClosedResourceError
            await self._more.park()
        data = bytes(self._waiting[: self._chunk])
        del self._waiting[: self._chunk]
        return data

    async def aclose(self) -> None:
        self._closed = True
        self._more.unpark_all()
        await trio.lowlevel.checkpoint()


class SecureCannedServer(CannedServer):
    """The same behind TLS. What is counted is what passes below TLS; its records hold 4096 bytes, as a real node's."""

    def __init__(self, answer: object) -> None:
        super().__init__(answer)
        self._waiting.clear()
        self._shaken = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = server_context().wrap_bio(self._incoming, self._outgoing, server_side=True)

    def _take(self, data: bytes) -> None:
        self._incoming.write(data)
        encrypted, self._waiting = self._waiting, bytearray()
        with contextlib.suppress(ssl.SSLWantReadError):
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
                self._waiting += _GREETING
            while plain := self._tls.read(1024 * 1024):
                super()._take(plain)
        for at in range(0, len(self._waiting), 4096):
            self._tls.write(self._waiting[at : at + 4096])
        self._waiting = encrypted + self._outgoing.read()
