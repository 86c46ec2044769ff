"""The byte stream under a connection: plain, or TLS with records as large as a real node's."""

from __future__ import annotations

import contextlib
import socket
import ssl

_READ_SIZE = 256 * 1024
_RECORD_SIZE = 4096 - 5
"""A little below 4 KiB of content, so that a record on the wire is about that."""


class PlainWire:
    """A socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock

    def receive(self, wait: bool) -> bytes | None:
        """Bytes that came, none at the end, None if nothing is there and there is to be no waiting."""
        try:
            return self._socket.recv(_READ_SIZE, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(data)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class TLSWire:
    """The same through TLS. Records are made here, and leave many at once."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._plain = PlainWire(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._incoming.write(self._plain.receive(wait=True) or b"")
            else:
                self._flush()
                return

    def receive(self, wait: bool) -> bytes | None:
        """As PlainWire.receive."""
        while True:
            parts = []
            with contextlib.suppress(ssl.SSLWantReadError):
                while part := self._tls.read(_READ_SIZE):
                    parts.append(part)
                if not parts:
                    return b""
            if parts:
                return b"".join(parts)
            raw = self._plain.receive(wait)
            if not raw:
                return raw
            self._incoming.write(raw)

    def send(self, data: bytes) -> None:
        """As PlainWire.send."""
        write = self._tls.write
        view = memoryview(data)
        for at in range(0, len(data), _RECORD_SIZE):
            write(view[at : at + _RECORD_SIZE])
        self._flush()

    def close(self) -> None:
        """As PlainWire.close."""
        self._plain.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._plain.send(self._outgoing.read())
