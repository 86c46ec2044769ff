"""The state of one HTTP/2 stream, and the accounting of its receive window.

Every byte of the window is in one of four places. ``window`` is what the peer may still send. Bytes that arrived are
first *held* by the deframer (a message that is not whole), then *untaken* (whole messages that the consumer has not
taken), then *credit* (taken, but not given back yet); a WINDOW_UPDATE gives them back, and they are ``window`` again.

``allowance`` is the size of the window: the sum of the four. It begins as ``Limits.stream_window`` and grows while the
consumer takes messages faster than one window for each round trip (see ``_connection``).

A message larger than the allowance could never arrive. As soon as no whole message waits before it, the peer is given
what it lacks as an *advance*. When the message is taken, that part of it is not given back. So this always holds:

    window + held + untaken + credit == allowance + advance
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from ._headers import Header
from ._messages import Deframer

_NOTHING: Final[deque[memoryview]] = deque(maxlen=0)
"""The unsent bytes of most streams, at all times."""


class Stream:
    """One call on one connection. ``owner`` belongs to the layer above, everything else to this one."""

    __slots__ = (
        "advance",
        "allowance",
        "batch",
        "body_left",
        "content_type",
        "credit",
        "deframer",
        "drain_wanted",
        "end_at",
        "ending",
        "headers",
        "http_status",
        "id",
        "is_grpc",
        "local_closed",
        "owner",
        "rate",
        "remote_closed",
        "send_window",
        "taken",
        "text",
        "unsent",
        "untaken",
        "waiting",
        "window",
    )

    def __init__(self, stream_id: int, window: int, send_window: int, message_limit: int, owner: Any = None) -> None:
        self.id = stream_id
        self.owner = owner
        self.window = self.allowance = window
        self.taken = 0
        """Bytes of all the messages that the consumer has taken."""
        self.rate = 0.0
        """Bytes a second that the consumer took when the window was doubled last; 0 before that."""
        self.untaken = 0
        self.credit = 0
        self.advance = 0
        self.deframer = Deframer(message_limit)
        self.batch: list[bytes] | None = None
        self.send_window = send_window
        self.unsent = 0
        """Bytes that wait to be put into DATA frames: for the peer's windows, or for the writer."""
        self.waiting: deque[memoryview] = _NOTHING
        """The unsent bytes, in pieces."""
        self.ending: tuple[Header, ...] | None = None
        """The trailers that end our side behind the unsent bytes; empty for a bare END_STREAM; None: no end yet."""
        self.drain_wanted = False
        """Whether the owner wants a Drained event when nothing is unsent any more."""
        self.local_closed = False
        self.end_at = 0
        """Where our side's end is among all bytes of the connection, once it is queued."""
        self.remote_closed = False
        self.headers: tuple[Header, ...] | None = None
        self.http_status = 0
        self.content_type = ""
        self.is_grpc = True
        """Client: whether the answer is gRPC, so that its body consists of messages."""
        self.body_left: int | None = None
        """What the peer still has to send according to its content-length; None if it gave none."""
        self.text = b""
        """Client: the beginning of a body that is not gRPC."""

    def put(self, pieces: Iterable[bytes]) -> None:
        """Append to the unsent bytes."""
        if self.waiting is _NOTHING:
            self.waiting = deque()
        for piece in pieces:
            self.unsent += len(piece)
            self.waiting.append(memoryview(piece))

    def cut(self, size: int) -> list[memoryview]:
        """Remove ``size`` of the unsent bytes, for a frame; they are not copied."""
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
        """Drop the unsent bytes."""
        self.unsent = 0
        self.waiting = _NOTHING
