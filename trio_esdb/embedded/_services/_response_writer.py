"""Messages on their way to one client, handed to the transport in portions."""

from __future__ import annotations

import trio

from trio_esdb._transport._handlers import ServerCall

_PORTION = 64 * 1024
"""Bytes that are handed over at once; more would only wait, encoded, for the client's window."""
_PAGES = 8
"""Pages that may be read in one go before other tasks have a turn."""


class ResponseWriter:
    """Collects a call's messages. Memory stays flat: what is not handed over yet is a portion and a message at most."""

    __slots__ = ("_call", "_flushing", "_messages", "_pages", "_size")

    def __init__(self, call: ServerCall) -> None:
        self._call = call
        self._messages: list[bytes] = []
        self._size = 0
        self._pages = 0
        self._flushing = False

    def add(self, message: bytes) -> None:
        """Queue a message; ``flush`` it when ``full`` says so."""
        self._messages.append(message)
        self._size += len(message)

    @property
    def full(self) -> bool:
        """Whether it is time to hand over what there is."""
        return self._size >= _PORTION

    @property
    def behind(self) -> bool:
        """Whether the client has yet to take something that was handed over."""
        return self._call.behind

    @property
    def waiting(self) -> bool:
        """Whether ``flush`` waits for the client to take it all."""
        return self._flushing and self.behind

    def post(self) -> None:
        """Hand over what there is without waiting; only for what is not full, to a client that is not behind."""
        if self._messages:
            self._call.post(*self._take())

    async def flush(self) -> None:
        """Hand over what there is; waits while the client takes nothing."""
        if self._messages:
            self._flushing = True
            await self._call.send(*self._take())
            self._flushing = False
        else:
            self._pages = 0
            await trio.lowlevel.checkpoint()

    async def page_done(self) -> None:
        """A page has been read: hand over what there is and give others a turn, though not after each page."""
        self._pages += 1
        if self._pages >= _PAGES:
            await self.flush()

    def _take(self) -> list[bytes]:
        messages, self._messages, self._size, self._pages = self._messages, [], 0, 0
        return messages
