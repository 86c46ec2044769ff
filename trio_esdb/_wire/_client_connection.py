"""The client's end of a connection: it opens calls and learns how they end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from . import _frames as frames
from ._connection import Connection
from ._events import CallEnded, Event, GoawayReceived
from ._frames import Code, code_name
from ._grpc import Status
from ._headers import (
    RESPONSE,
    RESPONSE_TRAILERS,
    Header,
    HeaderList,
    HeadersTooLarge,
    MalformedHeaders,
    content_length,
)
from ._hpack import NEVER_INDEXED, LargeBlock, OversizedHeaders, literal
from ._limits import Limits
from ._messages import MessageError
from ._outcome import Outcome, from_http, from_reset, from_trailers
from ._sending import CONGESTED, PeerError
from ._stream import Stream

_TIMEOUT_SIZE = 64
"""What the header ``grpc-timeout`` adds to a list, at most."""
_NO_TRAILERS = HeaderList(())


def _answer(headers: HeaderList) -> tuple[int, str, int | None]:
    """HTTP status (0 for anything but three digits), content-type and content-length of an answer."""
    if headers.answer is None:
        found = headers.by_name
        status = found[":status"]
        number = int(status) if len(status) == 3 and status.isascii() and status.isdigit() else 0
        headers.answer = number, found.get("content-type", ""), content_length(found)
    return headers.answer


def _outcome(trailers: HeaderList) -> Outcome | None:
    """The outcome that trailers tell; None if they have no grpc-status."""
    known = trailers.outcome
    if isinstance(known, Outcome):
        return known
    trailers.outcome = found = from_trailers(trailers)
    return found


class ClientConnection(Connection):
    """HTTP/2 and gRPC as a client speaks them.

    ``start_call``, ``send_messages``, ``reset`` and ``take`` queue bytes; ``receive_data`` returns MessagesReceived,
    CallEnded (exactly once for a call, unless it is reset here), Drained, RoomChanged, GoawayReceived and
    ConnectionEnded.
    """

    __slots__ = ("_calm", "_greeted", "_next_id", "draining", "goaway")

    _client_side = True
    _usual_header_list = 1024 * 1024

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits or Limits())
        self.draining = False
        """Whether no new calls are possible: the server sent GOAWAY, or the stream numbers are used up."""
        self.goaway: str | None = None
        """What the server's GOAWAY said; None if there was none."""
        self._calm = False
        """Whether the server's GOAWAY says ENHANCE_YOUR_CALM."""
        self._next_id = 1
        self._greeted = False

    @property
    def room(self) -> int:
        """How many more calls may be opened now.

        0 while the connection is congested: the server or the network takes nothing, and what further calls queue
        would have no bound.
        """
        if self.draining or self.ended or self.output_size > CONGESTED:
            return 0
        return self._peer_streams - len(self.streams)

    def start_call(
        self,
        headers: tuple[Header, ...],
        timeout: str | None,
        owner: Any,
        *,
        authorization: str | None = None,
        receive_message: int | None = None,
    ) -> Stream:
        """Open a call.

        Args:
            headers: The request's headers. Blocks of the same headers are remembered, so what differs from call to
                call should come in the other arguments.
            timeout: The value of ``grpc-timeout``.
            owner: What the stream's ``owner`` shall be.
            authorization: The value of ``authorization``. It is neither remembered nor put into HPACK's table.
            receive_message: The largest message that is taken, in bytes, if not the connection's limit.

        Returns:
            The stream. ``room`` must not have been 0.

        Raises:
            HeadersTooLarge: The server would not accept the headers; nothing was sent.
        """
        assert not self.ended, "nothing would ever end this call: room must be checked before"
        limit = self._peer_header_list
        if limit is not None:
            limit -= _TIMEOUT_SIZE
            if authorization is not None:
                limit -= len("authorization") + len(authorization) + 32
        try:
            block = self._encoder.encode(headers, limit)
        except HeadersTooLarge:
            text = f"the request headers are larger than the {self._peer_header_list} bytes that the server accepts"
            raise HeadersTooLarge(text) from None
        if timeout is not None:
            block += literal(b"grpc-timeout", timeout.encode("ascii"))
        if authorization is not None:
            block += literal(b"authorization", authorization.encode("utf-8"), NEVER_INDEXED)
        stream = Stream(
            self._next_id,
            self.limits.stream_window,
            self._peer_window,
            self.limits.receive_message if receive_message is None else receive_message,
            owner,
        )
        self._next_id += 2
        if self._next_id > frames.MAX_STREAM_ID:
            self.draining = True
        self.streams[stream.id] = stream
        self._idle_frames = 0
        frame = frames.header_frames(stream.id, block, False, self._h2.max_outbound_frame_size)
        self._queued.append(frame)
        self.output_size += len(frame)
        return stream

    def connection_lost(self, reason: str) -> list[Event]:
        """The connection is gone; the ends of all its calls. They tell what the server's GOAWAY said, too."""
        return super().connection_lost(f"{self.goaway}; {reason}" if self.goaway else reason)

    def _start_of_frames(self, data: bytes) -> int | None:
        if not self._greeted:
            if len(data) < 4 and b"HTTP".startswith(data):
                return None
            if data.startswith(b"HTTP"):
                raise PeerError(Code.HTTP_1_1_REQUIRED, "the server speaks HTTP/1.1 on this port, not HTTP/2")
            if data[:2] == b"\x15\x03":
                raise PeerError(Code.PROTOCOL_ERROR, "the server speaks TLS on this port: use tls=true")
            if len(data) >= 4 and data[3] != frames.SETTINGS:
                raise PeerError(Code.PROTOCOL_ERROR, "the server's first frame is not SETTINGS: no HTTP/2 here")
            if len(data) < frames.HEAD_SIZE:
                return None
            self._greeted = True
        return 0

    def _on_block(self, stream_id: int, flags: int, block: bytes | LargeBlock) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id)
            self._decode_late(block, RESPONSE_TRAILERS)
            return
        first = stream.headers is None
        try:
            headers = self._decoder.decode(block, RESPONSE if first else RESPONSE_TRAILERS)
        except MalformedHeaders as exc:
            self._break(stream, Code.PROTOCOL_ERROR, str(exc))
            return
        except OversizedHeaders as exc:
            self._break(stream, Code.CANCEL, str(exc), Status.RESOURCE_EXHAUSTED)
            return
        self._idle_frames = 0
        end_stream = bool(flags & frames.FLAG_END_STREAM)
        if not first:
            if not end_stream:
                self._break(stream, Code.PROTOCOL_ERROR, "trailers came that do not end the stream")
                return
            stream.remote_closed = True
            if stream.body_left:
                self._break(stream, Code.PROTOCOL_ERROR, "less DATA came than content-length tells")
                return
            self._finish(stream, headers)
            return
        status, content_type, length = _answer(headers)
        if 100 <= status < 200:
            if end_stream:
                self._break(stream, Code.PROTOCOL_ERROR, f"an answer ended with the interim status {status}")
            return  # the answer itself is still to come
        stream.headers = headers
        stream.http_status = status
        stream.content_type = content_type
        stream.is_grpc = status == 200 and content_type.startswith("application/grpc")
        stream.body_left = length
        if end_stream:
            stream.remote_closed = True
            self._finish(stream, headers)

    def _remote_ended(self, stream: Stream) -> None:
        self._finish(stream, _NO_TRAILERS)

    def _finish(self, stream: Stream, trailers: HeaderList) -> None:
        outcome = _outcome(trailers)
        if outcome is None or (outcome.ok and stream.text):
            outcome = from_http(stream.http_status, stream.content_type, stream.text, trailers or stream.headers or ())
        elif outcome.ok and stream.deframer.missing:
            outcome = Outcome(
                Status.INTERNAL, "the answer ended inside a message", outcome.trailers, local=True, lost=True
            )
        if not stream.local_closed:
            # Without a reset, the stream would stay open and count against the server's limit of concurrent streams.
            self._queue_reset(stream.id, Code.CANCEL)
        self._forget(stream)
        self.events.append(self._end_of(stream, outcome) if outcome.lost else CallEnded(stream, outcome))

    def _was_reset(self, stream: Stream, code: int) -> None:
        self.events.append(self._end_of(stream, from_reset(code)))

    def _end_of(self, stream: Stream, outcome: Outcome) -> Event:
        """The event for a call's end. A call that was cut off before its end had left is ``unsent``."""
        if outcome.lost or self.ended:
            end_has_left = stream.end_at <= self._left if stream.local_closed else stream.ending is None
            if self._calm or not end_has_left:
                outcome = replace(outcome, calm=self._calm or outcome.calm, unsent=not end_has_left)
        return CallEnded(stream, outcome)

    def _refuse_message(self, stream: Stream, error: MessageError) -> None:
        self._break(stream, Code.CANCEL, error.text, Status.RESOURCE_EXHAUSTED if error.too_large else Status.INTERNAL)

    def _on_goaway(self, stream_id: int, payload: bytes) -> None:
        super()._on_goaway(stream_id, payload)
        last = int.from_bytes(payload[:4], "big") & frames.MAX_STREAM_ID
        code = int.from_bytes(payload[4:8], "big")
        debug = payload[8:].decode("utf-8", "replace")
        first = self.goaway is None
        self.goaway = f"the server closes the connection with {code_name(code)}{': ' if debug else ''}{debug}"
        self.draining = True
        self._calm = self._calm or code == Code.ENHANCE_YOUR_CALM
        for stream in [s for s in self.streams.values() if s.id > last]:
            self._forget(stream)
            outcome = Outcome(Status.UNAVAILABLE, self.goaway, local=True, refused=True, calm=self._calm)
            self.events.append(CallEnded(stream, outcome))
        too_many_pings = code == Code.ENHANCE_YOUR_CALM and debug == "too_many_pings"
        self.events.append(GoawayReceived(first, too_many_pings))

    def _highest_peer_stream(self) -> int:
        return 0

    def _was_opened(self, stream_id: int) -> bool:
        return bool(stream_id % 2) and stream_id < self._next_id
