"""A group without a node: who gets what, and when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from trio_esdb.embedded._groups import Candidate, Consumer, Group, GroupSettings, Item, Place, Skipped
from trio_esdb.embedded._groups._buckets import bucket_of
from trio_esdb.embedded._groups._consumers import correlation_of, stream_of
from trio_esdb.embedded._store import Record

SETTINGS = GroupSettings(
    message_timeout=30_000,
    max_retry_count=2,
    checkpoint_after=2_000,
    min_checkpoint_count=2,
    max_checkpoint_count=5,
    live_buffer_size=10,
    history_buffer_size=10,
    read_batch_size=4,
    strategy="RoundRobin",
)


def candidate(number: int, *, id: int | None = None, stream: str = "s", metadata: bytes = b"") -> Candidate:
    """An event of the source; its id is 100 more than its number."""
    record = Record(stream, number, number, number + 100 if id is None else id, "T", b"", metadata, False, 0)
    return Candidate(number, record, record)


class Outside:
    """What is around a group: a source of so many events, parked events, and checkpoints."""

    def __init__(self, events: int = 0, after: Place | None = -1, **settings: Any) -> None:
        self.events = [candidate(number) for number in range(events)]
        self.wanted: list[tuple[Place, int]] = []
        self.parked: list[tuple[int, str]] = []
        self.parks_later = False
        self.parking: list[Item] = []
        self.checkpoints: list[Place] = []
        self.now = 0.0
        values = {name: getattr(SETTINGS, name) for name in SETTINGS.__slots__} | settings
        self.group = Group(GroupSettings(**values), after, self)
        self.group.begin(self.now)

    def want_page(self, after: Place, size: int) -> None:
        self.wanted.append((after, size))

    def park(self, item: Item, reason: str) -> bool:
        self.parked.append((item.candidate.place, reason))
        if self.parks_later:
            self.parking.append(item)
        return not self.parks_later

    def write_checkpoint(self, place: Place) -> None:
        self.checkpoints.append(place)

    def read(self) -> None:
        """Read all pages that are wanted."""
        while self.wanted:
            after, size = self.wanted.pop()
            page = self.events[after + 1 : after + 1 + size]
            self.group.page_read(page, None, after + 1 + size >= len(self.events), self.now)

    def write(self, *numbers: int) -> None:
        """Write further events."""
        new = [candidate(number) for number in numbers]
        self.events += new
        self.group.written(new, self.now)

    def connect(self, size: int = 100) -> Taking:
        taking = Taking(self, size)
        self.group.connect(taking.consumer, self.now)
        return taking

    def tick(self, seconds: float = 1) -> None:
        self.now += seconds * 1000
        self.group.tick(self.now)


class Taking:
    """A consumer, and what it got: the number of each event and how often it was retried."""

    def __init__(self, outside: Outside, size: int) -> None:
        self.got: list[tuple[int, int]] = []
        self.outside = outside
        self.consumer = Consumer(size, lambda item: self.got.append((item.candidate.place, item.retries)))

    def take(self) -> list[tuple[int, int]]:
        got, self.got[:] = list(self.got), []
        return got

    def ack(self, *numbers: int) -> None:
        self.outside.group.ack([number + 100 for number in numbers], self.outside.now)

    def nack(self, settlement: Any, *numbers: int, reason: str = "") -> None:
        self.outside.group.nack([number + 100 for number in numbers], settlement, reason, self.outside.now)

    def leave(self) -> None:
        self.outside.group.disconnect(self.consumer, self.outside.now)


def first(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """These events, for the first time."""
    return [(number, 0) for number in numbers]


def test_what_was_written_then_what_is_written() -> None:
    outside = Outside(events=6)
    consumer = outside.connect()
    outside.read()
    assert outside.group.live
    outside.write(6, 7)
    assert consumer.take() == first(range(8))


def test_a_group_from_the_end_gets_new_events_only() -> None:
    outside = Outside(events=3, after=None)
    consumer = outside.connect()
    outside.write(3)
    assert outside.wanted == []
    assert consumer.take() == first([3])


def test_events_written_while_it_reads_come_once_and_in_order() -> None:
    outside = Outside(events=3)
    consumer = outside.connect()
    outside.write(3, 4)
    outside.read()
    assert consumer.take() == first(range(5))
    assert outside.group.live


def test_reading_stops_when_the_buffer_is_full() -> None:
    outside = Outside(events=100)
    outside.read()
    assert outside.group.buffered == 8  # pages of 4, and a further one must fit 10
    assert not outside.group.reading
    consumer = outside.connect(size=3)
    outside.read()
    assert consumer.take() == first(range(3))
    assert outside.group.buffered == 9


def test_a_live_group_whose_buffer_is_full_reads_again() -> None:
    outside = Outside(after=None)
    outside.write(*range(15))
    assert not outside.group.live
    assert outside.group.status == "Behind"
    consumer = outside.connect()
    assert outside.group.status == "Behind, OutstandingPageRequest"
    outside.read()
    assert consumer.take() == first(range(15))
    assert outside.group.status == "Live"


def test_each_consumer_has_no_more_than_its_size() -> None:
    outside = Outside(events=6)
    one, two = outside.connect(2), outside.connect(3)
    outside.read()
    assert (one.take(), two.take()) == (first([0, 2]), first([1, 3, 4]))
    one.ack(0)
    assert one.take() == first([5])


def test_dispatch_to_single_fills_the_first_one() -> None:
    outside = Outside(events=6, strategy="DispatchToSingle")
    one, two = outside.connect(3), outside.connect(3)
    outside.read()
    assert (one.take(), two.take()) == (first(range(3)), first([3, 4, 5]))


def test_retried_at_once_and_before_others_until_the_limit() -> None:
    outside = Outside(events=2)
    consumer = outside.connect(1)
    outside.read()
    for retries in range(3):
        assert consumer.take() == [(0, retries)]
        consumer.nack("retry", 0)
    assert outside.parked == [(0, "Reached retry count of 2")]
    assert consumer.take() == first([1])


def test_parked_and_skipped_events_are_done() -> None:
    outside = Outside(events=3)
    consumer = outside.connect()
    outside.read()
    consumer.nack("park", 0, reason="bad")
    consumer.nack("skip", 1)
    consumer.ack(2)
    assert outside.parked == [(0, "Client explicitly NAK'ed message.\nbad")]
    assert outside.group.outstanding == {}
    outside.tick()
    assert outside.checkpoints == [2]


def test_events_time_out_at_a_tick() -> None:
    outside = Outside(events=1, message_timeout=500)
    consumer = outside.connect()
    outside.read()
    assert consumer.take() == first([0])
    outside.tick(0.4)
    assert consumer.take() == []
    outside.tick()
    assert consumer.take() == [(0, 1)]
    consumer.ack(0)
    outside.tick()
    assert consumer.take() == []


def test_what_a_consumer_had_comes_again_and_is_never_parked_for_that() -> None:
    outside = Outside(events=2)
    for retries in range(5):
        consumer = outside.connect()
        outside.read()
        assert consumer.take() == [(0, retries), (1, retries)]
        consumer.leave()
    assert outside.parked == []
    assert len(outside.group.retries) == 2


def test_another_consumer_gets_it_at_once() -> None:
    outside = Outside(events=1)
    one, two = outside.connect(), outside.connect()
    outside.read()
    assert (one.take(), two.take()) == (first([0]), [])
    one.leave()
    assert two.take() == [(0, 1)]


def test_any_consumer_may_ack() -> None:
    outside = Outside(events=1)
    one, two = outside.connect(), outside.connect()
    outside.read()
    two.ack(0)
    assert one.consumer.free == 100
    assert outside.group.outstanding == {}


def test_unknown_ids_are_ignored() -> None:
    outside = Outside(events=1)
    consumer = outside.connect()
    outside.read()
    consumer.ack(17)
    consumer.nack("park", 18)
    assert outside.parked == []
    assert list(outside.group.outstanding) == [100]


def test_of_two_events_with_one_id_the_first_ack_settles_both() -> None:
    outside = Outside(after=None)
    consumer = outside.connect()
    outside.group.written([candidate(0, id=7), candidate(1), candidate(2, id=7)], outside.now)
    assert consumer.take() == first(range(3))
    outside.group.ack([7], outside.now)
    assert list(outside.group.outstanding) == [101]


def test_replayed_events_come_after_the_others_and_checkpoints_do_not_know_them() -> None:
    outside = Outside(events=2)
    outside.read()
    outside.group.replay([candidate(50)], outside.now)
    consumer = outside.connect()
    assert consumer.take() == [(50, 0), (0, 0), (1, 0)]
    consumer.ack(0, 1)
    outside.tick()
    assert outside.checkpoints == [1]
    consumer.leave()
    again = outside.connect()
    assert again.take() == [(50, 1)]


# -- checkpoints ------------------------------------------------------------------------------------------------------


def test_no_checkpoint_before_the_first_event_is_done() -> None:
    outside = Outside(events=8)
    consumer = outside.connect()
    outside.read()
    consumer.ack(1, 2, 3, 4, 5, 6, 7)
    outside.tick(5)
    assert outside.checkpoints == []


def test_a_checkpoint_after_so_many_events() -> None:
    outside = Outside(events=8)
    consumer = outside.connect()
    outside.read()
    consumer.ack(0, 1, 2, 3)
    assert outside.checkpoints == []
    consumer.ack(4)
    assert outside.checkpoints == [4]
    consumer.ack(5, 7)
    assert outside.checkpoints == [4]


def test_a_checkpoint_after_some_time_if_enough_is_done() -> None:
    outside = Outside(events=8)
    consumer = outside.connect()
    outside.read()
    consumer.ack(0, 1)
    outside.tick()
    assert outside.checkpoints == [1], "the first one has waited since the beginning of time"
    consumer.ack(2)
    outside.tick(10)
    assert outside.checkpoints == [1], "one event is less than the minimum"
    consumer.ack(3)
    outside.tick()
    assert outside.checkpoints == [1, 3]
    consumer.ack(4, 5)
    outside.tick()
    assert outside.checkpoints == [1, 3], "the time has not passed"
    outside.tick(1.5)
    assert outside.checkpoints == [1, 3, 5]


def test_a_checkpoint_stays_before_what_is_to_be_retried() -> None:
    outside = Outside(events=8)
    consumer = outside.connect()
    outside.read()
    consumer.ack(0, 1, 3, 4, 5, 6, 7)
    consumer.leave()
    outside.tick()
    assert outside.checkpoints == [1]


def test_events_that_the_filter_leaves_out_count() -> None:
    outside = Outside(after=None)
    outside.connect()
    outside.group.written([Skipped(40, 5)], outside.now)
    outside.tick()
    assert outside.checkpoints == [40]


def test_never_by_time_or_at_every_tick() -> None:
    never, always = Outside(events=4, checkpoint_after=0), Outside(events=1, max_checkpoint_count=0)
    for outside in (never, always):
        consumer = outside.connect()
        outside.read()
        consumer.ack(0, 1, 2, 3)
        outside.tick(1000)
        outside.tick(1000)
    assert never.checkpoints == []
    assert len(always.checkpoints) == 3
    assert always.group.needs_ticks


def test_a_group_that_waits_for_nothing_needs_no_ticks() -> None:
    outside = Outside(events=2)
    outside.read()
    assert not outside.group.needs_ticks
    consumer = outside.connect()
    assert outside.group.needs_ticks
    consumer.ack(0, 1)
    outside.tick()
    assert outside.checkpoints == [1]
    assert not outside.group.needs_ticks


# -- pinned -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["Pinned", "PinnedByCorrelation"])
def test_pinned_events_pass_those_whose_consumer_has_no_room(strategy: str) -> None:
    outside = Outside(after=None, strategy=strategy)
    one, two = outside.connect(1), outside.connect(10)
    keys = ["a", "b", "a", "b", "a"]
    events = [
        candidate(
            number, stream=key if strategy == "Pinned" else "s", metadata=b'{"$correlationId": "%s"}' % key.encode()
        )
        for number, key in enumerate(keys)
    ]
    outside.group.written(events, outside.now)
    assert (one.take(), two.take()) == (first([0]), first([1, 3]))
    one.ack(0)
    assert (one.take(), two.take()) == (first([2]), [])
    one.leave()
    assert two.take() == [(2, 1), (4, 0)]


def test_a_new_consumer_takes_over_the_buckets_that_are_more_than_a_share() -> None:
    outside = Outside(after=None, strategy="Pinned", history_buffer_size=10_000)
    one = outside.connect(10_000)
    streams = [f"stream-{number}" for number in range(3000)]
    outside.group.written([candidate(n, stream=stream) for n, stream in enumerate(streams)], outside.now)
    assert len(one.take()) == 3000
    two = outside.connect(10_000)
    outside.group.written([candidate(3000 + n, stream=stream) for n, stream in enumerate(streams)], outside.now)
    kept, moved = len(one.take()), len(two.take())
    assert kept + moved == 3000
    assert 600 < moved < 1500
    one.leave()
    outside.group.written([candidate(6000 + n, stream=stream) for n, stream in enumerate(streams)], outside.now)
    assert len(two.take()) == 6000 + kept


def test_pinned_to_nobody() -> None:
    outside = Outside(after=None, strategy="Pinned")
    outside.write(0)
    assert outside.group.buffered == 1
    consumer = outside.connect()
    assert consumer.take() == first([0])


# -- the checkpoint is never beyond what is not done -----------------------------------------------------------------


def test_no_checkpoint_is_beyond_an_event_that_is_not_yet_in_the_parked_stream() -> None:
    outside = Outside(10, max_checkpoint_count=1)
    outside.parks_later = True
    outside.read()
    taking = outside.connect()
    outside.group.nack([100], "park", "", outside.now)
    outside.group.ack([101, 102], outside.now)
    assert outside.checkpoints == []
    outside.group.parked(outside.parking[0], outside.now)
    assert outside.checkpoints == [2]
    assert [number for number, _ in taking.got][:3] == [0, 1, 2]


def test_no_checkpoint_is_beyond_an_event_that_others_have_passed() -> None:
    outside = Outside(after=None, strategy="Pinned", max_checkpoint_count=1)
    outside.connect(1)
    outside.connect(1)
    first, second, third = (
        candidate(0, stream="a"),
        candidate(1, stream="a"),
        next(each for number in range(100) if _other_owner(each := candidate(2, stream=f"b{number}"))),
    )
    outside.group.written([first, second, third], outside.now)
    assert set(outside.group.outstanding) == {100, 102}
    outside.group.ack([102], outside.now)
    assert outside.checkpoints == []
    outside.group.ack([100], outside.now)
    assert outside.checkpoints == [0]
    outside.group.ack([101], outside.now)
    assert outside.checkpoints == [0, 2]


def _other_owner(other: Candidate) -> bool:
    return bucket_of(other.record.stream) != bucket_of("a")


@pytest.mark.parametrize(
    ("data", "stream"), [(b"7@orders-1", "orders-1"), (b"nonsense", "links"), (b"7@", "links")], ids=range(3)
)
def test_a_link_that_is_not_resolved_has_the_stream_that_it_names(data: bytes, stream: str) -> None:
    link = Record("links", 0, 0, 1, "$>", data, b"", False, 0)
    assert stream_of(Candidate(0, link, link)) == stream
    assert stream_of(Candidate(0, link, None, linked=True)) == stream


@pytest.mark.parametrize("metadata", [b"", b"[]", b"{", b'{"$correlationId": 7}', b'{"other": "x"}'], ids=range(5))
def test_without_a_correlation_id_the_stream_counts(metadata: bytes) -> None:
    assert correlation_of(candidate(0, metadata=metadata)) == "s"
    assert correlation_of(candidate(0, metadata=b'{"$correlationId": "x"}')) == "x"
