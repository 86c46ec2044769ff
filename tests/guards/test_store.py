"""What a write costs the embedded node's store, counted: of a single node, and of the nodes of a cluster.

The figures in brackets are today's. A single node must not pay for clusters.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

from tests.support.counting import counted_calls
from tests.support.stores import NOW, event
from trio_esdb.embedded._store import ANY, Append, Store
from trio_esdb.embedded._store._log import FIRST_END
from trio_esdb.embedded._store._replica import Replica

WRITES = 1000


def bytes_of(act: Callable[[], object]) -> float:
    """The bytes that are kept for each write."""
    gc.collect()
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[0] / WRITES
    finally:
        tracemalloc.stop()


def proposals() -> list[Append]:
    return [Append("s", ANY, [event(key)]) for key in range(WRITES)]


def leader() -> Replica:
    replica = Replica()
    replica.begin_epoch(1, NOW)
    replica.confirm(replica.end)
    return replica


def lead(replica: Replica, writes: list[Append]) -> None:
    for write in writes:
        replica.confirm(replica.write(write, NOW)[1])


def follow(replica: Replica, of: Replica) -> None:
    for entry in of.entries_after(FIRST_END):
        replica.take([entry])
        replica.confirm(entry.end)


def test_a_single_node() -> None:
    writes = proposals()
    store = Store()

    def append() -> None:
        for write in writes:
            store.append(write.stream, write.expected, write.events, NOW)

    assert bytes_of(append) < 260  # [240]
    store = Store()
    with counted_calls() as calls:
        append()
    assert calls.total / WRITES < 25, calls.worst(WRITES)  # [24]


def test_a_leader() -> None:
    writes, replica = proposals(), leader()
    assert bytes_of(lambda: lead(replica, writes)) < 420  # [396]
    replica = leader()
    with counted_calls() as calls:
        lead(replica, writes)
    assert calls.total / WRITES < 51, calls.worst(WRITES)  # [48]


def test_a_follower() -> None:
    first = leader()
    lead(first, proposals())
    replica = Replica()
    assert bytes_of(lambda: follow(replica, first)) < 70  # [64]
    replica = Replica()
    with counted_calls() as calls:
        follow(replica, first)
    assert calls.total / WRITES < 28, calls.worst(WRITES)  # [26]


def test_an_entry_of_many_events_costs_little_for_each() -> None:
    """Protects the loop: a follower takes and shows a large append in a step that no Python code makes longer."""
    first = leader()
    for _ in first.append_in_turns(Append("s", ANY, [event(key) for key in range(20 * WRITES)]), NOW):
        pass
    replica = Replica()
    with counted_calls() as calls:
        replica.take(first.entries_after(FIRST_END))
    assert calls.total < 200
    turns: list[object] = []
    replica.go_on = turns.append
    with counted_calls() as calls:
        replica.confirm(first.end)
    assert (calls.total < 200, len(turns)) == (True, 1)
