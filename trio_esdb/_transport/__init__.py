"""Connections with their tasks: calls as their owners see them, and serving."""

from ._calls import StreamingCall
from ._client import ClientLink, RequestHeaders
from ._serving import Answer, Conversation, Failure, Method, ServerCall, serve_stream
from ._tcp import dial_tcp, serve_tcp

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
