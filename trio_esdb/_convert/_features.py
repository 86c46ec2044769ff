"""Decodes what a server tells of itself (ServerFeatures)."""

from __future__ import annotations

import re

from trio_esdb._errors import ProtocolError
from trio_esdb._model import ServerVersion
from trio_esdb._protobuf import LENGTH, FieldReader, Malformed

_VERSION = r"([0-9]{1,6})\.([0-9]{1,6})(?:\.([0-9]{1,6}))?(?![0-9])"
_METHODS = 10_000
"""The number of methods that a server may name; real ones have about a hundred."""


def server_version(raw: bytes) -> ServerVersion:
    """Read the version in the response to GetSupportedMethods. The methods are skipped.

    Raises:
        ProtocolError: The response cannot be decoded, or its version is none.
    """
    found = b""
    try:
        for number, wire_type, begin, end in FieldReader(raw, _METHODS).fields(0, len(raw)):
            if number == 2 and wire_type == LENGTH:
                found = raw[begin:end]
    except Malformed as exc:
        raise ProtocolError(f"the server's response about its version is malformed: {exc}", status="INTERNAL") from exc
    text = found[:100].decode("utf-8", "replace")
    numbers = re.match(_VERSION, text)
    if numbers is None:
        raise ProtocolError(f"the server tells a version that is none: {text!r}", status="INTERNAL")
    return ServerVersion(*(int(number or 0) for number in numbers.groups()))
