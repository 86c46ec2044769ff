"""The IP addresses that a host name stands for."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable, Sequence

import trio

from trio_esdb._transport._dial import Connect

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Gives the addresses that a host name stands for; raises OSError if it is not known."""

_IPV4 = re.compile(r"[0-9.]+")


def is_address(host: str) -> bool:
    """Whether a host is an IP address, and no name."""
    return ":" in host or _IPV4.fullmatch(host) is not None


async def resolve(host: str) -> Sequence[str]:
    """All addresses of a host name, IPv4 and IPv6, as the system finds them.

    Raises:
        OSError: The name is not known, or cannot be asked for.
    """
    found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def resolver(connect: Connect | None) -> Resolve | None:
    """What looks names up for connections that are made in this way.

    A program's own ``connect`` is given names as they are, since only it knows what they mean. But if it is a method of
    an object that has a method ``resolve`` too, that one knows it.
    """
    if connect is None:
        return resolve
    found: Resolve | None = getattr(getattr(connect, "__self__", None), "resolve", None)
    return found
