"""What leaves a connection: header blocks, DATA within the windows that the peer gives, resets, GOAWAY.

Bytes that wait are in one of two places. ``_queued`` is a queue of frames, which leave in its order. What cannot be
framed yet stays with its stream (``Stream.waiting``); there it costs no copy and is dropped with the call. DATA is
framed only

- as far as the peer's windows admit, the stream's and the connection's, and
- while the queue holds less than ``_QUEUE_GOAL`` bytes. A peer with huge windows that does not read its socket must not
  make us copy everything, and a frame in the queue can be neither dropped nor overtaken.

``_waiting`` are the streams that have unsent bytes and room in their own window, in the order of their turns. They wait
for the connection's window or for the writer: each time the writer takes bytes, the queue is filled again. A stream
whose own window is used up is not among them; the peer's WINDOW_UPDATE or SETTINGS bring it back. So the queue is empty
only if nothing may be sent.

Header blocks, resets and other control frames are queued at once. Their number is bounded in other ways: the client
opens no call while more than ``CONGESTED`` bytes are queued; a server counts a call as open
until its end has left the queue; and of frames that only answer the peer there may be ``_UNSENT_ANSWERS``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect
from collections import deque
from collections.abc import Iterable, Sequence
from typing import ClassVar

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from . import _frames as frames
from ._events import Drained, Event
from ._frames import Code
from ._headers import Header
from ._hpack import BlockEncoder
from ._limits import DEFAULT_WINDOW, Limits
from ._messages import frame_messages
from ._stream import Stream

USUAL_STREAMS = 100
"""The concurrent calls that a server is assumed to take until its SETTINGS arrive."""
_DEBUG_LIMIT = 256
_QUEUE_GOAL = 256 * 1024
_TURN = 64 * 1024
"""Bytes that a stream puts into the queue before it is another stream's turn."""
CONGESTED = _QUEUE_GOAL + 2 * _TURN
"""Bytes in the queue that DATA alone never reaches: the peer, or the network, has taken nothing for some time."""
_UNSENT_ANSWERS = 1000


class PeerError(Exception):
    """The peer broke a rule of HTTP/2 in a way that ends the connection."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Sender(ABC):
    """The sending half of a connection. It also keeps the open streams."""

    # Slots, since an object of so many attributes would otherwise get a dictionary of its own, which is slower.
    __slots__ = (
        "_answers",
        "_encoder",
        "_h2",
        "_idle_frames",
        "_leaving",
        "_left",
        "_peer_header_list",
        "_peer_streams",
        "_peer_window",
        "_queued",
        "_resets",
        "_resets_end",
        "_waiting",
        "events",
        "header_list",
        "limits",
        "output_size",
        "streams",
    )

    _client_side: ClassVar[bool]
    _usual_header_list: ClassVar[int]

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.header_list = self._usual_header_list if limits.header_list is None else limits.header_list
        """The largest list of headers that is taken, in bytes."""
        self.streams: dict[int, Stream] = {}
        self.output_size = 0
        """Bytes in the queue of frames. What waits for the peer's windows is in ``Stream.unsent``."""
        self.events: list[Event] = []
        """Events that nobody has taken yet: after ``data_to_send`` they are Drained events."""
        self._h2 = self._greeting(limits)
        self._queued: list[bytes | memoryview] = []
        self._queue(self._h2.data_to_send())
        if limits.connection_window > DEFAULT_WINDOW:
            self._queue(frames.window_update(0, limits.connection_window - DEFAULT_WINDOW))
        self._encoder = BlockEncoder(self._h2.encoder)
        # The peer's SETTINGS as they are now; h2 looks each of them up in a stack of past and future values.
        self._peer_window = DEFAULT_WINDOW
        self._peer_header_list: int | None = None
        self._peer_streams = USUAL_STREAMS
        self._waiting: dict[int, Stream] = {}
        self._left = 0
        """Bytes that have left the queue so far. With ``output_size`` it gives each queued frame a position."""
        self._answers: deque[int] = deque()
        """The positions behind queued frames that answer the peer."""
        self._leaving: dict[int, int] = {}
        """Server: streams that are closed here, but the frame that ends them is still in the queue; its position."""
        self._resets: list[bytes] = []
        """The resets at the end of the queue."""
        self._resets_end = 0
        """The length of the queue behind them."""
        self._idle_frames = 0
        """Frames that brought nothing, since the last one that did. Some count for more than one."""

    def _greeting(self, limits: Limits) -> H2Connection:
        h2 = H2Connection(H2Configuration(client_side=self._client_side, header_encoding=None))
        values = {
            SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
            SettingCodes.MAX_HEADER_LIST_SIZE: self.header_list,
        }
        if self._client_side:
            values[SettingCodes.ENABLE_PUSH] = 0
        else:
            values[SettingCodes.MAX_CONCURRENT_STREAMS] = limits.concurrent_streams
        h2.local_settings = Settings(client=self._client_side, initial_values=values)
        h2.initiate_connection()
        return h2

    @property
    def has_output(self) -> bool:
        """Whether there is anything to send."""
        return bool(self._queued)

    def data_to_send(self, about: int | None = None) -> bytes:
        """Take what is queued for the peer, or about ``about`` bytes of it; empty if nothing is queued.

        What waits for room in the queue is framed now, so there may be new ``events``.
        """
        out = self._queued
        if about is None:
            taken: list[bytes | memoryview] = []
            while out:
                taken += out
                out.clear()
                self.output_size = 0
                self._fill()
            data = b"".join(taken)
            self._resets.clear()
            self._answers.clear()
            self._leaving.clear()
            self._left += len(data)
            return data
        if not out:
            return b""
        self._resets.clear()
        if self.output_size <= about:
            data = b"".join(out)
            out.clear()
            self.output_size = 0
            self._left += len(data)
            self._answers.clear()
            self._leaving.clear()
        else:
            data = self._take_part(about)
        if self._waiting:
            self._fill()
        return data

    def _take_part(self, about: int) -> bytes:
        """Take the first frames of the queue, until there are so many bytes."""
        out = self._queued
        size = count = 0
        while size < about:
            size += len(out[count])
            count += 1
        data = b"".join(out[:count])
        del out[:count]
        self.output_size -= size
        left = self._left = self._left + size
        while self._answers and self._answers[0] <= left:
            self._answers.popleft()
        while self._leaving:
            first = next(iter(self._leaving))
            if self._leaving[first] > left:
                break
            del self._leaving[first]
        return data

    def take_events(self) -> list[Event]:
        """The events that nobody has taken yet."""
        events, self.events = self.events, []
        return events

    def send_messages(self, stream: Stream, messages: Iterable[bytes], *, end: bool = False) -> None:
        """Send gRPC messages, as soon as the peer's windows and the writer admit them.

        Args:
            stream: An open stream; for one that is over nothing happens.
            messages: The messages, without their prefixes.
            end: Whether these are the last ones.
        """
        if stream.id not in self.streams:
            return
        self._send(stream, frame_messages(messages), () if end else None)

    def reset(self, stream: Stream, code: int = Code.CANCEL) -> None:
        """Give a call up at once; its unsent bytes are dropped. Does nothing for a stream that is over."""
        if self.streams.get(stream.id) is stream:
            self._queue_reset(stream.id, code)
            self._forget(stream)

    def goodbye(self, code: int = Code.NO_ERROR, text: str = "") -> None:
        """Queue a GOAWAY: calls that the peer opens from now on are refused, open ones go on."""
        self._queue(frames.goaway(self._highest_peer_stream(), code, text.encode()[:_DEBUG_LIMIT]))

    @abstractmethod
    def _highest_peer_stream(self) -> int:
        """The last of the streams that the peer opened, as GOAWAY tells it."""

    # -- the queue ---------------------------------------------------------------------------------------------------

    def _queue(self, frame: bytes) -> None:
        self._queued.append(frame)
        self.output_size += len(frame)

    def _queue_answer(self, frame: bytes) -> None:
        """Queue a frame that only answers one of the peer's. PeerError if the peer does not take its answers."""
        self._queue(frame)
        self._count_answer()

    def _count_answer(self) -> None:
        self._answers.append(self._left + self.output_size)
        if len(self._answers) > _UNSENT_ANSWERS:
            text = f"the peer does not take its answers: more than {_UNSENT_ANSWERS} wait"
            raise PeerError(Code.ENHANCE_YOUR_CALM, text)

    def _queue_reset(self, stream_id: int, code: int) -> None:
        """Queue a reset. Resets that are queued one after another are put in the order of their streams.

        Tasks that are cancelled together run in an order that changes from run to run, what they send should not.
        """
        frame = frames.rst_stream(stream_id, code)
        if self._resets_end != len(self._queued):
            self._resets.clear()
        place = bisect(self._resets, frame)  # what differs first in two such frames is the number of the stream
        self._queued.insert(len(self._queued) - len(self._resets) + place, frame)
        self._resets.insert(place, frame)
        self._resets_end = len(self._queued)
        self.output_size += len(frame)

    # -- DATA --------------------------------------------------------------------------------------------------------

    def _send(self, stream: Stream, pieces: Sequence[bytes], ending: tuple[Header, ...] | None) -> None:
        if stream.local_closed or stream.ending is not None:
            return  # this side has ended
        stream.ending = ending
        payload = pieces[0] if pieces else b""
        size = len(payload)
        at_once = min(stream.send_window, self._h2.outbound_flow_control_window, self._h2.max_outbound_frame_size)
        if size and (len(pieces) > 1 or stream.unsent or size > at_once or self.output_size >= _QUEUE_GOAL):
            stream.put(pieces)
            if stream.send_window > 0:
                self._waiting[stream.id] = stream
                self._fill()
            return
        if stream.unsent:
            return  # the end comes behind what waits
        bare_end = ending == ()
        if size or bare_end:
            stream.send_window -= size
            self._h2.outbound_flow_control_window -= size
            flags = frames.FLAG_END_STREAM if bare_end else 0
            self._queued.append(frames.head(size, frames.DATA, flags, stream.id) + payload)
            self.output_size += size + frames.HEAD_SIZE
            self._idle_frames = 0
        if ending is not None:
            self._end_local(stream, ending)

    def _fill(self) -> None:
        """Frame what the windows admit, until there is enough in the queue."""
        waiting = self._waiting
        while waiting and self.output_size < _QUEUE_GOAL and self._h2.outbound_flow_control_window > 0:
            self._frame_turn(waiting.pop(next(iter(waiting))))

    def _frame_turn(self, stream: Stream) -> None:
        """Frame as much of a stream's unsent bytes as is its turn; there is room in both windows."""
        room = min(stream.unsent, stream.send_window, self._h2.outbound_flow_control_window, _TURN)
        stream.send_window -= room
        self._h2.outbound_flow_control_window -= room
        self._idle_frames = 0
        frame_size = self._h2.max_outbound_frame_size
        while room:
            size = min(room, frame_size)
            room -= size
            pieces = stream.cut(size)
            flags = frames.FLAG_END_STREAM if not stream.unsent and stream.ending == () else 0
            head = frames.head(size, frames.DATA, flags, stream.id)
            self.output_size += size + frames.HEAD_SIZE
            if len(pieces) > 2:
                self._queued.append(b"".join((head, *pieces)))
            else:  # perhaps parts of something large
                self._queued += (head, *pieces)
        if stream.unsent:
            if stream.send_window > 0:
                self._waiting[stream.id] = stream
            return
        if stream.ending is not None:
            self._end_local(stream, stream.ending)
        if stream.drain_wanted:
            stream.drain_wanted = False
            self.events.append(Drained(stream))

    def _window_opened(self, stream: Stream) -> None:
        """The peer has opened the window of a stream, perhaps from below 0."""
        if stream.unsent and stream.send_window > 0:
            self._waiting.setdefault(stream.id, stream)

    def _end_local(self, stream: Stream, trailers: tuple[Header, ...]) -> None:
        """All DATA is framed: send the trailers, if there are any, and close our side."""
        if trailers:
            self._send_headers(stream, trailers, end_stream=True)
        stream.local_closed = True
        stream.end_at = self._left + self.output_size
        if stream.remote_closed:
            self._forget(stream)

    def _send_headers(self, stream: Stream, headers: tuple[Header, ...], *, end_stream: bool) -> None:
        block = self._encoder.encode(headers)
        self._idle_frames = 0
        self._queue(frames.header_frames(stream.id, block, end_stream, self._h2.max_outbound_frame_size))

    def _new_peer_settings(self) -> None:
        """The peer's SETTINGS have changed."""
        settings = self._h2.remote_settings
        change = settings.initial_window_size - self._peer_window
        self._peer_window = settings.initial_window_size
        self._peer_header_list = settings.max_header_list_size
        self._peer_streams = settings.max_concurrent_streams
        if change:
            for stream in self.streams.values():
                stream.send_window += change
                if stream.send_window > frames.MAX_WINDOW:
                    raise PeerError(Code.FLOW_CONTROL_ERROR, "SETTINGS raised a window beyond its limit")
                if stream.send_window > 0:
                    self._window_opened(stream)
                else:
                    self._waiting.pop(stream.id, None)
            self._fill()

    def _forget(self, stream: Stream) -> None:
        self.streams.pop(stream.id, None)
        self._waiting.pop(stream.id, None)
        stream.drop_unsent()
