"""What a simulation's clients sent and received, frame by frame, as it is without TLS.

Two runs are the same if their traces are. The bytes of TLS are never the same, so the trace is taken above it: the
client's dialer puts a ``TracedStream`` on top of what it has made.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2s
from typing import Any, NamedTuple

import trio

from trio_esdb._wire import _frames as frames
from trio_esdb.testing._network import MemoryNetwork
from trio_esdb.testing._stream import MemoryStream

_KINDS = (
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
)
_PREFACE = 24
"""Bytes that a client sends before its first frame."""


class TraceEntry(NamedTuple):
    """One line of a trace: a frame that a client sent or received, a connection made or ended, or a fault."""

    time: float
    """Seconds since the world began."""
    connection: str
    """The client, the number of its connection and the node, as ``client-1#3 node2.example:2113``; empty for faults."""
    direction: str
    """``>`` to the node, ``<`` from the node, ``-`` for neither."""
    kind: str
    """The kind of frame, such as ``DATA``; ``CONNECTED`` or ``ENDED``; or a fault, as code."""
    stream: int = 0
    """The number of the stream; 0 is the connection itself."""
    digest: str = ""
    """Eight digits that stand for the flags and the payload."""

    def __str__(self) -> str:
        words = (f"{self.time:.6f}", self.connection, self.direction, self.kind)
        return " ".join(filter(None, (*words, *((str(self.stream), self.digest) if self.digest else ()))))


class Trace:
    """What happened in a simulation, in its order. The same seed gives the same trace, byte for byte.

    ``str(trace)`` is its text, a line for each entry.
    """

    def __init__(self) -> None:
        self._entries: list[TraceEntry] = []
        self._begin = 0.0
        self._connections = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[TraceEntry]:
        return iter(tuple(self._entries))

    def __getitem__(self, index: int) -> TraceEntry:
        return self._entries[index]

    def __str__(self) -> str:
        return "".join(f"{entry}\n" for entry in self._entries)

    def __repr__(self) -> str:
        return f"<trio_esdb.testing.Trace: {len(self._entries)} entries>"

    def _add(self, connection: str, direction: str, kind: str, stream: int = 0, digest: str = "") -> None:
        time = trio.current_time() - self._begin
        self._entries.append(TraceEntry(time, connection, direction, kind, stream, digest))


def first_difference(one: Trace, other: Trace) -> str | None:
    """Where two traces differ first, as a text; None if they are the same."""
    for a, b in zip(one, other, strict=False):
        if a != b:
            return f"first difference at t={min(a.time, b.time):.6f}:\n    {a}\n    {b}"
    if len(one) == len(other):
        return None
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    entry = longer[len(shorter)]
    return f"first difference at t={entry.time:.6f}:\n    {entry}\n    (nothing)"


class TracedHost:
    """The host of a client, which writes its connections into a trace.

    Args:
        name: The name of the host.
        network: The network that it is on.
        trace: The trace.
    """

    def __init__(self, name: str, network: MemoryNetwork, trace: Trace) -> None:
        self._name = name
        self._connect = network.connect_from(name)
        self._trace = trace
        self.resolve = network.resolve
        """Looks a name up; a client takes it from the owner of its ``connect``."""

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """Connect to an address: the ``connect=`` of a client."""
        trace = self._trace
        trace._connections += 1
        name = f"{self._name}#{trace._connections} {host}:{port}"
        try:
            stream = await self._connect(host, port)
        except OSError as exc:
            trace._add(name, "-", type(exc).__name__)
            raise
        trace._add(name, "-", "CONNECTED")
        assert isinstance(stream, MemoryStream)
        stream.on_top = lambda top: TracedStream(top, trace, name)
        return stream


class TracedStream(trio.abc.Stream):
    """The stream of a client's connection, which writes the frames that pass into a trace."""

    def __init__(self, below: trio.abc.Stream, trace: Trace, connection: str) -> None:
        self._below = below
        self._trace = trace
        self._connection = connection
        self._sent = _Frames(_PREFACE)
        self._received = _Frames(0)
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)  # what TLS and the memory network have besides a stream's methods

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See trio.abc.SendStream."""
        for kind, stream, digest in self._sent.feed(bytes(data)):
            self._trace._add(self._connection, ">", kind, stream, digest)
        await self._below.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See trio.abc.SendStream."""
        await self._below.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See trio.abc.ReceiveStream."""
        data = await self._below.receive_some(max_bytes)
        for kind, stream, digest in self._received.feed(bytes(data)):
            self._trace._add(self._connection, "<", kind, stream, digest)
        return data

    async def aclose(self) -> None:
        """See trio.abc.AsyncResource."""
        if not self._closed:
            self._closed = True
            self._trace._add(self._connection, "-", "ENDED")
        await self._below.aclose()


class _Frames:
    """Cuts bytes into frames."""

    def __init__(self, skip: int) -> None:
        self._skip = skip
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[str, int, str]]:
        """The frames that are whole now: kind, stream and digest."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        data = self._rest + data
        found = []
        at = 0
        while len(data) - at >= frames.HEAD_SIZE:
            upper, lower, kind, _, stream = frames.HEAD.unpack_from(data, at)
            end = at + frames.HEAD_SIZE + (upper << 8 | lower)
            if end > len(data):
                break
            digest = blake2s(data[at + 4 : end], digest_size=4).hexdigest()
            found.append(
                (_KINDS[kind] if kind < len(_KINDS) else f"FRAME-{kind}", stream & frames.MAX_STREAM_ID, digest)
            )
            at = end
        self._rest = data[at:]
        return found
