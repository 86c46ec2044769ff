"""HTTP/2 and gRPC without I/O: bytes in, events out, in both roles.

The server's role is imported from ``_server_connection`` itself: most programs never load it.
"""

from __future__ import annotations

from ._client_connection import ClientConnection
from ._events import (
    CallEnded,
    CallReceived,
    CallReset,
    ConnectionEnded,
    Drained,
    Event,
    GoawayReceived,
    MessagesReceived,
    RequestsEnded,
    RoomChanged,
)
from ._frames import Code
from ._grpc import Metadata, Status, encode_deadline, encode_headers
from ._headers import HeadersTooLarge
from ._keep_alive import KeepAlive, Watch
from ._limits import Limits
from ._messages import PREFIX_SIZE, CompressedMessage
from ._outcome import Outcome
from ._stream import Stream

__all__ = [
    "PREFIX_SIZE",
    "CallEnded",
    "CallReceived",
    "CallReset",
    "ClientConnection",
    "Code",
    "CompressedMessage",
    "ConnectionEnded",
    "Drained",
    "Event",
    "GoawayReceived",
    "HeadersTooLarge",
    "KeepAlive",
    "Limits",
    "MessagesReceived",
    "Metadata",
    "Outcome",
    "RequestsEnded",
    "RoomChanged",
    "Status",
    "Stream",
    "Watch",
    "encode_deadline",
    "encode_headers",
]
