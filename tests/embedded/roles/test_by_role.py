"""What each operation is answered on nodes of a cluster, cell by cell as real nodes were recorded to answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.peer import OPERATIONS, STREAMS, Call, Peer, connected, read_request
from trio_esdb._wire import Status
from trio_esdb.embedded._services import State

from .members import LEADER, member

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())["by_role"]
CLIENT = "/event_store.client."
USERS = f"{CLIENT}users.Users/"
STAYS_OPEN = "(stays open)"
STREAM = {"stream_name": b"s"}
BATCH = {
    "correlation_id": {"string": "00000000-0000-4000-8000-000000000001"},
    "options": {"stream_identifier": STREAM, "any": {}},
    "is_final": True,
}


class Role(NamedTuple):
    """The node that a part of the record is about."""

    state: State
    users: bool = False


ROLES = {
    "leader": Role(State.Leader),
    "follower": Role(State.Follower),
    "follower-tls": Role(State.Follower, users=True),
    "leaderless": Role(State.Unknown),
    "read-only-replica": Role(State.ReadOnlyReplica),
    "read-only-replica-b": Role(State.ReadOnlyReplica),
    "read-only-replica-tls": Role(State.ReadOnlyReplica, users=True),
    "read-only-replica-tls-admin": Role(State.ReadOnlyReplica, users=True),
}
WRITES = ("append", "append-wrong-version", "batch-append", "delete", "tombstone")
NOT_OFFERED = ("ps-", "proj-")
"""Services that the node does not have yet."""


def append(peer: Peer, expected: dict[str, Any]) -> Call:
    call = peer.call(STREAMS + "Append", timeout=3).send({"options": {"stream_identifier": STREAM, **expected}})
    return call.send({"proposed_message": peer.event()}).half_close()


def opened(peer: Peer, operation: str) -> Call:
    """The call that is recorded by this name."""
    if operation in ("append", "append-wrong-version"):
        return append(peer, {"any": {}} if operation == "append" else {"revision": 17})
    if operation == "batch-append":
        return peer.call(STREAMS + "BatchAppend", timeout=3).send({**BATCH, "proposed_messages": [peer.event()]})
    path, request = {
        "read-stream": (STREAMS + "Read", read_request("old")),
        "read-missing-stream": (STREAMS + "Read", read_request("missing")),
        "read-all": (STREAMS + "Read", read_request()),
        "subscribe-stream": (STREAMS + "Read", read_request("old", subscribe=True)),
        "subscribe-all": (STREAMS + "Read", read_request(at="end", subscribe=True)),
        "delete": (STREAMS + "Delete", {"options": {"stream_identifier": STREAM, "any": {}}}),
        "tombstone": (STREAMS + "Tombstone", {"options": {"stream_identifier": STREAM, "any": {}}}),
        "users-create": (USERS + "Create", {"options": {"login_name": "u", "password": "p"}}),
        "users-details-one": (USERS + "Details", {"options": {"login_name": "admin"}}),
        "users-details-all": (USERS + "Details", {}),
        "users-update": (USERS + "Update", {"options": {"login_name": "u"}}),
        "ops-set-priority": (OPERATIONS + "SetNodePriority", {"priority": -5}),
        "ops-merge": (OPERATIONS + "MergeIndexes", {}),
        "ops-ps-restart": (OPERATIONS + "RestartPersistentSubscriptions", {}),
        "ops-stop-scavenge": (OPERATIONS + "StopScavenge", {"options": {"scavenge_id": "x"}}),
        "stats": (f"{CLIENT}monitoring.Monitoring/Stats", {"refresh_time_period_in_ms": 60_000}),
        "features": (f"{CLIENT}server_features.ServerFeatures/GetSupportedMethods", {}),
        "gossip": (f"{CLIENT}gossip.Gossip/Read", {}),
    }[operation]
    return peer.call(path, timeout=3).send(request).half_close()


async def answer(call: Call) -> tuple[list[dict[str, Any]], str, str, dict[str, Any]]:
    """The messages of a call, its status, text and trailers. A call that has messages when time is up stays open."""
    messages, outcome = await call.rest()
    if outcome.status is Status.DEADLINE_EXCEEDED and messages:
        return messages, STAYS_OPEN, "", {}
    return messages, outcome.status.name, outcome.message, dict(outcome.trailers)


def cells() -> Iterator[Any]:
    for role, operations in RECORDED.items():
        for operation, columns in operations.items():
            if not operation.startswith(NOT_OFFERED):
                for header in columns:
                    yield pytest.param(role, operation, header, id=f"{role}: {operation}, {header}")


@pytest.mark.parametrize(("role", "operation", "header"), list(cells()))
async def test_as_recorded(role: str, operation: str, header: str) -> None:
    recorded = RECORDED[role][operation][header]
    state, users = ROLES[role]
    async with member(users=users) as (node, cluster), connected(node) as peer:
        for number in range(3):
            for stream in ("old", "s"):
                await (peer.user("admin") if users else peer).append(stream, peer.event(b"%d" % number))
        cluster.state = state
        if users:
            peer = peer.user("admin")
        if header != "absent":
            peer = peer.with_headers(("requires-leader", header))
        messages, status, text, trailers = await answer(opened(peer, operation))
    assert status == recorded["code"]
    assert bool(messages) == bool(recorded["messages"])
    forwarded = operation in WRITES and state is not State.Leader and recorded["messages"] and cluster.leader
    assert len(cluster.forwarded) == bool(forwarded)
    if recorded["code"] == "DEADLINE_EXCEEDED":
        return  # the text is the client's
    assert text == recorded["details"]
    if "leader-endpoint-port" in recorded["trailers"]:
        recorded["trailers"].update({"leader-endpoint-host": LEADER[0], "leader-endpoint-port": str(LEADER[1])})
    assert trailers == recorded["trailers"]
