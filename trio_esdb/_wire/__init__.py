"""HTTP/2 and gRPC without I/O: bytes in, events out, in both roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._client import ClientConnection
from ._events import (
    CallEnded,
    CallReceived,
    CallReset,
    ConnectionEnded,
    Drained,
    Event,
    MessagesReceived,
    RequestsEnded,
    RoomChanged,
)
from ._frames import Code
from ._grpc import Metadata, Status, encode_deadline, encode_headers
from ._headers import HeadersTooLarge
from ._limits import Limits
from ._messages import PREFIX_SIZE
from ._outcome import Outcome
from ._stream import Stream

if TYPE_CHECKING:
    from ._server import ServerConnection

__all__ = [
    "PREFIX_SIZE",
    "CallEnded",
    "CallReceived",
    "CallReset",
    "ClientConnection",
    "Code",
    "ConnectionEnded",
    "Drained",
    "Event",
    "HeadersTooLarge",
    "Limits",
    "MessagesReceived",
    "Metadata",
    "Outcome",
    "RequestsEnded",
    "RoomChanged",
    "ServerConnection",
    "Status",
    "Stream",
    "encode_deadline",
    "encode_headers",
]


def __getattr__(name: str) -> Any:
    """The server's role is loaded when it is asked for; most programs never do."""
    if name == "ServerConnection":
        from ._server import ServerConnection

        return ServerConnection
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
