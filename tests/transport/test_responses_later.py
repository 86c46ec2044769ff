"""A handler that returns ``Later`` is answered when that is done, and other calls go on meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator

import pytest
import trio
import trio.testing

from tests.support import http2
from tests.support.links import Hand, headers, server_by_hand
from trio_esdb._transport._handlers import Failure, Later, ServerCall, SyncHandler
from trio_esdb._wire import Code, Status


def later(respond: Callable[[], Awaitable[bytes]]) -> SyncHandler:
    """A handler that answers so after all requests."""

    def run(_: ServerCall) -> Generator[None, bytes | None, Later]:
        while (yield) is not None:
            pass
        return Later(respond)

    return SyncHandler(run)


def at_once(_: ServerCall) -> Generator[None, bytes | None, bytes]:
    yield
    yield
    return b"now"


def ask(hand: Hand, stream_id: int, path: str, timeout: str | None = None) -> None:
    more = () if timeout is None else (("grpc-timeout", timeout),)
    hand.put(
        hand.headers(stream_id, headers(path, *more)),
        http2.data(stream_id, http2.message(b"a")),
        http2.data(stream_id, b"", end=True),
    )


async def statuses(hand: Hand) -> list[tuple[int, str | Code]]:
    """Streams and how they ended, in the order of their ends."""
    found: list[tuple[int, str | Code]] = []
    for sent in await hand.heard():
        if sent.kind == http2.HEADERS and "grpc-status" in (told := hand.told(sent)):
            found.append((sent.stream_id, told["grpc-status"]))
        elif sent.kind == http2.RST_STREAM:
            found.append((sent.stream_id, Code(sent.number)))
    return found


async def test_other_calls_go_on() -> None:
    go_on = trio.Event()

    async def respond() -> bytes:
        await go_on.wait()
        return b"then"

    async with server_by_hand({"/later": later(respond), "/now": SyncHandler(at_once)}) as hand:
        ask(hand, 1, "/later")
        ask(hand, 3, "/now")
        assert await statuses(hand) == [(3, "0")]
        go_on.set()
        assert await statuses(hand) == [(1, "0")]


@pytest.mark.parametrize("error", [Failure(Status.NOT_FOUND, "gone"), RuntimeError("a bug")])
async def test_it_fails(
    error: Exception, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    async def respond() -> bytes:
        await trio.sleep(1)
        raise error

    async with server_by_hand({"/later": later(respond)}) as hand:
        ask(hand, 1, "/later")
        assert await statuses(hand) == []
        await trio.sleep(2)
        ((stream, status),) = await statuses(hand)
        assert stream == 1
        assert (status == "5") == isinstance(error, Failure)
        assert bool(caplog.records) != isinstance(error, Failure)


@pytest.mark.parametrize("error", [None, Failure(Status.NOT_FOUND, "gone"), RuntimeError("a bug")])
@pytest.mark.parametrize("end", ["deadline", "reset"])
async def test_the_call_ends_before_it_is_done(
    end: str, error: Exception | None, autojump_clock: trio.testing.MockClock
) -> None:
    done = False

    async def respond() -> bytes:
        nonlocal done
        await trio.sleep(2)
        done = True
        if error is not None:
            raise error
        return b"too late"

    async with server_by_hand({"/later": later(respond)}) as hand:
        ask(hand, 1, "/later", "1S" if end == "deadline" else None)
        assert await statuses(hand) == []
        if end == "reset":
            hand.put(http2.rst_stream(1, Code.CANCEL))
        await trio.sleep(1.5)
        assert await statuses(hand) == ([(1, "4")] if end == "deadline" else [])
        await trio.sleep(1)
        assert await statuses(hand) == []
        assert done
