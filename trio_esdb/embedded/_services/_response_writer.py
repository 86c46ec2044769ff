"""The responses of one call, queued in portions as fast as the client takes them."""

from __future__ import annotations

import trio

from trio_esdb._transport._handlers import ServerCall

_PORTION = 64 * 1024
"""Bytes that are queued at once. More would only wait in memory until the client takes it."""
_PAGES = 8
"""Pages of events that are read before other tasks have a turn."""


class ResponseWriter:
    """Collects the responses of a call. It never holds more than a portion and one message."""

    __slots__ = ("_call", "_flushing", "_messages", "_pages", "_size")

    def __init__(self, call: ServerCall) -> None:
        self._call = call
        self._messages: list[bytes] = []
        self._size = 0
        self._pages = 0
        self._flushing = False

    def add(self, message: bytes) -> None:
        """Add a message. If ``full`` is true afterwards, call ``flush``."""
        self._messages.append(message)
        self._size += len(message)

    @property
    def full(self) -> bool:
        """Whether there is a whole portion."""
        return self._size >= _PORTION

    @property
    def behind(self) -> bool:
        """Whether the client has still to take something that was queued before."""
        return self._call.behind

    @property
    def waiting(self) -> bool:
        """Whether ``flush`` waits until the client has taken everything."""
        return self._flushing and self.behind

    def post(self) -> None:
        """Queue what there is, without waiting. Only for less than a portion, and for a client that is not behind."""
        if self._messages:
            self._call.post(*self._take())

    async def flush(self) -> None:
        """Queue what there is. Waits while the client takes nothing."""
        if self._messages:
            self._flushing = True
            await self._call.send(*self._take())
            self._flushing = False
        else:
            self._pages = 0
            await trio.lowlevel.checkpoint()

    async def page_done(self) -> None:
        """A page of events has been read. After some pages, queue what there is and give other tasks a turn."""
        self._pages += 1
        if self._pages >= _PAGES:
            await self.flush()

    def _take(self) -> list[bytes]:
        messages, self._messages, self._size, self._pages = self._messages, [], 0, 0
        return messages
