"""Reads connection strings: ``scheme://[user:password@]host[:port][,host[:port]...][/][?option=value&...]``.

Nothing in a string is ignored: what has no meaning is refused, and the error names it.

No error may show a password, also if the string is malformed. So an error never shows the whole string, nothing from
before an ``@``, and no port, because ``esdb://user:password`` is a string whose host was forgotten. A ``/``, ``?`` or
``#`` that was not encoded ends the address in the middle of a password. Then an ``@`` follows where no address is, and
nothing of the string is shown. Errors are raised outside of ``except``, because the exceptions of codecs keep their
input.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from trio_esdb._errors import InvalidArgumentError, InvalidTypeError
from trio_esdb._model import BasicCredentials

from ._options import OPTIONS, Option, RefusedValue
from ._settings import Host, Settings

SCHEMES = ("esdb", "kurrentdb", "kdb", "kurrent")
"""The schemes. Each can be followed by ``+discover``."""

_EXAMPLE = "esdb://localhost:2113, esdb://localhost:2113?tls=false or esdb://embedded"
_DISCOVER = "+discover"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]{0,31}"
_PARTS = re.compile(r"(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?", re.DOTALL)
_ADDRESS = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[^:]*))?")
_IPV6 = r"\[(?P<address>[0-9A-Fa-f:.]+)(?:%(?:25)?(?P<interface>[A-Za-z0-9_.\-]+))?\]"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\.?\Z){_LABEL}(?:\.{_LABEL})*\.?")
_PORT = re.compile("[0-9]{1,5}")
_ESCAPE = re.compile(b"%([0-9A-Fa-f]{2})")
_OPTION_NAME = r"[A-Za-z0-9_.%\- ]{1,40}"
_SIMILAR, _MISSPELT = 0.6, 0.75
"""How similar a name must be to that of an option to be taken for it, and to be certain."""
_LONGEST_SHOWN = 100
_NOT_SHOWN = "(not shown)"
_ENCODE = "write '@', '/', '?' and '#' in a user name or password as %40, %2F, %3F and %23"
_EMBEDDED = "embedded"
_NAMES = ", ".join(option.name for option in OPTIONS.values())


def parse(uri: str) -> Settings:
    """The content of a connection string.

    Raises:
        InvalidArgumentError: It is malformed, or has a part that is not known. The message does not show a password.
    """
    if not isinstance(uri, str):
        raise InvalidTypeError(f"uri must be a str such as {_EXAMPLE}, not {type(uri).__name__}")
    scheme, separator, rest = uri.partition("://")
    name = scheme.lower().removesuffix(_DISCOVER)
    if not separator or name not in SCHEMES:
        raise InvalidArgumentError(f"uri must begin with {_begin(scheme if separator else '')}, as in {_EXAMPLE}")
    return _Reader(rest, discover=name != scheme.lower()).settings()


def _begin(scheme: str) -> str:
    """Which scheme a string must begin with, and, if it looks like one, which it does begin with."""
    allowed = "esdb://, kurrentdb://, kdb:// or kurrent://, or one of these with +discover"
    if not re.fullmatch(_SCHEME, scheme):
        return allowed
    known = [*SCHEMES, *(name + _DISCOVER for name in SCHEMES)]
    nearest = _similar(scheme.lower(), known)
    return f"{allowed}, not {scheme}://" + (f" (did you mean {nearest[0]}://?)" if nearest else "")


def _similar(name: str, known: Iterable[str], cutoff: float = _SIMILAR) -> list[str]:
    """The most similar name, if there is one that is similar enough."""
    import difflib  # takes long to load

    return difflib.get_close_matches(name, known, 1, cutoff)


class _Reader:
    """Reads what follows the scheme."""

    def __init__(self, text: str, *, discover: bool) -> None:
        parts = _PARTS.fullmatch(text)
        assert parts is not None  # every part may be empty, so any string matches
        self._discover = discover
        authority: str = parts["authority"]
        self._user, at, self._address = authority.rpartition("@")
        self._has_user = bool(at)
        self._path: str = parts["path"]
        self._query: str = parts["query"] or ""
        self._has_fragment = parts["fragment"] is not None
        self._hide = "@" in text[parts.end("authority") :]
        """Whether any part may belong to a password, since there is an ``@`` after the address."""

    def settings(self) -> Settings:
        if "@" in self._user:
            raise self._refused(f"there must be one '@', in front of the address; {_ENCODE}")
        hosts = self._hosts()
        if self._path not in ("", "/"):
            raise self._refused("there must be no path after the address")
        if self._has_fragment:
            raise self._refused("there must be no '#'; write it as %23 in a value")
        if "?" in self._query:
            raise self._refused("there must be one '?', in front of the options; write it as %3F in a value")
        credentials = self._credentials() if self._has_user else None
        values = self._options()
        self._check(values, embedded=not hosts)
        fields: dict[str, Any] = {"discover": self._discover, "tls": bool(hosts)}
        for name, value in values.items():
            field = OPTIONS[name.lower()].field
            if field is not None:
                fields[field] = value
        return Settings(hosts=hosts, credentials=credentials, **fields)

    # -- the address -------------------------------------------------------------------------------------------------

    def _credentials(self) -> BasicCredentials:
        name, separator, password = self._user.partition(":")
        if not separator:
            raise self._refused("a user name must be followed by ':' and a password, as in user:password@host")
        name = self._decoded("the user name", name)
        password = self._decoded("the password", password)
        try:
            return BasicCredentials(name, password)
        except InvalidArgumentError as exc:
            reason = str(exc)
        raise self._refused(reason)

    def _hosts(self) -> tuple[Host, ...]:
        hosts = tuple(self._host(address) for address in self._address.split(","))
        return () if self._address.lower() == _EMBEDDED else hosts

    def _host(self, address: str) -> Host:
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise self._refused(
                "the address {} must be followed by ':' and one port, or by nothing; an IPv6 address must be in "
                "brackets",
                _without_port(address),
            )
        name = _host_name(found["host"])
        if name is None:
            raise self._refused(
                "the address {} is not valid: it must be a host name, an IPv4 address or an IPv6 address in brackets",
                found["host"],
            )
        port = found["port"]
        if port is None:
            return Host(name)
        if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
            raise self._refused("the port of {} must be a number from 1 to 65535", found["host"])
        return Host(name, int(port))

    # -- the options -------------------------------------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        """The values of the options, by their names as the table has them."""
        texts: dict[str, str] = {}
        values: dict[str, Any] = {}
        for part in self._query.split("&") if self._query else ():
            name, separator, text = part.partition("=")
            if not part:
                raise self._refused("there must be an option on both sides of each '&'")
            option = OPTIONS.get(name.lower())
            if option is None:
                raise self._unknown(name, text)
            if not text:
                problem = "is empty" if separator else "has no value"
                raise self._refused(f"the option {option.name} {problem}; it must be {option.allowed}")
            if option.name in texts:
                given = texts[option.name]
                raise self._refused(f"the option {option.name} is given twice, as {{}} and as {{}}", given, text)
            texts[option.name] = text
            values[option.name] = self._value(option, text)
        return values

    def _value(self, option: Option, text: str) -> object:
        value = self._decoded(f"the option {option.name}", text)
        try:
            return option.read(value)
        except RefusedValue as exc:
            reason = f": {exc}" if str(exc) else ""
        raise self._refused(f"the option {option.name} must be {option.allowed}, not {{}}{reason}", value)

    def _unknown(self, name: str, text: str) -> InvalidArgumentError:
        """The value is shown only if the name is nearly that of an option: any other can be that of a secret."""
        if not re.fullmatch(_OPTION_NAME, name):
            return self._refused(f"there is an option that is not known; the options are {_NAMES}")
        plain = name.lower().replace("-", "").replace("_", "")
        close = _similar(plain, OPTIONS)
        meant = f" (did you mean {OPTIONS[close[0]].name}?)" if close else ""
        if not _similar(plain, OPTIONS, _MISSPELT):
            return self._refused(f"the option {{}} is not known{meant}; the options are {_NAMES}", name)
        return self._refused(
            f"the option {{}}, given as {{}}, is not known{meant}; the options are {_NAMES}", name, text
        )

    def _check(self, given: dict[str, Any], *, embedded: bool) -> None:
        """Refuse options that contradict each other or the address."""
        inside = "esdb://embedded, which is a single node inside the process, without TLS"
        if self._discover and given.get("dnsDiscover") is False:
            raise self._refused(f"the option dnsDiscover=false contradicts {_DISCOVER} in the scheme; leave out one")
        if embedded and self._discover:
            raise self._refused(f"{_DISCOVER} in the scheme contradicts {inside}")
        for name in ("tls", "dnsDiscover"):
            if embedded and given.get(name):
                raise self._refused(f"the option {name}=true contradicts {inside}")
        for name in ("tlsCaFile", "userCertFile", "userKeyFile"):
            if name in given and (embedded or given.get("tls") is False):
                raise self._refused(f"the option {name} contradicts {inside if embedded else 'tls=false'}")
        for name, other in (("userCertFile", "userKeyFile"), ("userKeyFile", "userCertFile")):
            if name in given and other not in given:
                raise self._refused(f"the option {name} needs {other}, which is not given")

    # -- values and errors -------------------------------------------------------------------------------------------

    def _decoded(self, subject: str, text: str) -> str:
        """A text without its ``%`` forms. A ``+`` stays: in paths and passwords it is more frequent than a blank."""
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise self._refused(f"{subject} must be encodable as UTF-8")
        data = text.encode()
        if len(_ESCAPE.findall(data)) != data.count(b"%"):
            raise self._refused(f"{subject} has a '%' without two hexadecimal digits after it; write it as %25")
        try:
            return _ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), data).decode()
        except UnicodeDecodeError:
            pass
        raise self._refused(f"{subject} must be UTF-8 when its % forms are decoded")

    def _refused(self, text: str, *values: str) -> InvalidArgumentError:
        """An error. The values, which come from the string, take the place of ``{}``, unless they may be secret."""
        shown = [_NOT_SHOWN if self._hide else _shortened(value) for value in values]
        hint = f" (if the '@' after the address ends a password: {_ENCODE})" if self._hide else ""
        return InvalidArgumentError(f"uri: {text.format(*shown)}{hint}")


def _host_name(host: str) -> str | None:
    """A host in the form in which it is compared and shown, or None if it is not valid."""
    if not host.startswith("["):
        return host.lower() if _NAME.fullmatch(host) else None
    found = re.fullmatch(_IPV6, host)
    if found is None:
        return None
    try:
        import ipaddress  # takes long to load

        address = ipaddress.IPv6Address(found["address"])
    except ValueError:
        return None
    return f"{address}%{found['interface']}" if found["interface"] else str(address)


def _without_port(address: str) -> str:
    """The part of an address that can be shown: what follows a ':' may be a password without a host."""
    ipv6, bracket, _ = address.partition("]")
    return ipv6 + bracket if bracket and address.startswith("[") else address.partition(":")[0]


def _shortened(value: str) -> str:
    return repr(value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "...")
