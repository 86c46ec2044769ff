"""The one door to grpclib: status codes, metadata and the texts of gRPC headers.

grpclib runs on asyncio; only its loop-free modules come in here, and nowhere else. Its ``metadata.Deadline`` stays
out as well: it reads the system clock, which a mock clock cannot move.
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from grpclib.const import Status
from grpclib.metadata import (
    decode_bin_value,
    decode_grpc_message,
    decode_timeout,
    encode_grpc_message,
    encode_metadata,
)

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

_NOT_METADATA = frozenset({"te", "content-type", "user-agent", "content-length", "date", "server"})


def metadata_from(headers: Iterable[tuple[str, str]]) -> Metadata:
    """The headers that are metadata, ``-bin`` values decoded; the last value of a key counts.

    A ``-bin`` value that is not base64 is left out: it says nothing that anybody could use.
    """
    found: dict[str, str | bytes] = {}
    for key, value in headers:
        if key[0] == ":" or key in _NOT_METADATA or (key.startswith("grpc-") and key != "grpc-status-details-bin"):
            continue
        if key.endswith("-bin"):
            try:
                found[key] = decode_bin_value(value.rpartition(",")[2].encode("ascii"))
            except (binascii.Error, UnicodeEncodeError):
                continue
        else:
            found[key] = value
    return MappingProxyType(found)


def encode_headers(metadata: Metadata) -> list[tuple[str, str]]:
    """Metadata as headers; ValueError or TypeError for keys and values that gRPC does not allow."""
    return list(encode_metadata(metadata))


def encode_deadline(seconds: float) -> str:
    """The ``grpc-timeout`` text for this many seconds, rounded up, at least a millisecond, at most eight digits."""
    if seconds <= 0.001:
        return "1m"  # gRPC knows no deadline of nothing, or of less
    if seconds < 10**5 - 1:
        return f"{math.ceil(seconds * 1000)}m"
    return f"{min(math.ceil(seconds), 10**8 - 1)}S"


def seconds_from(timeout: str | None) -> float:
    """The seconds that a ``grpc-timeout`` text means; infinity where it is absent or says nothing sensible."""
    if timeout is None or not timeout.isascii() or len(timeout) > 9:
        return math.inf
    try:
        return float(decode_timeout(timeout))
    except ValueError:
        return math.inf
