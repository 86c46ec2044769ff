"""Listens at an address of a memory network."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import trio

from ._connection import Connection


class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """Listens at an address of a memory network. Got from ``MemoryNetwork.listener``."""

    def __init__(self, host: str, port: int, on_close: Callable[[MemoryListener], None]) -> None:
        self.host = host
        """The name or IP address."""
        self.port = port
        """The port."""
        self._on_close = on_close
        self._closed = False
        self._offer, self._offered = trio.open_memory_channel[Connection](math.inf)

    async def accept(self) -> trio.abc.Stream:
        """The next connection.

        Returns:
            The server's end of it.

        Raises:
            trio.ClosedResourceError: The listener was closed.
        """
        return (await self._offered.receive())._cable.server

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Stop listening. Connections that were not accepted yet are reset."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Stop listening, without waiting."""
        if not self._closed:
            self._closed = True
            self._on_close(self)
            with contextlib.suppress(trio.WouldBlock):
                while True:
                    self._offered.receive_nowait().reset()
            self._offered.close()
