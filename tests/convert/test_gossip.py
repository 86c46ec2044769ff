"""What a node tells of its cluster becomes values, whatever it tells."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from trio_esdb import ClusterMember, NodeState, ProtocolError
from trio_esdb._convert import cluster_members
from trio_esdb_proto.event_store.client import Uuid, UuidStructured
from trio_esdb_proto.event_store.client.gossip import ClusterInfo, EndPoint, MemberInfo, MemberInfoVNodeState

ID = UUID("00112233-4455-6677-8899-aabbccddeeff")
HIGH, LOW = 0x0011223344556677, 0x8899AABBCCDDEEFF - 2**64


def info(**fields: object) -> MemberInfo:
    return MemberInfo(**fields)  # type: ignore[arg-type]


def test_all_fields() -> None:
    raw = bytes(
        ClusterInfo(
            members=[
                info(
                    instance_id=Uuid(structured=UuidStructured(most_significant_bits=HIGH, least_significant_bits=LOW)),
                    time_stamp=17_600_000_000_000_005,
                    state=MemberInfoVNodeState.Leader,
                    is_alive=True,
                    http_end_point=EndPoint(address="node1.example", port=2113),
                )
            ]
        )
    )
    time = datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC)
    assert cluster_members(raw) == (ClusterMember("node1.example", 2113, NodeState.LEADER, True, ID, time),)


@pytest.mark.parametrize("state", list(MemberInfoVNodeState))
def test_all_states(state: MemberInfoVNodeState) -> None:
    (found,) = cluster_members(bytes(ClusterInfo(members=[info(state=state, is_alive=True)])))
    assert found.state == state.name
    assert isinstance(found.state, NodeState)


def test_an_empty_answer() -> None:
    assert cluster_members(b"") == ()


def test_what_is_no_message() -> None:
    with pytest.raises(ProtocolError, match="list of its cluster is malformed"):
        cluster_members(b"\x0a\x05abc")
