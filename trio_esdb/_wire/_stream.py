"""The state of one HTTP/2 stream, and the book of its receive window.

The book: ``window`` is what the peer may still send. Bytes that came are first *held* by the deframer (a message that
is not whole yet), then *untaken* (whole messages that the consumer has not taken), then *credit* (taken, not yet given
back), then given back by a WINDOW_UPDATE. A message larger than the window gets what it lacks in advance, as soon as
nothing whole is waiting in front of it; that *advance* is kept back when the message is taken. So always

    window + held + untaken + credit == initial window + advance
"""

from __future__ import annotations

from typing import Any

from ._messages import Deframer

Header = tuple[str, str]


class Stream:
    """One call on one connection. ``owner`` belongs to the layer above; all else is the core's."""

    __slots__ = (
        "advance",
        "batch",
        "body_left",
        "content_type",
        "credit",
        "deframer",
        "drain_wanted",
        "ending",
        "headers",
        "http_status",
        "id",
        "is_grpc",
        "local_closed",
        "owner",
        "remote_closed",
        "send_window",
        "text",
        "unsent",
        "untaken",
        "window",
    )

    def __init__(self, stream_id: int, window: int, send_window: int, message_limit: int, owner: Any = None) -> None:
        self.id = stream_id
        self.owner = owner
        self.window = window
        self.untaken = 0
        self.credit = 0
        self.advance = 0
        self.deframer = Deframer(message_limit)
        self.batch: list[bytes] | None = None
        self.send_window = send_window
        self.unsent = bytearray()
        self.ending: tuple[Header, ...] | None = None
        """What ends our side once ``unsent`` is empty: trailers, or no trailers at all for a bare END_STREAM."""
        self.drain_wanted = False
        self.local_closed = False
        self.remote_closed = False
        self.headers: tuple[Header, ...] | None = None
        self.http_status = 0
        self.content_type = ""
        self.is_grpc = True
        """Client: whether the answer is gRPC at all, so that its body is messages."""
        self.body_left: int | None = None
        self.text = b""
