"""The IP addresses that a host name stands for."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trio

from trio_esdb._cluster._resolving import is_address, resolve, resolver
from trio_esdb.testing import MemoryNetwork


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.0.0.1", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("localhost", False),
        ("node1.example", False),
        ("10.example", False),
    ],
)
def test_what_is_an_address(host: str, expected: bool) -> None:
    assert is_address(host) is expected


class Names(trio.abc.HostnameResolver):
    """A system's names."""

    def __init__(self, found: Any) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self._found = found

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(args)
        if isinstance(self._found, Exception):
            raise self._found
        return self._found

    async def getnameinfo(self, *args: Any) -> Any:
        raise NotImplementedError


def found(*addresses: str) -> list[Any]:
    """What getaddrinfo gives."""
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 0, 0, 0))
        if ":" in address
        else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
        for address in addresses
    ]


async def test_all_addresses_of_a_name_once() -> None:
    names = Names(found("10.0.0.1", "2001:db8::1", "10.0.0.2", "10.0.0.1"))
    trio.socket.set_custom_hostname_resolver(names)
    assert await resolve("cluster.example") == ["10.0.0.1", "2001:db8::1", "10.0.0.2"]
    assert names.asked[0][0] == b"cluster.example"
    assert names.asked[0][3] == socket.SOCK_STREAM


async def test_a_name_that_is_not_known() -> None:
    trio.socket.set_custom_hostname_resolver(Names(socket.gaierror(-2, "Name or service not known")))
    with pytest.raises(OSError, match="not known"):
        await resolve("cluster.example")


async def test_who_is_asked() -> None:
    """A program's own ``connect`` is given names, unless its owner knows their addresses."""

    async def connect(host: str, port: int) -> trio.abc.Stream:
        raise NotImplementedError

    class Tunnel:
        async def connect(self, host: str, port: int) -> trio.abc.Stream:
            raise NotImplementedError

    network = MemoryNetwork()
    assert resolver(None) is resolve
    assert resolver(connect) is None
    assert resolver(Tunnel().connect) is None
    assert resolver(network.connect) == network.resolve
    assert resolver(network.connect_from("elsewhere")) == network.resolve
