"""TLS over a memory stream: bytes in both directions, the end, cancellation, peers that mean harm."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import (
    MemoryReceiveStream,
    MemorySendStream,
    MockClock,
    check_two_way_stream,
    lockstep_stream_pair,
    memory_stream_pair,
    wait_all_tasks_blocked,
)

from tests.support.tls import HOST, client_config, server_context, tls_pair
from tests.support.tls_records import ALERT, APPLICATION_DATA, Forger, logged_context
from trio_esdb._transport._tcp import reset_when_closed
from trio_esdb._transport._tls import TLSStream
from trio_esdb._transport._tls_errors import TLSError

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
TWO = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])


class Counted(trio.abc.Stream):
    """Counts what passes through it."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.sends = self.receives = 0

    async def send_all(self, data: Any) -> None:
        self.sends += 1
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        self.receives += 1
        return bytes(await self.stream.receive_some(max_bytes))

    async def aclose(self) -> None:
        await self.stream.aclose()


async def counted_pair(**options: Any) -> tuple[TLSStream, TLSStream, Counted, Counted]:
    """Both ends, after all that the handshake brings, and what is below them."""

    def pair() -> tuple[Counted, Counted]:
        near, far = memory_stream_pair()
        return Counted(near), Counted(far)

    client, server = await tls_pair(pair=pair, **options)
    await server.send_all(b"ready")  # brings session tickets too
    assert await client.receive_some() == b"ready"
    below = client.transport_stream, server.transport_stream
    assert isinstance(below[0], Counted)
    assert isinstance(below[1], Counted)
    for end in below:
        end.sends = end.receives = 0
    return client, server, *below


# -- as a stream -----------------------------------------------------------------------------------------------------


@TWO
async def test_it_is_a_stream_as_trio_demands(version: ssl.TLSVersion) -> None:
    await check_two_way_stream(lambda: tls_pair(server_context(latest=version)), None)


async def test_a_stream_that_can_be_full_is_one_too() -> None:
    async def clogged() -> tuple[TLSStream, TLSStream]:
        # Both ends shake hands over a stream that takes everything, and go on over one that takes nothing.
        client, server, near, far = await counted_pair()
        near.stream, far.stream = lockstep_stream_pair()
        return client, server

    await check_two_way_stream(tls_pair, clogged)


@TWO
async def test_both_ends_agree_on_http2(version: ssl.TLSVersion) -> None:
    client, server = await tls_pair(server_context(latest=version))
    assert client.alpn == server.alpn == "h2"
    async with client, server:
        await client.send_all(b"question")
        assert await server.receive_some() == b"question"
        await server.send_all(b"answer")
        assert await client.receive_some() == b"answer"


async def test_the_handshake_is_made_when_it_is_needed() -> None:
    near, far = memory_stream_pair()
    client = TLSStream(near, client_config().context(), HOST)
    server = TLSStream(far, server_context(), server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, b"first")
        await wait_all_tasks_blocked()
        for busy in (client.wait_send_all_might_not_block, lambda: client.send_all(b"second")):
            with pytest.raises(trio.BusyResourceError):
                await busy()
        assert await server.receive_some() == b"first"


async def test_two_tasks_shake_hands_once() -> None:
    near, far = memory_stream_pair()
    client = TLSStream(near, client_config().context(), HOST)
    server = TLSStream(far, server_context(), server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, b"question")
        nursery.start_soon(server.send_all, b"answer")
        assert await client.receive_some() == b"answer"
        assert await server.receive_some() == b"question"


@pytest.mark.parametrize("portion", [1, 2, 7])
async def test_a_handshake_may_come_in_any_pieces(portion: int) -> None:
    class Slow(Counted):
        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            return await super().receive_some(portion)

    def pair() -> tuple[Slow, Slow]:
        near, far = memory_stream_pair()
        return Slow(near), Slow(far)

    client, server = await tls_pair(pair=pair)
    await server.send_all(b"x" * 100)
    assert await client.receive_some() == b"x" * 100


async def test_what_comes_right_behind_the_handshake_is_received() -> None:
    """A server may send its first frames with the end of the handshake, so that one read brings both."""
    near, far = memory_stream_pair()
    client = TLSStream(near, client_config().context(), HOST)
    server = TLSStream(far, server_context(latest=ssl.TLSVersion.TLSv1_2), server_side=True)
    held: list[bytes] = []

    class Holding(Counted):
        """Keeps the end of the handshake until the first bytes follow it."""

        async def send_all(self, data: bytes) -> None:
            self.sends += 1
            held.append(data)
            if self.sends != 2:
                await self.stream.send_all(b"".join(held))
                held.clear()

    server.transport_stream = Holding(far)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.send_all, b"settings")
        await client.handshake()
    assert await client.receive_some() == b"settings"


# -- records ---------------------------------------------------------------------------------------------------------


@TWO
async def test_all_records_of_one_read_are_given_out_together(version: ssl.TLSVersion) -> None:
    client, server, near, far = await counted_pair(server=server_context(latest=version))
    for number in range(50):
        await server.send_all(b"%02d" % number)
    assert await client.receive_some(65536) == b"".join(b"%02d" % number for number in range(50))
    assert near.receives == 1
    assert far.sends == 50


@TWO
async def test_what_is_sent_together_is_encrypted_and_sent_once(version: ssl.TLSVersion) -> None:
    client, server, near, _ = await counted_pair(server=server_context(latest=version))
    data = bytes(range(256)) * 1000
    for kind in (bytes, bytearray, memoryview):
        near.sends = 0
        await client.send_all(kind(data))
        assert near.sends == 1
        found = b""
        while len(found) < len(data):
            found += await server.receive_some(65536)
        assert found == data


@pytest.mark.parametrize("portion", [1, 3, 16, 99])
async def test_more_than_was_asked_for_waits_for_the_next_read(portion: int) -> None:
    client, server, near, _ = await counted_pair()
    data = bytes(range(100))
    for at in range(0, 100, 10):
        await server.send_all(data[at : at + 10])
    found: list[bytes] = []
    while len(b"".join(found)) < 100:
        found.append(await client.receive_some(portion))
    assert b"".join(found) == data
    assert max(map(len, found)) <= portion
    assert near.receives <= 10 * (10 + 22) // portion + 1  # what was read is used up before more is read


async def test_a_read_that_asks_for_less_loses_nothing_at_the_end() -> None:
    client, server, _, _ = await counted_pair()
    await server.send_all(b"abc")
    await server.aclose()
    assert [await client.receive_some(2) for _ in range(4)] == [b"ab", b"c", b"", b""]


async def test_nothing_is_sent_for_no_bytes() -> None:
    client, _, near, _ = await counted_pair()
    await client.send_all(b"")
    assert near.sends == 0


@pytest.mark.parametrize(("wrong", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("1", TypeError)])
async def test_nonsense_cannot_be_asked_for(wrong: Any, error: type[Exception]) -> None:
    client, _ = await tls_pair()
    with pytest.raises(error, match="max_bytes"):
        await client.receive_some(wrong)


# -- the end ---------------------------------------------------------------------------------------------------------


@TWO
async def test_a_farewell_is_an_orderly_end(version: ssl.TLSVersion) -> None:
    client, server = await tls_pair(server_context(latest=version))
    await server.send_all(b"last")
    await server.aclose()
    assert await client.receive_some() == b"last"
    assert await client.receive_some() == b""
    assert await client.receive_some() == b""
    assert client.failure is None


@TWO
async def test_an_end_without_farewell_is_a_broken_connection(version: ssl.TLSVersion) -> None:
    client, server = await tls_pair(server_context(latest=version))
    await server.send_all(b"last")
    await server.transport_stream.aclose()
    assert await client.receive_some() == b"last"
    for _ in range(2):
        with pytest.raises(TLSError, match=r"^the server closed the connection$") as caught:
            await client.receive_some()
        assert not caught.value.final
    with pytest.raises(trio.BrokenResourceError):
        await client.send_all(b"more")


async def test_an_end_inside_a_record_is_a_broken_connection(tmp_path: Path) -> None:
    client, server = await tls_pair(logged_context(tmp_path))
    forger = Forger(tmp_path)
    await server.transport_stream.send_all(forger.record(b"whole") + forger.record(b"torn")[:-1])
    await server.transport_stream.aclose()
    assert await client.receive_some() == b"whole"
    with pytest.raises(TLSError, match="the server closed the connection"):
        await client.receive_some()


async def test_closing_does_not_wait_for_a_peer_that_takes_nothing(autojump_clock: MockClock) -> None:
    client, _, near, _ = await counted_pair()
    near.stream, _ = lockstep_stream_pair()
    await client.aclose()
    assert trio.current_time() == 1
    with pytest.raises(trio.ClosedResourceError):
        await near.stream.send_all(b"x")


async def test_closing_under_a_cancelled_scope_closes_at_once(autojump_clock: MockClock) -> None:
    client, _, near, _ = await counted_pair()
    near.stream, _ = lockstep_stream_pair()
    with trio.CancelScope() as scope:
        scope.cancel()
        await client.aclose()
    assert trio.current_time() == 0
    with pytest.raises(trio.ClosedResourceError):
        await near.stream.send_all(b"x")
    await client.aclose()


async def test_a_connection_that_is_reset_says_no_farewell() -> None:
    client, server = await tls_pair()
    reset_when_closed(server)
    await server.aclose()
    with pytest.raises(TLSError, match=r"closed the connection"):
        await client.receive_some()


@pytest.mark.parametrize("what", ["receive_some", "send_all"])
async def test_closing_ends_what_other_tasks_do(what: str) -> None:
    client, _, near, _ = await counted_pair()
    near.stream, _ = lockstep_stream_pair()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def use() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await (client.receive_some() if what == "receive_some" else client.send_all(b"x"))

        await wait_all_tasks_blocked()
        await trio.aclose_forcefully(client)
    for call in (client.receive_some, client.handshake, lambda: client.send_all(b"x")):
        with pytest.raises(trio.ClosedResourceError):
            await call()


# -- cancellation ----------------------------------------------------------------------------------------------------


async def test_a_cancelled_write_ends_the_stream() -> None:
    """A record that was sent in part can be neither finished nor taken back."""
    client, _, near, _ = await counted_pair()
    near.stream, _ = lockstep_stream_pair()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def read() -> None:
            with pytest.raises(trio.BrokenResourceError, match=r"cut off"):
                await client.receive_some()

        await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            nursery.start_soon(_cancel_later, scope)
            await client.send_all(b"x")
        assert scope.cancelled_caught
    with pytest.raises(trio.BrokenResourceError, match=r"cut off"):
        await client.send_all(b"y")
    await client.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await near.stream.send_all(b"x")


async def _cancel_later(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


async def test_a_cancelled_read_loses_nothing(tmp_path: Path) -> None:
    client, server = await tls_pair(logged_context(tmp_path))
    record = Forger(tmp_path).record(b"whole")
    for at in range(len(record)):
        await server.transport_stream.send_all(record[at : at + 1])
        if at < len(record) - 1:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_later, scope)
                    await client.receive_some()
            assert scope.cancelled_caught
    assert await client.receive_some() == b"whole"


async def test_a_cancelled_handshake_can_go_on() -> None:
    near, far = memory_stream_pair()
    client = TLSStream(near, client_config().context(), HOST)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_later, scope)
            await client.handshake()
    assert scope.cancelled_caught
    server = TLSStream(far, server_context(), server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.handshake)
        await client.handshake()
    assert client.alpn == "h2"


# -- the stream below breaks -----------------------------------------------------------------------------------------


async def test_what_the_peer_sent_last_can_be_read_after_a_write_failed() -> None:
    """That is where an alert says why."""
    out, back = MemorySendStream(), MemoryReceiveStream()
    client, server, near, _ = await counted_pair()
    await server.send_all(b"last")
    back.put_data(await near.stream.receive_some())  # type: ignore[arg-type]
    back.put_eof()
    near.stream = trio.StapledStream(out, back)

    async def broken() -> None:
        raise trio.BrokenResourceError from ConnectionResetError(104, "Connection reset by peer")

    out.send_all_hook = broken
    with pytest.raises(trio.BrokenResourceError, match="Connection reset by peer"):
        await client.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError, match="Connection reset by peer"):
        await client.send_all(b"x")
    assert await client.receive_some() == b"last"
    with pytest.raises(TLSError, match=r"closed the connection"):
        await client.receive_some()


async def test_why_the_stream_below_broke_is_told() -> None:
    client, _, near, _ = await counted_pair()
    receiving = MemoryReceiveStream()

    async def broken() -> None:
        raise trio.BrokenResourceError from ConnectionResetError(104, "Connection reset by peer")

    receiving.receive_some_hook = broken
    near.stream = trio.StapledStream(MemorySendStream(), receiving)
    with pytest.raises(TLSError, match=r"closed the connection .*Connection reset by peer"):
        await client.receive_some()


async def test_a_handshake_on_a_broken_stream() -> None:
    receiving = MemoryReceiveStream()

    async def broken() -> None:
        raise trio.BrokenResourceError from ConnectionResetError(104, "Connection reset by peer")

    receiving.receive_some_hook = broken
    client = TLSStream(trio.StapledStream(MemorySendStream(), receiving), client_config().context(), HOST)
    with pytest.raises(TLSError, match=r"closed the connection during the TLS handshake .*Connection reset by peer"):
        await client.wait_send_all_might_not_block()


async def test_what_cannot_be_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = await tls_pair()

    def refuse(data: object) -> int:
        raise ssl.SSLError(1, "[SSL] something else (_ssl.c:1)")

    monkeypatch.setattr(client._object, "write", refuse)
    with pytest.raises(TLSError, match=r"^TLS failed: "):
        await client.send_all(b"x")


# -- what a peer may do ----------------------------------------------------------------------------------------------


async def test_a_key_update_is_answered_before_the_next_bytes(tmp_path: Path) -> None:
    client, server = await tls_pair(logged_context(tmp_path))
    below, forger = server.transport_stream, Forger(tmp_path)
    await below.send_all(forger.key_update() + forger.record(b"with the next key"))
    assert await client.receive_some() == b"with the next key"
    await client.send_all(b"x")
    assert len(await below.receive_some()) == (5 + 5 + 1 + 16) + (5 + 1 + 1 + 16)  # the answer, and the byte


async def test_key_updates_are_answered_while_nothing_else_is_sent(tmp_path: Path) -> None:
    client, server = await tls_pair(logged_context(tmp_path))
    below, forger = server.transport_stream, Forger(tmp_path)
    await below.send_all(b"".join(forger.key_update() for _ in range(1000)) + forger.record(b"x"))
    assert await client.receive_some() == b"x"
    assert 0 < len(await below.receive_some()) <= 1000 * (5 + 5 + 1 + 16)
    await client.send_all(b"still alive")
    await below.send_all(forger.record(b"y"))
    assert await client.receive_some() == b"y"


async def test_a_writer_waits_until_answers_have_left(tmp_path: Path) -> None:
    client, server = await tls_pair(logged_context(tmp_path))
    near, below, forger = client.transport_stream, server.transport_stream, Forger(tmp_path)
    assert isinstance(near, trio.StapledStream)
    near.send_stream, taken = lockstep_stream_pair()
    await below.send_all(b"".join(forger.key_update() for _ in range(10)) + forger.record(b"x"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.receive_some)
        await wait_all_tasks_blocked()  # the reader sends what nobody takes yet
        nursery.start_soon(client.send_all, b"y")
        await wait_all_tasks_blocked()
        size = 0
        while size < 10 * (5 + 5 + 1 + 16) + (5 + 1 + 1 + 16):
            size += len(await taken.receive_some())


async def test_a_writer_that_is_cancelled_while_it_waits_ends_the_stream(tmp_path: Path) -> None:
    client, server = await tls_pair(logged_context(tmp_path))
    near, below, forger = client.transport_stream, server.transport_stream, Forger(tmp_path)
    assert isinstance(near, trio.StapledStream)
    near.send_stream, _ = lockstep_stream_pair()
    await below.send_all(b"".join(forger.key_update() for _ in range(10)) + forger.record(b"x"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.receive_some)
        await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            nursery.start_soon(_cancel_later, scope)
            await client.send_all(b"y")
        assert scope.cancelled_caught
    with pytest.raises(trio.BrokenResourceError, match="cut off"):
        await client.send_all(b"z")
    with pytest.raises(trio.ClosedResourceError):
        await near.send_all(b"z")


async def test_answers_that_nobody_takes_have_a_bound(tmp_path: Path) -> None:
    client, server = await tls_pair(logged_context(tmp_path))
    near, below, forger = client.transport_stream, server.transport_stream, Forger(tmp_path)
    full, _ = lockstep_stream_pair()
    assert isinstance(near, trio.StapledStream)
    near.send_stream = full
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def write() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await client.send_all(b"x")

        await wait_all_tasks_blocked()
        for _ in range(2):
            await below.send_all(b"".join(forger.key_update() for _ in range(1000)) + forger.record(b"x"))
            assert await client.receive_some() == b"x"
        await below.send_all(b"".join(forger.key_update() for _ in range(1000)) + forger.record(b"x"))
        with pytest.raises(TLSError, match="the peer asks for answers of TLS and takes none: 65536 bytes wait"):
            await client.receive_some()
        await trio.aclose_forcefully(full)


async def test_records_of_one_byte_are_a_stream_like_any_other(tmp_path: Path) -> None:
    client, server = await tls_pair(logged_context(tmp_path))
    forger = Forger(tmp_path)
    await server.transport_stream.send_all(b"".join(forger.record(b"x") for _ in range(2000)))
    assert await client.receive_some(65536) == b"x" * 2000


async def test_records_without_content_end_the_connection(tmp_path: Path) -> None:
    client, server = await tls_pair(logged_context(tmp_path))
    forger = Forger(tmp_path)
    first = forger.record(b"first")
    await server.transport_stream.send_all(first + b"".join(forger.record(b"") for _ in range(1000)))
    assert await client.receive_some(65536) == b"first"
    with pytest.raises(TLSError, match=r"^TLS failed: record too small"):
        await client.receive_some(65536)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda record: record[:-1] + bytes([record[-1] ^ 1]), id="tag"),
        pytest.param(lambda record: b"\x17\x03\x03\xff\xff" + record, id="length"),
        pytest.param(lambda record: b"HTTP/1.1 400 Bad Request\r\n\r\n", id="plain"),
        pytest.param(lambda record: bytes(65536), id="zeros"),
    ],
)
async def test_what_is_no_record_ends_the_connection_with_an_alert(tmp_path: Path, broken: Any) -> None:
    client, server = await tls_pair(logged_context(tmp_path))
    below, forger = server.transport_stream, Forger(tmp_path)
    await below.send_all(forger.record(b"good"))
    await below.send_all(broken(forger.record(b"bad")))
    assert await client.receive_some() == b"good"
    with pytest.raises(TLSError, match=r"^TLS failed: ") as caught:
        await client.receive_some()
    assert str(client.failure) == str(caught.value)
    assert len(await below.receive_some()) == 5 + 2 + 1 + 16  # an alert
    with pytest.raises(TLSError, match=r"^TLS failed: "):
        await client.send_all(b"x")


async def test_an_alert_is_not_waited_for(tmp_path: Path, autojump_clock: MockClock) -> None:
    client, server = await tls_pair(logged_context(tmp_path))
    await server.transport_stream.send_all(bytes(100))
    near, (client.transport_stream, _) = client.transport_stream, lockstep_stream_pair()

    async def receive_some(max_bytes: int | None = None) -> bytes:
        return bytes(await near.receive_some(max_bytes))

    client.transport_stream.receive_some = receive_some  # type: ignore[method-assign]
    with pytest.raises(TLSError, match=r"^TLS failed"):
        await client.receive_some()
    assert trio.current_time() == 1


async def test_what_the_peer_says_at_last_is_told(tmp_path: Path) -> None:
    client, server = await tls_pair(logged_context(tmp_path))
    forger = Forger(tmp_path)
    internal_error = bytes([2, 80])
    await server.transport_stream.send_all(forger.record(b"x", APPLICATION_DATA) + forger.record(internal_error, ALERT))
    assert await client.receive_some() == b"x"
    with pytest.raises(TLSError, match=r"^the server ended TLS: internal error$"):
        await client.receive_some()


def record(kind: int, content: bytes) -> bytes:
    return bytes([kind, 3, 3]) + len(content).to_bytes(2, "big") + content


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        pytest.param(record(20, b"\x01") * 100_000, "TLS failed: unexpected message", id="change-cipher-spec"),
        pytest.param(record(21, b"\x01\x5a") * 100_000, "TLS failed: too many warn alerts", id="warnings"),
        pytest.param(record(22, b"") * 100_000, "TLS failed: record too small", id="empty"),
        pytest.param(record(22, bytes(4)) * 100_000, "the peer's TLS handshake is too long", id="hello-requests"),
        pytest.param(
            b"".join(record(22, bytes([byte])) for byte in bytes([2, 0, 255, 0]) + bytes(70_000)),
            "the peer's TLS handshake is too long",
            id="hello-in-bytes",
        ),
        pytest.param(
            record(21, b"\x01\x00"), "the server closed the connection during the TLS handshake", id="farewell"
        ),
    ],
)
async def test_a_handshake_of_nonsense_ends_soon(sent: bytes, reason: str) -> None:
    near, far = memory_stream_pair()
    client = TLSStream(near, client_config().context(), HOST)
    await far.send_all(sent)
    with pytest.raises(TLSError, match=rf"^{reason}"):
        await client.handshake()
    with pytest.raises(TLSError, match=rf"^{reason}"):
        await client.send_all(b"x")
