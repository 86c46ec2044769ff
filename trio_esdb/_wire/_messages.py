"""gRPC messages in a stream of bytes: a flag, a length of four bytes, the message."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

PREFIX_SIZE = 5
_LARGE = 16 * 1024
"""Messages beyond this are pieces of their own,"""
_TOGETHER = 128
"""of others there are half as many in a piece."""
_prefix = struct.Struct(">BI")
_pack_prefix = _prefix.pack
_unpack_prefix = _prefix.unpack_from
_from_bytes = int.from_bytes


class MessageError(NamedTuple):
    """The peer framed a message wrongly; ``too_large`` tells a size beyond the limit from plain nonsense."""

    text: str
    too_large: bool = False


def frame_messages(messages: Iterable[bytes]) -> list[bytes]:
    """These messages, one after another, each with its prefix: in pieces, so that a large one need not be copied."""
    pieces: list[bytes] = []
    small: list[bytes] = []
    for message in messages:
        small.append(_pack_prefix(0, len(message)))
        if len(message) > _LARGE:
            pieces += (b"".join(small), message)
            small = []
            continue
        small.append(message)
        if len(small) >= _TOGETHER:
            pieces.append(b"".join(small))
            small = []
    if small:
        pieces.append(b"".join(small))
    return pieces


class Deframer:
    """Cuts messages out of DATA payloads, however those are cut.

    ``missing`` is what the message begun still lacks (of its prefix, while that is not whole), 0 between messages.
    ``error`` is set at a message that cannot be taken: compressed (that was not agreed), with an unknown flag, larger
    than the limit. What came before it is good; nothing after it can be understood.
    """

    __slots__ = ("_need", "_parts", "_size_limit", "error", "held")

    def __init__(self, size_limit: int) -> None:
        self.held = 0
        """Bytes kept, because they are not a whole message yet."""
        self.error: MessageError | None = None
        self._parts: list[bytes] = []
        self._need = 0
        self._size_limit = size_limit

    @property
    def missing(self) -> int:
        """Bytes that the message begun still lacks."""
        return self._need - self.held

    def feed(self, data: bytes, start: int, stop: int) -> tuple[list[bytes], int]:
        """Messages that ``data[start:stop]`` completes, and how many bytes they took up in the stream.

        A large message is put together once, when its last byte is there.
        """
        messages: list[bytes] = []
        consumed = 0
        at = start
        if self.held:
            at = start + self._need - self.held
            if at > stop:
                if start < stop:
                    self._keep(self._need, data[start:stop])
                return messages, 0
            parts, need = self._parts, self._need
            self._parts, self._need, self.held = [], 0, 0
            if need == PREFIX_SIZE:
                prefix = b"".join((*parts, data[start:at]))
                flag, size = _unpack_prefix(prefix)
                if flag or size > self._size_limit:
                    self.error = self._refusal(flag, size)
                    size = 0
                if self.error is not None or at + size > stop:
                    self._keep(PREFIX_SIZE + size, prefix, data[at:stop])
                    return messages, 0
                messages.append(data[at : at + size])
                at += size
                need += size
            else:
                messages.append(b"".join((parts[0][PREFIX_SIZE:], *parts[1:], data[start:at])))
            consumed = need
        begin = at
        need = PREFIX_SIZE
        limit = self._size_limit
        while stop - at >= PREFIX_SIZE:
            message = at + PREFIX_SIZE
            size = _from_bytes(data[at:message])  # and the flag above it, which is beyond every limit
            if size > limit:
                self.error = self._refusal(*_unpack_prefix(data, at))
                break
            end = message + size
            if end > stop:
                need += size
                break
            messages.append(data[message:end])
            at = end
        if at < stop:
            self._keep(need, data[at:stop])
        return messages, consumed + at - begin

    def _keep(self, need: int, *parts: bytes) -> None:
        """Keep the beginning of a message that takes up ``need`` bytes. Its prefix is in one part, once it is whole."""
        self._parts += parts
        self._need = need
        self.held += sum(map(len, parts))

    def _refusal(self, flag: int, size: int) -> MessageError:
        if flag == 1:
            return MessageError("a compressed message came, though no compression was agreed")
        if flag:
            return MessageError(f"a message came with the unknown flag {flag}")
        return MessageError(f"a message of {size} bytes came, {self._size_limit} is the limit", too_large=True)
