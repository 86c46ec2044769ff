"""When a silent peer is asked for a sign of life, and when it is given up; without a clock."""

from __future__ import annotations

import math
import random

import pytest

from tests.support import http2
from tests.support.http2 import BareClient, BareServer, Sent
from trio_esdb._wire import Code, GoawayReceived, KeepAlive, Watch
from trio_esdb._wire._flow_control import PROBE

ALIVE = Sent(http2.PING, 0, 0, bytes(8))


class Watched:
    """A connection by hand whose time the test tells."""

    def __init__(self, keep_alive: KeepAlive, *, calls: int = 1) -> None:
        self.keep_alive = keep_alive
        self.server = BareServer()
        self.streams = [self.server.call() for _ in range(calls)]
        self.watch = Watch(keep_alive)
        self.server.sent()
        self.hear(0.0)

    def hear(self, now: float, raw: bytes = http2.window_update(0, 1)) -> None:
        self.server.core.receive_data(raw, now)

    def look(self, now: float) -> float | None:
        return self.watch.look(self.server.core, now)

    @property
    def pings(self) -> int:
        sent = self.server.sent()
        assert all(each == ALIVE for each in sent)
        return len(sent)


def test_a_silent_peer_is_asked_once_and_then_given_up() -> None:
    it = Watched(KeepAlive(10, 3))
    assert it.look(0.0) == 10
    assert it.look(9.9) == 10
    assert it.pings == 0
    assert it.look(10.0) == 13
    assert it.pings == 1
    assert it.look(12.9) == 13
    assert it.pings == 0
    assert it.look(13.0) is None
    assert it.watch.lost == "no answer to a PING for 3 s, the peer is frozen or cannot be reached"


@pytest.mark.parametrize(
    "answer",
    [
        http2.frame(http2.PING, http2.ACK, 0, bytes(8)),
        http2.window_update(0, 1),
        b"\0",  # not even a whole frame
    ],
)
@pytest.mark.parametrize("at", [10.0, 12.9])
def test_any_byte_is_an_answer(answer: bytes, at: float) -> None:
    it = Watched(KeepAlive(10, 3))
    it.look(10.0)
    it.hear(at, answer)
    assert it.look(13.0) == at + 10
    assert it.pings == 1


def test_a_peer_that_sends_is_never_asked() -> None:
    it = Watched(KeepAlive(10, 3))
    due: float | None = it.look(0.0)
    for second in range(9, 1000, 9):
        it.hear(second)
        assert due is not None
        if due <= second:
            due = it.look(due)
    assert it.pings == 0


def test_without_calls_nobody_is_asked_and_nobody_looks() -> None:
    it = Watched(KeepAlive(10, 3), calls=0)
    assert it.look(0.0) == math.inf
    assert it.look(5000.0) == math.inf
    assert it.pings == 0


def test_a_call_on_a_connection_that_was_silent_begins_with_a_ping() -> None:
    it = Watched(KeepAlive(10, 3), calls=0)
    assert it.look(5000.0) == math.inf
    it.server.call()
    it.server.sent()
    assert it.look(5000.0) == 5003
    assert it.pings == 1
    assert it.look(5003.0) is None


def test_a_call_on_a_connection_that_was_silent_for_a_little() -> None:
    it = Watched(KeepAlive(10, 3), calls=0)
    assert it.look(4.0) == math.inf
    it.server.call()
    it.server.sent()
    assert it.look(4.0) == 10
    assert it.pings == 0


def test_what_was_asked_is_waited_for_also_after_the_last_call() -> None:
    """Else calls with short deadlines would never find out that their connection is dead."""
    it = Watched(KeepAlive(10, 10))
    assert it.look(10.0) == 20
    it.server.core.reset(it.streams[0])
    assert it.look(15.0) == 20
    assert it.look(20.0) is None


def test_an_answer_after_the_last_call_ends_the_watch() -> None:
    it = Watched(KeepAlive(10, 10))
    it.look(10.0)
    it.server.core.reset(it.streams[0])
    it.hear(11.0)
    assert it.look(20.0) == math.inf


def test_without_calls_too_if_that_is_asked_for() -> None:
    it = Watched(KeepAlive(10, 3, without_calls=True), calls=0)
    assert it.look(0.0) == 10
    assert it.look(10.0) == 13
    assert it.pings == 1
    assert it.look(13.0) is None


def test_a_peer_is_never_given_up_if_the_timeout_is_off() -> None:
    it = Watched(KeepAlive(10, math.inf))
    it.look(0.0)
    due: float | None = 10.0
    for _ in range(100):
        assert due is not None
        due = it.look(due)
    assert due == 10 + 100 * 10
    assert it.pings == 1, "TCP repeats the first one"
    it.hear(due)
    assert it.look(due) == due + 10


@pytest.mark.parametrize(("interval", "timeout"), [(10, 10), (10, 3), (3, 10), (2, 60), (60, 2)])
@pytest.mark.parametrize("seed", range(5))
def test_the_bounds_hold_whenever_bytes_come(interval: float, timeout: float, seed: int) -> None:
    """PINGs are an interval apart at least, and a silence ends the connection exactly interval and timeout after it."""
    rng = random.Random(seed)
    it = Watched(KeepAlive(interval, timeout))
    last, asked = 0.0, -math.inf
    now: float | None = it.look(0.0)
    looks = 0
    for _ in range(200):
        gap = rng.choice([0.01, interval - 0.01, interval + 0.01, interval + timeout - 0.01, interval * 2])
        byte_at = last + min(gap, interval + timeout - 0.01)
        while now is not None and now <= byte_at:
            at, now, looks = now, it.look(now), looks + 1
            if it.pings:
                assert at - asked >= interval
                asked = at
        assert now is not None, "it was given up though bytes came in time"
        it.hear(byte_at)
        last = byte_at
    while now is not None:
        at, now = now, it.look(now)
    assert at == pytest.approx(last + interval + timeout)
    assert looks <= 3 * last / min(interval, timeout)


@pytest.mark.parametrize("bad", [0, -1, math.nan])
def test_times_that_make_no_sense(bad: float) -> None:
    with pytest.raises(ValueError, match="must be more than 0 s"):
        KeepAlive(bad, 10)
    with pytest.raises(ValueError, match="must be more than 0 s"):
        KeepAlive(10, bad)


def test_it_is_off_unless_it_is_asked_for() -> None:
    assert Watch(KeepAlive()).idle
    assert not Watch(KeepAlive(1)).idle
    assert repr(KeepAlive(10, 2.5)) == "KeepAlive(10, 2.5, without_calls=False)"


def test_a_server_that_finds_the_pings_too_many() -> None:
    """gRPC proposal A8: the interval is doubled, for the client's further connections too."""
    keep_alive = KeepAlive(10, 3)
    first, second = Watch(keep_alive), Watch(keep_alive)
    first.slow_down()
    assert keep_alive.interval == 20
    second.slow_down()
    assert keep_alive.interval == 20, "both had the same interval"
    Watch(keep_alive).slow_down()
    assert keep_alive.interval == 40
    it = Watched(keep_alive)
    assert it.look(0.0) == 40


@pytest.mark.parametrize(
    ("code", "debug", "too_many"),
    [
        (Code.ENHANCE_YOUR_CALM, b"too_many_pings", True),
        (Code.ENHANCE_YOUR_CALM, b"", False),
        (Code.NO_ERROR, b"too_many_pings", False),
    ],
)
def test_how_a_server_says_so(code: int, debug: bytes, too_many: bool) -> None:
    server = BareServer()
    server.call()
    assert server.feed(http2.goaway(2**31 - 1, code, debug)) == [GoawayReceived(True, too_many)]
    assert server.feed(http2.goaway(1, code, debug)) == [GoawayReceived(False, too_many)]


def test_a_ping_of_keepalive_is_not_taken_for_one_that_measures_a_window() -> None:
    it = Watched(KeepAlive(10, 3))
    core, (stream,) = it.server.core, it.streams
    core._send_probe(stream)
    it.look(10.0)
    probe, alive = it.server.sent()
    assert (probe.payload, alive.payload) == (PROBE, bytes(8))
    it.hear(11.0, http2.frame(http2.PING, http2.ACK, 0, alive.payload))
    assert core._probe is not None, "the round trip is not over yet"
    it.hear(12.0, http2.frame(http2.PING, http2.ACK, 0, probe.payload))
    assert core._probe is None


def test_a_server_can_ask_too() -> None:
    client = BareClient()
    watch = Watch(KeepAlive(10, 10, without_calls=True))
    client.core.receive_data(http2.settings(), 100.0)
    client.sent()
    assert watch.look(client.core, 110.0) == 120
    assert client.sent() == [ALIVE]
    assert watch.look(client.core, 120.0) is None
