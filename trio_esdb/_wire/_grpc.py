"""gRPC's status codes, metadata and header texts. This is the only module that imports grpclib.

grpclib runs on asyncio; only its modules without an event loop are used. Its ``metadata.Deadline`` is not: it reads
the system clock, which a mock clock cannot move. Nor are its codecs of metadata: they refuse a tab in a value, which
HTTP allows and a real node sends, and they read bytes out of text that is not base64.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from grpclib.const import Status
from grpclib.metadata import decode_grpc_message, decode_timeout, encode_grpc_message

__all__ = [
    "Metadata",
    "Status",
    "decode_grpc_message",
    "encode_deadline",
    "encode_grpc_message",
    "encode_headers",
    "metadata_from",
    "seconds_from",
]

Metadata = Mapping[str, str | bytes]
"""The metadata of a call. The values of keys that end in ``-bin`` are bytes, all others are text."""

_NOT_METADATA = frozenset({"te", "content-type", "user-agent", "content-length", "date", "server"})
_RESERVED = frozenset({"te", "content-type", "user-agent"})
_is_key = re.compile(r"[0-9a-z_.\-]+").fullmatch
_is_base64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?").fullmatch
_is_value = re.compile(r"[\t -~]+").fullmatch


def metadata_from(headers: Iterable[tuple[str, str]]) -> Metadata:
    """The headers that are metadata, ``-bin`` values decoded; the last value of a key counts.

    A ``-bin`` value that is not base64 is left out.
    """
    found: dict[str, str | bytes] = {}
    for key, value in headers:
        if key[0] == ":" or key in _NOT_METADATA or (key.startswith("grpc-") and key != "grpc-status-details-bin"):
            continue
        if key.endswith("-bin"):
            last = value.rpartition(",")[2].strip(" \t")
            if _is_base64(last):
                found[key] = binascii.a2b_base64(last + "=" * (-len(last) % 4))
            else:
                found.pop(key, None)
        else:
            found[key] = value
    return MappingProxyType(found)


def encode_headers(metadata: Metadata) -> list[tuple[str, str]]:
    """Metadata as headers. ValueError or TypeError for keys and values that gRPC does not allow."""
    headers = []
    for key, value in metadata.items():
        if not _is_key(key) or key in _RESERVED or key.startswith("grpc-"):
            raise ValueError(f"not a key of gRPC metadata: {key!r}")
        if key.endswith("-bin"):
            if not isinstance(value, bytes):
                raise TypeError(f"the value of {key} must be bytes, not {type(value).__name__}")
            text = binascii.b2a_base64(value, newline=False).decode("ascii").rstrip("=")
        elif not isinstance(value, str):
            raise TypeError(f"the value of {key} must be a str, not {type(value).__name__}")
        elif not _is_value(value):
            raise ValueError(f"the value of {key} is empty, or not printable ASCII: {value[:100]!r}")
        else:
            text = value
        headers.append((key, text))
    return headers


def encode_deadline(seconds: float) -> str:
    """The ``grpc-timeout`` text for this many seconds, rounded up, at least a millisecond, at most eight digits."""
    if seconds <= 0.001:
        return "1m"  # a deadline in gRPC is never zero or negative
    if seconds < 10**5 - 1:
        return f"{math.ceil(seconds * 1000)}m"
    return f"{min(math.ceil(seconds), 10**8 - 1)}S"


def seconds_from(timeout: str | None) -> float:
    """The seconds that a ``grpc-timeout`` text means; infinity if it is absent or not a timeout."""
    if timeout is None or not timeout.isascii() or len(timeout) > 9:
        return math.inf
    try:
        return float(decode_timeout(timeout))
    except ValueError:
        return math.inf
