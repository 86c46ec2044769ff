"""A client with windows of any size that does not read its socket makes the node hold only little for it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.conformance import driver
from tests.conformance.records import schema
from tests.support import http2
from tests.support.links import headers, unknown
from tests.support.peer import STREAMS, Peer, read_request
from trio_esdb._transport._serving import ServerLink
from trio_esdb.embedded import EmbeddedNode

CALLS = 20
EVENT = b"x" * 50_000


class Silent(trio.abc.Stream):
    """The node's end of a connection whose client sends what it has and never reads."""

    def __init__(self, sent: bytes) -> None:
        self._sent = sent

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.sleep_forever()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.sleep_forever()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._sent:
            await trio.sleep_forever()
        portion, self._sent = self._sent[:max_bytes], self._sent[max_bytes:]
        return portion

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


def reads(subscribe: bool) -> bytes:
    """A client with the largest windows there are, and its calls."""
    asked, _ = schema().methods[STREAMS + "Read"]
    request = driver.build(schema().cls(asked)(), read_request("s", subscribe=subscribe))
    body = http2.message(request.SerializeToString())
    encoder = http2.without_table()
    block = encoder.encode(list(headers(STREAMS + "Read")))
    return b"".join(
        (
            http2.PREFACE,
            http2.settings((4, 2**31 - 1)),
            http2.window_update(0, 2**31 - 1 - 65_535),
            *(
                http2.frame(http2.HEADERS, http2.END_HEADERS, 2 * n + 1, block) + http2.data(2 * n + 1, body, end=True)
                for n in range(CALLS)
            ),
        )
    )


@pytest.mark.parametrize("subscribe", [False, True], ids=["reads", "subscriptions"])
async def test_what_is_encoded_ahead_is_bounded(node: EmbeddedNode, peer: Peer, subscribe: bool) -> None:
    async def fill() -> None:
        for _ in range(10):
            await peer.append("s", *(peer.event(EVENT) for _ in range(20)))

    await fill()
    link = ServerLink(Silent(reads(subscribe)), node._methods, unknown)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        await wait_all_tasks_blocked()
        if subscribe:
            await fill()
            await wait_all_tasks_blocked()
        assert len(link.core.streams) == CALLS
        held = link.core.output_size + sum(stream.unsent for stream in link.core.streams.values())
        assert held < CALLS * 4 * len(EVENT) + 512 * 1024, "a portion and an event for each call, and the queue"
        nursery.cancel_scope.cancel()
