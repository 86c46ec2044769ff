"""Connections with their tasks: calls as their owners see them, and serving.

The server's end is imported from ``_serving`` itself: most programs never load it.
"""

from __future__ import annotations

from ._calls import StreamingCall
from ._client import ClientLink, RequestHeaders
from ._tcp import dial_tcp, serve_tcp

__all__ = [
    "ClientLink",
    "RequestHeaders",
    "StreamingCall",
    "dial_tcp",
    "serve_tcp",
]
