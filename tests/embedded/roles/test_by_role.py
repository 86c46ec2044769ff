"""What each operation is answered on nodes of a cluster, cell by cell as real nodes were recorded to answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conformance.persistent import SETTINGS
from tests.support.peer import OPERATIONS, STREAMS, Call, Peer, connected, read_request
from trio_esdb._wire import Status
from trio_esdb.embedded._services import State

from .members import LEADER, member

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())["by_role"]
CLIENT = "/event_store.client."
USERS = f"{CLIENT}users.Users/"
GROUPS = f"{CLIENT}persistent_subscriptions.PersistentSubscriptions/"
STAYS_OPEN = "(stays open)"


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
NOT_OFFERED = ("proj-",)
"""Services that the node does not have yet."""


def append(peer: Peer, stream: dict[str, Any], expected: dict[str, Any]) -> Call:
    call = peer.call(STREAMS + "Append", timeout=3).send({"options": {"stream_identifier": stream, **expected}})
    return call.send({"proposed_message": peer.event()}).half_close()


def opened(peer: Peer, operation: str, name: str = "s") -> Call:
    """The call that is recorded by this name; writes go to a stream of this name."""
    stream = {"stream_name": name.encode()}
    if operation in ("append", "append-wrong-version"):
        return append(peer, stream, {"any": {}} if operation == "append" else {"revision": 17})
    options = {"stream_identifier": stream, "any": {}}
    if operation == "batch-append":
        id = {"string": "00000000-0000-4000-8000-000000000001"}
        batch = {"correlation_id": id, "options": options, "proposed_messages": [peer.event()], "is_final": True}
        return peer.call(STREAMS + "BatchAppend", timeout=3).send(batch)
    if operation == "ps-read":
        which = {"stream_identifier": stream, "group_name": "g", "buffer_size": 10, "uuid_option": {"string": {}}}
        return peer.call(GROUPS + "Read", timeout=3).send({"options": which})
    group = {"stream_identifier": stream, "group_name": "g"}
    change = {"stream": {"stream_identifier": stream, "start": {}}, **group, "settings": SETTINGS}
    same = {key: value for key, value in SETTINGS.items() if key != "consumer_strategy"}
    path, request = {
        "ps-create": (GROUPS + "Create", {"options": change}),
        "ps-update": (GROUPS + "Update", {"options": {**change, "settings": same}}),
        "ps-delete": (GROUPS + "Delete", {"options": group}),
        "ps-info": (GROUPS + "GetInfo", {"options": group}),
        "ps-list-all": (GROUPS + "List", {"options": {"list_all_subscriptions": {}}}),
        "ps-list-stream": (GROUPS + "List", {"options": {"list_for_stream": {"stream": stream}}}),
        "ps-replay": (GROUPS + "ReplayParked", {"options": {**group, "no_limit": {}}}),
        "ps-restart": (GROUPS + "RestartSubsystem", {}),
        "read-stream": (STREAMS + "Read", read_request("old")),
        "read-missing-stream": (STREAMS + "Read", read_request("missing")),
        "read-all": (STREAMS + "Read", read_request()),
        "subscribe-stream": (STREAMS + "Read", read_request("old", subscribe=True)),
        "subscribe-all": (STREAMS + "Read", read_request(at="end", subscribe=True)),
        "delete": (STREAMS + "Delete", {"options": options}),
        "tombstone": (STREAMS + "Tombstone", {"options": options}),
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


def has_group(role: str, operation: str) -> bool:
    """Whether there was a group when the operation was recorded."""
    return operation.startswith("ps-") and operation != "ps-create" and role != "leaderless"


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


async def compare(
    peer: Peer, role: str, operation: str, header: str, leader: tuple[str, int], stream: str = "s"
) -> bool:
    """Make a call as it was recorded, and compare what comes; whether there were messages."""
    recorded = RECORDED[role][operation][header]
    if header != "absent":
        peer = peer.with_headers(("requires-leader", header))
    messages, status, text, trailers = await answer(opened(peer, operation, stream))
    assert status == recorded["code"]
    assert bool(messages) == bool(recorded["messages"])
    if recorded["code"] != "DEADLINE_EXCEEDED":  # there the text is the client's
        expected = dict(recorded["trailers"])
        named = expected.get("stream-name", "")
        if named:
            expected["stream-name"] = stream
        assert text == (recorded["details"].replace(named, stream) if named else recorded["details"])
        if "leader-endpoint-port" in expected:
            expected |= {"leader-endpoint-host": leader[0], "leader-endpoint-port": str(leader[1])}
        assert trailers == expected
    return bool(messages)


@pytest.mark.parametrize(("role", "operation", "header"), list(cells()))
async def test_as_recorded(role: str, operation: str, header: str) -> None:
    state, users = ROLES[role]
    async with member(users=users) as (node, cluster), connected(node) as peer:
        if users:
            peer = peer.user("admin")
        for stream in ("old", "s"):
            await peer.append(stream, peer.event(), peer.event())
        if has_group(role, operation):
            assert (await opened(peer, "ps-create").end()).ok
        cluster.state = state
        answered = await compare(peer, role, operation, header, LEADER)
        forwarded = operation in WRITES and state is not State.Leader and answered and cluster.leader
        assert len(cluster.forwarded) == bool(forwarded)
