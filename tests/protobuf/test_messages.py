"""Messages of every kind are read as Google's protobuf reads them."""

from __future__ import annotations

import dataclasses
import datetime
from functools import cache
from typing import Any

import betterproto2
import pytest
from google.protobuf import message_factory, struct_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from tests.support import oracle
from tests.support.makers import block, number, varint
from trio_esdb._protobuf import Malformed
from trio_esdb._protobuf_messages import decode
from trio_esdb_proto.event_store.client import WrongExpectedVersion
from trio_esdb_proto.event_store.client.gossip import ClusterInfo, MemberInfo, MemberInfoVNodeState
from trio_esdb_proto.event_store.client.monitoring import StatsResp
from trio_esdb_proto.event_store.client.server_features import SupportedMethod
from trio_esdb_proto.event_store.client.streams import ReadResp, ReadRespCaughtUp, ReadRespReadEvent
from trio_esdb_proto.google.protobuf import Value

LISTS = [
    ("doubles", float, betterproto2.TYPE_DOUBLE),
    ("floats", float, betterproto2.TYPE_FLOAT),
    ("integers", int, betterproto2.TYPE_INT32),
    ("zigzags", int, betterproto2.TYPE_SINT32),
    ("fixed", int, betterproto2.TYPE_FIXED32),
    ("signed", int, betterproto2.TYPE_SFIXED64),
    ("flags", bool, betterproto2.TYPE_BOOL),
    ("states", MemberInfoVNodeState, betterproto2.TYPE_ENUM),
]
Numbers: Any = dataclasses.make_dataclass(
    "Numbers",
    [(name, list[of], betterproto2.field(at, kind, repeated=True)) for at, (name, of, kind) in enumerate(LISTS, 1)]
    + [("single", int, betterproto2.field(9, betterproto2.TYPE_FIXED64))],
    bases=(betterproto2.Message,),
    eq=False,
    repr=False,
)
"""Lists of numbers, which no message in `protos/` has."""
TYPES = {1: "DOUBLE", 2: "FLOAT", 3: "INT32", 4: "SINT32", 5: "FIXED32", 6: "SFIXED64", 7: "BOOL", 8: "INT32"}


@cache
def numbers_of_google() -> type[Any]:
    """Google's class with the same fields; the enum is an integer there."""
    file = FileDescriptorProto(name="numbers.proto", package="test", syntax="proto3")
    message = file.message_type.add(name="Numbers")
    for number_, kind in (*TYPES.items(), (9, "FIXED64")):
        label = FieldDescriptorProto.LABEL_OPTIONAL if number_ == 9 else FieldDescriptorProto.LABEL_REPEATED
        type_ = FieldDescriptorProto.Type.Value(f"TYPE_{kind}")
        message.field.add(name=f"f{number_}", number=number_, label=label, type=type_)
    pool = DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Numbers"))


VALUES = {
    1: st.floats(allow_nan=False),
    2: st.floats(allow_nan=False, width=32),
    3: st.integers(-(2**31), 2**31 - 1),
    4: st.integers(-(2**31), 2**31 - 1),
    5: st.integers(0, 2**32 - 1),
    6: st.integers(-(2**63), 2**63 - 1),
    7: st.booleans(),
    8: st.integers(-(2**31), 2**31 - 1),
}


@given(data=st.data())
def test_lists_of_numbers_packed_and_not(data: st.DataObject) -> None:
    """A list comes in one field or in a field for each number, and in several of both."""
    raw = b""
    for _ in range(data.draw(st.integers(0, 4))):
        number_ = data.draw(st.sampled_from(sorted(TYPES)))
        values = data.draw(st.lists(VALUES[number_], max_size=3))
        packed = numbers_of_google()(**{f"f{number_}": values}).SerializeToString()
        if data.draw(st.booleans()):
            raw += packed
        else:
            wire = {"DOUBLE": 1, "SFIXED64": 1, "FLOAT": 5, "FIXED32": 5}.get(TYPES[number_], 0)
            for value in values:
                one = numbers_of_google()(**{f"f{number_}": [value]}).SerializeToString()
                raw += varint(number_ << 3 | wire) + one[2:]  # without the tag and the size
    raw += data.draw(st.sampled_from([b"", varint(9 << 3 | 1) + b"12345678", block(9, b"12345678")]))
    expected, found = numbers_of_google().FromString(raw), decode(Numbers, raw)
    for number_, (name, _, _) in enumerate(LISTS, 1):
        assert getattr(found, name) == list(getattr(expected, f"f{number_}"))
    assert found.single == expected.f9


@pytest.mark.parametrize("raw", [block(1, b"1234567"), block(2, b"12345"), block(3, b"\x80"), block(7, b"\xff" * 11)])
def test_lists_of_numbers_that_are_cut_off(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode(Numbers, raw)
    with pytest.raises(DecodeError):
        numbers_of_google().FromString(raw)


def test_numbers_in_a_list_are_limited_like_fields() -> None:
    assert len(decode(Numbers, block(7, b"\x01" * 900)).flags) == 900
    with pytest.raises(Malformed, match="more than 1000 fields"):
        decode(Numbers, block(7, b"\x01" * 500) * 2)
    with pytest.raises(Malformed, match="more than 1000 fields"):
        decode(Numbers, block(1, bytes(8_000_000)))


def test_messages_are_nested_so_deep() -> None:
    raw = b""
    for _ in range(50):
        raw = block(6, block(1, raw))  # Value.list_value, ListValue.values
    decode(Value, raw)
    struct_pb2.Value.FromString(raw)
    raw = block(6, block(1, raw))
    with pytest.raises(Malformed, match="nested more than 100 deep"):
        decode(Value, raw)
    with pytest.raises(DecodeError):
        struct_pb2.Value.FromString(raw)


def test_lists_and_enums() -> None:
    member = number(2, 2**64 - 5) + number(3, 8) + number(4, 1) + block(5, block(1, b"localhost") + number(2, 2113))
    info = decode(ClusterInfo, block(1, member) + number(1, 7) + block(1, b"") + block(1, number(3, 99)))
    first, second, third = info.members
    assert (first.time_stamp, first.state, first.is_alive) == (-5, MemberInfoVNodeState.Leader, True)
    assert first.http_end_point is not None
    assert (first.http_end_point.address, first.http_end_point.port) == ("localhost", 2113)
    assert second == MemberInfo()
    assert third.state == 99


def test_lists_of_texts() -> None:
    assert decode(SupportedMethod, block(3, b"a") + block(3, b"") + block(3, b"b")).features == ["a", "", "b"]


def test_maps() -> None:
    entries = [block(1, b"a") + block(2, b"1"), block(1, b"b"), block(2, b"2"), block(1, b"a") + block(2, b"3")]
    stats = decode(StatsResp, b"".join(block(1, entry) for entry in entries))
    assert stats.stats == {"a": "3", "b": "", "": "2"}


def test_an_unknown_field_in_an_entry_of_a_map_is_skipped() -> None:
    """As most implementations do; the one that the other tests compare with drops the entry."""
    raw = block(1, block(1, b"a") + block(2, b"1") + number(3, 7))
    assert decode(StatsResp, raw).stats == {"a": "1"}
    assert dict(oracle.parsed("monitoring.StatsResp", raw).stats) == {}


def test_oneofs() -> None:
    raw = number(1, 5) + block(2, b"") + number(3, 7)
    message = decode(WrongExpectedVersion, raw)
    assert message.current_stream_revision is None
    assert message.current_no_stream is not None
    assert message.expected_stream_position == 7
    assert (
        oracle.parsed("WrongExpectedVersion", raw).WhichOneof("current_stream_revision_option") == "current_no_stream"
    )


def test_a_sub_message_that_comes_in_parts() -> None:
    event = decode(ReadRespReadEvent, block(1, number(3, 5)) + block(1, number(4, 6)) + block(1, number(3, 7)))
    assert event.event is not None
    assert (event.event.stream_revision, event.event.prepare_position) == (7, 6)


def test_a_member_of_a_oneof_begins_anew_after_another() -> None:
    one, other = block(1, block(1, number(3, 5))), block(2, block(1, b"x"))
    message = decode(ReadResp, one + other + block(1, b""))
    assert message.event is not None
    assert message.event.event is None


def test_times() -> None:
    moment = datetime.datetime(2025, 9, 27, 22, 32, 25, 678901, tzinfo=datetime.UTC)
    seconds = int(moment.timestamp())
    whole = block(1, number(1, seconds) + number(2, 678_901_234))
    parts = block(1, number(1, seconds)) + block(1, number(2, 678_901_234))
    assert decode(ReadRespCaughtUp, whole).timestamp == moment
    assert decode(ReadRespCaughtUp, parts).timestamp == moment
    assert decode(ReadRespCaughtUp, block(1, number(1, 2**60))).timestamp is None


def test_numbers_of_other_widths() -> None:
    member = decode(MemberInfo, block(5, number(2, 2**32 + 5)))
    assert member.http_end_point is not None
    assert member.http_end_point.port == 5
    assert decode(MemberInfo, varint(2 << 3) + b"\xff" * 9 + b"\x7f").time_stamp == -1


@pytest.mark.parametrize("depth", [1, 5, 100])
def test_groups_are_skipped(depth: int) -> None:
    raw = b"".join(varint(31 << 3 | 3) + number(1, 5) + block(3, b"x") for _ in range(depth))
    raw += b"".join(varint(31 << 3 | 4) for _ in range(depth))
    assert decode(SupportedMethod, raw + block(1, b"m")).method_name == "m"


def test_a_group_may_hold_what_has_no_number() -> None:
    raw = varint(31 << 3 | 3) + b"\x00\x01" + varint(31 << 3 | 4) + block(1, b"m")
    assert decode(SupportedMethod, raw).method_name == "m"
    assert oracle.parsed("server_features.SupportedMethod", raw).method_name == "m"


def test_groups_in_groups_are_skipped_so_far() -> None:
    with pytest.raises(Malformed, match="field 31 has the wire type 3"):
        decode(SupportedMethod, varint(31 << 3 | 3) * 200 + varint(31 << 3 | 4) * 200)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"\x0a\x05abc", "field 1 ends beyond the end"),
        (b"\x09abc", "field 1 ends beyond the end"),
        (b"\x0dabc", "field 1 ends beyond the end"),
        (b"\x08", "a varint has no end"),
        (b"\x80", "a varint has no end"),
        (b"\x08" + b"\x80" * 10 + b"\x00", "a varint has no end"),
        (b"\x0a" + b"\x80" * 5 + b"\x00", "a varint has no end"),
        (b"\x00\x00", "a field has the number 0"),
        (varint(2**29 << 3) + b"\x00", "a field has the number 536870912"),
        (b"\x0c", "field 1 has the wire type 4"),
        (b"\x0b\x14", "field 2 has the wire type 4"),
        (b"\x0e", "field 1 has the wire type 6"),
        (b"\x0b\x08\x05", "the group 1 has no end"),
        (b"\x0a\x01\xff", "not UTF-8"),
    ],
)
def test_what_is_broken_is_refused(raw: bytes, complaint: str) -> None:
    with pytest.raises(Malformed, match=complaint):
        decode(SupportedMethod, raw)
    with pytest.raises(oracle.Refused):
        oracle.parsed("server_features.SupportedMethod", raw)
