"""What both roles of an HTTP/2 connection share: bytes in, events out, no I/O.

h2 keeps the SETTINGS of both sides and the encoder's HPACK table. Everything else is done here, in one loop over the
bytes without an object for each frame: h2's machinery for a short-lived stream costs more than all the rest of a small
call, and so does its machinery for a frame that a hostile peer sends by the thousand. What is sent is the subject of
``_sending``, and ``_flow_control`` that of the receive windows.

Frames of streams that are over. A peer may send frames for a stream until it has seen our reset, however long that
takes. Every stream number that was used and is not open counts as closed, and frames for it are ignored: their bytes
are given back to the connection's window, and their header blocks are decoded to keep HPACK's table right. Nothing has
to be remembered for it. Only frames for a stream that was never opened are an error.

Floods. What a frame costs is bounded by its size, with three additions: frames that bring nothing may not follow each
other without end (``_IDLE_FRAMES``), answers to the peer may not pile up (``Sender``), and one read may not open and
reset calls beyond a number. A peer that goes beyond gets GOAWAY with ENHANCE_YOUR_CALM.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod

from h2.events import RemoteSettingsChanged
from h2.exceptions import ProtocolError as H2ProtocolError
from h2.utilities import HeaderValidationFlags

from . import _frames as frames
from ._events import ConnectionEnded, Event, MessagesReceived, RoomChanged
from ._flow_control import PROBE, FlowControl
from ._frames import Code
from ._grpc import Status
from ._headers import MalformedHeaders
from ._hpack import BlockDecoder, BlockError, LargeBlock, OversizedHeaders
from ._limits import Limits
from ._messages import MessageError
from ._outcome import Outcome
from ._sending import PeerError
from ._stream import Stream

_ALIVE = bytes(8)
"""What keepalive's PING says, as that of a real node."""
_TEXT_LIMIT = 1024
"""Bytes of a body without gRPC that are kept for the error's text."""
_IDLE_FRAMES = 10_000
_SETTINGS_WEIGHT = 50
"""For how many idle frames SETTINGS count: h2 takes long for them."""
_unpack_head = frames.HEAD.unpack_from


class Connection(FlowControl):
    """One HTTP/2 connection; ``ClientConnection`` and ``ServerConnection`` are its two roles."""

    __slots__ = ("_batched", "_block", "_decoder", "_rest", "ended")

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.ended = False
        """Whether the connection is over; nothing can be sent or received any more."""
        self._decoder = BlockDecoder(self.header_list)
        self._rest = b""
        self._batched: list[Stream] = []
        self._block: tuple[int, int, LargeBlock] | None = None
        """The header block that is not whole yet: its stream, the flags of HEADERS, what came of it."""

    def connection_lost(self, reason: str) -> list[Event]:
        """The connection is gone; the ends of all its calls."""
        if not self.ended:
            self.ended = True
            self._end_all(Outcome(Status.UNAVAILABLE, reason, local=True, lost=True))
        return self.take_events()

    def ask_for_life(self) -> None:
        """Queue a PING of keepalive; whatever comes then is its answer."""
        self._queue(frames.ping(_ALIVE))

    # -- bytes in ----------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float = 0.0) -> list[Event]:
        """Take bytes from the peer, cut anywhere; what they mean.

        ``now`` is the time in seconds, by any clock. Round trips are measured with it; without it windows do not grow.

        Whatever a peer sends, nothing is raised. If it breaks a rule of the connection, a GOAWAY is queued, and the
        events are the ends of all calls and ConnectionEnded.
        """
        if self.ended:
            return []
        self.heard_at = now
        try:
            self._cut(self._rest + data if self._rest else data)
        except (PeerError, BlockError) as exc:
            self._give_up(exc.code, str(exc))
        except H2ProtocolError as exc:
            self._give_up(int(exc.error_code), str(exc))
        for stream in self._batched:
            stream.batch = None
        self._batched.clear()
        return self.take_events()

    @abstractmethod
    def _start_of_frames(self, data: bytes) -> int | None:
        """Where frames begin in the first bytes of a connection; None if there are too few bytes to tell."""

    def _cut(self, data: bytes) -> None:
        at = self._start_of_frames(data)
        if at is None:
            self._rest = data
            return
        stop = len(data)
        limit = self._h2.max_inbound_frame_size
        while stop - at >= frames.HEAD_SIZE:
            upper, lower, kind, flags, stream_id = _unpack_head(data, at)
            size = upper << 8 | lower
            if size > limit:
                raise PeerError(Code.FRAME_SIZE_ERROR, f"a frame of {size} bytes came")
            start = at + frames.HEAD_SIZE
            end = start + size
            if end > stop:
                break
            stream_id &= frames.MAX_STREAM_ID
            if self._block is not None and (kind != frames.CONTINUATION or stream_id != self._block[0]):
                raise PeerError(Code.PROTOCOL_ERROR, "a header block was interrupted by another frame")
            if kind == frames.DATA:
                self._on_data(stream_id, flags, data, start, end)
            elif kind == frames.HEADERS:
                self._on_headers_frame(stream_id, flags, data, start, end)
            elif kind == frames.CONTINUATION:
                self._on_continuation(stream_id, flags, data[start:end])
            elif kind == frames.RST_STREAM:
                self._on_rst_stream(stream_id, data[start:end])
            elif kind == frames.WINDOW_UPDATE:
                self._on_window_update(stream_id, data[start:end])
            elif kind == frames.PING:
                self._on_ping(stream_id, flags, data[start:end])
            elif kind == frames.SETTINGS:
                self._on_settings(data[at:end])
            elif kind == frames.GOAWAY:
                self._on_goaway(stream_id, data[start:end])
            elif kind == frames.PUSH_PROMISE:
                raise PeerError(Code.PROTOCOL_ERROR, "a pushed stream came, though pushing was not allowed")
            elif kind == frames.PRIORITY:
                self._on_priority(stream_id, data[start:end])
            else:
                self._idle(1)  # a frame of an unknown type is ignored
            at = end
        self._rest = data[at:]

    def _idle(self, weight: int) -> None:
        """Count a frame that brought nothing."""
        self._idle_frames += weight
        if self._idle_frames > _IDLE_FRAMES:
            raise PeerError(Code.ENHANCE_YOUR_CALM, "too many frames came that bring nothing")

    # -- the connection ----------------------------------------------------------------------------------------------

    def _on_settings(self, frame: bytes) -> None:
        self._idle(_SETTINGS_WEIGHT + len(frame) // 6)
        events = self._h2.receive_data(frame)
        answer = self._h2.data_to_send()
        if answer:
            self._queue_answer(answer)  # before the frames that the new SETTINGS admit: these hold behind the ACK
        for event in events:
            if isinstance(event, RemoteSettingsChanged):
                self._encoder.forget()
                self.events.append(RoomChanged())
                self._new_peer_settings()

    def _on_ping(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id:
            raise PeerError(Code.PROTOCOL_ERROR, "PING came on a stream")
        if len(payload) != 8:
            raise PeerError(Code.FRAME_SIZE_ERROR, "a PING of another size than 8 came")
        if not flags & frames.FLAG_ACK:
            self._queue_answer(frames.ping(payload, frames.FLAG_ACK))
        elif payload == PROBE:
            self._on_probe()
        # The ACK of keepalive's PING is a byte like any other.

    def _on_priority(self, stream_id: int, payload: bytes) -> None:
        self._idle(1)
        if not stream_id:
            raise PeerError(Code.PROTOCOL_ERROR, "PRIORITY came on stream 0")
        if len(payload) != 5:
            raise PeerError(Code.FRAME_SIZE_ERROR, "a PRIORITY of another size than 5 came")
        self._check_dependency(stream_id, payload)

    def _check_dependency(self, stream_id: int, payload: bytes) -> None:
        if int.from_bytes(payload[:4], "big") & frames.MAX_STREAM_ID == stream_id:
            raise PeerError(Code.PROTOCOL_ERROR, "a stream depends on itself")

    def _on_goaway(self, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise PeerError(Code.PROTOCOL_ERROR, "GOAWAY came on a stream")
        if len(payload) < 8:
            raise PeerError(Code.FRAME_SIZE_ERROR, "a short GOAWAY came")
        self._idle(1)

    # -- DATA --------------------------------------------------------------------------------------------------------

    def _on_data(self, stream_id: int, flags: int, data: bytes, start: int, stop: int) -> None:
        size = stop - start
        # The connection's window always has room: credit is given back at half of it, which is more than any frame.
        self.window -= size
        self.credit += size
        if self.credit * 2 >= self.limits.connection_window:
            self._queue(frames.window_update(0, self.credit))
            self.window += self.credit
            self.credit = 0
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id)
            if not size:
                self._idle(1)
            return
        if stream.remote_closed:
            self._break(stream, Code.STREAM_CLOSED, "DATA came after the end of the stream")
            return
        if size > stream.window:
            self._break(stream, Code.FLOW_CONTROL_ERROR, "the peer sent more than the call's window")
            return
        stream.window -= size
        stream.credit += size
        if flags & frames.FLAG_PADDED:
            start, stop = _unpad(data, start, stop)
        length = stop - start
        if stream.headers is None:
            self._break(stream, Code.PROTOCOL_ERROR, "DATA came before HEADERS")
            return
        if length:
            self._idle_frames = 0
        else:
            self._idle(1)
        if stream.body_left is not None:
            stream.body_left -= length
            if stream.body_left < 0:
                self._break(stream, Code.PROTOCOL_ERROR, "more DATA came than content-length tells")
                return
        if not stream.is_grpc:
            stream.text += data[start : min(stop, start + _TEXT_LIMIT - len(stream.text))]
        else:
            stream.credit -= length
            messages, consumed = stream.deframer.feed(data, start, stop)
            if messages:
                stream.untaken += consumed
                if stream.batch is None:
                    stream.batch = messages
                    self._batched.append(stream)
                    self.events.append(MessagesReceived(stream, messages))
                else:
                    stream.batch += messages
            if stream.deframer.error is not None:
                self._refuse_message(stream, stream.deframer.error)
                return
        if flags & frames.FLAG_END_STREAM:
            self._on_end_stream(stream)
        elif not stream.untaken:
            self._advance(stream)

    # -- header blocks -----------------------------------------------------------------------------------------------

    def _on_headers_frame(self, stream_id: int, flags: int, data: bytes, start: int, stop: int) -> None:
        if not stream_id:
            raise PeerError(Code.PROTOCOL_ERROR, "HEADERS came on stream 0")
        if flags & frames.FLAG_PADDED:
            start, stop = _unpad(data, start, stop)
        if flags & frames.FLAG_PRIORITY:
            if stop - start < 5:
                raise PeerError(Code.FRAME_SIZE_ERROR, "HEADERS are too short for their priority")
            self._check_dependency(stream_id, data[start : start + 4])
            start += 5
        if flags & frames.FLAG_END_HEADERS:
            self._on_block(stream_id, flags, data[start:stop])
        else:
            block = self._decoder.begin()
            block.feed(data[start:stop])
            self._block = stream_id, flags, block

    def _on_continuation(self, stream_id: int, flags: int, part: bytes) -> None:
        if self._block is None:
            raise PeerError(Code.PROTOCOL_ERROR, "CONTINUATION came without a header block")
        _, first_flags, block = self._block
        block.feed(part)
        if flags & frames.FLAG_END_HEADERS:
            self._block = None
            self._on_block(stream_id, first_flags, block)
        elif not part:
            self._idle(1)

    @abstractmethod
    def _on_block(self, stream_id: int, flags: int, block: bytes | LargeBlock) -> None:
        """A whole header block came."""

    def _decode_late(self, block: bytes | LargeBlock, rules: HeaderValidationFlags) -> None:
        """Decode a block of a stream that is over, for HPACK's table alone."""
        with contextlib.suppress(MalformedHeaders, OversizedHeaders):
            self._decoder.decode(block, rules)

    # -- streams -----------------------------------------------------------------------------------------------------

    def _on_rst_stream(self, stream_id: int, payload: bytes) -> None:
        if not stream_id or len(payload) != 4:
            raise PeerError(Code.FRAME_SIZE_ERROR if stream_id else Code.PROTOCOL_ERROR, "a bad RST_STREAM came")
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id)
            self._leaving.pop(stream_id, None)
            return
        self._forget(stream)
        self._was_reset(stream, int.from_bytes(payload, "big"))

    def _on_window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise PeerError(Code.FRAME_SIZE_ERROR, "a WINDOW_UPDATE of another size than 4 came")
        increment = int.from_bytes(payload, "big") & frames.MAX_WINDOW
        if not increment:
            raise PeerError(Code.PROTOCOL_ERROR, "a WINDOW_UPDATE of 0 came")
        self._idle(1)
        if not stream_id:
            self._h2.outbound_flow_control_window += increment
            if self._h2.outbound_flow_control_window > frames.MAX_WINDOW:
                raise PeerError(Code.FLOW_CONTROL_ERROR, "WINDOW_UPDATE raised a window beyond its limit")
            self._fill()
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id)
            return
        stream.send_window += increment
        if stream.send_window > frames.MAX_WINDOW:
            self._break(stream, Code.FLOW_CONTROL_ERROR, "WINDOW_UPDATE raised a window beyond its limit")
        elif stream.unsent:
            self._window_opened(stream)
            self._fill()

    def _on_end_stream(self, stream: Stream) -> None:
        stream.remote_closed = True
        if stream.body_left:
            self._break(stream, Code.PROTOCOL_ERROR, "less DATA came than content-length tells")
        else:
            self._remote_ended(stream)

    @abstractmethod
    def _remote_ended(self, stream: Stream) -> None:
        """The peer has sent all that it will send on this stream."""

    @abstractmethod
    def _was_reset(self, stream: Stream, code: int) -> None:
        """The peer reset this stream."""

    @abstractmethod
    def _end_of(self, stream: Stream, outcome: Outcome) -> Event:
        """The event that tells of a call's end."""

    @abstractmethod
    def _refuse_message(self, stream: Stream, error: MessageError) -> None:
        """The peer sent a message that cannot be taken."""

    @abstractmethod
    def _was_opened(self, stream_id: int) -> bool:
        """Whether this stream has ever been opened."""

    def _break(self, stream: Stream, code: int, text: str, status: Status = Status.INTERNAL) -> None:
        """The peer broke a rule of one stream: only that call ends."""
        self.reset(stream, code)
        self.events.append(self._end_of(stream, Outcome(status, text, local=True)))
        self._count_answer()

    def _give_up(self, code: int, text: str) -> None:
        self.goodbye(code, text)
        self.ended = True
        self._end_all(Outcome(Status.INTERNAL, text, local=True))
        self.events.append(ConnectionEnded(text))

    def _end_all(self, outcome: Outcome) -> None:
        for stream in list(self.streams.values()):
            self._forget(stream)
            self.events.append(self._end_of(stream, outcome))

    def _check_not_idle(self, stream_id: int) -> None:
        if not self._was_opened(stream_id):
            raise PeerError(Code.PROTOCOL_ERROR, f"a frame came for stream {stream_id}, which nobody opened")


def _unpad(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """Where a padded payload begins and ends without its padding."""
    if start == stop:
        raise PeerError(Code.FRAME_SIZE_ERROR, "a padded frame without the length of its padding came")
    padding = data[start]
    if padding > stop - start - 1:
        raise PeerError(Code.PROTOCOL_ERROR, "a frame's padding is larger than the frame")
    return start + 1, stop - padding
