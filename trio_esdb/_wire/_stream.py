"""The state of one HTTP/2 stream, and the book of its receive window.

The book: ``window`` is what the peer may still send. Bytes that came are first *held* by the deframer (a message that
is not whole yet), then *untaken* (whole messages that the consumer has not taken), then *credit* (taken, not yet given
back), then given back by a WINDOW_UPDATE. A message larger than the window gets what it lacks in advance, as soon as
nothing whole is waiting in front of it; that *advance* is kept back when the message is taken. So always

    window + held + untaken + credit == initial window + advance
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from ._messages import Deframer

Header = tuple[str, str]
_NOTHING: Final[deque[memoryview]] = deque(maxlen=0)
"""What waits on most streams, all their lives."""


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
        "waiting",
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
        self.unsent = 0
        """Bytes that wait for the peer's windows,"""
        self.waiting: deque[memoryview] = _NOTHING
        """and these bytes, in pieces."""
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

    def put(self, pieces: Iterable[bytes]) -> None:
        """Let these wait for the peer's windows, behind what waits already."""
        if self.waiting is _NOTHING:
            self.waiting = deque()
        for piece in pieces:
            self.unsent += len(piece)
            self.waiting.append(memoryview(piece))

    def cut(self, size: int) -> list[memoryview]:
        """So many of the waiting bytes, for a frame; they are not copied."""
        self.unsent -= size
        found = []
        while size:
            piece = self.waiting[0]
            if len(piece) > size:
                self.waiting[0] = piece[size:]
                piece = piece[:size]
            else:
                self.waiting.popleft()
            found.append(piece)
            size -= len(piece)
        return found

    def drop_unsent(self) -> None:
        """Forget what waits."""
        self.unsent = 0
        self.waiting = _NOTHING
