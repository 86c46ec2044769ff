"""What a test says to replicas, and how it compares their data."""

from __future__ import annotations

from trio_esdb.embedded._store import Record
from trio_esdb.embedded._store._replica import Replica
from trio_esdb.embedded._store._replicated_store import ReplicatedStore

OWN_IDS = 10**12
"""Ids below this one are made by a node."""


def follow(follower: Replica, leader: Replica, limit: int | None = None) -> None:
    """Give a follower the log of the leader, as after an election; with a limit only so many events of it."""
    agreed = leader.common_end(follower.epochs, follower.end)
    if agreed < follower.end:
        follower.cut(agreed)
    follower.take(leader.entries_after(agreed, limit))


def description(record: Record | None) -> object:
    """All that can be seen of an event; of one that a node wrote by itself, all but its id."""
    if record is None:
        return None
    id = record.id if record.id >= OWN_IDS else 0
    stream, number, position = record.stream, record.number, record.position
    return stream, number, position, id, record.type, record.data, record.metadata, record.is_json, record.created


def contents(store: ReplicatedStore) -> object:
    """All that a store holds but the ids that it remembers; equal for stores that cannot be told apart."""
    log, streams = store._log, store._streams
    by_name = {
        name: (stream.last, list(map(description, stream.records)), description(stream.meta_record), stream.metadata)
        for name, stream in streams._by_name.items()
        if stream.last >= 0 or stream.meta_record is not None
    }
    return (
        list(zip(log.positions, map(description, log.entries), strict=True)),
        (log.end, log.last_position),
        by_name,
        streams._tombstones,
        dict(streams.fresh_metadata),
    )


def written(replica: Replica) -> object:
    """What a replica has, confirmed or not."""
    return contents(replica._store)
