"""gRPC messages in a stream of bytes: a flag, a length of four bytes, the message."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX_SIZE = 5
_prefix = struct.Struct(">BI")
_pack_prefix = _prefix.pack
_unpack_prefix = _prefix.unpack_from


@dataclass(frozen=True, slots=True)
class MessageError:
    """The peer framed a message wrongly; ``too_large`` tells a size beyond the limit from plain nonsense."""

    text: str
    too_large: bool = False


def frame_messages(messages: Iterable[bytes]) -> bytes:
    """These messages, one after another, each with its prefix."""
    parts = []
    for message in messages:
        parts.append(_pack_prefix(0, len(message)))
        parts.append(message)
    return b"".join(parts)


class Deframer:
    """Cuts messages out of DATA payloads, however those are cut.

    ``missing`` is what the message begun still lacks (of its prefix, while that is not whole), 0 between messages.
    ``error`` is set at a message that cannot be taken: compressed (that was not agreed), with an unknown flag, larger
    than the limit. What came before it is good; nothing after it can be understood.
    """

    __slots__ = ("_buffer", "_need", "_size_limit", "error")

    def __init__(self, size_limit: int) -> None:
        self._buffer = bytearray()
        self._need = 0
        self._size_limit = size_limit
        self.error: MessageError | None = None

    @property
    def held(self) -> int:
        """Bytes kept, because they are not a whole message yet."""
        return len(self._buffer)

    @property
    def missing(self) -> int:
        """Bytes that the message begun still lacks."""
        return self._need - len(self._buffer)

    def feed(self, data: bytes, start: int, stop: int) -> tuple[list[bytes], int]:
        """Messages that ``data[start:stop]`` completes, and how many bytes they took up in the stream."""
        buffer = self._buffer
        carried = len(buffer)
        if carried:
            buffer += data[start:stop]
            if len(buffer) < self._need:
                return [], 0
            data = bytes(buffer)
            start, stop = 0, len(data)
            buffer.clear()
        messages = []
        at = start
        need = 0
        while stop - at >= PREFIX_SIZE:
            flag, size = _unpack_prefix(data, at)
            if flag or size > self._size_limit:
                self.error = self._refusal(flag, size)
                break
            end = at + PREFIX_SIZE + size
            if end > stop:
                need = PREFIX_SIZE + size
                break
            messages.append(data[at + PREFIX_SIZE : end])
            at = end
        if at < stop:
            buffer += data[at:stop]
            self._need = need or PREFIX_SIZE
        else:
            self._need = 0
        return messages, at - start

    def _refusal(self, flag: int, size: int) -> MessageError:
        if flag == 1:
            return MessageError("a compressed message came, though no compression was agreed")
        if flag:
            return MessageError(f"a message came with the unknown flag {flag}")
        return MessageError(f"a message of {size} bytes came, {self._size_limit} is the limit", too_large=True)
