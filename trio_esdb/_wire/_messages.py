"""gRPC messages in a stream of bytes: a flag, a length of four bytes, the message."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

PREFIX_SIZE = 5
_LARGE = 16 * 1024
"""A longer message is a piece of its own."""
_TOGETHER = 128
"""Prefixes and messages in a piece of short messages, at most."""
_SMALL_PART = 512
"""Shorter parts of a message are kept together: each would need an object of some fifty bytes."""
_COLLECTED = 64 * 1024
"""Bytes of such parts that are kept together."""
_prefix = struct.Struct(">BI")
_pack_prefix = _prefix.pack
_unpack_prefix = _prefix.unpack_from
_from_bytes = int.from_bytes


class MessageError(NamedTuple):
    """The peer sent a message that cannot be taken; ``too_large`` is true if only its size is the reason."""

    text: str
    too_large: bool = False


class CompressedMessage(bytes):
    """A message whose compression flag is set, as it came."""

    __slots__ = ()


def frame_messages(messages: Iterable[bytes]) -> list[bytes]:
    """These messages, each behind its prefix, as a list of pieces, so that a large message is not copied."""
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
    """Cuts the payloads of DATA frames into messages, wherever the frames begin and end.

    ``error`` is set at a message that cannot be taken: one that is compressed though ``takes_compressed`` is false, has
    an unknown flag or is larger than the limit. The messages before it are good; nothing behind it can be read.
    """

    __slots__ = ("_need", "_parts", "_size_limit", "error", "held", "takes_compressed")

    def __init__(self, size_limit: int) -> None:
        self.held = 0
        """Bytes of a message that is not whole yet."""
        self.error: MessageError | None = None
        self.takes_compressed = False
        """Whether a message may be compressed; it is a ``CompressedMessage`` then."""
        self._parts: list[bytes | bytearray] = []
        self._need = 0
        self._size_limit = size_limit

    @property
    def missing(self) -> int:
        """Bytes that the message (or its prefix, if that is not whole) still lacks; 0 between messages."""
        return self._need - self.held

    def feed(self, data: bytes, start: int, stop: int) -> tuple[list[bytes], int]:
        """The messages that ``data[start:stop]`` completes, and the size of them and their prefixes.

        The parts of a message are joined once, when its last byte is there.
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
                    if self.error is not None:
                        size = 0
                if self.error is not None or at + size > stop:
                    self._keep(PREFIX_SIZE + size, prefix, data[at:stop])
                    return messages, 0
                whole = data[at : at + size]
                messages.append(CompressedMessage(whole) if flag else whole)
                at += size
                need += size
            else:
                whole = b"".join((parts[0][PREFIX_SIZE:], *parts[1:], data[start:at]))
                messages.append(CompressedMessage(whole) if parts[0][0] else whole)
            consumed = need
        begin = at
        need = PREFIX_SIZE
        limit = self._size_limit
        while stop - at >= PREFIX_SIZE:
            message = at + PREFIX_SIZE
            size = _from_bytes(data[at:message])  # and the flag above it, which is beyond every limit
            if size > limit:
                flag, size = _unpack_prefix(data, at)
                self.error = self._refusal(flag, size)
                if self.error is not None:
                    break
                end = message + size
                if end > stop:
                    need += size
                    break
                messages.append(CompressedMessage(data[message:end]))
                at = end
                continue
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
        """Keep the beginning of a message of ``need`` bytes. A prefix that is whole is in the first part.

        So kept, a message takes less than one and a half times its size, however small its parts are.
        """
        kept = self._parts
        for part in parts:
            self.held += len(part)
            if len(part) >= _SMALL_PART:
                kept.append(part)
            elif kept and type(last := kept[-1]) is bytearray and len(last) < _COLLECTED:
                last += part
            else:
                kept.append(bytearray(part))
        self._need = need

    def _refusal(self, flag: int, size: int) -> MessageError | None:
        """Why a message with this prefix is not taken; None if it is."""
        if flag > 1:
            return MessageError(f"a message came with the unknown flag {flag}")
        if flag and not self.takes_compressed:
            return MessageError("a compressed message came, though no compression was agreed")
        if size > self._size_limit:
            return MessageError(f"a message of {size} bytes came, {self._size_limit} is the limit", too_large=True)
        return None
