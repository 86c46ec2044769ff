"""Receive windows: what the peer may send, and when it may send more.

A stream's window is opened as the consumer takes messages (the accounting is in ``_stream``), so a consumer that stops
also stops the peer. The connection's window is opened as bytes arrive, so one stopped consumer does not stop the
others. What a connection holds is bounded by the windows of its streams.

Credit is given back by halves of the window that a stream began with, also after it has grown: by halves of a large
window, the peer would stand still for half of the time.

The window of a stream grows. A window is used once in each round trip, so one that is smaller than bandwidth times
round-trip time is what limits the speed. A PING and its ACK mark one round trip. The PING is sent when credit is given
back. The window is doubled, up to ``Limits.largest_stream_window``, if until the ACK

- the consumer has taken a third of the window or more,
- it has taken it faster than before: at 1.25 times the rate at which the window was doubled last, and
- that took 5 ms or longer. A window of 512 KiB each 5 ms is 100 MB a second, which is more than a client decodes.

What counts is what was taken, not what arrived: the window of a consumer that is slower than the network does not grow,
and small calls never send a PING. The rate tells apart what the first condition cannot. If the consumer is what limits
the speed, data waits in the socket and the PING behind it, so a round trip takes as long as the consumer takes for a
window. A larger window then only means that more is waiting, in memory that no cache holds.
"""

from __future__ import annotations

from . import _frames as frames
from ._limits import Limits
from ._sending import Sender
from ._stream import Stream

PROBE = b"window 1"
"""What our PING says, and no other PING that we send."""
_PROBE_PAUSE = 64
"""Half windows that pass between two probes, at most, if the window does not grow."""
_SHORTEST_ROUND_TRIP = 0.005
"""Seconds. In a shorter one the window that a call begins with is enough."""
_FASTER = 1.25
"""How much faster the consumer must have become since the window was doubled."""


class FlowControl(Sender):
    """The part of a connection that opens its receive windows."""

    __slots__ = ("_probe", "_probe_pause", "_probe_wait", "credit", "heard_at", "window")

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.window = limits.connection_window
        """What the peer may still send on the connection. Together with ``credit`` it is always the limit."""
        self.credit = 0
        """Bytes that arrived and were not given back yet."""
        self.heard_at = 0.0
        """When bytes came last, in seconds by the clock of ``receive_data``."""
        self._probe: tuple[int, int, float] | None = None
        """The stream that the PING on its way was sent for, what its consumer had taken then, and when that was."""
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
        self._probe = stream.id, stream.taken, self.heard_at
        self._queue(frames.ping(PROBE))

    def _on_probe(self) -> None:
        """The ACK of our PING came: a round trip is over."""
        if self._probe is None:
            return  # nobody asked
        (stream_id, taken_before, sent_at), self._probe = self._probe, None
        stream = self.streams.get(stream_id)
        if stream is None or stream.remote_closed:
            return
        extra = min(stream.allowance, self.limits.largest_stream_window - stream.allowance)
        extra = min(extra, frames.MAX_WINDOW - stream.window - stream.credit)
        taken, seconds = stream.taken - taken_before, self.heard_at - sent_at
        useful = taken * 3 >= stream.allowance and taken > _FASTER * stream.rate * seconds
        if not useful or seconds < _SHORTEST_ROUND_TRIP or extra <= 0:
            self._probe_pause = self._probe_wait = min(2 * self._probe_pause + 1, _PROBE_PAUSE)
            return
        self._probe_pause = 0
        stream.rate = taken / seconds
        stream.allowance += extra
        self._open_window(stream, extra)
        if stream.allowance < self.limits.largest_stream_window:
            self._send_probe(stream)
