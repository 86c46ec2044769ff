"""New events go to those who follow their stream or all streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._store import Record, Store

Follower = Callable[[Sequence[Record]], None]


class Feed:
    """Calls followers in the step of the write itself. Followers of other streams cost nothing."""

    def __init__(self, store: Store) -> None:
        self._of_stream: dict[str, dict[int, Follower]] = {}
        self._of_all: dict[int, Follower] = {}
        self._tickets = 0
        self.followers = 0
        """How many there are, of streams and of all streams."""
        store.listen(self._written)

    def follow(self, stream: str | None, follower: Follower) -> Callable[[], None]:
        """Call this with the new events of a stream (None: of all streams) after each write; returns what ends that."""
        self._tickets += 1
        ticket = self._tickets
        followers = self._of_all if stream is None else self._of_stream.setdefault(stream, {})
        followers[ticket] = follower
        self.followers += 1

        def stop() -> None:
            if followers.pop(ticket, None) is not None:
                self.followers -= 1
            if stream is not None and not followers and self._of_stream.get(stream) is followers:
                del self._of_stream[stream]

        return stop

    def _written(self, records: Sequence[Record]) -> None:
        for follower in self._of_all.values():
            follower(records)
        if not self._of_stream:
            return
        # A write is to one stream, and the metadata that the node writes because of it follows at the end.
        start = 0
        for stop in range(1, len(records) + 1):
            if stop == len(records) or records[stop].stream != records[start].stream:
                followers = self._of_stream.get(records[start].stream)
                if followers:
                    part = records[start:stop]
                    for follower in followers.values():
                        follower(part)
                start = stop
