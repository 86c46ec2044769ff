"""Answers encoded before anybody asks: frames of messages, cut as real nodes cut them.

*Packed*, as recorded events come: whole messages are gathered until they are more than 4096 bytes, then leave as one
DATA frame. *Live*, as new events come: one message a DATA frame. No frame is longer than 16 384 bytes; a longer message
goes on in the next one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from ._events import GROUPS, Messages, caught_up, confirmation

FRAME_LIMIT = 16_384
PACKED_SIZE = 4096
_CHUNK_SIZE = 64 * 1024
_DIFFERENT_BYTES = 8 * 1024 * 1024
"""So much is encoded of a stream, at most; a longer one repeats it."""
_DIFFERENT_EVENTS = 20_000

head = struct.Struct(">HBBBI").pack


def frame_head(size: int, kind: int, flags: int, stream_id: int) -> bytes:
    """The nine bytes in front of a payload."""
    return head(size >> 8, size & 0xFF, kind, flags, stream_id)


class Chunk:
    """Some DATA frames that leave in one send, of a stream whose number is not known yet."""

    def __init__(self, payloads: list[bytes]) -> None:
        parts: list[bytes] = []
        self.starts: list[int] = []
        """Where each frame begins, and at last where all end."""
        self.sizes: list[int] = [0]
        """What the frames before cost the windows, and at last what all do."""
        at = 0
        for payload in payloads:
            parts += [frame_head(len(payload), 0, 0, 0), payload]
            self.starts.append(at)
            self.sizes.append(self.sizes[-1] + len(payload))
            at += 9 + len(payload)
        self.starts.append(at)
        self._template = b"".join(parts)
        self._last = (0, self._template)

    @property
    def size(self) -> int:
        """What all the frames cost the windows."""
        return self.sizes[-1]

    def payload(self, index: int) -> bytes:
        """What is in a frame."""
        return self._template[self.starts[index] + 9 : self.starts[index + 1]]

    def for_stream(self, stream_id: int) -> bytes:
        """The frames with this stream's number in them. The last answer is kept: a first read has the same number."""
        number, data = self._last
        if number != stream_id:
            patched = bytearray(self._template)
            put = struct.Struct(">I").pack_into
            for start in self.starts[:-1]:
                put(patched, start + 5, stream_id)
            data = bytes(patched)
            self._last = stream_id, data
        return data


@dataclass(frozen=True, slots=True)
class Script:
    """All that is said to a call, and whether the call is over then."""

    chunks: tuple[Chunk, ...]
    ends: bool


@dataclass(frozen=True, slots=True)
class Name:
    """What the name of a stream asks for: ``bench-SIZE-KIND-COUNT``, perhaps with more behind it."""

    size: int
    kind: str
    count: int

    @classmethod
    def parse(cls, name: str) -> Name | None:
        """None for a name that means nothing here."""
        parts = name.split("-")
        if len(parts) < 4 or parts[0] != "bench" or not (parts[1].isdigit() and parts[3].isdigit()):
            return None
        return cls(int(parts[1]), parts[2], int(parts[3]))


def _gathered(messages: Iterable[bytes], live: bool) -> Iterator[bytes]:
    """The payloads of DATA frames."""
    waiting: list[bytes] = []
    size = 0
    for message in messages:
        waiting.append(message)
        size += len(message)
        if live or size > PACKED_SIZE:
            payload = b"".join(waiting)
            yield from (payload[at : at + FRAME_LIMIT] for at in range(0, size, FRAME_LIMIT))
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _chunked(payloads: Iterator[bytes]) -> Iterator[Chunk]:
    waiting: list[bytes] = []
    size = 0
    for payload in payloads:
        waiting.append(payload)
        size += 9 + len(payload)
        if size >= _CHUNK_SIZE:
            yield Chunk(waiting)
            waiting, size = [], 0
    if waiting:
        yield Chunk(waiting)


@lru_cache(maxsize=8)
def _different(size: int, kind: str, stream: str) -> tuple[bytes, ...]:
    count = max(4, min(_DIFFERENT_EVENTS, _DIFFERENT_BYTES // (size + 200)))
    return tuple(Messages(kind, size, stream).first(count))


@lru_cache(maxsize=16)
def script(stream: str, limit: int, subscription: bool) -> Script | None:
    """What is said to a read of this stream, or of all streams that begin so; None where the name means nothing."""
    name = Name.parse(stream)
    if name is None:
        return None
    live = name.kind in ("live", "grouplive")
    count = min(name.count, limit)
    pool = _different(name.size, name.kind, stream)
    rounds, rest = divmod(count, len(pool))
    once = tuple(_chunked(_gathered(pool, live))) if rounds else ()
    last = tuple(_chunked(_gathered(islice(pool, rest), live)))
    chunks = once * rounds + last
    if name.kind in GROUPS:
        return Script((Chunk([confirmation(f"{stream}::g")]), *chunks), ends=False)
    if subscription:
        chunks = (Chunk([confirmation()]), *chunks, Chunk([caught_up()]))
    return Script(chunks, ends=not subscription)
