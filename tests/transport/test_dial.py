"""From a host and a port to a stream: names, times, causes."""

from __future__ import annotations

import errno
import logging
import math
import socket
import ssl
from pathlib import Path

import pytest
import trio
from trio.testing import MemoryReceiveStream, MemorySendStream, MockClock, memory_stream_pair

from tests.support.tls import HOST, certificate, client_config, roots, server_context
from trio_esdb._model import Timeouts
from trio_esdb._transport import dial_tcp
from trio_esdb._transport._dial import Dialer, DialError, ended_before_settings
from trio_esdb._transport._tls import TLSStream
from trio_esdb._transport._tls_config import make_tls_config

TIMES = Timeouts(connect=3, tls=4)


async def hang(host: str, port: int) -> trio.abc.Stream:
    await trio.sleep_forever()
    raise AssertionError


def silent() -> trio.abc.Stream:
    """Takes everything and says nothing."""
    return trio.StapledStream(MemorySendStream(), MemoryReceiveStream())


async def test_connecting_has_its_time(autojump_clock: MockClock) -> None:
    with pytest.raises(DialError, match=r"^no connection within 3 seconds \(timeouts.connect\)$") as caught:
        await Dialer(hang, client_config(), TIMES)(HOST, 2113)
    assert trio.current_time() == 3
    assert not caught.value.final


async def test_the_handshake_has_its_time(autojump_clock: MockClock) -> None:
    stream = silent()

    async def connect(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep(2)
        return stream

    text = r"^the TLS handshake was not finished within 4 seconds \(timeouts.tls\)$"
    with pytest.raises(DialError, match=text) as caught:
        await Dialer(connect, client_config(), TIMES)(HOST, 2113)
    assert trio.current_time() == 2 + 4
    assert not caught.value.final
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


async def test_a_time_may_be_endless(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1e6) as scope:
        await Dialer(hang, None, Timeouts(connect=math.inf))(HOST, 2113)
    assert scope.cancelled_caught


async def test_a_cancelled_handshake_closes_the_stream() -> None:
    stream = silent()

    async def connect(host: str, port: int) -> trio.abc.Stream:
        return stream

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Dialer(connect, client_config(), TIMES), HOST, 2113)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


async def test_plain_text_needs_nothing_more() -> None:
    near, _ = memory_stream_pair()

    async def connect(host: str, port: int) -> trio.abc.Stream:
        assert (host, port) == (HOST, 2113)
        return near

    assert await Dialer(connect, None, TIMES)(HOST, 2113) is near


async def test_a_stream_that_is_closed_in_the_handshake() -> None:
    near, _ = memory_stream_pair()
    await near.aclose()

    async def connect(host: str, port: int) -> trio.abc.Stream:
        return near

    with pytest.raises(DialError):
        await Dialer(connect, client_config(), TIMES)(HOST, 2113)


async def test_files_that_are_just_being_replaced_are_no_final_error(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(roots())
    config = make_tls_config(ca_file=str(file))
    file.write_bytes(b"nonsense")
    below = silent()

    async def connect(host: str, port: int) -> trio.abc.Stream:
        return below

    with pytest.raises(DialError, match=r"^tlsCaFile is neither PEM nor DER") as caught:
        await Dialer(connect, config, TIMES)(HOST, 2113)
    assert not caught.value.final
    with pytest.raises(trio.ClosedResourceError):
        await below.receive_some()


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (HOST, HOST),
        (f"{HOST}.", HOST),
        (HOST.upper(), HOST),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("a.wild.example", "*.wild.example"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
async def test_a_certificate_is_for_the_host_that_was_asked_for(host: str, name: str) -> None:
    async with trio.open_nursery() as nursery:

        async def connect(asked: str, port: int) -> trio.abc.Stream:
            assert asked == host
            near, far = memory_stream_pair()
            nursery.start_soon(TLSStream(far, server_context(certificate(name)), server_side=True).handshake)
            return near

        stream = await Dialer(connect, client_config(), TIMES)(host, 2113)
        assert isinstance(stream, TLSStream)
        assert stream.alpn == "h2"


@pytest.mark.parametrize("host", ["", ".example", "x" * 300])
async def test_a_name_that_no_certificate_can_have(host: str) -> None:
    async def connect(host: str, port: int) -> trio.abc.Stream:
        return silent()

    with pytest.raises(DialError, match=r"^a certificate cannot be for the name") as caught:
        await Dialer(connect, client_config(), TIMES)(host, 2113)
    assert caught.value.final


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ECONNREFUSED, "Connection refused"), "[Errno 111] Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "[Errno -2] Name or service not known"),
        (UnicodeError("label too long"), "label too long"),
        (trio.BrokenResourceError(), "BrokenResourceError"),
        (trio.ClosedResourceError("closed here"), "closed here"),
    ],
)
async def test_why_there_is_no_connection(error: Exception, reason: str) -> None:
    async def connect(host: str, port: int) -> trio.abc.Stream:
        raise error

    with pytest.raises(DialError) as caught:
        await Dialer(connect, client_config(), TIMES)(HOST, 2113)
    assert caught.value.reason == reason
    assert not caught.value.final
    assert caught.value.__cause__ is error


async def test_each_address_has_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_stream(host: str, port: int) -> trio.abc.Stream:
        causes = [OSError(f"Error connecting to {address!r}: Connection refused") for address in ("::1", "127.0.0.1")]
        raise OSError("all attempts to connect to localhost:2113 failed") from ExceptionGroup("multiple", causes)

    monkeypatch.setattr(trio, "open_tcp_stream", no_stream)
    with pytest.raises(DialError) as caught:
        await Dialer(dial_tcp, None, TIMES)("localhost", 2113)
    assert caught.value.reason == (
        "Error connecting to '::1': Connection refused; Error connecting to '127.0.0.1': Connection refused"
    )


async def test_unchecked_certificates_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with trio.open_nursery() as nursery:

        async def connect(host: str, port: int) -> trio.abc.Stream:
            near, far = memory_stream_pair()
            nursery.start_soon(TLSStream(far, server_context(), server_side=True).handshake)
            return near

        dial = Dialer(connect, make_tls_config(verify=False), TIMES)
        assert caplog.records == []
        for host in ("anything.example", "127.0.0.1", "other.example"):
            await dial(host, 2113)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("trio_esdb", logging.WARNING)
    assert "not checked" in record.message


async def test_checked_certificates_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def connect(host: str, port: int) -> trio.abc.Stream:
        raise OSError

    with pytest.raises(DialError):
        await Dialer(connect, make_tls_config(root_certificates=roots()), TIMES)(HOST, 2113)
    assert caplog.records == []


@pytest.mark.parametrize("reason", ["the peer closed the connection", "the connection broke: reset"])
async def test_a_plain_connection_that_ends_at_once_may_need_tls(reason: str) -> None:
    near, _ = memory_stream_pair()
    assert ended_before_settings(near, reason).reason == f"{reason}; if the server speaks TLS, use tls=true"
    context = ssl.create_default_context()
    encrypted = trio.SSLStream(near, context, server_hostname=HOST)  # what a program's own connect() may give
    assert ended_before_settings(encrypted, reason).reason == reason


@pytest.mark.parametrize(
    "reason", ["the server speaks TLS on this port: use tls=true", "the server closes the connection with NO_ERROR"]
)
async def test_a_server_that_says_why_needs_no_guess(reason: str) -> None:
    near, _ = memory_stream_pair()
    assert ended_before_settings(near, reason).reason == reason
