"""A leader and two followers, whose logs are handed on, confirmed and cut at random, against plain stores.

The model of a replica is a store that has made the same writes, one after the other, and no others: neither those that
were cut nor anything that was copied. What readers see is compared with such a store, too.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.replicas import contents, follow, written
from tests.support.stores import NOW, event, events
from trio_esdb.embedded._store import (
    ANY,
    LAST_NUMBER,
    NO_STREAM,
    STREAM_EXISTS,
    Append,
    Delete,
    NeverAnswered,
    Record,
    StreamDeleted,
    Tombstone,
    Write,
    Written,
    WrongExpectation,
)
from trio_esdb.embedded._store._entries import Entry
from trio_esdb.embedded._store._log import FIRST_END
from trio_esdb.embedded._store._replica import Replica
from trio_esdb.embedded._store._replicated_store import ReplicatedStore

NODES = range(3)
QUORUM = 2
STREAMS = ("a", "b", "$$a", "$$$$a", "$$b")
METADATA = (
    b"{}",
    b'{"$tb":9223372036854775807}',
    b'{"$maxCount":2}',
    b'{"$tb":1,"$acl":{"$r":"me"}}',
    b"no JSON",
)

Act = Callable[[ReplicatedStore], object]
expectations = st.sampled_from([ANY, NO_STREAM, STREAM_EXISTS, 0, 1, 2])
nodes = st.sampled_from(NODES)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.replicas = [Replica() for _ in NODES]
        self.heard: list[list[Record]] = [[] for _ in NODES]
        for node in NODES:
            self.listen(node)
        self.leader = -1
        self.acts: dict[Entry, list[Act]] = {}
        """What is to be done to a store to get what an entry holds; refused writes before it are part of that."""
        self.refused: list[tuple[Entry | None, list[Act]]] = [(None, []) for _ in NODES]
        """For each node the writes that it refused since it has had this entry as its last one."""
        self.memories: list[list[Record]] = [[] for _ in NODES]
        """For each node the events that its process has written."""
        self.confirmed = 0
        self.fresh = 0
        self.now = NOW
        self.elect(0)

    def listen(self, node: int) -> None:
        self.replicas[node].confirmed.listen(self.heard[node].extend)

    def elect(self, node: int) -> None:
        self.now += 1
        self.leader = node
        replica = self.replicas[node]
        start = replica.end
        replica.begin_epoch(node, self.now, len(self.acts))
        for entry in replica.entries_after(start):
            self.acts[entry] = [lambda store, entry=entry: store.take(entry)]

    def make(self, write: Write, replayed: Write | None = None) -> Written | WrongExpectation | None:
        """Make a write; another one has the same effect on a store that remembers all ids."""
        self.now += 1
        replica, now = self.replicas[self.leader], self.now
        start = replica.end

        def act(store: ReplicatedStore) -> Written | WrongExpectation | None:
            try:
                return store.run(replayed or write, now)
            except (StreamDeleted, NeverAnswered):
                return None

        outcome: Written | WrongExpectation | None
        try:
            outcome, needed = replica.write(write, now)
        except (StreamDeleted, NeverAnswered):
            outcome = None
        else:
            assert (needed == 0) == isinstance(outcome, WrongExpectation)
        made = replica.entries_after(start)
        if made:
            (entry,) = made
            self.memories[self.leader] += entry.records
            self.acts[entry] = [*self.refused_by(self.leader, self.entries(replica)[:-1]), act]
        else:
            entries = self.entries(replica)
            self.refused[self.leader] = entries[-1], [*self.refused_by(self.leader, entries), act]
        return outcome

    def entries(self, replica: Replica) -> list[Entry]:
        return list(replica.entries_after(FIRST_END))

    def refused_by(self, node: int, entries: list[Entry]) -> list[Act]:
        """The writes that a node with these entries has refused since the last of them."""
        last, acts = self.refused[node]
        return acts if entries and entries[-1] is last else []

    def fresh_keys(self, count: int) -> list[int]:
        self.fresh += count
        return list(range(self.fresh - count, self.fresh))

    @rule(stream=st.sampled_from(STREAMS), expected=expectations, count=st.integers(0, 3))
    def append(self, stream: str, expected: int, count: int) -> None:
        self.make(Append(stream, expected, events(*self.fresh_keys(count))))

    @rule(stream=st.sampled_from(STREAMS), text=st.sampled_from(METADATA), is_json=st.booleans())
    def append_metadata(self, stream: str, text: bytes, is_json: bool) -> None:
        (key,) = self.fresh_keys(1)
        self.make(Append("$$" + stream, ANY, [event(key, type="$metadata", data=text, is_json=is_json)]))

    @rule(stream=st.sampled_from(STREAMS), expected=expectations)
    def delete(self, stream: str, expected: int) -> None:
        if not stream.startswith("$$"):
            self.make(Delete(stream, expected))

    @rule(stream=st.sampled_from(STREAMS), is_sure=st.integers(0, 5))
    def tombstone(self, stream: str, is_sure: int) -> None:
        if not is_sure:
            self.make(Tombstone(stream, ANY))

    @rule(stream=st.sampled_from(STREAMS), after=st.integers(NO_STREAM, 1))
    def append_again(self, stream: str, after: int) -> None:
        """A repeated write gives the same answer as the first time, whoever leads now."""
        found = self.replicas[self.leader]._store._streams.get(stream)
        if found is None or found.last == LAST_NUMBER or found.last <= after:
            return
        record = found.records[after + 1]
        outcome = self.make(Append(stream, after, [event(record.id - 10**12)]))
        if record.id >= 10**12:
            assert isinstance(outcome, Written)
            assert outcome.number == record.number
            assert outcome.position in (record.position, None)

    @rule(stream=st.sampled_from(STREAMS), place=st.integers(0, 20))
    def append_again_to_any(self, stream: str, place: int) -> None:
        """Without an expectation only the process that wrote an event knows it, and only while it is in its log."""
        replica = self.replicas[self.leader]
        found = [record for record in replica._store._log.entries if record is not None and record.id >= 10**12]
        if not found or replica._store._streams.last_for_writer(stream) == LAST_NUMBER:
            return
        id = found[place % len(found)].id
        known = next((record for record in self.memories[self.leader] if record.id == id and record in found), None)
        start = replica.end
        repeated = [event(id - 10**12)]
        last = replica._store._streams.last_for_writer(stream)
        if known is not None and known.stream == stream:
            outcome = self.make(Append(stream, ANY, repeated), Append(stream, last + 5, repeated))
            assert isinstance(outcome, Written)
            assert (outcome.number, replica.end) == (known.number, start)
        else:
            outcome = self.make(Append(stream, ANY, repeated), Append(stream, last, repeated))
            assert isinstance(outcome, Written)
            assert replica.end > start

    @rule(node=nodes, limit=st.none() | st.integers(1, 4))
    def replicate(self, node: int, limit: int | None) -> None:
        if node != self.leader:
            follow(self.replicas[node], self.replicas[self.leader], limit)

    @rule(less=st.integers(0, 40))
    def confirm(self, less: int) -> None:
        """The leader confirms what a quorum has, which has its epoch."""
        leader = self.replicas[self.leader]
        common = [leader.common_end(replica.epochs, replica.end) for replica in self.replicas]
        end = sorted(common)[-QUORUM] - less
        if end > leader.epochs[-1].start:
            leader.confirm(end)
            self.confirmed = max(self.confirmed, leader.confirmed_end)

    @rule(node=nodes)
    def learn_what_is_confirmed(self, node: int) -> None:
        replica, leader = self.replicas[node], self.replicas[self.leader]
        if replica.epochs and leader.common_end(replica.epochs, replica.end) == replica.end:
            replica.confirm(leader.confirmed_end)

    @rule(node=nodes, voter=nodes)
    def another_leader(self, node: int, voter: int) -> None:
        """A node is elected that has all that one of the other nodes has."""

        def rank(number: int) -> tuple[int, int]:
            replica = self.replicas[number]
            return (replica.epochs[-1].number if replica.epochs else -1, replica.end)

        if node != voter and rank(node) >= rank(voter):
            self.elect(node)

    @rule(node=nodes)
    def restart(self, node: int) -> None:
        if node != self.leader:
            self.replicas[node] = self.replicas[node].reopened()
            self.memories[node] = []
            self.listen(node)

    @precondition(lambda self: self.confirmed)
    @rule(node=nodes, back=st.integers(0, 3))
    def cut(self, node: int, back: int) -> None:
        """A replica may lose what is not confirmed."""
        replica = self.replicas[node]
        tail = [entry for entry in self.entries(replica) if entry.end > self.confirmed][-back:]
        if node != self.leader and back and tail:
            replica.cut(tail[0].start)

    @invariant()
    def replicas_have_what_was_written(self) -> None:
        for node, replica in enumerate(self.replicas):
            entries = self.entries(replica)
            assert written(replica) == self.done(entries, self.refused_by(node, entries))
            assert [entry.epoch for entry in entries if entry.epoch is not None] == list(replica.epochs)

    @invariant()
    def readers_have_what_is_confirmed(self) -> None:
        for replica, heard in zip(self.replicas, self.heard, strict=True):
            entries = [entry for entry in self.entries(replica) if entry.end <= replica.confirmed_end]
            assert contents(replica.confirmed) == self.done(entries, [])
            assert heard == [record for entry in entries for record in entry.records]

    def done(self, entries: list[Entry], refused: list[Act]) -> object:
        store = ReplicatedStore()
        for act in [act for entry in entries for act in self.acts[entry]] + refused:
            act(store)
        return contents(store)


TestReplicas = Machine.TestCase
TestReplicas.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
