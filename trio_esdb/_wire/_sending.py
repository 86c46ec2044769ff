"""What leaves a connection: header blocks, DATA within the windows that the peer gives, resets, GOAWAY."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from . import _frames as frames
from ._events import Drained, Event
from ._frames import Code
from ._headers import BlockEncoder, Header
from ._limits import DEFAULT_WINDOW, Limits
from ._messages import frame_messages
from ._stream import Stream

USUAL_STREAMS = 100
"""The calls that servers allow at once, until their SETTINGS are there to tell."""
_RESET_REMEMBERED = 4096
_DEBUG_LIMIT = 256


class PeerError(Exception):
    """The peer broke HTTP/2's rules in a way that ends the connection."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Sender(ABC):
    """The sending half of a connection, which also keeps its open streams."""

    _client_side: bool

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.streams: dict[int, Stream] = {}
        self._h2 = self._greeting(limits)
        self._out: list[bytes | memoryview] = [self._h2.data_to_send()]
        if limits.connection_window > DEFAULT_WINDOW:
            self._out.append(frames.window_update(0, limits.connection_window - DEFAULT_WINDOW))
        self._encoder = BlockEncoder(self._h2.encoder)
        # The peer's SETTINGS as they are now; h2 looks each of them up in a stack of past and future values.
        self._peer_window = DEFAULT_WINDOW
        self._peer_header_list: int | None = None
        self._peer_streams = USUAL_STREAMS
        self._events: list[Event] = []
        self._blocked: dict[int, Stream] = {}
        self._reset: dict[int, None] = {}

    def _greeting(self, limits: Limits) -> H2Connection:
        h2 = H2Connection(H2Configuration(client_side=self._client_side, header_encoding=None))
        values = {
            SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_list,
        }
        if self._client_side:
            values[SettingCodes.ENABLE_PUSH] = 0
        else:
            values[SettingCodes.MAX_CONCURRENT_STREAMS] = limits.concurrent_streams
        h2.local_settings = Settings(client=self._client_side, initial_values=values)
        h2.initiate_connection()
        # Above the advertised limit only the stream is refused; to lose HPACK's state it takes far more.
        h2.decoder.max_header_list_size = 1024 * 1024
        return h2

    @property
    def has_output(self) -> bool:
        """Whether there is anything to send."""
        return bool(self._out)

    def data_to_send(self, about: int | None = None) -> bytes:
        """What is queued for the peer, or ``about`` so many bytes of it; empty where nothing is."""
        out = self._out
        if about is None or sum(map(len, out)) <= about:
            data = b"".join(out)
            out.clear()
            return data
        size = count = 0
        while size < about:
            size += len(out[count])
            count += 1
        data = b"".join(out[:count])
        del out[:count]
        return data

    def send_messages(self, stream: Stream, messages: Iterable[bytes], *, end: bool = False) -> None:
        """Queue gRPC messages; what the peer's windows do not admit yet waits in ``stream.unsent``."""
        if stream.id not in self.streams:
            return
        self._send(stream, frame_messages(messages), () if end else None)

    def reset(self, stream: Stream, code: int = Code.CANCEL) -> None:
        """Give a call up at once; what it had not sent yet is dropped. Does nothing for a stream already over."""
        if self.streams.get(stream.id) is stream:
            self._out.append(frames.rst_stream(stream.id, code))
            self._remember_reset(stream.id)
            self._forget(stream)

    def goodbye(self, code: int = Code.NO_ERROR, text: str = "") -> None:
        """Queue a GOAWAY: calls that the peer opens from now on are refused, open ones go on."""
        self._out.append(frames.goaway(self._highest_peer_stream(), code, text.encode()[:_DEBUG_LIMIT]))

    @abstractmethod
    def _highest_peer_stream(self) -> int:
        """The last of the streams that the peer opened, as GOAWAY tells it."""

    def _send(self, stream: Stream, pieces: Sequence[bytes], ending: tuple[Header, ...] | None) -> None:
        """Queue DATA, then what ends our side: trailers, or a bare END_STREAM for the empty tuple."""
        if stream.ending is not None:
            return  # the last word on this side is spoken
        stream.ending = ending
        payload = pieces[0] if pieces else b""
        size = len(payload)
        at_once = min(stream.send_window, self._h2.outbound_flow_control_window, self._h2.max_outbound_frame_size)
        if len(pieces) > 1 or stream.unsent or size > max(0, at_once):
            stream.put(pieces)
            self._pump(stream)
            return
        bare_end = ending == ()
        if size or bare_end:
            stream.send_window -= size
            self._h2.outbound_flow_control_window -= size
            flags = frames.FLAG_END_STREAM if bare_end else 0
            self._out.append(frames.head(size, frames.DATA, flags, stream.id) + payload)
        if ending is not None:
            self._end_local(stream, ending)

    def _pump(self, stream: Stream) -> None:
        """Send what the windows admit of a stream's waiting bytes."""
        self._blocked.pop(stream.id, None)
        room = min(stream.unsent, stream.send_window, self._h2.outbound_flow_control_window)
        if room > 0:
            stream.send_window -= room
            self._h2.outbound_flow_control_window -= room
            frame_size = self._h2.max_outbound_frame_size
            while room:
                size = min(room, frame_size)
                room -= size
                pieces = stream.cut(size)
                flags = frames.FLAG_END_STREAM if not stream.unsent and stream.ending == () else 0
                head = frames.head(size, frames.DATA, flags, stream.id)
                if len(pieces) > 2:
                    self._out.append(b"".join((head, *pieces)))
                else:  # perhaps parts of something large
                    self._out += (head, *pieces)
        if stream.unsent:
            self._blocked[stream.id] = stream
            return
        if stream.ending is not None:
            self._end_local(stream, stream.ending)
        if stream.drain_wanted:
            stream.drain_wanted = False
            self._events.append(Drained(stream))

    def _unblock(self) -> None:
        for stream in list(self._blocked.values()):
            if self._h2.outbound_flow_control_window <= 0:
                return  # who got nothing now is the first next time
            self._pump(stream)

    def _end_local(self, stream: Stream, trailers: tuple[Header, ...]) -> None:
        """All DATA is out: send the trailers, if there are any, and close our side."""
        if trailers:
            self._send_headers(stream, trailers, end_stream=True)
        stream.local_closed = True
        if stream.remote_closed:
            self._forget(stream)

    def _send_headers(self, stream: Stream, headers: tuple[Header, ...], *, end_stream: bool) -> None:
        block = self._encoder.encode(headers)
        self._out.append(frames.header_frames(stream.id, block, end_stream, self._h2.max_outbound_frame_size))

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
            self._unblock()

    def _remember_reset(self, stream_id: int) -> None:
        self._reset[stream_id] = None
        if len(self._reset) > _RESET_REMEMBERED:
            del self._reset[next(iter(self._reset))]

    def _forget(self, stream: Stream) -> None:
        self.streams.pop(stream.id, None)
        self._blocked.pop(stream.id, None)
        stream.drop_unsent()
