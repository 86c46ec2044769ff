"""What is measured: each work, who does it, and how much of it at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .peers import OURS, PEERS, PLAIN

EVERYBODY = tuple(peer for peer in PEERS if peer != PLAIN)
_BOTH = (OURS, "kurrent")
_CLIENTS = (OURS, "kurrent", "kurrent_asyncio", "official")
_ASYNC = (OURS, "kurrent_asyncio", "official")
_THREE = (OURS, "kurrent", "official")
_TLS = (OURS, PLAIN, "kurrent", "official")

LARGE = 1024 * 1024 - 1024
"""Nearly the most that a node takes in one append by default, 1 MiB."""
SIZES = (0, 200, 4096, LARGE)
READS_AT_ONCE = (1, 10, 100, 1000)
TASKS = (1, 10, 90, 500)
EVENTS_A_CALL = (1, 10, 100, 1000)
SUBSCRIPTIONS = (1, 10, 100, 1000)
LONG_READ = 1_000_000
EMBEDDED: dict[str, dict[str, Any]] = {
    "start": {"count": 20},
    "append": {"count": 60, "parallel": 90},
    "read": {"count": 40_000},
    "cluster": {"count": 10},
    "idle_hour": {"count": 1},
}
"""What the embedded node or cluster is asked to do, a job for each kind of work."""


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of work, done by several clients in turn."""

    key: str
    title: str
    kind: str
    clients: tuple[str, ...]
    count: int
    """Events or calls at a time, for a client as fast as kurrentdbclient; of all parallel ones together."""
    unit: str = "event"
    how: str = ""
    """The kind of stream, by which the node knows how to frame."""
    size: int = 200
    per_call: int = 1
    parallel: int = 1
    fresh: bool = False
    """Each sample by a process of its own, because it is about memory."""
    rounds: int | None = None
    tls: bool = False
    scaled: bool = True
    marks: tuple[int, ...] = ()
    quick: bool = False
    also: dict[str, int] = field(default_factory=dict)
    """Another count for some clients."""

    def job(self, client: str, share: float) -> dict[str, Any]:
        """What a client is told to do; ``share`` is less than 1 for a quick answer."""
        count = self.also.get(client) or self.count
        if self.scaled:
            count = max(self.parallel, int(count * PEERS[client].speed * share))
        each = max(1, count // self.parallel) if self.kind != "idle" else count
        tail = "-" if self.how == "all" else ""
        name = f"bench-{self.size}-{self.how}-{each}{tail}" if self.how else f"bench-append-{self.key}"
        return {
            "kind": self.kind,
            "stream": name,
            "count": each,
            "size": self.size,
            "per_call": self.per_call,
            "parallel": self.parallel,
            "marks": [mark for mark in self.marks if mark <= each],
        }


def works() -> list[Work]:
    """All works, in the order in which they are done."""
    found = [
        Work("read", "read a stream, packed", "read", EVERYBODY, 10_000, how="packed", quick=True),
        Work("live", "catch-up subscription, live", "subscribe", EVERYBODY, 10_000, how="live", quick=True),
        Work("all", "read $all with a filter", "read_all", _CLIENTS, 10_000, how="all", quick=True),
        Work("links", "read a stream, links resolved", "links", _CLIENTS, 10_000, how="links", quick=True),
        Work("get", "read a stream into a tuple", "get", _BOTH, 10_000, how="packed"),
        Work("tls", "read a stream, packed, over TLS", "read", _TLS, 10_000, how="packed", tls=True),
        Work("tls-live", "catch-up subscription, live, over TLS", "subscribe", _TLS, 10_000, how="live", tls=True),
    ]
    found += [
        Work("consume", "consume from a group and ack, packed", "consume", _THREE, 10_000, how="group", quick=True),
        Work("consume-live", "the same, live", "consume", _THREE, 10_000, how="grouplive"),
        Work("consume-10", "the same with 10 consumers, packed", "consume", _THREE, 10_000, how="group", parallel=10),
    ]
    found += [
        Work(f"read-{size}", f"read events of {size} bytes", "read", _THREE, count, how="packed", size=size)
        for size, count in ((0, 10_000), (4096, 6000), (LARGE, 40))
    ]
    found += [
        Work(f"reads-{n}", f"{n} reads at once", "read_many", _CLIENTS, 10_000, how="packed", parallel=n)
        for n in READS_AT_ONCE[1:]
    ]
    found += [
        Work("append", "one append after another", "append", EVERYBODY, 400, "call", quick=True),
        Work("tls-append", "one append after another, over TLS", "append", _TLS, 400, "call", tls=True),
        Work("tasks-90", "appends from 90 tasks", "append", _CLIENTS, 1800, "call", parallel=90, quick=True),
    ]
    found += [
        Work(f"tasks-{n}", f"appends from {n} tasks", "append", _ASYNC, 2000, "call", parallel=n) for n in (10, 500)
    ]
    found += [
        Work(
            f"batch-{n}",
            f"appends of {n} events",
            "append",
            (*_THREE, *(("ours_betterproto",) if n == 1000 else ())),
            count,
            "call",
            per_call=n,
            quick=n == 1000,
            also={} if n < 1000 else {"official": 1},
        )
        for n, count in ((10, 200), (100, 80), (1000, 10))
    ]
    found += [
        Work(f"append-{size}", f"appends of an event of {size} bytes", "append", _THREE, count, "call", size=size)
        for size, count in ((0, 300), (4096, 300), (LARGE, 20))
    ]
    found.append(
        Work("keep", "memory of kept events", "keep", _BOTH, 20_000, how="packed", fresh=True, quick=True, scaled=False)
    )
    found += [
        Work(
            f"idle-{n}",
            f"memory of {n} idle subscriptions",
            "idle",
            (OURS, "kurrent", "kurrent_asyncio"),
            0,
            "subscription",
            how="idle",
            parallel=n,
            fresh=True,
            rounds=3,
            scaled=False,
        )
        for n in SUBSCRIPTIONS
    ]
    found.append(
        Work(
            "slow",
            "memory of a slow reader",
            "slow",
            _BOTH,
            LONG_READ,
            how="packed",
            fresh=True,
            rounds=1,
            scaled=False,
            marks=(10_000, 100_000, 200_000, 500_000, LONG_READ),
            also={"kurrent": LONG_READ // 5},
            quick=True,
        )
    )
    return found
