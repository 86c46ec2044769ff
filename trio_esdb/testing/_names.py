"""The names of a memory network: which hosts there are, and what stands for them.

A host is what somebody listens at: a name, or an IP address. A name may also stand for other hosts, as in DNS. With one
of them it is that host under another name, with several it is a name for all.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from trio_esdb._errors import InvalidArgumentError

Hosts: TypeAlias = "str | Iterable[str]"
"""One host or several, as names or IP addresses."""


class Names:
    """What is known of the hosts of a network."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._addresses: dict[str, tuple[str, ...]] = {}

    def add(self, host: str) -> None:
        """Make a host known, from when somebody listens there."""
        self._known.add(host)

    def name(self, name: str, addresses: Iterable[str]) -> None:
        """Let a name stand for hosts, and for these only."""
        name = canonical(name)
        if _is_ip(name):
            raise InvalidArgumentError(f"{name} is an IP address, which cannot stand for other hosts")
        if isinstance(addresses, str) or not isinstance(addresses, Iterable):
            raise InvalidArgumentError(f"the addresses of {name} are a list of hosts, not {addresses!r}")
        self._addresses[name] = tuple(dict.fromkeys(map(canonical, addresses)))

    def host_of(self, name: str) -> str:
        """The host under its own name; a name of several hosts stays as it is."""
        seen = {name}
        while len(addresses := self._addresses.get(name, ())) == 1 and addresses[0] not in seen:
            (name,) = addresses
            seen.add(name)
        return name

    def addresses(self, name: str) -> tuple[str, ...]:
        """The hosts that a name stands for: itself, where it is a host's own.

        Raises:
            socket.gaierror: Nobody ever listened at a host of that name.
            OSError: There is no way to this IP address.
        """
        found = self._addresses.get(name)
        if found is None and name in self._known:
            return (name,)
        if not found:
            raise _unknown(name)
        return tuple(map(self.host_of, found))

    def reachable(self, host: str) -> None:
        """Check that there is a way to a host.

        Raises:
            socket.gaierror: Nobody ever listened at a host of that name.
            OSError: There is no way to this IP address.
        """
        if host not in self._known:
            raise _unknown(host)

    def hosts(self, hosts: Hosts) -> tuple[str, ...]:
        """Hosts that a user names, each once; a name of several hosts is all of them.

        Raises:
            InvalidArgumentError: These are no hosts, or none at all.
        """
        try:
            named = [hosts] if isinstance(hosts, str) else list(hosts)
        except TypeError:
            raise InvalidArgumentError(f"hosts are a name or several names, not {hosts!r}") from None
        if not named:
            raise InvalidArgumentError("at least one host must be named")
        found = [self._addresses.get(name) or (name,) for name in map(canonical, named)]
        return tuple(dict.fromkeys(self.host_of(host) for each in found for host in each))


def canonical(host: str) -> str:
    """A host in the form in which it is looked up."""
    if not isinstance(host, str) or not host.strip("."):
        raise InvalidArgumentError(f"a host is a name or an IP address, not {host!r}")
    return _canonical(host)


@lru_cache(maxsize=1024)  # it is asked for with each message between the nodes of a cluster
def _canonical(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.removesuffix(".").lower()


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _unknown(host: str) -> OSError:
    if _is_ip(host):
        return OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
    return socket.gaierror(socket.EAI_NONAME, "Name or service not known")
