"""What a node tells of its cluster becomes values, whatever it tells."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_esdb import ClusterMember, NodeState, ProtocolError
from trio_esdb._convert import cluster_members
from trio_esdb._protobuf import Malformed, field, varint
from trio_esdb._protobuf_messages import decode
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


def one(*fields: bytes) -> ClusterMember:
    """The member that is made of these encoded fields."""
    raw = b"".join(fields)
    (found,) = cluster_members(b"\x0a" + varint(len(raw)) + raw)
    return found


def test_a_member_without_fields() -> None:
    assert one() == ClusterMember("", 0, NodeState.INITIALIZING, False, UUID(int=0), datetime(1970, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("number", [16, 99, 2**31 - 1, 2**32 - 1, 2**64 - 1])
def test_states_that_are_not_known(number: int) -> None:
    assert one(b"\x18", varint(number)).state is NodeState.UNKNOWN


@pytest.mark.parametrize(
    ("text", "id"),
    [
        (str(ID), ID),
        (str(ID).upper(), ID),
        (ID.hex, ID),
        ("", UUID(int=0)),
        ("nonsense", UUID(int=0)),
        ("\u0661" * 32, UUID(int=0)),
        ("0x" + "1" * 30, UUID(int=0)),
        ("_".join("1" * 16), UUID(int=0)),
        ("1" * 33, UUID(int=0)),
        ("1" * 10_000, UUID(int=0)),
    ],
)
def test_ids_as_text(text: str, id: UUID) -> None:
    assert one(field(0x0A, bytes(Uuid(string=text)))).instance_id == id


def test_the_last_form_of_an_id_counts() -> None:
    text = bytes(Uuid(string=str(ID)))
    numbers = bytes(Uuid(structured=UuidStructured(most_significant_bits=1, least_significant_bits=2)))
    assert one(field(0x0A, text + numbers)).instance_id == UUID(int=1 << 64 | 2)
    assert one(field(0x0A, numbers + text)).instance_id == ID
    assert one(field(0x0A, numbers), field(0x0A, text)).instance_id == ID
    assert one(field(0x0A, numbers + field(0x12, b""))).instance_id == UUID(int=0)
    only_least = bytes(Uuid(structured=UuidStructured(least_significant_bits=-1)))
    assert one(field(0x0A, numbers + only_least)).instance_id == UUID(int=2**64 | 2**64 - 1)


@pytest.mark.parametrize("port", [0, 65535, 65536, 2**32 - 1])
def test_ports(port: int) -> None:
    assert one(field(0x2A, bytes(EndPoint(address="a", port=port)))).port == port


@pytest.mark.parametrize(
    ("address", "text"),
    [(b"node1", "node1"), ("näme".encode(), "näme"), (b"\xff\xfe", "\ufffd\ufffd"), (b"a" * 5000, "a" * 1000)],
)
def test_addresses(address: bytes, text: str) -> None:
    assert one(field(0x2A, field(0x0A, address))).address == text


@pytest.mark.parametrize(
    ("ticks", "time"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-10, datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        (2**63 - 1, datetime.max.replace(tzinfo=UTC)),
        (-(2**63), datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_times(ticks: int, time: datetime) -> None:
    assert one(b"\x10", varint(ticks)).time_stamp == time


def test_fields_that_are_not_known_and_of_other_types_are_skipped() -> None:
    other = b"\x35\x00\x00\x00\x00" + field(0x3A, b"x") + field(0x12, b"x") + field(0x1A, b"x") + b"\x28\x01\x08\x01"
    assert one(other) == one()
    id = field(0x0A, b"\x08\x01" + field(0x0A, b"\x18\x01" + field(0x0A, b"x")) + field(0x1A, b"x"))
    end = field(0x2A, b"\x08\x01" + field(0x12, b"x") + b"\x18\x01")
    assert one(id, end) == one()
    assert cluster_members(b"\x08\x01" + field(0x12, b"x")) == ()


def test_many_members() -> None:
    """An answer of thousands of members is read in proportion to its size; one that is absurd is refused."""
    each = info(
        instance_id=Uuid(structured=UuidStructured(most_significant_bits=HIGH, least_significant_bits=LOW)),
        time_stamp=17_600_000_000_000_005,
        state=MemberInfoVNodeState.Follower,
        is_alive=True,
        http_end_point=EndPoint(address="node1.example", port=2113),
    )
    assert len(cluster_members(bytes(ClusterInfo(members=[each] * 3000)))) == 3000
    with pytest.raises(ProtocolError, match="more than 3000 members"):
        cluster_members(b"\x0a\x00" * 3001)
    with pytest.raises(ProtocolError, match="more than 36000 fields"):
        cluster_members(b"\x08\x00" * 60_000)


@given(st.binary(max_size=200))
def test_any_bytes(raw: bytes) -> None:
    """Whatever comes is members or a ProtocolError, and what protobuf reads is read in the same way."""
    try:
        expected = decode(ClusterInfo, raw)
    except Malformed:
        expected = None
    try:
        found = cluster_members(raw)
    except ProtocolError:
        assert expected is None
        return
    if expected is not None:
        assert [(each.port, each.is_alive) for each in found] == [
            ((each.http_end_point or EndPoint()).port, each.is_alive) for each in expected.members
        ]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
IDS = st.builds(lambda most, least: Uuid(structured=UuidStructured(most, least)), INTEGERS, INTEGERS) | st.builds(
    lambda text: Uuid(string=text), TEXTS
)
MEMBERS = st.builds(
    MemberInfo,
    instance_id=st.none() | IDS,
    time_stamp=INTEGERS,
    state=st.sampled_from(MemberInfoVNodeState),
    is_alive=st.booleans(),
    http_end_point=st.none() | st.builds(EndPoint, TEXTS, st.integers(0, 2**32 - 1)),
)


@given(st.lists(MEMBERS, max_size=4))
def test_any_members(members: list[MemberInfo]) -> None:
    found = cluster_members(bytes(ClusterInfo(members=members)))
    assert len(found) == len(members)
    for each, sent in zip(found, members, strict=True):
        end = sent.http_end_point or EndPoint()
        assert (each.address, each.port, each.is_alive) == (end.address, end.port, sent.is_alive)
        assert each.state == sent.state.name
        if sent.instance_id is not None and (numbers := sent.instance_id.structured) is not None:
            most, least = numbers.most_significant_bits, numbers.least_significant_bits
            assert each.instance_id.int == (most % 2**64) << 64 | least % 2**64
