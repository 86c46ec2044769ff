"""From a host and a port to a byte stream that HTTP/2 can be spoken on: connect, then TLS, each within its time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from trio_esdb._errors import InvalidArgumentError
from trio_esdb._model import Timeouts

if TYPE_CHECKING:
    from ._tls_config import TLSConfig

Connect = Callable[[str, int], Awaitable[trio.abc.Stream]]
"""Makes a byte stream to a host and port."""

_WITHOUT_A_WORD = ("the peer closed the connection", "the connection broke")


class DialError(Exception):
    """There is no connection.

    Attributes:
        reason (str): Why, and what can be done.
        final (bool): Whether another attempt would fail in the same way: a certificate or a setting is wrong, or the
            port belongs to something else.
    """

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class Dialer:
    """Makes the byte streams of a client.

    Args:
        connect: Makes the stream below TLS.
        tls: Certificates; None for plain text.
        timeouts: How long each step may take.
    """

    def __init__(self, connect: Connect, tls: TLSConfig | None, timeouts: Timeouts) -> None:
        self._connect = connect
        self._tls = tls
        self._timeouts = timeouts

    @trio.lowlevel.enable_ki_protection
    async def __call__(self, host: str, port: int, name: str = "") -> trio.abc.Stream:
        """A new stream to a node, after the TLS handshake.

        Args:
            host: What is dialled.
            port: Its port.
            name: What the certificate must be for, if that is not the host.

        Raises:
            DialError: There is none to be had.
        """
        stream = await self._dial(host, port)
        if self._tls is None:
            return _topped(stream, stream)
        try:
            return _topped(stream, await self._secure(stream, self._tls, name or host))
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise

    async def _dial(self, host: str, port: int) -> trio.abc.Stream:
        limit = self._timeouts.connect
        with trio.move_on_after(limit):
            try:
                return await self._connect(host, port)
            except (OSError, UnicodeError, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                raise DialError(_reason(exc)) from exc
        raise DialError(f"no connection within {limit:g} seconds (timeouts.connect)")

    async def _secure(self, below: trio.abc.Stream, tls: TLSConfig, host: str) -> trio.abc.Stream:
        from ._tls import TLSStream  # a client without TLS never loads it
        from ._tls_errors import TLSError, no_http2

        limit = self._timeouts.tls
        tls.warn()
        try:
            # Not final: the files were right once, so they are just being replaced.
            context = tls.context()
        except InvalidArgumentError as exc:
            raise DialError(str(exc)) from None
        try:
            stream = TLSStream(below, context, name_of(host))
        except ValueError as exc:  # also a UnicodeError
            raise DialError(f"a certificate cannot be for the name {host!r}: {exc}", final=True) from None
        with trio.move_on_after(limit):
            try:
                await stream.handshake()
                if stream.alpn != "h2":
                    raise no_http2(stream.alpn)
            except TLSError as exc:
                raise DialError(str(exc), exc.final) from None
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                raise DialError(_reason(exc)) from exc
            return stream
        raise DialError(f"the TLS handshake was not finished within {limit:g} seconds (timeouts.tls)")


def name_of(host: str) -> str:
    """The name that a certificate has for a host: without the dot of an absolute name, and without an IPv6 zone."""
    return host.partition("%")[0] if ":" in host else host.removesuffix(".")


def ended_before_settings(stream: trio.abc.Stream, reason: str) -> DialError:
    """Why a connection ended before the server had sent its first frame.

    Args:
        stream: What the dialer had made.
        reason: Why the connection ended, as the connection knows it.
    """
    failure = getattr(stream, "failure", None)
    if failure is not None:
        return DialError(str(failure), failure.final)
    if not hasattr(stream, "transport_stream") and reason.startswith(_WITHOUT_A_WORD):
        reason += "; if the server speaks TLS, use tls=true"
    return DialError(reason)


def _topped(below: trio.abc.Stream, top: trio.abc.Stream) -> trio.abc.Stream:
    """The stream that HTTP/2 is spoken on. What ``connect`` made may have a function that puts one on top of TLS.

    A simulation sees there what is said.
    """
    on_top: Callable[[trio.abc.Stream], trio.abc.Stream] | None = getattr(below, "on_top", None)
    return top if on_top is None else on_top(top)


def _reason(exc: Exception) -> str:
    """Why there is no connection. trio says only that all attempts failed; their reasons are the cause."""
    cause = exc.__cause__
    if isinstance(cause, BaseExceptionGroup):
        return "; ".join(map(_text, cause.exceptions))
    return _text(cause or exc)


def _text(exc: BaseException) -> str:
    """What an exception says; an exception without a text says its class."""
    return str(exc) or type(exc).__name__
