"""Connections with their tasks: calls as their owners see them, and serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._calls import StreamingCall
from ._client import ClientLink, RequestHeaders
from ._tcp import dial_tcp, serve_tcp

if TYPE_CHECKING:
    from ._serving import Answer, Conversation, Failure, Method, ServerCall, serve_stream

__all__ = [
    "Answer",
    "ClientLink",
    "Conversation",
    "Failure",
    "Method",
    "RequestHeaders",
    "ServerCall",
    "StreamingCall",
    "dial_tcp",
    "serve_stream",
    "serve_tcp",
]


def __getattr__(name: str) -> Any:
    """The server's end is loaded when it is asked for; most programs never do."""
    if name in ("Answer", "Conversation", "Failure", "Method", "ServerCall", "serve_stream"):
        from . import _serving

        return getattr(_serving, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
