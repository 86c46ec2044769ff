"""TLS over any byte stream: a filter between the stream below, which carries records, and plain bytes above.

``ssl.SSLObject`` encrypts and decrypts in memory, from one buffer into another. This class only moves the buffers.

Reading. All records that one read of the stream below brought are decrypted in one go and given out together, so the
reader above is woken once for them. If they are more than were asked for, the rest waits, still encrypted, for the next
read. What a peer sends is decrypted in portions of one read, so that it cannot hold the loop, and nothing of it is kept
but one incomplete record.

Writing. What is to be sent is encrypted at once and leaves in one ``send_all``. Reading can produce records too: the
answer to a key update, an alert. The reading task sends them itself, unless another task is sending.

The end. HTTP/2 knows by itself whether all has arrived, so many servers close without TLS's own farewell
(close_notify). Both ends of a connection are told apart (an end of stream, or a TLSError), and both mean the same to
its calls. Our own farewell is sent if that can be done in time.

A record that was sent in part can be neither finished nor taken back. So a ``send_all`` that is cancelled, or fails,
closes the stream below.
"""

from __future__ import annotations

import contextlib
import ssl

import trio

from ._tcp import reset_when_closed
from ._tls_errors import TLSError, closed_early, failure_of, lost, plain_text

_READ_SIZE = 64 * 1024
_LEAST_READ = 1024
_LARGEST_HANDSHAKE = 256 * 1024
"""Bytes that the peer may send in a handshake. Long chains of certificates take some ten thousand."""
_MOST_ANSWERS = 64 * 1024
"""Bytes of answers that may wait while the peer takes none."""
_CLOSING_TIME = 1.0
"""Seconds in which the last record must leave."""
_BEGINNINGS = range(0x14, 0x18)
"""The first byte of every record."""


class TLSStream(trio.abc.Stream):
    """A stream whose bytes are encrypted on a stream below it.

    Sending and receiving begin with the handshake, if ``handshake`` was not called before.

    Args:
        stream: The stream below; closed with this one.
        context: Certificates, and what is demanded of the peer.
        server_hostname: The name or address that the server's certificate must be for. A client must give it, unless
            the context checks no names.
        server_side: Whether this is the server's end.

    Attributes:
        transport_stream (trio.abc.Stream): The stream below.
        failure (TLSError | None): Why TLS failed, as soon as it has.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        context: ssl.SSLContext,
        server_hostname: str | None = None,
        server_side: bool = False,
    ) -> None:
        self.transport_stream = stream
        self.failure: TLSError | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._handshaking = trio.Lock()
        self._ready = False
        self._heard = False
        """Whether anything but the handshake came from the peer."""
        self._more = False
        """Whether there may be more to decrypt before anything else is read."""
        self._partial = 0
        """Bytes of a record that has not come as a whole."""
        self._ended = False
        self._closed = False
        self._farewell = True
        self._in_send_all = False
        self._sending = False
        self._senders = trio.lowlevel.ParkingLot()
        self._torn: str | None = None
        """Why nothing more can be sent."""

    @property
    def alpn(self) -> str | None:
        """The protocol that both ends agreed on in the handshake; None if they did not speak of it."""
        return self._object.selected_alpn_protocol()

    # -- the handshake -----------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def handshake(self) -> None:
        """Agree on keys, and check certificates. Does nothing after it has succeeded.

        Raises:
            TLSError: The handshake failed, or the peer did not speak TLS. The text says what can be done.
            trio.BrokenResourceError: The stream below broke.
            trio.ClosedResourceError: This stream was closed.
        """
        await trio.lowlevel.checkpoint()
        async with self._handshaking:
            self._check_usable()
            if not self._ready:
                await self._handshake()

    async def _handshake(self) -> None:
        received = 0
        while True:
            try:
                self._object.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
            except ssl.SSLError as exc:
                await self._handshake_failed(failure_of(exc, self._object))
            data = b""
            error: BaseException | None = None
            try:
                data = bytes(await self.transport_stream.receive_some(_READ_SIZE))
            except trio.BrokenResourceError as exc:
                error = exc
            self._check_usable()
            if not data:
                await self._handshake_failed(closed_early(self._object, error))
            elif not received and data[0] not in _BEGINNINGS:
                await self._handshake_failed(plain_text(data[:4], self._object))
            received += len(data)
            if received > _LARGEST_HANDSHAKE:
                await self._handshake_failed(TLSError("the peer's TLS handshake is too long", final=True))
            self._incoming.write(data)
        await self._flush()
        self._ready = True
        self._more = self._incoming.pending > 0

    async def _handshake_failed(self, failure: TLSError) -> None:
        self.failure = failure
        await self._alert()
        self._check_usable()

    # -- receiving ---------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Bytes that the peer sent, as many as came together; none at the end, after the peer's farewell.

        Args:
            max_bytes: How many to return at most.

        Raises:
            TLSError: The peer closed without farewell, or broke TLS's rules.
            trio.ClosedResourceError: This stream was closed.
        """
        if max_bytes is None:
            max_bytes = _READ_SIZE
        elif not isinstance(max_bytes, int):
            raise TypeError("max_bytes must be an int")
        elif max_bytes < 1:
            raise ValueError("max_bytes must be at least 1")
        if not self._ready:
            await self.handshake()
        plain = b""
        if self._more or self._ended:
            await trio.lowlevel.checkpoint()
            if self._more and not self._closed:
                plain = self._decrypt(max_bytes)
        while True:
            if self._closed:
                self._check_usable()
            if self.failure is not None:
                await self._alert()
                if not plain:
                    self._check_usable()
            elif self._outgoing.pending:
                await self._answer()
            if plain or self._ended:
                return plain
            error: BaseException | None = None
            data: bytes | bytearray = b""
            try:
                data = await self.transport_stream.receive_some(max(max_bytes - self._partial, _LEAST_READ))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                error = exc
            if not data or self._closed:
                self._nothing_came(error)
            self._incoming.write(data)
            plain = self._decrypt(max_bytes)

    def _nothing_came(self, error: BaseException | None) -> None:
        self._check_usable()
        if isinstance(error, trio.ClosedResourceError):
            raise trio.BrokenResourceError(self._torn or "the stream below was closed") from None
        self.failure = lost(self._object, error, heard=self._heard)
        self._check_usable()

    def _decrypt(self, max_bytes: int) -> bytes:
        """What can be decrypted now; sets ``_ended``, ``_more`` and ``failure``."""
        incoming, tls = self._incoming, self._object
        read = tls.read
        found: list[bytes] = []
        left = max_bytes
        encrypted = self._partial + incoming.pending
        self._partial = 0
        self._more = False
        try:
            while left:
                plain = read(left)  # one record
                if not plain:
                    self._ended = True
                    break
                found.append(plain)
                left -= len(plain)
                encrypted = incoming.pending
                if not encrypted and not tls.pending():
                    break
            else:
                self._more = True
        except ssl.SSLWantReadError:
            self._partial = encrypted
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError as exc:
            self.failure = failure_of(exc, tls)
        if found:
            self._heard = True
        return found[0] if len(found) == 1 else b"".join(found)

    async def _answer(self) -> None:
        """Send what reading produced. If another task is sending, it does that when it has finished."""
        if not self._sending:
            await self._flush()
        elif self._outgoing.pending > _MOST_ANSWERS:
            self.failure = TLSError(f"the peer asks for answers of TLS and takes none: {_MOST_ANSWERS} bytes wait")
            self._check_usable()

    async def _alert(self) -> None:
        """Tell the peer what was wrong, if it listens."""
        if not self._sending and self._outgoing.pending:
            with trio.move_on_after(_CLOSING_TIME):
                await self._flush()

    # -- sending -----------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes to the peer. If this is cancelled, the stream cannot be used any more.

        Args:
            data: What to send.

        Raises:
            TLSError: TLS failed, here or in another task.
            trio.BrokenResourceError: The stream below broke.
            trio.BusyResourceError: Another task is sending.
            trio.ClosedResourceError: This stream was closed.
        """
        if self._in_send_all:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._in_send_all = True
        try:
            if not self._ready:
                await self.handshake()
            if data and not self._unable:
                self._encrypt(data)
                await self._flush()
            else:
                await trio.lowlevel.checkpoint()
            if self._unable:
                self._check_usable()
                raise trio.BrokenResourceError(self._torn)
        finally:
            self._in_send_all = False

    @trio.lowlevel.enable_ki_protection
    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the stream below might take more."""
        if self._in_send_all:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._in_send_all = True
        try:
            if not self._ready:
                await self.handshake()
            self._check_usable()
            await self.transport_stream.wait_send_all_might_not_block()
        finally:
            self._in_send_all = False

    def _encrypt(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._object.write(view) :]
        except ssl.SSLError as exc:
            self.failure = failure_of(exc, self._object)
            self._check_usable()

    async def _flush(self) -> None:
        """Send what TLS has produced.

        Only sets ``_torn`` if it cannot be sent: there may still be something to read that says why.
        """
        mine = False
        try:
            while self._sending:
                await self._senders.park()
            mine = self._sending = True
            while (records := self._outgoing.read()) and self._torn is None:
                await self.transport_stream.send_all(records)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._torn = self._torn or str(exc.__cause__ or exc) or "the peer takes no more"
        except BaseException:
            self._torn = "a write was cut off, and nothing may follow it"
            await trio.aclose_forcefully(self.transport_stream)
            raise
        finally:
            if mine:
                self._sending = False
                if self._senders:
                    self._senders.unpark_all()

    # -- the end -----------------------------------------------------------------------------------------------------

    def reset_when_closed(self) -> None:
        """Let the peer see a broken connection when this is closed, not an orderly end."""
        self._farewell = False
        reset_when_closed(self.transport_stream)

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Say farewell to the peer, if that can be done within a second, and close the stream below."""
        farewell = self._farewell and self._ready and not self._sending and not self._unable
        self._closed = True
        try:
            if farewell:
                with contextlib.suppress(ssl.SSLError):  # the peer's own farewell is not waited for
                    self._object.unwrap()
                with trio.move_on_after(_CLOSING_TIME):
                    await self._flush()
        finally:
            await self.transport_stream.aclose()

    @property
    def _unable(self) -> bool:
        """Whether nothing more can be sent."""
        return self._closed or self._torn is not None or self.failure is not None

    def _check_usable(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed")
        if self.failure is not None:
            raise TLSError(str(self.failure), final=self.failure.final)
