"""Receive windows: what the peer may send, and when it may send more.

A stream's window is opened as the consumer takes messages (the accounting is in ``_stream``), so a consumer that stops
also stops the peer. The connection's window is opened as bytes arrive, so one stopped consumer does not stop the
others. What a connection holds is bounded by the windows of its streams.

Credit is given back by halves of the window that a stream began with, also after it has grown: by halves of a large
window, the peer would stand still for half of the time.

The window of a stream grows. A window is used once in each round trip, so one that is smaller than bandwidth times
round-trip time is what limits the speed. There is no clock here; a PING and its ACK mark one round trip. The PING is
sent when credit is given back. If the consumer has taken a third of the window or more until the ACK is there, the
window is doubled, up to ``Limits.largest_stream_window``. What counts is what was taken, not what arrived: the window
of a consumer that is slower than the network does not grow, and small calls never send a PING.
"""

from __future__ import annotations

from . import _frames as frames
from ._limits import Limits
from ._sending import Sender
from ._stream import Stream

PROBE = b"window 1"
"""What our PING says: no other PING is sent."""
_PROBE_PAUSE = 64
"""Half windows that pass between two probes, at most, if the window does not grow."""


class FlowControl(Sender):
    """The part of a connection that opens its receive windows."""

    __slots__ = ("_probe", "_probe_pause", "_probe_wait", "credit", "window")

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.window = limits.connection_window
        """What the peer may still send on the connection. Together with ``credit`` it is always the limit."""
        self.credit = 0
        """Bytes that arrived and were not given back yet."""
        self._probe: tuple[int, int] | None = None
        """The stream that the PING on its way was sent for, and what its consumer had taken then."""
        self._probe_pause = 0
        """Probes that are left out after the next one that is of no use."""
        self._probe_wait = 0
        """Probes that are still to be left out."""

    def take(self, stream: Stream, size: int) -> None:
        """Tell that the consumer took messages; the peer may send as much again.

        Args:
            stream: The stream of the messages; it may be over.
            size: Bytes of the messages and their prefixes.
        """
        stream.untaken -= size
        stream.taken += size
        kept = min(size, stream.advance)
        stream.advance -= kept
        stream.credit += size - kept
        if stream.remote_closed or stream.id not in self.streams:
            return
        if stream.credit * 2 >= self.limits.stream_window:
            self._open_window(stream, 0)
            if stream.allowance < self.limits.largest_stream_window:
                self._maybe_probe(stream)
        elif not stream.untaken:
            self._advance(stream)

    def _advance(self, stream: Stream) -> None:
        """No whole message waits for the consumer: admit all of a message that is larger than the window."""
        missing = stream.deframer.missing
        room = stream.window + stream.credit
        lacking = min(missing, frames.MAX_WINDOW) - room
        if lacking > 0:
            stream.advance += lacking
            self._open_window(stream, lacking)
        elif stream.credit * 2 >= self.limits.stream_window or (missing > stream.window and stream.credit):
            self._open_window(stream, 0)

    def _open_window(self, stream: Stream, extra: int) -> None:
        increment = stream.credit + extra
        stream.window += increment
        stream.credit = 0
        self._queue(frames.window_update(stream.id, increment))

    def _maybe_probe(self, stream: Stream) -> None:
        """Begin to measure how much is taken in a round trip, unless that is being done or was of no use lately."""
        if self._probe_wait:
            self._probe_wait -= 1
        elif self._probe is None:
            self._send_probe(stream)

    def _send_probe(self, stream: Stream) -> None:
        self._probe = stream.id, stream.taken
        self._queue(frames.ping(PROBE))

    def _on_probe(self) -> None:
        """The ACK of our PING came: a round trip is over."""
        if self._probe is None:
            return  # nobody asked
        (stream_id, taken_before), self._probe = self._probe, None
        stream = self.streams.get(stream_id)
        if stream is None or stream.remote_closed:
            return
        extra = min(stream.allowance, self.limits.largest_stream_window - stream.allowance)
        extra = min(extra, frames.MAX_WINDOW - stream.window - stream.credit)
        if (stream.taken - taken_before) * 3 < stream.allowance or extra <= 0:
            self._probe_pause = self._probe_wait = min(2 * self._probe_pause + 1, _PROBE_PAUSE)
            return
        self._probe_pause = 0
        stream.allowance += extra
        self._open_window(stream, extra)
        if stream.allowance < self.limits.largest_stream_window:
            self._send_probe(stream)
