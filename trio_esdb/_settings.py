"""Connection strings: what ``ESDBClient("esdb://...")`` means."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from ._errors import InvalidArgumentError, InvalidTypeError

DEFAULT_PORT = 2113
_EXAMPLE = "esdb://localhost:2113?Tls=false, or esdb://embedded"
_PARTS = re.compile(r"(?P<address>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<options>[^#]*))?(?P<fragment>#.*)?", re.DOTALL)
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>[^:]*))?")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\.?\Z){_LABEL}(?:\.{_LABEL})*\.?")
_PORT = re.compile("[0-9]{1,5}")


class Settings(NamedTuple):
    """Where to connect to. ``host`` is None for a node inside the process."""

    host: str | None
    port: int = DEFAULT_PORT

    @property
    def address(self) -> str:
        """``host:port``, as errors tell it and as the HTTP/2 ``:authority`` says it."""
        if self.host is None:
            return "embedded"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(uri: str) -> Settings:
    """Read a connection string; InvalidArgumentError names the part that cannot be used.

    Nothing in it is ever ignored: an option that is not known here is refused.
    """
    if not isinstance(uri, str):
        raise InvalidTypeError(f"uri must be a str such as {_EXAMPLE}, not {type(uri).__name__}")
    shown = repr(uri) if "@" not in uri else "it is not repeated here, since it may hold a password"
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() != "esdb":
        raise InvalidArgumentError(f"uri must begin with esdb://, as in {_EXAMPLE} ({shown})")
    if "@" in rest:
        raise InvalidArgumentError("uri: credentials are not supported yet; an insecure node takes none")
    parts = _PARTS.fullmatch(rest)
    assert parts is not None  # anything is an address, a path, options and a fragment
    address = parts["address"]
    if "," in address:
        raise InvalidArgumentError(f"uri: several nodes are not supported yet; name one ({shown})")
    if parts["path"] not in ("", "/") or parts["fragment"] is not None:
        raise InvalidArgumentError(f"uri must end after the address and its options ({shown})")
    host, port = _read_address(address, shown)
    embedded = host == "embedded" and port is None
    _check_options(parts["options"], needs_tls_false=not embedded)
    return Settings(None) if embedded else Settings(host, DEFAULT_PORT if port is None else port)


def _read_address(address: str, shown: str) -> tuple[str, int | None]:
    """Host, in lower case, and port."""
    found = _ADDRESS.fullmatch(address)
    host = None if found is None else _host(found)
    if found is None or host is None:
        raise InvalidArgumentError(
            f"uri: the address {address!r} cannot be used: it is not a host name, nor an IPv4 address or an IPv6 "
            f"address in brackets, with or without a port ({shown})"
        )
    port = found["port"]
    if port is None:
        return host, None
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise InvalidArgumentError(
            f"uri: the address {address!r} cannot be used: the port must be a number from 1 to 65535 ({shown})"
        )
    return host, int(port)


def _host(found: re.Match[str]) -> str | None:
    if found["ipv6"] is None:
        name: str = found["name"]
        return name.lower() if _NAME.fullmatch(name) else None
    try:
        return str(ipaddress.IPv6Address(found["ipv6"]))
    except ValueError:
        return None


def _check_options(options: str | None, *, needs_tls_false: bool) -> None:
    tls: str | None = None
    for option in options.split("&") if options else ():
        name, separator, value = option.partition("=")
        if name.lower() != "tls":
            raise InvalidArgumentError(f"uri: the option {name!r} is not supported yet; Tls=false is")
        if not separator or tls is not None:
            raise InvalidArgumentError("uri: Tls must be given once, as Tls=false")
        tls = value.lower()
        if tls not in ("true", "false"):
            raise InvalidArgumentError(f"uri: Tls must be true or false, not {value!r}")
    if tls == "true" or (tls is None and needs_tls_false):
        raise InvalidArgumentError(
            "uri: TLS, which is the default, is not supported yet; add ?Tls=false for a node without it"
        )
