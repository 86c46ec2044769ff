"""Connection strings: what ``ESDBClient("esdb://...")`` means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ._errors import InvalidArgumentError, InvalidTypeError

DEFAULT_PORT = 2113
_EXAMPLE = "esdb://localhost:2113?Tls=false, or esdb://embedded"
_HOST = re.compile(r"[A-Za-z0-9_.\-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9]+)?")


@dataclass(frozen=True, slots=True)
class Settings:
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
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() != "esdb":
        raise InvalidArgumentError(f"uri must begin with esdb://, as in {_EXAMPLE}; it is {uri!r}")
    address = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in address:  # first of all, so that no message shows a password
        raise InvalidArgumentError("uri: credentials are not supported yet; an insecure node takes none")
    if "," in address:
        raise InvalidArgumentError(f"uri: several nodes are not supported yet; name one ({uri!r})")
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as exc:
        raise InvalidArgumentError(f"the address in {uri!r} cannot be used: {exc}") from None
    if parts.path not in ("", "/") or parts.fragment:
        raise InvalidArgumentError(f"uri must end after the address and its options ({uri!r})")
    host = parts.hostname
    if not host or not _HOST.fullmatch(host):
        raise InvalidArgumentError(f"uri: {parts.netloc!r} is not a host name, with or without a port ({uri!r})")
    if port == 0 or parts.netloc.endswith(":"):
        raise InvalidArgumentError(f"uri: the port must be a number from 1 to 65535 ({uri!r})")
    embedded = host == "embedded" and port is None
    _check_options(parts.query, needs_tls_false=not embedded)
    return Settings(None) if embedded else Settings(host, DEFAULT_PORT if port is None else port)


def _check_options(query: str, *, needs_tls_false: bool) -> None:
    tls: str | None = None
    for option in query.split("&") if query else ():
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
