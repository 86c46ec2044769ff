"""A host as the one who connects: its name, and how it finds and tries the addresses of others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import trio

Attempt: TypeAlias = Callable[[str], Awaitable[trio.abc.Stream]]
_NEXT_AFTER = 0.25
"""Seconds until a further address is tried at the same time, as trio does it with TCP."""


class Source:
    """A host of a client. What owns a client's ``connect`` has the client's DNS too.

    Args:
        host: Its name.
        connect: Connects from a host to an address.
        resolve: Looks a name up.
    """

    def __init__(
        self,
        host: str,
        connect: Callable[[str, str, int], Awaitable[trio.abc.Stream]],
        resolve: Callable[[str, int], Awaitable[tuple[str, ...]]],
    ) -> None:
        self.host = host
        self._connect = connect
        self.resolve = resolve

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """Connect to an address, see ``MemoryNetwork.connect``."""
        return await self._connect(self.host, host, port)


async def first_of(addresses: Sequence[str], attempt: Attempt) -> trio.abc.Stream:
    """A connection to the first address that answers. The next one is tried after a failure, or after 250 ms.

    Raises:
        OSError: There is none. Where there are several addresses, the errors of all are the cause.
    """
    if len(addresses) == 1:
        return await attempt(addresses[0])
    streams: list[trio.abc.Stream] = []
    failures: dict[str, OSError] = {}

    @trio.lowlevel.enable_ki_protection
    async def try_one(address: str, over: trio.Event, nursery: trio.Nursery) -> None:
        try:
            streams.append(await attempt(address))
        except OSError as exc:
            failures[address] = exc
            over.set()
        else:
            nursery.cancel_scope.cancel()

    await _try_all(addresses, try_one)
    for late in streams[1:]:
        await trio.aclose_forcefully(late)
    if streams:
        return streams[0]
    causes = OSError("all addresses failed")
    raise causes from ExceptionGroup("attempts to connect", [failures[address] for address in addresses])


@trio.lowlevel.enable_ki_protection
async def _try_all(
    addresses: Sequence[str], try_one: Callable[[str, trio.Event, trio.Nursery], Awaitable[None]]
) -> None:
    async with trio.open_nursery() as nursery:
        for address in addresses:
            over = trio.Event()
            nursery.start_soon(try_one, address, over, nursery)
            with trio.move_on_after(_NEXT_AFTER):
                await over.wait()
