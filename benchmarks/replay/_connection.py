"""One connection of a client: HTTP/2 with all its books, in one thread that reads, answers and sends."""

from __future__ import annotations

import struct
from collections import deque

import hpack

from ._events import FIRST_POSITION, append_success, batch_success
from ._requests import NO_LIMIT, consumed_stream, read_request
from ._saying import Call, Saying
from ._scripts import frame_head, script
from ._wires import PlainWire, TLSWire

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 8, 9
_STREAM_LIMIT = 100
_WINDOW_SIZE = 786_432
_CREDIT = 256 * 1024
_REFUSED_STREAM = 7
_CONSUME = "PersistentSubscriptions/Read"

_GREETING = (
    frame_head(18, _SETTINGS, 0, 0)
    + struct.pack(">HIHIHI", 3, _STREAM_LIMIT, 4, _WINDOW_SIZE, 6, 32_768)
    + frame_head(4, _WINDOW, 0, 0)
    + struct.pack(">I", 983_041)
)
# Status, content-type, date and server: the first time in full, later as places in HPACK's table.
_FIRST_HEADERS = b"\x88\x5f\x10application/grpc\x61\x1dMon, 23 Nov 2026 13:47:34 GMT\x76\x07Kestrel"
_HEADERS_AGAIN = b"\x88\xc0\xbf\xbe"
_TRAILERS_OK = b"\x00\x0bgrpc-status\x010"
_TRAILERS_UNIMPLEMENTED = b"\x00\x0bgrpc-status\x0212"

_unpack_head = struct.Struct(">HBBBI").unpack_from
_unpack_prefix = struct.Struct(">BI").unpack_from


class Connection:
    """Takes any client; ``known`` answers the calls that have one small answer."""

    def __init__(self, wire: PlainWire | TLSWire, known: dict[str, bytes]) -> None:
        self._wire = wire
        self._known = known
        self._decoder = hpack.Decoder()
        self._paths: dict[bytes, str] = {}
        self._calls: dict[int, Call] = {}
        self._saying: deque[Saying] = deque()
        self._late: deque[tuple[Call, int, bytes]] = deque()
        self._out: list[bytes] = [_GREETING]
        self._rest = b""
        self._window = self._initial = 65_535
        self._received = 0
        self._greeted = False
        self._block: tuple[int, int, bytes] | None = None
        self._number = FIRST_POSITION

    def run(self) -> None:
        """Serve until the client closes."""
        receive, out = self._wire.receive, self._out
        greeting = b""
        while len(greeting) < len(PREFACE):
            greeting += (came := receive(wait=True) or b"")
            if not came:
                return
        if not greeting.startswith(PREFACE):
            return
        self._take(greeting[len(PREFACE) :])
        while True:
            busy = self._say()
            if out:
                self._wire.send(b"".join(out))
                out.clear()
            data: bytes | None = receive(wait=not busy)
            if data:
                self._take(data)
            elif data is not None:
                return

    # -- what comes --------------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, stop = 0, len(data)
        while stop - at >= 9:
            upper, lower, kind, flags, stream_id = _unpack_head(data, at)
            end = at + 9 + (upper << 8 | lower)
            if end > stop:
                break
            if kind == _DATA:
                self._on_data(stream_id, flags, data, at + 9, end)
            elif kind == _HEADERS:
                start = at + 9 + (1 if flags & 8 else 0) + (5 if flags & 32 else 0)
                block = data[start : end - (data[at + 9] if flags & 8 else 0)]
                if flags & 4:
                    self._on_call(stream_id, flags, block)
                else:
                    self._block = stream_id, flags, block
            elif kind == _CONTINUATION and self._block is not None:
                stream_id, first, block = self._block
                self._block = stream_id, first, block + data[at + 9 : end]
                if flags & 4:
                    self._on_call(*self._block)
                    self._block = None
            elif kind == _WINDOW:
                self._on_window(stream_id, int.from_bytes(data[at + 9 : end], "big"))
            elif kind == _RST:
                if self._calls.pop(stream_id, None) is not None:
                    self._saying = deque(s for s in self._saying if s.stream_id != stream_id)
            elif kind == _PING and not flags & 1:
                self._out.append(frame_head(8, _PING, 1, 0) + data[at + 9 : end])
            elif kind == _SETTINGS and not flags & 1:
                self._on_settings(data[at + 9 : end])
            at = end
        self._rest = data[at:]

    def _on_call(self, stream_id: int, flags: int, block: bytes) -> None:
        path = self._paths.get(block)
        if path is None:
            path = self._decode(block)
        if len(self._calls) >= _STREAM_LIMIT:
            self._out.append(frame_head(4, _RST, 0, stream_id) + _REFUSED_STREAM.to_bytes(4, "big"))
            return
        self._calls[stream_id] = call = Call(path, self._initial)
        if flags & 1:
            self._on_half_close(stream_id, call)

    def _decode(self, block: bytes) -> str:
        """The path in a header block; remembered if the block says the same whenever it comes."""
        entries = self._decoder.header_table.dynamic_entries
        before = entries[0] if entries else None, len(entries)
        path = next(str(value) for name, value in self._decoder.decode(block) if str(name) == ":path")
        after = entries[0] if entries else None, len(entries)
        if after[0] is not before[0] or after[1] != before[1]:
            self._paths.clear()
        elif len(self._paths) < 64:
            self._paths[block] = path
        return path

    def _on_data(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        self._received += end - start
        if self._received >= _CREDIT:
            self._give(0, self._received)
            self._received = 0
        call = self._calls.get(stream_id)
        if call is None:
            return
        call.received += end - start
        if flags & 8:
            end -= data[start]
            start += 1
        if not call.path.endswith("s/Append"):  # an append is answered whatever it holds
            call.body += data[start:end]
        if flags & 1:
            self._on_half_close(stream_id, call)
        elif call.path.endswith(_CONSUME):
            if call.greeted:
                call.body.clear()  # acks, of which a node says nothing
            elif len(call.body) > 5:
                self._deliver(stream_id, call)
            if call.received >= _CREDIT:
                self._give(stream_id, call.received)
                call.received = 0
        else:
            if call.received >= _CREDIT:
                self._give(stream_id, call.received)
                call.received = 0
            if call.path.endswith("/BatchAppend"):
                self._answer_batches(stream_id, call, last=False)

    def _deliver(self, stream_id: int, call: Call) -> None:
        """Give a consumer all events of its group at once, whatever it acks."""
        found = script(consumed_stream(bytes(call.body[5:])), NO_LIMIT, True)
        if found is None:
            self._answer(stream_id, call, None)
            return
        call.greeted = True
        self._saying.append(Saying(stream_id, call, found))
        self._out.append(self._headers(stream_id))

    def _on_half_close(self, stream_id: int, call: Call) -> None:
        path = call.path
        if path.endswith("s/Append"):
            self._number += 1
            self._answer(stream_id, call, append_success(self._number))
        elif path.endswith("/BatchAppend"):
            self._answer_batches(stream_id, call, last=True)
        elif path.endswith("streams.Streams/Read"):
            request = read_request(bytes(call.body[5:]))
            found = script(request.stream, request.limit, request.subscription)
            if found is None:
                self._answer(stream_id, call, None)
            else:
                self._saying.append(Saying(stream_id, call, found))
                self._out.append(self._headers(stream_id))
        else:
            self._answer(stream_id, call, self._known.get(path))

    def _on_window(self, stream_id: int, increment: int) -> None:
        if stream_id:
            call = self._calls.get(stream_id)
            if call is not None:
                call.window += increment
        else:
            self._window += increment
        self._say_late()

    def _on_settings(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            code, value = struct.unpack_from(">HI", payload, at)
            if code == 4:
                for call in self._calls.values():
                    call.window += value - self._initial
                self._initial = value
        self._out.append(frame_head(0, _SETTINGS, 1, 0))

    def _give(self, stream_id: int, size: int) -> None:
        self._out.append(frame_head(4, _WINDOW, 0, stream_id) + size.to_bytes(4, "big"))

    # -- what goes ---------------------------------------------------------------------------------------------------

    def _headers(self, stream_id: int) -> bytes:
        block = _HEADERS_AGAIN if self._greeted else _FIRST_HEADERS
        self._greeted = True
        return frame_head(len(block), _HEADERS, 4, stream_id) + block

    def _answer(self, stream_id: int, call: Call, message: bytes | None) -> None:
        """One small message and the end; without a message, that there is no such method."""
        del self._calls[stream_id]
        trailers = _TRAILERS_UNIMPLEMENTED if message is None else _TRAILERS_OK
        message = message or b""
        answer = b"".join(
            (
                self._headers(stream_id),
                frame_head(len(message), _DATA, 0, stream_id),
                message,
                frame_head(len(trailers), _HEADERS, 5, stream_id),
                trailers,
            )
        )
        self._send_small(call, len(message), answer)

    def _send_small(self, call: Call, size: int, frames: bytes) -> None:
        """Frames with one small message of this size, as soon as the windows admit them."""
        self._late.append((call, size, frames))
        self._say_late()

    def _say_late(self) -> None:
        late = self._late
        while late:
            call, size, frames = late[0]
            if size > self._window or size > call.window:
                return
            self._window -= size
            call.window -= size
            self._out.append(frames)
            late.popleft()

    def _answer_batches(self, stream_id: int, call: Call, last: bool) -> None:
        """Answer each whole request that is the last of its batch."""
        body = call.body
        while len(body) >= 5:
            _, size = _unpack_prefix(body)
            if len(body) < 5 + size:
                break
            request = bytes(body[5 : 5 + size])
            del body[: 5 + size]
            if not request.endswith(b"\x20\x01"):
                continue
            self._number += 1
            message = batch_success(request[: 2 + request[1]], self._number)
            first = b"" if call.greeted else self._headers(stream_id)
            call.greeted = True
            frames = first + frame_head(len(message), _DATA, 0, stream_id) + message
            self._send_small(call, len(message), frames)
        if last:
            self._calls.pop(stream_id, None)
            self._send_small(call, 0, frame_head(len(_TRAILERS_OK), _HEADERS, 5, stream_id) + _TRAILERS_OK)

    def _say(self) -> bool:
        """Give each read its turn; whether any may say more at once."""
        busy = False
        for _ in range(len(self._saying)):
            saying = self._saying.popleft()
            room = min(self._window, saying.call.window)
            if room > 0 and not saying.done:
                spent = saying.go_on(room, self._out)
                self._window -= spent
                saying.call.window -= spent
                busy = True
            if not saying.done:
                self._saying.append(saying)
            elif saying.script.ends:
                del self._calls[saying.stream_id]
                self._out.append(frame_head(len(_TRAILERS_OK), _HEADERS, 5, saying.stream_id) + _TRAILERS_OK)
        return busy
