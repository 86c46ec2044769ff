"""The options of a connection string: one table, from which the parser, its errors and the documentation are made."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

_INTEGER = r"-?[0-9]{1,10}"
_DECIMAL = r"[0-9]{1,10}(\.[0-9]{1,10})?"
_MAX = 2**31 - 1
_LEAST_DEADLINE = 100
"""Milliseconds. A shorter deadline is one in seconds, as kurrentdbclient reads it."""
_GREATEST_GOSSIP_TIMEOUT = 100
"""Seconds. A longer time is one in milliseconds, as the .NET, Java and Rust clients read it."""
_LONGEST_NAME = 200


class RefusedValue(Exception):
    """The value of an option cannot be used. The text, if there is one, says more than what is allowed."""


class Option(NamedTuple):
    """An option. ``allowed`` completes the sentence "it must be"; ``read`` turns the text into the value of a field.

    ``field`` is the name of the field of ``Settings``, or None if the option has no effect.
    """

    name: str
    field: str | None
    allowed: str
    default: str
    meaning: str
    read: Callable[[str], object]


def _boolean(text: str) -> bool:
    lower = text.lower()
    if lower not in ("true", "false"):
        raise RefusedValue
    return lower == "true"


def _integer(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(_INTEGER, text) or not least <= (value := int(text)) <= _MAX:
            raise RefusedValue
        return value

    return read


def _milliseconds(least: int, *, off: bool = False, too_short: str = "") -> Callable[[str], float]:
    def read(text: str) -> float:
        if off and text == "-1":
            return math.inf
        value = _integer(0)(text)
        if value < least:
            raise RefusedValue(too_short if value > 0 else "")
        return value / 1000

    return read


def _gossip_timeout(text: str) -> float:
    if not re.fullmatch(_DECIMAL, text) or (value := float(text)) == 0:
        raise RefusedValue
    if value >= _GREATEST_GOSSIP_TIMEOUT:
        raise RefusedValue("gossipTimeout is in seconds (the .NET, Java and Rust clients read milliseconds)")
    return value


_PREFERENCES = {name.lower(): name for name in ("leader", "follower", "random", "readOnlyReplica")}


def _node_preference(text: str) -> str:
    name = _PREFERENCES.get(text.lower().replace("-", "").replace("_", ""))
    if name is None:
        raise RefusedValue
    return name


CONNECTION_NAME_ALLOWED = f"1 to {_LONGEST_NAME} printable ASCII characters, without blanks around them"


def is_connection_name(text: str) -> bool:
    """Whether a text fits a header and a line of a log."""
    printable = all(" " <= character <= "~" for character in text)
    return printable and text == text.strip(" ") and 1 <= len(text) <= _LONGEST_NAME


def _connection_name(text: str) -> str:
    if not is_connection_name(text):
        raise RefusedValue
    return text


def _path(text: str) -> str:
    if "\0" in text:
        raise RefusedValue
    return text


def _throw_on_append_failure(text: str) -> bool:
    if not _boolean(text):
        raise RefusedValue("a failed append always raises ExpectedPositionError")
    return True


def _feature(text: str) -> str:
    if text.lower() != "dns-lookup":
        raise RefusedValue
    return text


_BOOLEAN = "true or false"
_FILE = "the path of a PEM file"
_MILLISECONDS = f"a whole number of milliseconds from 1 to {_MAX}"

OPTIONS: Mapping[str, Option] = {
    option.name.lower(): option
    for option in (
        Option("tls", "tls", _BOOLEAN, "true", "Whether the connection is encrypted.", _boolean),
        Option(
            "tlsVerifyCert",
            "tls_verify_cert",
            _BOOLEAN,
            "true",
            "Whether the certificate of the node is checked. Without the check, anybody can claim to be the node.",
            _boolean,
        ),
        Option(
            "tlsCaFile",
            "tls_ca_file",
            _FILE,
            "the authorities of the system",
            "The certificates of the authorities that are trusted.",
            _path,
        ),
        Option(
            "userCertFile",
            "user_cert_file",
            _FILE,
            "none",
            "The client's certificate, which tells the node who the user is. It needs `userKeyFile`.",
            _path,
        ),
        Option("userKeyFile", "user_key_file", _FILE, "none", "The private key of `userCertFile`.", _path),
        Option(
            "connectionName",
            "connection_name",
            CONNECTION_NAME_ALLOWED,
            "a random UUID",
            "The name of the client, in its log and for the server.",
            _connection_name,
        ),
        Option(
            "defaultDeadline",
            "default_deadline",
            f"a whole number of milliseconds from {_LEAST_DEADLINE} to {_MAX}, or -1 for no limit",
            "10000",
            "The time that a call with one answer may take if it has no `timeout`.",
            _milliseconds(
                _LEAST_DEADLINE,
                off=True,
                too_short="defaultDeadline is in milliseconds (kurrentdbclient reads seconds)",
            ),
        ),
        Option(
            "keepAliveInterval",
            "keep_alive_interval",
            f"{_MILLISECONDS}, or -1 for never",
            "10000",
            "After this time without a sign of life, the node is asked for one.",
            _milliseconds(1, off=True),
        ),
        Option(
            "keepAliveTimeout",
            "keep_alive_timeout",
            f"{_MILLISECONDS}, or -1 for no limit",
            "10000",
            "Within this time the node must give it, or the connection is lost.",
            _milliseconds(1, off=True),
        ),
        Option(
            "nodePreference",
            "node_preference",
            "leader, follower, random or readOnlyReplica",
            "leader",
            "Which node of a cluster to use.",
            _node_preference,
        ),
        Option(
            "dnsDiscover",
            "discover",
            _BOOLEAN,
            "false, or true with `+discover`",
            "Whether the host name stands for all nodes of a cluster, as with `+discover`.",
            _boolean,
        ),
        Option(
            "maxDiscoverAttempts",
            "max_discover_attempts",
            f"a whole number from 1 to {_MAX}",
            "10",
            "How often a cluster is searched for a node.",
            _integer(1),
        ),
        Option(
            "discoveryInterval",
            "discovery_interval",
            f"a whole number of milliseconds from 0 to {_MAX}",
            "100",
            "The first pause between two attempts. It doubles with each.",
            _milliseconds(0),
        ),
        Option(
            "gossipTimeout",
            "gossip_timeout",
            f"a number of seconds greater than 0 and less than {_GREATEST_GOSSIP_TIMEOUT}, such as 5 or 0.5",
            "5",
            "The time in which a node must tell what it knows of its cluster.",
            _gossip_timeout,
        ),
        Option(
            "throwOnAppendFailure",
            None,
            "true",
            "true",
            "No effect: a failed append always raises an error.",
            _throw_on_append_failure,
        ),
        Option(
            "feature",
            None,
            "dns-lookup",
            "none",
            "No effect: all addresses of a name are always tried.",
            _feature,
        ),
    )
}
"""The options, by their names in lower case."""
