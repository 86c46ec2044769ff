"""Gossip, features, statistics, operations, users, and what is unknown."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio

from tests.support.peer import OPERATIONS, UNKNOWN, Peer
from trio_esdb._wire import Status
from trio_esdb.embedded import EmbeddedNode
from trio_esdb.embedded._services import Member, Membership, State

CLIENT = "/event_store.client."
FEATURES = f"{CLIENT}server_features.ServerFeatures/GetSupportedMethods"
STATS = f"{CLIENT}monitoring.Monitoring/Stats"


async def test_a_cluster_of_one(peer: Peer) -> None:
    (info,), outcome = await peer.ask(f"{CLIENT}gossip.Gossip/Read", {})
    assert outcome.ok
    (member,) = info["members"]
    assert (member["state"], member["is_alive"]) == ("Leader", True)
    assert member["http_end_point"] == {"address": "127.0.0.1", "port": 2113}
    assert member["time_stamp"] == 17_672_256_000_000_000


async def test_gossip_tells_what_the_node_knows(node: EmbeddedNode, peer: Peer) -> None:
    class Three(Membership):
        def members(self) -> list[Member]:
            return [
                Member(2**127 + 5, 30, State.Initializing, True, "c.example", 2113),
                Member(7, 20, State.Leader, False, "b.example", 2113),
                Member(0, 10, State.Manager, False, "a.example", 2115),
            ]

    node._context.membership = Three(7, ("b.example", 2113), lambda: 1)
    (info,), outcome = await peer.ask(f"{CLIENT}gossip.Gossip/Read", {})
    assert outcome.ok
    starting, leader, seed = info["members"]
    assert "state" not in starting  # Initializing is 0
    assert starting["instance_id"] == {
        "structured": {"most_significant_bits": -(2**63), "least_significant_bits": 5},
    }
    assert leader == {
        "instance_id": {"structured": {"least_significant_bits": 7}},
        "time_stamp": 20,
        "state": "Leader",
        "http_end_point": {"address": "b.example", "port": 2113},
    }
    assert (seed["instance_id"], seed["state"]) == ({"structured": {}}, "Manager")
    assert [member["http_end_point"]["port"] for member in info["members"]] == [2113, 2113, 2115]


async def test_every_method_is_listed(node: EmbeddedNode, peer: Peer) -> None:
    (answer,), _ = await peer.ask(FEATURES, {})
    assert answer["event_store_server_version"] == "24.10.4"
    listed = {f"/{m['service_name']}/{m['method_name']}": m.get("features", []) for m in answer["methods"]}
    assert listed.keys() == {path.lower() for path in node._methods}
    assert listed["/event_store.client.streams.streams/read"] == ["position", "events"]
    assert listed["/event_store.client.streams.streams/batchappend"] == ["deadline_duration"]
    assert listed["/event_store.client.streams.streams/append"] == []


async def test_statistics_at_once_and_after_each_period(peer: Peer) -> None:
    call = peer.call(STATS).send({"refresh_time_period_in_ms": 1500}).half_close()
    times = []
    for _ in range(4):
        names = (await call.receive())["stats"]
        assert {name.split("-")[0] for name in names} == {"es", "proc", "sys"}
        times.append(trio.current_time())
    assert [after - before for before, after in pairwise(times)] == pytest.approx([1.5] * 3)
    call.cancel()


async def test_statistics_without_a_pause_wait_for_their_reader(peer: Peer) -> None:
    call = peer.call(STATS).send({}).half_close()
    await call.some(3)
    await peer.append("s", peer.event())
    await call.some(1000)
    call.cancel()


async def test_operations(peer: Peer) -> None:
    for name in ("MergeIndexes", "ResignNode", "SetNodePriority", "RestartPersistentSubscriptions"):
        messages, outcome = await peer.ask(OPERATIONS + name, {})
        assert (messages, outcome.ok) == ([{}], True)
    (first,), _ = await peer.ask(OPERATIONS + "StartScavenge", {"options": {"thread_count": 1}})
    (second,), _ = await peer.ask(OPERATIONS + "StartScavenge", {"options": {}})
    assert first["scavenge_id"] != second["scavenge_id"]
    assert "scavenge_result" not in first  # Started is 0
    for id in (first["scavenge_id"], "current", ""):
        _, outcome = await peer.ask(OPERATIONS + "StopScavenge", {"options": {"scavenge_id": id}})
        assert (outcome.status, outcome.message) == (Status.NOT_FOUND, "Scavenge id was invalid.")
        assert dict(outcome.trailers) == {"exception": "scavenge-not-found"}
    for name in ("StartScavenge", "StopScavenge"):
        assert (await peer.ask(OPERATIONS + name, {}))[1].message == UNKNOWN


@pytest.mark.parametrize(
    "name", ["Create", "Update", "Delete", "Disable", "Enable", "Details", "ChangePassword", "ResetPassword"]
)
async def test_users_are_refused_at_once(peer: Peer, name: str) -> None:
    messages, outcome = await peer.ask(f"{CLIENT}users.Users/{name}", {})
    assert (messages, outcome.status) == ([], Status.INVALID_ARGUMENT)
    assert "without authentication" in outcome.message


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (f"{CLIENT}streams.Streams/NoSuch", "Method"),
        (f"{CLIENT}streams.Streams/", "Method"),
        (f"{CLIENT}streams.Stream/Read", "Service"),
        (f"{CLIENT}projections.Projections/Create", "Service"),
        ("/no.such.Service/Read", "Service"),
        ("/", "Service"),
    ],
)
async def test_what_is_unknown(peer: Peer, path: str, what: str) -> None:
    outcome = await peer.call(path).half_close().end()
    assert (outcome.status, outcome.message) == (Status.UNIMPLEMENTED, f"{what} is unimplemented.")


async def test_a_small_service_takes_small_messages(peer: Peer) -> None:
    call = peer.call(OPERATIONS + "MergeIndexes").send_raw(b"\x0a\x83\x80\x80\x02" + bytes(4 * 1024 * 1024))
    assert (await call.half_close().end()).status is Status.RESOURCE_EXHAUSTED
    call = peer.call(OPERATIONS + "MergeIndexes").send({}, {})
    assert (await call.end()).message == "Additional data after the message received."
