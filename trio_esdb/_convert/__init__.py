"""Converts values to the protocol's messages and back."""

from ._answers import (
    Confirmation,
    LastStreamPosition,
    ReadResponse,
    StreamNotFound,
    WrongRevision,
)
from ._append import ANY, EXISTS, NO_STREAM, append_options, proposed_message
from ._features import server_version
from ._gossip import cluster_members
from ._read import ReadDecoder
from ._requests import NO_LIMIT, delete_request, read_all_request, read_stream_request
from ._responses import append_response, delete_response

__all__ = [
    "ANY",
    "EXISTS",
    "NO_LIMIT",
    "NO_STREAM",
    "Confirmation",
    "LastStreamPosition",
    "ReadDecoder",
    "ReadResponse",
    "StreamNotFound",
    "WrongRevision",
    "append_options",
    "append_response",
    "cluster_members",
    "delete_request",
    "delete_response",
    "proposed_message",
    "read_all_request",
    "read_stream_request",
    "server_version",
]
