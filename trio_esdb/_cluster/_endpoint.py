"""Where a node is."""

from __future__ import annotations

from typing import NamedTuple

_LONGEST_HOST = 253


class Endpoint(NamedTuple):
    """A node's host and port, and its address as errors and the ``:authority`` header say it.

    One of several addresses that a name stands for is dialled by its IP address, while ``address`` and the certificate
    have the name. Such endpoints have the same ``address``, so endpoints are told apart as a whole.
    """

    host: str
    """What is dialled."""
    port: int
    address: str
    name: str = ""
    """What the certificate is for, if that is not the host."""

    @property
    def described(self) -> str:
        """The address, and the IP address that the name stands for if that is what is dialled."""
        return f"{self.address} ({self.host})" if self.name else self.address


def endpoint(host: str, port: int) -> Endpoint:
    """The endpoint with this host, which may be an IPv6 address, and this port."""
    return Endpoint(host, port, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def usable_endpoint(host: str, port: int) -> Endpoint | None:
    """The endpoint that a node has told, or None if nothing can be reached there, whatever the network is."""
    usable = 0 < port < 65536 and 0 < len(host) <= _LONGEST_HOST and host.isprintable() and " " not in host
    return endpoint(host, port) if usable else None
