"""What both roles of an HTTP/2 connection share: bytes in, events out, no I/O.

h2 owns the connection: preface, SETTINGS, PING, PRIORITY, the connection's send window, HPACK's tables. This code owns
the streams: their HEADERS, DATA, RST_STREAM, WINDOW_UPDATE and CONTINUATION frames, and GOAWAY (after which h2 would
take no more frames, while open calls must go on). h2's machinery for a short-lived stream costs more than all else
that a small call does.

Credit: a stream's receive window opens as the consumer takes messages (the book is in ``_stream``). The connection's
opens as bytes arrive, so that one stopped consumer cannot stop the others; what a connection may hold is bounded by
the windows of its streams.
"""

from __future__ import annotations

from abc import abstractmethod

from h2.events import RemoteSettingsChanged, WindowUpdated
from h2.exceptions import ProtocolError as H2ProtocolError
from h2.utilities import HeaderValidationFlags

from . import _frames as frames
from ._events import ConnectionEnded, Event, MessagesReceived, RoomChanged
from ._frames import Code
from ._grpc import Status
from ._headers import BlockDecoder, BlockError, HeaderList, MalformedHeaders
from ._limits import Limits
from ._messages import MessageError
from ._outcome import Outcome
from ._sending import PeerError, Sender
from ._stream import Stream

_BLOCK_LIMIT = 256 * 1024
_TEXT_LIMIT = 1024
_UNSENT_LIMIT = 100_000
_unpack_head = frames.HEAD.unpack_from


class Connection(Sender):
    """One HTTP/2 connection; ``ClientConnection`` and ``ServerConnection`` are its two roles."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.ended = False
        self.window = limits.connection_window
        """What the peer may still send on the connection; with ``credit`` it always adds up to the limit."""
        self.credit = 0
        self._decoder = BlockDecoder(self._h2.decoder)
        self._rest = b""
        self._batched: list[Stream] = []
        self._block: tuple[int, int, bytearray] | None = None

    def take(self, stream: Stream, size: int) -> None:
        """The consumer took messages that filled ``size`` bytes of the stream, prefixes included."""
        stream.untaken -= size
        kept = min(size, stream.advance)
        stream.advance -= kept
        stream.credit += size - kept
        if stream.remote_closed or stream.id not in self.streams:
            return
        if stream.credit * 2 >= self.limits.stream_window:
            self._open_window(stream, 0)
        elif not stream.untaken:
            self._advance(stream)

    def connection_lost(self, reason: str) -> list[Event]:
        """The connection is gone; the ends of all its calls."""
        self._events = []
        if not self.ended:
            self.ended = True
            self._end_all(Outcome(Status.UNAVAILABLE, reason, local=True))
        return self._events

    # -- bytes in ----------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the peer, cut anywhere; what they mean.

        Never raises for what a peer sends: a broken rule of the connection is answered with GOAWAY, and the ends of
        all calls and a ConnectionEnded come out.
        """
        events: list[Event] = []
        self._events = events
        if self.ended:
            return events
        try:
            self._cut(self._rest + data if self._rest else data)
        except (PeerError, BlockError) as exc:
            self._give_up(exc.code, str(exc))
        except H2ProtocolError as exc:
            self._give_up(int(exc.error_code), str(exc))
        for stream in self._batched:
            stream.batch = None
        self._batched.clear()
        return events

    @abstractmethod
    def _start_of_frames(self, data: bytes) -> int | None:
        """Where frames begin in the first bytes of a connection; None while there are too few to tell."""

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
            elif kind == frames.WINDOW_UPDATE and stream_id:
                self._on_window_update(stream_id, data[start:end])
            elif kind == frames.GOAWAY:
                self._on_goaway(stream_id, data[start:end])
            elif kind == frames.PUSH_PROMISE:
                raise PeerError(Code.PROTOCOL_ERROR, "a pushed stream came, though pushing was not allowed")
            elif kind < frames.CONTINUATION:
                self._on_other(data[at:end])
            at = end  # what is unknown is passed over
        self._rest = data[at:]

    def _on_other(self, frame: bytes) -> None:
        """SETTINGS, PING, the connection's WINDOW_UPDATE, PRIORITY: h2's."""
        events = self._h2.receive_data(frame)
        answer = self._h2.data_to_send()
        if answer:
            if len(self._out) > _UNSENT_LIMIT:
                raise PeerError(Code.ENHANCE_YOUR_CALM, "the peer wants answers and does not take them")
            self._out.append(answer)  # before what new SETTINGS admit: they hold from their ACK on
        for event in events:
            if isinstance(event, WindowUpdated):
                self._unblock()
            elif isinstance(event, RemoteSettingsChanged):
                self._encoder.forget()
                self._events.append(RoomChanged())
                self._new_peer_settings()

    def _on_data(self, stream_id: int, flags: int, data: bytes, start: int, stop: int) -> None:
        size = stop - start  # which always fits: half of the connection's window is more than a frame
        self.window -= size
        self.credit += size
        if self.credit * 2 >= self.limits.connection_window:
            self._out.append(frames.window_update(0, self.credit))
            self.window += self.credit
            self.credit = 0
        stream = self.streams.get(stream_id)
        if stream is None:
            self._late(stream_id)
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
                    self._events.append(MessagesReceived(stream, messages))
                else:
                    stream.batch += messages
            if stream.deframer.error is not None:
                self._refuse_message(stream, stream.deframer.error)
                return
        if flags & frames.FLAG_END_STREAM:
            self._on_end_stream(stream)
        elif not stream.untaken:
            self._advance(stream)
        elif stream.credit * 2 >= self.limits.stream_window:
            self._open_window(stream, 0)

    def _advance(self, stream: Stream) -> None:
        """Nothing whole waits for the consumer: let a message larger than the window come in whole."""
        lacking = stream.deframer.missing - stream.window - stream.credit
        if lacking > 0:
            stream.advance += lacking
            self._open_window(stream, lacking)
        elif stream.credit * 2 >= self.limits.stream_window or stream.deframer.missing > stream.window:
            self._open_window(stream, 0)

    def _open_window(self, stream: Stream, extra: int) -> None:
        increment = stream.credit + extra
        stream.window += increment
        stream.credit = 0
        self._out.append(frames.window_update(stream.id, increment))

    def _on_headers_frame(self, stream_id: int, flags: int, data: bytes, start: int, stop: int) -> None:
        if not stream_id:
            raise PeerError(Code.PROTOCOL_ERROR, "HEADERS came on stream 0")
        if flags & frames.FLAG_PADDED:
            start, stop = _unpad(data, start, stop)
        if flags & frames.FLAG_PRIORITY:
            if stop - start < 5:
                raise PeerError(Code.FRAME_SIZE_ERROR, "HEADERS are too short for their priority")
            if int.from_bytes(data[start : start + 4], "big") & frames.MAX_STREAM_ID == stream_id:
                raise PeerError(Code.PROTOCOL_ERROR, "a stream depends on itself")
            start += 5
        if flags & frames.FLAG_END_HEADERS:
            self._on_block(stream_id, flags, data[start:stop])
        else:
            self._block = (stream_id, flags, bytearray(data[start:stop]))

    def _on_continuation(self, stream_id: int, flags: int, piece: bytes) -> None:
        if self._block is None:
            raise PeerError(Code.PROTOCOL_ERROR, "CONTINUATION came without a header block")
        _, first_flags, block = self._block
        block += piece
        if len(block) > _BLOCK_LIMIT:
            raise PeerError(Code.ENHANCE_YOUR_CALM, f"a header block of more than {_BLOCK_LIMIT} bytes came")
        if flags & frames.FLAG_END_HEADERS:
            self._block = None
            self._on_block(stream_id, first_flags, bytes(block))

    @abstractmethod
    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        """A whole header block came."""

    def _decode(self, stream: Stream | None, block: bytes, rules: HeaderValidationFlags) -> HeaderList | None:
        """A block's headers; None where they are malformed, then the stream is refused."""
        try:
            return self._decoder.decode(block, rules)
        except MalformedHeaders as exc:
            if stream is not None:
                self._break(stream, Code.PROTOCOL_ERROR, str(exc))
            return None

    def _on_rst_stream(self, stream_id: int, payload: bytes) -> None:
        if not stream_id or len(payload) != 4:
            raise PeerError(Code.FRAME_SIZE_ERROR if stream_id else Code.PROTOCOL_ERROR, "a bad RST_STREAM came")
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id)
            return
        self._remember_reset(stream_id)
        self._forget(stream)
        self._was_reset(stream, int.from_bytes(payload, "big"))

    def _on_window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise PeerError(Code.FRAME_SIZE_ERROR, "a WINDOW_UPDATE of another size than 4 came")
        increment = int.from_bytes(payload, "big") & frames.MAX_WINDOW
        if not increment:
            raise PeerError(Code.PROTOCOL_ERROR, "a WINDOW_UPDATE of 0 came")
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id)
            return
        stream.send_window += increment
        if stream.send_window > frames.MAX_WINDOW:
            self._break(stream, Code.FLOW_CONTROL_ERROR, "WINDOW_UPDATE raised a window beyond its limit")
        elif stream.unsent:
            self._pump(stream)

    def _on_goaway(self, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise PeerError(Code.PROTOCOL_ERROR, "GOAWAY came on a stream")
        if len(payload) < 8:
            raise PeerError(Code.FRAME_SIZE_ERROR, "a short GOAWAY came")

    # -- the ends of streams -----------------------------------------------------------------------------------------

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
        """The peer framed a message wrongly."""

    @abstractmethod
    def _was_opened(self, stream_id: int) -> bool:
        """Whether this stream has been opened at any time."""

    def _break(self, stream: Stream, code: int, text: str) -> None:
        """The peer broke a rule of one stream: only that call ends."""
        self.reset(stream, code)
        self._events.append(self._end_of(stream, Outcome(Status.INTERNAL, text, local=True)))

    def _give_up(self, code: int, text: str) -> None:
        self.goodbye(code, text)
        self.ended = True
        self._end_all(Outcome(Status.INTERNAL, text, local=True))
        self._events.append(ConnectionEnded(text))

    def _end_all(self, outcome: Outcome) -> None:
        for stream in list(self.streams.values()):
            self._forget(stream)
            self._events.append(self._end_of(stream, outcome))

    def _late(self, stream_id: int) -> None:
        """DATA or HEADERS for a stream that is not open: fine after a reset, which crossed them on the way."""
        if stream_id not in self._reset:
            self._check_not_idle(stream_id)
            raise PeerError(Code.STREAM_CLOSED, f"a frame came for stream {stream_id} after its end")

    def _check_not_idle(self, stream_id: int) -> None:
        if not self._was_opened(stream_id):
            raise PeerError(Code.PROTOCOL_ERROR, f"a frame came for stream {stream_id}, which nobody opened")


def _unpad(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """Where a padded payload begins and ends without its padding."""
    if start == stop:
        raise PeerError(Code.FRAME_SIZE_ERROR, "a padded frame without a length of its padding came")
    padding = data[start]
    if padding > stop - start - 1:
        raise PeerError(Code.PROTOCOL_ERROR, "a frame's padding is larger than the frame")
    return start + 1, stop - padding
