"""Calls that are being made, and scripts on their way to them."""

from __future__ import annotations

from bisect import bisect_right

from ._scripts import Script, frame_head


class Call:
    """A call that is being made."""

    __slots__ = ("body", "greeted", "path", "received", "window")

    def __init__(self, path: str, window: int) -> None:
        self.path = path
        self.window = window
        self.body = bytearray()
        self.greeted = False
        self.received = 0


class Saying:
    """A script on its way to a call."""

    __slots__ = ("_at", "_frame", "_rest", "call", "script", "stream_id")

    def __init__(self, stream_id: int, call: Call, what: Script) -> None:
        self.stream_id = stream_id
        self.call = call
        self.script = what
        self._at = self._frame = 0
        self._rest = b""

    @property
    def done(self) -> bool:
        """Whether all is said."""
        return self._at >= len(self.script.chunks) and not self._rest

    def go_on(self, room: int, out: list[bytes]) -> int:
        """Say as much of a chunk as there is room for; what it costs the windows."""
        if self._rest:
            return self._say_part(self._rest, room, out)
        chunk = self.script.chunks[self._at]
        first = self._frame
        if not first and chunk.size <= room:
            out.append(chunk.for_stream(self.stream_id))
            self._at += 1
            return chunk.size
        stop = bisect_right(chunk.sizes, room + chunk.sizes[first]) - 1
        if stop > first:
            out.append(chunk.for_stream(self.stream_id)[chunk.starts[first] : chunk.starts[stop]])
            spent = chunk.sizes[stop] - chunk.sizes[first]
        else:
            spent = self._say_part(chunk.payload(first), room, out)
            stop = first + 1
        self._frame = stop
        if stop == len(chunk.sizes) - 1:
            self._at += 1
            self._frame = 0
        return spent

    def _say_part(self, payload: bytes, room: int, out: list[bytes]) -> int:
        """Part of a frame, as a frame of its own."""
        size = min(room, len(payload))
        out += [frame_head(size, 0, 0, self.stream_id), payload[:size]]
        self._rest = payload[size:]
        return size
