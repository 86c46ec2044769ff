"""Messages of every kind are read as Google's protobuf reads them."""

from __future__ import annotations

import datetime

import pytest
from google.protobuf.descriptor import FieldDescriptor

from tests.support import oracle
from tests.support.makers import block, number, varint
from trio_esdb._convert._messages import decode
from trio_esdb_proto.event_store.client import WrongExpectedVersion
from trio_esdb_proto.event_store.client.gossip import ClusterInfo, MemberInfo, MemberInfoVNodeState
from trio_esdb_proto.event_store.client.monitoring import StatsResp
from trio_esdb_proto.event_store.client.server_features import SupportedMethod
from trio_esdb_proto.event_store.client.streams import ReadResp, ReadRespCaughtUp, ReadRespReadEvent


def test_no_message_has_a_list_of_numbers() -> None:
    """Which may come packed; ``decode`` does not know that form."""
    files = [oracle.pool().FindFileByName(path.name) for path in oracle.PROTOS.glob("*.proto")]
    messages = [message for file in files for message in file.message_types_by_name.values()]
    while messages:
        message = messages.pop()
        messages += message.nested_types
        for field in message.fields:
            assert not field.is_repeated or field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE)


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
    with pytest.raises(ValueError, match="field 31 has the wire type 3"):
        decode(SupportedMethod, varint(31 << 3 | 3) * 200 + varint(31 << 3 | 4) * 200)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"\x0a\x05abc", "field 1 goes on beyond the end"),
        (b"\x09abc", "field 1 goes on beyond the end"),
        (b"\x0dabc", "field 1 goes on beyond the end"),
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
        (b"\x0a\x01\xff", "utf-8"),
    ],
)
def test_what_is_broken_is_refused(raw: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        decode(SupportedMethod, raw)
    with pytest.raises(oracle.Refused):
        oracle.parsed("server_features.SupportedMethod", raw)
