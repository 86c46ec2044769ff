"""Filters with regular expressions that are refused, or that take long."""

from __future__ import annotations

import pytest
import trio

from tests.support.peer import STREAMS, UNKNOWN, Call, Peer, kinds, read_request
from trio_esdb._wire import Status

EXPONENTIAL = "^(a|b)*a(a|b){200}c"
"""A pattern with so many states that none comes up twice in a text of random characters."""


def regex(pattern: str) -> dict[str, object]:
    return {"event_type": {"regex": pattern}, "count": {}, "checkpointIntervalMultiplier": 1}


def long_type(length: int) -> str:
    return "".join("ab"[int(bit)] for number in range(length) for bit in f"{number:b}")[:length]


@pytest.mark.parametrize("subscribe", [False, True])
async def test_an_unsupported_pattern_is_named(peer: Peer, subscribe: bool) -> None:
    request = read_request(filter=regex(r"(a)\1"), subscribe=subscribe)
    messages, outcome = await peer.ask(STREAMS + "Read", request)
    assert messages == []
    assert outcome.status is Status.UNKNOWN
    assert outcome.message == (
        f"{UNKNOWN} The embedded node does not support this in a filter's regular expression: "
        "back-references, and octal escapes that do not begin with 0."
    )


TOO_LONG = (
    f"{UNKNOWN} The embedded node takes too long to match the filter's regular expression with 20000 characters that "
    f"begin with '{long_type(40)}'."
)


async def test_a_read_ends_at_a_type_that_takes_too_long(peer: Peer) -> None:
    await peer.append("s", peer.event(type="ba" * 101 + "c"), peer.event(type=long_type(20_000)), peer.event())
    messages, outcome = await peer.ask(STREAMS + "Read", read_request(filter=regex(EXPONENTIAL)))
    assert messages == []
    assert (outcome.status, outcome.message) == (Status.UNKNOWN, TOO_LONG)


async def live(call: Call) -> None:
    while "caught_up" not in await call.receive():
        pass


async def test_a_live_subscription_ends_there_and_its_writer_does_not(peer: Peer) -> None:
    call = peer.subscribe(filter=regex(EXPONENTIAL + "|^T$"))
    await live(call)
    await peer.append("s", peer.event(), peer.event(type=long_type(20_000)), peer.event())
    assert kinds([await call.receive()]) == [0]
    outcome = await call.end()
    assert (outcome.status, outcome.message) == (Status.UNKNOWN, TOO_LONG)
    assert await peer.numbers("s") == [0, 1, 2]


async def test_much_matching_is_left_to_catching_up(peer: Peer) -> None:
    call = peer.subscribe(filter=regex(EXPONENTIAL + "|^T$"))
    await live(call)
    text = long_type(40_000)
    slow = [peer.event(type=text[start : start + 400]) for start in range(0, 40_000, 400)]
    await peer.append("s", peer.event(), *slow, peer.event())
    told = []
    while 101 not in told:
        told += kinds([await call.receive()])
    assert [number for number in told if isinstance(number, int)] == [0, 101]
    assert "caught_up" not in told
    await trio.testing.wait_all_tasks_blocked()
    await peer.append("s", peer.event())
    while 102 not in told:
        told += kinds([await call.receive()])
    assert told.count(102) == 1
    assert told.count("caught_up") == 1
