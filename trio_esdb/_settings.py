"""Connection strings: the ``uri`` of an ``ESDBClient``."""

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
    """The content of a connection string. ``host`` is None for a node inside the process."""

    host: str | None
    port: int = DEFAULT_PORT

    @property
    def address(self) -> str:
        """The address as ``host:port``, for error messages and the HTTP/2 ``:authority``."""
        if self.host is None:
            return "embedded"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(uri: str) -> Settings:
    """Parse a connection string.

    Nothing in it is ignored: a part or an option that is not supported raises InvalidArgumentError, which names it.
    """
    if not isinstance(uri, str):
        raise InvalidTypeError(f"uri must be a str such as {_EXAMPLE}, not {type(uri).__name__}")
    shown = repr(uri) if "@" not in uri else "not shown, because it may contain a password"
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() != "esdb":
        raise InvalidArgumentError(f"uri must begin with esdb://, as in {_EXAMPLE} ({shown})")
    if "@" in rest:
        raise InvalidArgumentError("uri: credentials are not supported yet; an insecure node does not use them")
    parts = _PARTS.fullmatch(rest)
    assert parts is not None  # every part may be empty, so any string matches
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
    """The host in lower case, and the port if there is one."""
    found = _ADDRESS.fullmatch(address)
    host = None if found is None else _host(found)
    if found is None or host is None:
        raise InvalidArgumentError(
            f"uri: the address {address!r} is not valid: it must be a host name, an IPv4 address or an IPv6 "
            f"address in brackets, with or without a port ({shown})"
        )
    port = found["port"]
    if port is None:
        return host, None
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise InvalidArgumentError(
            f"uri: the address {address!r} is not valid: the port must be a number from 1 to 65535 ({shown})"
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
