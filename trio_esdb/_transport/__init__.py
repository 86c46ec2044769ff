"""Connections with their tasks: calls as their owners see them, and serving.

The server's end is imported from ``_serving`` itself: most programs never load it. So is the dialer from ``_dial``: the
embedded node does not load it.
"""

from __future__ import annotations

from trio_esdb._wire import KeepAlive

from ._calls import Sink, StreamingCall, unary_call
from ._client_link import CallOwner, ClientLink
from ._overdue import OVERDUE, OverdueCalls
from ._tcp import dial_tcp, listen_tcp, port_of

__all__ = [
    "OVERDUE",
    "CallOwner",
    "ClientLink",
    "KeepAlive",
    "OverdueCalls",
    "Sink",
    "StreamingCall",
    "dial_tcp",
    "listen_tcp",
    "port_of",
    "unary_call",
]
