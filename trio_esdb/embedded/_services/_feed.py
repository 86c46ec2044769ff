"""New records to those who follow a stream or all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._store import Record, Store

Follower = Callable[[Sequence[Record]], None]


class Feed:
    """Tells followers of each write at once, in the writer's own step; whoever follows another stream costs nothing."""

    def __init__(self, store: Store) -> None:
        self._of_stream: dict[str, dict[int, Follower]] = {}
        self._of_all: dict[int, Follower] = {}
        self._tickets = 0
        store.listen(self._written)

    def follow(self, stream: str | None, follower: Follower) -> Callable[[], None]:
        """Call this with the new records of a stream (None: of all) after each write; returns what ends that."""
        self._tickets += 1
        ticket = self._tickets
        followers = self._of_all if stream is None else self._of_stream.setdefault(stream, {})
        followers[ticket] = follower

        def stop() -> None:
            followers.pop(ticket, None)
            if stream is not None and not followers and self._of_stream.get(stream) is followers:
                del self._of_stream[stream]

        return stop

    def _written(self, records: Sequence[Record]) -> None:
        for follower in self._of_all.values():
            follower(records)
        if not self._of_stream:
            return
        # A write is to one stream; what the node itself adds to it (metadata) follows at the end.
        start = 0
        for stop in range(1, len(records) + 1):
            if stop == len(records) or records[stop].stream != records[start].stream:
                followers = self._of_stream.get(records[start].stream)
                if followers:
                    part = records[start:stop]
                    for follower in followers.values():
                        follower(part)
                start = stop
