"""Streams in memory are streams as trio defines them."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from trio_esdb.embedded._memory import MemoryStream, memory_streams


async def pair() -> tuple[MemoryStream, MemoryStream]:
    return memory_streams()


async def clogged() -> tuple[MemoryStream, MemoryStream]:
    left, right = memory_streams()
    for end in (left, right):
        end._outgoing.chunks.append(bytes(1 << 20))
        end._outgoing.size = 1 << 20
    return left, right


def test_as_trio_defines_them() -> None:
    trio.run(trio.testing.check_two_way_stream, pair, clogged)


async def test_a_sender_far_ahead_waits() -> None:
    left, right = memory_streams()
    with trio.move_on_after(1) as scope:
        await left.send_all(bytes(1 << 20))
    assert scope.cancelled_caught
    assert len(await right.receive_some()) == 1 << 20


async def test_pieces() -> None:
    left, right = memory_streams()
    await left.send_all(b"abcdef")
    assert await right.receive_some(4) == b"abcd"
    assert await right.receive_some(4) == b"ef"
    with pytest.raises(ValueError, match="max_bytes"):
        await right.receive_some(0)
