"""The server's end of a connection: it takes calls and answers them."""

from __future__ import annotations

from collections.abc import Iterable

from . import _frames as frames
from ._connection import Connection
from ._events import CallReceived, CallReset, Event, RequestsEnded
from ._frames import Code, code_name
from ._grpc import (
    Metadata,
    Status,
    encode_grpc_message,
    encode_headers,
    metadata_from,
    seconds_from,
)
from ._headers import REQUEST, REQUEST_TRAILERS, Header, MalformedHeaders, content_length
from ._hpack import LargeBlock, OversizedHeaders
from ._http1 import http1_answer
from ._limits import DEFAULT_WINDOW, Limits
from ._messages import MessageError
from ._outcome import Outcome
from ._sending import PeerError
from ._stream import Stream

_GRPC = "application/grpc"
_TEXT_LIMIT = 200
_RESPONSE_HEADERS: tuple[Header, ...] = ((":status", "200"), ("content-type", _GRPC))
_ABANDONED = 200
"""Calls that one read may open and reset, or more in a large read: one for each ``_ABANDONED_SIZE`` bytes."""
_ABANDONED_SIZE = 40
"""A call with a request takes more bytes, together with its reset; a flood of resets less."""


class ServerConnection(Connection):
    """HTTP/2 and gRPC as a server speaks them.

    ``receive_data`` returns CallReceived, MessagesReceived, RequestsEnded, CallReset (the call is over, and what was
    unsent is dropped), Drained and ConnectionEnded; ``respond``, ``finish``, ``refuse_http`` and ``reset`` answer.
    Response headers leave with the first message, not before, as a real node's do.
    """

    __slots__ = ("_before_read", "_closing", "_first_output", "_highest", "_may_abandon", "_responding", "greeted")

    _client_side = False
    _usual_header_list = 64 * 1024

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits or Limits())
        if self.limits.stream_window < DEFAULT_WINDOW:
            # A client may send this much before it has seen our SETTINGS.
            raise ValueError(f"a server's streams cannot begin with a window below {DEFAULT_WINDOW} bytes")
        self._highest = 0
        self.greeted = False
        """Whether the client has sent the connection preface."""
        # A client speaks first: whoever turns out to speak HTTP/1.1 must not be sent frames.
        self._first_output = self.data_to_send()
        self._closing = False
        self._responding: set[int] = set()
        self._before_read = 0
        """The last stream that was opened before the present read."""
        self._may_abandon = 0
        """Calls that may still be both opened and reset within the present read."""

    def receive_data(self, data: bytes, now: float = 0.0) -> list[Event]:
        """As ``Connection.receive_data``. These bytes may open and reset only so many calls."""
        self._before_read = self._highest
        self._may_abandon = max(_ABANDONED, len(data) // _ABANDONED_SIZE)
        return super().receive_data(data, now)

    def respond(self, stream: Stream, messages: Iterable[bytes]) -> None:
        """Queue response messages, the headers before the first of them."""
        if stream.id in self.streams:
            self._begin_response(stream)
            self.send_messages(stream, messages)

    def finish(
        self,
        stream: Stream,
        status: Status,
        message: str = "",
        metadata: Metadata | None = None,
        headers: tuple[Header, ...] = (),
    ) -> None:
        """End the call with a status, once all its messages are out.

        Before the first message this is a single HEADERS frame ("trailers-only").

        Args:
            stream: The call; one that is over is left alone.
            status: The status.
            message: The text that goes with it.
            metadata: Custom trailers.
            headers: Further headers of a call that has no response yet.

        Raises:
            ValueError: Some of the metadata is no header.
            TypeError: Likewise.
        """
        if stream.id not in self.streams:
            return
        trailers: tuple[Header, ...] = (("grpc-status", str(status.value)),)
        if message:
            trailers += (("grpc-message", encode_grpc_message(message)),)
        if metadata:
            trailers += tuple(encode_headers(metadata))
        if stream.id not in self._responding:
            trailers = _RESPONSE_HEADERS + headers + trailers
        self._send(stream, (), trailers)

    def has_begun(self, stream: Stream) -> bool:
        """Whether response headers have been queued."""
        return stream.id in self._responding

    def refuse_http(self, stream: Stream, status: int, grpc_status: Status | None = None, message: str = "") -> None:
        """End the call with an HTTP status, as a server does that fails below gRPC.

        Args:
            stream: The call; one that is over is left alone.
            status: The HTTP status.
            grpc_status: A status of gRPC that is sent as well.
            message: The text of that status.
        """
        if stream.id in self.streams:
            headers: tuple[Header, ...] = ((":status", str(status)), ("content-length", "0"))
            if grpc_status is not None:
                headers += (("grpc-status", str(grpc_status.value)), ("grpc-message", encode_grpc_message(message)))
            self._send(stream, (), headers)

    @property
    def calls(self) -> int:
        """How many calls the client has made, refused ones included."""
        return (self._highest + 1) // 2

    def drain(self) -> None:
        """Queue a GOAWAY as a real node does that is about to end: the calls that still come are served as well."""
        if self.greeted:
            self._queue(frames.goaway(frames.MAX_STREAM_ID, Code.NO_ERROR))

    def goodbye(self, code: int = Code.NO_ERROR, text: str = "") -> None:
        """Queue a GOAWAY: calls that come from now on are refused, open ones go on."""
        self._closing = True
        if self.greeted:
            super().goodbye(code, text)

    def _begin_response(self, stream: Stream) -> None:
        if stream.id not in self._responding:
            self._responding.add(stream.id)
            self._send_headers(stream, _RESPONSE_HEADERS, end_stream=False)

    def _end_local(self, stream: Stream, trailers: tuple[Header, ...]) -> None:
        super()._end_local(stream, trailers)
        self._leaving[stream.id] = self._left + self.output_size
        if not stream.remote_closed:
            self.reset(stream, Code.NO_ERROR)  # the answer is complete; the client need not send the rest

    def _forget(self, stream: Stream) -> None:
        super()._forget(stream)
        self._responding.discard(stream.id)

    def _start_of_frames(self, data: bytes) -> int | None:
        if self.greeted:
            return 0
        preface = frames.PREFACE
        if not data.startswith(preface[: len(data)]):
            answer = http1_answer(data)
            if answer is None:
                return None
            self._queue(answer)
            raise PeerError(Code.HTTP_1_1_REQUIRED, "the client does not speak HTTP/2")
        if len(data) < len(preface):
            return None
        self.greeted = True
        self._queue(self._first_output)
        self._h2.receive_data(preface)
        return len(preface)

    def _on_block(self, stream_id: int, flags: int, block: bytes | LargeBlock) -> None:
        end_stream = bool(flags & frames.FLAG_END_STREAM)
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._on_trailers(stream, block, end_stream)
        elif stream_id <= self._highest:
            self._check_not_idle(stream_id)
            self._decode_late(block, REQUEST_TRAILERS)
        elif stream_id % 2 == 0:
            raise PeerError(Code.PROTOCOL_ERROR, f"the client opened stream {stream_id}, an even number")
        else:
            self._on_request(stream_id, block, end_stream)

    def _on_trailers(self, stream: Stream, block: bytes | LargeBlock, end_stream: bool) -> None:
        if stream.remote_closed:
            self._decode_late(block, REQUEST_TRAILERS)
            self._break(stream, Code.STREAM_CLOSED, "HEADERS came after the end of the stream")
            return
        try:
            self._decoder.decode(block, REQUEST_TRAILERS)
        except MalformedHeaders as exc:
            self._break(stream, Code.PROTOCOL_ERROR, str(exc))
            return
        except OversizedHeaders as exc:
            self._break(stream, Code.ENHANCE_YOUR_CALM, str(exc))
            return
        self._idle_frames = 0
        if end_stream:
            self._on_end_stream(stream)
        else:
            self._break(stream, Code.PROTOCOL_ERROR, "trailers came that do not end the stream")

    def _on_request(self, stream_id: int, block: bytes | LargeBlock, end_stream: bool) -> None:
        self._highest = stream_id
        headers = None
        try:
            headers = self._decoder.decode(block, REQUEST)
        except MalformedHeaders:
            self._queue_answer(frames.rst_stream(stream_id, Code.PROTOCOL_ERROR))
            return
        except OversizedHeaders:
            pass  # answered below, if the call is not refused anyway
        if self._closing or len(self.streams) + len(self._leaving) >= self.limits.concurrent_streams:
            self._queue_answer(frames.rst_stream(stream_id, Code.REFUSED_STREAM))
            return
        stream = self.streams[stream_id] = Stream(
            stream_id,
            self.limits.stream_window,
            self._peer_window,
            self.limits.receive_message,
        )
        self._idle_frames = 0
        if headers is None:
            stream.headers = ()
            stream.remote_closed = end_stream
            self.refuse_http(stream, 431)
            return
        stream.headers = headers
        stream.remote_closed = end_stream
        found = headers.by_name
        stream.body_left = content_length(found)
        content_type = found.get("content-type")
        if found[":method"] != "POST":
            self.refuse_http(stream, 405)
        elif content_type != _GRPC and not (content_type and _is_grpc(content_type)):
            what = (
                "is missing from the request"
                if not content_type
                else f"'{content_type[:_TEXT_LIMIT]}' is not supported"
            )
            self.refuse_http(stream, 415, Status.INTERNAL, f"Content-Type {what}.")
        else:
            stream.deframer.takes_compressed = True
            timeout = seconds_from(found.get("grpc-timeout"))
            self.events.append(CallReceived(stream, found[":path"], metadata_from(headers), timeout))
            if end_stream:
                self._on_end_stream(stream)

    def _remote_ended(self, stream: Stream) -> None:
        if stream.deframer.missing:
            self.finish(stream, Status.INTERNAL, "Incomplete message.")
            self.events.append(CallReset(stream, "the requests ended inside a message"))
            return
        self.events.append(RequestsEnded(stream))

    def _was_reset(self, stream: Stream, code: int) -> None:
        if stream.id > self._before_read:
            self._may_abandon -= 1
            if self._may_abandon < 0:
                raise PeerError(Code.ENHANCE_YOUR_CALM, "too many calls were opened and reset at once")
        self.events.append(CallReset(stream, f"the client reset the call with {code_name(code)}"))

    def _end_of(self, stream: Stream, outcome: Outcome) -> Event:
        return CallReset(stream, outcome.message)

    def _refuse_message(self, stream: Stream, error: MessageError) -> None:
        # Unsent responses, and a good status behind them, must not keep the client from learning of the error.
        stream.drop_unsent()
        stream.ending = None
        if error.too_large:
            text = "Received message exceeds the maximum configured message size."
            self.finish(stream, Status.RESOURCE_EXHAUSTED, text)
        else:
            self.finish(stream, Status.UNKNOWN, "Exception was thrown by handler.")
        self.events.append(CallReset(stream, error.text))

    def _highest_peer_stream(self) -> int:
        return self._highest

    def _was_opened(self, stream_id: int) -> bool:
        return bool(stream_id % 2) and stream_id <= self._highest


def _is_grpc(content_type: str) -> bool:
    """Whether the content type is gRPC's, perhaps with a format (``+proto``) or parameters. gRPC-Web is another."""
    return content_type.startswith(_GRPC) and content_type[len(_GRPC) :][:1] in ("", "+", ";")
