"""The node's time: the time of day where the clock is real, a fixed date under a mock clock and on request."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import trio
import trio.testing

from tests.embedded.services.test_node import created
from tests.support.peer import STREAMS, Peer, connected, kinds, read_request
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.embedded._clock import FIRST_DAY, clock_is_mock, ticks_of

TICKS = 10**7


class Custom(trio.abc.Clock):
    """A clock of somebody's own, whose seconds pass at this rate."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._start = time.perf_counter()

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return (time.perf_counter() - self._start) * self._rate

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return (deadline - self.current_time()) / self._rate if self._rate else math.inf


@pytest.mark.parametrize(
    ("clock", "mock"),
    [
        (lambda: None, False),
        (lambda: Custom(1), False),
        (lambda: Custom(1000), True),
        (lambda: Custom(0), True),
        (lambda: trio.testing.MockClock(), True),
        (lambda: trio.testing.MockClock(rate=1), True),
        (lambda: trio.testing.MockClock(autojump_threshold=0), True),
    ],
)
def test_which_clocks_are_mock(clock: Callable[[], trio.abc.Clock | None], mock: bool) -> None:
    async def main() -> bool:
        return clock_is_mock()

    assert trio.run(main, clock=clock()) is mock


async def times_of(node: EmbeddedNode) -> list[int]:
    async with connected(node) as peer:
        await peer.append("s", peer.event())
        return await created(peer)


def test_the_time_of_day_where_the_clock_is_real() -> None:
    async def main() -> list[int]:
        async with EmbeddedNode() as node:
            return await times_of(node)

    before = time.time_ns() // 100
    (recorded,) = trio.run(main)
    assert before <= recorded <= time.time_ns() // 100


def test_a_fixed_date_on_request() -> None:
    start = datetime(2020, 2, 29, 12, tzinfo=UTC)

    async def main() -> list[int]:
        async with EmbeddedNode(start=start) as node:
            return await times_of(node)

    (recorded,) = trio.run(main)
    assert 0 <= recorded - ticks_of(start) < 3600 * TICKS


async def test_a_mock_clock_and_another_start() -> None:
    async with EmbeddedNode(start=FIRST_DAY - timedelta(days=1)) as node:
        await trio.sleep(86_400)
        assert await times_of(node) == [ticks_of(FIRST_DAY)]


def test_arguments_that_make_no_clock() -> None:
    with pytest.raises(ValueError, match="not both"):
        EmbeddedNode(clock=lambda: FIRST_DAY, start=FIRST_DAY)
    with pytest.raises(ValueError, match="time zone"):
        EmbeddedNode(start=datetime(2020, 1, 1))
    with pytest.raises(ValueError, match="time zone"):
        ticks_of(datetime(2020, 1, 1))


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_batch_with_a_deadline_as_a_point_in_time(seconds: int) -> None:
    """The client's clock is the time of day, so the node's must be."""

    def batch(peer: Peer) -> dict[str, object]:
        return {
            "correlation_id": {"string": "00000000-0000-4000-8000-000000000001"},
            "options": {
                "stream_identifier": {"stream_name": b"s"},
                "any": {},
                "deadline_21_10_0": {"seconds": int(time.time()) + seconds},
            },
            "proposed_messages": [peer.event()],
            "is_final": True,
        }

    async def main() -> tuple[str, list[object]]:
        async with EmbeddedNode() as node, connected(node) as peer:
            call = peer.call(STREAMS + "BatchAppend").send(batch(peer))
            reply = await call.receive()
            found, _ = await peer.ask(STREAMS + "Read", read_request("s"))
            call.cancel()
            return ("error" if "error" in reply else "success"), kinds(found)

    assert trio.run(main) == (("success", [0]) if seconds > 0 else ("error", ["stream_not_found"]))
