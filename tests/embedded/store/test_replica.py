"""The data of a node in a cluster: replication, the commit point, and what is cut off."""

from __future__ import annotations

import pytest

from tests.support.replicas import contents, follow, written
from tests.support.stores import NOW, event, events, many, numbers, read_all, visible
from trio_esdb.embedded._store import (
    ANY,
    LAST_NUMBER,
    NO_STREAM,
    Append,
    Delete,
    Proposal,
    Record,
    StreamDeleted,
    Tombstone,
    Written,
    WrongExpectation,
)
from trio_esdb.embedded._store._log import FIRST_END
from trio_esdb.embedded._store._replica import Interrupted, Replica

LEADER = 7


def leader() -> Replica:
    replica = Replica()
    replica.begin_epoch(LEADER, NOW)
    return replica


def metadata(stream: str, text: bytes, key: int, *, is_json: bool = True) -> Append:
    return Append("$$" + stream, ANY, [event(10**6 + key, type="$metadata", data=text, is_json=is_json)])


def every_kind_of_write(replica: Replica) -> None:
    for write in (
        Append("s", NO_STREAM, many(3)),
        metadata("s", b'{"$maxCount":2,"$acl":{"$r":"me"}}', 0),
        Delete("s", ANY),
        Append("s", ANY, []),
        Append("t", ANY, events(10)),
        Delete("t", 0),
        Append("t", 0, events(11, 12)),
        metadata("u", b'{"$tb":9223372036854775807}', 1, is_json=False),
        Append("u", ANY, events(20)),
        Append("u", 0, events(21)),
        Delete("$$t", ANY),
        metadata("t", b"{}", 2),
        Append("empty", ANY, []),
        Tombstone("gone", ANY),
        Append("v", ANY, events(30)),
        Tombstone("v", 0),
        Tombstone("$$w", ANY),
        Append("w", ANY, events(31)),
    ):
        replica.write(write, NOW)


def test_a_follower_has_the_log_of_its_leader_with_all_that_follows_from_it() -> None:
    first, second, third = leader(), Replica(), Replica()
    every_kind_of_write(first)
    first.begin_epoch(LEADER, NOW + 1)
    follow(second, first)
    while third.end < first.end:
        follow(third, first, limit=1)
    assert written(second) == written(third) == written(first)
    assert second.epochs == third.epochs == first.epochs
    assert [epoch.number for epoch in first.epochs] == [0, 1]
    for replica in (first, second, third):
        replica.confirm(first.end)
        assert contents(replica.confirmed) == written(first)


def test_the_log_of_a_leader_begins_as_that_of_a_single_node() -> None:
    replica = leader()
    replica.write(Append("s", ANY, events(1)), NOW)
    replica.confirm(replica.end)
    records = read_all(replica.confirmed, 0, 0, None, 10).records
    assert [(record.stream, record.position) for record in records] == [("$$$scavenges", 548), ("s", 733)]


def test_readers_see_what_is_confirmed_and_checks_see_everything() -> None:
    replica = leader()
    replica.write(Append("s", NO_STREAM, events(0)), NOW)
    replica.confirm(replica.end)
    heard: list[Record] = []
    replica.confirmed.listen(heard.extend)
    outcome, end = replica.write(Append("s", 0, events(1, 2)), NOW)
    assert isinstance(outcome, Written)
    assert (outcome.number, end) == (2, replica.end)
    assert replica.write(Append("s", 0, events(9)), NOW) == (WrongExpectation(0, 2), 0)
    assert visible(replica.confirmed, "s") == [0]
    assert heard == []
    replica.confirm(end - 1)
    assert visible(replica.confirmed, "s") == [0]
    replica.confirm(end)
    assert visible(replica.confirmed, "s") == [0, 1, 2]
    assert numbers(heard) == [1, 2]


@pytest.mark.parametrize("expected", [ANY, NO_STREAM])
def test_a_repeated_write_waits_for_its_first_time(expected: int) -> None:
    replica = leader()
    first, end = replica.write(Append("s", expected, events(0, 1)), NOW)
    replica.write(Append("t", ANY, events(2)), NOW)
    again, end_again = replica.write(Append("s", expected, events(0, 1)), NOW)
    assert again == first
    replica.confirm(end - 1)
    assert replica.confirmed_end < end_again
    replica.confirm(end)
    assert replica.confirmed_end >= end_again


def test_only_the_node_that_wrote_knows_ids_without_an_expectation() -> None:
    first, second = leader(), Replica()
    outcome, _ = first.write(Append("s", ANY, events(0)), NOW)
    follow(second, first)
    second.begin_epoch(LEADER + 1, NOW)
    assert second.write(Append("s", NO_STREAM, events(0)), NOW)[0] == outcome
    again, _ = second.write(Append("s", ANY, events(0)), NOW)
    assert isinstance(again, Written)
    assert again.number == 1
    assert first.write(Append("s", ANY, events(0)), NOW)[0] == outcome
    reopened = first.reopened()
    assert reopened.write(Append("s", NO_STREAM, events(0)), NOW)[0] == outcome
    again, _ = reopened.write(Append("s", ANY, events(0)), NOW)
    assert isinstance(again, Written)
    assert again.number == 1


def test_an_old_process_does_nothing_to_the_data_of_the_new_one() -> None:
    old = leader()
    old.write(Append("s", ANY, events(0)), NOW)
    works = []
    old.go_on = works.append
    heard: list[Record] = []
    old.confirmed.listen(heard.extend)
    old.write(Append("s", ANY, many(500, 10)), NOW)
    old.confirm(old.end)
    work = old.append_in_turns(Append("s", ANY, many(5000, 1000)), NOW)
    next(work)
    told = len(heard)
    new = old.reopened()
    before, confirmed_end = written(new), new.confirmed_end
    with pytest.raises(Interrupted):
        next(work)
    for _ in works[0]:
        pass
    assert len(heard) == told
    old.write(Append("s", ANY, events(1)), NOW)
    old.confirm(old.end)
    assert written(new) == before
    assert new.confirmed_end == confirmed_end == new.end
    assert contents(new.confirmed) == before


def test_the_commit_point_never_runs_ahead_of_the_log() -> None:
    """What is written where entries were cut is not confirmed because those were to be confirmed."""
    replica = leader()
    end = replica.end
    replica.go_on = lambda work: None  # it is never done
    replica.confirmed.listen(lambda records: None)
    replica.confirm(10**9)
    assert replica.confirmed_end == end
    replica.write(Append("s", ANY, events(0)), NOW)
    replica.confirm(end)
    assert replica.confirmed_end == end


def test_logs_of_two_leaders_part_where_they_differ() -> None:
    first, second = leader(), Replica()
    first.write(Append("s", ANY, events(0)), NOW)
    follow(second, first)
    parted = first.end
    first.write(Append("s", ANY, events(1)), NOW)
    second.begin_epoch(LEADER + 1, NOW)
    second.write(Append("s", ANY, events(2)), NOW)
    assert second.common_end(first.epochs, first.end) == first.common_end(second.epochs, second.end) == parted
    follow(first, second)
    assert written(first) == written(second)
    assert first.epochs == second.epochs


def test_two_first_leaders_have_only_the_beginning_in_common() -> None:
    first, second = Replica(), Replica(iter(range(100, 200)).__next__)
    first.begin_epoch(1, NOW)
    second.begin_epoch(2, NOW)
    assert first.common_end(second.epochs, second.end) == FIRST_END
    follow(first, second)
    assert written(first) == written(second)


def test_what_is_cut_was_never_written() -> None:
    replica, other = leader(), leader()
    for one in (replica, other):
        one.write(Append("s", ANY, events(0)), NOW)
        one.write(Delete("s", ANY), NOW)
    before = replica.end
    every_kind_of_write(replica)
    replica.begin_epoch(LEADER, NOW)
    replica.confirm(before)
    replica.cut(before)
    assert written(replica) == written(other)
    assert replica.epochs == other.epochs
    every_kind_of_write(replica)
    every_kind_of_write(other)
    assert written(replica) == written(other)


def test_a_cut_forgets_the_ids_of_what_it_cuts() -> None:
    replica = leader()
    replica.write(Append("s", ANY, events(0)), NOW)
    end = replica.end
    replica.write(Append("s", ANY, events(0, 1)), NOW)
    replica.write(Append("t", ANY, events(1)), NOW)
    replica.cut(end)
    assert isinstance(replica.write(Append("t", ANY, events(1)), NOW)[0], Written)
    assert visible(replica._store, "t") == [0]
    outcome, _ = replica.write(Append("s", ANY, events(0)), NOW)
    assert isinstance(outcome, Written)
    assert outcome.number == 0


def test_what_is_confirmed_cannot_be_cut_and_entries_cannot_be_split() -> None:
    replica = leader()
    end = replica.end
    replica.write(Append("s", ANY, events(0, 1)), NOW)
    with pytest.raises(ValueError, match="no entry of the log ends at position"):
        replica.cut(replica.end - 1)
    replica.confirm(replica.end)
    with pytest.raises(ValueError, match="it is confirmed up to"):
        replica.cut(end)


def test_entries_must_follow_the_log() -> None:
    first, second = leader(), Replica()
    first.write(Append("s", ANY, events(0)), NOW)
    entries = first.entries_after(FIRST_END)
    with pytest.raises(ValueError, match="cannot follow a log that ends at 231"):
        second.take(entries[1:])
    second.take(entries)
    with pytest.raises(ValueError, match="cannot follow"):
        second.take(entries[-1:])


def test_epochs_have_ascending_numbers() -> None:
    replica = leader()
    replica.begin_epoch(LEADER, NOW, number=5)
    with pytest.raises(ValueError, match="epoch 5 cannot follow epoch 5"):
        replica.begin_epoch(LEADER, NOW, number=5)


def test_a_leader_can_begin_when_the_stream_of_epochs_is_tombstoned() -> None:
    first, second = leader(), Replica()
    first.write(Tombstone("$epoch-information", ANY), NOW)
    first.begin_epoch(LEADER, NOW)
    follow(second, first)
    assert written(first) == written(second)
    assert second.epochs[-1].start < second.end


def test_a_large_append_is_one_entry_and_stops_when_the_node_leads_no_more() -> None:
    replica = leader()
    end = replica.end
    work = replica.append_in_turns(Append("s", ANY, many(2500)), NOW)
    next(work)
    replica.cut(end)
    with pytest.raises(Interrupted):
        next(work)
    assert replica.end == end
    work = replica.append_in_turns(Append("s", ANY, many(2500)), NOW)
    turns = sum(1 for _ in work)
    assert turns == 3
    (entry,) = replica.entries_after(end)
    assert len(entry.records) == 2500


def test_listeners_are_told_of_much_in_turns() -> None:
    replica = leader()
    replica.confirm(replica.end)
    works = []
    replica.go_on = works.append
    heard: list[int] = []
    replica.confirmed.listen(lambda records: heard.append(len(records)))
    replica.write(Append("s", ANY, many(250)), NOW)
    end = replica.end
    replica.confirm(end)
    replica.write(Append("t", ANY, many(1, 300)), NOW)
    replica.confirm(replica.end)
    assert heard == [100]
    assert replica.confirmed_end == end
    (work,) = works
    assert len(list(work)) == 1
    assert heard == [100, 100, 50, 1]
    assert replica.confirmed_end == replica.end


def test_a_tombstone_says_nothing_about_another_stream() -> None:
    replica = leader()
    replica.write(Append("b", ANY, events(0)), NOW)
    replica.write(Delete("b", ANY), NOW)
    replica.write(Tombstone("aab", ANY), NOW)
    with pytest.raises(StreamDeleted):
        replica.write(Append("b", -4, [Proposal(1, "x", b"", b"", False)]), NOW)
    assert replica.confirmed.last_number("aab") == -1
    replica.confirm(replica.end)
    assert replica.confirmed.last_number("aab") == LAST_NUMBER
